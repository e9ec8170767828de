"""A pool of tokens taken first come, first served: worker threads, connections, call slots."""

import math
from collections import deque

from simpy import Environment, Event

from sim.model.level import Level


class Turn(Event):
    """A place in a pool's queue; its value is whether the token was granted."""

    def __init__(self, env: Environment, since: float) -> None:
        super().__init__(env)
        self.since = since
        self.dropped = False


class Pool:
    """Tokens with a FIFO queue; where servers have it each, so many times what one has.

    A free token is taken at once, without an event. A token given back passes at once to the first
    in the queue, who goes on at the same instant, after whatever was already due then.
    """

    def __init__(
        self, env: Environment, level: Level, capacity: float, queue_limit: int | None = None
    ) -> None:
        self._env = env
        self._level = level
        self._capacity = self._capacity_of_one = capacity
        limit = math.inf if queue_limit is None else queue_limit
        self._queue_limit = self._queue_limit_of_one = limit
        self._queue: deque[Turn] = deque()
        level.capacity = capacity
        level.head_since = self._head_since

    @property
    def occupancy(self) -> int:
        """Tokens held plus places in the queue."""
        return int(self._level.busy + self._level.queue)

    def take_free(self) -> bool:
        """Take a free token now; return whether there was one."""
        level = self._level
        if level.busy >= self._capacity:
            return False
        level.advance(self._env.now)
        level.busy += 1
        level.arrivals += 1
        return True

    def is_full(self) -> bool:
        """Whether nobody more may wait."""
        return self._level.queue >= self._queue_limit

    def join(self, wait_limit_s: float | None = None) -> Turn:
        """Queue for a token; the turn succeeds with True, or with False at the wait limit."""
        now = self._env.now
        turn = Turn(self._env, now)
        self._queue.append(turn)
        self._level.join(now)
        self._level.arrivals += 1
        if wait_limit_s is not None:
            timer = self._env.timeout(wait_limit_s)
            timer.callbacks.append(lambda _: self._expire(turn))
        return turn

    def give_back(self) -> None:
        """Return one token; the first in the queue gets it."""
        level = self._level
        level.advance(self._env.now)
        level.busy -= 1
        level.departures += 1
        self._grant()

    def leave(self, turn: Turn) -> None:
        """Give up a turn: the place in the queue, or the token just granted."""
        if not turn.triggered:
            self._drop(turn)
        elif turn.value:
            self.give_back()

    def set_servers(self, servers: int) -> None:
        """Give it the tokens and places of so many servers; what is held is not taken away."""
        self._level.advance(self._env.now)
        self._capacity = self._level.capacity = _times(servers, self._capacity_of_one)
        self._queue_limit = _times(servers, self._queue_limit_of_one)
        self._grant()

    def retire(self) -> None:
        """Count no capacity any more, while what is held and queued is served to its end."""
        self._level.advance(self._env.now)
        self._level.capacity = 0.0

    def _grant(self) -> None:
        level = self._level
        while level.queue and level.busy < self._capacity:
            turn = self._queue.popleft()
            if turn.dropped:
                continue
            level.leave(self._env.now, turn.since)
            level.busy += 1
            turn.succeed(True)

    def _expire(self, turn: Turn) -> None:
        if not turn.triggered and not turn.dropped:
            self._drop(turn)
            turn.succeed(False)

    def _drop(self, turn: Turn) -> None:
        """Stop counting a turn; its entry is skipped when it comes to the front."""
        self._level.leave(self._env.now, turn.since)
        self._level.departures += 1
        turn.dropped = True

    def _head_since(self) -> float | None:
        queue = self._queue
        while queue and queue[0].dropped:
            queue.popleft()
        return queue[0].since if queue else None


def _times(servers: int, of_one: float) -> float:
    """Return what several servers have together; without limit it stays so, even of none."""
    return of_one if math.isinf(of_one) else servers * of_one
