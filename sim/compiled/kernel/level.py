"""Exact time integrals of the stations; all levels close their intervals together."""

from sim.compiled.jit import kernel
from sim.compiled.kernel.constants import (
    MORE_LEVEL_ROWS,
    NONE,
    OF_JOB,
    OF_POOL,
    OF_PROCESSOR,
)
from sim.compiled.kernel.places import (
    item_of,
    job_of,
    level_of,
    level_row_of,
    pool_of,
    processor_of,
    thread_of,
)
from sim.compiled.structs import Level, World


@kernel
def advance(w: World, level: Level) -> None:
    """Integrate up to now with the present values."""
    _integrate(level, w.now)


@kernel
def join(w: World, level: Level) -> None:
    """One more in the queue."""
    advance(w, level)
    set_queue(level, level.queue + 1.0)


@kernel
def leave(w: World, level: Level, since: float) -> None:
    """One fewer in the queue, who waited since then."""
    advance(w, level)
    level.queue -= 1.0
    level.age = max(level.age, w.now - since)


@kernel
def set_queue(level: Level, queue: float) -> None:
    """Change the queue's length directly."""
    level.queue = queue
    level.queue_max = max(level.queue_max, queue)


@kernel
def close_intervals(w: World, now: float) -> None:
    """Close every interval that ends until now, as long as there is room for the rows."""
    while now >= w.interval_end:
        if w.n_level_rows + 2 * w.n_levels > w.most_level_rows:  # these, and those of the end
            w.wants |= MORE_LEVEL_ROWS
            return
        _close(w, w.interval_end)
        w.interval += 1
        w.interval_end = (w.interval + 1) * w.interval_s


@kernel
def close_run(w: World) -> None:
    """End the last interval now; what happened at its very end belongs to it."""
    if w.now > w.interval * w.interval_s:
        _close(w, w.now)
        return
    for number in range(w.n_levels):
        level = level_of(w, number)
        if w.interval > 0:
            row = level_row_of(w, w.n_level_rows - w.n_levels + number)
            row.queue_max = max(row.queue_max, level.queue_max)
            row.arrivals += level.arrivals
            row.departures += level.departures


@kernel
def _close(w: World, end: float) -> None:
    """Append a row for each level and open the next interval."""
    for number in range(w.n_levels):
        level = level_of(w, number)
        _integrate(level, end)
        since = _head_since(w, level, end)
        level.busy_total += level.busy_area
        level.capacity_total += level.capacity_area
        row = level_row_of(w, w.n_level_rows + number)
        row.from_s, row.to_s = w.interval * w.interval_s, end
        row.capacity_area, row.busy_area = level.capacity_area, level.busy_area
        row.queue_area, row.queue_max = level.queue_area, level.queue_max
        row.age = max(level.age, end - since)
        row.arrivals, row.departures = float(level.arrivals), float(level.departures)
        level.busy_area = level.queue_area = level.capacity_area = level.age = 0.0
        level.queue_max = level.queue
        level.arrivals = level.departures = 0
    w.n_level_rows += w.n_levels


@kernel
def _integrate(level: Level, until: float) -> None:
    elapsed = until - level.last
    if elapsed > 0.0:
        level.busy_area += level.busy * elapsed
        level.queue_area += level.queue * elapsed
        level.capacity_area += level.capacity * elapsed
        level.last = until


@kernel
def _head_since(w: World, level: Level, end: float) -> float:
    """Return since when the first in the queue waits; the end itself if nobody does."""
    if level.kind == OF_JOB:
        item = job_of(w, level.station).head
        return end if item == NONE else item_of(w, item).since
    thread = NONE
    if level.kind == OF_POOL:
        thread = pool_of(w, level.station).head
    elif level.kind == OF_PROCESSOR:
        thread = processor_of(w, level.station).head
    return end if thread == NONE else thread_of(w, thread).since
