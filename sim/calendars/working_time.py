"""Working time: the clock of offices, which stands still while they are closed."""

import datetime as dt
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sim.calendars.days import days_touched
from sim.calendars.office import OfficeCalendar

Floats = NDArray[np.float64]

DAY_S = 86400.0


@dataclass(frozen=True, slots=True, eq=False)
class WorkingTime:
    """The open time of one calendar over a stretch of time.

    Times are in s from an origin, a naive local datetime. With whole seconds every result is
    exact. Beyond the stretch all methods raise ValueError. A span contains its opening, not its
    closing.

    Attributes
    ----------
    opens_s, closes_s : NDArray, shape (n_spans,), n_spans > 0
        The spans, in order, within the stretch.
    worked_s : NDArray, shape (n_spans,)
        Working time from the stretch's start to each opening:
        ``worked_s[0] = 0``, ``worked_s[k + 1] = worked_s[k] + (closes_s[k] - opens_s[k])``.
    from_s, to_s : float
        The stretch.
    midnight_s : float
        When the origin's day began, <= 0.

    Notes
    -----
    A compiled twin repeats these float64 expressions, in this order, ``left`` and ``right`` being
    ``bisect_left`` and ``bisect_right``:

    * ``worked(t)``: ``k = right(opens_s, t) - 1``; ``0`` when ``k < 0``, else
      ``worked_s[k] + (min(t, closes_s[k]) - opens_s[k])``.
    * ``time(w)``: ``k = left(worked_s, w) - 1``; ``from_s`` when ``k < 0``, else
      ``min(opens_s[k] + (w - worked_s[k]), closes_s[k])``.
    * ``add(t, work)``: ``k = right(opens_s, t) - 1``; ``t + work`` when ``k >= 0`` and
      ``t + work <= closes_s[k]``, else ``max(t, time(worked(t) + work))``.
    * ``between(a, b)``: ``worked(b) - worked(a)``.
    * ``is_open(t)``: ``k = right(opens_s, t) - 1``; ``k >= 0 and t < closes_s[k]``.
    * ``next_opening(t)``: ``t`` when open, else ``opens_s[k + 1]``.
    * ``next_day_opening(t)``: ``opens_s[left(opens_s, midnight)]`` with
      ``midnight = midnight_s + (floor((t - midnight_s) / 86400) + 1) * 86400``.
    """

    opens_s: Floats
    closes_s: Floats
    worked_s: Floats
    from_s: float
    to_s: float
    midnight_s: float
    _opens: list[float] = field(init=False, repr=False)
    _closes: list[float] = field(init=False, repr=False)
    _worked: list[float] = field(init=False, repr=False)
    _total_s: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Keep Python's floats beside the arrays: one number at a time they are far quicker."""
        object.__setattr__(self, "_opens", self.opens_s.tolist())
        object.__setattr__(self, "_closes", self.closes_s.tolist())
        object.__setattr__(self, "_worked", self.worked_s.tolist())
        total_s = self._worked[-1] + (self._closes[-1] - self._opens[-1])
        object.__setattr__(self, "_total_s", total_s)

    @classmethod
    def of(cls, calendar: OfficeCalendar, origin: dt.datetime, from_s: float, to_s: float) -> Self:
        """Return the open time of a calendar over a stretch.

        Parameters
        ----------
        calendar : OfficeCalendar
            When the office is open.
        origin : datetime
            Local time at 0 s, such as the start of a scenario's window.
        from_s, to_s : float
            The stretch, s from the origin, ``from_s < to_s``; ``from_s`` may be negative.

        Raises
        ------
        ValueError
            When the office is never open within the stretch.
        """
        start = origin + dt.timedelta(seconds=from_s)
        spans = [
            (max(opens_s, from_s), min(closes_s, to_s))
            for day in days_touched(start, to_s - from_s)
            for opens_s, closes_s in _spans_on(calendar, day, origin)
            if opens_s < to_s and closes_s > from_s
        ]
        if not spans:
            end = origin + dt.timedelta(seconds=to_s)
            raise ValueError(
                f"the calendar has no working time between {start:%Y-%m-%d %H:%M} "
                f"and {end:%Y-%m-%d %H:%M}"
            )
        opens, closes = np.array(spans, dtype=np.float64).T.copy()
        worked = np.concatenate([[0.0], np.cumsum(closes - opens)[:-1]])
        midnight = dt.datetime.combine(origin.date(), dt.time(), origin.tzinfo)
        return cls(opens, closes, worked, from_s, to_s, (midnight - origin).total_seconds())

    def worked(self, t_s: float) -> float:
        """Return the working time from the stretch's start to ``t_s``, s."""
        if not self.from_s <= t_s <= self.to_s:
            raise ValueError(self._outside(t_s))
        k = bisect_right(self._opens, t_s) - 1
        if k < 0:
            return 0.0
        closes_s = self._closes[k]
        return self._worked[k] + ((t_s if t_s < closes_s else closes_s) - self._opens[k])

    def time(self, worked_s: float) -> float:
        """Return the earliest time at which so much is worked, s.

        What ends exactly at closing ends then, not at the next opening, and rounding does not
        carry it further.
        """
        if not 0 <= worked_s <= self._total_s:
            raise ValueError(self._exceeded(worked_s))
        k = bisect_left(self._worked, worked_s) - 1
        if k < 0:
            return self.from_s
        t_s, closes_s = self._opens[k] + (worked_s - self._worked[k]), self._closes[k]
        return t_s if t_s < closes_s else closes_s

    def add(self, t_s: float, work_s: float) -> float:
        """Return when work begun at ``t_s`` ends, s, never before ``t_s``.

        Within one span that is ``t_s + work_s``, to the last bit. No work ends at once, even
        while closed.

        Parameters
        ----------
        t_s : float
            Begin; while closed, nothing is done until the next opening.
        work_s : float
            Working time, s, >= 0.
        """
        k = bisect_right(self._opens, t_s) - 1
        end_s = t_s + work_s
        if k >= 0 and end_s <= self._closes[k]:
            return end_s
        end_s = self.time(self.worked(t_s) + work_s)
        return end_s if end_s > t_s else t_s

    def between(self, begin_s: float, end_s: float) -> float:
        """Return the working time from one time to another, s; negative when it is earlier."""
        return self.worked(end_s) - self.worked(begin_s)

    def is_open(self, t_s: float) -> bool:
        """Say whether the office is open: at an opening it is, at a closing not."""
        if not self.from_s <= t_s <= self.to_s:
            raise ValueError(self._outside(t_s))
        k = bisect_right(self._opens, t_s) - 1
        return k >= 0 and t_s < self._closes[k]

    def next_opening(self, t_s: float) -> float:
        """Return ``t_s`` when the office is open then, else the next opening, s."""
        if not self.from_s <= t_s <= self.to_s:
            raise ValueError(self._outside(t_s))
        k = bisect_right(self._opens, t_s)
        if k > 0 and t_s < self._closes[k - 1]:
            return t_s
        if k == len(self._opens):
            raise ValueError(self._never_again(t_s))
        return self._opens[k]

    def next_day_opening(self, t_s: float) -> float:
        """Return the first opening after the day of ``t_s``, s."""
        days = (t_s - self.midnight_s) // DAY_S + 1
        k = bisect_left(self._opens, self.midnight_s + days * DAY_S)
        if k == len(self._opens):
            raise ValueError(self._never_again(t_s))
        return self._opens[k]

    def time_of_day(self, t_s: float) -> float:
        """Return the time of day, s since midnight, in [0, 86400)."""
        return (t_s - self.midnight_s) % DAY_S

    def worked_each(self, t_s: Floats) -> Floats:
        """Return ``worked`` of each time, s."""
        self._check_each(t_s)
        k = np.searchsorted(self.opens_s, t_s, side="right") - 1
        at = np.maximum(k, 0)
        worked_s = self.worked_s[at] + (np.minimum(t_s, self.closes_s[at]) - self.opens_s[at])
        return np.where(k < 0, 0.0, worked_s)

    def time_each(self, worked_s: Floats) -> Floats:
        """Return ``time`` of each working time, s."""
        bad = ~((worked_s >= 0) & (worked_s <= self._total_s))
        if bad.any():
            raise ValueError(self._exceeded(float(worked_s[bad][0])))
        k = np.searchsorted(self.worked_s, worked_s, side="left") - 1
        at = np.maximum(k, 0)
        t_s = np.minimum(self.opens_s[at] + (worked_s - self.worked_s[at]), self.closes_s[at])
        return np.where(k < 0, self.from_s, t_s)

    def add_each(self, t_s: Floats, work_s: Floats) -> Floats:
        """Return ``add`` of each pair of a time and a working time, s; same shapes."""
        k = np.searchsorted(self.opens_s, t_s, side="right") - 1
        end_s = t_s + work_s
        later = ~((k >= 0) & (end_s <= self.closes_s[np.maximum(k, 0)]))
        t_s, work_s = t_s[later], work_s[later]
        end_s[later] = np.maximum(t_s, self.time_each(self.worked_each(t_s) + work_s))
        return end_s

    def between_each(self, begin_s: Floats, end_s: Floats) -> Floats:
        """Return ``between`` of each pair of times, s."""
        return self.worked_each(end_s) - self.worked_each(begin_s)

    def is_open_each(self, t_s: Floats) -> NDArray[np.bool_]:
        """Say of each time whether the office is open."""
        self._check_each(t_s)
        k = np.searchsorted(self.opens_s, t_s, side="right") - 1
        return (k >= 0) & (t_s < self.closes_s[np.maximum(k, 0)])

    def next_opening_each(self, t_s: Floats) -> Floats:
        """Return ``next_opening`` of each time, s."""
        is_open = self.is_open_each(t_s)
        k = np.searchsorted(self.opens_s, t_s, side="right")
        never = ~is_open & (k == len(self.opens_s))
        if never.any():
            raise ValueError(self._never_again(float(t_s[never][0])))
        return np.where(is_open, t_s, self.opens_s[np.minimum(k, len(self.opens_s) - 1)])

    def _check_each(self, t_s: Floats) -> None:
        bad = ~((t_s >= self.from_s) & (t_s <= self.to_s))
        if bad.any():
            raise ValueError(self._outside(float(t_s[bad][0])))

    def _stretch(self) -> str:
        return f"the calendar's stretch from {self.from_s:.10g} s to {self.to_s:.10g} s"

    def _outside(self, t_s: float) -> str:
        return f"{t_s:.10g} s lies outside {self._stretch()}"

    def _exceeded(self, worked_s: float) -> str:
        return (
            f"{worked_s:.10g} s of working time do not lie within {self._stretch()}, "
            f"which has {self._total_s:.10g} s"
        )

    def _never_again(self, t_s: float) -> str:
        return f"no opening after {t_s:.10g} s within {self._stretch()}"


def _spans_on(
    calendar: OfficeCalendar, day: dt.date, origin: dt.datetime
) -> list[tuple[float, float]]:
    """Return the opening and closing times of a day, s from the origin."""
    return [
        (
            (dt.datetime.combine(day, opens, origin.tzinfo) - origin).total_seconds(),
            (dt.datetime.combine(day, closes, origin.tzinfo) - origin).total_seconds(),
        )
        for opens, closes in calendar.hours_on(day)
    ]
