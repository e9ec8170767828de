"""Autoscaling: servers follow the utilisation of their processors."""

import math

from simpy import Environment
from simpy.events import ProcessGenerator

from sim.model.tier import Tier
from sim.scenario.portal import Autoscaling


def wanted_servers(servers: int, utilisation: float, spec: Autoscaling) -> int:
    """Return how many servers would bring utilisation to the target, within the limits.

    References
    ----------
    Kubernetes documentation, Horizontal Pod Autoscaling, algorithm details.
    """
    wanted = math.ceil(round(servers * utilisation / spec.target_utilisation, 9))
    return min(max(wanted, spec.min_servers), spec.max_servers)


class Autoscaler:
    """Looks at a tier every period; adds servers after their boot time, takes them away at once.

    A change, for the cool-down, is a decision to add, a server that has booted, or one taken away.
    """

    def __init__(self, env: Environment, tier: Tier, spec: Autoscaling) -> None:
        self._env = env
        self._tier = tier
        self._spec = spec
        self._booting = 0
        self._changed_at = -math.inf

    def run(self) -> ProcessGenerator:
        """Follow the load until the run ends."""
        busy_before, capacity_before = self._areas()
        while True:
            yield self._env.timeout(self._spec.period_s)
            busy, capacity = self._areas()
            span = capacity - capacity_before
            if span > 0.0:
                self._follow((busy - busy_before) / span)
            busy_before, capacity_before = busy, capacity

    def _follow(self, utilisation: float) -> None:
        now, servers = self._env.now, self._tier.n_servers
        wanted = wanted_servers(servers, utilisation, self._spec)
        missing = wanted - servers - self._booting
        if missing > 0:
            self._booting += missing
            self._changed_at = now
            self._env.process(self._boot(missing))
        elif wanted < servers and not self._booting and self._has_cooled(now):
            self._changed_at = now
            self._tier.scale_to(wanted)

    def _has_cooled(self, now: float) -> bool:
        return now - self._changed_at >= self._spec.cooldown_s

    def _boot(self, servers: int) -> ProcessGenerator:
        yield self._env.timeout(self._spec.boot_s)
        self._booting -= servers
        self._changed_at = self._env.now
        self._tier.scale_to(self._tier.n_servers + servers)

    def _areas(self) -> tuple[float, float]:
        """Return the integrals so far of busy cores and of cores, over the tier's servers."""
        levels = [server.levels[1] for server in self._tier.servers]
        areas = [level.areas(self._env.now) for level in levels]
        return sum(busy for busy, _ in areas), sum(capacity for _, capacity in areas)
