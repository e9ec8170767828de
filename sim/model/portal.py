"""The portal as a queueing network: every station of a scenario, and the programs over them."""

from collections.abc import Callable, Sequence

from simpy import Environment

from sim.model.draws import COIN
from sim.model.gateway import Gateway
from sim.model.job import Item, Job
from sim.model.level import Level
from sim.model.link import Link
from sim.model.operations import (
    Call,
    Compute,
    Duration,
    GiveBack,
    Program,
    SlotCounter,
    TakePool,
    TakeWorker,
    Transfer,
    Wait,
)
from sim.model.pool import Pool
from sim.model.scaling import Autoscaler
from sim.model.tier import Tier
from sim.model.visit import Operation
from sim.scenario import portal as spec
from sim.scenario.base import Distribution
from sim.scenario.scenario import Scenario
from sim.streams import child_key


class PortalModel:
    """The portal of one scenario in one environment.

    Attributes
    ----------
    tiers, gateways, links, jobs : dict
        Stations by name.
    programs : dict of str to Program
        Programs of the endpoints by name.
    stations : dict of str to list of Level
        Levels of every station by its name; several where each server has its own.
    """

    def __init__(self, env: Environment, scenario: Scenario, replication: int) -> None:
        self.env = env
        self._key = child_key(scenario.seed, replication)
        self._spec = scenario.portal
        self._interval_s = scenario.execution.level_interval_s
        self.stations: dict[str, list[Level]] = {}
        self.tiers = {name: self._tier(name, tier) for name, tier in self._spec.tiers.items()}
        self._indexed = {name for name, tier in self.tiers.items() if tier.is_indexed}
        self._pools = {name: self._pool(name, pool) for name, pool in self._spec.pools.items()}
        self.gateways = {
            name: Gateway(env, self._level(name), gateway)
            for name, gateway in self._spec.gateways.items()
        }
        self.links = {
            name: Link(env, self._level(name), link.bandwidth_bit_per_s)
            for name, link in self._spec.links.items()
        }
        self.jobs = {
            name: Job(env, self._level(name), job) for name, job in self._spec.jobs.items()
        }
        self._job_index = {name: index for index, name in enumerate(self.jobs)}
        self.programs = {
            name: self._program(endpoint.program, files_dossier=endpoint.files_dossier)
            for name, endpoint in self._spec.endpoints.items()
        }

    def start(self) -> None:
        """Start what moves by itself: autoscalers, then jobs."""
        for tier in self.tiers.values():
            if tier.spec.autoscaling is not None:
                self.env.process(Autoscaler(self.env, tier, tier.spec.autoscaling).run())
        for name, job in self._spec.jobs.items():
            self.jobs[name].start(self._program(job.program))
            for number in range(job.initial_queue):
                self.enqueue(self._backlog_item(name, number), name)

    @property
    def is_idle(self) -> bool:
        """Whether no job has anything to do."""
        return all(job.is_idle for job in self.jobs.values())

    def enqueue(self, item: Item, name: str) -> None:
        """Queue an item at a job; when it succeeds there, every job that follows gets one."""
        job = self._spec.jobs[name]
        following = [row.enqueue for row in job.program if isinstance(row, spec.Enqueue)]
        if job.then is not None:
            following.append(job.then)
        if following:
            item.done = self._followed_by(item, following)
        self.jobs[name].put(item)

    def item_key(self, key: int, name: str) -> int:
        """Return the key of an item that a request (or an item) with this key gives to a job."""
        return child_key(key, self._job_index[name])

    def _followed_by(self, item: Item, following: Sequence[str]) -> Callable[[float], None]:
        first = item.done

        def done(now: float) -> None:
            first(now)
            for name in following:
                self.enqueue(Item(self.item_key(item.key, name), now, _nothing), name)

        return done

    def _backlog_item(self, name: str, number: int) -> Item:
        return Item(self.item_key(child_key(self._key, number), name), 0.0, _nothing)

    def _level(self, name: str, server: int | None = None) -> Level:
        mark = name if server is None else f"{name}[{server}]"
        level = Level(mark, self._interval_s, 0.0)
        self.stations.setdefault(name, []).append(level)
        return level

    def _tier(self, name: str, tier: spec.Tier) -> Tier:
        built = Tier(self.env, name, tier, self._interval_s)
        for position, part in enumerate(("workers", "cpu")):
            self.stations[f"{name}.{part}"] = [server.levels[position] for server in built.servers]
        return built

    def _pool(self, name: str, pool: spec.Pool) -> list[Pool]:
        if pool.per_server_of is None:
            return [Pool(self.env, self._level(name), pool.capacity, pool.queue_limit)]
        tier = self.tiers[pool.per_server_of]
        built = []
        for server in tier.servers:
            level = self._level(name, server.index if tier.is_indexed else None)
            built.append(Pool(self.env, level, pool.capacity, pool.queue_limit))
            server.attach(built[-1])
        return built

    def _program(self, rows: Sequence[spec.Op], *, files_dossier: bool = False) -> Program:
        counter = SlotCounter()
        operations = [
            self._operation(row, counter) for row in rows if not isinstance(row, spec.Enqueue)
        ]
        queues = [row.enqueue for row in rows if isinstance(row, spec.Enqueue)]
        return Program(operations, counter.slots, queues, files_dossier)

    def _operation(self, row: spec.Op, counter: SlotCounter) -> Operation:
        match row:
            case spec.Take(take=name) if name in self.tiers:
                return TakeWorker(
                    self.tiers[name], _limit(self._spec.tiers[name].wait_limit, counter)
                )
            case spec.Take(take=name):
                pool = self._spec.pools[name]
                tier = pool.per_server_of if pool.per_server_of in self._indexed else None
                return TakePool(name, self._pools[name], tier, _limit(pool.wait_limit, counter))
            case spec.Release(release=name):
                return GiveBack(name)
            case spec.Compute(cpu=name, work=work):
                return Compute(self.tiers[name], counter.duration(work))
            case spec.Delay(delay=delay):
                return Wait(counter.duration(delay))
            case spec.Transfer(transfer=name):
                return Transfer(self.links[name])
            case spec.Call(call=name, optional=optional):
                gateway = self._spec.gateways[name]
                latency = counter.duration(gateway.latency)
                error = counter.coin(COIN) if gateway.error_share > 0 else -1
                return Call(
                    self.gateways[name], latency, error, gateway.error_share, optional=optional
                )
        raise AssertionError(f"no operation for {row!r}")


def _limit(distribution: Distribution | None, counter: SlotCounter) -> Duration | None:
    return None if distribution is None else counter.duration(distribution)


def _nothing(_now: float) -> None:
    """Nobody waits for this item."""
