"""The working folder of a load test: what is to be done, on which trace, and what came of it.

``scenario.json`` and ``trace/`` hold the question and its demand, ``plan.json`` how it is asked;
the driver adds ``part-<worker>/``, ``monitor.arrow`` and, at the end, ``epoch.json``.
"""

import datetime as dt
import hashlib
import secrets
import shutil
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from loadtests.smoke import smoke_scenario, smoke_trace
from sim.compiled.offices import simulate_offices
from sim.demand import Trace, load_trace, save_trace
from sim.results import ResultsError, written_whole
from sim.scenario.scenario import Scenario
from sim.workload import draw_workload

PLAN, SCENARIO, TRACE, EPOCH = "plan.json", "scenario.json", "trace", "epoch.json"

MAX_SESSIONS = 20_000
"""Sessions at once unless somebody says otherwise: about as many as there are ports to a host."""

_RATE_WINDOW_S = 10.0


class LoadError(Exception):
    """A load test that cannot be begun or brought to its end; its text tells what to do."""


class Plan(BaseModel):
    """How a question is put to a portal; it travels to every worker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    """Run id, hex; dossiers carry ``hoso-<run>``."""
    scenario: str
    """What was asked for: a name or a file."""
    overrides: tuple[str, ...] = ()
    """``--set`` texts, already part of the scenario."""
    replication: int = 0
    """Which replication's demand."""
    host: str
    """Base URL of the portal."""
    address: str | None = None
    """Numeric address that was checked; absent: the host's when the test begins."""
    dialect: str = "opencps"
    """Dialect, shipped or ``module:factory``."""
    max_sessions: int = MAX_SESSIONS
    """Sessions at once, of all workers together."""
    max_requests: int | None = None
    """Attempts in all."""
    max_time_s: float
    """The test ends then, s from its second 0."""
    smoke_journey: str | None = None
    """Journey of a smoke test's sessions, empty for the commonest; absent: no smoke test."""
    results: str = "results"
    """The store."""
    collects: bool = False
    """Whether the driver turns what was recorded into a run itself."""
    parent: int | None = None
    """Process that started the driver; the driver ends with it."""

    @property
    def reference(self) -> str:
        """What every dossier of the run carries."""
        return f"hoso-{self.run}"


class WorkerReport(BaseModel):
    """One worker that was to carry a share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    index: int
    name: str
    delivered: bool
    """Whether its part is there."""


class Conduct(BaseModel):
    """How a test went; ``epoch.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    """Run id."""
    started: dt.datetime | None = None
    """Second 0, UTC; absent when it never came."""
    ended_s: float = 0.0
    """End, s from second 0."""
    stopped: str = ""
    """Why it ended before all sessions had; empty when it did not."""
    failure: str = ""
    """Why it could not be begun; empty when it was."""
    faults_missed: tuple[str, ...] = ()
    """Gateways that could not be broken or mended when the scenario says so."""
    workers: tuple[WorkerReport, ...] = ()
    """Who carried it."""


@dataclass(frozen=True, slots=True)
class Order:
    """Everything a worker needs to know.

    Attributes
    ----------
    folder : Path
        The working folder; other machines may not see it.
    plan : Plan
        How.
    scenario : Scenario
        The question.
    trace : Trace
        Its demand.
    """

    folder: Path
    plan: Plan
    scenario: Scenario
    trace: Trace


def new_run_id() -> str:
    """Return a run id: the time, so that runs sort, and four random digits."""
    return f"{int(dt.datetime.now(dt.UTC).timestamp()):08x}{secrets.token_hex(2)}"


def check_portal(scenario: Scenario) -> None:
    """Refuse a question that has no sessions.

    Raises
    ------
    LoadError
        When offices get their dossiers straight from the demand.
    """
    if not scenario.has_portal:
        raise LoadError(
            f"{scenario.name}: dossiers come straight from the demand (backoffice.fed_by is "
            "demand), so there are no sessions to load a portal with; name a scenario that "
            "simulates the portal"
        )


def drawn(plan: Plan, scenario: Scenario) -> tuple[Scenario, Trace]:
    """Return the question as it is asked, and its demand.

    A smoke test asks another question than the scenario: see :mod:`loadtests.smoke`.
    """
    trace = demand_of(plan, scenario)
    if plan.smoke_journey is None:
        return scenario, trace
    question = smoke_scenario(scenario, trace)
    return question, replace(trace, scenario_digest=question.digest())


def demand_of(plan: Plan, scenario: Scenario) -> Trace:
    """Return the demand of a question as it is asked; any machine draws the same."""
    if plan.smoke_journey is None:
        return draw_workload(scenario, plan.replication, simulate_offices)
    return smoke_trace(scenario, plan.smoke_journey or None)


def save_order(order: Order) -> None:
    """Write what is to be done into the working folder, which may not exist yet.

    Raises
    ------
    ResultsError
        When the folder holds another trace.
    """
    order.folder.mkdir(parents=True, exist_ok=True)
    save_trace(order.trace, order.folder / TRACE)
    _write(order.folder / SCENARIO, order.scenario.model_dump_json(indent=1))
    _write(order.folder / PLAN, order.plan.model_dump_json(indent=1))


def load_order(folder: Path) -> Order:
    """Read a working folder.

    Raises
    ------
    LoadError
        When it is none, or damaged.
    """
    try:
        plan = Plan.model_validate_json((folder / PLAN).read_bytes())
        scenario = Scenario.model_validate_json((folder / SCENARIO).read_bytes())
        trace = load_trace(folder / TRACE)
    except (OSError, ValidationError, ResultsError) as error:
        raise LoadError(f"{folder}: no working folder of a load test: {error}") from error
    return Order(folder, plan, scenario, trace)


def save_conduct(conduct: Conduct, folder: Path) -> None:
    """Write how a test went."""
    _write(folder / EPOCH, conduct.model_dump_json(indent=1))


def load_conduct(folder: Path) -> Conduct:
    """Read how a test went.

    Raises
    ------
    LoadError
        When nothing says so: the driver was killed.
    """
    try:
        return Conduct.model_validate_json((folder / EPOCH).read_bytes())
    except (OSError, ValidationError) as error:
        raise LoadError(
            f"{folder / EPOCH}: missing or damaged; the load did not end: {error}"
        ) from error


def another(order: Order) -> Order:
    """Return the same order for a further test, under a run id and in a folder of its own."""
    run = new_run_id()
    plan = order.plan.model_copy(update={"run": run})
    return Order(order.folder.with_name(f"{WORK}{run}"), plan, order.scenario, order.trace)


WORK = ".load-"
"""Working folders beside the runs of a scenario are named so, and by the run id."""


def remove_work(folder: Path) -> None:
    """Remove a working folder."""
    shutil.rmtree(folder, ignore_errors=True)


def trace_digest(trace: Trace) -> str:
    """Return a hash of all columns and names, 16 hex digits: equal digests, equal demand."""
    digest = hashlib.sha256()
    for field in fields(Trace):
        value = getattr(trace, field.name)
        if isinstance(value, np.ndarray):
            digest.update(np.ascontiguousarray(value).data)
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()[:16]


def peak_rate_per_s(trace: Trace) -> float:
    """Return the highest rate of requests over ten seconds, if every answer came at once."""
    if trace.n_requests == 0:
        return 0.0
    sizes = np.diff(trace.first_request)
    thought_s = np.cumsum(trace.think_s)
    before_s = np.concatenate([[0.0], thought_s])[trace.first_request[:-1]]
    due_s = np.repeat(trace.arrival_s - before_s, sizes) + thought_s
    counts = np.bincount((due_s / _RATE_WINDOW_S).astype(np.int64))
    return float(counts.max()) / _RATE_WINDOW_S


def _write(path: Path, text: str) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
