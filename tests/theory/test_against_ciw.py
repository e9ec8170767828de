"""The model against Ciw, an independent simulator, on systems that have no closed form."""

import math

import ciw
import numpy as np
import pytest

from sim.demand.variates import lognormal_parameters
from sim.scenario.scenario import Scenario
from sim.streams import stream

RATES_PER_S = (0.8, 2.0, 1.2)
"""Arrivals in each third of the window: at the peak some stations are overloaded."""
INTERVAL_S = 120.0
DURATION_S = INTERVAL_S * len(RATES_PER_S)
REPLICATIONS = 14
EMPTY_S = 100_000.0
"""By then every customer has left."""


def bursts(rates_per_s, replication):
    rng = stream(6, replication, "tests.bursts")
    times = [
        (i + rng.random(rng.poisson(rate * INTERVAL_S))) * INTERVAL_S
        for i, rate in enumerate(rates_per_s)
    ]
    return np.sort(np.concatenate(times))


def ciw_bursts(rates_per_s):
    ends = [INTERVAL_S * (i + 1) for i in range(len(rates_per_s))]
    return ciw.dists.PoissonIntervals(list(rates_per_s), ends, DURATION_S)


def ciw_lognormal(mean_s, cv):
    return ciw.dists.Lognormal(*lognormal_parameters(mean_s, cv))


def assert_same_mean(ours, theirs):
    """Assert that two sets of independent values have one mean, within 4 combined errors."""
    error = math.hypot(*(np.std(v, ddof=1) / math.sqrt(len(v)) for v in (ours, theirs)))
    distance = (np.mean(ours) - np.mean(theirs)) / error
    assert abs(distance) < 4, f"{np.mean(ours):.4g}, Ciw {np.mean(theirs):.4g}: {distance:.2f}"


STATIONS = ("web.cpu", "app.cpu", "db.cpu")


@pytest.fixture(scope="module")
def ours(scenario_dict, trace_of, simulate):
    """Sojourn at each of three stations and the 95th percentile of the response, per replication.

    Half of the requests pass all three, half only the first two.
    """
    passage = [
        {"cpu": "web", "work": "exponential 0.5 s"},
        {"cpu": "app", "work": "lognormal 1.5 s cv 1.5"},
        {"cpu": "db", "work": "uniform 0.8 s"},
    ]
    portal = {
        "tiers": {
            name: {"cores": cores, "discipline": "fcfs"}
            for name, cores in {"web": 1, "app": 2, "db": 1}.items()
        },
        "endpoints": {
            "long": {"group": "all_of_them", "program": passage},
            "short": {"group": "all_of_them", "program": passage[:2]},
        },
    }
    scenario = Scenario.model_validate(
        scenario_dict(portal, DURATION_S, execution={"level_interval_s": EMPTY_S})
    )
    rows = []
    for replication in range(REPLICATIONS):
        arrival_s = bursts(RATES_PER_S, replication)
        coin = stream(6, replication, "tests.coins").integers(0, 2, len(arrival_s))
        each = [[{"endpoint": int(which)}] for which in coin]
        trace = trace_of(scenario, arrival_s, each=each, replication=replication)
        records = simulate(scenario, replication, trace)
        levels = records.levels.to_pandas().set_index("station")
        # Little's law, an identity in a run that ends empty.
        present = (levels["busy_mean"] + levels["queue_mean"]) * levels["to_s"]
        sojourn = present / levels["arrivals"]
        p95 = np.quantile(records.requests["response_s"].to_numpy(), 0.95)
        rows.append([*sojourn.loc[list(STATIONS)], p95])
    return np.array(rows)


@pytest.fixture(scope="module")
def theirs():
    """The same of Ciw."""
    half = [rate / 2 for rate in RATES_PER_S]
    services = [
        ciw.dists.Exponential(1 / 0.5),
        ciw_lognormal(1.5, 1.5),
        ciw.dists.Uniform(0.0, 1.6),
    ]
    rows = []
    for replication in range(REPLICATIONS):
        ciw.seed(replication)
        network = ciw.create_network(
            arrival_distributions={
                "long": [ciw_bursts(half), None, None],
                "short": [ciw_bursts(half), None, None],
            },
            service_distributions={"long": services, "short": services},
            routing={
                "long": [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]],
                "short": [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
            },
            number_of_servers=[1, 2, 1],
        )
        simulation = ciw.Simulation(network)
        simulation.simulate_until_max_time(EMPTY_S)
        visits = simulation.get_all_records(only=["service"])
        sojourn = [
            np.mean([v.exit_date - v.arrival_date for v in visits if v.node == node])
            for node in (1, 2, 3)
        ]
        first, last = {}, {}
        for v in visits:
            first[v.id_number] = min(first.get(v.id_number, math.inf), v.arrival_date)
            last[v.id_number] = max(last.get(v.id_number, 0.0), v.exit_date)
        response_s = [last[customer] - first[customer] for customer in first]
        rows.append([*sojourn, np.quantile(response_s, 0.95)])
    return np.array(rows)


@pytest.mark.parametrize("station", [0, 1, 2], ids=STATIONS)
def test_a_network_under_time_varying_load_has_ciws_mean_sojourn(station, ours, theirs):
    assert_same_mean(ours[:, station], theirs[:, station])


def test_a_network_under_time_varying_load_has_ciws_95th_percentile(ours, theirs):
    assert_same_mean(ours[:, -1], theirs[:, -1])


def test_a_short_impatient_queue_under_time_varying_load_loses_as_many_as_ciws(
    one_endpoint, trace_of, scenario_dict, simulate
):
    """Two workers, four places, exponential patience in the queue, log-normal service."""
    tier = {"workers": 2, "queue_limit": 4, "wait_limit": "exponential 4 s"}
    portal = one_endpoint(
        [{"take": "app"}, {"delay": "lognormal 1.5 s cv 1.5"}], tiers={"app": tier}
    )
    scenario = Scenario.model_validate(scenario_dict(portal, DURATION_S))
    ours, theirs = [], []
    for replication in range(REPLICATIONS):
        arrival_s = bursts(RATES_PER_S, 100 + replication)
        trace = trace_of(scenario, arrival_s, replication=replication)
        outcomes = simulate(scenario, replication, trace).requests["outcome"].to_pylist()
        ours.append(np.array([outcomes.count(o) for o in ("rejected", "timed_out")]))
        ciw.seed(1000 + replication)
        network = ciw.create_network(
            arrival_distributions=[ciw_bursts(RATES_PER_S)],
            service_distributions=[ciw_lognormal(1.5, 1.5)],
            number_of_servers=[2],
            queue_capacities=[4],
            reneging_time_distributions=[ciw.dists.Exponential(1 / 4)],
        )
        simulation = ciw.Simulation(network)
        simulation.simulate_until_max_time(EMPTY_S)
        kinds = [v.record_type for v in simulation.get_all_records()]
        theirs.append(np.array([kinds.count(k) for k in ("rejection", "renege")]))
    for column in (0, 1):
        assert_same_mean([row[column] for row in ours], [row[column] for row in theirs])
    assert np.mean(ours) > 10
