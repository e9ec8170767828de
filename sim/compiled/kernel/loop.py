"""The loop over events: takes the next, and lets go on whose it is."""

from sim.compiled.jit import inlined, kernel
from sim.compiled.kernel import client as clients
from sim.compiled.kernel import faults, scaling
from sim.compiled.kernel import job as jobs
from sim.compiled.kernel import link as links
from sim.compiled.kernel import pool as pools
from sim.compiled.kernel import processor as processors
from sim.compiled.kernel import visit as visits
from sim.compiled.kernel.constants import (
    ANSWERED,
    ARRIVAL,
    ASK,
    BITS_OF_TIMER,
    BOOT,
    BOOTED,
    BREAK_OFF,
    FOLLOW,
    GO_ON,
    GROUP_ANSWERED,
    MOMENTS,
    NONE,
    PATIENCE,
    PAUSED,
    QUEUED,
    RUN,
    SENT,
    SERVED,
    START_STATION,
    STOP,
    THOUGHT,
    WATCH,
    WORK,
)
from sim.compiled.kernel.events import (
    fire_now,
    handle_of,
    is_soon,
    next_time,
    pop,
    pop_due,
    set_timer,
    start,
)
from sim.compiled.kernel.level import close_intervals, close_run
from sim.compiled.kernel.places import (
    job_of,
    link_of,
    processor_of,
    thread_of,
    tier_of,
    urgent_of,
)
from sim.compiled.structs import Thread, World

_WATCH_S = 1.0
"""How often the end of the run is looked for, s; the run ends at a multiple of it."""


@kernel
def go_on(w: World) -> None:
    """Take one event after the other until the run is over, or something is wanted first."""
    if not w.is_started:
        _begin(w)
    while not w.is_over and not w.wants:
        if w.running != NONE:
            running, w.running = w.running, NONE
            _resume(w, thread_of(w, running))
        elif w.is_arriving:
            clients.arrive(w)
        elif w.urgent_count:
            _start_next(w)
        elif is_soon(w):
            _fire(w, pop(w))
        elif w.due_count:
            _fire(w, pop_due(w))
        else:
            time = next_time(w)
            if time >= w.interval_end:
                close_intervals(w, time)
            if not w.wants:
                w.now = time
                _fire(w, pop(w))


@kernel
def _begin(w: World) -> None:
    """Start what moves by itself, in the order of the model."""
    w.is_started = 1
    faults.begin(w)
    for number in range(w.n_tiers):
        if tier_of(w, number).period_s > 0.0:
            start(w, START_STATION, tier_of(w, number).timer)
    for number in range(w.n_jobs):
        start(w, START_STATION, job_of(w, number).timer)
    start(w, START_STATION, ARRIVAL)
    start(w, START_STATION, WATCH)


@inlined
def _start_next(w: World) -> None:
    """Start the first of what is urgent, or break it off."""
    entry = urgent_of(w, w.urgent_head)
    w.urgent_head += 1
    if w.urgent_head == w.urgent_size:
        w.urgent_head = 0
    w.urgent_count -= 1
    if entry.what == START_STATION:
        _start_station(w, entry.stamp)
        return
    thread = thread_of(w, entry.stamp)
    if entry.what == BREAK_OFF:
        visits.break_off(w, thread)
    _resume(w, thread)


@kernel
def _start_station(w: World, handle: int) -> None:
    if handle == ARRIVAL:
        clients.arrive(w)
    elif handle == WATCH:
        set_timer(w, WATCH, w.duration_s)
    elif handle < w.first_job_timer:
        scaling.start_watching(w, tier_of(w, handle - w.first_tier_timer))
    else:
        jobs.start_ticking(w, job_of(w, handle - w.first_job_timer))


@inlined
def _fire(w: World, handle: int) -> None:
    """A timer fires, unless it does not count any more."""
    if handle >= w.n_fixed:
        thread = thread_of(w, (handle - w.n_fixed) >> BITS_OF_TIMER)
        if handle == handle_of(w, thread, PATIENCE):
            clients.lose_patience(w, thread)
        else:
            _resume(w, thread)
    elif handle >= w.first_link_timer:
        links.finish(w, link_of(w, handle - w.first_link_timer))
    elif handle >= w.first_processor_timer:
        processors.finish(w, processor_of(w, handle - w.first_processor_timer))
    else:
        _fire_rarely(w, handle)


@kernel
def _fire_rarely(w: World, handle: int) -> None:
    if handle >= w.first_job_timer:
        jobs.tick(w, job_of(w, handle - w.first_job_timer))
    elif handle >= w.first_tier_timer:
        scaling.look(w, tier_of(w, handle - w.first_tier_timer))
    elif handle == ARRIVAL:
        clients.arrive(w)
    elif handle == MOMENTS:
        faults.act(w)
    elif handle == WATCH:
        _watch(w)
    elif handle == STOP:
        close_run(w)
        w.is_over = 1


@kernel
def _watch(w: World) -> None:
    """End the run if the window is over and everything begun in it has ended, or drained."""
    is_gone = w.has_arrived and w.in_progress == 0
    if w.now < w.stop_s and not (is_gone and jobs.is_idle(w)):
        set_timer(w, WATCH, min(_WATCH_S, w.stop_s - w.now))
    else:
        fire_now(w, STOP)


@inlined
def _resume(w: World, thread: Thread) -> None:
    """Let a thread go on until it waits or ends, or something is wanted first."""
    while _step(w, thread):
        if w.wants:
            w.running = thread.id
            return


@inlined
def _step(w: World, thread: Thread) -> bool:
    """Let a thread do what its state says; return whether it goes on now."""
    state = thread.state
    if state == QUEUED:
        pools.expire(w, thread)
        return False
    if state == RUN or state > QUEUED:
        return visits.run(w, thread)
    if state == SENT:
        thread.state = RUN
        return True
    if state == ANSWERED:
        return clients.answered(w, thread)
    if state in (FOLLOW, THOUGHT):
        return clients.follow(w, thread)
    if state == WORK:
        return jobs.work(w, thread)
    if state == SERVED:
        jobs.served(w, thread)
        return True
    return _client_step(w, thread)


@kernel
def _client_step(w: World, thread: Thread) -> bool:
    """Let a client do the rarer things."""
    state = thread.state
    if state == PAUSED:
        return clients.try_again(w, thread)
    if state == ASK:
        return clients.ask(w, thread)
    if state == GROUP_ANSWERED:
        return clients.group_answered(w, thread)
    if state == GO_ON:
        clients.go_on(w, thread)
    elif state == BOOT:
        scaling.boot(w, thread)
    elif state == BOOTED:
        scaling.booted(w, thread)
    return False
