"""Kinds of days."""

import datetime as dt

import pytest

from sim.calendars import day_kind, days_of, days_touched

TET = dt.date(2025, 1, 29)
TET_SUNDAY = dt.date(2025, 2, 2)
WORKED_SATURDAY = dt.date(2025, 4, 26)


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
