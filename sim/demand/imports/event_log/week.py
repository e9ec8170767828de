"""Hours of the week in which people work, learned from when they completed things.

Learned hours are a rule of counts, not of law: an hour counts as worked where events are not rare.
Moments are s since 1970 on the clock of the place, in arrays: a log has millions of them.
"""

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sim.calendars import OfficeCalendar, WorkingTime
from sim.demand.imports.event_log.log import DAY_S, EPOCH, HOUR_S
from sim.demand.imports.shapes import HOURS_PER_DAY

WEEK_H = 168
_MONDAY_S = 4 * DAY_S
"""The first Monday after 1 January 1970, a Thursday."""
_WEEK_S = 7 * DAY_S
_STRETCH_S = 200.0 * DAY_S
"""Clocks begin and end at multiples of it, so that they are shared."""

RARE_SHARE = 0.1
"""An hour is not worked where it holds less than this share of a busy hour's events."""

MIN_EVENTS_OF_ITS_OWN = 200
"""A resource with fewer events gets the office's hours: 40 hours a week, 5 events each."""

MIN_EVENTS_OF_THE_CELLS = 1000
"""With fewer events the days and the hours are learned apart, not each hour of each day."""

_SURELY_OPEN_CASES = 7.0
"""A day on which no case moved is free where so many were to be expected: chance has e^-7."""
_WEEKS_AROUND = 4
_LONGEST_LOG_DAYS = 36_525
"""A log that spans more than a century has wrong dates: no free day can be told from it."""


@dataclass(frozen=True, slots=True)
class WorkedWeek:
    """Worked hours of a week, and free days.

    Attributes
    ----------
    is_worked : tuple of bool
        168 hours, Monday midnight first; at least one is worked.
    free_days : tuple of int
        Days off, days since 1970, sorted.
    """

    is_worked: tuple[bool, ...]
    free_days: tuple[int, ...] = ()

    @property
    def hours_per_week(self) -> int:
        """Worked hours of a week without free days."""
        return sum(self.is_worked)

    def calendar(self) -> OfficeCalendar:
        """Return the hours as an office's calendar."""
        hours = {
            day: tuple((dt.time(first), _closing(last)) for first, last in spans)
            for day, spans in self.spans().items()
        }
        origin = EPOCH.toordinal()
        return OfficeCalendar(
            holidays=frozenset(dt.date.fromordinal(origin + day) for day in self.free_days),
            weekdays=frozenset(hours),
            hours_of_weekday=hours,
        )

    def clock(self, from_s: float, to_s: float) -> "WorkingClock":
        """Return the clock that runs only in these hours, over a stretch that holds both moments.

        Parameters
        ----------
        from_s, to_s : float
            The moments, s since 1970.
        """
        first, last = int(from_s // _STRETCH_S), int(to_s // _STRETCH_S) + 1
        return _clock(self, first, last)

    def spans(self) -> dict[int, list[tuple[int, int]]]:
        """Return the worked spans (from hour, to hour) of each worked weekday, Monday 0."""
        found: dict[int, list[tuple[int, int]]] = {}
        for day in range(7):
            worked = np.array([False, *self.is_worked[24 * day : 24 * day + 24], False])
            edges = np.flatnonzero(worked[1:] != worked[:-1]).tolist()
            if edges:
                found[day] = list(zip(edges[::2], edges[1::2], strict=True))
        return found

    def text(self) -> str:
        """Return the hours for people."""
        by_text: dict[str, list[str]] = {}
        names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
        for day, spans in self.spans().items():
            text = ", ".join(f"{first}–{last} h" for first, last in spans)
            by_text.setdefault(text, []).append(names[day])
        return "; ".join(f"{' '.join(days)} {text}" for text, days in by_text.items())


class WorkingClock:
    """Working time between moments and after them, over a stretch of time.

    Moments outside the stretch count as its ends.

    Parameters
    ----------
    worked : WorkingTime
        The open time, in s since 1970.
    """

    def __init__(self, worked: WorkingTime) -> None:
        self._worked = worked
        ends = worked.worked_each(np.array([worked.to_s]))
        self._total_s = float(ends[0])

    def between_s(
        self, from_s: NDArray[np.float64], to_s: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the working time between moments, s, >= 0.

        What both begins and ends outside the hours, within one hour, has its own duration:
        overtime is work.
        """
        worked = self._worked.between_each(self._clipped(from_s), self._clipped(to_s))
        elapsed = np.maximum(to_s - from_s, 0.0)
        in_overtime = (worked <= 0) & (elapsed < HOUR_S)
        result: NDArray[np.float64] = np.where(in_overtime, elapsed, np.maximum(worked, 0.0))
        return result

    def after(
        self, from_s: NDArray[np.float64], work_s: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the moments some working time after others, never before them."""
        passed = self._worked.worked_each(self._clipped(from_s)) + work_s
        later_s = self._worked.time_each(np.minimum(passed, self._total_s))
        later_s[passed > self._total_s] = self._worked.to_s
        result: NDArray[np.float64] = np.maximum(later_s, from_s)
        return result

    def _clipped(self, at_s: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(at_s, self._worked.from_s, self._worked.to_s)


@lru_cache(maxsize=256)
def _clock(week: WorkedWeek, first: int, last: int) -> WorkingClock:
    stretch = (first * _STRETCH_S, last * _STRETCH_S)
    return WorkingClock(WorkingTime.of(week.calendar(), EPOCH, *stretch))


def _closing(hour: int) -> dt.time:
    """Return the end of a span; a day's last moment stands for midnight."""
    return dt.time(hour) if hour < HOURS_PER_DAY else dt.time.max


def hour_of_week(at_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the hour of the week, Monday midnight 0, of moments in s since 1970."""
    result: NDArray[np.int64] = ((at_s - _MONDAY_S) % _WEEK_S // HOUR_S).astype(np.int64)
    return result


def learn_week(at_s: NDArray[np.float64], case: NDArray[np.int32]) -> WorkedWeek:
    """Learn the worked hours and the free days from the moments of events.

    Parameters
    ----------
    at_s, case : NDArray, shape (n,)
        When events were completed and of which case, n > 0.

    Returns
    -------
    WorkedWeek
        Weekdays and hours of the day are learned apart where a single hour of the week has too
        few events to tell; free days are those on which no case moved although many were to be
        expected from the weeks around.
    """
    counts = np.bincount(hour_of_week(at_s), minlength=WEEK_H).astype(np.float64).reshape(7, 24)
    days_worked, hours_worked = _not_rare(counts.sum(axis=1)), _not_rare(counts.sum(axis=0))
    worked = days_worked[:, np.newaxis] & hours_worked
    if len(at_s) >= MIN_EVENTS_OF_THE_CELLS:
        worked = _not_rare(counts.ravel()).reshape(7, 24)
    day = (at_s // DAY_S).astype(np.int64)
    first = int(day.min())
    span = int(day.max()) - first + 1
    once = np.unique(case.astype(np.int64) * span + (day - first))
    free = _free_days(first + once % span, np.logical_or.reduce(worked, axis=1))
    return WorkedWeek(tuple(worked.ravel().tolist()), free)


def learn_weeks(
    at_s: NDArray[np.float64],
    case: NDArray[np.int32],
    who: NDArray[np.int32],
    n_who: int,
    office: WorkedWeek,
) -> dict[int, WorkedWeek]:
    """Learn the hours of everyone who has enough events; free days are the office's.

    Parameters
    ----------
    at_s, case, who : NDArray, shape (n,)
        When events were completed, of which case and by whom; -1: nobody.
    n_who : int
        Number of people or groups.
    office : WorkedWeek
        The hours of all.

    Returns
    -------
    dict
        Person or group to hours; who is absent works the office's.
    """
    n_of = np.bincount(who[who >= 0], minlength=n_who)
    weeks = {}
    for one in np.flatnonzero(n_of >= MIN_EVENTS_OF_ITS_OWN).tolist():
        own = who == one
        week = learn_week(at_s[own], case[own])
        weeks[one] = WorkedWeek(week.is_worked, office.free_days)
    return weeks


def _not_rare(counts: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which cells hold a fair share of what the busiest, that hold half of all, hold."""
    ordered = np.sort(counts)[::-1]
    n_busy = int(np.searchsorted(np.cumsum(ordered), counts.sum() / 2)) + 1
    result: NDArray[np.bool_] = counts >= RARE_SHARE * ordered[:n_busy].mean()
    return result


def _free_days(days: NDArray[np.int64], is_workday: NDArray[np.bool_]) -> tuple[int, ...]:
    """Return workdays on which nothing moved; ``days`` has one entry per case and day."""
    present, n_of = np.unique(days, return_counts=True)
    first, last = int(present[0]), int(present[-1])
    if last - first > _LONGEST_LOG_DAYS:
        return ()
    n_weeks = (last - first) // 7 + 1
    counts = np.zeros(7 * n_weeks)
    counts[present - first] = n_of
    by_week = counts.reshape(n_weeks, 7)
    sums = np.concatenate((np.zeros((1, 7)), np.cumsum(by_week, axis=0)))
    week = np.arange(n_weeks)
    low, high = np.maximum(week - _WEEKS_AROUND, 0), np.minimum(week + _WEEKS_AROUND + 1, n_weeks)
    expected = ((sums[high] - sums[low]) / (high - low)[:, np.newaxis]).ravel()
    every = first + np.arange(7 * n_weeks)
    is_free = (counts == 0) & (expected >= _SURELY_OPEN_CASES) & is_workday[(every + 3) % 7]
    return tuple(every[is_free & (every <= last)].tolist())
