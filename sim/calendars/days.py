"""Days: which are worked, which are free. Pure functions of dates."""

import datetime as dt
from collections.abc import Container
from typing import Literal

DayKind = Literal["working_day", "weekend", "holiday"]

SATURDAY = 5
"""First day of the weekend, as ``date.weekday()`` counts."""


def day_kind(
    day: dt.date, holidays: Container[dt.date], working_weekends: Container[dt.date]
) -> DayKind:
    """Return what kind of day it is; a holiday is one even at a weekend.

    Parameters
    ----------
    day : date
        The day.
    holidays : container of date
        Days off although they may fall on a working day.
    working_weekends : container of date
        Weekend days that are worked, in exchange for a day off elsewhere.
    """
    if day in holidays:
        return "holiday"
    if day.weekday() >= SATURDAY and day not in working_weekends:
        return "weekend"
    return "working_day"


def days_of(year: int) -> tuple[dt.date, ...]:
    """Return every day of a calendar year, in order."""
    first = dt.date(year, 1, 1)
    count = (dt.date(year, 12, 31) - first).days + 1
    return tuple(first + dt.timedelta(days=i) for i in range(count))


def days_touched(start: dt.datetime, duration_s: float) -> tuple[dt.date, ...]:
    """Return the days a stretch of time touches, in order.

    Parameters
    ----------
    start : datetime
        Local start.
    duration_s : float
        Length in s, > 0; a stretch that ends at midnight does not touch the next day.
    """
    last = start + dt.timedelta(seconds=duration_s) - dt.timedelta.resolution
    count = (last.date() - start.date()).days + 1
    return tuple(start.date() + dt.timedelta(days=i) for i in range(count))
