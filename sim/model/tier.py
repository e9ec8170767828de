"""A tier: servers with worker threads and processor cores, and the balancer before them."""

import math
from collections.abc import Sequence
from typing import Protocol

from simpy import Environment

from sim.model.level import Level
from sim.model.pool import Pool
from sim.model.processor import Processor
from sim.scenario.portal import Tier as TierSpec


class Guest(Protocol):
    """Whoever uses a server and is lost with it."""

    def lose_server(self) -> None:
        """The server died."""
        ...


class Server:
    """One server (or, with ``shared`` balancing, all of a tier as one)."""

    def __init__(
        self, index: int, workers: Pool, processor: Processor, levels: list[Level]
    ) -> None:
        self.index = index
        self.workers = workers
        self.processor = processor
        self.levels = levels
        self.is_up = False
        self._units = 0
        self._pools = [workers]
        self.visits: dict[Guest, None] = {}
        """Requests that use it, in order of arrival; those that are lost with it."""

    @property
    def occupancy(self) -> int:
        """Requests that hold or await a worker, or use the processor without one."""
        return max(self.workers.occupancy, self.processor.occupancy)

    def attach(self, pool: Pool) -> None:
        """Let a pool that every server has follow this server."""
        self._pools.append(pool)
        pool.set_servers(self._units)

    def resize(self, units: int, cores: int) -> None:
        """Give it the workers, the pools' tokens and the cores of so many servers."""
        self.is_up = units > 0
        self._units = units
        for pool in self._pools:
            pool.set_servers(units)
        self.processor.set_cores(units * cores)

    def drain(self) -> None:
        """Take no more requests; what is here is finished, on capacity that no longer counts."""
        self.is_up = False
        self._units = 0
        for pool in self._pools:
            pool.retire()
        self.processor.retire()


class Tier:
    """The servers of a tier; chooses one for each request.

    ``shared`` is the ideal of one queue before all servers: losing a server takes its capacity
    away, but no request is lost with it.
    """

    def __init__(self, env: Environment, name: str, spec: TierSpec, interval_s: float) -> None:
        self.name = name
        self.spec = spec
        self._env = env
        self._interval_s = interval_s
        self._is_shared = spec.balancing == "shared"
        most = spec.autoscaling.max_servers if spec.autoscaling else spec.servers
        self._in_service = spec.servers
        self._lost: list[int] = []
        self._turn = 0
        indices = [0] if self._is_shared else range(most)
        self.servers = [self._build(index) for index in indices]
        self._apply()

    @property
    def is_indexed(self) -> bool:
        """Whether each server has stations of its own."""
        return not self._is_shared

    @property
    def n_servers(self) -> int:
        """Servers in service, lost ones included."""
        return self._in_service

    def choose(self) -> Server | None:
        """Return the server for the next request, or None when none is up."""
        up = [server for server in self.servers if server.is_up]
        if len(up) <= 1:
            return up[0] if up else None
        if self.spec.balancing == "round_robin":
            server = up[self._turn % len(up)]
            self._turn += 1
            return server
        return min(up, key=lambda server: server.occupancy)

    def scale_to(self, servers: int) -> None:
        """Set the number of servers in service; one taken out finishes what it has."""
        self._in_service = servers
        self._apply()

    def lose(self, servers: int) -> list[int]:
        """Lose servers that are up, those of the highest index first; their requests fail.

        Returns
        -------
        list of int
            Indices of the servers lost now, for ``restore``; fewer where fewer were up.
        """
        struck = self._up()[-servers:]
        self._lost += struck
        self._apply()
        if not self._is_shared:
            for index in struck:
                for visit in list(self.servers[index].visits):
                    visit.lose_server()
        return struck

    def restore(self, struck: Sequence[int]) -> None:
        """Bring lost servers back; one taken out of service meanwhile stays out."""
        self._lost = [index for index in self._lost if index not in struck]
        self._apply()

    def set_slowness(self, factor: float) -> None:
        """Divide the speed of every processor by a factor."""
        for server in self.servers:
            server.processor.set_speed(1.0 / factor)

    def _up(self) -> list[int]:
        """Return the indices of the servers in service that are not lost."""
        return [index for index in range(self._in_service) if index not in self._lost]

    def _apply(self) -> None:
        """Make capacity follow the servers that are up."""
        up, cores = self._up(), self.spec.cores
        if self._is_shared:
            self.servers[0].resize(len(up), cores)
            return
        for server in self.servers:
            if server.index < self._in_service:
                server.resize(1 if server.index in up else 0, cores)
            else:
                server.drain()

    def _build(self, index: int) -> Server:
        spec = self.spec
        mark = f"[{index}]" if self.is_indexed else ""
        levels = [
            Level(f"{self.name}{mark}.{part}", self._interval_s, 0.0) for part in ("workers", "cpu")
        ]
        tokens = math.inf if spec.workers is None else spec.workers
        workers = Pool(self._env, levels[0], tokens, spec.queue_limit)
        return Server(index, workers, Processor(self._env, levels[1], 0, spec.discipline), levels)
