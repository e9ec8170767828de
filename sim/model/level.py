"""Exact time integrals of one station: utilisation and queue length per interval.

A station calls :meth:`Level.advance` just before it changes ``busy``, ``queue`` or ``capacity``;
between two changes all three are constant, so the integrals are exact, not sampled.
"""

from collections.abc import Callable

Head = Callable[[], float | None]

_QUEUE_MAX = 5
"""Position of the longest queue in a row."""


class Level:
    """What one station's servers and queue were doing, interval by interval.

    Attributes
    ----------
    busy, queue, capacity : float
        Present values; the station changes them after calling :meth:`advance`.
    rows : list of tuple
        Closed intervals: (from_s, to_s, capacity area, busy area, queue area, queue max,
        oldest age, arrivals, departures).
    """

    __slots__ = (
        "_age",
        "_arrivals",
        "_busy_area",
        "_capacity_area",
        "_departures",
        "_end",
        "_interval_s",
        "_last",
        "_queue_area",
        "_queue_max",
        "_start",
        "arrivals",
        "busy",
        "busy_total",
        "capacity",
        "capacity_total",
        "departures",
        "head_since",
        "name",
        "queue",
        "rows",
    )

    def __init__(self, name: str, interval_s: float, capacity: float) -> None:
        self.name = name
        self.busy = 0.0
        self.queue: float = 0
        self.capacity = capacity
        self.arrivals = 0
        self.departures = 0
        self.busy_total = 0.0
        self.capacity_total = 0.0
        self.head_since: Head = _no_head
        self.rows: list[tuple[float, ...]] = []
        self._interval_s = interval_s
        self._last = 0.0
        self._queue_max: float = 0
        self._age = 0.0
        self._open(0.0)

    def advance(self, now: float) -> None:
        """Integrate up to now with the present values."""
        if now >= self._end:
            self._roll(now)
        elapsed = now - self._last
        if elapsed > 0.0:
            # Written out, as in _roll: this runs at every change of every station.
            self._busy_area += self.busy * elapsed
            self._queue_area += self.queue * elapsed
            self._capacity_area += self.capacity * elapsed
            self._last = now

    def join(self, now: float) -> None:
        """One more in the queue."""
        self.advance(now)
        self.queue += 1
        if self.queue > self._queue_max:
            self._queue_max = self.queue

    def leave(self, now: float, since: float) -> None:
        """One fewer in the queue, who waited since then."""
        self.advance(now)
        self.queue -= 1
        if now - since > self._age:
            self._age = now - since

    def set_queue(self, queue: float) -> None:
        """Change the queue's length directly; for stations without turns."""
        self.queue = queue
        if queue > self._queue_max:
            self._queue_max = queue

    def close(self, now: float) -> None:
        """End the last interval now; what happened at its very end belongs to it."""
        self.advance(now)
        if now > self._start:
            self._close_interval(now)
        elif self.rows:
            *row, arrivals, departures = self.rows[-1]
            row[_QUEUE_MAX] = max(row[_QUEUE_MAX], float(self._queue_max))
            arrivals += self.arrivals - self._arrivals
            departures += self.departures - self._departures
            self.rows[-1] = (*row, arrivals, departures)

    def _roll(self, now: float) -> None:
        while now >= self._end:
            end = self._end
            elapsed = end - self._last
            self._busy_area += self.busy * elapsed
            self._queue_area += self.queue * elapsed
            self._capacity_area += self.capacity * elapsed
            self._last = end
            self._close_interval(end)
            self._open(end)

    def _open(self, start: float) -> None:
        self._start = start
        self._end = (round(start / self._interval_s) + 1) * self._interval_s
        self._busy_area = self._queue_area = self._capacity_area = 0.0
        self._queue_max = self.queue
        self._age = 0.0
        self._arrivals, self._departures = self.arrivals, self.departures

    def _close_interval(self, end: float) -> None:
        since = self.head_since()
        age = self._age if since is None else max(self._age, end - since)
        self.busy_total += self._busy_area
        self.capacity_total += self._capacity_area
        self.rows.append(
            (
                self._start,
                end,
                self._capacity_area,
                self._busy_area,
                self._queue_area,
                float(self._queue_max),
                age,
                float(self.arrivals - self._arrivals),
                float(self.departures - self._departures),
            )
        )

    def areas(self, now: float) -> tuple[float, float]:
        """Return the integrals of busy and of capacity from the start until now."""
        self.advance(now)
        return self.busy_total + self._busy_area, self.capacity_total + self._capacity_area


def _no_head() -> None:
    return None
