"""The compiled engine is the SimPy model's twin: the same records, request by request."""

import tempfile
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.compiled import simulate as compiled_engine
from sim.compiled import simulate_in_chunks
from sim.compiled import simulate_portal as compiled_portal
from sim.compiled.structs import Request, dtype_of
from sim.demand import draw_trace, expected_size
from sim.demand.trace import TOGETHER
from sim.engine import simulate as simpy_engine
from sim.engine import simulate_portal as simpy_portal
from sim.results import TABLES, replication_parts, write_replication
from sim.scenario import load_scenario
from sim.scenario.loader import shipped_scenarios
from sim.scenario.scenario import Scenario

SETTINGS = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

TOLERANCE = 1e-9
"""Relative, and in s near 0: the two engines may round differently, no more."""

FEW_REQUESTS = 4000
"""A trace that SimPy simulates in about a second."""

SESSION_COLUMNS = ("arrival_s", "journey", "service", "channel")
REQUEST_COLUMNS = ("endpoint", "think_s", "bytes_up", "flags", "key")


def both(*question):
    return simpy_engine(*question), compiled_engine(*question)


def assert_twins(one, other):
    """Assert that two runs have the same rows, outcomes and counts, and the same times."""
    for name in TABLES:
        left, right = getattr(one, name), getattr(other, name)
        assert left.schema == right.schema
        assert left.num_rows == right.num_rows, name
        for column in left.column_names:
            values, others = left[column].to_pylist(), right[column].to_pylist()
            if left.schema.field(column).type == "double":
                np.testing.assert_allclose(
                    values, others, rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"{name}.{column}"
                )
            else:
                assert values == others, f"{name}.{column}"


@SETTINGS
@given(data=st.data())
def test_random_portals_give_the_same_records(cases_on, data):
    assert_twins(*data.draw(cases_on(both)()).records())


@SETTINGS
@given(data=st.data())
def test_items_that_compete_with_requests_give_the_same_records(cases_on, data):
    assert_twins(*data.draw(cases_on(both)(with_busy_items=True)).records())


@SETTINGS
@given(data=st.data())
def test_constant_times_that_collide_are_decided_alike(cases_on, data):
    """Everything happens at few moments, so the order of what is due decides."""
    assert_twins(*data.draw(cases_on(both)(("constant",), with_busy_items=True)).records())


PORTALS = [name for name in shipped_scenarios() if load_scenario(name).has_portal]


@pytest.mark.parametrize("name", PORTALS)
def test_portals_of_shipped_scenarios_give_the_same_records(name):
    """With so little demand that SimPy has it soon, on servers so slow that it queues."""
    whole = load_scenario(name)
    share = FEW_REQUESTS / expected_size(whole, 0).requests
    dossiers = whole.demand.dossiers_per_year * share
    slow = [
        f"portal.jobs.{job}.period_s={spec.period_s / share**0.5}"
        for job, spec in whole.portal.jobs.items()
    ]
    scenario = load_scenario(name, [f"demand.dossiers_per_year={dossiers}", *slow])
    trace = draw_trace(scenario, 0)
    assert 0.5 * FEW_REQUESTS < trace.n_requests < 2 * FEW_REQUESTS
    assert_twins(simpy_portal(scenario, trace), compiled_portal(scenario, trace))


def test_the_peak_hour_in_full_gives_the_same_records_for_a_minute():
    scenario = load_scenario(
        "peak-hour", ["window.warm_up_s=0", "window.duration_s=60", "window.drain_s=60"]
    )
    assert_twins(*both(scenario, 0))


def test_a_crowd_at_one_moment_gives_the_same_records(scenario_dict, trace_of):
    """More clients, retries, dossiers and items at once than the kernel has room for at first."""
    work = {"distribution": "exponential", "mean_s": 0.01}
    portal = {
        "tiers": {"app": {"cores": 4, "workers": 8, "queue_limit": 900}},
        "jobs": {"sync": {"period_s": 1, "batch": 500, "workers": 200, "program": [{"delay": 2}]}},
        "endpoints": {
            "submit": {
                "group": "all_of_them",
                "files_dossier": True,
                "program": [{"take": "app"}, {"cpu": "app", "work": work}, {"enqueue": "sync"}],
            }
        },
    }
    client = {"patience": 3, "retries": 2, "backoff_s": 1}
    scenario = Scenario.model_validate(
        scenario_dict(portal, 20.0, clients={"person": client}, execution={"level_interval_s": 0.1})
    )
    asks = [{}, *[{"flags": TOGETHER}] * 3, {"think_s": 0.5}]
    trace = trace_of(scenario, [2.0] * 700, asks)
    one, other = both(scenario, 0, trace)
    assert other.dossiers.num_rows > 500
    assert_twins(one, other)


def test_days_without_an_event_give_the_same_records(scenario_dict, trace_of, one_endpoint):
    day_s = 86400.0
    scenario = Scenario.model_validate(
        scenario_dict(
            one_endpoint([{"delay": day_s}, {"delay": 0.5}]),
            40 * day_s,
            execution={"level_interval_s": day_s},
        )
    )
    arrival_s = [0.0, 0.001, 0.002, 0.003, 10 * day_s, 10 * day_s + 1, 39 * day_s]
    assert_twins(*both(scenario, 0, trace_of(scenario, arrival_s)))


def pieces(trace, sizes):
    """Cut a trace into pieces of so many sessions, in turn."""
    start, turn = 0, 0
    while start < trace.n_sessions:
        stop = min(start + sizes[turn % len(sizes)], trace.n_sessions)
        first = trace.first_request[start : stop + 1]
        yield replace(
            trace,
            first_request=first - first[0],
            **{name: getattr(trace, name)[start:stop] for name in SESSION_COLUMNS},
            **{name: getattr(trace, name)[first[0] : first[-1]] for name in REQUEST_COLUMNS},
        )
        start, turn = stop, turn + 1


def stored(store):
    """Return the files of one replication that is stored in a folder, by name."""
    with tempfile.TemporaryDirectory() as folder:
        store(Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def whole_and_in_pieces(scenario, trace, sizes):
    """Return the files of a trace simulated whole, and piece by piece."""
    replication = trace.replication

    def store_whole(folder):
        write_replication(folder, replication, compiled_engine(scenario, replication, trace))

    def store_pieces(folder):
        with replication_parts(folder, replication, sessions_at_once=sizes[0]) as append:
            simulate_in_chunks(scenario, replication, pieces(trace, sizes), append)

    return stored(store_whole), stored(store_pieces)


def assert_same_files(one, other):
    assert one.keys() == other.keys() == {f"{name}.parquet" for name in TABLES}
    for name, content in one.items():
        assert content == other[name], name


@SETTINGS
@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4), data=st.data())
def test_sessions_that_come_in_pieces_give_the_same_files(sizes, cases_on, data):
    def run(scenario, replication, trace):
        return whole_and_in_pieces(scenario, trace, sizes)

    assert_same_files(*data.draw(cases_on(run)(with_busy_items=True)).records())


@pytest.mark.parametrize(
    "name", ["peak-hour", "haiphong-2025-merged", "deadline-day", "gateway-slow"]
)
def test_shipped_scenarios_in_small_pieces_give_the_same_files(name):
    """Officers' sessions go on for hours, across most of the pieces."""
    whole = load_scenario(name)
    share = FEW_REQUESTS / expected_size(whole, 0).requests
    dossiers = whole.demand.dossiers_per_year * share
    scenario = load_scenario(name, [f"demand.dossiers_per_year={dossiers}"])
    trace = draw_trace(scenario, 0)
    assert "officer" in {trace.journeys[journey] for journey in trace.journey}
    assert_same_files(*whole_and_in_pieces(scenario, trace, [3, 7, 1]))


def test_a_crowd_that_retries_goes_from_piece_to_piece(scenario_dict, trace_of, one_endpoint):
    """Attempts after the first, and requests that nobody waits for, outlive many pieces."""
    scenario = Scenario.model_validate(
        scenario_dict(
            one_endpoint(
                [{"take": "app"}, {"delay": 2.0}], tiers={"app": {"cores": 2, "workers": 2}}
            ),
            60.0,
            clients={"person": {"patience": 5, "retries": 3, "backoff_s": 2}},
        )
    )
    trace = trace_of(scenario, [0.1 * number for number in range(100)], [{}, {"think_s": 1.0}])
    assert compiled_engine(scenario, 0, trace).requests["attempt"].to_numpy().max() == 3
    assert_same_files(*whole_and_in_pieces(scenario, trace, [5]))


def test_memory_holds_the_sessions_under_way_and_one_piece():
    """Whoever has ended when the next piece is asked for has been handed over, and forgotten."""
    scenario = load_scenario(
        "deadline-day", ["demand.dossiers_per_year=20000", "execution.level_interval_s=7200"]
    )
    trace = draw_trace(scenario, 0)
    end_s = compiled_engine(scenario, 0, trace).sessions["end_s"].to_numpy()
    handed_over, held_bytes = [], []

    def watched():
        n_given = 0
        for piece in pieces(trace, [25]):
            now = trace.arrival_s[n_given - 1]
            under_way = np.flatnonzero(end_s[:n_given] > now)
            assert sorted([*handed_over, *under_way]) == list(range(n_given))
            held_bytes.append(tracemalloc.get_traced_memory()[0])
            n_given += piece.n_sessions
            yield piece

    tracemalloc.start()
    try:
        simulate_in_chunks(
            scenario,
            0,
            watched(),
            lambda part: handed_over.extend(part.sessions["session"].to_pylist()),
        )
    finally:
        tracemalloc.stop()
    assert sorted(handed_over) == list(range(trace.n_sessions))
    assert max(held_bytes) < trace.n_requests * dtype_of(Request).itemsize / 2


def test_a_trace_without_sessions_ends_with_its_window(one_endpoint, run_of):
    records = run_of(one_endpoint([{"delay": "1 s"}]), [], duration_s=10.0)
    assert records.requests.num_rows == 0
    assert records.levels["to_s"].to_pylist()[-1] == 10.0
