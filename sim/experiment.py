"""Experiments: the replications of a scenario on any executor, until the answer is precise enough.

A replication is addressed directly, so whoever runs it needs only the scenario and its index. A
worker stores its records itself when it sees the store's folder (processes of this machine, or a
cluster with a shared disk) and only says so; elsewhere it returns the tables, which Arrow pickles
as plain buffers. Nothing needs to be configured, and no records travel twice.
"""

import math
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from sim.metrics import Estimate, MetricReader, summarise
from sim.results import Records, ResultsError, Run, RunWriter, write_replication
from sim.scenario.scenario import Scenario

Simulate = Callable[[Scenario, int], Records]
"""One replication; a function that can be pickled by name."""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_KEPT = "finished replications are kept: the same command goes on from there"


class ExperimentError(Exception):
    """A replication failed, a worker died, or the experiment was interrupted."""


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
    simulate: Simulate | None = None,
) -> Run:
    """Run the replications of a scenario and store them as one run.

    After ``execution.replications`` it goes on in rounds until every target's interval is as
    narrow as ``execution.relative_half_width``, at most ``execution.max_replications``. The
    records depend neither on the executor nor on the number of processes.

    Parameters
    ----------
    scenario : Scenario
        The question.
    results_root : Path
        The store.
    overrides : sequence of str
        ``--set`` texts already applied, for the manifest.
    executor : Executor, optional
        Any executor, such as a Dask client's; it is not shut down. Absent: processes of this
        machine.
    processes : int, optional
        How many processes; 1 runs in this one. Absent: one per processor.
    replications : int, optional
        Exactly so many replications, without a stopping rule.
    progress : Progress, optional
        Called after each replication.
    resume : bool
        Whether to go on with an interrupted run of the same question.
    simulate : callable, optional
        Runs one replication; absent: the engine.

    Returns
    -------
    Run
        The stored run.

    Raises
    ------
    ExperimentError
        When a replication failed, a worker died, or Ctrl-C was pressed. Finished replications are
        kept for the next attempt.
    ResultsError
        When the store cannot be written.
    """
    if simulate is None:
        from sim.engine import simulate as engine

        simulate = engine
    first = scenario.execution.replications if replications is None else replications
    limit = _limit(scenario) if replications is None else replications
    with RunWriter.resume_or_create(
        results_root, scenario, overrides=overrides, resume=resume
    ) as writer:
        task = _Task(simulate, scenario, writer.folder.resolve())
        with workers(executor, processes, limit) as (pool, at_once):
            rounds = _Rounds(task, writer, pool, at_once, progress)
            n = _run_until_precise(rounds, first, limit)
        return writer.finish(replications=range(n), summarise=summarise)


@dataclass(frozen=True, slots=True)
class _Task:
    """One replication, as a worker gets it."""

    simulate: Simulate
    scenario: Scenario
    folder: Path

    def __call__(self, replication: int) -> Records | None:
        """Store the records where this machine sees the folder, otherwise return them."""
        records = self.simulate(self.scenario, replication)
        if not self.folder.is_dir():
            return records
        write_replication(self.folder, replication, records)
        return None


class _Rounds:
    """Runs the replications that are still missing, at most some at once."""

    def __init__(
        self,
        task: _Task,
        writer: RunWriter,
        pool: Executor,
        at_once: int | None,
        progress: Progress | None,
    ) -> None:
        self.scenario = task.scenario
        self.writer = writer
        self._task = task
        self._pool = pool
        self._at_once = at_once
        self._progress = progress
        self._running: dict[Future[Records | None], int] = {}

    def run(self, n: int) -> None:
        """Run what is missing of the first n replications."""
        missing = [index for index in range(n) if not self.writer.has(index)]
        self._tell(n - len(missing), n)
        try:
            for done, _ in enumerate(self._finished(missing), start=1 + n - len(missing)):
                self._tell(done, n)
        except BrokenExecutor as error:
            suspects = ", ".join(map(str, sorted(self._running.values())))
            raise ExperimentError(
                f"a worker died in replication {suspects} (killed, or out of memory?); " + _KEPT
            ) from error
        except KeyboardInterrupt as error:
            raise ExperimentError("interrupted; " + _KEPT) from error
        finally:
            for future in self._running:
                future.cancel()

    def _finished(self, missing: Sequence[int]) -> Iterator[int]:
        """Yield the replications as they finish."""
        waiting = deque(missing)
        while waiting or self._running:
            while waiting and (self._at_once is None or len(self._running) < self._at_once):
                replication = waiting.popleft()
                self._running[self._pool.submit(self._task, replication)] = replication
            done, _ = wait(self._running, return_when=FIRST_COMPLETED)
            # Failures last: what others finished meanwhile is kept.
            for future in sorted(done, key=lambda future: future.exception() is not None):
                self._collect(future, self._running[future])
                yield self._running.pop(future)

    def _collect(self, future: Future[Records | None], replication: int) -> None:
        error = future.exception()
        if isinstance(error, (BrokenExecutor, ResultsError)):
            raise error
        if error is not None:
            what = f"replication {replication} failed: {type(error).__name__}: {error}; "
            raise ExperimentError(what + _KEPT) from error
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


class _Serial(Executor):
    """Runs each task when it is submitted, in this process."""

    def submit(
        self,
        fn: Callable[_Arguments, _Result],
        /,
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> Future[_Result]:
        future: Future[_Result] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


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


@contextmanager
def workers(
    executor: Executor | None, processes: int | None, most: int
) -> Iterator[tuple[Executor, int | None]]:
    """Give an executor, and how many tasks it should have at once.

    Parameters
    ----------
    executor : Executor or None
        Somebody's own: given back as it is, with no limit. None: processes of this machine,
        which end with the block, and with this process.
    processes : int or None
        How many processes; 1 runs in this one. None: one per processor.
    most : int
        Tasks there will be at most; more processes are not started.
    """
    n_processes = min(os.cpu_count() or 1 if processes is None else processes, most)
    if executor is not None:
        yield executor, None
    elif n_processes == 1:
        yield _Serial(), 1
    else:
        # Spawned: no locks or threads are inherited. One task each: when one dies, few are suspect.
        pool = ProcessPoolExecutor(
            n_processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_prepare_worker,
        )
        try:
            yield pool, n_processes
        except BaseException:
            _terminate(pool)
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare_worker() -> None:
    """Leave Ctrl-C to the parent, and end when the parent has died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _terminate(pool: ProcessPoolExecutor) -> None:
    """End the workers in the middle of their tasks (from Python 3.14: ``terminate_workers``)."""
    for process in list((pool._processes or {}).values()):
        process.terminate()
