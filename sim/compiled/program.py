"""A scenario as the kernel wants it: stations, programs and behaviour as tables of numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from sim.compiled import structs
from sim.compiled.kernel import constants as codes
from sim.compiled.kernel.constants import NONE
from sim.compiled.stations import Row, Stations, Table, table, uplinks
from sim.demand.variates import lognormal_parameters
from sim.model.draws import FIRST_PROGRAM_SLOT
from sim.scenario import portal as spec
from sim.scenario.base import Distribution
from sim.scenario.run import Fault
from sim.scenario.scenario import Scenario

_FAMILIES = {
    "constant": codes.CONSTANT,
    "exponential": codes.EXPONENTIAL,
    "uniform": codes.UNIFORM,
    "lognormal": codes.LOGNORMAL,
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
    stations = Stations(scenario)
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


class _Programs:
    """Programs of the endpoints, then of the jobs."""

    def __init__(self, scenario: Scenario, stations: Stations) -> None:
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
        stations: Stations,
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

    def _list(self, names: Sequence[str], stations: Stations) -> tuple[int, int]:
        """Add jobs to the list of jobs; returns where they begin and how many they are."""
        first = len(self._queues)
        self._queues += [stations.job_of[name] for name in names]
        return first, len(names)


@dataclass(slots=True)
class _Writer:
    """Writes the operations of one program; knows what is held at each row."""

    portal: spec.Portal
    stations: Stations
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
        return family_of(distribution) | {"slot": slot}


def family_of(distribution: Distribution) -> Row:
    """Return how the kernels draw from a distribution."""
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
        patience = {"family": NONE} if client.patience is None else family_of(client.patience)
        own = {"retries": client.retries, "first_pause": len(pauses), "jitter": client.jitter}
        rows.append(patience | own)
        pauses += [
            client.backoff_s * client.backoff_factor**number for number in range(client.retries)
        ]
    return rows, pauses


def _channels(scenario: Scenario) -> list[Row]:
    rates = uplinks(scenario)
    return [
        {"rank": rates.index(channel.uplink_bit_per_s), "round_trip_s": channel.round_trip_s}
        for channel in scenario.channels.values()
    ]


def _moments(scenario: Scenario, stations: Stations) -> list[Row]:
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


def _target(fault: Fault, stations: Stations) -> int:
    if fault.kind in ("server_lost", "tier_slow"):
        return stations.tier_of[fault.target]
    if fault.kind == "link_slow":
        return stations.link_of[fault.target]
    if fault.kind == "job_stopped":
        return stations.job_of[fault.target]
    return stations.gateway_of[fault.target]
