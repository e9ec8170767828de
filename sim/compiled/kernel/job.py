"""Background jobs: at every tick a batch from the queue, worked on by a few workers."""

import numpy as np

from sim.compiled.jit import kernel
from sim.compiled.kernel.constants import (
    MORE_ITEMS,
    NONE,
    OK,
    RUN,
    START_THREAD,
    WORK,
)
from sim.compiled.kernel.draws import child_key
from sim.compiled.kernel.events import set_timer, start
from sim.compiled.kernel.level import advance, join, leave
from sim.compiled.kernel.places import (
    dossier_of,
    item_of,
    job_of,
    level_of,
    queue_of,
    session_of,
)
from sim.compiled.kernel.visit import begin_program, end_thread, new_thread
from sim.compiled.structs import Item, Job, Thread, World


@kernel
def is_idle(w: World) -> bool:
    """Return whether no job has anything to do."""
    for number in range(w.n_jobs):
        job = job_of(w, number)
        if job.queued or job.batched or job.running:
            return False
    return True


@kernel
def start_ticking(w: World, job: Job) -> None:
    """Wait for the first tick."""
    set_timer(w, job.timer, job.offset_s - w.now)


@kernel
def tick(w: World, job: Job) -> None:
    """Take a batch, unless the job is stopped or busy; wait for the next multiple of the period."""
    if not job.is_stopped and not (job.skip_if_running and job.running):
        _take_batch(w, job)
    job.ticks += 1
    set_timer(w, job.timer, job.offset_s + job.ticks * job.period_s - w.now)


@kernel
def enqueue(w: World, number: int, key: np.uint64, session: int, dossier: int) -> None:
    """Queue a new item at a job, for an entity with this key."""
    at = w.first_free_item
    item = item_of(w, at)
    w.first_free_item = item.next
    w.n_free_items -= 1
    if w.n_free_items < w.least_free_items:
        w.wants |= MORE_ITEMS
    item.key = child_key(key, number)
    item.since, item.tries = w.now, 0
    item.session, item.dossier = session, dossier
    _put(w, job_of(w, number), at)


@kernel
def work(w: World, thread: Thread) -> bool:
    """Begin the next item of the batch; return whether there is one."""
    job = job_of(w, thread.job)
    at = job.batch_head
    if at == NONE:
        job.running -= 1
        end_thread(w, thread)
        return False
    item = item_of(w, at)
    job.batch_head = item.next
    if job.batch_head == NONE:
        job.batch_tail = NONE
    job.batched -= 1
    level = level_of(w, job.level)
    advance(w, level)
    level.busy += 1.0
    thread.item, thread.key, thread.number = at, item.key, item.tries
    thread.state, thread.program = RUN, job.program
    begin_program(w, thread)
    return True


@kernel
def served(w: World, thread: Thread) -> None:
    """An item has been worked on: it is done, or queued again, or given up."""
    job, item = job_of(w, thread.job), item_of(w, thread.item)
    item.tries += 1
    if thread.outcome != OK and item.tries <= job.retries:
        _put(w, job, thread.item)
    else:
        if thread.outcome == OK:
            _done(w, job, item)
        item.session = item.dossier = NONE
        item.next = w.first_free_item
        w.first_free_item = thread.item
        w.n_free_items += 1
    level = level_of(w, job.level)
    advance(w, level)
    level.busy -= 1.0
    level.departures += 1
    thread.state = WORK


@kernel
def _take_batch(w: World, job: Job) -> None:
    level = level_of(w, job.level)
    advance(w, level)
    for _ in range(min(job.batch, job.queued)):
        at = job.head
        item = item_of(w, at)
        job.head = item.next
        job.queued -= 1
        leave(w, level, item.since)
        item.next = NONE
        if job.batch_tail == NONE:
            job.batch_head = at
        else:
            item_of(w, job.batch_tail).next = at
        job.batch_tail = at
        job.batched += 1
    if job.head == NONE:
        job.tail = NONE
    for _ in range(min(job.workers - job.running, job.batched)):
        job.running += 1
        thread = new_thread(w, WORK)
        thread.job = _number(w, job)
        start(w, START_THREAD, thread.id)


@kernel
def _number(w: World, job: Job) -> int:
    """Return the index of a job: its timers follow one another."""
    return job.timer - w.first_job_timer


@kernel
def _put(w: World, job: Job, at: int) -> None:
    """Queue an item at the end."""
    level = level_of(w, job.level)
    join(w, level)
    level.arrivals += 1
    item_of(w, at).next = NONE
    if job.tail == NONE:
        job.head = at
    else:
        item_of(w, job.tail).next = at
    job.tail = at
    job.queued += 1


@kernel
def _done(w: World, job: Job, item: Item) -> None:
    """Tell who waits for an item, and give one to each job that follows."""
    if item.session != NONE:
        session_of(w, item.session).syncing -= 1
    if item.dossier != NONE:
        dossier = dossier_of(w, item.dossier)
        dossier.pending -= 1
        if dossier.pending == 0:
            dossier.synced_s = w.now
    for place in range(job.n_following):
        enqueue(w, queue_of(w, job.first_following + place).value, item.key, NONE, NONE)
