"""The loop over events: takes the next, and lets go on whose it is."""

import math

from sim.compiled.jit import kernel
from sim.compiled.offices.kernel.constants import (
    ARRIVAL,
    EVENTS,
    FIRST_END,
    FIRST_OPENING,
    IN_HAND,
    INTAKE_TICK,
    MORE_EVENTS,
    MORE_NODES,
    MORE_ROWS,
    MORE_VISITS,
    NONE,
    PUBLICATION,
    PUBLICATION_TICK,
    WORKING,
)
from sim.compiled.offices.kernel.events import handle_of, pop_ring, schedule
from sim.compiled.offices.kernel.heap import drop_first, first_of
from sim.compiled.offices.kernel.level import close_run
from sim.compiled.offices.kernel.life import enter
from sim.compiled.offices.kernel.life import go_on as let_go_on
from sim.compiled.offices.kernel.places import (
    arrival_of,
    calendar_of,
    decided_s_of,
    dossier_of,
    entry_of,
    heap_of,
    opening_of,
    state_of,
    sync_of,
)
from sim.compiled.offices.kernel.sync import come_back, schedule_tick, tick
from sim.compiled.offices.kernel.team import finish, open_calendar
from sim.compiled.offices.kernel.term import is_standing, note_apology
from sim.compiled.offices.structs import World


@kernel
def go_on(w: World) -> None:
    """Take one event after the other until the run is over, or something is wanted first."""
    if not w.is_started:
        _begin(w)
    while not w.is_over:
        _want(w)
        if w.wants:
            return
        if w.next_dossier < w.stop_arriving:
            _let_arrive(w)
        elif _is_ring_next(w):
            let_go_on(w, pop_ring(w))
        elif _is_any_ahead(w):
            _fire(w)
        else:
            _end(w)


@kernel
def _begin(w: World) -> None:
    """Start what moves by itself, in the order of the model."""
    w.is_started = 1
    for number in range(w.n_calendars):
        _wait_for_opening(w, number)
    for which in range(PUBLICATION + 1):
        if sync_of(w, which).is_present:
            schedule_tick(w, which)
    _meet_arrivals(w, False)


@kernel
def _want(w: World) -> None:
    """Say what is missing to take another event."""
    # Every heap may become twice as long, and those that are short as long as the event's nodes.
    if 3 * w.nodes_end + 4 * w.most_at_once > w.most_nodes:
        w.wants |= MORE_NODES
    if w.ring_count + w.most_at_once > w.ring_size:
        w.wants |= MORE_EVENTS
    if w.n_visits + w.most_at_once > w.most_visits:
        w.wants |= MORE_VISITS
    if w.n_free_rows < w.most_at_once:
        w.wants |= MORE_ROWS


@kernel
def _is_ring_next(w: World) -> bool:
    """Return whether the first of the ring was scheduled before all that is due in the heap."""
    if not w.ring_count:
        return False
    events = heap_of(w, EVENTS)
    if not events.size or first_of(w, events).key > w.now:
        return True
    return dossier_of(w, entry_of(w, w.ring_head).dossier).stamp < first_of(w, events).order


@kernel
def _is_any_ahead(w: World) -> bool:
    """Return whether anything is due before the end."""
    events = heap_of(w, EVENTS)
    return events.size > 0 and first_of(w, events).key < w.end_s


@kernel
def _fire(w: World) -> None:
    """Let the first event of the heap happen, unless it does not count any more."""
    events = heap_of(w, EVENTS)
    node = first_of(w, events)
    handle, order, w.now = node.what, node.order, node.key
    drop_first(w, events)
    first = handle_of(w, 0)
    if handle >= first:
        dossier = dossier_of(w, handle - first)
        if dossier.stamp != order:
            return
        if dossier.event == WORKING:
            finish(w, handle - first)
        else:
            let_go_on(w, handle - first)
    elif handle < 0:
        come_back(w, NONE - handle)
    else:
        _fire_rarely(w, handle)


@kernel
def _fire_rarely(w: World, handle: int) -> None:
    if handle == ARRIVAL:
        _meet_arrivals(w, True)
    elif handle <= PUBLICATION_TICK:
        tick(w, handle - INTAKE_TICK)
    else:
        open_calendar(w, handle - FIRST_OPENING)
        _wait_for_opening(w, handle - FIRST_OPENING)


@kernel
def _wait_for_opening(w: World, number: int) -> None:
    calendar = calendar_of(w, number)
    if calendar.next_opening < calendar.stop_opening:
        at_s = opening_of(w, calendar.next_opening).at_s
        schedule(w, FIRST_OPENING + number, at_s - w.now)


@kernel
def _meet_arrivals(w: World, is_due: bool) -> None:
    """Let the dossiers of this moment arrive next, and wait for the one after them."""
    stop = w.next_dossier + is_due
    while stop < w.n_dossiers and arrival_of(w, stop).value - w.now <= 0.0:
        stop += 1
    w.stop_arriving = stop
    if stop < w.n_dossiers:
        schedule(w, ARRIVAL, arrival_of(w, stop).value - w.now)


@kernel
def _let_arrive(w: World) -> None:
    number = w.next_dossier
    w.next_dossier += 1
    enter(w, number, dossier_of(w, number).state)


@kernel
def _end(w: World) -> None:
    """End the run: whoever still waits has waited until now."""
    w.is_over = 1
    w.now = w.end_s
    for number in range(w.next_dossier):
        dossier = dossier_of(w, number)
        if dossier.state >= FIRST_END:
            continue
        is_in_hand = dossier.event == WORKING and dossier.stamp != NONE
        waits_for = IN_HAND if is_in_hand else state_of(w, dossier.state).waits_for
        dossier.waited[waits_for] += w.now - dossier.since
        if math.isnan(decided_s_of(w, number).value) and not is_standing(dossier):
            note_apology(w, dossier)
    close_run(w)
