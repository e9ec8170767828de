"""Pools of tokens, first come, first served."""

from sim.compiled.jit import inlined, kernel
from sim.compiled.kernel.constants import EXPIRED, GRANTED, NONE, OWN, QUEUED
from sim.compiled.kernel.events import cancel, fire_now, handle_of, set_timer
from sim.compiled.kernel.level import advance, join, leave
from sim.compiled.kernel.places import level_of, pool_of, thread_of
from sim.compiled.kernel.queues import append, take_out
from sim.compiled.structs import Pool, Thread, World

INFINITE = float("inf")


@kernel
def occupancy(w: World, pool: Pool) -> int:
    """Return tokens held plus places in the queue."""
    level = level_of(w, pool.level)
    return int(level.busy + level.queue)


@inlined
def take_free(w: World, pool: Pool) -> bool:
    """Take a free token now; return whether there was one."""
    level = level_of(w, pool.level)
    if level.busy >= pool.capacity:
        return False
    advance(w, level)
    level.busy += 1.0
    level.arrivals += 1
    return True


@kernel
def is_full(w: World, pool: Pool) -> bool:
    """Return whether nobody more may wait."""
    return level_of(w, pool.level).queue >= pool.queue_limit


@kernel
def queue_at(w: World, number: int, thread: Thread, wait_limit_s: float) -> None:
    """Queue for a token; the thread goes on when it has one, or at the limit without."""
    pool = pool_of(w, number)
    level = level_of(w, pool.level)
    thread.state, thread.station, thread.since = QUEUED, number, w.now
    append(w, pool, thread)
    join(w, level)
    level.arrivals += 1
    if wait_limit_s < INFINITE:
        set_timer(w, handle_of(w, thread, OWN), wait_limit_s)


@kernel
def give_back(w: World, pool: Pool) -> None:
    """Return one token; the first in the queue gets it."""
    level = level_of(w, pool.level)
    advance(w, level)
    level.busy -= 1.0
    level.departures += 1
    _grant(w, pool)


@kernel
def expire(w: World, thread: Thread) -> None:
    """End the wait of a thread at its limit; it goes on at this moment."""
    drop(w, thread)
    thread.state = EXPIRED
    fire_now(w, handle_of(w, thread, OWN))


@kernel
def drop(w: World, thread: Thread) -> None:
    """Take a thread out of the queue."""
    pool = pool_of(w, thread.station)
    level = level_of(w, pool.level)
    leave(w, level, thread.since)
    level.departures += 1
    take_out(w, pool, thread)


@kernel
def give_up_turn(w: World, thread: Thread) -> None:
    """Give up the place in the queue, or the token just granted."""
    if thread.state == QUEUED:
        cancel(w, handle_of(w, thread, OWN))
        drop(w, thread)
    elif thread.state == GRANTED:
        give_back(w, pool_of(w, thread.station))


@kernel
def set_servers(w: World, pool: Pool, servers: int) -> None:
    """Give it the tokens and places of so many servers; what is held is not taken away."""
    level = level_of(w, pool.level)
    advance(w, level)
    pool.capacity = level.capacity = _times(servers, pool.capacity_of_one)
    pool.queue_limit = _times(servers, pool.queue_limit_of_one)
    _grant(w, pool)


@kernel
def retire(w: World, pool: Pool) -> None:
    """Count no capacity any more."""
    level = level_of(w, pool.level)
    advance(w, level)
    level.capacity = 0.0


@kernel
def _grant(w: World, pool: Pool) -> None:
    level = level_of(w, pool.level)
    while pool.head != NONE and level.busy < pool.capacity:
        thread = thread_of(w, pool.head)
        leave(w, level, thread.since)
        take_out(w, pool, thread)
        level.busy += 1.0
        thread.state = GRANTED
        fire_now(w, handle_of(w, thread, OWN))


@kernel
def _times(servers: int, of_one: float) -> float:
    """Return what several servers have together; without limit it stays so, even of none."""
    return of_one if of_one == INFINITE else servers * of_one
