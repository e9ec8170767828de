"""Plans of the offices: sizes, officers, leave, calendars, and who does what."""

import dataclasses
import datetime as dt
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sim.backoffice.plan import NO_GROUP, NO_TEAM, Plan, plan_of
from sim.backoffice.staffing import office_sizes, officers_by_day, present_officers, spread
from sim.calendars import law
from sim.demand import Catalogue, catalogue_of
from sim.scenario import Scenario, ScenarioError
from sim.scenario.backoffice import TASKS, OfficeGroup

HOUR_S, DAY_S = 3600.0, 86400.0
MONDAY = dt.date(2024, 11, 25)
WEEK = [MONDAY + dt.timedelta(days=n) for n in range(7)]

EVERYTHING = {"officers_per_office": 2, "does": list(TASKS)}
WORKFLOW = {
    "work": dict.fromkeys(TASKS, "10 min"),
    "citizen_answer": "2 days",
    "citizen_limit_s": "30 days",
    "agency_answer": "8 h",
}


@pytest.fixture(scope="module")
def city(
    scenario_dict: Callable[..., dict], one_endpoint: Callable[..., dict]
) -> Callable[..., Scenario]:
    """Return the builder of a city with these groups of offices, for a week from a Monday."""

    def build(
        offices: dict[str, dict], start: str = "2024-11-25T00:00", days: float = 7, **parts: object
    ) -> Scenario:
        groups = {
            name: {"count": 1, "teams": {"all": EVERYTHING}} | g for name, g in offices.items()
        }
        block = {
            "offices": groups,
            "workflow": WORKFLOW,
            "fed_by": "demand",
            "online_hours": "flat",
        }
        blocks = {
            "window": {"start": start, "duration_s": days * DAY_S, "drain_s": 0.0},
            "backoffice": block | {k: v for k, v in parts.items() if k in ("law", "counter_hours")},
        }
        whole = scenario_dict(one_endpoint([{"delay": 0.0}]), **blocks)
        whole["demand"]["calendar"] = parts.get("calendar", {})
        whole["catalogue"]["domains"] = parts.get("domains", whole["catalogue"]["domains"])
        return Scenario.model_validate(whole)

    return build


def group_of(**fields: object) -> OfficeGroup:
    return OfficeGroup.model_validate({"count": 1, "teams": {"all": EVERYTHING}} | fields)


def presence(
    officers: int, n_offices: int = 3, *, share: float = 0.3, days: int = 200, **names: object
) -> np.ndarray:
    dates = [MONDAY + dt.timedelta(days=n) for n in range(days)]
    numbers = np.full((n_offices, days), officers)
    own: dict = {"seed": 1, "replication": 0, "group": "communes", "team": "desk"} | names
    return present_officers(numbers, dates, share, **own)


# Sizes


def test_sizes_of_a_group_sum_to_one_and_belong_to_the_scenario() -> None:
    sizes = office_sizes(5, "communes", group_of(count=114, size_cv=0.6))
    assert sizes.sum() == pytest.approx(1)
    assert (sizes > 0).all()
    assert (office_sizes(6, "communes", group_of(count=114, size_cv=0.6)) != sizes).all()
    assert (office_sizes(5, "wards", group_of(count=114, size_cv=0.6)) != sizes).all()


def test_offices_without_spread_have_equal_sizes() -> None:
    assert office_sizes(5, "communes", group_of(count=4)) == pytest.approx([0.25] * 4)


def test_sizes_are_log_normal_with_the_stated_spread() -> None:
    logs = np.log(office_sizes(5, "communes", group_of(count=2000, size_cv=0.6)))
    sum_of_squares = ((logs - logs.mean()) ** 2).sum() / np.log1p(0.6**2)
    low, high = stats.chi2.ppf([0.0005, 0.9995], len(logs) - 1)
    assert low < sum_of_squares < high


def test_another_office_changes_the_others_sizes_only_in_proportion() -> None:
    few = office_sizes(5, "communes", group_of(count=9, size_cv=0.6))
    more = office_sizes(5, "communes", group_of(count=10, size_cv=0.6))
    assert more[:9] / more[:9].sum() == pytest.approx(few)


# Officers


SIZES = st.lists(st.floats(0.01, 10), min_size=1, max_size=30).map(np.array)


@settings(derandomize=True, deadline=None)
@given(SIZES, st.integers(0, 500))
def test_all_officers_are_spread_and_every_office_has_one_if_there_are_enough(
    sizes: np.ndarray, total: int
) -> None:
    counts = spread(total, sizes)
    assert counts.sum() == total
    assert counts.min() >= (1 if total >= len(sizes) else 0)


@settings(derandomize=True, deadline=None)
@given(SIZES, st.integers(0, 500))
def test_one_more_officer_takes_none_from_any_office(sizes: np.ndarray, total: int) -> None:
    added = spread(total + 1, sizes) - spread(total, sizes)
    assert sorted(added) == [0] * (len(sizes) - 1) + [1]


@settings(derandomize=True, deadline=None)
@given(st.sets(st.floats(0.01, 10), min_size=1, max_size=30), st.integers(0, 500))
def test_a_larger_office_never_has_fewer_officers(sizes: set[float], total: int) -> None:
    assert (np.diff(spread(total, np.array(sorted(sizes)))) >= 0).all()


def test_officers_follow_sizes() -> None:
    assert spread(20, np.array([0.5, 0.25, 0.2, 0.05])).tolist() == [10, 5, 4, 1]


def test_too_few_officers_go_to_the_largest_offices() -> None:
    assert spread(2, np.array([0.2, 0.5, 0.3])).tolist() == [0, 1, 1]


def test_equal_staffing_leaves_sizes_aside() -> None:
    group = group_of(count=4, size_cv=2.0, staffing="equal")
    team = group.teams["all"].model_copy(update={"officers_per_office": 2.5})
    officers = officers_by_day(group, team, office_sizes(1, "g", group), WEEK)
    assert officers[:, 0].tolist() == [3, 3, 2, 2]


def test_roster_changes_the_number_from_its_day_on() -> None:
    roster = [{"from_day": WEEK[2], "officers_per_office": 5}]
    group = group_of(count=2, teams={"all": EVERYTHING | {"roster": roster}})
    officers = officers_by_day(group, group.teams["all"], np.array([0.5, 0.5]), WEEK)
    assert officers[0].tolist() == [2, 2, 5, 5, 5, 5, 5]


# Leave


def test_as_many_officers_are_absent_as_stated() -> None:
    present = presence(40, share=0.1)
    n = 40 * present.size
    error = np.sqrt(0.1 * 0.9 / n)
    assert abs(1 - present.sum() / n - 0.1) < 4 * error


def test_without_leave_everybody_is_there_and_with_full_leave_nobody() -> None:
    assert (presence(4, share=0.0) == 4).all()
    assert (presence(4, share=1.0) == 0).all()


def test_another_officer_or_office_changes_nobodys_leave() -> None:
    few = presence(4)
    more = presence(5)
    assert set(np.unique(more - few)) == {0, 1}
    assert (presence(4, 7)[:3] == few).all()


@pytest.mark.parametrize("other", [{"replication": 1}, {"team": "x"}, {"group": "x"}, {"seed": 2}])
def test_leave_has_luck_of_its_own(other: dict[str, object]) -> None:
    assert (presence(4, **other) != presence(4)).any()


def test_leave_does_not_depend_on_when_the_window_begins() -> None:
    dates = [MONDAY + dt.timedelta(days=n) for n in range(50)]
    numbers = np.full((2, 50), 6)
    own: dict = {"seed": 1, "replication": 0, "group": "communes", "team": "desk"}
    whole = present_officers(numbers, dates, 0.3, **own)
    assert (present_officers(numbers[:, 20:], dates[20:], 0.3, **own) == whole[:, 20:]).all()


def test_plan_counts_roster_and_leave_in(city: Callable[..., Scenario]) -> None:
    roster = [{"from_day": WEEK[1], "officers_per_office": 100}]
    team = EVERYTHING | {"officers_per_office": 50, "leave_share": 0.5, "roster": roster}
    plan = plan_of(city({"one": {"teams": {"all": team}}}), 0)
    assert plan.present.shape == (1, 7)
    assert 0 < plan.present[0, 0] < 50 < plan.present[0, 1:].max() < 100


# Numbering


TWO = {
    "communes": {
        "count": 3,
        "level": "commune",
        "teams": {
            "desk": EVERYTHING | {"does": ["receive", "release"], "order": "fifo"},
            "rest": EVERYTHING | {"does": ["assign", "examine", "approve", "sign"]},
        },
    },
    "department": {"hours": {"weekdays": [0, 1]}},
}
TWO_DOMAINS = {
    "land": {"share": 0.5, "limit_median_days": 5.0, "commune_share": 0.5},
    "tax": {"share": 0.5, "limit_median_days": 5.0},
}


def two(city: Callable[..., Scenario], **parts: object) -> Plan:
    return plan_of(city(TWO, domains=TWO_DOMAINS, **parts), 0)


def test_offices_and_teams_are_numbered_group_by_group(city: Callable[..., Scenario]) -> None:
    plan = two(city)
    assert plan.offices == ("communes_001", "communes_002", "communes_003", "department")
    assert plan.group.tolist() == [0, 0, 0, 1]
    assert plan.roles == ("communes.desk", "communes.rest", "department.all")
    assert plan.role_order == ("fifo", "due_first", "due_first")
    assert plan.team_office.tolist() == [0, 0, 1, 1, 2, 2, 3]
    assert plan.team_role.tolist() == [0, 1, 0, 1, 0, 1, 2]
    assert np.bincount(plan.group, plan.size) == pytest.approx([1, 1])


def test_the_first_group_that_fits_decides(city: Callable[..., Scenario]) -> None:
    scenario = city(TWO, domains=TWO_DOMAINS)
    catalogue = catalogue_of(scenario)
    decided = plan_of(scenario, 0, catalogue).procedures.group
    at_commune = np.array(catalogue.level) == "commune"
    assert at_commune.any()
    assert (decided == np.where(at_commune, 0, 1)).all()


def test_limits_and_fees_are_the_catalogues(city: Callable[..., Scenario]) -> None:
    scenario = city(TWO, domains=TWO_DOMAINS, law={"default_limit_h": "3 working days"})
    catalogue = catalogue_of(scenario)
    limits = np.where(np.arange(10) == 4, np.nan, catalogue.limit_h)
    procedures = plan_of(scenario, 0, dataclasses.replace(catalogue, limit_h=limits)).procedures
    assert procedures.limit_s[4] == 24 * HOUR_S
    assert procedures.limit_s[3] == catalogue.limit_h[3] * HOUR_S
    assert (procedures.has_fee == (catalogue.fee_vnd > 0)).all()


def with_level(catalogue: Catalogue, row: int, level: str) -> Catalogue:
    levels = tuple(level if i == row else old for i, old in enumerate(catalogue.level))
    return dataclasses.replace(catalogue, level=levels)


def test_nobody_in_the_city_decides_what_a_ministry_does(city: Callable[..., Scenario]) -> None:
    scenario = city({"one": {}})
    plan = plan_of(scenario, 0, with_level(catalogue_of(scenario), 2, "ministry"))
    assert plan.procedures.group.tolist() == [0, 0, NO_GROUP, 0, 0, 0, 0, 0, 0, 0]


def test_a_catalogue_that_nobody_decides_is_refused(city: Callable[..., Scenario]) -> None:
    scenario = city({"one": {"level": "province"}})
    with pytest.raises(ScenarioError, match="decides procedures of land at commune level"):
        plan_of(scenario, 0, with_level(catalogue_of(scenario), 2, "commune"))


# Who does what


def able(plan: Plan, office: int, task: str, domain: str, filing: int = 0) -> str:
    team = plan.team_of[office, TASKS.index(task), plan.domains.index(domain), filing]
    if team == NO_TEAM:
        return ""
    assert plan.team_office[team] == office
    return plan.roles[plan.team_role[team]]


def test_the_first_team_that_can_does_the_task(city: Callable[..., Scenario]) -> None:
    teams = {
        "land": EVERYTHING | {"does": ["examine"], "domains": ["land"]},
        "desk": EVERYTHING | {"does": ["examine", "receive"], "filings": ["counter"]},
        "all": EVERYTHING,
    }
    plan = plan_of(city({"one": {"count": 2, "teams": teams}}, domains=TWO_DOMAINS), 0)
    for office in (0, 1):
        assert able(plan, office, "examine", "land") == "one.land"
        assert able(plan, office, "examine", "tax") == "one.all"
        assert able(plan, office, "examine", "tax", filing=1) == "one.desk"
        assert able(plan, office, "receive", "land") == "one.all"


def test_a_task_nobody_has_to_do_is_nobodys(city: Callable[..., Scenario]) -> None:
    assert able(two(city), 0, "examine", "land", filing=1) == "communes.rest"
    teams = {"all": EVERYTHING | {"filings": ["online"]}}
    assert able(plan_of(city({"one": {"teams": teams}}), 0), 0, "sign", "land", filing=1) == ""


def test_a_team_without_officers_in_an_office_leaves_the_task_to_the_next(
    city: Callable[..., Scenario],
) -> None:
    teams = {"few": EVERYTHING | {"officers_per_office": 0.5}, "all": EVERYTHING}
    plan = plan_of(city({"one": {"count": 4, "teams": teams}}), 0)
    done_by = [able(plan, office, "sign", "land") for office in range(4)]
    assert done_by == ["one.few", "one.few", "one.all", "one.all"]


# Calendars


def openings(plan: Plan, calendar: int = 0) -> list[tuple[float, int]]:
    shifts = plan.shifts[calendar]
    hours = (shifts.opening_s / HOUR_S).tolist()
    return list(zip(hours, shifts.opening_day.tolist(), strict=True))


def test_each_opening_of_the_run_is_listed_with_its_day(city: Callable[..., Scenario]) -> None:
    plan = plan_of(city({"one": {}}, days=8), 0)
    days = [0, 1, 2, 3, 4, 7]
    assert openings(plan) == [(24 * d + h, d) for d in days for h in (7.5, 13.0)]
    assert plan.end_s == 8 * DAY_S


def test_an_office_open_at_the_start_opens_then(city: Callable[..., Scenario]) -> None:
    plan = plan_of(city({"one": {}}, start="2024-11-25T09:30", days=1), 0)
    assert openings(plan) == [(0, 0), (3.5, 0), (22, 1)]


def test_a_run_may_end_earlier_or_later_than_its_window(city: Callable[..., Scenario]) -> None:
    plan = plan_of(city({"one": {}}), 0, end_s=1.6 * DAY_S)
    assert [day for _, day in openings(plan)] == [0, 0, 1, 1]
    assert plan.present.shape == (1, 2)


def test_holidays_and_worked_weekends_are_the_citys(city: Callable[..., Scenario]) -> None:
    calendar = {
        "holidays": {"2024-11-26": "Off"},
        "working_weekends": {"2024-11-30": "Worked instead"},
    }
    hours = {"half_days": {"2024-11-25": "morning"}}
    plan = plan_of(city({"one": {"hours": hours}}, calendar=calendar), 0)
    assert [day for _, day in openings(plan)] == [0, 2, 2, 3, 3, 4, 4, 5, 5]


def test_offices_of_equal_hours_share_a_calendar(city: Callable[..., Scenario]) -> None:
    groups = {"a": {"count": 2}, "b": {"hours": {"weekdays": [0, 1]}}, "c": {}}
    plan = plan_of(city(groups), 0)
    assert plan.calendar.tolist() == [0, 0, 1, 0]
    assert [len(shifts.opening_s) for shifts in plan.shifts] == [10, 4]


def test_no_term_falls_out_of_the_calendar(city: Callable[..., Scenario]) -> None:
    hours = {"spans": [{"opens": "9:00", "closes": "10:00"}], "weekdays": [0]}
    domains = {"land": {"share": 1.0, "limit_median_days": 100.0}}
    plan = plan_of(city({"one": {"hours": hours}}, domains=domains), 0)
    time = plan.shifts[0].working_time
    latest_s = law.due(time, plan.end_s, float(plan.procedures.limit_s.max()), 0.0)
    stood_still = law.resumed(time, latest_s, 0.0, plan.end_s)
    assert 800 * DAY_S < latest_s < stood_still < time.to_s


def test_a_term_of_more_than_a_hundred_years_is_told(city: Callable[..., Scenario]) -> None:
    hours = {"spans": [{"opens": "9:00", "closes": "9:01"}], "weekdays": [0]}
    domains = {"land": {"share": 1.0, "limit_median_days": 700.0}}
    with pytest.raises(ScenarioError, match="takes more than a hundred years"):
        plan_of(city({"one": {"hours": hours}}, domains=domains), 0)


def test_the_oldest_backlog_lies_within_the_calendar(city: Callable[..., Scenario]) -> None:
    assert plan_of(city({"one": {}}), 0).shifts[0].working_time.from_s == -400 * DAY_S


def test_the_hours_of_another_scenario_file_stay_as_written(city: Callable[..., Scenario]) -> None:
    scenario = city({"one": {"hours": {"spans": [{"opens": "7:05", "closes": "12:00"}]}}})
    dumped = scenario.model_dump(mode="json")
    assert Scenario.model_validate(dumped) == scenario
