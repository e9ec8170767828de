"""Records of one small run with everything in it, as reviewed: a change of the model shows here.

After a change that is meant, write them anew with `pytest --update-golden` and review the
difference.
"""

import csv
from pathlib import Path

import numpy as np
import pytest

from sim.demand.trace import TOGETHER, WHILE_SYNCING
from sim.results import TABLES
from sim.scenario.scenario import Scenario
from sim.streams import stream

GOLDEN = Path(__file__).parent / "mixed-portal"
DURATION_S = 60.0

PORTAL = {
    "tiers": {
        "web": {"servers": 2, "cores": 1, "discipline": "fcfs"},
        "app": {
            "servers": 2,
            "cores": 2,
            "workers": 4,
            "queue_limit": 3,
            "wait_limit": "exponential 6 s",
            "balancing": "least_connections",
            "autoscaling": {
                "min_servers": 1,
                "max_servers": 3,
                "target_utilisation": 0.5,
                "period_s": 10,
                "boot_s": 5,
                "cooldown_s": 15,
            },
        },
        "search": {"servers": 2, "workers": 2, "balancing": "round_robin"},
    },
    "pools": {
        "db": {"capacity": 2, "per_server_of": "app", "wait_limit": "4 s"},
        "cache": {"capacity": 1, "queue_limit": 1},
    },
    "gateways": {
        "pay": {
            "latency": "lognormal 800 ms cv 1",
            "timeout_s": 3,
            "concurrency": 2,
            "error_share": 0.1,
        },
        "npdb": {"latency": "exponential 300 ms", "rate_limit_per_s": 2, "burst": 6},
    },
    "links": {"uplink": {"bandwidth_bit_per_s": "8 Mbit/s"}},
    "jobs": {
        "sync": {
            "period_s": 3,
            "batch": 6,
            "workers": 3,
            "offset_s": 1,
            "retries": 2,
            "initial_queue": 2,
            "program": [{"call": "npdb"}, {"delay": "uniform 500 ms"}],
            "then": "archive",
        },
        "archive": {
            "period_s": 10,
            "batch": 20,
            "skip_if_running": False,
            "program": [{"cpu": "web", "work": "200 ms"}],
        },
    },
    "endpoints": {
        "page": {
            "group": "browse",
            "program": [
                {"cpu": "web", "work": "exponential 150 ms"},
                {"take": "search"},
                {"take": "cache"},
                {"cpu": "search", "work": "lognormal 400 ms cv 1.5"},
            ],
        },
        "submit": {
            "group": "submit",
            "files_dossier": True,
            "program": [
                {"transfer": "uplink"},
                {"take": "app"},
                {"cpu": "app", "work": "exponential 300 ms"},
                {"take": "db"},
                {"cpu": "app", "work": "300 ms"},
                {"release": "db"},
                {"call": "npdb", "optional": True},
                {"enqueue": "sync"},
            ],
        },
        "fee": {
            "group": "submit",
            "program": [{"take": "app"}, {"call": "pay"}, {"release": "app"}, {"delay": "50 ms"}],
        },
        "status": {"group": "browse", "program": [{"cpu": "web", "work": "50 ms"}]},
    },
}

FAULTS = [
    {"kind": "tier_slow", "target": "app", "from_s": 10, "to_s": 20, "factor": 3},
    {"kind": "server_lost", "target": "app", "from_s": 25, "to_s": 32, "servers": 1},
    {"kind": "gateway_silent", "target": "npdb", "from_s": 30, "to_s": 36},
    {"kind": "gateway_slow", "target": "pay", "from_s": 35, "to_s": 45, "factor": 4},
    {"kind": "gateway_down", "target": "pay", "from_s": 46, "to_s": 48},
    {"kind": "link_slow", "target": "uplink", "from_s": 15, "to_s": 22, "factor": 5},
    {"kind": "job_stopped", "target": "sync", "from_s": 40, "to_s": 52},
]

BROWSE = [{"endpoint": 0}, {"endpoint": 0, "think_s": 2.0}]
FILE = [
    {"endpoint": 0},
    {"endpoint": 1, "think_s": 1.5, "bytes_up": 150_000},
    {"endpoint": 1, "bytes_up": 250_000, "flags": TOGETHER},
    {"endpoint": 2, "think_s": 1.0},
    *[{"endpoint": 3, "think_s": 2.0, "flags": WHILE_SYNCING}] * 3,
]


@pytest.fixture(scope="module")
def scenario(scenario_dict):
    return Scenario.model_validate(
        scenario_dict(
            PORTAL,
            DURATION_S,
            channels={
                "home": {"share": 0.5, "uplink_bit_per_s": "5 Mbit/s", "round_trip_s": 0.02},
                "phone": {"share": 0.5, "uplink_bit_per_s": "1 Mbit/s", "round_trip_s": 0.08},
            },
            clients={
                "person": {
                    "patience": "lognormal 4 s cv 1",
                    "retries": 2,
                    "backoff_s": 1,
                    "jitter": 0.5,
                }
            },
            faults=FAULTS,
            execution={"level_interval_s": 20},
        )
    )


@pytest.fixture(scope="module")
def records(scenario, trace_of, simulate):
    rng = stream(scenario.seed, 0, "tests.golden")
    arrival_s = np.sort(rng.random(45) * DURATION_S)
    each = [FILE if files else BROWSE for files in rng.random(len(arrival_s)) < 0.6]
    channel = rng.integers(0, 2, len(arrival_s))
    return simulate(scenario, 0, trace_of(scenario, arrival_s, each=each, channel=channel))


def rows_of(table):
    """Return a table as rows of text."""
    columns = [table[name].to_pylist() for name in table.column_names]
    return [[_text(value) for value in row] for row in zip(*columns, strict=True)]


def _text(value):
    """Write a number to 12 digits, an unknown one as nothing."""
    if not isinstance(value, float):
        return "" if value is None else str(value)
    return "" if value != value else f"{value:.12g}"


def same(value, golden):
    try:
        return float(value) == pytest.approx(float(golden), rel=1e-9, abs=1e-9)
    except ValueError:
        return value == golden


@pytest.mark.parametrize("name", TABLES)
def test_records_are_as_reviewed(name, records, request):
    table, path = getattr(records, name), GOLDEN / f"{name}.csv"
    rows = [table.column_names, *rows_of(table)]
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    with path.open(newline="") as file:
        golden = list(csv.reader(file))
    assert rows[0] == golden[0]
    assert len(rows) == len(golden)
    different = [
        (number, column, value, was)
        for number, (row, reviewed) in enumerate(zip(rows, golden, strict=True), start=1)
        for column, value, was in zip(golden[0], row, reviewed, strict=True)
        if not same(value, was)
    ]
    assert not different, f"{path.name}: line, column, now, reviewed: {different[:5]}"


def test_the_digest_of_the_scenario_is_as_reviewed(scenario, request):
    """It names stored runs: when it changes, all of them are out of date."""
    path = GOLDEN / "digest.txt"
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{scenario.digest()}\n")
    assert path.read_text().strip() == scenario.digest()


def test_the_golden_run_has_everything_in_it(records):
    """Else it would guard less than it seems to."""
    assert set(records.requests["outcome"].to_pylist()) == {
        "ok",
        "rejected",
        "timed_out",
        "failed",
        "abandoned",
    }
    assert max(records.requests["attempt"].to_pylist()) == 2
    assert records.dossiers["outcome"].to_pylist().count("unacknowledged") > 0
    arrivals = _total(records, "arrivals")
    # Of the web tier only the processor is used.
    assert [station for station, count in arrivals.items() if count == 0] == ["web.workers"]
    waiting = ("web.cpu", "app.workers", "db", "cache", "pay", "sync", "archive", "uplink")
    longest = _total(records, "queue_max")
    assert all(longest[station] > 0 for station in waiting)


def _total(records, column):
    levels = records.levels.to_pandas()
    return levels.groupby("station")[column].sum().to_dict()
