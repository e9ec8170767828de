"""Replications on a real Dask scheduler and its workers, some of which die."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sim.experiment import ClusterError, ExperimentError, connected, run_experiment
from sim.experiment.engines import versions_for
from sim.results import TABLES, Run, RunWriter, runs_in
from sim.scenario import Scenario, load_scenario
from sim.sizing import size

pytest.importorskip("distributed")

BIN = Path(sys.executable).parent
LIMIT_S = 60.0


def question(**changes: object) -> Scenario:
    return load_scenario(
        "peak-hour",
        ["window.duration_s=40", "window.warm_up_s=0", "window.drain_s=60", "targets=[]"]
        + [f"{key}={value}" for key, value in changes.items()],
    )


@dataclass
class Cluster:
    """A scheduler and workers of one thread each, in processes of their own."""

    folder: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    address: str = ""

    def start(self) -> None:
        told = self.folder / "scheduler.json"
        self.scheduler = self._dask(
            "scheduler", "--port", "0", "--no-show", "--scheduler-file", str(told)
        )
        wait_until(told.exists)
        self.address = json.loads(told.read_text())["address"]

    def add_workers(self, n: int, *options: str, **environment: str) -> None:
        self.workers += [
            self._dask("worker", self.address, "--nthreads", "1", *options, **environment)
            for _ in range(n)
        ]

    def _dask(self, command: str, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        common = ["--host", "127.0.0.1", "--no-dashboard"]
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [BIN / "dask", command, *options, *common],
                cwd=self.folder,
                env=os.environ | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        for process in [*self.workers, self.scheduler]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a scheduler without workers; what was started ends with the test."""
    started = Cluster(tmp_path_factory.mktemp("dask"))
    try:
        started.start()
        yield started
    finally:
        started.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited for too long"
        time.sleep(0.05)


def ignore(text: str) -> None:
    """Take what a planner would be told."""


def digests(run: Run) -> list[str]:
    return [hashlib.sha256((run.path / f"{n}.parquet").read_bytes()).hexdigest() for n in TABLES]


def stored(root: Path) -> int:
    with RunWriter.resume_or_create(root, question(), engine="simpy") as writer:
        return len(writer.replications)


def test_a_worker_killed_in_the_middle_changes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    cluster.add_workers(3, "--no-nanny")
    serial = run_experiment(
        question(), results_root=tmp_path / "a", processes=1, replications=8, engine="simpy"
    )

    def kill_one(done: int, total: int, label: str) -> None:
        if done == 2:
            cluster.workers[0].kill()

    with connected(cluster.address, "simpy", ignore) as executor:
        wait_until(lambda: executor.n_threads == 3)
        run = run_experiment(
            question(),
            results_root=tmp_path / "b",
            executor=executor,
            replications=8,
            progress=kill_one,
            engine="simpy",
        )
        assert executor.n_threads == 2
    assert digests(run) == digests(serial)


def test_workers_that_come_late_are_waited_for_and_it_is_said(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.experiment.cluster.WATCH_S", 0.05)
    said: list[str] = []

    def hear(text: str) -> None:
        said.append(text)
        cluster.add_workers(1)

    with connected(cluster.address, "simpy", hear) as executor:
        run = run_experiment(
            question(),
            results_root=tmp_path,
            executor=executor,
            replications=1,
            engine="simpy",
        )
    assert run.replications == (0,)
    assert said == [f"{cluster.address} has no workers: waiting for some"]


def test_a_lost_scheduler_is_said_and_finished_replications_are_kept(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.add_workers(2, "--no-nanny")

    def kill_scheduler(done: int, total: int, label: str) -> None:
        if done == 2:
            cluster.scheduler.kill()

    with (
        connected(cluster.address, "simpy", ignore) as executor,
        pytest.raises(ExperimentError, match=r"connection to the scheduler .* was lost.*kept"),
    ):
        run_experiment(
            question(),
            results_root=tmp_path,
            executor=executor,
            replications=8,
            progress=kill_scheduler,
            engine="simpy",
        )
    assert runs_in(tmp_path / "peak-hour") == []
    assert stored(tmp_path) >= 2


def test_an_absent_scheduler_says_how_to_start_one(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.experiment.cluster.CONNECT_S", 0.5)
    cluster.stop()
    with (
        pytest.raises(ClusterError, match=r"no Dask scheduler answers .*dask scheduler"),
        connected(cluster.address, "simpy", ignore),
    ):
        pass


def test_what_is_no_address_is_said_so() -> None:
    with (
        pytest.raises(ClusterError, match="not the address of a scheduler"),
        connected("scheduler:port", "simpy", ignore),
    ):
        pass


def test_workers_of_another_version_are_refused(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.add_workers(1)
    with connected(cluster.address, "simpy", ignore) as executor:
        wait_until(lambda: executor.n_threads == 1)
    newer = versions_for("simpy") | {"hoso": "99.0"}
    monkeypatch.setattr("sim.experiment.cluster.versions_for", lambda engine: newer)
    with (
        pytest.raises(ClusterError, match=r"worker .* has hoso .*, this is 99\.0"),
        connected(cluster.address, "simpy", ignore),
    ):
        pass


def test_a_late_worker_of_another_version_is_refused(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = versions_for("simpy") | {"numpy": "99.0"}
    monkeypatch.setattr("sim.experiment.replications.versions_for", lambda engine: newer)
    with connected(cluster.address, "simpy", ignore) as executor:
        cluster.add_workers(1)
        with pytest.raises(ExperimentError, match=r"a worker has numpy .*, this is 99\.0"):
            run_experiment(
                question(), results_root=tmp_path, executor=executor, replications=1, engine="simpy"
            )


def test_a_replication_that_kills_every_worker_is_said_to_need_memory(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.add_workers(4, "--no-nanny")
    with connected(cluster.address, "simpy", ignore) as executor:
        wait_until(lambda: executor.n_threads == 4)
        future = executor.submit(os._exit, 137)
        with pytest.raises(ClusterError, match=r"out of memory: give them more"):
            future.result(timeout=LIMIT_S)


def test_a_cancelled_task_is_cancelled_on_the_cluster(cluster: Cluster) -> None:
    with connected(cluster.address, "simpy", ignore) as executor:
        future = executor.submit(time.sleep, 0)
        assert future.cancel()
        cluster.add_workers(1)
        assert executor.submit(len, "ab").result(timeout=LIMIT_S) == 2


@pytest.mark.slow
def test_sizing_on_a_cluster_gives_the_answer_of_this_machine(
    cluster: Cluster, tmp_path: Path
) -> None:
    target = "[{metric: all.ok_share, at_least: 0.5}]"
    scenario = question(targets=target)
    cluster.add_workers(2)
    with connected(cluster.address, "simpy", ignore) as executor:
        wait_until(lambda: executor.n_threads == 2)
        there = size(scenario, executor=executor, replications=2, engine="simpy")
    here = size(scenario, processes=1, replications=2, engine="simpy")
    assert there.steps == here.steps
    assert there.counts == here.counts


def test_no_thread_stays_behind(cluster: Cluster) -> None:
    with connected(cluster.address, "simpy", ignore):
        pass
    watchers = [thread for thread in threading.enumerate() if "watch" in thread.name]
    assert not watchers


def hoso(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "hoso", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_command_runs_on_a_cluster_and_says_what_is_wrong_with_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.add_workers(1)
    settings = ["--set", "window.duration_s=20", "--set", "window.warm_up_s=0", "--no-report"]
    command = ["run", "peak-hour", "--replications", "1", "--engine", "simpy", *settings]
    done = hoso(*command, "--set", "targets=[]", "--cluster", cluster.address, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cluster.stop()
    absent = hoso(*command, "--cluster", cluster.address, cwd=tmp_path)
    assert absent.returncode == 3
    assert "Traceback" not in absent.stderr
    assert "no Dask scheduler answers" in absent.stderr


def test_processes_of_a_cluster_are_its_own(tmp_path: Path) -> None:
    done = hoso(
        "run", "peak-hour", "--processes", "2", "--cluster", "tcp://127.0.0.1:1", cwd=tmp_path
    )
    assert done.returncode == 2
    assert "--processes or --cluster" in done.stderr
