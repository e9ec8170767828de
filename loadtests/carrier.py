"""One process's share of a load test: its crowd, its recorder, and what it uses of the machine.

It knows gevent, not Locust: :mod:`loadtests.crew` tells it when to begin, and takes the records.
"""

import contextlib
import gc
import os
import time
from collections.abc import Callable
from pathlib import Path

import gevent
import psutil  # type: ignore[import-untyped]

from loadtests.crowd import Crowd, Heard, Share
from loadtests.dialects import Credentials, Service, services_of
from loadtests.dialects.loading import check_endpoints, make_dialect
from loadtests.http import Target
from loadtests.live import Piece
from loadtests.recorder import Recorder
from loadtests.work import Order
from sim.demand import catalogue_of

_SCHEDULER_STATISTICS = Path("/proc/self/schedstat")


class Carrier:
    """Carries a share of the load.

    Parameters
    ----------
    order : Order
        What is to be done.
    index, workers : int
        Which of how many.
    hear : callable, optional
        Called with each attempt that ended.

    Raises
    ------
    DialectError
        When the dialect is none, or cannot send what the scenario asks for.
    ExchangeError
        When the host is not known.
    """

    def __init__(
        self,
        order: Order,
        index: int,
        workers: int,
        hear: Callable[[Heard], None] | None = None,
    ) -> None:
        plan = order.plan
        dialect = make_dialect(
            plan.dialect, order.scenario, plan.reference, Credentials.from_environment(os.environ)
        )
        check_endpoints(order.scenario, dialect)
        known = services_of(catalogue_of(order.scenario))
        self.index = index
        self.recorder = Recorder(order.trace)
        self._crowd = Crowd(
            order.scenario,
            order.trace,
            dialect,
            [known.get(code) or Service(code) for code in order.trace.services],
            Target.of(plan.host, plan.address),
            self.recorder,
            Share(
                index,
                workers,
                max_sessions=_share_of(plan.max_sessions, index, workers),
                max_requests=None
                if plan.max_requests is None
                else _share_of(plan.max_requests, index, workers),
            ),
            hear,
        )
        self._usage = _Usage()
        self._running: gevent.Greenlet | None = None
        _allow_many_files()
        # What is there now stays: the collector need not look at it again while requests run.
        gc.collect()
        gc.freeze()

    @property
    def is_over(self) -> bool:
        """Whether all its sessions have ended."""
        return self._running is not None and self._running.dead

    @property
    def is_capped(self) -> bool:
        """Whether its part of the allowed requests is used up."""
        return self._crowd.is_capped

    def now_s(self) -> float:
        """Return the time, s from the epoch."""
        return self._crowd.now_s()

    def begin(self, at_unix_s: float) -> None:
        """Begin at a moment of this machine's clock, s since 1970 UTC."""
        epoch = time.perf_counter() + (at_unix_s - time.time())
        self._crowd.set_epoch(epoch)
        self._running = gevent.spawn(self._crowd.run)

    def piece(self) -> Piece:
        """Return what has happened since the last call."""
        cpu_share, waiting_share = self._usage.since_last()
        now_s = self.now_s()
        if now_s > 0.0:
            memory = float(self._usage.memory_bytes())
            self.recorder.usage(now_s, cpu_share, waiting_share, memory, self._crowd.active)
        return self.recorder.piece(
            self.index, now_s, self._crowd.arrived(), self._crowd.active, cpu_share
        )

    def end(self) -> None:
        """End the load: sessions under way are left."""
        if self._running is not None and not self._running.dead:
            self._crowd.leave()
            self._running.join()


class _Usage:
    """Processor time and memory of this process."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._last = self._now()

    def since_last(self) -> tuple[float, float]:
        """Return the use of one core, and the share of time spent waiting for a processor."""
        last, self._last = self._last, self._now()
        wall_s, cpu_s, waited_s = (now - then for now, then in zip(self._last, last, strict=True))
        if wall_s <= 0.0:
            return 0.0, 0.0
        return cpu_s / wall_s, waited_s / wall_s

    def memory_bytes(self) -> int:
        """Return the memory in use."""
        memory: int = self._process.memory_info().rss
        return memory

    def _now(self) -> tuple[float, float, float]:
        times = self._process.cpu_times()
        return time.perf_counter(), times.user + times.system, _waited_s()


def _waited_s() -> float:
    """Return how long this process could have run but had no processor, s; NaN if unknown."""
    try:
        return int(_SCHEDULER_STATISTICS.read_text().split()[1]) * 1e-9
    except (OSError, IndexError, ValueError):
        return float("nan")


def _share_of(total: int, index: int, workers: int) -> int:
    """Return one worker's part of a number; the parts sum to it."""
    return total // workers + (index < total % workers)


def _allow_many_files() -> None:
    """Raise the number of files (connections) this process may open as far as it is allowed to."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # not every system allows its own limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
