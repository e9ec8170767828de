"""What a change of the scenario does, and does not do, to a run with the same demand and luck."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sim.scenario.scenario import Scenario
from sim.streams import stream

SETTINGS = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

WITHOUT_LOGNORMAL = ("constant", "exponential", "uniform")
"""Families whose variates double exactly with their mean."""

ROUNDING_S = 1e-9


def same_requests(one, other, hash_of):
    return all(
        hash_of(getattr(one, table)) == hash_of(getattr(other, table))
        for table in ("requests", "sessions", "dossiers")
    )


@SETTINGS
@given(data=st.data())
def test_the_same_scenario_and_trace_give_the_same_records(cases, hash_of, data):
    case = data.draw(cases())
    one, other = case.records(), case.records()
    assert same_requests(one, other, hash_of)
    assert hash_of(one.levels) == hash_of(other.levels)


@SETTINGS
@given(data=st.data())
def test_twice_as_slow_in_everything_takes_exactly_twice_as_long(cases, data):
    """Doubling is exact in floating point, so every time doubles to the last bit."""
    case = data.draw(cases(WITHOUT_LOGNORMAL))
    fast, slow = case.records(), case.twice_as_slow().records()
    times = {
        "requests": ("sent_s", "wait_s", "response_s"),
        "sessions": ("arrival_s", "end_s"),
        "dossiers": ("submitted_s", "acknowledged_s", "synced_s"),
    }
    for table, columns in times.items():
        one, other = getattr(fast, table).to_pandas(), getattr(slow, table).to_pandas()
        assert one["outcome"].tolist() == other["outcome"].tolist()
        for column in columns:
            np.testing.assert_array_equal(2 * one[column], other[column], err_msg=column)


@SETTINGS
@given(data=st.data())
def test_parts_that_nobody_uses_change_nothing(cases, hash_of, data):
    def more(scenario):
        portal = scenario["portal"]
        scaling = {"min_servers": 1, "max_servers": 3, "period_s": 4.0}
        portal["tiers"]["idle"] = {"servers": 2, "autoscaling": scaling}
        portal["pools"]["idle_pool"] = {"capacity": 1}
        portal["gateways"]["idle_gateway"] = {"latency": {"mean_s": 1.0}}
        portal["links"]["idle_link"] = {"bandwidth_bit_per_s": 1.0}
        portal["jobs"]["idle_job"] = {"period_s": 3.0, "batch": 1}

    case = data.draw(cases())
    assert same_requests(case.records(), case.changed(more).records(), hash_of)


@SETTINGS
@given(data=st.data())
def test_the_order_in_which_parts_are_listed_changes_nothing(cases, hash_of, data):
    def reversed_order(scenario):
        portal = scenario["portal"]
        for block in ("tiers", "gateways"):
            portal[block] = dict(reversed(portal[block].items()))

    case = data.draw(cases())
    assert same_requests(case.records(), case.changed(reversed_order).records(), hash_of)


@SETTINGS
@given(data=st.data())
def test_what_is_watched_changes_nothing(cases, hash_of, data):
    def finer(scenario):
        scenario["execution"]["level_interval_s"] = 1.3

    case = data.draw(cases())
    assert same_requests(case.records(), case.changed(finer).records(), hash_of)


@SETTINGS
@given(data=st.data())
def test_patience_without_retries_decides_only_who_stays_for_the_answer(cases, data):
    """The server never knows, so a client's answer is due when it would be anyway."""

    def with_patience(patience_s):
        def change(scenario):
            patience = {"mean_s": patience_s} if patience_s else None
            scenario["clients"]["person"] = {"patience": patience}

        return change

    case = data.draw(cases())
    case = replace(case, asks=[own[:1] for own in case.asks])
    runs = [case.changed(with_patience(s)).records().requests for s in (None, 2.0, 0.5)]
    patient, fair, hasty = (run.to_pandas() for run in runs)
    for rows, patience_s in ((fair, 2.0), (hasty, 0.5)):
        left = rows["outcome"] == "abandoned"
        sooner = patient["response_s"] < patience_s - ROUNDING_S
        later = patient["response_s"] > patience_s + ROUNDING_S
        assert not left[sooner].any()
        assert left[later].all()
        np.testing.assert_array_equal(rows["response_s"][~left], patient["response_s"][~left])
    assert set(np.flatnonzero(fair["outcome"] == "abandoned")) <= set(
        np.flatnonzero(hasty["outcome"] == "abandoned")
    )


def single_station(one_endpoint, kind, servers):
    work = "lognormal 1 s cv 2"
    if kind == "cores":
        tier = {"cores": servers, "discipline": "fcfs"}
        return one_endpoint([{"cpu": "app", "work": work}], tiers={"app": tier})
    return one_endpoint([{"take": "app"}, {"delay": work}], tiers={"app": {"workers": servers}})


@SETTINGS
@given(
    kind=st.sampled_from(["cores", "workers"]),
    servers=st.integers(1, 4),
    gaps=st.lists(st.floats(0.0, 2.0, allow_subnormal=False), min_size=2, max_size=40),
)
def test_one_more_server_at_a_single_station_delays_nobody(
    kind, servers, gaps, one_endpoint, run_of
):
    """Kiefer and Wolfowitz: the vector of workloads is monotone in the number of servers."""
    arrival_s = np.cumsum(gaps) / servers
    few, more = (
        run_of(single_station(one_endpoint, kind, n), arrival_s).requests["response_s"].to_numpy()
        for n in (servers, servers + 1)
    )
    assert (more <= few + ROUNDING_S).all()


@SETTINGS
@given(
    gaps=st.lists(st.floats(0.0, 2.0, allow_subnormal=False), min_size=3, max_size=40),
    data=st.data(),
)
def test_a_request_that_stays_away_delays_nobody_at_a_single_station(
    gaps, one_endpoint, scenario_dict, trace_of, data, simulate
):
    arrival_s = np.cumsum(gaps) / 2
    scenario = Scenario.model_validate(
        scenario_dict(single_station(one_endpoint, "workers", 2), arrival_s[-1] + 1)
    )
    trace = trace_of(scenario, arrival_s)
    gone = data.draw(st.integers(0, len(gaps) - 1))
    columns = ("arrival_s", "journey", "service", "channel", "endpoint", "think_s", "bytes_up")
    without = {
        name: np.delete(getattr(trace, name), gone) for name in (*columns, "flags", "key")
    } | {"first_request": trace.first_request[:-1]}
    everybody = simulate(scenario, 0, trace).requests["response_s"].to_numpy()
    fewer = simulate(scenario, 0, replace(trace, **without)).requests["response_s"].to_numpy()
    assert (fewer <= np.delete(everybody, gone) + ROUNDING_S).all()


@pytest.mark.parametrize("more", ["first", "second"])
def test_one_more_server_of_a_tandem_does_not_lengthen_the_mean_response(
    more, one_endpoint, run_of, poisson_times
):
    """Single requests may be later, for they overtake; the mean is not."""
    for replication in range(20):
        means = []
        for extra in (0, 1):
            tiers = {
                name: {"cores": 2 + (extra if name == more else 0), "discipline": "fcfs"}
                for name in ("first", "second")
            }
            program = [
                {"cpu": "first", "work": "lognormal 1 s cv 1.5"},
                {"cpu": "second", "work": "exponential 1 s"},
            ]
            arrival_s = poisson_times(1.7, 60.0, replication)
            records = run_of(one_endpoint(program, tiers=tiers), arrival_s, replication=replication)
            means.append(records.requests["response_s"].to_numpy().mean())
        assert means[1] <= means[0]


def test_longer_waiting_limits_lose_fewer_requests_on_average(one_endpoint, run_of, poisson_times):
    """Not in every run: a request that waits longer and is served keeps others waiting."""
    lost = []
    for replication in range(12):
        row = []
        for limit_s in (1.0, 3.0):
            tier = {"workers": 2, "wait_limit": f"exponential {limit_s} s"}
            portal = one_endpoint(
                [{"take": "app"}, {"delay": "exponential 1 s"}], tiers={"app": tier}
            )
            records = run_of(portal, poisson_times(2.2, 100.0, replication))
            row.append(records.requests["outcome"].to_pylist().count("timed_out"))
        lost.append(row)
    fewer = np.diff(np.array(lost), axis=1).ravel()
    assert fewer.mean() + 4 * fewer.std(ddof=1) / np.sqrt(len(fewer)) < 0


def test_more_clients_on_as_much_more_capacity_wait_no_longer_on_average(
    one_endpoint, run_of, poisson_times
):
    """Economy of scale: 2 workers at load 0.8, and 8 at the same."""
    gains = []
    for replication in range(12):
        waits = []
        for scale in (1, 4):
            tier = {"workers": 2 * scale}
            portal = one_endpoint(
                [{"take": "app"}, {"delay": "exponential 1 s"}], tiers={"app": tier}
            )
            arrival_s = poisson_times(1.6 * scale, 120.0, replication)
            waits.append(run_of(portal, arrival_s).requests["wait_s"].to_numpy().mean())
        gains.append(waits[0] - waits[1])
    assert np.mean(gains) > 4 * np.std(gains, ddof=1) / np.sqrt(len(gains))


@pytest.fixture(scope="module")
def drawn_scenario(scenario_dict):
    """A scenario whose demand is drawn, with random work and a backlog."""
    portal = {
        "tiers": {"app": {"cores": 1, "workers": 2, "balancing": "least_connections"}},
        "jobs": {
            "sync": {
                "period_s": 5,
                "batch": 3,
                "initial_queue": 4,
                "program": [{"delay": "exponential 1 s"}],
            }
        },
        "endpoints": {
            "e": {
                "group": "all_of_them",
                "program": [{"take": "app"}, {"cpu": "app", "work": "lognormal 1 s cv 2"}],
            }
        },
    }
    return scenario_dict(portal, 3000.0)


def test_a_replication_is_the_same_whether_reached_directly_or_after_others(
    drawn_scenario, hash_of, simulate
):
    scenario = Scenario.model_validate(drawn_scenario)
    in_turn = [simulate(scenario, replication) for replication in range(3)]
    direct = simulate(Scenario.model_validate(drawn_scenario), 2)
    for table in ("requests", "sessions", "dossiers", "levels"):
        assert hash_of(getattr(in_turn[2], table)) == hash_of(getattr(direct, table))
    assert hash_of(in_turn[1].requests) != hash_of(direct.requests)
    backlogs = [
        run.levels.to_pandas().query("station == 'sync'")["busy_mean"].iloc[0] for run in in_turn
    ]
    assert len(set(backlogs)) == 3


_IN_ANOTHER_PROCESS = """
import json, sys
from {engine} import simulate
from sim.scenario.scenario import Scenario
records = simulate(Scenario.model_validate(json.load(sys.stdin)), 1)
json.dump([records.requests.to_pylist(), records.levels.to_pylist()], sys.stdout)
"""


def test_another_process_with_another_hash_seed_gives_the_same_records(drawn_scenario, simulate):
    answers = [
        subprocess.run(
            [sys.executable, "-c", _IN_ANOTHER_PROCESS.format(engine=simulate.__module__)],
            input=json.dumps(drawn_scenario),
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert answers[0] == answers[1]
    requests, _ = json.loads(answers[0])
    here = simulate(Scenario.model_validate(drawn_scenario), 1).requests.to_pylist()
    assert requests == here


def test_merged_and_thinned_demand_is_the_same_station_to_its_requests(
    one_endpoint, run_of, hash_of
):
    """Two endpoints that do the same are one endpoint under two names."""
    rng = stream(5, 0, "tests.split")
    arrival_s = np.sort(rng.random(200) * 100)
    twice = single_station(one_endpoint, "cores", 1)
    twice["endpoints"]["again"] = twice["endpoints"]["e"]
    each = [[{"endpoint": int(which)}] for which in rng.integers(0, 2, 200)]
    one = run_of(single_station(one_endpoint, "cores", 1), arrival_s)
    two = run_of(twice, arrival_s, each=each)
    assert one.requests["response_s"].equals(two.requests["response_s"])
    assert hash_of(one.levels) == hash_of(two.levels)
