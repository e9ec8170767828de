"""Intake and publication: rows that a job of the portal takes in batches, and that may fail."""

import numpy as np

from sim.compiled.jit import kernel
from sim.compiled.kernel.draws import child_key, uniform
from sim.compiled.offices.kernel.constants import (
    ANSWER_SLOT,
    COIN_SLOT,
    FIRST_END,
    INTAKE,
    INTAKE_TICK,
    NONE,
    PUBLICATION,
    PUBLICATION_BIT,
    SYNCHRONISED,
)
from sim.compiled.offices.kernel.draws import duration_s
from sim.compiled.offices.kernel.events import go_on_now, schedule
from sim.compiled.offices.kernel.level import advance
from sim.compiled.offices.kernel.places import row_of, stop_of, sync_of
from sim.compiled.offices.structs import Dossier, Row, Sync, World


@kernel
def queue_at_intake(w: World, number: int, dossier: Dossier) -> None:
    """Let a dossier wait for the intake."""
    _queue_new(w, INTAKE, dossier.key, number)


@kernel
def publish(w: World, dossier: Dossier) -> None:
    """Queue a change of state for the national portal."""
    if not sync_of(w, PUBLICATION).is_present:
        return
    changes = -1  # the first state is none
    for state in range(FIRST_END):
        changes += dossier.visits[state]
    _queue_new(w, PUBLICATION, child_key(dossier.key, PUBLICATION_BIT + changes), NONE)


@kernel
def tick(w: World, which: int) -> None:
    """Take a batch, unless the job is stopped; wait for the next multiple of the period."""
    sync = sync_of(w, which)
    while sync.next_stop < sync.last_stop and stop_of(w, sync.next_stop).at_s <= w.now:
        sync.is_stopped = stop_of(w, sync.next_stop).is_stopped
        sync.next_stop += 1
    if not sync.is_stopped:
        for _ in range(min(sync.batch, sync.queued)):
            _send(w, sync, _take_first(w, sync))
    sync.ticks += 1
    schedule_tick(w, which)


@kernel
def schedule_tick(w: World, which: int) -> None:
    """Wait for the next tick."""
    sync = sync_of(w, which)
    schedule(w, INTAKE_TICK + which, sync.offset_s + sync.ticks * sync.period_s - w.now)


@kernel
def come_back(w: World, at: int) -> None:
    """Queue a row again that was given up; somebody sends it with all its tries."""
    row = row_of(w, at)
    sync = sync_of(w, row.sync)
    row.tries_left = sync.retries
    _append(w, sync, at)


@kernel
def _queue_new(w: World, which: int, key: np.uint64, dossier: int) -> None:
    at = w.first_free_row
    row, sync = row_of(w, at), sync_of(w, which)
    w.first_free_row = row.next
    w.n_free_rows -= 1
    row.key, row.since, row.dossier, row.sync = key, w.now, dossier, which
    row.tries, row.tries_left, row.given_up = 0, sync.retries, 0
    _append(w, sync, at)


@kernel
def _append(w: World, sync: Sync, at: int) -> None:
    """Put a row at the end of the queue."""
    level = advance(w, sync.level)
    level.queue += 1.0
    level.queue_max = max(level.queue_max, level.queue)
    level.arrivals += 1
    row_of(w, at).next = NONE
    if sync.tail == NONE:
        sync.head = at
    else:
        row_of(w, sync.tail).next = at
    sync.tail = at
    sync.queued += 1


@kernel
def _take_first(w: World, sync: Sync) -> int:
    """Take the first row out of the queue."""
    at = sync.head
    row = row_of(w, at)
    level = advance(w, sync.level)
    level.queue -= 1.0
    level.age = max(level.age, w.now - row.since)
    sync.head = row.next
    if sync.head == NONE:
        sync.tail = NONE
    sync.queued -= 1
    return at


@kernel
def _send(w: World, sync: Sync, at: int) -> None:
    """Try a row: it is sent, or waits again, or lies until somebody sends it again."""
    row = row_of(w, at)
    row.tries += 1
    if uniform(row.key, row.tries - 1, COIN_SLOT, 0) >= sync.error_share:
        advance(w, sync.level).departures += 1
        if row.dossier != NONE:
            go_on_now(w, row.dossier, SYNCHRONISED)
        _free(w, row, at)
    elif row.tries_left > 0:
        row.tries_left -= 1
        _append(w, sync, at)
    else:
        row.given_up += 1
        lies_s = duration_s(w, sync.resend, row.key, row.given_up - 1, ANSWER_SLOT)
        schedule(w, NONE - at, lies_s)


@kernel
def _free(w: World, row: Row, at: int) -> None:
    row.next = w.first_free_row
    w.first_free_row = at
    w.n_free_rows += 1
