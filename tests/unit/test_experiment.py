"""Experiments: replications on executors, resumption, failures, and the stopping rule."""

import functools
import hashlib
import os
import signal
import sys
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from sim.compiled.errors import CompiledEngineError
from sim.experiment import ExperimentError, run_experiment
from sim.experiment.engines import versions_for
from sim.results import TABLES, Records, ResultsError, Run, RunWriter, runs_in
from sim.scenario import Scenario, load_scenario
from sim.scenario.run import Execution, Target

MODULE = Path(__file__).stem
END_S = 1000.0
NAME = "peak-hour"


@functools.cache
def shipped() -> Scenario:
    return load_scenario(NAME, [f"window.duration_s={END_S}", "window.warm_up_s=0"])


def scenario(*targets: Target, **execution: object) -> Scenario:
    """A scenario with these targets; the records below do not depend on anything else of it."""
    chosen = Execution.model_validate({"replications": 3} | execution)
    return shipped().model_copy(update={"targets": targets, "execution": chosen})


def table(name: str, n: int, **columns: object) -> pa.Table:
    """A table of n rows; a column is one value for all of them or, unless text, an array."""
    schema = TABLES[name]
    arrays: list[pa.Array] = []
    for field in schema:
        if pa.types.is_dictionary(field.type):
            codes = pa.array(np.zeros(n, np.int32))
            name = pa.array([columns.get(field.name, "x")])
            arrays.append(pa.DictionaryArray.from_arrays(codes, name))
        else:
            values = np.broadcast_to(columns.get(field.name, 0), n)
            arrays.append(pa.array(values, field.type))
    return pa.table(arrays, schema=schema)


def answered(scenario: Scenario, replication: int, mean_s: float = 1.0) -> Records:
    """A cheap replication: 100 sessions of one request, response times exponential."""
    n = 100
    rng = np.random.default_rng((scenario.seed, replication))
    due_s = np.sort(rng.uniform(0, END_S, n))
    response_s = rng.exponential(mean_s, n)
    common = {"replication": replication, "session": np.arange(n)}
    times = {"due_s": due_s, "sent_s": due_s, "response_s": response_s}
    ends = {"arrival_s": due_s, "end_s": due_s + response_s, "requests": 1}
    return Records(
        requests=table("requests", n, **common, **times, outcome="ok"),
        sessions=table("sessions", n, **common, **ends, outcome="completed"),
        dossiers=TABLES["dossiers"].empty_table(),
        levels=TABLES["levels"].empty_table(),
    )


def uneven(scenario: Scenario, replication: int) -> Records:
    """Replications finish in another order than they start."""
    time.sleep(0.05 if replication % 2 == 0 else 0.0)
    return answered(scenario, replication)


def failing(scenario: Scenario, replication: int) -> Records:
    if replication == 2:
        raise ZeroDivisionError("no servers")
    return answered(scenario, replication)


def killed(scenario: Scenario, replication: int) -> Records:
    if replication == 1:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    return answered(scenario, replication)


def interrupting(scenario: Scenario, replication: int) -> Records:
    if replication == 2:
        signal.raise_signal(signal.SIGINT)
    return answered(scenario, replication)


def endless(scenario: Scenario, replication: int) -> Records:
    if replication > 0:
        time.sleep(600)
    return answered(scenario, replication)


def forbidden(scenario: Scenario, replication: int) -> Records:
    raise AssertionError(f"replication {replication} should not run")


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let spawned processes import this module by its file's name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setitem(sys.modules, MODULE, sys.modules[__name__])
    for function in (uneven, killed, endless):
        monkeypatch.setattr(function, "__module__", MODULE)


class Elsewhere(Executor):
    """An executor of another machine: what it gets and gives is pickled, the disk is not shared."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        import pickle

        remote = pickle.loads(pickle.dumps(fn))
        object.__setattr__(remote, "folder", Path("/nonexistent"))
        future: Future[Records] = Future()
        future.set_result(pickle.loads(pickle.dumps(remote(*args, **kwargs))))
        return future


def digests(run: Run) -> list[str]:
    return [hashlib.sha256((run.path / f"{n}.parquet").read_bytes()).hexdigest() for n in TABLES]


def stored(root: Path) -> tuple[int, ...]:
    """Replications an interrupted experiment left behind."""
    with RunWriter.resume_or_create(root, scenario(), engine="compiled") as writer:
        return writer.replications


def test_a_run_has_the_replications_of_the_scenario(tmp_path: Path) -> None:
    run = run_experiment(scenario(), results_root=tmp_path, processes=1, simulate=answered)
    assert run.replications == (0, 1, 2)
    assert run.requests.num_rows == 300
    assert runs_in(tmp_path / NAME) == [run.path]


def test_a_given_number_of_replications_is_exact(tmp_path: Path) -> None:
    asked = scenario(
        Target(metric="all.response_s.mean", at_most=1.0),
        relative_half_width=0.001,
        max_replications=50,
    )
    run = run_experiment(
        asked, results_root=tmp_path, processes=1, replications=4, simulate=answered
    )
    assert run.replications == (0, 1, 2, 3)


@pytest.mark.usefixtures("importable")
def test_one_process_two_processes_and_other_executors_give_the_same_records(
    tmp_path: Path,
) -> None:
    asked = scenario(replications=4)
    serial = run_experiment(asked, results_root=tmp_path / "a", processes=1, simulate=uneven)
    two = run_experiment(asked, results_root=tmp_path / "b", processes=2, simulate=uneven)
    with ThreadPoolExecutor(3) as executor:
        threads = run_experiment(
            asked, results_root=tmp_path / "c", executor=executor, simulate=uneven
        )
    other = run_experiment(
        asked, results_root=tmp_path / "d", executor=Elsewhere(), simulate=answered
    )
    assert digests(serial) == digests(two) == digests(threads) == digests(other)


def test_progress_is_told_from_start_to_end(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    run_experiment(
        scenario(),
        results_root=tmp_path,
        processes=1,
        simulate=answered,
        progress=lambda done, total, label: told.append((done, total, label)),
    )
    assert told == [(done, 3, NAME) for done in range(4)]


def test_a_failing_replication_is_named_and_the_finished_ones_are_kept(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"replication 2 failed: ZeroDivisionError.*kept"):
        run_experiment(scenario(), results_root=tmp_path, processes=1, simulate=failing)
    assert stored(tmp_path) == (0, 1)
    assert runs_in(tmp_path / NAME) == []


def test_ctrl_c_keeps_the_finished_replications_and_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"interrupted; .*same command goes on"):
        run_experiment(scenario(), results_root=tmp_path, processes=1, simulate=interrupting)
    assert stored(tmp_path) == (0, 1)


def test_the_same_command_goes_on_and_gives_the_run_it_would_have_given(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError):
        run_experiment(scenario(), results_root=tmp_path / "a", processes=1, simulate=failing)
    resumed = run_experiment(
        scenario(), results_root=tmp_path / "a", processes=1, simulate=answered
    )
    whole = run_experiment(scenario(), results_root=tmp_path / "b", processes=1, simulate=answered)
    assert digests(resumed) == digests(whole)


def test_finished_replications_do_not_run_again(tmp_path: Path) -> None:
    with RunWriter.resume_or_create(tmp_path, scenario(), engine="compiled") as writer:
        for replication in range(3):
            writer.add(replication, answered(scenario(), replication))
    run = run_experiment(scenario(), results_root=tmp_path, processes=1, simulate=forbidden)
    assert run.replications == (0, 1, 2)


@pytest.mark.usefixtures("importable")
def test_a_killed_worker_is_reported_with_its_replication(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"a worker died in replication .*\b1\b.*kept"):
        run_experiment(scenario(), results_root=tmp_path, processes=2, simulate=killed)
    assert 1 not in stored(tmp_path)
    run = run_experiment(scenario(), results_root=tmp_path, processes=1, simulate=answered)
    assert run.replications == (0, 1, 2)


@pytest.mark.usefixtures("importable")
def test_ctrl_c_does_not_wait_for_running_replications(tmp_path: Path) -> None:
    def press(done: int, total: int, label: str) -> None:
        if done == 1:
            main = threading.main_thread().ident
            assert main is not None
            threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT)).start()

    started = time.monotonic()
    with pytest.raises(ExperimentError, match="interrupted"):
        run_experiment(
            scenario(), results_root=tmp_path, processes=2, simulate=endless, progress=press
        )
    assert time.monotonic() - started < 60
    assert stored(tmp_path) == (0,)


def test_an_error_of_the_store_is_passed_on_as_it_is(tmp_path: Path) -> None:
    def wrong(scenario: Scenario, replication: int) -> Records:
        return answered(scenario, replication + 1)

    with pytest.raises(ResultsError, match="hold rows"):
        run_experiment(scenario(), results_root=tmp_path, processes=1, simulate=wrong)


def half_width(run: Run) -> float:
    means = [
        float(np.mean(run.table("requests", ["response_s"], replication=r)["response_s"]))
        for r in run.replications
    ]
    from scipy import stats

    error = np.std(means, ddof=1) / np.sqrt(len(means))
    return float(stats.t.ppf(0.975, len(means) - 1) * error / np.mean(means))


def test_replications_are_added_until_the_interval_is_narrow(tmp_path: Path) -> None:
    asked = scenario(
        Target(metric="all.response_s.mean", at_most=9.0),
        relative_half_width=0.05,
        max_replications=200,
    )
    run = run_experiment(asked, results_root=tmp_path, processes=1, simulate=answered)
    assert 3 < len(run.replications) < 200
    assert half_width(run) <= 0.05


def test_replications_end_at_their_maximum(tmp_path: Path) -> None:
    asked = scenario(
        Target(metric="all.response_s.mean", at_most=9.0),
        relative_half_width=0.001,
        max_replications=7,
    )
    run = run_experiment(asked, results_root=tmp_path, processes=1, simulate=answered)
    assert len(run.replications) == 7


@pytest.mark.parametrize("metric", ["all.response_s.p99", "all.ok_share"])
def test_what_more_replications_cannot_narrow_asks_for_none(tmp_path: Path, metric: str) -> None:
    asked = scenario(
        Target(metric=metric, at_most=9.0), relative_half_width=0.01, max_replications=50
    )
    run = run_experiment(asked, results_root=tmp_path, processes=1, simulate=answered)
    assert len(run.replications) == 3


def test_the_run_names_its_engine(tmp_path: Path) -> None:
    run = run_experiment(
        scenario(), results_root=tmp_path, processes=1, simulate=answered, engine="simpy"
    )
    assert run.manifest.engine == "simpy"
    assert "simpy" in run.manifest.versions


def test_an_engine_that_cannot_run_is_said_and_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(tell: object = None) -> None:
        raise CompiledEngineError("no compiler for this processor")

    monkeypatch.setattr("sim.compiled.compile_kernel", broken)
    with pytest.raises(ExperimentError, match=r"no compiler for this processor.*--engine simpy"):
        run_experiment(scenario(), results_root=tmp_path, processes=1, engine="compiled")
    assert runs_in(tmp_path / NAME) == []


def test_a_worker_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = versions_for("simpy") | {"hoso": "99.0"}
    found = iter([newer, versions_for("simpy")])
    monkeypatch.setattr("sim.experiment.replications.versions_for", lambda engine: next(found))
    with pytest.raises(ExperimentError, match=r"a worker has hoso .*, this is 99\.0.*kept"):
        run_experiment(
            scenario(), results_root=tmp_path, processes=1, simulate=answered, engine="simpy"
        )


def test_replications_in_pieces_give_the_files_of_whole_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = scenario(replications=2)
    whole = run_experiment(asked, results_root=tmp_path / "a", processes=1)
    monkeypatch.setattr("sim.experiment.replications.sessions_at_once", lambda *_: 150)
    pieces = run_experiment(asked, results_root=tmp_path / "b", processes=1)
    assert digests(pieces) == digests(whole)
    assert pieces.manifest.engine == "compiled"


def test_pieces_need_a_folder_to_be_stored_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.experiment.replications.sessions_at_once", lambda *_: 150)
    with pytest.raises(ExperimentError, match="share that folder"):
        run_experiment(scenario(), results_root=tmp_path, executor=Elsewhere())
