"""Exact time integrals of the stations; each closes its intervals when it changes next."""

from sim.compiled.jit import kernel
from sim.compiled.offices.kernel.clock import worked_now
from sim.compiled.offices.kernel.constants import NONE
from sim.compiled.offices.kernel.places import (
    boundary_of,
    calendar_of,
    level_of,
    level_row_of,
    row_of,
    sync_of,
)
from sim.compiled.offices.structs import Level, World


@kernel
def advance(w: World, number: int) -> Level:
    """Integrate up to now with the present values; returns the level."""
    level = level_of(w, number)
    if w.now >= level.end:
        _close_until(w, number, level, w.now)
    _integrate_now(w, level)
    return level


@kernel
def change_queue(w: World, number: int, change: float) -> Level:
    """Let more or fewer wait from now on; returns the level."""
    level = advance(w, number)
    level.queue += change
    return level


@kernel
def close_run(w: World) -> None:
    """Close every interval; the last ends with the run, which is now."""
    for number in range(w.n_levels):
        level = level_of(w, number)
        _close_until(w, number, level, w.now)
        if level.interval < w.n_intervals:
            _integrate_now(w, level)
            _close(w, number, level)


@kernel
def _close_until(w: World, number: int, level: Level, now: float) -> None:
    """Close the intervals that end until now."""
    while now >= level.end:
        elapsed = level.end - level.last
        level.queue_area += level.queue * elapsed
        if level.calendar != NONE:
            first = calendar_of(w, level.calendar).first_boundary
            worked = boundary_of(w, first + level.interval).value
            _integrate_open(level, worked)
        level.last = level.end
        _close(w, number, level)
        level.end = (level.interval + 1) * w.interval_s


@kernel
def _integrate_now(w: World, level: Level) -> None:
    elapsed = w.now - level.last
    if elapsed > 0.0:
        level.queue_area += level.queue * elapsed
        if level.calendar != NONE:
            _integrate_open(level, worked_now(w, level.calendar))
        level.last = w.now


@kernel
def _integrate_open(level: Level, worked: float) -> None:
    """Integrate over open time up to so much of it."""
    elapsed = worked - level.worked
    level.busy_area += level.busy * elapsed
    level.capacity_area += level.capacity * elapsed
    level.worked = worked


@kernel
def _close(w: World, number: int, level: Level) -> None:
    """Write the row of an interval and open the next."""
    row = level_row_of(w, number * w.n_intervals + level.interval)
    row.queue_area, row.busy_area = level.queue_area, level.busy_area
    row.capacity_area = level.capacity_area
    row.arrivals, row.departures = level.arrivals, level.departures
    if level.sync != NONE:
        head = sync_of(w, level.sync).head
        row.queue_max, row.age = level.queue_max, level.age
        if head != NONE:
            row.age = max(level.age, level.last - row_of(w, head).since)
        level.queue_max, level.age = level.queue, 0.0
    level.queue_area = level.busy_area = level.capacity_area = 0.0
    level.arrivals = level.departures = 0
    level.interval += 1
