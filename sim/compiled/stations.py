"""The stations of a portal as tables of numbers: tiers, pools, gateways, links and jobs."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.compiled import structs
from sim.compiled.kernel import constants as codes
from sim.compiled.kernel.constants import NONE
from sim.compiled.structs import Struct, dtype_of
from sim.scenario import portal as spec
from sim.scenario.scenario import Scenario

Table = NDArray[np.void]
Row = dict[str, Any]

_BALANCING = {
    "shared": codes.SHARED,
    "round_robin": codes.ROUND_ROBIN,
    "least_connections": codes.LEAST_CONNECTIONS,
}


def table(struct: type[Struct], rows: Iterable[Row]) -> Table:
    """Return rows of a structure; fields that a row does not name are 0."""
    listed = list(rows)
    built = np.zeros(len(listed), dtype_of(struct))
    for index, row in enumerate(listed):
        for name, value in row.items():
            built[name][index] = value
    return built


class Stations:
    """Every station of a portal, with its level and its timer."""

    def __init__(self, scenario: Scenario) -> None:
        self.levels_of: dict[str, list[tuple[str, int]]] = {}
        self.pool_of: dict[str, int] = {}
        self.tier_of = {name: index for index, name in enumerate(scenario.portal.tiers)}
        self.gateway_of = {name: index for index, name in enumerate(scenario.portal.gateways)}
        self.link_of = {name: index for index, name in enumerate(scenario.portal.links)}
        self.job_of = {name: index for index, name in enumerate(scenario.portal.jobs)}
        self._scenario = scenario
        self._portal = scenario.portal
        self._levels: list[Row] = []
        self._pools: list[Row] = []
        self._processors: list[Row] = []
        self._servers: list[Row] = []
        self._tiers: list[Row] = []
        self._units = 0
        self._attached: list[int] = []
        self._lost = {f.target for f in scenario.faults if f.kind == "server_lost"}
        for name, tier in self._portal.tiers.items():
            self._add_tier(name, tier)
        for name, pool in self._portal.pools.items():
            self._add_pools(name, pool)
        self._attach_pools()
        self._gateways = [self._gateway(*named) for named in self._portal.gateways.items()]
        self._flows: list[Row] = []
        self._links = [self._link(*named) for named in self._portal.links.items()]
        self._jobs = [self._job(*named) for named in self._portal.jobs.items()]

    def is_indexed(self, tier: str | None) -> bool:
        """Return whether each server of a tier has stations of its own."""
        return tier is not None and self._portal.tiers[tier].balancing != "shared"

    def tables(self) -> dict[str, Table]:
        """Return the tables of stations; timers get their handles."""
        handle = codes.FIRST_TIMER
        for rows in (self._tiers, self._jobs, self._processors, self._links):
            for row in rows:
                row["timer"], handle = handle, handle + 1
        nobody = {"value": NONE}
        return {
            "levels": table(structs.Level, self._levels),
            "pools": table(structs.Pool, self._pools),
            "processors": table(structs.Processor, self._processors),
            "servers": table(structs.Server, self._servers),
            "up": table(structs.Cell, self._up()),
            "units": table(structs.Cell, [nobody] * self._units),
            "tiers": table(structs.Tier, self._tiers),
            "attached": table(structs.Cell, ({"value": pool} for pool in self._attached)),
            "gateways": table(structs.Gateway, self._gateways),
            "links": table(structs.Link, self._links),
            "flows": table(structs.Flow, self._flows),
            "jobs": table(structs.Job, self._jobs),
        }

    def sizes(self) -> dict[str, float]:
        """Return how many there are, and where the timers of each kind begin."""
        first_job = codes.FIRST_TIMER + len(self._tiers)
        first_processor = first_job + len(self._jobs)
        first_link = first_processor + len(self._processors)
        return {
            "n_levels": len(self._levels),
            "n_tiers": len(self._tiers),
            "n_jobs": len(self._jobs),
            "first_tier_timer": codes.FIRST_TIMER,
            "first_job_timer": first_job,
            "first_processor_timer": first_processor,
            "first_link_timer": first_link,
            "n_fixed": first_link + len(self._links),
        }

    def follow(self, first_queues: Sequence[tuple[int, int]]) -> None:
        """Say which jobs follow each job: where in the list of jobs, and how many."""
        for row, (first, count) in zip(self._jobs, first_queues, strict=True):
            row["first_following"], row["n_following"] = first, count

    def _level(self, station: str, name: str, kind: int, of: int, capacity: float) -> int:
        index = len(self._levels)
        self.levels_of.setdefault(station, []).append((name, index))
        self._levels.append({"kind": kind, "station": of, "capacity": capacity})
        return index

    def _pool(self, level: tuple[str, str], tokens: float, limit: int | None, units: int) -> int:
        """Add the pool of so many servers."""
        index = len(self._pools)
        places = math.inf if limit is None else limit
        row = {
            "level": self._level(*level, codes.OF_POOL, index, _times(units, tokens)),
            "head": NONE,
            "tail": NONE,
            "capacity": _times(units, tokens),
            "capacity_of_one": tokens,
            "queue_limit": _times(units, places),
            "queue_limit_of_one": places,
        }
        self._pools.append(row)
        return index

    def _add_tier(self, name: str, tier: spec.Tier) -> None:
        most = tier.autoscaling.max_servers if tier.autoscaling else tier.servers
        indexed = self.is_indexed(name)
        first = len(self._servers)
        for index in range(most if indexed else 1):
            self._add_server(name, tier, index)
        row = {
            "balancing": _BALANCING[tier.balancing],
            "first_server": first,
            "n_servers": len(self._servers) - first,
            "first_up": first,
            "n_up": tier.servers if indexed else 1,
            "first_unit": self._units,
            "n_units": most,
            "in_service": tier.servers,
            "cores": tier.cores,
            "is_watched": indexed and name in self._lost,
            "changed_at": -math.inf,
        }
        if tier.autoscaling is not None:
            row |= tier.autoscaling.model_dump()
        self._tiers.append(row)
        self._units += most

    def _add_server(self, name: str, tier: spec.Tier, index: int) -> None:
        indexed = self.is_indexed(name)
        mark = f"[{index}]" if indexed else ""
        units = int(index < tier.servers) if indexed else tier.servers
        tokens = math.inf if tier.workers is None else tier.workers
        workers = (f"{name}.workers", f"{name}{mark}.workers")
        pool = self._pool(workers, tokens, tier.queue_limit, units)
        if units == 0:
            self._levels[self._pools[pool]["level"]]["capacity"] = 0.0
        processor = len(self._processors)
        cores = float(units * tier.cores)
        names = (f"{name}.cpu", f"{name}{mark}.cpu")
        self._processors.append(
            {
                "level": self._level(*names, codes.OF_PROCESSOR, processor, cores),
                "shares": tier.discipline == "ps",
                "root": NONE,
                "head": NONE,
                "tail": NONE,
                "cores": cores,
                "speed": 1.0,
                "rate": 1.0,
            }
        )
        self._servers.append(
            {
                "tier": len(self._tiers),
                "index": index,
                "pool": pool,
                "processor": processor,
                "is_up": units > 0,
                "head": NONE,
                "tail": NONE,
            }
        )

    def _up(self) -> list[Row]:
        """Return the servers that are up, tier by tier, each tier from its first server on."""
        return [
            {"value": index if server["is_up"] else NONE}
            for index, server in enumerate(self._servers)
        ]

    def _add_pools(self, name: str, pool: spec.Pool) -> None:
        self.pool_of[name] = len(self._pools)
        tier = pool.per_server_of
        if tier is None:
            self._pool((name, name), pool.capacity, pool.queue_limit, 1)
            return
        for server in self._servers_of(tier):
            indexed = self.is_indexed(tier)
            mark = f"{name}[{server['index']}]" if indexed else name
            units = int(server["is_up"]) if indexed else self._portal.tiers[tier].servers
            self._pool((name, mark), pool.capacity, pool.queue_limit, units)

    def _servers_of(self, tier: str) -> list[Row]:
        row = self._tiers[self.tier_of[tier]]
        return self._servers[row["first_server"] : row["first_server"] + row["n_servers"]]

    def _attach_pools(self) -> None:
        """List the pools that follow the servers of each tier."""
        for tier, row in zip(self._portal.tiers, self._tiers, strict=True):
            own = [n for n, pool in self._portal.pools.items() if pool.per_server_of == tier]
            row |= {"first_attached": len(self._attached), "n_attached": len(own)}
            self._attached += [self.pool_of[name] for name in own]

    def _gateway(self, name: str, gateway: spec.Gateway) -> Row:
        slots = gateway.concurrency or math.inf
        return {
            "pool": self._pool((name, name), slots, None, 1),
            "burst": gateway.burst,
            "timeout_s": _or_infinite(gateway.timeout_s),
            "rate_limit_per_s": _or_infinite(gateway.rate_limit_per_s),
            "tokens": gateway.burst,
            "slowness": 1.0,
        }

    def _link(self, name: str, link: spec.Link) -> Row:
        rates = uplinks(self._scenario)
        row = {
            "level": self._level(name, name, codes.NO_QUEUE, NONE, link.bandwidth_bit_per_s),
            "first_flow": len(self._flows),
            "n_flows": len(rates),
            "nominal": link.bandwidth_bit_per_s,
            "bandwidth": link.bandwidth_bit_per_s,
        }
        self._flows += [{"link": self.link_of[name], "root": NONE, "cap": cap} for cap in rates]
        return row

    def _job(self, name: str, job: spec.Job) -> Row:
        index = self.job_of[name]
        return {
            "level": self._level(name, name, codes.OF_JOB, index, job.workers),
            "program": len(self._portal.endpoints) + index,
            "head": NONE,
            "tail": NONE,
            "batch_head": NONE,
            "batch_tail": NONE,
            "workers": job.workers,
            "batch": job.batch,
            "skip_if_running": job.skip_if_running,
            "retries": job.retries,
            "offset_s": job.offset_s,
            "period_s": job.period_s,
        }


def uplinks(scenario: Scenario) -> list[float]:
    """Return the upload rates of the channels, slowest first, each once."""
    return sorted({channel.uplink_bit_per_s for channel in scenario.channels.values()})


def _times(servers: int, of_one: float) -> float:
    """Return what several servers have together; without limit it stays so, even of none."""
    return of_one if math.isinf(of_one) else servers * of_one


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value
