"""When an office is open."""

import datetime as dt
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Hours = tuple[tuple[dt.time, dt.time], ...]
"""Opening and closing times of a day, in order, not overlapping."""

Half = Literal["morning", "afternoon"]

OFFICE_HOURS: Hours = (
    (dt.time(7, 30), dt.time(11, 30)),
    (dt.time(13, 0), dt.time(17, 0)),
)
"""Opening hours of a working day. # source: default day of OpenCPS."""

MONDAY = 0
MONDAY_TO_FRIDAY = frozenset(range(5))

_NOON = dt.time(12, 0)
_SEARCH_LIMIT_DAYS = 3600
"""After so many days without enough open hours a calendar is wrong (OpenCPS gives up after 360)."""


@dataclass(frozen=True, slots=True)
class OfficeCalendar:
    """When an office is open.

    Attributes
    ----------
    holidays : container of date
        Days off.
    working_weekends : container of date
        Days worked although their weekday is not, with Monday's hours (as in OpenCPS).
    half_days : mapping of date to {"morning", "afternoon"}
        The half, before or after noon, that is worked on a day that otherwise is a working day.
    hours : tuple of (time, time)
        Opening hours of a working day, in order, not overlapping.
    weekdays : frozenset of int
        Worked weekdays, Monday 0.
    hours_of_weekday : mapping of int to tuple of (time, time)
        Opening hours of weekdays where they are not ``hours``: a Saturday morning, say.
    """

    holidays: Container[dt.date] = frozenset()
    working_weekends: Container[dt.date] = frozenset()
    half_days: Mapping[dt.date, Half] = field(default_factory=dict)
    hours: Hours = OFFICE_HOURS
    weekdays: frozenset[int] = MONDAY_TO_FRIDAY
    hours_of_weekday: Mapping[int, Hours] = field(default_factory=dict)

    def hours_on(self, day: dt.date) -> Hours:
        """Return the opening hours of a day, in order; none on a day off."""
        if day in self.holidays:
            return ()
        if day in self.working_weekends:
            hours = self.hours_of_weekday.get(MONDAY, self.hours)
        elif day.weekday() in self.weekdays:
            hours = self.hours_of_weekday.get(day.weekday(), self.hours)
        else:
            return ()
        half = self.half_days.get(day)
        return hours if half is None else _half_of(hours, half)

    def open_spans(self, start: dt.datetime) -> Iterator[tuple[dt.datetime, dt.datetime]]:
        """Yield stretches of open time from ``start`` on, in order, for ten years at most."""
        for offset in range(_SEARCH_LIMIT_DAYS):
            day = start.date() + dt.timedelta(days=offset)
            for opens, closes in self.hours_on(day):
                begin = max(start, dt.datetime.combine(day, opens, start.tzinfo))
                end = dt.datetime.combine(day, closes, start.tzinfo)
                if begin < end:
                    yield begin, end


def _half_of(hours: Hours, half: Half) -> Hours:
    """Return the part of a day's hours before or after noon."""
    if half == "morning":
        return tuple((opens, min(closes, _NOON)) for opens, closes in hours if opens < _NOON)
    return tuple((max(opens, _NOON), closes) for opens, closes in hours if closes > _NOON)
