"""The compiled offices are the SimPy offices' twin: the same dossiers, tasks and levels."""

import datetime as dt
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.backoffice.filings import ORIGINS, Filings, demand_filings
from sim.backoffice.office import simulate_offices as simpy_offices
from sim.backoffice.plan import Plan, Procedures, Shifts, plan_of
from sim.backoffice.workflow import State
from sim.calendars import OfficeCalendar, WorkingTime
from sim.compiled.offices import simulate_offices as compiled_offices
from sim.scenario import load_scenario
from sim.scenario.backoffice import TASKS, Backoffice, InitialState
from sim.scenario.scenario import Scenario

SETTINGS = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

TOLERANCE = 1e-9
"""Relative, and in s near 0: the two engines may round differently, no more."""

DAY_S = 86400.0
LONG_S = 4000 * DAY_S
"""A calendar so long that nothing ends beyond it."""
PAST_S = 30 * DAY_S

FAMILIES = ("constant", "exponential", "uniform", "lognormal")
MEANS_S = (0.0, 600.0, 1800.0, 3600.0, 10800.0)
SHARES = (0.0, 0.3, 0.6)
DOMAINS = ("land", "trade")
BEFORE_ACCEPTANCE = (State.RECEIVING, State.SUPPLEMENTING_AT_RECEPTION)


@dataclass(frozen=True)
class Case:
    """Offices and dossiers in plain numbers."""

    start: str
    end_s: float
    spec: dict[str, Any]
    present: list[list[list[int]]]
    """Officers of each office's teams on each day: offices, their teams, days."""
    procedures: list[tuple[int, float, bool]]
    """Domain, limit in s, fee."""
    dossiers: list[dict[str, Any]]
    jobs: dict[str, Any]
    faults: list[dict[str, Any]]

    def plan(self) -> Plan:
        """Return the offices; each dossier of theirs has a team for every task."""
        spec = Backoffice.model_validate(self.spec)
        group = np.repeat(np.arange(len(spec.offices)), [g.count for g in spec.offices.values()])
        teams = [list(g.teams.values()) for g in spec.offices.values()]
        first_role = np.cumsum([0, *map(len, teams)])
        sizes = [len(teams[g]) for g in group]
        shape = (len(group), len(TASKS), len(DOMAINS), 2)
        team_of = np.full(shape, -1, dtype=np.int32)
        for office, task, domain, filing in np.ndindex(shape):
            able = [
                team.does_task(TASKS[task], DOMAINS[domain], ("online", "counter")[filing])
                for team in teams[group[office]]
            ]
            team_of[office, task, domain, filing] = sum(sizes[:office]) + able.index(True)
        domain, limit_s, has_fee = zip(*self.procedures, strict=True)
        return Plan(
            spec=spec,
            procedures=Procedures(
                code=tuple(f"p{number}" for number in range(len(domain))),
                domain=np.array(domain, dtype=np.int32),
                limit_s=np.array(limit_s),
                has_fee=np.array(has_fee),
                group=np.zeros(len(domain), dtype=np.int32),
            ),
            domains=DOMAINS,
            offices=tuple(f"office_{number}" for number in range(len(group))),
            group=group.astype(np.int32),
            size=np.ones(len(group)),
            calendar=group.astype(np.int32),
            shifts=tuple(self._shifts(g.hours) for g in spec.offices.values()),
            team_office=np.repeat(np.arange(len(group)), sizes).astype(np.int32),
            team_role=np.concatenate(
                [first_role[g] + np.arange(len(teams[g])) for g in group]
            ).astype(np.int32),
            roles=tuple(f"{name}.{team}" for name, team, _ in spec.teams()),
            role_order=tuple(team.order or spec.order for _, _, team in spec.teams()),
            present=np.array([team for office in self.present for team in office], dtype=np.int32),
            team_of=team_of,
            end_s=self.end_s,
        )

    def filings(self) -> Filings:
        """Return the dossiers, in order of arrival."""
        rows = sorted(self.dossiers, key=lambda row: row["arrival_s"])

        def column(name: str, kind: Any) -> Any:
            return np.array([row[name] for row in rows], dtype=kind)

        kinds = dict.fromkeys(("procedure", "reception", "office"), np.int32)
        kinds |= dict.fromkeys(("filing", "state", "origin"), np.int8)
        kinds |= {"key": np.uint64}
        times = ("arrival_s", "submitted_s", "received_s", "due_s")
        numbers = np.arange(len(rows), dtype=np.int32)
        return Filings(
            **{name: column(name, kind) for name, kind in kinds.items()},
            **{name: column(name, np.float64) for name in times},
            session=numbers,
            step=0 * numbers,
            attempt=0 * numbers,
        )

    def _shifts(self, hours: Any) -> Shifts:
        """Return a calendar as the plan has it."""
        start = dt.datetime.fromisoformat(self.start)
        calendar = OfficeCalendar(
            hours=tuple((span.opens, span.closes) for span in hours.spans),
            weekdays=frozenset(hours.weekdays),
            half_days=hours.half_days,
        )
        time = WorkingTime.of(calendar, start, -PAST_S, LONG_S)
        in_run = (time.closes_s > 0) & (time.opens_s < self.end_s)
        opening_s = np.maximum(time.opens_s[in_run], 0.0)
        return Shifts(time, opening_s, ((opening_s - time.midnight_s) // DAY_S).astype(np.int32))


@st.composite
def durations(draw: st.DrawFn, families: tuple[str, ...], least_s: float = 0.0) -> dict:
    family = draw(st.sampled_from(families))
    mean_s = draw(st.sampled_from([s for s in MEANS_S if s >= least_s]))
    spread = {"cv": draw(st.sampled_from([0.5, 2.0]))} if family == "lognormal" else {}
    return {"distribution": family, "mean_s": mean_s} | spread


def optional(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


@st.composite
def hours(draw: st.DrawFn, start: str) -> dict:
    first = dt.datetime.fromisoformat(start).date()
    days = [(first + dt.timedelta(days=number)).isoformat() for number in range(3)]
    spans = [
        [("07:30", "11:30"), ("13:00", "17:00")],
        [("00:00", "23:59")],
        [("08:00", "12:00"), ("12:00", "16:00")],
        [("09:00", "10:00")],
    ]
    return {
        "spans": [{"opens": a, "closes": b} for a, b in draw(st.sampled_from(spans))],
        "weekdays": draw(st.sampled_from([(0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 5, 6), (0, 2, 5)])),
        "half_days": draw(
            st.dictionaries(
                st.sampled_from(days), st.sampled_from(["morning", "afternoon"]), max_size=1
            )
        ),
    }


@st.composite
def teams(draw: st.DrawFn, families: tuple[str, ...]) -> dict:
    """Draw specialists, and generalists for all that these do not do."""
    rest = {
        "order": draw(optional(st.sampled_from(["due_first", "fifo"]))),
        "interruptions": draw(
            optional(
                st.fixed_dictionaries(
                    {"per_hour": st.sampled_from([0.5, 6.0]), "length": durations(families)}
                )
            )
        ),
    }
    everybody = {"generalists": {"officers_per_office": 1, "does": TASKS} | rest}
    special = {
        "officers_per_office": 1,
        "does": draw(st.lists(st.sampled_from(TASKS), min_size=1, max_size=3, unique=True)),
        "domains": draw(optional(st.just(DOMAINS[:1]))),
        "filings": draw(optional(st.sampled_from([("online",), ("counter",)]))),
    }
    return ({"specialists": special} if draw(st.booleans()) else {}) | everybody


@st.composite
def specs(draw: st.DrawFn, start: str, families: tuple[str, ...]) -> dict:
    share = st.sampled_from(SHARES)
    at_reception, at_examination = draw(share), draw(share)
    sync = st.fixed_dictionaries(
        {
            "job": st.sampled_from(["sync", "archive"]),
            "error_share": share,
            "resend": durations(families),
        }
    )
    limits = st.sampled_from([1.0, 4.0, 8.0, 24.0])
    return {
        "offices": {
            name: {
                "count": draw(st.integers(1, 2)),
                "hours": draw(hours(start)),
                "teams": draw(teams(families)),
            }
            for name in ("communes", "department")[: draw(st.integers(1, 2))]
        },
        "order": draw(st.sampled_from(["due_first", "fifo"])),
        "workflow": {
            "rules": {
                "refused_at_reception_share": (1 - at_reception) * draw(st.sampled_from([0, 0.2])),
                "incomplete_at_reception_share": at_reception,
                "unpaid_share": draw(share),
                "incomplete_share": at_examination,
                "consult_share": (1 - at_examination) * draw(share),
                "refused_share": 0.05,
                "sent_back_share": draw(share),
                "withdrawn_share": draw(share),
            },
            "by_domain": draw(st.sampled_from([{}, {"land": {"effort": 2, "refused_share": 0}}])),
            "work": {task: draw(durations(families)) for task in TASKS},
            "repeat_factor": draw(st.sampled_from([1.0, 0.5])),
            "citizen_answer": draw(durations(families, least_s=600.0)),
            "citizen_limit_s": draw(st.sampled_from([1800.0, 7200.0, 1e6])),
            "agency_answer": draw(durations(families)),
            "sent_back_max": draw(st.integers(0, 2)),
        },
        "law": {
            "reception_limit_h": draw(limits),
            "clock": draw(st.sampled_from(["resume", "restart"])),
            "supplement_notice_h": draw(limits),
            "supplements_max": draw(st.sampled_from([0, 1, 2, None])),
            "apology_notice_h": draw(limits),
            "cut_off": draw(st.sampled_from(["15:00", "10:00"])),
        },
        "intake": draw(optional(sync)),
        "publication": draw(optional(sync)),
        "level_interval_s": draw(st.sampled_from([3600.0, 7000.0, 1e6])),
    }


@st.composite
def dossiers(draw: st.DrawFn, spec: dict, n_offices: int, n_procedures: int) -> dict:
    """Draw a dossier: a new one, or one that lies there."""
    new = State.RECEIVING if spec["intake"] is None else State.SYNCHRONISING
    states = [State.SYNCHRONISING, *range(State.RECEIVING, State.RETURNED)]
    lies = draw(st.booleans())
    state = draw(st.sampled_from(states[1:])) if lies else new
    slot = st.integers(0, 144)
    arrival_s = 0.0 if lies else draw(slot) * 1800.0
    is_accepted = lies and state not in BEFORE_ACCEPTANCE
    return {
        "arrival_s": arrival_s,
        "submitted_s": -DAY_S if lies else max(arrival_s - 600.0, 0.0),
        "key": draw(st.integers(0, 2**64 - 1)),
        "procedure": draw(st.integers(0, n_procedures - 1)),
        "filing": draw(st.integers(0, 1)),
        "state": int(state),
        "reception": draw(st.integers(0, n_offices - 1)),
        "office": draw(st.integers(0, n_offices - 1)),
        "received_s": -1800.0 * draw(slot) if is_accepted else np.nan,
        "due_s": 1800.0 * draw(slot) if is_accepted else np.nan,
        "origin": ORIGINS.index("backlog" if lies else "online"),
    }


@st.composite
def cases(
    draw: st.DrawFn, families: tuple[str, ...] = FAMILIES, least: int = 1, most: int = 25
) -> Case:
    start = draw(
        st.sampled_from(
            ["2024-11-25T08:00", "2024-11-25T00:00", "2024-11-29T16:30", "2024-11-30T12:00"]
        )
    )
    end_s = draw(st.sampled_from([3, 1, 8])) * DAY_S + draw(st.sampled_from([0.0, 5000.0]))
    spec = draw(specs(start, families))
    groups = list(spec["offices"].values())
    sizes = [len(group["teams"]) for group in groups for _ in range(group["count"])]
    officers = st.lists(st.integers(0, 2), min_size=10, max_size=10)
    job = st.fixed_dictionaries(
        {
            "period_s": st.sampled_from([600.0, 3600.0]),
            "offset_s": st.sampled_from([0.0, 300.0]),
            "batch": st.integers(1, 5),
            "retries": st.integers(0, 2),
        }
    )
    stopped = st.fixed_dictionaries(
        {
            "kind": st.just("job_stopped"),
            "target": st.sampled_from(["sync", "archive"]),
            "from_s": st.sampled_from([0.0, 36000.0]),
            "to_s": st.sampled_from([72000.0, 86400.0]),
        }
    )
    procedure = st.tuples(
        st.integers(0, 1), st.sampled_from([4, 16, 40]).map(lambda h: h * 3600.0), st.booleans()
    )
    procedures = draw(st.lists(procedure, min_size=1, max_size=3))
    return Case(
        start=start,
        end_s=end_s,
        spec=spec,
        present=[[draw(officers) for _ in range(size)] for size in sizes],
        procedures=procedures,
        dossiers=draw(
            st.lists(dossiers(spec, len(sizes), len(procedures)), min_size=least, max_size=most)
        ),
        jobs={"sync": draw(job), "archive": draw(job)},
        faults=draw(st.lists(stopped, max_size=1)),
    )


def assert_same(one: Any, other: Any, name: str) -> None:
    """Assert that two columns are the same: counts exactly, times within the tolerance."""
    assert one.dtype == other.dtype, name
    assert one.shape == other.shape, name
    if one.dtype.kind == "f":
        np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)
    else:
        np.testing.assert_array_equal(one, other, err_msg=name)


def assert_twins(one: Any, other: Any) -> None:
    """Assert that two runs say the same of every dossier, task and station."""
    for name in ("cases", "visits"):
        for column in fields(getattr(one, name)):
            pair = [getattr(getattr(run, name), column.name) for run in (one, other)]
            assert_same(*pair, f"{name}.{column.name}")
    assert [level.station for level in one.levels] == [level.station for level in other.levels]
    for left, right in zip(one.levels, other.levels, strict=True):
        for column in fields(left)[1:]:
            place = f"{left.station}.{column.name}"
            assert_same(getattr(left, column.name), getattr(right, column.name), place)


@pytest.fixture(scope="session", name="both")
def _both(scenario_dict: Any, one_endpoint: Any) -> Any:
    """Return what simulates a case with both engines."""

    def both(case: Case) -> tuple[Any, Any]:
        portal = one_endpoint([{"delay": 1}], jobs=case.jobs)
        scenario = Scenario.model_validate(scenario_dict(portal, case.end_s, faults=case.faults))
        question = case.plan(), case.filings(), scenario
        return simpy_offices(*question), compiled_offices(*question)

    return both


@SETTINGS
@given(case=cases())
def test_random_offices_give_the_same_run(both, case):
    assert_twins(*both(case))


@SETTINGS
@given(case=cases(("constant",), least=8))
def test_constant_times_that_collide_are_decided_alike(both, case):
    """Everything happens at few moments, so the order of what is due decides."""
    assert_twins(*both(case))


def test_days_of_the_shipped_city_give_the_same_run():
    """With more tasks, waiting dossiers and rows than the kernel has room for at first."""
    year = load_scenario(
        "city-year",
        ["window.start=2026-03-02T00:00", "window.duration_s=86400", "window.warm_up_s=0"],
    )
    spec = year.backoffice.model_copy(update={"initial_state": InitialState()})
    scenario = year.model_copy(update={"backoffice": spec})
    plan = plan_of(scenario, 0)
    question = plan, demand_filings(scenario, 0, plan), scenario
    one, other = simpy_offices(*question), compiled_offices(*question)
    assert len(other.visits.dossier) > 5_000
    assert_twins(one, other)


def one_officer(limit_s: float, rows: list[dict[str, Any]]) -> Case:
    """Return an office with one officer for everything, each task an hour, agencies as quick."""
    hour = {"mean_s": 3600.0}
    everything = {"officers_per_office": 1, "does": TASKS}
    new = {
        "arrival_s": 0.0,
        "submitted_s": 0.0,
        "key": 1,
        "procedure": 0,
        "filing": 0,
        "state": int(State.RECEIVING),
        "reception": 0,
        "office": 0,
        "received_s": np.nan,
        "due_s": np.nan,
        "origin": ORIGINS.index("online"),
    }
    return Case(
        start="2024-11-25T08:00",
        end_s=DAY_S,
        spec={
            "offices": {"department": {"count": 1, "teams": {"all": everything}}},
            "workflow": {
                "work": dict.fromkeys(TASKS, hour),
                "citizen_answer": hour,
                "citizen_limit_s": 7200.0,
                "agency_answer": hour,
            },
        },
        present=[[[1, 1]]],
        procedures=[(0, limit_s, False)],
        dossiers=[new | row for row in rows],
        jobs={},
        faults=[],
    )


both_engines = pytest.mark.parametrize(
    "engine", [simpy_offices, compiled_offices], ids=["simpy", "compiled"]
)


@both_engines
def test_who_arrives_at_the_end_of_a_task_is_there_before_it(engine, scenario_dict, one_endpoint):
    """The urgent one that arrives as the officer gets free is taken before the one that waits."""
    asked = {"state": int(State.CONSULTING), "received_s": -3600.0, "due_s": 10 * DAY_S}
    arrivals = [{"arrival_s": at_s, "submitted_s": at_s} for at_s in (1800.0, 5400.0)]
    case = one_officer(DAY_S, [asked, *arrivals])
    scenario = Scenario.model_validate(scenario_dict(one_endpoint([{"delay": 1}]), DAY_S))
    visits = engine(case.plan(), case.filings(), scenario).visits
    assert visits.dossier[:3].tolist() == [1, 2, 1]
    assert visits.started_s[:2].tolist() == [1800.0, 5400.0]


@both_engines
def test_a_term_beyond_the_calendar_is_refused(engine, scenario_dict, one_endpoint):
    case = one_officer(2 * LONG_S, [{}])
    scenario = Scenario.model_validate(scenario_dict(one_endpoint([{"delay": 1}]), DAY_S))
    with pytest.raises(ValueError, match="of working time do not lie within"):
        engine(case.plan(), case.filings(), scenario)
