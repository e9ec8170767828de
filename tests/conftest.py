"""Builders of small scenarios and of their demand, for tests of the simulator."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from sim.backoffice.filings import ORIGINS, Filings
from sim.backoffice.outcomes import OfficeRun
from sim.backoffice.plan import DAY_S, Plan, Shifts, plan_of
from sim.backoffice.workflow import State
from sim.calendars import WorkingTime
from sim.demand.trace import Trace
from sim.results import Records
from sim.scenario.backoffice import TASKS
from sim.scenario.scenario import Scenario
from sim.streams import child_keys, mix, stream

FLAT_DAY = [1.0] * 24
"""Hours of equal weight; the demand of a hand-made trace never asks for them."""


def pytest_configure() -> None:
    """Let Ctrl-C work here and in child processes: what runs in the background ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden records anew, for review"
    )


def scenario_dict(portal: dict[str, Any], duration_s: float = 1000.0, **blocks: Any) -> dict:
    """Return a whole scenario around a portal; ``blocks`` replace its top-level blocks."""
    endpoint = next(iter(portal["endpoints"]))
    catalogue = {
        "procedures": 10,
        "integrated": 10,
        "full_process_share": 1.0,
        "active_share": 1.0,
        "limit_sigma": 1.0,
        "fee_share": 0.2,
        "fee_median_vnd": 1e5,
        "upload_slots_mean": 2.0,
        "upload_slots_max": 5,
        "e_form_share": 0.5,
        "domains": {"land": {"share": 1.0, "limit_median_days": 5.0}},
    }
    demand = {
        "dossiers_per_year": 1e6,
        "online_share": 0.9,
        "months": [1.0] * 12,
        "weekdays": [1.0] * 7,
        "hours": {"flat": FLAT_DAY},
        "journeys": {"visit": {"per_dossier": 1.0, "hours": "flat"}},
    }
    whole = {
        "name": "small",
        "city": {"name": "Hải Phòng"},
        "window": {"start": "2024-11-25T08:00", "duration_s": duration_s, "drain_s": 1e6},
        "catalogue": catalogue,
        "demand": demand,
        "channels": {"home": {"share": 1.0, "uplink_bit_per_s": 1e8}},
        "clients": {"person": {}},
        "journeys": {
            "visit": {"client": "person", "steps": [{"step": "only", "calls": {endpoint: 1}}]}
        },
        "portal": portal,
    }
    return whole | blocks


def one_endpoint(program: Sequence[dict[str, Any]], **parts: Any) -> dict[str, Any]:
    """Return a portal with the one endpoint ``e`` that does this program."""
    endpoints = {"e": {"group": "all_of_them", "program": list(program)}}
    return {"tiers": {"spare": {}}, "endpoints": endpoints} | parts


def city_dict(*, offices: dict[str, Any] | None = None, **blocks: Any) -> dict[str, Any]:
    """Return a small city on a Monday morning: a portal, three communes, and a department.

    ``offices`` replaces parts of its back office, ``blocks`` its top-level blocks.
    """
    answer = {"distribution": "exponential", "mean_s": 600.0}
    work = {"distribution": "exponential", "mean_s": 120.0}
    tasks = ("receive", "assign", "examine", "approve", "sign", "release")
    team = {"officers_per_office": 2, "does": tasks}
    backoffice = {
        "counter_hours": "flat",
        "offices": {
            "communes": {"count": 3, "level": "commune", "size_cv": 0.3, "teams": {"desk": team}},
            "department": {"count": 1, "teams": {"desk": team}},
        },
        "workflow": {
            "work": dict.fromkeys(tasks, work),
            "rules": {
                "incomplete_at_reception_share": 0.1,
                "incomplete_share": 0.1,
                "refused_share": 0.05,
                "sent_back_share": 0.1,
                "withdrawn_share": 0.1,
            },
            "citizen_answer": answer,
            "citizen_limit_s": 86400.0,
            "agency_answer": answer,
        },
        "initial_state": {
            "groups": {"communes": {"open": {"receiving": 20, "examining": 20}, "age": answer}}
        },
        "officer_journey": "work",
    }
    load = [{"take": "app"}, {"cpu": "app", "work": {"distribution": "exponential", "mean_s": 0.1}}]
    portal = {
        "tiers": {"app": {"cores": 1, "workers": 20}},
        "jobs": {"sync": {"period_s": 30, "batch": 50, "program": [{"delay": 0.1}]}},
        "endpoints": {
            "page": {"group": "citizens", "program": load},
            "submit": {
                "group": "citizens",
                "files_dossier": True,
                "program": [*load, {"enqueue": "sync"}],
            },
            "case": {"group": "officers", "program": load},
        },
    }
    whole = scenario_dict(portal, 7200.0)
    whole["window"] |= {"drain_s": 600.0}
    whole["catalogue"]["domains"]["land"] |= {"commune_share": 0.7}
    whole["demand"] |= {
        "dossiers_per_year": 300_000,
        "journeys": {"file": {"per_dossier": 1.0, "hours": "flat"}},
    }
    think = {"distribution": "exponential", "mean_s": 10.0}
    whole["journeys"] = {
        "file": {
            "client": "person",
            "steps": [
                {"step": "read", "calls": {"page": 2}, "think": think},
                {"step": "send", "calls": {"submit": 1}, "think": think},
            ],
        },
        "work": {
            "client": "person",
            "steps": [{"step": "case", "calls": {"case": 3}, "think": think}],
        },
    }
    return whole | {"backoffice": backoffice | (offices or {})} | blocks


def trace_of(
    scenario: Scenario,
    arrival_s: Sequence[float],
    asks: Sequence[dict[str, Any]] = ({},),
    *,
    each: Sequence[Sequence[dict[str, Any]]] | None = None,
    channel: Sequence[int] | int = 0,
    replication: int = 0,
) -> Trace:
    """Return a trace by hand: at every time arrives a session that asks for ``asks``.

    An ask may say ``endpoint`` (an index), ``think_s``, ``bytes_up`` and ``flags``; ``each`` gives
    every session asks of its own.
    """
    n = len(arrival_s)
    if each is None:
        sizes, rows = np.full(n, len(asks)), list(asks)
        repeat = n
    else:
        sizes, rows = np.array([len(own) for own in each]), [ask for own in each for ask in own]
        repeat = 1
    total = int(sizes.sum())
    first = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(sizes, out=first[1:])

    def column(name: str, kind: Any) -> Any:
        return np.tile(np.array([ask.get(name, 0) for ask in rows], dtype=kind), repeat)

    base = stream(scenario.seed, replication, "tests.keys").integers(0, 2**63, dtype=np.uint64)
    return Trace(
        arrival_s=np.array(arrival_s, dtype=np.float64),
        journey=np.zeros(n, dtype=np.int32),
        service=np.zeros(n, dtype=np.int32),
        channel=np.broadcast_to(np.array(channel, dtype=np.int32), (n,)).copy(),
        first_request=first,
        endpoint=column("endpoint", np.int16),
        think_s=column("think_s", np.float64),
        bytes_up=column("bytes_up", np.int64),
        flags=column("flags", np.uint8),
        key=child_keys(np.full(total, base), np.arange(total, dtype=np.uint64)),
        journeys=tuple(scenario.journeys),
        services=("1.000001",),
        channels=tuple(scenario.channels),
        endpoints=tuple(scenario.portal.endpoints),
        seed=scenario.seed,
        replication=replication,
        scenario_digest=scenario.digest(),
    )


def poisson_times(rate_per_s: float, duration_s: float, replication: int) -> np.ndarray:
    """Return the arrival times of a Poisson process: a count, then uniform times."""
    rng = stream(1, replication, "tests.arrivals")
    return np.sort(rng.random(rng.poisson(rate_per_s * duration_s)) * duration_s)


def run_of(
    simulate: Callable[..., Records],
    portal: dict[str, Any],
    arrival_s: Sequence[float],
    *args: Any,
    **kwargs: Any,
) -> Records:
    """Simulate sessions that arrive at these times; ``blocks`` go to the scenario."""
    blocks = kwargs.pop("blocks", {})
    duration_s = kwargs.pop("duration_s", max(arrival_s, default=0.0) + 1.0)
    scenario = Scenario.model_validate(scenario_dict(portal, duration_s, **blocks))
    trace = trace_of(scenario, arrival_s, *args, **kwargs)
    return simulate(scenario, trace.replication, trace)


def area(records: Records, station: str, column: str) -> float:
    """Return the integral over the whole run of one column of a station's levels."""
    levels = records.levels.to_pandas()
    rows = levels[levels["station"] == station]
    assert len(rows), f"no station {station}"
    return float((rows[column] * (rows["to_s"] - rows["from_s"])).sum())


def replicate(
    simulate: Callable[..., Records],
    portal: dict[str, Any],
    rate_per_s: float,
    measure: Callable[[Records, np.ndarray], float],
    *,
    duration_s: float,
    warm_up_s: float,
    replications: int = 12,
    blocks: dict[str, Any] | None = None,
) -> np.ndarray:
    """Return a measure of every replication under Poisson arrivals.

    ``measure`` gets the records and which rows of the requests arrived after the warm-up.
    """
    blocks = {"execution": {"level_interval_s": warm_up_s or duration_s}} | (blocks or {})
    scenario = Scenario.model_validate(scenario_dict(portal, duration_s, **blocks))
    values = []
    for replication in range(replications):
        arrival_s = poisson_times(rate_per_s, duration_s, replication)
        trace = trace_of(scenario, arrival_s, replication=replication)
        records = simulate(scenario, replication, trace)
        values.append(measure(records, records.requests["due_s"].to_numpy() >= warm_up_s))
    return np.array(values)


def assert_agrees(values: Sequence[float], exact: float) -> None:
    """Assert that independent values have this mean, within 4 of their own standard errors."""
    values = np.asarray(values, dtype=float)
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert error > 0.0
    distance = (values.mean() - exact) / error
    assert abs(distance) < 4.0, f"{values.mean():.5g} ± {error:.2g}, exact {exact:.5g}: {distance}"


@dataclass(frozen=True, slots=True)
class OfficeQuestion:
    """Offices and dossiers by hand, and what SimPy's engine says of them."""

    scenario: Scenario
    plan: Plan
    filings: Filings

    def run(self) -> OfficeRun:
        """Simulate it."""
        from sim.backoffice.office import simulate_offices

        return simulate_offices(self.plan, self.filings, self.scenario)


def office_question(
    dossiers: Sequence[dict[str, Any]],
    *,
    start: str = "2024-11-25T00:00",
    days: float = 7.0,
    group: dict[str, Any] | None = None,
    present: Sequence[Sequence[int]] | None = None,
    limit_h: float = 40.0,
    has_fee: bool = False,
    holidays: Sequence[str] = (),
    always_open: bool = False,
    jobs: dict[str, Any] | None = None,
    faults: Sequence[dict[str, Any]] = (),
    **spec: Any,
) -> OfficeQuestion:
    """Return offices of one group, from a Monday on, and their dossiers, by hand.

    ``group`` replaces parts of a group of one office with one officer, ``spec`` parts of the back
    office; rules and works are added to those that always do the same in the same time.
    ``present`` says how many officers each team has on each day. A dossier is filed at ``at_s`` and
    may say any column of its row.
    """
    everybody = {"officers_per_office": 1, "does": list(TASKS)}
    works = {"receive": 30, "assign": 10, "examine": 60, "approve": 20, "sign": 10, "release": 20}
    work = {task: f"{minutes} min" for task, minutes in works.items()} | spec.pop("work", {})
    workflow = {
        "work": work,
        "citizen_answer": "1 days",
        "citizen_limit_s": "30 days",
        "agency_answer": "4 h",
        "rules": spec.pop("rules", {}),
    } | spec.pop("workflow", {})
    offices = {"office": {"count": 1, "teams": {"all": everybody}} | (group or {})}
    block = {"fed_by": "demand", "online_hours": "flat", "offices": offices, "workflow": workflow}
    portal = one_endpoint([{"delay": 0.0}], jobs=jobs or {})
    whole = scenario_dict(portal, days * DAY_S, backoffice=block | spec, faults=list(faults))
    whole["window"] |= {"start": start, "drain_s": 0.0}
    whole["demand"]["calendar"] = {"holidays": dict.fromkeys(holidays, "day off")}
    scenario = Scenario.model_validate(whole)
    plan = plan_of(scenario, 0)
    procedures = replace(
        plan.procedures,
        limit_s=np.full_like(plan.procedures.limit_s, limit_h * 3600.0),
        has_fee=np.full_like(plan.procedures.has_fee, has_fee),
    )
    changes: dict[str, Any] = {"procedures": procedures}
    if present is not None:
        changes["present"] = np.array(present, dtype=np.int32)
    if always_open:
        never_closed = WorkingTime(
            *(np.array([at_s]) for at_s in (-DAY_S, 1e3 * plan.end_s, 0.0)),
            from_s=-DAY_S,
            to_s=1e3 * plan.end_s,
            midnight_s=0.0,
        )
        first = np.zeros(1), np.zeros(1, dtype=np.int32)
        changes["shifts"] = (Shifts(never_closed, *first),)
    return OfficeQuestion(scenario, replace(plan, **changes), filings_of(dossiers))


def filings_of(dossiers: Sequence[dict[str, Any]]) -> Filings:
    """Return dossiers in order of their ``at_s``; what they do not say is as for one filed then."""
    rows = [
        {"arrival_s": row["at_s"], "submitted_s": row["at_s"], "key": mix(1000 + number)}
        | {"received_s": np.nan, "due_s": np.nan, "session": number}
        | {"state": State.RECEIVING, "origin": ORIGINS.index("online")}
        | row
        for number, row in enumerate(sorted(dossiers, key=lambda row: row["at_s"]))
    ]
    kinds = {"key": np.uint64, "filing": np.int8, "state": np.int8, "origin": np.int8}
    columns = {
        field.name: np.array(
            [row.get(field.name, 0) for row in rows],
            dtype=np.float64 if field.name.endswith("_s") else kinds.get(field.name, np.int32),
        )
        for field in fields(Filings)
    }
    return Filings(**columns)


@pytest.fixture(scope="session", name="office_question")
def _office_question() -> Callable[..., OfficeQuestion]:
    return office_question


@pytest.fixture(scope="session", name="scenario_dict")
def _scenario_dict() -> Callable[..., dict]:
    return scenario_dict


@pytest.fixture(scope="session", name="city_dict")
def _city_dict() -> Callable[..., dict]:
    return city_dict


@pytest.fixture(scope="session", name="one_endpoint")
def _one_endpoint() -> Callable[..., dict]:
    return one_endpoint


@pytest.fixture(scope="session", name="trace_of")
def _trace_of() -> Callable[..., Trace]:
    return trace_of


@pytest.fixture(scope="session", name="poisson_times")
def _poisson_times() -> Callable[..., np.ndarray]:
    return poisson_times


@pytest.fixture(scope="session", params=["simpy", "compiled"])
def simulate(request: pytest.FixtureRequest) -> Callable[..., Records]:
    """Return each engine's function in turn: what holds for one holds for its twin."""
    if request.param == "simpy":
        from sim.engine import simulate as simpy_engine

        return simpy_engine
    from sim.compiled import simulate as compiled_engine

    return compiled_engine


@pytest.fixture(scope="session", name="run_of")
def _run_of(simulate: Callable[..., Records]) -> Callable[..., Records]:
    return partial(run_of, simulate)


@pytest.fixture(scope="session", name="area")
def _area() -> Callable[..., float]:
    return area


@pytest.fixture(scope="session", name="replicate")
def _replicate(simulate: Callable[..., Records]) -> Callable[..., np.ndarray]:
    return partial(replicate, simulate)


@pytest.fixture(scope="session", name="assert_agrees")
def _assert_agrees() -> Callable[..., None]:
    return assert_agrees
