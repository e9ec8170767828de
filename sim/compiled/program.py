"""A scenario as the kernel wants it: stations, programs and behaviour as tables of numbers."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.compiled import structs
from sim.compiled.kernel import constants as codes
from sim.compiled.kernel.constants import NONE
from sim.compiled.structs import Struct, dtype_of
from sim.demand.variates import lognormal_parameters
from sim.model.draws import FIRST_PROGRAM_SLOT
from sim.scenario import portal as spec
from sim.scenario.base import Distribution
from sim.scenario.run import Fault
from sim.scenario.scenario import Scenario

Table = NDArray[np.void]
Row = dict[str, Any]

_FAMILIES = {
    "constant": codes.CONSTANT,
    "exponential": codes.EXPONENTIAL,
    "uniform": codes.UNIFORM,
    "lognormal": codes.LOGNORMAL,
}
_BALANCING = {
    "shared": codes.SHARED,
    "round_robin": codes.ROUND_ROBIN,
    "least_connections": codes.LEAST_CONNECTIONS,
}
_FAULTS = {
    "server_lost": codes.SERVER_LOST,
    "tier_slow": codes.TIER_SLOW,
    "gateway_slow": codes.GATEWAY_SLOW,
    "gateway_down": codes.GATEWAY_DOWN,
    "gateway_silent": codes.GATEWAY_SILENT,
    "link_slow": codes.LINK_SLOW,
    "job_stopped": codes.JOB_STOPPED,
}


@dataclass(frozen=True, slots=True)
class Blueprint:
    """The world of a scenario at its start, without demand.

    Attributes
    ----------
    tables : dict of str to NDArray
        Rows of structures, by the field of the world that says where they lie.
    sizes : dict of str to float
        Other fields of the world.
    stations : dict of str to list of (str, int)
        Levels of every station: name and index.
    programs, client_of_journey, channels : dict of str to int
        Programs by endpoint, clients by journey, channels by name.
    backlog : list of int
        Items that wait at each job at the start.
    most_workers : int
        Workers that one tick may start.
    """

    tables: dict[str, Table]
    sizes: dict[str, float]
    stations: dict[str, list[tuple[str, int]]]
    programs: dict[str, int]
    client_of_journey: dict[str, int]
    channels: dict[str, int]
    backlog: list[int]
    most_workers: int


def blueprint_of(scenario: Scenario) -> Blueprint:
    """Turn a scenario into tables for the kernel."""
    stations = _Stations(scenario)
    programs = _Programs(scenario, stations)
    clients, pauses = _clients(scenario)
    jobs, client_names = scenario.portal.jobs, list(scenario.clients)
    tables = (
        stations.tables()
        | programs.tables()
        | {
            "clients": table(structs.Client, clients),
            "pauses": table(structs.Real, ({"value": pause} for pause in pauses)),
            "channels": table(structs.Channel, _channels(scenario)),
            "moments": table(structs.Moment, _moments(scenario, stations)),
        }
    )
    holdings, bindings = programs.places()
    return Blueprint(
        tables=tables,
        sizes=stations.sizes()
        | {
            "holding_stride": holdings,
            "binding_stride": bindings,
            "n_moments": 2 * len(scenario.faults),
            "interval_s": scenario.execution.level_interval_s,
            "interval_end": scenario.execution.level_interval_s,
            "duration_s": scenario.window.duration_s,
            "stop_s": scenario.window.duration_s + scenario.window.drain_s,
        },
        stations=stations.levels_of,
        programs={name: index for index, name in enumerate(scenario.portal.endpoints)},
        client_of_journey={
            name: client_names.index(journey.client) for name, journey in scenario.journeys.items()
        },
        channels={name: index for index, name in enumerate(scenario.channels)},
        backlog=[job.initial_queue for job in jobs.values()],
        most_workers=max((job.workers for job in jobs.values()), default=0),
    )


def table(struct: type[Struct], rows: Iterable[Row]) -> Table:
    """Return rows of a structure; fields that a row does not name are 0."""
    listed = list(rows)
    built = np.zeros(len(listed), dtype_of(struct))
    for index, row in enumerate(listed):
        for name, value in row.items():
            built[name][index] = value
    return built


class _Stations:
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
        rates = _uplinks(self._scenario)
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


class _Programs:
    """Programs of the endpoints, then of the jobs."""

    def __init__(self, scenario: Scenario, stations: _Stations) -> None:
        self._queues: list[int] = []
        self._rows: list[Row] = []
        self._ops: list[Row] = []
        portal = scenario.portal
        for endpoint in portal.endpoints.values():
            self._add(portal, endpoint.program, stations, endpoint.files_dossier)
        for job in portal.jobs.values():
            self._add(portal, job.program, stations, False)
        following = []
        for job in portal.jobs.values():
            names = _enqueued(job.program) + ([] if job.then is None else [job.then])
            following.append(self._list(names, stations))
        stations.follow(following)

    def tables(self) -> dict[str, Table]:
        """Return the tables of programs."""
        return {
            "ops": table(structs.Op, self._ops),
            "programs": table(structs.Program, self._rows),
            "queues": table(structs.Cell, ({"value": job} for job in self._queues)),
        }

    def places(self) -> tuple[int, int]:
        """Return how many tokens, and how many servers, a thread may hold at most."""
        return (
            max((row["n_holdings"] for row in self._rows), default=0),
            max((row["n_bindings"] for row in self._rows), default=0),
        )

    def _add(
        self,
        portal: spec.Portal,
        rows: Sequence[spec.Op],
        stations: _Stations,
        files_dossier: bool,
    ) -> None:
        writer = _Writer(portal, stations)
        ops = [writer.op(row) for row in rows if not isinstance(row, spec.Enqueue)]
        first, count = self._list(_enqueued(rows), stations)
        self._rows.append(
            {
                "first_op": len(self._ops),
                "n_holdings": writer.n_holdings,
                "n_bindings": len(writer.bindings),
                "first_queue": first,
                "n_queues": count,
                "files_dossier": files_dossier,
            }
        )
        self._ops += [*ops, {"code": codes.END}]

    def _list(self, names: Sequence[str], stations: _Stations) -> tuple[int, int]:
        """Add jobs to the list of jobs; returns where they begin and how many they are."""
        first = len(self._queues)
        self._queues += [stations.job_of[name] for name in names]
        return first, len(names)


@dataclass(slots=True)
class _Writer:
    """Writes the operations of one program; knows what is held at each row."""

    portal: spec.Portal
    stations: _Stations
    n_holdings: int = 0
    bindings: dict[str, int] = field(default_factory=dict)
    _held: dict[str, int] = field(default_factory=dict)
    _slot: int = FIRST_PROGRAM_SLOT

    def op(self, row: spec.Op) -> Row:
        """Return the operation of a row."""
        match row:
            case spec.Take(take=name):
                return self._take(name)
            case spec.Release(release=name):
                binding = self.bindings.get(name, NONE)
                return {
                    "code": codes.RELEASE,
                    "holding": self._held.pop(name),
                    "binding": binding,
                }
            case spec.Compute(cpu=name, work=work):
                return {
                    "code": codes.COMPUTE,
                    "station": self.stations.tier_of[name],
                    "binding": self._binding(name),
                    "is_guest": name not in self._held,
                } | self._duration(work)
            case spec.Delay(delay=delay):
                return {"code": codes.DELAY} | self._duration(delay)
            case spec.Transfer(transfer=name):
                return {"code": codes.TRANSFER, "station": self.stations.link_of[name]}
            case spec.Call(call=name, optional=optional):
                return self._call(name, optional)
        raise AssertionError(f"no operation for {row!r}")

    def _take(self, name: str) -> Row:
        self._held[name] = holding = self.n_holdings
        self.n_holdings += 1
        if name in self.portal.tiers:
            tier = self.portal.tiers[name]
            return {
                "code": codes.TAKE_WORKER,
                "station": self.stations.tier_of[name],
                "holding": holding,
                "binding": self._binding(name),
            } | self._duration(tier.wait_limit)
        pool = self.portal.pools[name]
        owner = pool.per_server_of
        indexed = owner is not None and self.stations.is_indexed(owner)
        return {
            "code": codes.TAKE_TOKEN,
            "station": self.stations.pool_of[name],
            "holding": holding,
            "binding": self._binding(owner) if indexed and owner is not None else NONE,
        } | self._duration(pool.wait_limit)

    def _call(self, name: str, optional: bool) -> Row:
        gateway = self.portal.gateways[name]
        latency = self._duration(gateway.latency)
        return latency | {
            "code": codes.CALL,
            "station": self.stations.gateway_of[name],
            "is_optional": optional,
            "coin": self._next_slot() if gateway.error_share > 0 else NONE,
            "error_share": gateway.error_share,
        }

    def _binding(self, tier: str) -> int:
        return self.bindings.setdefault(tier, len(self.bindings))

    def _next_slot(self) -> int:
        slot, self._slot = self._slot, self._slot + 1
        return slot

    def _duration(self, distribution: Distribution | None) -> Row:
        """Return the fields of a duration; a random one takes a slot."""
        if distribution is None:
            return {"family": NONE, "slot": NONE, "mean": math.inf}
        slot = self._next_slot() if distribution.is_random else NONE
        return _family(distribution) | {"slot": slot}


def _family(distribution: Distribution) -> Row:
    if not distribution.is_random:
        return {"family": codes.CONSTANT, "mean": distribution.mean_s}
    mean, sigma = distribution.mean_s, 0.0
    if distribution.distribution == "lognormal":
        mean, sigma = lognormal_parameters(distribution.mean_s, distribution.cv)
    return {"family": _FAMILIES[distribution.distribution], "mean": mean, "sigma": sigma}


def _enqueued(rows: Sequence[spec.Op]) -> list[str]:
    return [row.enqueue for row in rows if isinstance(row, spec.Enqueue)]


def _clients(scenario: Scenario) -> tuple[list[Row], list[float]]:
    """Return clients, and the pauses after each of their attempts."""
    rows: list[Row] = []
    pauses: list[float] = []
    for client in scenario.clients.values():
        patience = {"family": NONE} if client.patience is None else _family(client.patience)
        own = {"retries": client.retries, "first_pause": len(pauses), "jitter": client.jitter}
        rows.append(patience | own)
        pauses += [
            client.backoff_s * client.backoff_factor**number for number in range(client.retries)
        ]
    return rows, pauses


def _uplinks(scenario: Scenario) -> list[float]:
    """Return the upload rates of the channels, slowest first, each once."""
    return sorted({channel.uplink_bit_per_s for channel in scenario.channels.values()})


def _channels(scenario: Scenario) -> list[Row]:
    rates = _uplinks(scenario)
    return [
        {"rank": rates.index(channel.uplink_bit_per_s), "round_trip_s": channel.round_trip_s}
        for channel in scenario.channels.values()
    ]


def _moments(scenario: Scenario, stations: _Stations) -> list[Row]:
    """Return all that breaks and is mended; at one moment what is mended comes first."""
    moments = [
        (at_s, is_strike, index)
        for index, fault in enumerate(scenario.faults)
        for at_s, is_strike in ((fault.from_s, True), (fault.to_s, False))
    ]
    return [
        {
            "at_s": at_s,
            "is_strike": is_strike,
            "fault": index,
            "kind": _FAULTS[scenario.faults[index].kind],
            "target": _target(scenario.faults[index], stations),
            "factor": scenario.faults[index].factor or 1.0,
            "servers": scenario.faults[index].servers or 0,
            "until_s": scenario.faults[index].to_s,
        }
        for at_s, is_strike, index in sorted(moments)
    ]


def _target(fault: Fault, stations: _Stations) -> int:
    if fault.kind in ("server_lost", "tier_slow"):
        return stations.tier_of[fault.target]
    if fault.kind == "link_slow":
        return stations.link_of[fault.target]
    if fault.kind == "job_stopped":
        return stations.job_of[fault.target]
    return stations.gateway_of[fault.target]


def _times(servers: int, of_one: float) -> float:
    """Return what several servers have together; without limit it stays so, even of none."""
    return of_one if math.isinf(of_one) else servers * of_one


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value
