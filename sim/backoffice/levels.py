"""Exact time integrals of the offices' stations, interval by interval.

A team, a state or a queue of rows calls :meth:`Level.advance` just before its numbers change;
between two changes they are constant, so the integrals are exact, not sampled. What officers do is
integrated over open time, what waits over the clock.
"""

import math
from array import array
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sim.backoffice.clock import OfficeClock
from sim.backoffice.outcomes import StationLevels
from sim.calendars import WorkingTime

_CAPACITY, _BUSY, _QUEUE, _ARRIVALS, _DEPARTURES, _QUEUE_MAX, _AGE = range(7)
_FIELDS = 7


def interval_ends(end_s: float, interval_s: float) -> list[float]:
    """Return the ends of the intervals of a run, s; the last ends with it."""
    n = math.ceil(end_s / interval_s)
    ends_s = [k * interval_s for k in range(1, n + 2)]
    return [at_s for at_s in ends_s if at_s < end_s] + [end_s]


class Intervals:
    """The intervals of a run, and how much each calendar has worked at their ends.

    Attributes
    ----------
    ends_s : list of float
        The intervals' ends, s, ascending; the last is the run's.
    """

    def __init__(self, end_s: float, interval_s: float) -> None:
        self.ends_s = interval_ends(end_s, interval_s)

    def worked(self, hours: WorkingTime) -> list[float]:
        """Return W at every end, s."""
        worked_s: list[float] = hours.worked_each(np.array(self.ends_s)).tolist()
        return worked_s


class Station:
    """The rows of one station; what adds up is the sum over its levels."""

    __slots__ = ("_is_staffed", "_name", "rows")

    def __init__(self, name: str, intervals: Intervals, *, is_staffed: bool = False) -> None:
        self._name = name
        self._is_staffed = is_staffed
        self.rows = array("d", bytes(8 * _FIELDS * len(intervals.ends_s)))

    def levels(self, intervals: Intervals) -> StationLevels:
        """Return its averages."""
        to_s = np.array(intervals.ends_s)
        from_s = np.append(0.0, to_s[:-1])
        columns = np.frombuffer(self.rows).reshape(-1, _FIELDS).T
        mean = columns[: _QUEUE + 1] / (to_s - from_s)
        unlimited = np.full(len(to_s), np.inf)
        return StationLevels(
            station=self._name,
            from_s=from_s,
            to_s=to_s,
            capacity=mean[_CAPACITY] if self._is_staffed else unlimited,
            busy=mean[_BUSY],
            queue=mean[_QUEUE],
            queue_max=columns[_QUEUE_MAX].copy(),
            queue_age_max_s=columns[_AGE].copy(),
            arrivals=_counts(columns[_ARRIVALS]),
            departures=_counts(columns[_DEPARTURES]),
        )


class Level:
    """What waits somewhere, and who works.

    Attributes
    ----------
    queue, busy, capacity : int
        Present values; changed after a call of :meth:`advance`.
    arrivals, departures : int
        Counts of the present interval.
    """

    __slots__ = (
        "_busy_area",
        "_capacity_area",
        "_end",
        "_ends",
        "_interval",
        "_last",
        "_queue_area",
        "_stations",
        "_worked",
        "_worked_at",
        "_worked_at_ends",
        "arrivals",
        "busy",
        "capacity",
        "departures",
        "queue",
    )

    def __init__(
        self,
        intervals: Intervals,
        stations: Sequence[Station],
        clock: OfficeClock | None = None,
        worked_at_ends: Sequence[float] = (),
    ) -> None:
        self.queue = self.busy = self.capacity = 0
        self.arrivals = self.departures = 0
        self._stations = tuple(station.rows for station in stations)
        self._ends = intervals.ends_s
        self._interval = 0
        self._end = self._ends[0]
        self._last = 0.0
        self._queue_area = self._busy_area = self._capacity_area = 0.0
        self._worked_at: Callable[[float], float] | None = None
        self._worked_at_ends = worked_at_ends
        self._worked = 0.0
        if clock is not None:
            self._worked_at = clock.worked
            self._worked = clock.worked(0.0)

    def advance(self, now: float) -> None:
        """Integrate up to now with the present values."""
        if now >= self._end:
            self._roll(now)
        if now > self._last:
            self._queue_area += self.queue * (now - self._last)
            self._last = now
            if self._worked_at is not None:
                self._integrate_open(self._worked_at(now))

    def close(self, now: float) -> None:
        """End the run, and with it the last interval."""
        self.advance(now)

    def _roll(self, now: float) -> None:
        """Close the intervals that end until now."""
        while now >= self._end:
            self._queue_area += self.queue * (self._end - self._last)
            self._last = self._end
            if self._worked_at is not None:
                self._integrate_open(self._worked_at_ends[self._interval])
            self._write(self._interval * _FIELDS)
            self._queue_area = self._busy_area = self._capacity_area = 0.0
            self.arrivals = self.departures = 0
            self._interval += 1
            is_last = self._interval == len(self._ends)
            self._end = math.inf if is_last else self._ends[self._interval]

    def _integrate_open(self, worked_s: float) -> None:
        """Integrate over open time up to so much of it."""
        elapsed_s = worked_s - self._worked
        self._busy_area += self.busy * elapsed_s
        self._capacity_area += self.capacity * elapsed_s
        self._worked = worked_s

    def _write(self, at: int) -> None:
        """Add the interval to the rows of the stations."""
        for rows in self._stations:
            rows[at + _CAPACITY] += self._capacity_area
            rows[at + _BUSY] += self._busy_area
            rows[at + _QUEUE] += self._queue_area
            rows[at + _ARRIVALS] += self.arrivals
            rows[at + _DEPARTURES] += self.departures


class RowLevel(Level):
    """Of a queue of rows also how long it was at most, and how old its first row."""

    __slots__ = ("_age", "_queue_max", "head_since")

    def __init__(self, intervals: Intervals, station: Station) -> None:
        super().__init__(intervals, [station])
        self._age = 0.0
        self._queue_max = 0
        self.head_since: Callable[[], float | None] = lambda: None

    def join(self, now: float) -> None:
        """One row more."""
        self.advance(now)
        self.queue += 1
        self.arrivals += 1
        self._queue_max = max(self._queue_max, self.queue)

    def leave(self, now: float, since: float) -> None:
        """One row fewer, which was first queued at ``since``."""
        self.advance(now)
        self.queue -= 1
        self._age = max(self._age, now - since)

    def _write(self, at: int) -> None:
        super()._write(at)
        since = self.head_since()
        age = self._age if since is None else max(self._age, self._last - since)
        for rows in self._stations:
            rows[at + _QUEUE_MAX] = self._queue_max
            rows[at + _AGE] = age
        self._queue_max, self._age = self.queue, 0.0


def _counts(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return values.astype(np.int64)
