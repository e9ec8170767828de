"""Where replications run: this process, processes of this machine, or somebody's executor."""

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from sim.experiment.cluster import ClusterExecutor
from sim.experiment.memory import DEFAULT_SHARE, memory_in_all
from sim.scenario.scenario import Scenario

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Pool:
    """An executor, and how to use it.

    Attributes
    ----------
    executor : Executor
        Where tasks run.
    at_once : int or None
        Tasks it should have at once; None: as many as there are.
    memory_bytes : float
        Memory that each of them may take.
    """

    executor: Executor
    at_once: int | None
    memory_bytes: float


@contextmanager
def workers(
    scenario: Scenario, executor: Executor | None, processes: int | None, most: int
) -> Iterator[Pool]:
    """Give something that runs replications.

    Parameters
    ----------
    scenario : Scenario
        The question; ``execution.memory`` is shared among the tasks that run at once.
    executor : Executor or None
        Somebody's own: used as it is, with no limit. None: processes of this machine, which end
        with the block, and with this process.
    processes : int or None
        How many processes; 1 runs in this one. None: one per processor.
    most : int
        Tasks there will be at most; more processes are not started.
    """
    n_processes = min(processes_of(processes), most)
    memory_bytes = memory_in_all(scenario) / n_processes
    if isinstance(executor, ClusterExecutor):
        yield Pool(executor, None, _memory_on(executor, scenario))
    elif executor is not None:
        yield Pool(executor, None, memory_bytes)
    elif n_processes == 1:
        yield Pool(_Serial(), 1, memory_bytes)
    else:
        with _process_pool(n_processes) as pool:
            yield Pool(pool, n_processes, memory_bytes)


def _memory_on(cluster: ClusterExecutor, scenario: Scenario) -> float:
    """Return the memory of one thread of a cluster's workers, bytes."""
    limit = cluster.memory_per_thread
    stated = scenario.execution.memory
    if limit is None:
        return stated or math.inf
    return min(DEFAULT_SHARE * limit, stated or math.inf)


@contextmanager
def _process_pool(n_processes: int) -> Iterator[Executor]:
    # Spawned: no locks or threads are inherited. One task each: when one dies, few are suspect.
    pool = ProcessPoolExecutor(
        n_processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare_worker,
    )
    try:
        yield pool
    except BaseException:
        _terminate(pool)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def processes_of(processes: int | None) -> int:
    """Return how many processes that means: None is one per processor this one may use."""
    if processes is not None:
        return processes
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
