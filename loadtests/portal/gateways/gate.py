"""What stands before a gateway's service: outage, rate limit, turns, delay, errors.

The order is that of real platforms: refused at once, or admitted, then in turn, then delayed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import numpy as np

from loadtests.portal.gateways.control import Behaviour
from loadtests.portal.gateways.wire import Fields, Trouble
from sim.demand.variates import variate_of

_DRAWS = 1024
"""Uniform numbers drawn at a time."""

_SMALLEST = 2.0**-54  # 0 has no logarithm


@dataclass(slots=True)
class Counts:
    """What became of the calls of one gateway since it started."""

    calls: int = 0
    answered: int = 0
    errors: int = 0
    limited: int = 0
    down: int = 0
    left: int = 0
    """Callers that did not wait for their answer."""


class TokenBucket:
    """A rate limit: a bucket that fills at a rate, each call takes a token.

    Parameters
    ----------
    rate_per_s : float
        Tokens a second.
    burst : int
        Tokens it holds; it starts full.
    now_s : float
        Present time, s.
    """

    def __init__(self, rate_per_s: float, burst: int, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._tokens = float(burst)
        self._filled_at_s = now_s

    def take(self, now_s: float) -> bool:
        """Take a token, if there is one.

        Parameters
        ----------
        now_s : float
            Present time, s, never earlier than before.
        """
        filled = self._tokens + (now_s - self._filled_at_s) * self._rate_per_s
        self._tokens = min(self._burst, filled)
        self._filled_at_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Turns:
    """A number of places, taken in turn; the number may change.

    Attributes
    ----------
    limit : int or None
        Places; None: no limit.
    busy : int
        Places taken.
    """

    def __init__(self) -> None:
        self.limit: int | None = None
        self.busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def queue(self) -> int:
        """How many wait."""
        return sum(not future.done() for future in self._waiting)

    async def take(self) -> None:
        """Wait for a place."""
        if not self._waiting and self._is_free():
            self.busy += 1
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.give_back()  # the place came in the moment the caller left
            raise

    def give_back(self) -> None:
        """Leave a place; the first that waits gets it."""
        self.busy -= 1
        self.admit()

    def admit(self) -> None:
        """Let in who waits, as far as there are places."""
        while self._waiting and self._is_free():
            future = self._waiting.popleft()
            if not future.done():
                self.busy += 1
                future.set_result(None)

    def _is_free(self) -> bool:
        return self.limit is None or self.busy < self.limit


class Gate:
    """One gateway's behaviour at work; lives on one event loop.

    Parameters
    ----------
    behaviour : Behaviour
        How it behaves at first.
    rng : numpy.random.Generator
        Draws delays and errors: the n-th admitted call has the n-th draw.
    clock : callable
        Present time, s, monotonic.
    """

    def __init__(
        self, behaviour: Behaviour, rng: np.random.Generator, clock: Callable[[], float]
    ) -> None:
        self._rng = rng
        self._clock = clock
        self._uniforms: Iterator[float] = iter(())
        self._turns = Turns()
        self._speaks = asyncio.Event()
        self._bucket: TokenBucket | None = None
        self.counts = Counts()
        self.behaviour = behaviour
        self.change(behaviour)

    def change(self, behaviour: Behaviour) -> None:
        """Behave differently from now on; calls on their way keep their delay."""
        before, self.behaviour = self.behaviour, behaviour
        limit = (behaviour.rate_limit_per_s, behaviour.burst)
        if self._bucket is None or limit != (before.rate_limit_per_s, before.burst):
            self._bucket = (
                TokenBucket(behaviour.rate_limit_per_s, behaviour.burst, self._clock())
                if behaviour.rate_limit_per_s is not None
                else None
            )
        self._turns.limit = behaviour.concurrency
        self._turns.admit()
        if behaviour.silent:
            self._speaks.clear()
        else:
            self._speaks.set()

    async def admit(self) -> Trouble | None:
        """Let one call through: wait as long as it takes; return what is wrong with it."""
        self.counts.calls += 1
        if self.behaviour.down:
            self.counts.down += 1
            return "down"
        if self._bucket is not None and not self._bucket.take(self._clock()):
            self.counts.limited += 1
            return "limited"
        try:
            return await self._delay()
        except asyncio.CancelledError:
            self.counts.left += 1
            raise

    def state(self) -> Fields:
        """Return behaviour and counts for people."""
        counts: Fields = {field.name: getattr(self.counts, field.name) for field in fields(Counts)}
        return {
            "behaviour": self.behaviour.model_dump(),
            "counts": counts | {"busy": self._turns.busy, "queue": self._turns.queue},
        }

    async def _delay(self) -> Trouble | None:
        await self._turns.take()
        try:
            await self._speaks.wait()
            behaviour = self.behaviour
            u0, u1, u2 = self._draw(), self._draw(), self._draw()
            delay_s = variate_of(behaviour.latency, u0, u1) * behaviour.latency_factor
            if delay_s > 0:
                await asyncio.sleep(delay_s)
            if u2 < behaviour.error_share:
                self.counts.errors += 1
                return "error"
            self.counts.answered += 1
            return None
        finally:
            self._turns.give_back()

    def _draw(self) -> float:
        """Return the next uniform number in (0, 1)."""
        for value in self._uniforms:
            return value
        self._uniforms = iter(np.maximum(self._rng.random(_DRAWS), _SMALLEST).tolist())
        return self._draw()
