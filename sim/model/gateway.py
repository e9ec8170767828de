"""A gateway: a service of somebody else, with its own latency, limits and failures."""

from simpy import Environment
from simpy.events import ProcessGenerator

from sim.model.level import Level
from sim.model.outcome import FAILED, OK, TIMED_OUT
from sim.model.pool import Pool
from sim.model.visit import Visit
from sim.scenario.portal import Gateway as GatewaySpec


class Gateway:
    """Calls to it wait for a slot, then for its answer; both count against the timeout.

    A call that times out frees its slot at that moment. While the gateway is silent, answers come
    only after the silence has ended; while it is down, calls are refused at once.
    """

    def __init__(self, env: Environment, level: Level, spec: GatewaySpec) -> None:
        self._env = env
        self._spec = spec
        self._slots = Pool(env, level, spec.concurrency or float("inf"))
        self._tokens = float(spec.burst)
        self._filled_at = 0.0
        self.slowness = 1.0
        self.is_down = False
        self.silent_until = 0.0

    def call(self, visit: Visit, latency_s: float, fails: bool) -> ProcessGenerator:
        """Make one call; its value is an outcome."""
        if self.is_down or not self._accepts():
            return FAILED
        deadline = None if self._spec.timeout_s is None else self._env.now + self._spec.timeout_s
        if not self._slots.take_free():
            granted = yield from visit.wait_for(self._slots, self._spec.timeout_s)
            if not granted:
                return TIMED_OUT
        try:
            return (yield from self._answer(latency_s, fails, deadline))
        finally:
            self._slots.give_back()

    def _answer(self, latency_s: float, fails: bool, deadline: float | None) -> ProcessGenerator:
        now = self._env.now
        answer_s = max(0.0, self.silent_until - now) + latency_s * self.slowness
        if deadline is not None and answer_s > deadline - now:
            yield self._env.timeout(deadline - now)
            return TIMED_OUT
        yield self._env.timeout(answer_s)
        return FAILED if fails else OK

    def _accepts(self) -> bool:
        """Whether the rate limit lets one more call through: a token bucket."""
        rate = self._spec.rate_limit_per_s
        if rate is None:
            return True
        now = self._env.now
        self._tokens = min(self._spec.burst, self._tokens + (now - self._filled_at) * rate)
        self._filled_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
