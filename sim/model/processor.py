"""Processor cores, shared among the requests on them or given out in turn."""

from collections import deque
from heapq import heappop, heappush
from typing import Literal

from simpy import Environment, Event

from sim.model.level import Level


class Work(Event):
    """A piece of work on a processor; succeeds when it is done."""

    def __init__(self, env: Environment, work_s: float) -> None:
        super().__init__(env)
        self.work_s = work_s
        self.since = env.now
        self.started = False
        self.dropped = False


class Processor:
    """Cores that run every piece of work in service at the rate speed × min(1, cores / n).

    With ``ps`` all work is in service at once; with ``fcfs`` at most as many pieces as cores, the
    rest queues. Exact: *attained* is the work that each piece in service since the last idle
    moment would have received; a piece ends when it has grown by the piece's work.

    References
    ----------
    Kleinrock (1976), Queueing Systems, vol. 2, section 4.4 (egalitarian processor sharing).
    """

    def __init__(
        self, env: Environment, level: Level, cores: float, discipline: Literal["ps", "fcfs"]
    ) -> None:
        self._env = env
        self._level = level
        self._cores = cores
        self._speed = 1.0
        self._shares = discipline == "ps"
        self._running: list[tuple[float, int, Work]] = []
        self._waiting: deque[Work] = deque()
        self._n = 0
        self._count = 0
        self._attained = 0.0
        self._since = 0.0
        self._timer: Event | None = None
        self._timer_for = (0.0, 0.0)
        level.capacity = cores
        level.head_since = self._head_since

    @property
    def occupancy(self) -> int:
        """Pieces of work present, waiting ones included."""
        return self._n if self._shares else self._n + int(self._level.queue)

    def run(self, work_s: float) -> Work:
        """Bring a piece of work, in s of one free core; returns the event of its end."""
        work = Work(self._env, work_s)
        self._level.advance(self._env.now)
        self._level.arrivals += 1
        if self._shares or self._n < self._cores:
            self._attain()
            self._start(work)
            self._schedule()
        else:
            self._waiting.append(work)
            self._level.join(self._env.now)
        return work

    def withdraw(self, work: Work) -> None:
        """Take away a piece of work that is not done."""
        if work.triggered:
            return
        self._level.advance(self._env.now)
        self._level.departures += 1
        if not work.started:
            self._level.leave(self._env.now, work.since)
            work.dropped = True
            return
        work.dropped = True
        self._attain()
        self._n -= 1
        self._fill()
        self._schedule()

    def set_speed(self, speed: float) -> None:
        """Change how fast the cores are; work in service goes on at the new speed."""
        self._level.advance(self._env.now)
        self._attain()
        self._speed = speed
        self._schedule()

    def set_cores(self, cores: float) -> None:
        """Change the number of cores; work in service shares them."""
        self._level.advance(self._env.now)
        self._attain()
        self._cores = self._level.capacity = cores
        self._fill()
        self._schedule()

    def retire(self) -> None:
        """Count no capacity any more, while what is here is finished."""
        self._level.advance(self._env.now)
        self._level.capacity = 0.0

    def _rate(self) -> float:
        """Return how fast each piece in service attains work now."""
        if self._n <= self._cores:
            return self._speed
        return self._speed * self._cores / self._n

    def _attain(self) -> None:
        """Bring the attained work up to now; call before anything changes the rate."""
        now = self._env.now
        if self._n:
            self._attained += (now - self._since) * self._rate()
        else:
            self._attained = 0.0
        self._since = now

    def _start(self, work: Work) -> None:
        work.started = True
        self._n += 1
        self._count += 1
        heappush(self._running, (self._attained + work.work_s, self._count, work))
        self._show()

    def _show(self) -> None:
        """Show the level: cores in use, and under processor sharing the work beyond them."""
        level, n = self._level, self._n
        level.busy = n if n <= self._cores else self._cores
        if self._shares:
            level.set_queue(n - self._cores if n > self._cores else 0)

    def _fill(self) -> None:
        """Start waiting work on free cores."""
        while self._waiting and self._n < self._cores:
            work = self._waiting.popleft()
            if not work.dropped:
                self._level.leave(self._env.now, work.since)
                self._start(work)
        self._show()

    def _schedule(self) -> None:
        """Set the timer for the piece that ends first, unless it stands already."""
        running = self._running
        while running and running[0][2].dropped:
            heappop(running)
        rate = self._rate()
        if not running or rate <= 0.0:
            self._timer = None
            return
        first = (running[0][0], rate)
        if self._timer is None or first != self._timer_for:
            delay_s = max(0.0, first[0] - self._attained) / rate
            self._timer = timer = self._env.timeout(delay_s)
            self._timer_for = first
            timer.callbacks.append(self._finish)

    def _finish(self, timer: Event) -> None:
        """End the piece whose time has come, and those that end with it."""
        if timer is not self._timer:
            return
        self._timer = None
        self._level.advance(self._env.now)
        self._since = self._env.now
        self._attained = self._running[0][0]
        while self._running and self._running[0][0] <= self._attained:
            work = heappop(self._running)[2]
            if not work.dropped:
                self._n -= 1
                self._level.departures += 1
                work.succeed()
        self._fill()
        self._schedule()

    def _head_since(self) -> float | None:
        waiting = self._waiting
        while waiting and waiting[0].dropped:
            waiting.popleft()
        return waiting[0].since if waiting else None
