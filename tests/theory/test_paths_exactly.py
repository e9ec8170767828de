"""Every request of one run against a recursion, and the laws that hold for every single run."""

import heapq

import numpy as np
import pytest

from sim.model.draws import FIRST_PROGRAM_SLOT, Slot
from sim.scenario.base import Distribution
from sim.scenario.scenario import Scenario

EXACT = 1e-9
"""Relative tolerance of what is exact but for rounding."""


def draws(trace, duration, slot=0):
    """Return the numbers that one slot of a program draws from a distribution, per request."""
    distribution = Distribution.model_validate(duration)
    return Slot.of(FIRST_PROGRAM_SLOT + slot, distribution).draw_all(trace.key)


def kiefer_wolfowitz(arrival_s, service_s, servers):
    """Return the waits in a FIFO queue before several servers; of one server: Lindley."""
    free_at = [0.0] * servers
    waits = []
    for arrival, service in zip(arrival_s, service_s, strict=True):
        start = max(arrival, heapq.heappop(free_at))
        waits.append(start - arrival)
        heapq.heappush(free_at, start + service)
    return np.array(waits)


@pytest.mark.parametrize("servers", [1, 2, 5])
@pytest.mark.parametrize("kind", ["cores", "workers", "tokens", "slots"])
def test_every_wait_obeys_the_kiefer_wolfowitz_recursion(
    servers, kind, one_endpoint, trace_of, scenario_dict, poisson_times, simulate
):
    duration = "lognormal 1 s cv 1.5"
    portal = {
        "cores": one_endpoint(
            [{"cpu": "app", "work": duration}],
            tiers={"app": {"cores": servers, "discipline": "fcfs"}},
        ),
        "workers": one_endpoint(
            [{"take": "app"}, {"delay": duration}], tiers={"app": {"workers": servers}}
        ),
        "tokens": one_endpoint(
            [{"take": "db"}, {"delay": duration}], pools={"db": {"capacity": servers}}
        ),
        "slots": one_endpoint(
            [{"call": "pay"}], gateways={"pay": {"latency": duration, "concurrency": servers}}
        ),
    }[kind]
    scenario = Scenario.model_validate(scenario_dict(portal, 800.0 / servers))
    arrival_s = poisson_times(0.9 * servers, 800.0 / servers, 0)
    trace = trace_of(scenario, arrival_s)
    requests = simulate(scenario, 0, trace).requests
    service_s = draws(trace, duration)
    expected = kiefer_wolfowitz(arrival_s, service_s, servers) + service_s
    np.testing.assert_allclose(requests["response_s"].to_numpy(), expected, rtol=EXACT, atol=1e-9)


def test_a_tandem_of_single_cores_is_two_lindley_recursions(
    one_endpoint, trace_of, scenario_dict, poisson_times, simulate
):
    works = ("exponential 1 s", "lognormal 1.1 s cv 2")
    tiers = {"a": {"discipline": "fcfs"}, "b": {"discipline": "fcfs"}}
    program = [{"cpu": "a", "work": works[0]}, {"cpu": "b", "work": works[1]}]
    scenario = Scenario.model_validate(scenario_dict(one_endpoint(program, tiers=tiers), 600.0))
    arrival_s = poisson_times(0.8, 600.0, 0)
    trace = trace_of(scenario, arrival_s)
    leave_s = arrival_s
    for slot, work in enumerate(works):
        service_s = draws(trace, work, slot)
        leave_s = leave_s + kiefer_wolfowitz(leave_s, service_s, 1) + service_s
    response_s = simulate(scenario, 0, trace).requests["response_s"].to_numpy()
    np.testing.assert_allclose(response_s, leave_s - arrival_s, rtol=EXACT, atol=1e-9)


def shared_departures(arrival_s, work_s, cores):
    """Return the ends of work on shared cores, by stepping from event to event."""
    left: dict[int, float] = {}
    ends = np.zeros(len(arrival_s))
    now, following = 0.0, 0
    while following < len(arrival_s) or left:
        rate = min(1.0, cores / len(left)) if left else 1.0
        end = min(left.values()) / rate + now if left else np.inf
        arrival = arrival_s[following] if following < len(arrival_s) else np.inf
        step, now = min(end, arrival) - now, min(end, arrival)
        first = min(left, key=left.__getitem__) if left else -1
        left = {k: w - step * rate for k, w in left.items()}
        if end <= arrival:
            ends[first] = now
            del left[first]
        else:
            left[following] = work_s[following]
            following += 1
    return ends


@pytest.mark.parametrize("cores", [1, 3])
def test_every_response_on_shared_cores_is_that_of_a_plain_fluid_calculation(
    cores, one_endpoint, trace_of, scenario_dict, poisson_times, simulate
):
    work = "lognormal 1 s cv 1.5"
    portal = one_endpoint([{"cpu": "app", "work": work}], tiers={"app": {"cores": cores}})
    scenario = Scenario.model_validate(scenario_dict(portal, 500.0))
    arrival_s = poisson_times(0.85 * cores, 500.0, 0)
    trace = trace_of(scenario, arrival_s)
    ends = shared_departures(arrival_s, draws(trace, work), cores)
    response_s = simulate(scenario, 0, trace).requests["response_s"].to_numpy()
    np.testing.assert_allclose(response_s, ends - arrival_s, rtol=1e-8, atol=1e-8)


STATIONS = {
    "shared.cpu": [{"cpu": "shared", "work": "exponential 50 ms"}],
    "turns.cpu": [{"cpu": "turns", "work": "lognormal 60 ms cv 2"}],
    "app.workers": [{"take": "app"}, {"delay": "exponential 70 ms"}],
    "db": [{"take": "db"}, {"delay": "uniform 80 ms"}],
    "pay": [{"call": "pay"}],
    "uplink": [{"transfer": "uplink"}],
}
"""A station, and a program that is at this station and nowhere else."""


@pytest.fixture(scope="module")
def busy_portal():
    return {
        "tiers": {
            "shared": {"cores": 2},
            "turns": {"cores": 2, "discipline": "fcfs"},
            "app": {"workers": 1, "servers": 2, "balancing": "round_robin"},
        },
        "pools": {"db": {"capacity": 2}},
        "gateways": {"pay": {"latency": "exponential 90 ms", "concurrency": 2}},
        "links": {"uplink": {"bandwidth_bit_per_s": 4e6}},
        "endpoints": {
            f"e{i}": {"group": "all_of_them", "program": program}
            for i, program in enumerate(STATIONS.values())
        },
    }


@pytest.fixture(scope="module")
def busy_run(busy_portal, run_of, poisson_times):
    arrival_s = poisson_times(90.0, 30.0, 0)
    asks = [
        [{"endpoint": i % len(STATIONS), "bytes_up": 1000 * (1 + i % 37)}]
        for i in range(len(arrival_s))
    ]
    execution = {"execution": {"level_interval_s": 7.0}}
    return run_of(busy_portal, arrival_s, each=asks, duration_s=30.0, blocks=execution)


@pytest.mark.parametrize("station", STATIONS)
def test_littles_law_holds_as_an_identity_at_every_station(station, busy_run, area):
    """∫ number present dt = sum of the times spent there, in a run that ends empty."""
    requests = busy_run.requests.to_pandas()
    there = requests[requests["endpoint"] == f"e{list(STATIONS).index(station)}"]
    # Of a link the queue is everybody present; busy is the bandwidth in use.
    columns = ["queue_mean"] if station == "uplink" else ["busy_mean", "queue_mean"]
    present = sum(area(busy_run, station, column) for column in columns)
    assert len(there) > 300
    assert present == pytest.approx(there["response_s"].sum(), rel=EXACT)
    if station not in ("shared.cpu", "turns.cpu", "uplink"):
        assert area(busy_run, station, "queue_mean") == pytest.approx(
            there["wait_s"].sum(), rel=EXACT
        )


def test_the_bandwidth_in_use_adds_up_to_the_bits_sent(busy_run, area):
    requests = busy_run.requests.to_pandas()
    bits = 8 * requests[requests["endpoint"] == f"e{list(STATIONS).index('uplink')}"]["bytes_up"]
    assert area(busy_run, "uplink", "busy_mean") == pytest.approx(bits.sum(), rel=EXACT)


def test_a_station_of_several_servers_is_the_sum_of_them(busy_run, area):
    for column in ("busy_mean", "queue_mean", "capacity"):
        parts = [area(busy_run, f"app[{i}].workers", column) for i in (0, 1)]
        assert area(busy_run, "app.workers", column) == pytest.approx(sum(parts), rel=EXACT)


@pytest.mark.parametrize(
    "tier",
    [
        {"cores": 3},
        {"cores": 3, "discipline": "fcfs"},
        {"cores": 1, "servers": 3, "balancing": "round_robin"},
        {"cores": 1, "servers": 3, "balancing": "least_connections", "discipline": "fcfs"},
    ],
)
def test_busy_time_is_the_work_given_whatever_the_discipline(
    tier, one_endpoint, trace_of, scenario_dict, poisson_times, area, simulate
):
    work = "lognormal 1 s cv 1.5"
    portal = one_endpoint([{"cpu": "app", "work": work}], tiers={"app": tier})
    scenario = Scenario.model_validate(scenario_dict(portal, 200.0))
    trace = trace_of(scenario, poisson_times(2.5, 200.0, 0))
    records = simulate(scenario, 0, trace)
    assert area(records, "app.cpu", "busy_mean") == pytest.approx(
        draws(trace, work).sum(), rel=EXACT
    )


def test_work_conserving_disciplines_drain_at_the_same_moment(
    one_endpoint, trace_of, scenario_dict, poisson_times, simulate
):
    ends = []
    for discipline in ("ps", "fcfs"):
        tier = {"discipline": discipline}
        portal = one_endpoint([{"cpu": "app", "work": "lognormal 1 s cv 1.5"}], tiers={"app": tier})
        scenario = Scenario.model_validate(scenario_dict(portal, 200.0))
        trace = trace_of(scenario, poisson_times(1.5, 200.0, 0))
        ends.append(simulate(scenario, 0, trace).sessions["end_s"].to_numpy().max())
    assert ends[0] == pytest.approx(ends[1], rel=EXACT)
    assert ends[0] > 200.0


def test_a_session_lasts_as_long_as_its_thinking_and_its_responses(run_of, one_endpoint):
    asks = [{"think_s": 0.3}, {"think_s": 1.7}, {"think_s": 0.0}]
    records = run_of(
        one_endpoint([{"delay": "exponential 1 s"}]), np.arange(50) * 0.37, asks, duration_s=30.0
    )
    sessions = records.sessions.to_pandas()
    responses = records.requests.to_pandas().groupby("session")["response_s"].sum()
    lasted = sessions["end_s"] - sessions["arrival_s"]
    np.testing.assert_allclose(lasted, responses + 2.0, rtol=EXACT)
