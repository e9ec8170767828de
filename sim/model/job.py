"""Background jobs: at every tick a batch from the queue, worked on by a few workers."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from simpy import Environment
from simpy.events import ProcessGenerator

from sim.model.draws import Draws
from sim.model.level import Level
from sim.model.operations import Program
from sim.model.outcome import OK
from sim.model.visit import Visit
from sim.scenario.portal import Job as JobSpec


@dataclass(slots=True)
class Item:
    """One piece of background work.

    Attributes
    ----------
    key : int
        Key of its random draws.
    since : float
        When it was first queued, s.
    done : Callable
        Called with the time when it has succeeded; not called when it is given up.
    """

    key: int
    since: float
    done: Callable[[float], None]
    tries: int = 0


class Job:
    """A queue and its ticks. An item that fails goes to the end of the queue, until given up."""

    def __init__(self, env: Environment, level: Level, spec: JobSpec) -> None:
        self._env = env
        self._level = level
        self._spec = spec
        self._program: Program | None = None
        self._queue: deque[Item] = deque()
        self._batch: deque[Item] = deque()
        self._running = 0
        self.is_stopped = False
        level.capacity = spec.workers
        level.head_since = lambda: self._queue[0].since if self._queue else None

    def start(self, program: Program) -> None:
        """Begin ticking; every item will do this program."""
        self._program = program
        self._env.process(self._tick())

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued or worked on."""
        return not self._queue and not self._batch and not self._running

    def put(self, item: Item) -> None:
        """Queue an item."""
        # The level first: it closes intervals in which the item was not here.
        self._level.join(self._env.now)
        self._level.arrivals += 1
        self._queue.append(item)

    def _tick(self) -> ProcessGenerator:
        """Take a batch at every multiple of the period."""
        spec, count = self._spec, 0
        while True:
            yield self._env.timeout(spec.offset_s + count * spec.period_s - self._env.now)
            if not self.is_stopped and not (spec.skip_if_running and self._running):
                self._take_batch()
            count += 1

    def _take_batch(self) -> None:
        self._level.advance(self._env.now)
        for _ in range(min(self._spec.batch, len(self._queue))):
            item = self._queue.popleft()
            self._level.leave(self._env.now, item.since)
            self._batch.append(item)
        idle = self._spec.workers - self._running
        for _ in range(min(idle, len(self._batch))):
            self._running += 1
            self._env.process(self._work())

    def _work(self) -> ProcessGenerator:
        """One worker: items of the batch, one after the other."""
        while self._batch:
            item = self._batch.popleft()
            self._level.advance(self._env.now)
            self._level.busy += 1
            yield from self._serve(item)
            self._level.advance(self._env.now)
            self._level.busy -= 1
            self._level.departures += 1
        self._running -= 1

    def _serve(self, item: Item) -> ProcessGenerator:
        assert self._program is not None
        slots = self._program.slots
        visit = Visit(self._env, Draws([slot.draw(item.key, item.tries) for slot in slots]))
        outcome = yield from visit.run(self._program.operations)
        item.tries += 1
        if outcome == OK:
            item.done(self._env.now)
        elif item.tries <= self._spec.retries:
            self.put(item)
