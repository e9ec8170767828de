"""Random small scenarios that mix everything a portal is made of, and demand for them."""

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import strategies as st

from sim.demand.trace import TOGETHER, WHILE_SYNCING, Trace
from sim.results import Records
from sim.scenario.scenario import Scenario

FAMILIES = ("constant", "exponential", "uniform", "lognormal")
MEANS_S = (0.0, 0.1, 0.25, 0.5, 0.7, 1.0, 3.0)
QUIET_S = 600.0
"""Sessions arrive in the first seconds of a window so long that it ends empty."""


@dataclass(frozen=True)
class Case:
    """A scenario as a dict, and its demand by hand."""

    scenario: dict[str, Any]
    arrival_s: list[float]
    asks: list[list[dict[str, Any]]]
    channel: list[int]
    run: Callable[["Case"], Records]

    def records(self) -> Records:
        return self.run(self)

    def changed(self, change: Callable[[dict[str, Any]], None]) -> "Case":
        """Return the case with a change made to a copy of its scenario."""
        scenario = copy.deepcopy(self.scenario)
        change(scenario)
        return replace(self, scenario=scenario)

    def twice_as_slow(self) -> "Case":
        """Return the case with every duration doubled and every rate halved."""
        return replace(
            self,
            scenario=_slower(self.scenario),
            arrival_s=[2 * s for s in self.arrival_s],
            asks=_slower(self.asks),
        )


def _slower(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _slower_entry(key, entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_slower(entry) for entry in value]
    return value


def _slower_entry(key: str, value: Any) -> Any:
    if isinstance(value, int | float) and key.endswith("_per_s"):
        return value / 2
    if isinstance(value, int | float) and key.endswith("_s"):
        return value * 2
    return _slower(value)


@st.composite
def durations(draw: st.DrawFn, families: Sequence[str] = FAMILIES, least_s: float = 0.0) -> dict:
    family = draw(st.sampled_from(families))
    mean_s = draw(st.sampled_from([s for s in MEANS_S if s >= least_s]))
    spread = {"cv": draw(st.sampled_from([0.5, 2.0]))} if family == "lognormal" else {}
    return {"distribution": family, "mean_s": mean_s} | spread


def optional(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


@st.composite
def tiers(draw: st.DrawFn, families: Sequence[str]) -> dict:
    servers = draw(st.integers(1, 3))
    scaling = None
    if draw(st.booleans()):
        scaling = {
            "min_servers": 1,
            "max_servers": 4,
            "target_utilisation": draw(st.sampled_from([0.3, 0.8])),
            "period_s": draw(st.sampled_from([2.0, 5.0])),
            "boot_s": draw(st.sampled_from([0.0, 3.0])),
            "cooldown_s": draw(st.sampled_from([0.0, 7.0])),
        }
    return {
        "servers": servers,
        "cores": draw(st.integers(1, 2)),
        "workers": draw(optional(st.integers(1, 3))),
        "queue_limit": draw(optional(st.integers(0, 3))),
        "wait_limit": draw(optional(durations(families))),
        "discipline": draw(st.sampled_from(["ps", "fcfs"])),
        "balancing": draw(st.sampled_from(["shared", "round_robin", "least_connections"])),
        "autoscaling": scaling,
    }


@st.composite
def programs(draw: st.DrawFn, families: Sequence[str]) -> list[dict]:
    """Draw a program: an upload, a stop at the web tier, nested work in the application, a call."""
    times = durations(families)

    def some(*rows: dict) -> list[dict]:
        return list(rows) if draw(st.booleans()) else []

    inside = (
        some({"cpu": "app", "work": draw(times)})
        + some({"delay": draw(times)})
        + some({"cpu": "web", "work": draw(times)})
        + some({"transfer": "uplink"})
    )
    database = some(
        {"take": "db"}, *some({"cpu": "app", "work": draw(times)}), *some({"call": "pay"})
    )
    if database:
        database += some({"release": "db"})
    held = some({"take": "app"}, *inside, *database, *some({"release": "app"}))
    rows = (
        some({"transfer": "uplink"})
        + some({"cpu": "web", "work": draw(times)})
        + held
        + some({"call": "pay", "optional": draw(st.booleans())})
        + some({"cpu": "app", "work": draw(times)})
    )
    return rows + some({"enqueue": "sync"}) + some({"enqueue": "archive"})


@st.composite
def item_programs(draw: st.DrawFn, families: Sequence[str]) -> dict[str, list[dict]]:
    """Draw what items do that compete with requests and bring forth others."""
    times = durations(families)

    def some(*rows: dict) -> list[dict]:
        return list(rows) if draw(st.booleans()) else []

    held = some({"take": "app"}, *some({"cpu": "app", "work": draw(times)}), *some({"take": "db"}))
    return {
        "sync": some({"cpu": "web", "work": draw(times)})
        + held
        + some({"call": "national", "optional": draw(st.booleans())})
        + some({"enqueue": "archive"}),
        "archive": some({"call": "pay"}) + some({"cpu": "app", "work": draw(times)}),
    }


@st.composite
def portals(draw: st.DrawFn, families: Sequence[str]) -> dict:
    gateway = st.fixed_dictionaries(
        {
            "latency": durations(families),
            "timeout_s": optional(st.sampled_from([0.5, 1.0, 2.5])),
            "concurrency": optional(st.integers(1, 3)),
            "rate_limit_per_s": optional(st.sampled_from([0.5, 2.0])),
            "burst": st.integers(1, 4),
            "error_share": st.sampled_from([0.0, 0.3]),
        }
    )
    job = st.fixed_dictionaries(
        {
            "period_s": st.sampled_from([1.0, 2.5]),
            "batch": st.integers(1, 5),
            "workers": st.integers(1, 2),
            "skip_if_running": st.booleans(),
            "offset_s": st.sampled_from([0.0, 0.4]),
            "retries": st.integers(0, 2),
            "initial_queue": st.integers(0, 3),
        }
    )
    item = [{"call": "national"}, {"delay": draw(durations(families))}]
    return {
        "tiers": {"web": draw(tiers(families)), "app": draw(tiers(families))},
        "pools": {
            "db": {
                "capacity": draw(st.integers(1, 3)),
                "queue_limit": draw(optional(st.integers(0, 3))),
                "wait_limit": draw(optional(durations(families))),
                "per_server_of": draw(st.sampled_from([None, "app"])),
            }
        },
        "gateways": {"pay": draw(gateway), "national": draw(gateway)},
        "links": {"uplink": {"bandwidth_bit_per_s": draw(st.sampled_from([1e5, 1e6]))}},
        "jobs": {
            "sync": draw(job) | {"program": item, "then": draw(st.sampled_from([None, "archive"]))},
            "archive": draw(job) | {"program": [{"delay": draw(durations(families))}]},
        },
        "endpoints": {
            name: {
                "group": "all_of_them",
                "program": draw(programs(families)),
                "files_dossier": name == "submit",
            }
            for name in ("page", "submit", "status")
        },
    }


@st.composite
def faults(draw: st.DrawFn) -> list[dict]:
    kinds = [
        {"kind": "server_lost", "target": "app", "servers": draw(st.integers(1, 2))},
        {"kind": "server_lost", "target": "web", "servers": 1},
        {"kind": "tier_slow", "target": "app", "factor": 4.0},
        {"kind": "gateway_slow", "target": "pay", "factor": 3.0},
        {"kind": "gateway_down", "target": "pay"},
        {"kind": "gateway_silent", "target": "national"},
        {"kind": "link_slow", "target": "uplink", "factor": 10.0},
        {"kind": "job_stopped", "target": "sync"},
    ]
    chosen = draw(st.lists(st.sampled_from(kinds), max_size=3))
    return [
        fault
        | {
            "from_s": draw(st.sampled_from([0.0, 2.0, 5.5])),
            "to_s": draw(st.sampled_from([6.0, 9.5, 20.0])),
        }
        for fault in chosen
    ]


clients = st.fixed_dictionaries(
    {
        "retries": st.integers(0, 3),
        "backoff_s": st.sampled_from([0.0, 0.5]),
        "backoff_factor": st.sampled_from([1.0, 2.0]),
        "jitter": st.sampled_from([0.0, 0.5]),
    }
)

asks = st.fixed_dictionaries(
    {
        "endpoint": st.integers(0, 2),
        "think_s": st.sampled_from([0.0, 0.3, 2.0]),
        "bytes_up": st.sampled_from([0, 500, 40_000]),
        "flags": st.sampled_from([0, 0, TOGETHER, WHILE_SYNCING, TOGETHER | WHILE_SYNCING]),
    }
)


@pytest.fixture(scope="session")
def cases(cases_on, simulate) -> Callable[..., st.SearchStrategy[Case]]:
    """Return the strategy of cases on each engine; its arguments narrow them."""
    return cases_on(simulate)


@pytest.fixture(scope="session")
def cases_on(scenario_dict, trace_of) -> Callable[..., Callable[..., st.SearchStrategy[Case]]]:
    """Return a function of what simulates: the strategy of cases whose records it makes."""

    def cases_on(simulate: Callable[..., Any]) -> Callable[..., st.SearchStrategy[Case]]:
        return _cases(scenario_dict, trace_of, simulate)

    return cases_on


def _cases(
    scenario_dict: Callable[..., dict], trace_of: Callable[..., Trace], simulate: Callable
) -> Callable[..., st.SearchStrategy[Case]]:
    def run(case: Case) -> Any:
        scenario = Scenario.model_validate(case.scenario)
        trace = trace_of(scenario, case.arrival_s, each=case.asks, channel=case.channel)
        return simulate(scenario, 0, trace)

    @st.composite
    def strategy(
        draw: st.DrawFn,
        families: Sequence[str] = FAMILIES,
        with_faults: bool = True,
        with_patience: bool = True,
        most_sessions: int = 15,
        with_busy_items: bool = False,
    ) -> Case:
        client = draw(clients)
        if with_patience:
            client |= {"patience": draw(optional(durations(families, least_s=0.5)))}
        portal = draw(portals(families))
        if with_busy_items:
            for job, program in draw(item_programs(families)).items():
                portal["jobs"][job]["program"] = program
        scenario = scenario_dict(
            portal,
            QUIET_S,
            clients={"person": client},
            channels={
                "home": {"share": 0.5, "uplink_bit_per_s": 2e5, "round_trip_s": 0.05},
                "phone": {"share": 0.5, "uplink_bit_per_s": 5e4},
            },
            faults=draw(faults()) if with_faults else [],
            execution={"level_interval_s": 7.5},
        )
        n = draw(st.integers(1, most_sessions))
        arrival = st.floats(0.0, 12.0, allow_subnormal=False) | st.sampled_from([0.0, 2.0, 5.5])
        each = [draw(st.lists(asks, min_size=1, max_size=4)) for _ in range(n)]
        for own in each:
            own[0] = own[0] | {"flags": 0}
        arrival_s = sorted(draw(st.lists(arrival, min_size=n, max_size=n)))
        channel = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
        return Case(scenario, arrival_s, each, channel, run)

    return strategy


@pytest.fixture(scope="session")
def hash_of() -> Callable[[pa.Table], str]:
    """Return a function that gives a hash of a table's very bits."""

    def hash_of(table: pa.Table) -> str:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        return hashlib.sha256(sink.getvalue()).hexdigest()

    return hash_of
