"""Days, opening hours and working time; ``law`` counts the law's terms in it."""

from sim.calendars.days import DayKind, day_kind, days_of, days_touched
from sim.calendars.office import Half, Hours, OfficeCalendar
from sim.calendars.working_time import WorkingTime

__all__ = [
    "DayKind",
    "Half",
    "Hours",
    "OfficeCalendar",
    "WorkingTime",
    "day_kind",
    "days_of",
    "days_touched",
]
