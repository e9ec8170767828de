"""Terms of the one-stop law, counted in working time."""

import datetime as dt
import re
from pathlib import Path

import pytest
import yaml

from sim.calendars import OfficeCalendar, WorkingTime, law
from sim.scenario.backoffice import Law
from sim.scenario.loader import load_scenario

H = 3600.0
DAY = 86400.0
CUT_OFF = 15 * H

SCENARIOS = Path(__file__).parents[2] / "scenarios"
CALENDARS = SCENARIOS / "calendars"
LAW_FILE = CALENDARS / "law-one-stop.yaml"

at = dt.datetime.fromisoformat
MONDAY = at("2025-03-03")


def around(moment):
    """Return the working time of sixty days either side of a moment, which is its origin."""
    text = (CALENDARS / f"vietnam-{moment.year}.yaml").read_text("utf-8")
    days = yaml.safe_load(text)["demand"]["calendar"]
    calendar = OfficeCalendar(days["holidays"], days["working_weekends"])
    return WorkingTime.of(calendar, moment, -60 * DAY, 60 * DAY)


def seconds(moment, text):
    return (at(text) - moment).total_seconds()


@pytest.mark.parametrize(
    ("received", "counted"),
    [
        ("2025-03-03T09:12", "2025-03-03T09:12"),
        ("2025-03-03T14:59", "2025-03-03T14:59"),
        ("2025-03-03T15:00", "2025-03-04T07:30"),  # at the cut-off it is too late
        ("2025-03-03T12:10", "2025-03-03T13:00"),  # at lunch
        ("2025-03-03T05:00", "2025-03-03T07:30"),  # by night, after midnight
        ("2025-03-03T23:00", "2025-03-04T07:30"),  # by night, before midnight
        ("2025-03-07T15:30", "2025-03-10T07:30"),  # Friday
        ("2025-03-08T09:00", "2025-03-10T07:30"),  # Saturday
        ("2025-01-24T15:00", "2025-02-03T07:30"),  # the day before Tết
        ("2025-04-25T16:00", "2025-04-26T07:30"),  # before a worked Saturday
    ],
)
def test_what_comes_after_the_cut_off_counts_from_the_next_working_day(received, counted):
    moment = at(received)
    time = around(moment)
    assert law.counted_from(time, 0.0, CUT_OFF) == seconds(moment, counted)


def test_the_cut_off_is_a_time_of_day_whenever_the_window_begins():
    for hour in (0, 8, 15, 23):
        origin = at(f"2025-03-03T{hour:02}:00")
        time = around(origin)
        friday = law.counted_from(time, seconds(origin, "2025-02-28T15:00"), CUT_OFF)
        assert friday == seconds(origin, "2025-03-03T07:30")
        before = seconds(origin, "2025-02-28T14:59")
        assert law.counted_from(time, before, CUT_OFF) == before


@pytest.mark.parametrize(
    ("received", "limit_h", "due"),
    [
        ("2025-03-03T09:00", 8, "2025-03-04T09:00"),
        (
            "2025-03-03T15:30",
            8,
            "2025-03-04T17:00",
        ),  # a day that begins at opening is due at closing
        ("2025-03-06T15:30", 24, "2025-03-11T17:00"),  # three days from Friday's opening
        ("2026-02-13T15:30", 40, "2026-02-27T17:00"),  # five days from the end of Tết
    ],
)
def test_the_limit_is_counted_from_there(received, limit_h, due):
    moment = at(received)
    assert law.due(around(moment), 0.0, limit_h * H, CUT_OFF) == seconds(moment, due)


def test_without_a_cut_off_the_limit_counts_from_reception():
    moment = at("2025-03-03T16:00")
    assert law.due(around(moment), 0.0, 8 * H) == DAY


def test_a_clock_that_resumes_adds_the_working_time_waited():
    time = around(MONDAY)
    due_s = seconds(MONDAY, "2025-03-07T16:00")
    asked_s, answered_s = seconds(MONDAY, "2025-03-04T16:00"), seconds(MONDAY, "2025-03-05T09:00")
    resumed_s = law.resumed(time, due_s, asked_s, answered_s)
    assert resumed_s == seconds(MONDAY, "2025-03-10T09:00")  # 2.5 h, over the weekend
    left_when_asked_s, left_when_answered_s = (
        time.between(asked_s, due_s),
        time.between(answered_s, resumed_s),
    )
    assert left_when_answered_s == left_when_asked_s


def test_an_answer_while_closed_leaves_the_due_date_where_it_was():
    due_s = 17 * H
    assert law.resumed(around(MONDAY), due_s, 11.5 * H, 13 * H) == due_s


def test_a_clock_that_restarts_gives_the_whole_limit_again():
    restarted_s = law.restarted(around(MONDAY), seconds(MONDAY, "2025-03-05T15:30"), 8 * H, CUT_OFF)
    assert restarted_s == seconds(MONDAY, "2025-03-06T17:00")


def test_what_is_missing_is_told_within_the_notice_and_as_often_as_permitted():
    time = around(MONDAY)
    thursday = seconds(MONDAY, "2025-03-06T10:00")
    assert law.supplement_by(time, thursday, 24 * H) == seconds(MONDAY, "2025-03-11T10:00")
    assert [law.may_ask_supplement(times, 1) for times in (0, 1, 2)] == [True, False, False]
    assert not law.may_ask_supplement(0, 0)
    assert law.may_ask_supplement(99, None)


def test_an_apology_is_in_time_a_working_day_before_the_due_date():
    time = around(MONDAY)
    due_s = seconds(MONDAY, "2025-03-10T10:00")  # a Monday
    by_s = law.apology_by(time, due_s, 8 * H)
    assert by_s == seconds(MONDAY, "2025-03-07T10:00")
    for at_s, in_time in ((by_s - 1, True), (by_s, True), (by_s + 1, False), (due_s, False)):
        assert law.may_apologise(time, at_s, due_s, 8 * H, apologised=False) is in_time
    assert law.promised(time, due_s, 40 * H) == seconds(MONDAY, "2025-03-17T10:00")


def test_an_apology_is_made_once():
    time = around(MONDAY)
    assert not law.may_apologise(time, 0.0, 20 * DAY, 8 * H, apologised=True)


def test_an_apology_for_a_due_date_at_closing_may_come_until_the_day_begins():
    time = around(MONDAY)
    due_s = seconds(MONDAY, "2025-03-06T17:00")
    assert law.apology_by(time, due_s, 8 * H) == seconds(MONDAY, "2025-03-05T17:00")
    opening_s = seconds(MONDAY, "2025-03-06T07:30")
    assert law.may_apologise(time, opening_s, due_s, 8 * H, apologised=False)
    assert not law.may_apologise(time, opening_s + 1, due_s, 8 * H, apologised=False)


def test_the_law_is_shipped_as_data():
    text = LAW_FILE.read_text("utf-8")
    block = yaml.safe_load(text)["backoffice"]["law"]
    assert set(block) == set(Law.model_fields), "every term is stated"
    terms = Law.model_validate(block)
    assert (terms.reception_limit_h, terms.cut_off, terms.clock) == (8.0, dt.time(15), "restart")
    assert (terms.supplement_notice_h, terms.supplements_max) == (24.0, 1)
    assert (terms.apology_notice_h, terms.default_limit_h) == (8.0, 40.0)


def test_every_term_of_the_law_has_an_origin():
    commented = re.findall(r"((?:    #.*\n)+)    (\w+):", LAW_FILE.read_text("utf-8"))
    assert {term for _, term in commented} == set(Law.model_fields)
    for comment, term in commented:
        assert "source:" in comment or "assumption:" in comment, term


CHILD = f"""
extends: [{SCENARIOS}/peak-hour.yaml, {LAW_FILE}]
backoffice:
  offices:
    wards:
      count: 2
      teams:
        desk: {{officers_per_office: 2, does: [receive, assign, examine, approve, sign, release]}}
  law: {{supplements_max: 2}}
  workflow:
    work: {{receive: 5 min, assign: 1 min, examine: 20 min, approve: 5 min, sign: 1 min,
      release: 2 min}}
    citizen_answer: 2 days
    citizen_limit_s: 30 days
    agency_answer: 8 h
"""


def test_a_scenario_extends_the_law_and_states_its_differences(tmp_path):
    file = tmp_path / "child.yaml"
    file.write_text(CHILD, encoding="utf-8")
    offices = load_scenario(file).backoffice
    assert offices is not None
    assert (offices.law.supplements_max, offices.law.clock) == (2, "restart")
    assert offices.law.supplement_notice_h == 24.0
