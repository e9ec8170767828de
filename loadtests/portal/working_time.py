"""Due dates of the stand-in: hours are counted only while offices are open."""

import datetime as dt

from sim.calendars import OfficeCalendar
from sim.scenario.quantities import HOURS_PER_WORKING_DAY

DURATION_DAYS = 0
"""Unit of a duration: working days."""
DURATION_HOURS = 1
"""Unit of a duration: working hours."""


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
