"""A load test becomes a run with the tables of a simulation; nothing else can tell them apart."""

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from loadtests.collect import Measured, collect, figures_of, records_of
from loadtests.dialects import Acknowledgement
from loadtests.monitor import MonitorLog, levels_of, load_readings
from loadtests.patience import backoff_s, first_patience_s, patience_s
from loadtests.recorder import Part, Recorder, part_folder
from loadtests.smoke import RATE_PER_S, smoke_trace
from loadtests.work import (
    Conduct,
    LoadError,
    Order,
    Plan,
    WorkerReport,
    peak_rate_per_s,
    save_conduct,
    save_order,
    trace_digest,
)
from sim.comparison import compare
from sim.demand import Trace, catalogue_of, draw_trace
from sim.engine import simulate
from sim.metrics import check_conservation, summarise
from sim.model import client as simulated_client
from sim.results import LEVELS, OUTCOMES, TABLES, Records, RunWriter
from sim.scenario import load_scenario
from sim.scenario.scenario import Scenario

PLAN = Plan(run="ab12", scenario="s", host="http://127.0.0.1:1", dialect="d", max_time_s=100.0)

STEPS = [
    {"step": "look", "calls": {"a": 3}, "together": 3},
    {"step": "file", "calls": {"submit": 1}, "think": "1 s"},
    {"step": "poll", "calls": {"a": 1}, "think": "2 s", "repeat": 5, "while_syncing": True},
]


@pytest.fixture(name="scenario")
def _scenario(scenario_dict):
    """A busy tier, sessions with retries that file dossiers, a job that synchronises them."""
    program = [{"take": "app"}, {"cpu": "app", "work": "exponential 150 ms"}]
    portal = {
        "tiers": {"app": {"cores": 2, "workers": 4, "queue_limit": 4}},
        "jobs": {"sync": {"period_s": 5.0, "batch": 10}},
        "endpoints": {
            "a": {"group": "look", "program": program},
            "submit": {
                "group": "file",
                "files_dossier": True,
                "program": [*program, {"enqueue": "sync"}],
            },
        },
    }
    return Scenario.model_validate(
        scenario_dict(
            portal,
            60.0,
            clients={"person": {"patience": "exponential 2 s", "retries": 2, "backoff_s": 0.5}},
            journeys={"visit": {"client": "person", "steps": STEPS}},
            demand=scenario_dict(portal)["demand"] | {"dossiers_per_year": 6e7},
            targets=[{"metric": "all.response_s.p95", "at_most": 5.0}],
        )
    )


def replayed(trace: Trace, records: Records) -> Recorder:
    """Return a recorder of a load test in which everything went as in a simulation."""
    log = Recorder(trace)
    for row in records.requests.to_pylist():
        request = int(trace.first_request[row["session"]]) + row["step"]
        outcome = OUTCOMES.index(row["outcome"])
        log.request(
            request, row["attempt"], row["due_s"], row["sent_s"], row["response_s"], outcome
        )
    for row in records.sessions.to_pylist():
        log.session(row["session"], row["end_s"], row["outcome"] == "abandoned")
    for row in records.dossiers.to_pylist():
        if row["outcome"] == "acknowledged":
            promise = Acknowledgement("dossier", "7", f"hoso-ab12/{row['session']}/{row['step']}")
            at_s = row["acknowledged_s"]
            log.acknowledged(promise, row["session"], row["step"], row["attempt"], at_s)
            if not np.isnan(row["synced_s"]):
                log.synced(row["session"], row["synced_s"])
    log.usage(1.0, 0.2, 0.0, 1e8, 1)
    return log


def halves(trace: Trace, records: Records) -> list[Part]:
    """Return what two workers would have recorded of a simulation."""
    parts = []
    for worker in (0, 1):
        chosen = {
            name: records.table(name).filter(
                np.asarray(records.table(name)["session"].to_numpy() % 2 == worker)
            )
            for name in ("requests", "sessions", "dossiers")
        }
        log = replayed(trace, Records(**chosen, levels=records.levels))
        parts.append(Part(worker, log.tables()))
    return parts


def working_folder(tmp_path: Path, scenario: Scenario, trace: Trace, plan: Plan = PLAN) -> Path:
    """Return a working folder that nobody has carried yet."""
    folder = tmp_path / "work"
    save_order(Order(folder, plan, scenario, trace))
    return folder


def conduct(**fields: object) -> Conduct:
    """Return how a whole test of one worker went."""
    usual: dict[str, object] = {
        "run": PLAN.run,
        "started": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "ended_s": 100.0,
        "workers": (WorkerReport(index=0, name="here", delivered=True),),
    }
    return Conduct.model_validate(usual | fields)


def test_a_load_that_went_as_simulated_has_the_records_of_the_simulation(scenario) -> None:
    trace = draw_trace(scenario, 0)
    simulated = simulate(scenario, 0, trace)
    measured = Measured.of(trace, halves(trace, simulated), 60.0)
    records = records_of(measured, scenario, LEVELS.empty_table())
    told = [name for name in TABLES["requests"].names if name != "wait_s"]
    assert simulated.requests.num_rows > 200
    assert records.requests.select(told).equals(simulated.requests.select(told))
    assert records.sessions.equals(simulated.sessions)
    acknowledged = np.array(simulated.dossiers["outcome"].to_pylist()) == "acknowledged"
    expected = simulated.dossiers.filter(acknowledged).to_pydict()
    assert len(expected["session"]) > 10
    for name, values in records.dossiers.to_pydict().items():
        if name != "submitted_s":
            np.testing.assert_equal(values, expected[name])


def test_a_measured_run_is_compared_with_a_simulated_one_request_by_request(
    scenario, tmp_path: Path
) -> None:
    trace = draw_trace(scenario, 0)
    simulated = simulate(scenario, 0, trace)
    folder = working_folder(tmp_path, scenario, trace)
    replayed(trace, simulated).save(part_folder(folder, 0))
    save_conduct(conduct(), folder)
    measured = collect(folder, tmp_path / "results")
    with RunWriter.resume_or_create(tmp_path / "results", scenario) as writer:
        writer.add(0, simulated)
        run = writer.finish(summarise=summarise)
    comparison = compare(run, measured)
    assert comparison.pairing == "paired"
    assert comparison.requests is not None
    assert comparison.requests.n > 100
    assert comparison.requests.mean_s == 0.0


def test_the_manifest_says_measured_and_how_the_load_went(scenario, tmp_path: Path) -> None:
    trace = draw_trace(scenario, 0)
    folder = working_folder(tmp_path, scenario, trace)
    log = replayed(trace, simulate(scenario, 0, trace))
    log.problem("a", "500: out of order")
    log.save(part_folder(folder, 0))
    save_conduct(conduct(), folder)
    run = collect(folder, tmp_path / "results")
    manifest = run.manifest
    assert (manifest.source, manifest.engine, manifest.status) == ("measured", "locust", "complete")
    assert manifest.trust["verdict"] == "trustworthy"
    assert manifest.load["reference"] == "hoso-ab12"
    assert manifest.load["problems"] == [
        {"endpoint": "a", "problem": "500: out of order", "count": 1}
    ]
    assert run.summary["conservation"] == []
    acknowledged = pq.read_table(run.path / "acknowledged.parquet").to_pylist()
    assert {row["kind"] for row in acknowledged} == {"dossier"}
    assert acknowledged[0]["reference"].startswith("hoso-ab12/")


def test_an_interrupted_load_is_a_complete_run_of_what_there_was(scenario, tmp_path: Path) -> None:
    trace = draw_trace(scenario, 0)
    folder = working_folder(tmp_path, scenario, trace)
    log = Recorder(trace)
    came_s = float(trace.arrival_s[0])
    log.request(0, 0, came_s, came_s, 0.1, 0)
    log.session(0, came_s + 0.1, False)
    log.save(part_folder(folder, 0))
    save_conduct(conduct(stopped="stopped by hand", ended_s=1.0), folder)
    run = collect(folder, tmp_path / "results")
    assert run.manifest.status == "interrupted"
    assert run.manifest.load["stopped"] == "stopped by hand"
    assert run.sessions["session"].to_pylist() == [0], "the others never came"
    assert list(check_conservation(run)) == []


def test_a_dropped_session_came_and_was_abandoned_at_once(scenario) -> None:
    trace = draw_trace(scenario, 0)
    log = Recorder(trace)
    log.dropped(3, float(trace.arrival_s[3]) + 0.001)
    measured = Measured.of(trace, [Part(0, log.tables())], 60.0)
    (row,) = records_of(measured, scenario, LEVELS.empty_table()).sessions.to_pylist()
    assert (row["session"], row["outcome"], row["requests"]) == (3, "abandoned", 0)
    assert figures_of(measured, scenario, conduct()).dropped == 1


def test_a_worker_that_delivered_nothing_is_named(scenario, tmp_path: Path) -> None:
    trace = draw_trace(scenario, 0)
    folder = working_folder(tmp_path, scenario, trace)
    replayed(trace, simulate(scenario, 0, trace)).save(part_folder(folder, 0))
    workers = (
        WorkerReport(index=0, name="here", delivered=True),
        WorkerReport(index=1, name="there", delivered=False),
    )
    save_conduct(conduct(workers=workers), folder)
    trust = collect(folder, tmp_path / "results").manifest.trust
    assert trust["verdict"] == "untrustworthy"
    assert "worker 1 (there)" in trust["reasons"][0]


def test_lateness_and_load_are_judged_in_the_window_only(scenario_dict, one_endpoint, trace_of):
    window = {"start": "2024-11-25T08:00", "duration_s": 10.0, "warm_up_s": 5.0}
    scenario = Scenario.model_validate(scenario_dict(one_endpoint([]), window=window))
    trace = trace_of(scenario, [1.0, 6.0, 7.0])
    log = Recorder(trace)
    for request, (due_s, late_s) in enumerate([(1.0, 0.5), (6.0, 0.001), (7.0, 0.001)]):
        log.request(request, 0, due_s, due_s + late_s, 1.0, 0)
    measured = Measured.of(trace, [Part(0, log.tables())], 10.0)
    figures = figures_of(measured, scenario, conduct())
    assert figures.requests == 2
    assert figures.lateness_max_s == pytest.approx(0.001)


def test_a_load_that_could_not_begin_says_why(scenario, tmp_path: Path) -> None:
    folder = working_folder(tmp_path, scenario, draw_trace(scenario, 0))
    save_conduct(Conduct(run=PLAN.run, failure="no worker has connected"), folder)
    with pytest.raises(LoadError, match="no worker has connected"):
        collect(folder, tmp_path / "results")


def test_a_folder_whose_driver_was_killed_is_no_run(scenario, tmp_path: Path) -> None:
    folder = working_folder(tmp_path, scenario, draw_trace(scenario, 0))
    with pytest.raises(LoadError, match=r"epoch\.json"):
        collect(folder, tmp_path / "results")


def test_readings_of_the_monitor_become_levels(scenario, tmp_path: Path) -> None:
    log = MonitorLog(scenario)
    for second in range(20):
        job = {"queue": second, "age_s": 2.0 * second, "busy": 1}
        job |= {"arrivals": 105 + 3 * second, "departures": 100 + 2 * second}
        pool = {"busy": 3, "queue": 0, "capacity": 4}
        log.add(float(second), {"jobs": {"sync": job}, "workers": pool, "cpu_s": 1.0})
    log.save(tmp_path)
    levels = levels_of(load_readings(tmp_path), 10.0, 20.0, 0)
    rows = {(row["station"], row["from_s"]): row for row in levels.to_pylist()}
    assert set(rows) == {("sync", 0.0), ("sync", 10.0), ("app.workers", 0.0), ("app.workers", 10.0)}
    second_half = rows["sync", 10.0]
    assert second_half["queue_mean"] == pytest.approx(14.5)
    assert (second_half["queue_max"], second_half["queue_age_max_s"]) == (19.0, 38.0)
    assert (second_half["arrivals"], second_half["departures"]) == (30, 20)
    assert rows["app.workers", 0.0]["utilisation"] == pytest.approx(0.75)
    assert levels.schema.equals(LEVELS)


def test_a_portal_without_a_monitor_leaves_no_levels(tmp_path: Path) -> None:
    levels = levels_of(load_readings(tmp_path), 10.0, 20.0, 0)
    assert levels.num_rows == 0
    assert levels.schema.equals(LEVELS)


@pytest.mark.parametrize("family", ["exponential 2 s", "lognormal 3 s cv 0.5", "4 s"])
def test_clients_wait_and_pause_as_in_the_simulation(scenario_dict, trace_of, family: str) -> None:
    program = {"tiers": {"spare": {}}, "endpoints": {"e": {"group": "g", "program": []}}}
    person = {"patience": family, "retries": 3, "backoff_s": 1.0, "jitter": 0.5}
    scenario = Scenario.model_validate(scenario_dict(program, clients={"person": person}))
    client = scenario.clients["person"]
    trace = trace_of(scenario, list(range(50)), [{}, {}])
    first = first_patience_s(trace, [client])
    for request, key in enumerate(trace.key.tolist()):
        assert first[request] == pytest.approx(simulated_client.patience_s(client, key, 0))
        for attempt in (1, 2):
            expected_s = simulated_client.patience_s(client, key, attempt)
            assert patience_s(client, key, attempt) == expected_s
            expected_s = simulated_client.backoff_s(client, key, attempt)
            assert backoff_s(client, key, attempt) == expected_s


def test_a_smoke_test_asks_for_every_service_once_at_a_bounded_rate() -> None:
    scenario = load_scenario("peak-hour")
    trace = smoke_trace(scenario)
    assert sorted(trace.service.tolist()) == list(range(len(catalogue_of(scenario).services)))
    assert trace.think_s.max() == 0.0
    seconds = np.bincount(np.repeat(trace.arrival_s, np.diff(trace.first_request)).astype(np.int64))
    assert seconds[:-1].mean() == pytest.approx(RATE_PER_S, rel=0.02)


def test_equal_traces_have_equal_digests_and_others_have_not(scenario) -> None:
    assert trace_digest(draw_trace(scenario, 1)) == trace_digest(draw_trace(scenario, 1))
    assert trace_digest(draw_trace(scenario, 1)) != trace_digest(draw_trace(scenario, 2))


def test_the_peak_rate_counts_requests_when_they_are_due(scenario_dict, one_endpoint, trace_of):
    scenario = Scenario.model_validate(scenario_dict(one_endpoint([])))
    asks = [{}, {"think_s": 100.0}, {"think_s": 1.0}]
    trace = trace_of(scenario, [0.0, 1.0, 2.0], asks)
    assert peak_rate_per_s(trace) == pytest.approx(6 / 10.0)
