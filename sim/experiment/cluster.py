"""A Dask cluster as an executor: one that is absent, differs or is lost says what to do about it.

A worker that dies is Dask's to replace: its replications run again elsewhere, and give the same
records. What Dask cannot mend becomes a ``ClusterError``.
"""

import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, Protocol, TypedDict, TypeVar, cast

from sim.experiment.engines import EngineName, Tell, versions_for
from sim.experiment.errors import ClusterError

CONNECT_S = 10.0
"""How long a scheduler may take to answer. # assumption: a busy one answers in a few seconds"""

CLOSE_S = 5.0
"""How long parting from a scheduler that may be dead takes at most."""

WATCH_S = 5.0
"""How often it is looked whether the cluster has workers."""


class _Packages(TypedDict):
    packages: Mapping[str, str | None]


class _Versions(TypedDict):
    client: _Packages
    scheduler: _Packages
    workers: Mapping[str, _Packages]


class _Client(Protocol):
    """What is used of a ``distributed.Client``, most of which has no types."""

    def get_executor(self, *, pure: bool) -> Executor: ...
    def get_versions(self, *, check: bool, packages: Sequence[str]) -> _Versions: ...
    def nthreads(self) -> Mapping[str, int]: ...
    def scheduler_info(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]: ...
    def close(self, *, timeout: float) -> None: ...


_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_START = (
    "start one with `dask scheduler` and workers with `dask worker {address} --nthreads 1`, "
    "or run without --cluster"
)


@contextmanager
def connected(address: str, engine: EngineName, tell: Tell) -> Iterator["ClusterExecutor"]:
    """Give an executor that runs tasks on the workers of a Dask scheduler.

    Parameters
    ----------
    address : str
        The scheduler, such as ``tcp://scheduler:8786``.
    engine : {"compiled", "simpy"}
        What the workers must have, in the versions of this process.
    tell : callable
        Told when the cluster has no workers to wait for.

    Raises
    ------
    ClusterError
        When Dask is not installed, the scheduler does not answer, or versions differ.
    """
    # What it says of lost connections, in tracebacks, is said here in a sentence.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    client = _client(address)
    try:
        _check_versions(client, versions_for(engine))
        executor = ClusterExecutor(client, address)
        with _watched(executor, tell):
            yield executor
    finally:
        client.close(timeout=CLOSE_S)


class ClusterExecutor(Executor):
    """The workers of a Dask scheduler; what Dask says against a task becomes a ``ClusterError``."""

    def __init__(self, client: _Client, address: str) -> None:
        self.address = address
        self._client = client
        self._executor = client.get_executor(pure=False)

    @property
    def n_threads(self) -> int:
        """Tasks that run at once, now."""
        return sum(self._client.nthreads().values())

    @property
    def memory_per_thread(self) -> float | None:
        """Memory that one task may take on the smallest worker, bytes; None where none is known."""
        workers = self._client.scheduler_info()["workers"].values()
        limits = [worker["memory_limit"] / worker["nthreads"] for worker in workers]
        return min(filter(None, limits), default=None)

    def submit(
        self,
        fn: Callable[_Arguments, _Result],
        /,
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> Future[_Result]:
        """Run a task on any worker; another takes it over when that one dies."""
        ours: Future[_Result] = Future()
        theirs = self._executor.submit(fn, *args, **kwargs)
        theirs.add_done_callback(partial(self._pass_on, ours))
        ours.add_done_callback(lambda future: future.cancelled() and theirs.cancel())
        return ours

    def _pass_on(self, ours: Future[_Result], theirs: Future[_Result]) -> None:
        if not ours.set_running_or_notify_cancel():
            return
        if theirs.cancelled():
            ours.set_exception(
                ClusterError(
                    f"the connection to the scheduler at {self.address} was lost: see that it "
                    "runs and can be reached"
                )
            )
            return
        error = theirs.exception()
        if error is None:
            ours.set_result(theirs.result())
        else:
            ours.set_exception(_translated(error))


def _client(address: str) -> _Client:
    try:
        from distributed import Client
        from distributed.comm.addressing import parse_address, parse_host_port
    except ImportError as error:
        raise ClusterError(
            "--cluster needs Dask: pip install 'hoso[cluster]', here and on the workers"
        ) from error
    try:
        parse_host_port(parse_address(address)[1], 0)
    except ValueError as error:
        raise ClusterError(
            f"{address}: not the address of a scheduler, such as tcp://scheduler:8786"
        ) from error
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError) as error:
        raise ClusterError(
            f"no Dask scheduler answers at {address}: {_START.format(address=address)}"
        ) from error
    return cast(_Client, client)


def _check_versions(client: _Client, ours: Mapping[str, str]) -> None:
    """Refuse a cluster whose scheduler or workers would compute something else, or fail."""
    packages = [name for name in ours if name != "python"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = client.get_versions(check=True, packages=packages)
    dask = {name: found["client"]["packages"][name] for name in ("dask", "distributed")}
    differences = list(_differences("the scheduler", found["scheduler"], dask))
    for worker, theirs in found["workers"].items():
        differences += _differences(f"worker {worker}", theirs, dict(ours) | dask)
    if differences:
        raise ClusterError(
            "the cluster's versions differ: " + "; ".join(differences[:5]) + ". Install the same "
            "there as here"
        )


def _differences(who: str, theirs: _Packages, ours: Mapping[str, str | None]) -> Iterator[str]:
    for name, version in ours.items():
        other = theirs["packages"].get(name)
        if name == "python" and other is not None:
            other = ".".join(other.split(".")[:3])
        if other != version:
            yield f"{who} has {name} {other or '(none)'}, this is {version}"


def _translated(error: BaseException) -> BaseException:
    """Return an error of Dask's as one that says what to do; a task's own as it is."""
    name = type(error).__name__
    if name == "KilledWorker":
        return ClusterError(
            "a replication killed one worker after the other, most likely out of memory: give them "
            "more (dask worker --memory-limit), fewer threads (--nthreads 1), or set "
            "execution.memory"
        )
    if type(error).__module__.startswith("distributed"):
        return ClusterError(f"Dask gave up: {name}: {error}")
    return error


@contextmanager
def _watched(executor: ClusterExecutor, tell: Tell) -> Iterator[None]:
    """Say when the cluster has no workers (yet, or any more): tasks would wait in silence."""
    over = threading.Event()

    def watch() -> None:
        was_said = False
        while not over.wait(WATCH_S):
            try:
                has_workers = executor.n_threads > 0
            except (OSError, RuntimeError):
                return  # the connection is lost, as the tasks will say
            if not (has_workers or was_said):
                tell(f"{executor.address} has no workers: waiting for some")
            was_said = not has_workers

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(CLOSE_S)
