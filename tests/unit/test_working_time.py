"""Working time: hand-computed dates, and its algebra."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from loadtests.portal.working_time import due_date, working_hours_between
from sim.calendars import OfficeCalendar, WorkingTime

H = 3600.0
DAY = 86400.0

CALENDARS = Path(__file__).parents[2] / "scenarios" / "calendars"
at = dt.datetime.fromisoformat
MONDAY = at("2025-03-03")
ORIGIN = at("2025-03-03T08:00")
SATURDAY_MORNING = {5: ((dt.time(7, 30), dt.time(11, 30)),)}


def shipped(year):
    text = (CALENDARS / f"vietnam-{year}.yaml").read_text("utf-8")
    days = yaml.safe_load(text)["demand"]["calendar"]
    return OfficeCalendar(days["holidays"], days["working_weekends"])


def around(moment, calendar=None):
    """Return the working time of sixty days either side of a moment, which is its origin."""
    calendar = calendar or shipped(moment.year)
    return WorkingTime.of(calendar, moment, -60 * DAY, 60 * DAY)


def date_after(start, hours, calendar=None):
    """Return when so many working hours after a moment have passed, as text."""
    moment = at(start)
    end_s = around(moment, calendar).add(0.0, hours * H)
    return (moment + dt.timedelta(seconds=end_s)).isoformat(timespec="minutes")


@pytest.mark.parametrize(
    ("start", "hours", "end"),
    [
        ("2025-03-03T08:00", 3.5, "2025-03-03T11:30"),  # exactly at closing, not after lunch
        ("2025-03-03T08:00", 4, "2025-03-03T13:30"),  # the lunch gap
        ("2025-03-03T12:00", 1, "2025-03-03T14:00"),  # begun in the gap
        ("2025-03-03T06:00", 8, "2025-03-03T17:00"),  # begun before opening: the whole day
        ("2025-03-03T17:00", 1, "2025-03-04T08:30"),  # begun at closing
        ("2025-03-07T16:00", 2, "2025-03-10T08:30"),  # a weekend
        ("2025-03-08T10:00", 1, "2025-03-10T08:30"),  # begun on a Saturday
        ("2025-01-24T15:00", 8, "2025-02-03T15:00"),  # Tết 2025, nine days
        ("2025-01-24T15:00", 2, "2025-01-24T17:00"),
        ("2026-02-13T16:00", 16, "2026-02-24T16:00"),  # Tết 2026, nine days
        ("2025-04-25T16:00", 8, "2025-04-26T16:00"),  # a worked Saturday
        ("2025-04-26T16:00", 8, "2025-04-28T16:00"),  # and the Sunday after it
        ("2025-04-29T13:30", 8, "2025-05-05T13:30"),  # 30 April to 4 May
        ("2026-08-21T17:00", 9, "2026-08-24T08:30"),  # 22 August is worked
        ("2026-08-28T16:00", 2, "2026-09-03T08:30"),  # five days of National Day
        ("2026-01-09T16:00", 2, "2026-01-10T08:30"),  # exchanged for 2 January
    ],
)
def test_work_ends_on_the_date_counted_by_hand(start, hours, end):
    assert date_after(start, hours) == end


@pytest.mark.parametrize(
    ("half", "start", "hours", "end"),
    [
        ("morning", "2025-03-04T08:00", 4, "2025-03-05T08:00"),
        ("morning", "2025-03-04T08:00", 3.5, "2025-03-04T11:30"),
        ("afternoon", "2025-03-03T17:00", 1, "2025-03-04T14:00"),
        ("afternoon", "2025-03-04T09:00", 4, "2025-03-04T17:00"),
    ],
)
def test_of_a_half_day_only_one_half_counts(half, start, hours, end):
    calendar = OfficeCalendar(half_days={dt.date(2025, 3, 4): half})
    assert date_after(start, hours, calendar) == end


def test_a_saturday_morning_counts_where_it_is_worked():
    calendar = OfficeCalendar(weekdays=frozenset(range(6)), hours_of_weekday=SATURDAY_MORNING)
    assert date_after("2025-03-07T16:00", 4, calendar) == "2025-03-08T10:30"
    assert date_after("2025-03-07T16:00", 6, calendar) == "2025-03-10T08:30"


def test_a_span_contains_its_opening_but_not_its_closing():
    time = around(MONDAY)
    assert [time.is_open(hour * H) for hour in (7.25, 7.5, 11.25, 11.5, 13, 16.75, 17)] == [
        False, True, True, False, True, True, False,
    ]  # fmt: skip
    openings = [time.next_opening(hour * H) / H for hour in (0, 7.5, 8, 11.5, 13, 17, 31)]
    assert openings == [7.5, 7.5, 8, 13, 13, 31.5, 31.5]


def test_no_work_ends_at_once():
    time = around(MONDAY)
    for t_s in (0.0, 7.5 * H, 8 * H, 11.5 * H, 12 * H, 17 * H, -30 * H):
        assert time.add(t_s, 0.0) == t_s
    before_its_first_opening = WorkingTime.of(OfficeCalendar(), MONDAY, 0.0, DAY)
    assert before_its_first_opening.add(1.0, 0.0) == 1.0


def test_time_worked_before_the_origin_counts():
    time = WorkingTime.of(OfficeCalendar(), ORIGIN, -3 * DAY, DAY)  # from Friday 8:00
    assert time.worked(-3 * DAY) == 0
    assert time.between(-3 * DAY, 0.0) == 8 * H
    assert time.between(0.0, -3 * DAY) == -8 * H
    assert time.add(-3 * DAY, 8 * H) == 0.0


def test_a_stretch_cuts_the_spans_at_its_ends():
    time = WorkingTime.of(OfficeCalendar(), ORIGIN, H, 6 * H)  # Monday 9:00 to 14:00
    assert (time.opens_s.tolist(), time.closes_s.tolist()) == ([H, 5 * H], [3.5 * H, 6 * H])
    assert time.worked_s.tolist() == [0.0, 2.5 * H]
    assert time.time(3.5 * H) == 6 * H


def test_a_span_that_only_touches_the_stretch_is_not_in_it():
    time = WorkingTime.of(OfficeCalendar(), ORIGIN, 3.5 * H, 23.5 * H)  # 11:30 to 7:30
    assert (time.opens_s.tolist(), time.closes_s.tolist()) == ([5 * H], [9 * H])


@pytest.mark.parametrize("from_s", [1 / 7, -99 * DAY - 1 / 7, -1e-9, 0.3 - 4 * H])
def test_what_ends_at_a_closing_ends_there_in_spite_of_rounding(from_s):
    time = WorkingTime.of(OfficeCalendar(), ORIGIN, from_s, 99 * DAY)
    at_closing_s = time.worked_each(time.closes_s)
    np.testing.assert_array_equal(time.time_each(at_closing_s), time.closes_s)
    assert [time.time(w) for w in at_closing_s.tolist()] == time.closes_s.tolist()


def test_the_last_work_of_a_stretch_ends_within_it_in_spite_of_rounding():
    for sevenths in range(1, 100):
        time = WorkingTime.of(OfficeCalendar(), ORIGIN, -99 * DAY, sevenths / 7)
        total_s = time.worked(sevenths / 7)
        assert time.time(total_s) <= sevenths / 7
        assert time.time_each(np.array([total_s]))[0] <= sevenths / 7


def test_a_calendar_without_open_time_is_told():
    weekend = at("2025-03-08")
    told = "the calendar has no working time between 2025-03-08 00:00 and 2025-03-10 00:00"
    with pytest.raises(ValueError, match=told):
        WorkingTime.of(OfficeCalendar(), weekend, 0.0, 2 * DAY)


UNTIL_TUESDAY = WorkingTime.of(OfficeCalendar(), ORIGIN, 0.0, 23 * H)  # Monday 8:00 to 7:00


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda time: time.worked(-1.0), "-1 s lies outside the calendar's stretch from 0 s"),
        (lambda time: time.worked(24 * H), "86400 s lies outside .* to 82800 s"),
        (lambda time: time.worked(float("nan")), "nan s lies outside"),
        (lambda time: time.is_open(-1.0), "lies outside"),
        (lambda time: time.next_opening(-1.0), "lies outside"),
        (lambda time: time.next_opening(10 * H), "no opening after 36000 s"),
        (lambda time: time.next_day_opening(10 * H), "no opening after 36000 s"),
        (lambda time: time.time(-1.0), "-1 s of working time do not lie within"),
        (lambda time: time.add(0.0, 9 * H), "32400 s of working time do not .* which has 27000 s"),
        (lambda time: time.add(-1.0, 0.0), "lies outside"),
        (lambda time: time.worked_each(np.array([0.0, -1.0])), "-1 s lies outside"),
        (lambda time: time.is_open_each(np.array([0.0, -1.0])), "-1 s lies outside"),
        (lambda time: time.time_each(np.array([0.0, 9 * H])), "32400 s of working time"),
        (lambda time: time.next_opening_each(np.array([0.0, 10 * H])), "no opening after 36000 s"),
    ],
)
def test_what_lies_beyond_the_stretch_is_told(ask, told):
    with pytest.raises(ValueError, match=told):
        ask(UNTIL_TUESDAY)


# From a Thursday night on: a weekend, a holiday, a worked Saturday and two half days.
FROM_S, TO_S = -4 * DAY - 3 * H, 16 * DAY
VARIED = WorkingTime.of(
    OfficeCalendar(
        holidays={dt.date(2025, 3, 12)},
        working_weekends={dt.date(2025, 3, 15)},
        half_days={dt.date(2025, 3, 4): "morning", dt.date(2025, 3, 6): "afternoon"},
    ),
    ORIGIN,
    FROM_S,
    TO_S,
)
TOTAL_S = VARIED.worked(TO_S)

exact_times = st.integers(int(FROM_S) * 4, int(TO_S) * 4).map(lambda quarter: quarter / 4)
exact_work = st.integers(0, int(TOTAL_S) * 4).map(lambda quarter: quarter / 4)
times = st.one_of(
    st.floats(FROM_S, TO_S),
    st.sampled_from([*VARIED.opens_s.tolist(), *VARIED.closes_s.tolist()]),
)
TOLERANCE_S = 1e-8  # a few roundings at 1e6 s


@given(exact_times)
def test_time_of_the_time_worked_is_the_last_moment_of_work(t_s):
    again_s = VARIED.time(VARIED.worked(t_s))
    assert again_s <= t_s
    assert VARIED.worked(again_s) == VARIED.worked(t_s)
    if VARIED.is_open(t_s) and t_s not in VARIED.opens_s:
        assert again_s == t_s


@given(exact_work)
def test_so_much_is_worked_at_its_time_and_not_before(work_s):
    t_s = VARIED.time(work_s)
    assert VARIED.worked(t_s) == work_s
    if work_s:
        assert VARIED.worked(t_s - 0.25) < work_s


@given(times, st.floats(0, TOTAL_S), st.floats(0, TOTAL_S))
def test_more_work_never_ends_earlier(t_s, work_s, more_s):
    left_s = TOTAL_S - VARIED.worked(t_s)
    less, more = sorted((work_s % left_s if left_s else 0.0, more_s % left_s if left_s else 0.0))
    assert t_s <= VARIED.add(t_s, less) <= VARIED.add(t_s, more) + TOLERANCE_S


@given(exact_times, exact_times, exact_work)
def test_what_begins_later_never_ends_earlier(one_s, other_s, work_s):
    early_s, late_s = sorted((one_s, other_s))
    work_s %= TOTAL_S - VARIED.worked(late_s) + 0.25
    assert VARIED.add(early_s, work_s) <= VARIED.add(late_s, work_s)


@given(exact_times, exact_work, exact_work)
def test_work_in_two_parts_ends_when_it_ends_in_one(t_s, first_s, second_s):
    left_s = TOTAL_S - VARIED.worked(t_s)
    first_s %= left_s + 0.25
    second_s %= left_s - first_s + 0.25
    in_one_s = VARIED.add(t_s, first_s + second_s)
    assert VARIED.add(VARIED.add(t_s, first_s), second_s) == in_one_s
    assert VARIED.between(t_s, in_one_s) == first_s + second_s


@given(times, st.floats(0, 1))
def test_within_one_span_work_ends_to_the_last_bit_when_it_should(t_s, share):
    if VARIED.is_open(t_s):
        closes_s = VARIED.closes_s[np.searchsorted(VARIED.opens_s, t_s, side="right") - 1]
        work_s = share * float(closes_s - t_s)
        if t_s + work_s <= closes_s:
            assert VARIED.add(t_s, work_s) == t_s + work_s


@given(times, st.floats(0, TOTAL_S))
def test_between_undoes_add(t_s, work_s):
    work_s = min(work_s, TOTAL_S - VARIED.worked(t_s))
    end_s = VARIED.add(t_s, work_s)
    assert VARIED.between(t_s, end_s) == pytest.approx(work_s, abs=TOLERANCE_S)


@given(times)
def test_the_next_opening_is_open_and_nothing_is_worked_until_then(t_s):
    if VARIED.worked(t_s) == TOTAL_S:
        return
    opening_s = VARIED.next_opening(t_s)
    assert VARIED.is_open(opening_s)
    assert VARIED.between(t_s, opening_s) == 0
    assert (opening_s == t_s) == VARIED.is_open(t_s)


@example([FROM_S, FROM_S + 1.0], 0.0)  # before the first opening
@given(st.lists(times, min_size=1, max_size=20), st.floats(0, 1))
def test_arrays_give_what_single_numbers_give(moments, share):
    t_s = np.array(moments)
    worked_s = np.array([VARIED.worked(t) for t in moments])
    work_s = share * (TOTAL_S - worked_s)
    pairs = list(zip(moments, work_s.tolist(), strict=True))
    open_again = t_s[worked_s < TOTAL_S]
    same = np.testing.assert_array_equal
    same(VARIED.worked_each(t_s), worked_s)
    same(VARIED.time_each(worked_s), [VARIED.time(w) for w in worked_s.tolist()])
    same(VARIED.add_each(t_s, work_s), [VARIED.add(t, w) for t, w in pairs])
    same(VARIED.between_each(t_s, t_s[::-1]), worked_s[::-1] - worked_s)
    same(VARIED.is_open_each(t_s), [VARIED.is_open(t) for t in moments])
    same(VARIED.next_opening_each(open_again), [VARIED.next_opening(t) for t in open_again])


@given(exact_times, st.integers(1, 60 * 4))
def test_the_stand_in_counts_the_same_by_another_way(t_s, quarter_hours):
    calendar = shipped(2025)
    time = WorkingTime.of(calendar, ORIGIN, FROM_S, 60 * DAY)
    start = ORIGIN + dt.timedelta(seconds=t_s)
    due = due_date(calendar, start, quarter_hours / 4)
    due_s = (due - ORIGIN).total_seconds()
    assert time.add(t_s, quarter_hours / 4 * H) == due_s
    assert time.between(t_s, due_s) == pytest.approx(
        working_hours_between(calendar, start, due) * H, abs=TOLERANCE_S
    )
