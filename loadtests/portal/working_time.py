"""Working-time arithmetic of due dates: hours are counted only while offices are open."""

import datetime as dt
from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from sim.calendars import day_kind

HOURS_PER_WORKING_DAY = 8
"""# source: OpenCPS counts a working day as eight hours, decree 61/2018 likewise."""

OFFICE_HOURS = (
    (dt.time(7, 30), dt.time(11, 30)),
    (dt.time(13, 0), dt.time(17, 0)),
)
"""Opening hours of a working day. # source: default day of OpenCPS."""

SEARCH_LIMIT_DAYS = 3600
"""After so many days without enough open hours a calendar is wrong (OpenCPS gives up after 360)."""

DURATION_DAYS = 0
"""Unit of a duration: working days."""
DURATION_HOURS = 1
"""Unit of a duration: working hours."""


@dataclass(frozen=True, slots=True)
class OfficeCalendar:
    """When offices are open.

    Attributes
    ----------
    holidays : container of date
        Days off.
    working_weekends : container of date
        Weekend days that are worked.
    hours : tuple of (time, time)
        Opening hours of a working day, in order, not overlapping.
    """

    holidays: Container[dt.date] = frozenset()
    working_weekends: Container[dt.date] = frozenset()
    hours: tuple[tuple[dt.time, dt.time], ...] = field(default=OFFICE_HOURS)

    def open_spans(self, start: dt.datetime) -> Iterator[tuple[dt.datetime, dt.datetime]]:
        """Yield stretches of open time from ``start`` on, in order, for ten years at most."""
        for offset in range(SEARCH_LIMIT_DAYS):
            day = start.date() + dt.timedelta(days=offset)
            if day_kind(day, self.holidays, self.working_weekends) != "working_day":
                continue
            for opens, closes in self.hours:
                begin = max(start, dt.datetime.combine(day, opens, start.tzinfo))
                end = dt.datetime.combine(day, closes, start.tzinfo)
                if begin < end:
                    yield begin, end


def due_date(calendar: OfficeCalendar, start: dt.datetime, working_hours: float) -> dt.datetime:
    """Return when ``working_hours`` of open time have passed since ``start``.

    A start outside opening hours counts from the next opening. A duration that ends exactly at
    closing time is due then, not at the next opening.

    Parameters
    ----------
    calendar : OfficeCalendar
        When offices are open.
    start : datetime
        Reception, local time.
    working_hours : float
        Duration, working hours, >= 0.

    Raises
    ------
    ValueError
        When the calendar does not hold that many open hours within ten years.
    """
    remaining = dt.timedelta(hours=working_hours)
    for begin, end in calendar.open_spans(start):
        if remaining <= end - begin:
            return begin + remaining
        remaining -= end - begin
    raise ValueError(f"the calendar has no {working_hours:g} open hours after {start}")


def working_hours_between(calendar: OfficeCalendar, start: dt.datetime, end: dt.datetime) -> float:
    """Return the open hours from ``start`` to ``end``; 0 when ``end`` is not later."""
    total = dt.timedelta()
    for begin, closes in calendar.open_spans(start):
        if begin >= end:
            break
        total += min(closes, end) - begin
    return total / dt.timedelta(hours=1)


def duration_hours(count: float, unit: int) -> float:
    """Return a duration in working hours.

    Parameters
    ----------
    count : float
        Amount, >= 0.
    unit : int
        ``DURATION_DAYS`` or ``DURATION_HOURS``.
    """
    return count * HOURS_PER_WORKING_DAY if unit == DURATION_DAYS else count
