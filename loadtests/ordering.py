"""From what a person asks for to an order that is ready to be carried: checked, drawn, saved."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from loadtests.dialects import Credentials, DialectError
from loadtests.dialects.loading import check_endpoints, make_dialect
from loadtests.safety import Allowed, HostRefusedError, check_host
from loadtests.work import (
    MAX_SESSIONS,
    WORK,
    LoadError,
    Order,
    Plan,
    check_portal,
    drawn,
    load_order,
    new_run_id,
    peak_rate_per_s,
    save_order,
)
from sim.demand import CatalogueError, DemandError, Trace
from sim.results import ResultsError
from sim.scenario import ScenarioError, load_scenario
from sim.scenario.scenario import Scenario

LOCUST_OPTIONS: dict[str, dict[str, Any]] = {
    "--hoso-work": {"metavar": "FOLDER", "help": "Working folder that `hoso load` has made."},
    "--scenario": {"metavar": "SCENARIO", "help": "Shipped scenario, or a YAML file."},
    "--set": {
        "dest": "hoso_set",
        "action": "append",
        "default": [],
        "metavar": "KEY=VALUE",
        "help": "Change one value of the scenario; may be repeated.",
    },
    "--replication": {"type": int, "default": 0, "help": "Which replication's demand."},
    "--dialect": {
        "default": "opencps",
        "help": "What the portal speaks: opencps, national, or module:factory.",
    },
    "--max-sessions": {
        "type": int,
        "default": MAX_SESSIONS,
        "help": "Sessions at once; further arrivals are dropped and counted.",
    },
    "--max-requests": {"type": int, "help": "Stop after so many requests."},
    "--max-time": {"type": float, "help": "Stop after so many seconds."},
    "--smoke": {
        "nargs": "?",
        "const": "",
        "metavar": "JOURNEY",
        "help": "Every service once instead, gently.",
    },
    "--no-shared-folder": {
        "action": "store_true",
        "help": "Of a worker: send what was recorded, even where the master's folder is seen.",
    },
    "--results": {"default": "results", "metavar": "FOLDER", "help": "Folder of the runs."},
    "--authorisation": {
        "metavar": "FILE",
        "help": "Permission to load a host that is not this machine.",
    },
}
"""Options of the locustfile beside Locust's own: flag → settings of ``add_argument``."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a person asks for; the fields are the options of ``hoso load``."""

    scenario: str
    host: str
    overrides: Sequence[str] = ()
    replication: int = 0
    dialect: str = "opencps"
    max_sessions: int = MAX_SESSIONS
    max_requests: int | None = None
    max_time_s: float | None = None
    smoke_journey: str | None = None
    results: Path = Path("results")
    authorisation: Path | None = None
    collects: bool = False
    parent: int | None = None


class LocustOptions(Protocol):
    """Locust's parsed options, with those of ``LOCUST_OPTIONS``."""

    host: str | None
    hoso_work: str | None
    scenario: str | None
    hoso_set: list[str]
    replication: int
    dialect: str
    max_sessions: int
    max_requests: int | None
    max_time: float | None
    smoke: str | None
    results: str
    authorisation: str | None


def order_from_options(options: LocustOptions) -> Order:
    """Return what Locust's command line asks for: a folder that is ready, or a scenario.

    Raises
    ------
    LoadError
        When it asks for nothing, or for what cannot be done.
    """
    if options.hoso_work:
        return load_order(Path(options.hoso_work))
    if not options.scenario:
        raise LoadError("give --scenario NAME, such as --scenario peak-hour")
    if not options.host:
        raise LoadError("give --host URL, such as --host http://127.0.0.1:8080")
    return make_order(
        Ask(
            scenario=options.scenario,
            host=options.host,
            overrides=options.hoso_set,
            replication=options.replication,
            dialect=options.dialect,
            max_sessions=options.max_sessions,
            max_requests=options.max_requests,
            max_time_s=options.max_time,
            smoke_journey=options.smoke,
            results=Path(options.results),
            authorisation=Path(options.authorisation) if options.authorisation else None,
            collects=True,
        )
    )


def make_order(ask: Ask, scenario: Scenario | None = None) -> Order:
    """Check what is asked for, draw its demand, and save it in a new working folder.

    Parameters
    ----------
    ask : Ask
        What is asked for.
    scenario : Scenario, optional
        The scenario, where it is loaded already.

    Raises
    ------
    LoadError
        When the scenario, its demand, the dialect or the host is wrong or not allowed; nothing is
        sent.
    """
    try:
        question = scenario or load_scenario(ask.scenario, ask.overrides)
        check_portal(question)
        plan = _plan(ask, question)
        question, trace = drawn(plan, question)
        _check_dialect(plan, question)
        order = _allowed(Order(_folder(ask, question, plan), plan, question, trace), ask)
        save_order(order)
    except (
        ScenarioError,
        DemandError,
        CatalogueError,
        DialectError,
        HostRefusedError,
        ResultsError,
        OSError,
    ) as error:
        raise LoadError(str(error)) from error
    return order


def _plan(ask: Ask, scenario: Scenario) -> Plan:
    if ask.smoke_journey and ask.smoke_journey not in scenario.journeys:
        known = ", ".join(scenario.journeys)
        raise LoadError(f"--smoke {ask.smoke_journey}: no such journey; there are {known}")
    return Plan(
        run=new_run_id(),
        scenario=ask.scenario,
        overrides=tuple(ask.overrides),
        replication=ask.replication,
        host=ask.host.rstrip("/"),
        dialect=ask.dialect,
        max_sessions=ask.max_sessions,
        max_requests=ask.max_requests,
        max_time_s=0.0,
        smoke_journey=ask.smoke_journey,
        results=str(ask.results),
        collects=ask.collects,
        parent=ask.parent,
    )


def _folder(ask: Ask, scenario: Scenario, plan: Plan) -> Path:
    return ask.results / scenario.name / f"{WORK}{plan.run}"


def _check_dialect(plan: Plan, scenario: Scenario) -> None:
    import os

    credentials = Credentials.from_environment(os.environ)
    check_endpoints(scenario, make_dialect(plan.dialect, scenario, plan.reference, credentials))


def _allowed(order: Order, ask: Ask) -> Order:
    """Return the order with the address it may be sent to, and its caps."""
    window = order.scenario.window
    max_time_s = window.duration_s + window.drain_s
    if ask.max_time_s is not None:
        max_time_s = min(max_time_s, ask.max_time_s)
    allowed = check_host(
        order.plan.host,
        ask.authorisation,
        peak_rate_per_s(order.trace),
        dt.datetime.now(dt.UTC),
        duration_s=max_time_s,
        requests=_planned(order.trace, ask),
    )
    plan = order.plan.model_copy(
        update={
            "host": _url(order.plan.host, allowed),
            "address": allowed.address,
            "max_requests": _smaller(ask.max_requests, allowed.requests_cap),
            "max_time_s": max_time_s,
        }
    )
    return Order(order.folder, plan, order.scenario, order.trace)


def _planned(trace: Trace, ask: Ask) -> int:
    return trace.n_requests if ask.max_requests is None else min(trace.n_requests, ask.max_requests)


def _url(host: str, allowed: Allowed) -> str:
    """Return the checked origin, with the path the portal lies under."""
    from urllib.parse import urlsplit

    return allowed.origin + urlsplit(host).path


def _smaller(first: int | None, second: int | None) -> int | None:
    known = [number for number in (first, second) if number is not None]
    return min(known, default=None)
