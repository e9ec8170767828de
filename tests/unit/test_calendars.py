"""Kinds of days, opening hours, and the calendars that are shipped."""

import datetime as dt
from pathlib import Path

import holidays
import pytest
import yaml

from sim.calendars import OfficeCalendar, day_kind, days_of, days_touched

TET = dt.date(2025, 1, 29)
TET_SUNDAY = dt.date(2025, 2, 2)
WORKED_SATURDAY = dt.date(2025, 4, 26)

MONDAY = dt.date(2025, 3, 3)
SATURDAY = dt.date(2025, 3, 8)
MORNING = (dt.time(7, 30), dt.time(11, 30))
AFTERNOON = (dt.time(13), dt.time(17))

CALENDARS = Path(__file__).parents[2] / "scenarios" / "calendars"


def shipped_calendar(year):
    text = (CALENDARS / f"vietnam-{year}.yaml").read_text("utf-8")
    return yaml.safe_load(text)["demand"]["calendar"]


@pytest.mark.parametrize(
    ("day", "kind"),
    [
        (dt.date(2025, 4, 25), "working_day"),
        (dt.date(2025, 4, 27), "weekend"),
        (WORKED_SATURDAY, "working_day"),
        (TET, "holiday"),
        (TET_SUNDAY, "holiday"),
    ],
)
def test_a_day_has_a_kind(day, kind):
    assert day_kind(day, {TET: "Tết", TET_SUNDAY: "Tết"}, {WORKED_SATURDAY}) == kind


def test_a_holiday_on_a_worked_weekend_is_a_holiday():
    assert day_kind(WORKED_SATURDAY, {WORKED_SATURDAY}, {WORKED_SATURDAY}) == "holiday"
    calendar = OfficeCalendar({WORKED_SATURDAY}, {WORKED_SATURDAY})
    assert calendar.hours_on(WORKED_SATURDAY) == ()


@pytest.mark.parametrize(("year", "count"), [(2023, 365), (2024, 366), (2100, 365)])
def test_a_year_has_all_its_days(year, count):
    days = days_of(year)
    assert (len(days), days[0], days[-1]) == (count, dt.date(year, 1, 1), dt.date(year, 12, 31))


@pytest.mark.parametrize(
    ("start", "duration_s", "count"),
    [
        ("2024-12-31T08:00", 3600, 1),
        ("2024-12-31T00:00", 86400, 1),
        ("2024-12-31T23:59:59", 1, 1),
        ("2024-12-31T23:59:59", 2, 2),
        ("2024-12-31T12:00", 2 * 86400, 3),
    ],
)
def test_a_window_touches_days(start, duration_s, count):
    days = days_touched(dt.datetime.fromisoformat(start), duration_s)
    assert days == tuple(dt.date(2024, 12, 31) + dt.timedelta(days=i) for i in range(count))


def test_an_office_is_open_on_the_days_of_its_kind():
    calendar = OfficeCalendar({TET}, {WORKED_SATURDAY})
    for day in days_of(2025):
        is_worked = day_kind(day, {TET}, {WORKED_SATURDAY}) == "working_day"
        assert calendar.hours_on(day) == ((MORNING, AFTERNOON) if is_worked else ())


def test_a_half_day_keeps_the_half_that_is_worked():
    tuesday, sunday = MONDAY + dt.timedelta(days=1), MONDAY - dt.timedelta(days=1)
    halves = {MONDAY: "morning", tuesday: "afternoon", sunday: "morning"}
    calendar = OfficeCalendar(half_days=halves)
    assert calendar.hours_on(MONDAY) == (MORNING,)
    assert calendar.hours_on(tuesday) == (AFTERNOON,)
    assert calendar.hours_on(sunday) == ()


def test_a_half_day_without_a_lunch_gap_is_cut_at_noon():
    through = ((dt.time(8), dt.time(16)),)
    for half, hours in (("morning", (8, 12)), ("afternoon", (12, 16))):
        calendar = OfficeCalendar(hours=through, half_days={MONDAY: half})
        assert calendar.hours_on(MONDAY) == (tuple(dt.time(hour) for hour in hours),)


def test_a_weekday_may_have_hours_of_its_own():
    calendar = OfficeCalendar(weekdays=frozenset(range(6)), hours_of_weekday={5: (MORNING,)})
    assert calendar.hours_on(SATURDAY) == (MORNING,)
    assert calendar.hours_on(MONDAY) == (MORNING, AFTERNOON)


def test_a_day_worked_in_exchange_has_mondays_hours():
    long_monday = ((dt.time(7), dt.time(18)),)
    calendar = OfficeCalendar((), {SATURDAY}, hours_of_weekday={0: long_monday, 5: (MORNING,)})
    assert calendar.hours_on(SATURDAY) == long_monday


def test_open_spans_begin_where_asked_and_pass_over_the_weekend():
    spans = OfficeCalendar().open_spans(dt.datetime.fromisoformat("2025-03-07T16:00"))
    found = [(begin.isoformat(), end.isoformat()) for begin, end in (next(spans), next(spans))]
    assert found == [
        ("2025-03-07T16:00:00", "2025-03-07T17:00:00"),
        ("2025-03-10T07:30:00", "2025-03-10T11:30:00"),
    ]


# What the library does not know: the exchange that dispatch 12729/VPCP-KGVX ordered late.
EXCHANGED_LATE = {2026: (dt.date(2026, 1, 2), dt.date(2026, 1, 10))}


@pytest.mark.parametrize("year", [2024, 2025, 2026])
def test_shipped_calendars_hold_the_published_days(year):
    shipped = shipped_calendar(year)
    published = holidays.country_holidays("VN", years=year)
    exchanged = EXCHANGED_LATE.get(year, ())

    off = {day for day in days_of(year) if day.weekday() < 5 and day in published}
    worked = {day for day in days_of(year) if day.weekday() >= 5 and published.is_working_day(day)}

    assert {day for day in shipped["holidays"] if day.weekday() < 5} == off | set(exchanged[:1])
    assert set(shipped["working_weekends"]) == worked | set(exchanged[1:])
    assert {day.year for day in shipped["holidays"]} == {year}


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2024-02-08", "2024-02-14"),
        ("2025-01-25", "2025-02-02"),
        ("2026-02-14", "2026-02-22"),
    ],
)
def test_tet_is_one_break_as_published(first, last):
    begin, end = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    names = shipped_calendar(begin.year)["holidays"]
    tet = sorted(day for day, name in names.items() if name.startswith("Tết"))
    assert tet == [begin + dt.timedelta(days=i) for i in range((end - begin).days + 1)]
