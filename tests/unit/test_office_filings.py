"""Dossiers as they reach the offices: when, which, where, and what lies there at the start."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from sim.backoffice.filings import (
    ORIGINS,
    Filings,
    PortalDossiers,
    demand_filings,
    nominal_dossiers,
    nominal_filings,
    portal_filings,
)
from sim.backoffice.plan import Plan, plan_of
from sim.backoffice.workflow import State
from sim.calendars import law
from sim.demand import catalogue_of
from sim.demand.arrivals import arrival_times, dossier_profile
from sim.demand.trace import TOGETHER, Trace
from sim.scenario import Scenario, ScenarioError
from sim.scenario.backoffice import TASKS
from sim.streams import child_key, stream

HOUR_S, DAY_S = 3600.0, 86400.0
ONLINE, COUNTER = 0, 1
YEAR_DOSSIERS = 1e6

ALL = {"all": {"officers_per_office": 5, "does": list(TASKS)}}
WORKFLOW = {
    "work": dict.fromkeys(TASKS, "10 min"),
    "citizen_answer": "2 days",
    "citizen_limit_s": "30 days",
    "agency_answer": "8 h",
}
OFFICES = {
    "communes": {"count": 6, "level": "commune", "size_cv": 0.5, "teams": ALL},
    "departments": {"count": 2, "teams": ALL},
}
MORNING = [0.0] * 7 + [1.0, 2.0, 2.0, 1.0] + [0.0] * 13
"""Hours from 7:00 to 11:00."""
DOMAINS = {
    "land": {"share": 0.5, "limit_median_days": 5.0, "commune_share": 0.5},
    "tax": {"share": 0.3, "limit_median_days": 5.0, "weight": 3.0},
    "health": {"share": 0.2, "limit_median_days": 20.0},
}


@pytest.fixture(scope="module")
def city(
    scenario_dict: Callable[..., dict], one_endpoint: Callable[..., dict]
) -> Callable[..., Scenario]:
    """Return the builder of a city for a week from a Monday; parts go to its back office."""

    def build(days: float = 7, demand: dict | None = None, **parts: object) -> Scenario:
        block = {"offices": OFFICES, "workflow": WORKFLOW, "fed_by": "demand"} | parts
        portal = one_endpoint([{"delay": 0.0}])
        portal["endpoints"]["e"]["files_dossier"] = True
        portal["jobs"] = {"sync": {"period_s": 45, "batch": 15}}
        window = {"start": "2024-11-25T00:00", "duration_s": days * DAY_S, "drain_s": 0.0}
        whole = scenario_dict(portal, window=window, backoffice=block)
        whole["demand"] |= {"hours": {"flat": [1.0] * 24, "morning": MORNING}, "online_share": 0.6}
        whole["demand"] |= demand or {}
        whole["catalogue"] |= {"procedures": 40, "integrated": 30, "domains": DOMAINS}
        return Scenario.model_validate(whole)

    return build


def drawn(scenario: Scenario, replication: int = 0, **plans: object) -> tuple[Plan, Filings]:
    plan = plan_of(scenario, replication, **plans)
    return plan, demand_filings(scenario, replication, plan)


def of_origin(filings: Filings, origin: str) -> Filings:
    rows = filings.origin == ORIGINS.index(origin)
    columns = {f.name: getattr(filings, f.name)[rows] for f in dataclasses.fields(Filings)}
    return Filings(**columns)


def assert_same(one: Filings, other: Filings) -> None:
    for field in dataclasses.fields(Filings):
        np.testing.assert_array_equal(
            getattr(one, field.name), getattr(other, field.name), field.name
        )


def assert_counts_fit(counts: np.ndarray, expected: np.ndarray) -> None:
    assert expected.min() > 5
    statistic = ((counts - expected) ** 2 / expected).sum()
    low, high = stats.chi2.ppf([0.0005, 0.9995], len(expected))
    assert low < statistic < high, (statistic, low, high)


# How many, and when


def test_dossiers_arrive_in_order_and_keep_their_columns_types(
    city: Callable[..., Scenario],
) -> None:
    _, filings = drawn(city(days=1, counter_hours="morning"))
    assert (np.diff(filings.arrival_s) >= 0).all()
    assert len(filings) > 1000
    types = {f.name: str(getattr(filings, f.name).dtype) for f in dataclasses.fields(Filings)}
    assert types == {
        "arrival_s": "float64", "submitted_s": "float64", "key": "uint64", "procedure": "int32",
        "filing": "int8", "state": "int8", "reception": "int32", "office": "int32",
        "received_s": "float64", "due_s": "float64", "origin": "int8", "session": "int32",
        "step": "int32", "attempt": "int32",
    }  # fmt: skip


def test_as_many_are_filed_online_in_every_interval_as_stated(
    city: Callable[..., Scenario],
) -> None:
    scenario = city(demand={"weekdays": [2, 1, 1, 1, 1, 0.5, 0.5]})
    counts = np.zeros(7 * 24)
    replications = 20
    for replication in range(replications):
        _, filings = drawn(scenario, replication)
        counts += np.bincount((filings.arrival_s // HOUR_S).astype(int), minlength=len(counts))
    # 2024 has 53 Mondays, 53 Tuesdays and 52 of every other day of the week.
    weights = np.array([2, 1, 1, 1, 1, 0.5, 0.5])
    by_day = 0.6 * YEAR_DOSSIERS * weights / (weights @ [53, 53, 52, 52, 52, 52, 52])
    assert_counts_fit(counts, np.repeat(by_day / 24, 24) * replications)


def test_as_many_are_handed_in_on_each_open_day_as_stated(city: Callable[..., Scenario]) -> None:
    calendar = {"holidays": {"2024-11-26": "Off"}, "working_weekends": {"2024-11-30": "Worked"}}
    scenario = city(counter_hours="morning", demand={"calendar": calendar})
    counts = np.zeros(7 * 24)
    replications = 20
    for replication in range(replications):
        arrival_s = of_origin(drawn(scenario, replication)[1], "counter").arrival_s
        counts += np.bincount((arrival_s // HOUR_S).astype(int), minlength=len(counts))
    # 262 weekdays in 2024, one of them off, one Saturday worked instead.
    a_day = 0.4 * YEAR_DOSSIERS / 262
    expected = np.outer([1, 0, 1, 1, 1, 1, 0], np.array(MORNING) / sum(MORNING)).ravel() * a_day
    is_open = expected > 0
    assert counts[~is_open].sum() == 0
    assert_counts_fit(counts[is_open], expected[is_open] * replications)


def test_a_whole_year_has_all_dossiers_of_the_year(city: Callable[..., Scenario]) -> None:
    scenario = city(counter_hours="morning")
    window = scenario.window.model_copy(
        update={"start": dt.datetime.fromisoformat("2024-01-01"), "duration_s": 366 * DAY_S}
    )
    scenario = scenario.model_copy(update={"window": window})
    online = dossier_profile(scenario, 0.6, "flat")
    weekdays = dossier_profile(scenario, 0.4, "morning", is_open=lambda day: day.weekday() < 5)
    assert online.expected_counts.sum() == pytest.approx(0.6 * YEAR_DOSSIERS)
    assert weekdays.expected_counts.sum() == pytest.approx(0.4 * YEAR_DOSSIERS)


def test_without_counter_hours_nothing_is_handed_in(city: Callable[..., Scenario]) -> None:
    _, filings = drawn(city(days=1))
    assert (filings.filing == ONLINE).all()
    assert (filings.origin == ORIGINS.index("online")).all()


def test_hours_are_those_of_the_journey_that_files_or_as_stated(
    city: Callable[..., Scenario],
) -> None:
    demand = {"journeys": {"visit": {"per_dossier": 1, "hours": "morning"}}}
    hours = drawn(city(days=1, demand=demand))[1].arrival_s // HOUR_S
    assert set(hours) == {7, 8, 9, 10}
    hours = drawn(city(days=1, demand=demand, online_hours="flat"))[1].arrival_s // HOUR_S
    assert set(hours) == set(range(24))


def test_events_of_the_journey_that_files_and_of_all_journeys_count(
    city: Callable[..., Scenario],
) -> None:
    surge = {"kind": "surge", "from_s": 0, "to_s": DAY_S, "factor": 3}
    ordinary, of_all, of_visit, of_others = (
        len(drawn(city(days=1, demand={"events": events}))[1])
        for events in (
            [],
            [surge],
            [surge | {"journeys": ["visit"]}],
            [surge | {"journeys": ["other"]}],
        )
    )
    assert of_all == of_visit
    assert of_others == ordinary
    assert abs(of_all - 3 * ordinary) < 4 * np.sqrt(3 * ordinary + 9 * ordinary)


def test_nothing_that_files_and_no_hours_is_told(city: Callable[..., Scenario]) -> None:
    scenario = city()
    endpoint = scenario.portal.endpoints["e"].model_copy(update={"files_dossier": False})
    portal = scenario.portal.model_copy(update={"endpoints": {"e": endpoint}})
    scenario = scenario.model_copy(update={"portal": portal})
    with pytest.raises(ScenarioError, match=r"backoffice.online_hours: nothing says"):
        drawn(scenario)


def test_with_an_intake_online_dossiers_begin_in_the_synchronisation(
    city: Callable[..., Scenario],
) -> None:
    _, filings = drawn(city(days=1, counter_hours="morning", intake={"job": "sync"}))
    assert set(of_origin(filings, "online").state) == {State.SYNCHRONISING}
    assert set(of_origin(filings, "counter").state) == {State.RECEIVING}
    assert set(drawn(city(days=1))[1].state) == {State.RECEIVING}


# Which, and where


def test_services_are_asked_for_online_by_their_popularity(city: Callable[..., Scenario]) -> None:
    scenario = city()
    catalogue = catalogue_of(scenario)
    _, filings = drawn(scenario)
    counts = np.bincount(filings.procedure, minlength=len(catalogue))
    assert counts[~catalogue.integrated].sum() == 0
    expected = catalogue.services.weight * len(filings)
    is_asked = expected > 0
    assert_counts_fit(counts[catalogue.integrated][is_asked], expected[is_asked])


def test_at_the_counter_every_procedure_counts_by_its_domain(city: Callable[..., Scenario]) -> None:
    scenario = city(counter_hours="morning")
    catalogue = catalogue_of(scenario)
    counter = of_origin(drawn(scenario)[1], "counter")
    weights = np.array([DOMAINS[d].get("weight", 1.0) for d in catalogue.domain])
    counts = np.bincount(counter.procedure, minlength=len(catalogue))
    assert_counts_fit(counts, weights / weights.sum() * len(counter))


def test_counter_weights_say_how_many_of_each_domain(city: Callable[..., Scenario]) -> None:
    scenario = city(counter_hours="morning", counter_weights={"land": 3, "health": 1})
    plan, filings = drawn(scenario)
    domain = plan.procedures.domain[of_origin(filings, "counter").procedure]
    counts = np.bincount(domain, minlength=3)[[plan.domains.index(d) for d in DOMAINS]]
    assert counts[1] == 0
    assert_counts_fit(counts[[0, 2]], np.array([0.75, 0.25]) * counts.sum())


def test_nobody_asks_for_what_a_ministry_decides(city: Callable[..., Scenario]) -> None:
    scenario = city(counter_hours="morning")
    catalogue = catalogue_of(scenario)
    row = int(np.flatnonzero(~catalogue.integrated)[0])
    levels = ("ministry" if i == row else old for i, old in enumerate(catalogue.level))
    catalogue = dataclasses.replace(catalogue, level=tuple(levels))
    filings = demand_filings(scenario, 0, plan_of(scenario, 0, catalogue), catalogue)
    asked = np.bincount(filings.procedure, minlength=len(catalogue))
    assert asked[row] == 0
    assert np.delete(asked, row)[~np.delete(catalogue.integrated, row)].min() > 0


def test_an_office_of_the_deciding_group_decides_by_its_size(city: Callable[..., Scenario]) -> None:
    plan, filings = drawn(city())
    groups = plan.procedures.group[filings.procedure]
    assert (plan.group[filings.office] == groups).all()
    per_group = np.bincount(groups, minlength=2)
    counts = np.bincount(filings.office, minlength=8)
    assert_counts_fit(counts, plan.size * per_group[plan.group])
    assert (filings.reception == filings.office).all()


def test_another_office_receives_as_many_as_stated_by_size(city: Callable[..., Scenario]) -> None:
    plan, filings = drawn(city(elsewhere_share=0.2))
    is_elsewhere = filings.reception != filings.office
    error = np.sqrt(0.2 * 0.8 / len(filings))
    assert abs(is_elsewhere.mean() - 0.2) < 4 * error
    own = int(np.bincount(filings.office).argmax())
    of_one = is_elsewhere & (filings.office == own)
    weights = plan.size * np.where(plan.group == 0, 6, 2)
    weights[own] = 0
    expected = weights / weights.sum() * of_one.sum()
    counts = np.bincount(filings.reception[of_one], minlength=8)
    assert_counts_fit(np.delete(counts, own), np.delete(expected, own))


def test_only_an_office_that_can_receive_a_dossier_does(city: Callable[..., Scenario]) -> None:
    some = {"all": ALL["all"] | {"domains": ["tax", "health"]}}
    desk = {"desk": {"officers_per_office": 1, "does": ["receive"], "domains": ["land"]}}
    offices = {
        "communes": OFFICES["communes"],
        "others": {"count": 3, "domains": ["tax", "health"], "teams": some},
        "land": {"count": 1, "teams": ALL | desk},
    }
    plan, filings = drawn(city(offices=offices, elsewhere_share=1.0))
    is_land = plan.procedures.domain[filings.procedure] == plan.domains.index("land")
    others = plan.group == 1
    assert is_land.any()
    assert not others[filings.reception[is_land]].any()
    assert others[filings.reception[~is_land]].any()
    assert (filings.reception != filings.office).all()


def test_the_only_office_receives_everything(city: Callable[..., Scenario]) -> None:
    _, filings = drawn(city(days=1, offices={"one": {"count": 1, "teams": ALL}}, elsewhere_share=1))
    assert (filings.reception == 0).all()


# Common random numbers


def test_a_replication_is_reached_directly_and_has_luck_of_its_own(
    city: Callable[..., Scenario],
) -> None:
    scenario = city(days=1)
    assert_same(drawn(scenario, 3)[1], drawn(scenario, 3)[1])
    assert len(drawn(scenario, 3)[1]) != len(drawn(scenario, 4)[1])


def test_counter_and_backlog_change_nothing_for_dossiers_filed_online(
    city: Callable[..., Scenario],
) -> None:
    start = {"groups": {"communes": {"open": {"examining": 50}, "age": "3 days"}}}
    alone = drawn(city(days=1))[1]
    among = drawn(city(days=1, counter_hours="morning", initial_state=start))[1]
    assert_same(of_origin(among, "online"), alone)


def test_more_dossiers_keep_the_first_ones_choices(city: Callable[..., Scenario]) -> None:
    few = drawn(city(days=1, elsewhere_share=0.3))[1]
    many = drawn(city(days=2, elsewhere_share=0.3))[1]
    for column in ("key", "procedure", "office", "reception"):
        assert (getattr(many, column)[: len(few)] == getattr(few, column)).all()


def test_another_staff_or_hours_leave_the_dossiers_as_they_are(
    city: Callable[..., Scenario],
) -> None:
    teams = {"all": ALL["all"] | {"officers_per_office": 9, "leave_share": 0.3}}
    other = {n: g | {"teams": teams, "hours": {"weekdays": [0]}} for n, g in OFFICES.items()}
    assert_same(drawn(city(days=1, offices=other))[1], drawn(city(days=1))[1])


# What lies there at the start


def backlog(city: Callable[..., Scenario], **parts: object) -> tuple[Plan, Filings, Scenario]:
    states = {"receiving": 300, "supplementing_at_reception": 200, "paying": 100, "examining": 4000}
    groups = {
        "communes": {"open": states, "age": "exponential 5 days"},
        "departments": {"open": {"signing": 500}, "age": "constant 900 days"},
    }
    block = {"initial_state": {"groups": groups}, "counter_hours": "morning"} | parts
    scenario = city(days=1, **block)
    plan, filings = drawn(scenario)
    return plan, of_origin(filings, "backlog"), scenario


def test_as_many_are_open_as_stated_in_each_group_and_state(city: Callable[..., Scenario]) -> None:
    plan, open_ones, _ = backlog(city)
    groups = plan.group[open_ones.office]
    assert np.bincount(groups[open_ones.state == State.EXAMINING]).tolist() == [4000]
    assert np.bincount(groups[open_ones.state == State.SIGNING]).tolist() == [0, 500]
    assert (open_ones.arrival_s == 0).all()
    assert open_ones.session.tolist() == list(range(5100))
    assert (plan.procedures.group[open_ones.procedure] == groups).all()


def test_open_dossiers_are_as_old_as_stated_but_within_the_calendar(
    city: Callable[..., Scenario], assert_agrees: Callable[..., None]
) -> None:
    _, open_ones, _ = backlog(city)
    in_communes = open_ones.state != State.SIGNING
    assert_agrees(-open_ones.submitted_s[in_communes], 5 * DAY_S)
    assert (open_ones.submitted_s[~in_communes] == -399 * DAY_S).all()


def test_open_dossiers_were_filed_online_as_often_as_in_the_demand(
    city: Callable[..., Scenario],
) -> None:
    _, open_ones, _ = backlog(city)
    error = np.sqrt(0.6 * 0.4 / len(open_ones))
    assert abs((open_ones.filing == ONLINE).mean() - 0.6) < 4 * error
    _, open_ones, _ = backlog(city, counter_hours=None)
    assert (open_ones.filing == ONLINE).all()


def test_open_dossiers_know_what_has_happened_to_them(city: Callable[..., Scenario]) -> None:
    plan, open_ones, _ = backlog(city)
    time = plan.shifts[0].working_time
    was_received = open_ones.state != State.RECEIVING
    was_accepted = was_received & (open_ones.state != State.SUPPLEMENTING_AT_RECEPTION)
    assert (~np.isnan(open_ones.received_s) == was_received).all()
    assert (~np.isnan(open_ones.due_s) == was_accepted).all()
    limit_s = plan.procedures.limit_s[open_ones.procedure]
    for row in np.flatnonzero(was_accepted)[::50].tolist():
        filed_s, received_s = open_ones.submitted_s[row], open_ones.received_s[row]
        assert filed_s < received_s <= 0
        assert time.between(filed_s, received_s) <= 8 * HOUR_S
        due_s = law.due(time, received_s, limit_s[row], 15 * HOUR_S)
        assert open_ones.due_s[row] == due_s


COLUMNS = "code,domain,office,state,filing,filed_at,received_at,due_at"


def listed(
    city: Callable[..., Scenario], file: Path, rows: Sequence[str], header: str = COLUMNS
) -> tuple[Plan, Filings]:
    file.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    scenario = city(days=1, counter_hours="morning", initial_state={"file": str(file)})
    plan, filings = drawn(scenario)
    return plan, of_origin(filings, "backlog")


def test_a_list_of_open_dossiers_is_taken_as_it_is(
    city: Callable[..., Scenario], tmp_path: Path
) -> None:
    code = catalogue_of(city()).code[3]
    rows = [
        f"{code},,communes_002,examining,counter,2024-11-20,2024-11-20 15:30,2024-11-28 11:00",
        "",
        ",tax,,receiving,,2024-11-24T21:00,,",
        ",land,communes_005,signing,online,2019-01-02 08:00:30,,",
    ]
    plan, open_ones = listed(city, tmp_path / "open.csv", rows)
    first = [getattr(open_ones, f.name)[0] for f in dataclasses.fields(Filings)]
    assert first[3:10] == [3, COUNTER, State.EXAMINING, 1, 1, -104.5 * HOUR_S, 83 * HOUR_S]
    assert (open_ones.submitted_s / HOUR_S).tolist()[:2] == [-120, -3]
    assert np.isnan([open_ones.received_s[1], open_ones.due_s[1]]).all()
    domains = [plan.domains[i] for i in plan.procedures.domain[open_ones.procedure]]
    assert domains[1:] == ["tax", "land"]
    assert open_ones.office[2] == 4
    assert plan.group[open_ones.office[1]] == plan.procedures.group[open_ones.procedure[1]]
    assert open_ones.submitted_s[2] < open_ones.received_s[2] < open_ones.due_s[2] < 0


def test_a_list_may_have_semicolons_and_only_the_columns_needed(
    city: Callable[..., Scenario], tmp_path: Path
) -> None:
    _, open_ones = listed(
        city, tmp_path / "open.csv", ["land;2024-11-20;assigning"], "domain;filed_at;state"
    )
    assert open_ones.state.tolist() == [State.ASSIGNING]


WRONG_ROWS = [
    (",,,receiving,,2024-11-20,,", "2: neither code nor domain is stated, one must be"),
    (",lend,,receiving,,2024-11-20,,", "2: domain: 'lend' is no domain of the catalogue; did you"),
    ("x,,,receiving,,2024-11-20,,", "2: code: 'x' is no code of the catalogue"),
    (",land,communes_9,receiving,,2024-11-20,,", "office: 'communes_9' is no office; did you mea"),
    (",land,,done,,2024-11-20,,", "2: state: 'done' is no state of an open dossier"),
    (",land,,,,2024-11-20,,", "2: state: must not be empty"),
    (",land,,receiving,post,2024-11-20,,", "filing: 'post' is no way to file; allowed: online, co"),
    (",land,,receiving,,,,", "2: filed_at: must not be empty"),
    (",land,,receiving,,20/11/2024,,", "'20/11/2024' must be a local date and time, such as 2026"),
    (",land,,receiving,,2024-11-20T08:00Z,,", "must be local time; leave the time zone out"),
    (",land,,receiving,,2024-11-26,,", "'2024-11-26' must not be after the start, 2024-11-25 00:0"),
    (",land,,receiving,,1999-01-01,,", "filed_at: '1999-01-01' is too long ago; at least 2014-11"),
    (
        ",land,,signing,,2024-11-20,2024-11-19,",
        "received_at: '2024-11-19' must not be before filed",
    ),
    (",land,,signing,,2024-11-20,,2099-01-01", "due_at: '2099-01-01' is too far off; at most 202"),
    (",land,,signing", "2: 4 values, must be 8"),
]


@pytest.mark.parametrize(("row", "told"), WRONG_ROWS, ids=range(len(WRONG_ROWS)))
def test_a_wrong_row_is_told_with_its_line(
    row: str, told: str, city: Callable[..., Scenario], tmp_path: Path
) -> None:
    with pytest.raises(ScenarioError) as caught:
        listed(city, tmp_path / "open.csv", [row])
    assert f"open.csv:{told}" in str(caught.value) or told in str(caught.value)
    assert all(flaw.place.endswith("open.csv:2") for flaw in caught.value.faults)


def test_all_faults_of_a_list_are_told_at_once_up_to_twenty(
    city: Callable[..., Scenario], tmp_path: Path
) -> None:
    rows = [",lend,,done,,2024-11-20,,", ",land,,signing,,2024-11-20,,", *[",,,,,,,"] * 5, "x" * 9]
    with pytest.raises(ScenarioError) as caught:
        listed(city, tmp_path / "open.csv", rows)
    assert [flaw.place[-1] for flaw in caught.value.faults] == ["2", "2", "9"]
    with pytest.raises(ScenarioError) as caught:
        listed(city, tmp_path / "open.csv", rows * 50)
    assert len(caught.value.faults) == 21
    assert caught.value.faults[-1].message == "and 130 more faults"


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("code,filed_at", "open.csv:1: column 'state' is missing"),
        ("state,filed_at", "open.csv:1: a column 'code' or 'domain' is missing"),
        ("code,state,filed_at,filled_at", "column 'filled_at' is unknown; did you mean filed_at?"),
        ("code,code,state,filed_at", "open.csv:1: column 'code' stands twice"),
    ],
)
def test_a_wrong_header_is_told(
    header: str, told: str, city: Callable[..., Scenario], tmp_path: Path
) -> None:
    with pytest.raises(ScenarioError) as caught:
        listed(city, tmp_path / "open.csv", [], header)
    assert told in str(caught.value)


def test_a_list_that_is_no_text_is_told(city: Callable[..., Scenario], tmp_path: Path) -> None:
    file = tmp_path / "open.csv"
    file.write_bytes(b"state\xff")
    with pytest.raises(ScenarioError, match=r"open.csv: not UTF-8 \(byte 5\)"):
        drawn(city(days=1, initial_state={"file": str(file)}))


def test_an_office_that_cannot_work_on_a_listed_dossier_is_told(
    city: Callable[..., Scenario], tmp_path: Path
) -> None:
    some = {"all": ALL["all"] | {"domains": ["tax", "health"]}}
    offices = {"others": {"count": 1, "domains": ["tax", "health"], "teams": some}} | OFFICES
    (tmp_path / "open.csv").write_text(
        "domain,office,state,filed_at\nland,others,signing,2024-11-20"
    )
    with pytest.raises(
        ScenarioError, match=r"office: 'others' has nobody for every task on dossie"
    ):
        drawn(city(offices=offices, initial_state={"file": str(tmp_path / "open.csv")}))


def test_a_list_counts_in_the_digest_by_its_content(
    city: Callable[..., Scenario], tmp_path: Path
) -> None:
    one, same, other = (tmp_path / name for name in ("one.csv", "same.csv", "other.csv"))
    for file, text in ((one, "a"), (same, "a"), (other, "b")):
        file.write_text(text)
    digests = [city(initial_state={"file": str(file)}).digest() for file in (one, same, other)]
    assert digests[0] == digests[1] != digests[2]


# From the portal


def two_sessions(scenario: Scenario, trace_of: Callable[..., Trace]) -> Trace:
    file, look = {"endpoint": 0}, {"endpoint": 1}
    each = [
        [look | {"think_s": 5.0}, file | {"think_s": 10.0}, file | {"flags": TOGETHER}],
        [look | {"think_s": 1.0}],
        [file | {"think_s": 2.5}],
    ]
    trace = trace_of(scenario, [100.0, 101.0, 102.0], each=each, replication=2)
    codes = catalogue_of(scenario).services.code
    return dataclasses.replace(trace, services=codes, service=np.array([4, 0, 7], dtype=np.int32))


@pytest.fixture(scope="module")
def coupled(city: Callable[..., Scenario]) -> Scenario:
    scenario = city(days=1, fed_by="portal")
    look = scenario.portal.endpoints["e"].model_copy(update={"files_dossier": False})
    endpoints = dict(scenario.portal.endpoints) | {"look": look}
    portal = scenario.portal.model_copy(update={"endpoints": endpoints})
    return scenario.model_copy(update={"portal": portal})


def test_nominal_dossiers_are_filed_after_arrival_and_thinking(
    coupled: Scenario, trace_of: Callable[..., Trace]
) -> None:
    trace = two_sessions(coupled, trace_of)
    filings = nominal_filings(trace, coupled, plan_of(coupled, 2))
    assert filings.arrival_s.tolist() == [104.5, 115.0, 115.0]
    assert filings.submitted_s.tolist() == [104.5, 115.0, 115.0]
    rows = np.stack([filings.session, filings.step, filings.attempt], axis=1).tolist()
    assert rows == [[2, 0, 0], [0, 1, 0], [0, 2, 0]]
    services = np.flatnonzero(catalogue_of(coupled).integrated)
    assert filings.procedure.tolist() == services[[7, 4, 4]].tolist()
    assert filings.key.tolist() == [child_key(int(trace.key[i]), 2**33) for i in (4, 1, 2)]
    assert set(filings.state) == {State.RECEIVING}
    assert set(filings.origin) == {ORIGINS.index("portal")}


def test_nominal_dossiers_of_a_trace_that_files_none(
    coupled: Scenario, trace_of: Callable[..., Trace]
) -> None:
    trace = trace_of(coupled, [1.0, 2.0], [{"endpoint": 1}])
    assert len(nominal_dossiers(trace, coupled).key) == 0
    assert len(nominal_filings(trace, coupled, plan_of(coupled, 0))) == 0


def of_portal(scenario: Scenario, n: int, **columns: object) -> PortalDossiers:
    filed_s = np.arange(n) * 10.0
    own = {
        "session": np.arange(n, dtype=np.int32),
        "step": np.zeros(n, dtype=np.int32),
        "attempt": np.zeros(n, dtype=np.int32),
        "key": stream(1, 0, "tests.keys").integers(0, 2**63, n, dtype=np.uint64),
        "service": (np.arange(n) % 30).astype(np.int32),
        "submitted_s": filed_s,
        "acknowledged_s": filed_s + 1,
        "synced_s": filed_s + 60,
        "services": catalogue_of(scenario).services.code,
    }
    return PortalDossiers(**(own | columns))


def test_dossiers_of_the_portal_arrive_when_synchronised_or_sent_again(coupled: Scenario) -> None:
    plan = plan_of(coupled, 0, end_s=2 * DAY_S)
    nan = np.nan
    dossiers = of_portal(
        coupled,
        5,
        synced_s=np.array([60.0, 70.0, nan, nan, 2 * DAY_S]),
        acknowledged_s=np.array([1.0, nan, 21.0, nan, 41.0]),
    )
    filings = portal_filings(coupled, 0, plan, dossiers)
    assert filings.session.tolist() == [0, 1, 2, 3]
    assert filings.arrival_s.tolist() == [60, 70, DAY_S + 21, DAY_S + 30]
    assert filings.submitted_s.tolist() == [0, 10, 20, 30]


def test_a_resend_is_drawn_as_the_intake_states(
    city: Callable[..., Scenario], assert_agrees: Callable[..., None]
) -> None:
    scenario = city(
        days=100, fed_by="portal", intake={"job": "sync", "resend": "exponential 2 days"}
    )
    lost = of_portal(scenario, 500, synced_s=np.full(500, np.nan))
    filings = portal_filings(scenario, 0, plan_of(scenario, 0), lost)
    assert_agrees(filings.arrival_s - filings.submitted_s - 1, 2 * DAY_S)


def test_a_dossier_meets_its_offices_whatever_the_order(city: Callable[..., Scenario]) -> None:
    scenario = city(days=1, fed_by="portal", elsewhere_share=0.5)
    plan = plan_of(scenario, 0)
    dossiers = of_portal(scenario, 200)
    order = stream(1, 0, "tests.order").permutation(200)
    columns = {f.name: getattr(dossiers, f.name) for f in dataclasses.fields(PortalDossiers)}
    shuffled = {k: v[order] for k, v in columns.items() if k != "services"}
    other = PortalDossiers(**shuffled, services=dossiers.services)
    assert_same(
        portal_filings(scenario, 0, plan, dossiers), portal_filings(scenario, 0, plan, other)
    )


def test_attempts_of_one_request_are_dossiers_of_their_own(coupled: Scenario) -> None:
    twice = of_portal(coupled, 2, session=np.zeros(2, dtype=np.int32), key=np.full(2, 7, np.uint64))
    twice = dataclasses.replace(twice, attempt=np.array([0, 1], dtype=np.int32))
    filings = portal_filings(coupled, 0, plan_of(coupled, 0), twice)
    assert filings.key.tolist() == [child_key(7, 2**33), child_key(7, 2**33 + 1)]


def test_counter_and_backlog_come_beside_the_portal(city: Callable[..., Scenario]) -> None:
    start = {"groups": {"communes": {"open": {"examining": 5}, "age": "3 days"}}}
    scenario = city(days=1, fed_by="portal", counter_hours="morning", initial_state=start)
    plan = plan_of(scenario, 0)
    filings = portal_filings(scenario, 0, plan, of_portal(scenario, 4))
    counts = dict(zip(ORIGINS, np.bincount(filings.origin, minlength=4), strict=True))
    assert (counts["backlog"], counts["portal"], counts["online"]) == (5, 4, 0)
    assert counts["counter"] > 100
    assert filings.origin[:5].tolist() == [ORIGINS.index("backlog")] * 5
    alone = demand_filings(scenario, 0, plan)
    assert_same(of_origin(filings, "counter"), of_origin(alone, "counter"))


def test_profiles_and_arrivals_are_those_of_the_demand(city: Callable[..., Scenario]) -> None:
    scenario = city(days=1)
    times = arrival_times(
        dossier_profile(scenario, 0.6, "flat", journey="visit"),
        stream(scenario.seed, 0, "backoffice.online"),
    )
    assert drawn(scenario)[1].arrival_s.tolist() == times.tolist()
