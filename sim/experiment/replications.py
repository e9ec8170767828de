"""Replications of a scenario on any executor, until the answer is precise enough.

A replication is addressed directly, so whoever runs it needs only the scenario and its index. A
worker stores its records itself when it sees the store's folder (processes of this machine, or a
cluster with a shared disk) and only says so; elsewhere it returns the tables, which Arrow pickles
as plain buffers. Nothing needs to be configured, and no records travel twice.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sim.experiment.engines import (
    DEFAULT_ENGINE,
    EngineName,
    Tell,
    make_ready,
    offices_of,
    simulator,
    versions_for,
)
from sim.experiment.errors import KEPT, ClusterError, ExperimentError
from sim.experiment.memory import processes_that_fit, sessions_at_once
from sim.experiment.pools import Pool, processes_of, workers
from sim.metrics import Estimate, MetricReader, summarise
from sim.results import (
    Records,
    ResultsError,
    Run,
    RunWriter,
    replication_parts,
    write_replication,
)
from sim.scenario import ScenarioError
from sim.scenario.scenario import Scenario

Replicate = Callable[[Scenario, int], Records]
"""One replication; a function that can be pickled by name."""


class Progress(Protocol):
    """Told how far an experiment is."""

    def __call__(self, done: int, total: int, label: str) -> None:
        """Take the replications done and planned so far, and the scenario's name."""


def run_experiment(
    scenario: Scenario,
    *,
    results_root: Path,
    overrides: Sequence[str] = (),
    executor: Executor | None = None,
    processes: int | None = None,
    replications: int | None = None,
    progress: Progress | None = None,
    resume: bool = True,
    engine: EngineName = DEFAULT_ENGINE,
    tell: Tell | None = None,
    simulate: Replicate | None = None,
) -> Run:
    """Run the replications of a scenario and store them as one run.

    After ``execution.replications`` it goes on in rounds until every target's interval is as
    narrow as ``execution.relative_half_width``, at most ``execution.max_replications``. The
    records depend neither on the executor, nor on the number of processes, nor on the memory.

    Parameters
    ----------
    scenario : Scenario
        The question.
    results_root : Path
        The store.
    overrides : sequence of str
        ``--set`` texts already applied, for the manifest.
    executor : Executor, optional
        Any executor, such as a cluster's (:func:`connected`); it is not shut down. Absent:
        processes of this machine.
    processes : int, optional
        How many processes; 1 runs in this one. Absent: one per processor.
    replications : int, optional
        Exactly so many replications, without a stopping rule.
    progress : Progress, optional
        Called after each replication.
    resume : bool
        Whether to go on with an interrupted run of the same question.
    engine : {"compiled", "simpy"}
        What simulates; an interrupted run goes on only with the engine it began with.
    tell : callable, optional
        Told what is waited for before the first replication.
    simulate : callable, optional
        Runs one replication instead of the engine.

    Returns
    -------
    Run
        The stored run.

    Raises
    ------
    ExperimentError
        When the engine cannot run here, a replication failed or does not fit in memory, a worker
        died, or Ctrl-C was pressed. Finished replications are kept for the next attempt.
    ResultsError
        When the store cannot be written.
    """
    if executor is None and simulate is None:
        # Before the workers start, so that they load what is compiled.
        make_ready(engine, scenario, tell)
        if not scenario.has_portal:  # cannot be cut into pieces
            processes = processes_that_fit(engine, scenario, processes_of(processes))
    first = scenario.execution.replications if replications is None else replications
    limit = _limit(scenario) if replications is None else replications
    versions = versions_for(engine)
    with (
        RunWriter.resume_or_create(
            results_root, scenario, overrides=overrides, engine=engine, resume=resume
        ) as writer,
        workers(scenario, executor, processes, limit) as pool,
    ):
        folder = writer.folder.resolve()
        task = _Task(engine, simulate, scenario, folder, pool.memory_bytes, versions)
        n = _run_until_precise(_Rounds(task, writer, pool, progress), first, limit)
        return writer.finish(replications=range(n), summarise=summarise)


@dataclass(frozen=True, slots=True)
class _Task:
    """One replication, as a worker gets it."""

    engine: EngineName
    simulate: Replicate | None
    scenario: Scenario
    folder: Path
    memory_bytes: float
    versions: Mapping[str, str]

    def __call__(self, replication: int) -> Records | None:
        """Store the records where this machine sees the folder, otherwise return them."""
        self._check_versions()
        n_sessions = None
        if self.simulate is None:
            n_sessions = sessions_at_once(
                self.engine, self.scenario, replication, self.memory_bytes
            )
        if n_sessions is not None:
            self._store_in_pieces(replication, n_sessions)
            return None
        simulate = self.simulate or simulator(self.engine, self.scenario)
        records = simulate(self.scenario, replication)
        if not self.folder.is_dir():
            return records
        write_replication(self.folder, replication, records)
        return None

    def _check_versions(self) -> None:
        """Refuse to mix the records of several versions in one run."""
        here = versions_for(self.engine)
        for name, version in self.versions.items():
            if here[name] != version:
                raise ExperimentError(
                    f"a worker has {name} {here[name]}, this is {version}: install the same there"
                )

    def _store_in_pieces(self, replication: int, n_sessions: int) -> None:
        """Draw, simulate and store so many sessions at a time."""
        from sim.compiled import simulate_in_chunks
        from sim.workload import draw_workload_chunks

        if not self.folder.is_dir():
            raise ExperimentError(
                f"replication {replication} does not fit in memory, and this worker does not see "
                f"{self.folder} to store it piece by piece: share that folder, or give the "
                "workers more memory"
            )
        make_ready(self.engine, self.scenario)
        chunks = draw_workload_chunks(
            self.scenario, replication, n_sessions, offices_of(self.engine)
        )
        with replication_parts(self.folder, replication, sessions_at_once=n_sessions) as append:
            simulate_in_chunks(self.scenario, replication, chunks, append)


class _Rounds:
    """Runs the replications that are still missing, at most some at once."""

    def __init__(
        self,
        task: _Task,
        writer: RunWriter,
        pool: Pool,
        progress: Progress | None,
    ) -> None:
        self.scenario = task.scenario
        self.writer = writer
        self._task = task
        self._submit = pool.executor.submit
        self._at_once = pool.at_once
        self._progress = progress
        self._running: dict[Future[Records | None], int] = {}

    def run(self, n: int) -> None:
        """Run what is missing of the first n replications."""
        missing = [index for index in range(n) if not self.writer.has(index)]
        self._tell(n - len(missing), n)
        try:
            for done, _ in enumerate(self._finished(missing), start=1 + n - len(missing)):
                self._tell(done, n)
        except ClusterError as error:
            raise ExperimentError(f"{error}; {KEPT}") from error
        except BrokenExecutor as error:
            suspects = ", ".join(map(str, sorted(self._running.values())))
            raise ExperimentError(
                f"a worker died in replication {suspects} (killed, or out of memory?); " + KEPT
            ) from error
        except KeyboardInterrupt as error:
            raise ExperimentError("interrupted; " + KEPT) from error
        finally:
            for future in self._running:
                future.cancel()

    def _finished(self, missing: Sequence[int]) -> Iterator[int]:
        """Yield the replications as they finish."""
        waiting = deque(missing)
        while waiting or self._running:
            while waiting and (self._at_once is None or len(self._running) < self._at_once):
                replication = waiting.popleft()
                self._running[self._submit(self._task, replication)] = replication
            done, _ = wait(self._running, return_when=FIRST_COMPLETED)
            # Failures last: what others finished meanwhile is kept.
            for future in sorted(done, key=lambda future: future.exception() is not None):
                self._collect(future, self._running[future])
                yield self._running.pop(future)

    def _collect(self, future: Future[Records | None], replication: int) -> None:
        error = future.exception()
        if isinstance(error, (BrokenExecutor, ResultsError, ScenarioError)):
            raise error
        if isinstance(error, ExperimentError):
            raise ExperimentError(f"{error}; {KEPT}") from error
        if error is not None:
            what = f"replication {replication} failed: {type(error).__name__}: {error}; "
            raise ExperimentError(what + KEPT) from error
        records = future.result()
        if records is not None:
            self.writer.add(replication, records)
        elif not self.writer.has(replication):
            raise ExperimentError(
                f"replication {replication} was stored in {self._task.folder} of another machine; "
                "give its workers the same disk, or none of that name"
            )

    def _tell(self, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(done, total, self.scenario.name)


def _run_until_precise(rounds: _Rounds, first: int, limit: int) -> int:
    """Run round after round; return how many replications that took."""
    scenario = rounds.scenario
    reader = MetricReader(scenario, dict.fromkeys(target.metric for target in scenario.targets))
    read, n = 0, first
    rounds.run(n)
    while n < limit:
        for replication in range(read, n):
            reader.read(rounds.writer, replication, batched=n == 1)
        read, needed = n, min(_needed(scenario, reader.estimates().values(), n), limit)
        if needed == n:
            break
        n = needed
        rounds.run(n)
    return n


def _limit(scenario: Scenario) -> int:
    """Return how many replications the scenario allows at most."""
    execution = scenario.execution
    if execution.relative_half_width is None or execution.max_replications is None:
        return execution.replications
    return execution.max_replications


def _needed(scenario: Scenario, estimates: Iterable[Estimate], n: int) -> int:
    """Return how many replications the targets' intervals seem to need; n when they are narrow.

    A width shrinks with the square root of the replications. The number depends on the records
    alone, so that any executor gives the same run; it at most doubles, as a width is an estimate.
    An interval that more replications cannot bring asks for none.
    """
    wanted = scenario.execution.relative_half_width
    assert wanted is not None
    most = n
    for estimate in estimates:
        width = estimate.relative_half_width
        if width is None:
            most = max(most, 2) if n == 1 else most
        elif width > wanted:
            most = max(most, 2 * n if math.isinf(width) else math.ceil(n * (width / wanted) ** 2))
    return min(most, 2 * n)
