"""Portal and offices together: one trace, both engines, and what one does to the other."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from loadtests.work import Plan, drawn, trace_digest
from sim.compiled import CompiledEngineError, simulate_in_chunks
from sim.compiled import simulate as compiled_engine
from sim.compiled.offices import simulate_offices
from sim.demand import Trace, draw_trace
from sim.engine import simulate as simpy_engine
from sim.experiment import run_experiment
from sim.metrics import check_conservation
from sim.results import TABLES, Records, replication_parts, write_replication
from sim.results.files import read_table
from sim.scenario import ScenarioError
from sim.scenario.scenario import Scenario
from sim.workload import draw_workload, draw_workload_chunks, expected_workload

TOLERANCE = 1e-9
"""Relative, and in s near 0: the two engines may round differently, no more."""

City = Callable[..., Scenario]


@pytest.fixture(name="city")
def _city(city_dict: Callable[..., dict]) -> City:
    return lambda **changes: Scenario.model_validate(city_dict(**changes))


@pytest.fixture(name="year")
def _year(city: City) -> Scenario:
    """Return a week of offices that get their dossiers without a portal."""
    week = {"start": "2024-11-25T00:00", "duration_s": 7 * 86400.0, "drain_s": 0.0}
    feeding = {
        "fed_by": "demand",
        "officer_journey": None,
        "intake": {"job": "sync", "error_share": 0.1, "resend": {"mean_s": 3600.0}},
        "publication": {"job": "sync", "error_share": 0.1},
    }
    return city(offices=feeding, window=week)


def assert_twins(one: Records, other: Records) -> None:
    """Assert that two runs have the same rows, texts and counts, and the same times."""
    for name in TABLES:
        left, right = one.table(name), other.table(name)
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


def sessions_of(trace: Trace, journey: str) -> list[tuple[bytes, ...]]:
    """Return all that a trace says of each session of a journey, but for its number."""
    found = np.flatnonzero(trace.journey == trace.journeys.index(journey))
    per_session = ("arrival_s", "service", "channel")
    per_request = ("endpoint", "think_s", "bytes_up", "flags", "key")
    bounds = zip(trace.first_request[found], trace.first_request[found + 1], strict=True)
    return [
        tuple(getattr(trace, name)[session].tobytes() for name in per_session)
        + tuple(getattr(trace, name)[start:end].tobytes() for name in per_request)
        for session, (start, end) in zip(found, bounds, strict=True)
    ]


def mean_response_s(records: Records) -> float:
    """Return the mean response of the citizens' requests."""
    is_citizens = pc.not_equal(pc.cast(records.requests["endpoint"], "string"), "case")
    return float(pc.mean(records.requests["response_s"].filter(is_citizens)).as_py())


def test_both_engines_give_the_same_records_of_portal_and_offices(city: City) -> None:
    one, other = simpy_engine(city(), 0), compiled_engine(city(), 0)
    assert {"portal", "counter", "backlog"} == set(one.dossiers["filed"].to_pylist())
    assert_twins(one, other)
    assert one.notes.keys() == other.notes.keys() == {"coupling"}
    assert one.notes["coupling"] == pytest.approx(other.notes["coupling"], rel=TOLERANCE)


def test_both_engines_give_the_same_records_of_offices_alone(year: Scenario) -> None:
    one, other = simpy_engine(year, 0), compiled_engine(year, 0)
    assert one.requests.num_rows == one.sessions.num_rows == 0
    assert {"online", "counter", "backlog"} == set(one.dossiers["filed"].to_pylist())
    assert one.dossiers.num_rows > 1000
    assert_twins(one, other)


def test_records_of_portal_and_offices_are_sound(city: City, year: Scenario) -> None:
    for scenario in (city(), year):
        assert check_conservation(compiled_engine(scenario, 1)) == []


def test_offices_send_their_officers_and_leave_citizens_alone(city: City) -> None:
    citizens, everybody = draw_trace(city(), 0), draw_workload(city(), 0, simulate_offices)
    officers = sessions_of(everybody, "work")
    assert len(officers) > 100
    assert len(set(officers)) == len(officers)
    assert sessions_of(everybody, "file") == sessions_of(citizens, "file")
    assert everybody.n_sessions == citizens.n_sessions + len(officers)


def test_the_trace_in_pieces_is_the_whole(city: City) -> None:
    whole = draw_workload(city(), 2, simulate_offices)
    pieces = list(draw_workload_chunks(city(), 2, 10, simulate_offices))
    assert len(pieces) == -(-whole.n_sessions // 10)
    for name in ("arrival_s", "journey", "service", "endpoint", "think_s", "key"):
        joined = np.concatenate([getattr(piece, name) for piece in pieces])
        assert joined.tobytes() == getattr(whole, name).tobytes(), name


def test_a_load_test_replays_the_trace_that_is_simulated(city: City) -> None:
    plan = Plan(run="0", scenario="city", host="http://127.0.0.1:1", replication=3, max_time_s=1.0)
    _, asked = drawn(plan, city())
    assert trace_digest(asked) == trace_digest(draw_workload(city(), 3, simulate_offices))


def test_without_an_officers_journey_the_trace_is_the_demand_alone(city: City) -> None:
    for scenario in (city(offices={"officer_journey": None}), city(backoffice=None)):
        drawn, workload = draw_trace(scenario, 0), draw_workload(scenario, 0, simulate_offices)
        for field in dataclasses.fields(Trace):
            ours, theirs = getattr(drawn, field.name), getattr(workload, field.name)
            same = ours == theirs
            assert same.all() if isinstance(ours, np.ndarray) else same


def test_offices_alone_meet_no_sessions(year: Scenario) -> None:
    assert draw_workload(year, 0, simulate_offices).n_sessions == 0
    assert expected_workload(year, 0).requests == 0.0


def test_the_expected_workload_is_not_less_than_what_comes(city: City) -> None:
    expected = expected_workload(city(), 0)
    sizes = np.array([draw_workload(city(), r, simulate_offices).n_requests for r in range(8)])
    assert sizes.mean() < expected.requests + 4 * sizes.std(ddof=1) / np.sqrt(len(sizes))
    assert expected.requests < 3 * sizes.mean()


def test_both_passes_agree_where_the_portal_takes_no_time(city_dict: Callable[..., dict]) -> None:
    """Pages at once, and dossiers synchronised at once, as the first pass has it."""
    whole = city_dict()
    for endpoint in whole["portal"]["endpoints"].values():
        endpoint["program"] = []
    backlog_alone = whole | {"demand": whole["demand"] | {"dossiers_per_year": 1e-3}}
    scenario = Scenario.model_validate(backlog_alone)
    coupling = compiled_engine(scenario, 0).notes["coupling"]
    assert isinstance(coupling, dict)
    assert coupling["tasks"] > 50
    assert coupling["p95_s"] == coupling["only_one_share"] == 0.0


def test_a_slower_portal_moves_the_tasks_further(city_dict: Callable[..., dict]) -> None:
    p95_s = []
    for period_s in (30, 600):
        whole = city_dict()
        whole["portal"]["jobs"]["sync"]["period_s"] = period_s
        coupling = compiled_engine(Scenario.model_validate(whole), 0).notes["coupling"]
        assert isinstance(coupling, dict)
        p95_s.append(coupling["p95_s"])
    assert 0.0 < p95_s[0] < p95_s[1]


def test_officers_at_work_slow_the_citizens_pages(city_dict: Callable[..., dict]) -> None:
    """The same citizens with and without officers, and with more work in the offices."""
    means = {"none": [], "few": [], "many": []}
    for label, (journey, open_dossiers) in {
        "none": (None, 100),
        "few": ("work", 0),
        "many": ("work", 100),
    }.items():
        whole = city_dict(offices={"officer_journey": journey})
        whole["journeys"]["work"]["steps"][0]["calls"] = {"case": 20}
        brief = {"distribution": "exponential", "mean_s": 60.0}
        work = whole["backoffice"]["workflow"]["work"]
        whole["backoffice"]["workflow"]["work"] = dict.fromkeys(work, brief)
        backlog = whole["backoffice"]["initial_state"]["groups"]["communes"]
        backlog["open"] = {"receiving": open_dossiers}
        scenario = Scenario.model_validate(whole)
        means[label] = [mean_response_s(compiled_engine(scenario, r)) for r in range(10)]
    for fewer, more in (("none", "few"), ("few", "many")):
        slower_s = np.subtract(means[more], means[fewer])
        error_s = slower_s.std(ddof=1) / np.sqrt(len(slower_s))
        assert slower_s.mean() > 4 * error_s > 0, (fewer, more)


def test_records_in_pieces_are_those_of_the_whole(city: City, tmp_path: Path) -> None:
    whole = compiled_engine(city(), 0)
    write_replication(tmp_path, 0, whole)
    in_pieces = tmp_path / "in_pieces"
    in_pieces.mkdir()
    with replication_parts(in_pieces, 0, sessions_at_once=16) as append:
        simulate_in_chunks(city(), 0, draw_workload_chunks(city(), 0, 16, simulate_offices), append)
    [one], [other] = (list(folder.glob("replication-*")) for folder in (tmp_path, in_pieces))
    assert_twins(
        *(Records(**{name: read_table(part, name) for name in TABLES}) for part in (one, other))
    )
    assert (one / "notes.json").read_bytes() == (other / "notes.json").read_bytes()


@pytest.mark.parametrize("engine", ["compiled", "simpy"])
def test_a_run_says_how_well_the_passes_agree(city: City, tmp_path: Path, engine: str) -> None:
    run = run_experiment(city(), results_root=tmp_path, processes=1, replications=2, engine=engine)
    assert run.manifest.notes.keys() == {0, 1}
    for notes in run.manifest.notes.values():
        assert notes["coupling"]["tasks"] > 100
        assert 0.0 <= notes["coupling"]["only_one_share"] < 0.2


def test_offices_alone_are_run_and_stored(year: Scenario, tmp_path: Path) -> None:
    run = run_experiment(year, results_root=tmp_path, processes=1, replications=2)
    assert run.table("requests").num_rows == 0
    assert run.table("dossiers").num_rows > 1000
    assert run.manifest.notes == {}


def test_offices_alone_need_no_kernel_of_the_portal(
    year: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CompiledEngineError("nobody asked for it")

    monkeypatch.setattr("sim.compiled.compile_kernel", refuse)
    run = run_experiment(year, results_root=tmp_path, processes=1, replications=1)
    assert run.table("dossiers").num_rows > 500


@pytest.mark.parametrize("engine", [simpy_engine, compiled_engine])
def test_work_that_no_calendar_holds_is_a_fault_of_the_scenario(
    year: Scenario, engine: Callable[..., Records]
) -> None:
    assert year.backoffice is not None
    work = {task: {"mean_s": 1e9} for task in year.backoffice.workflow.work}
    data = year.model_dump(mode="json")
    data["backoffice"]["workflow"]["work"] = work
    with pytest.raises(ScenarioError, match=r"backoffice\.workflow: .* beyond the calendars"):
        engine(Scenario.model_validate(data), 0)
