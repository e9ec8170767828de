"""Stations of a portal as queueing formulas see them: capacity, parallel queues, mean wait."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sim.analytic.flows import cpu_station, token_station
from sim.analytic.formulas import allen_cunneen_wait_mean, ps_stretch
from sim.scenario.portal import Job, Portal, Tier

Kind = Literal["processor", "workers", "pool", "gateway", "rate_limit", "link", "job"]

_ROUNDING = 1e-9
"""A load this close to a whole number of servers is that number."""


@dataclass(frozen=True, slots=True)
class Station:
    """A place where capacity is used.

    Attributes
    ----------
    name : str
        As in the records; a gateway's rate limit has the gateway's name.
    kind : Kind
        What its capacity is.
    capacity : float
        Cores, workers, tokens, calls at once, calls/s, bit/s or items/s.
    most : float
        Capacity after all autoscaling.
    queues : int
        Equal queues its arrivals are dealt to; capacity is that of all.
    """

    name: str
    kind: Kind
    capacity: float
    most: float
    queues: int = 1

    def wait_mean_s(self, rate_per_s: float, occupied_s: float, service_cv2: float = 1.0) -> float:
        """Return the mean wait per visit, s; infinite without a steady state.

        Parameters
        ----------
        rate_per_s : float
            Visits of the whole station, 1/s.
        occupied_s : float
            Mean time a visit occupies a server or token, s.
        service_cv2 : float
            Variance over squared mean of that time.
        """
        servers, rate = round(self.capacity / self.queues), rate_per_s / self.queues
        return allen_cunneen_wait_mean(
            servers, rate, occupied_s, arrival_cv=1.0, service_cv=math.sqrt(service_cv2)
        )

    def stretch(self, load: float) -> float:
        """Return response over work when the capacity is shared by all present, >= 1."""
        return ps_stretch(round(self.capacity / self.queues), load / self.queues)


def stations_of(
    portal: Portal, cores_used: Mapping[str, float], item_s: Mapping[str, float]
) -> Iterator[Station]:
    """Yield every station of a portal that has a limit.

    Parameters
    ----------
    portal : Portal
        The portal.
    cores_used : mapping of str to float
        Peak offered load of each tier's cores, Erlang: what autoscaling answers to.
    item_s : mapping of str to float
        Mean time of one item of each job, s.
    """
    servers = {
        name: servers_wanted(tier, cores_used.get(cpu_station(name), 0.0))
        for name, tier in portal.tiers.items()
    }
    most = {
        name: tier.autoscaling.max_servers if tier.autoscaling else tier.servers
        for name, tier in portal.tiers.items()
    }
    for name, tier in portal.tiers.items():
        queues = servers[name] if tier.balancing == "round_robin" else 1
        parts: tuple[tuple[str, Kind, int | None], ...] = (
            (token_station(name, portal), "workers", tier.workers),
            (cpu_station(name), "processor", tier.cores),
        )
        for station, kind, each in parts:
            if each is not None:
                yield Station(station, kind, servers[name] * each, most[name] * each, queues)
    for name, pool in portal.pools.items():
        owner = pool.per_server_of
        n, n_most = (servers[owner], most[owner]) if owner else (1, 1)
        is_dealt = owner is not None and portal.tiers[owner].balancing == "round_robin"
        yield Station(name, "pool", n * pool.capacity, n_most * pool.capacity, n if is_dealt else 1)
    for name, gateway in portal.gateways.items():
        if gateway.concurrency is not None:
            yield Station(name, "gateway", gateway.concurrency, gateway.concurrency)
        if gateway.rate_limit_per_s is not None:
            rate = gateway.rate_limit_per_s
            yield Station(name, "rate_limit", rate, rate)
    for name, link in portal.links.items():
        yield Station(name, "link", link.bandwidth_bit_per_s, link.bandwidth_bit_per_s)
    for name, job in portal.jobs.items():
        rate = job_capacity_per_s(job, item_s[name])
        yield Station(name, "job", rate, rate)


def servers_wanted(tier: Tier, cores_used: float) -> int:
    """Return the servers of a tier in the long run at this load: autoscaling follows its target."""
    scaling = tier.autoscaling
    if scaling is None:
        return tier.servers
    wanted = math.ceil(cores_used / (tier.cores * scaling.target_utilisation) - _ROUNDING)
    return min(max(wanted, scaling.min_servers), scaling.max_servers)


def job_capacity_per_s(job: Job, item_s: float) -> float:
    """Return how many items a job can work off per second.

    A full batch takes ⌈batch / workers⌉ rounds of items; where a tick is skipped while it runs, it
    costs whole periods.
    """
    batch_s = math.ceil(job.batch / job.workers) * item_s
    if job.skip_if_running:
        periods = max(1, math.ceil(batch_s / job.period_s - _ROUNDING))
        return job.batch / (periods * job.period_s)
    by_workers = job.workers / item_s if item_s > 0 else math.inf
    return min(job.batch / job.period_s, by_workers)
