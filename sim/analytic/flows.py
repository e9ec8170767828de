"""Flows: streams of one program, and how long each of its rows takes and holds what it took."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sim.scenario.base import Distribution
from sim.scenario.portal import Call, Compute, Delay, Enqueue, Op, Portal, Release, Take, Transfer


@dataclass(frozen=True, slots=True)
class Flow:
    """A stream of visits that do one program.

    Attributes
    ----------
    name : str
        Endpoint or job.
    program : tuple of Op
        What one visit does.
    round_trip_s : float
        Mean network round trip before it, s.
    bits : float
        Mean upload, bits.
    upload_s : float
        Mean time of the upload on the clients' own lines, s.
    """

    name: str
    program: tuple[Op, ...]
    round_trip_s: float = 0.0
    bits: float = 0.0
    upload_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Delays:
    """What queueing adds: nothing at zero load.

    Attributes
    ----------
    wait_s : dict of str to float
        Mean wait per visit of a station, s.
    stretch : dict of str to float
        Response over work at a processor that is shared, >= 1.
    s_per_bit : dict of str to float
        Least mean time per bit of a link, s.
    """

    wait_s: dict[str, float] = field(default_factory=dict)
    stretch: dict[str, float] = field(default_factory=dict)
    s_per_bit: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Passage:
    """The mean course of one visit.

    Attributes
    ----------
    response_s : float
        Time from sending to the answer, s; infinite where a station has no steady state.
    visits : tuple of (str, float)
        Stations in order, each with how long the visit occupies it, waits before it excluded, s.
    """

    response_s: float
    visits: tuple[tuple[str, float], ...]


def passage(flow: Flow, portal: Portal, delays: Delays) -> Passage:
    """Follow a program's rows at their mean durations.

    A worker or a token is occupied from its grant until it is released or the program ends:
    whatever the visit waits for meanwhile, it waits holding it.
    """
    held_s: dict[str, float] = {}
    visits: list[tuple[str, float]] = []
    total_s = flow.round_trip_s
    for row in flow.program:
        if isinstance(row, Release):
            visits.append((token_station(row.release, portal), held_s.pop(row.release)))
            continue
        elapsed_s, occupied = _row_times(row, flow, portal, delays)
        total_s += elapsed_s
        held_s = {name: so_far + elapsed_s for name, so_far in held_s.items()}
        if isinstance(row, Take):
            held_s[row.take] = 0.0
        elif occupied is not None:
            visits.append(occupied)
    visits += [(token_station(name, portal), held) for name, held in held_s.items()]
    return Passage(total_s, tuple(visits))


def item_time_s(job: str, portal: Portal) -> float:
    """Return the mean time of one item of a job when nothing else goes on, s."""
    return passage(Flow(job, portal.jobs[job].program), portal, Delays()).response_s


def token_station(name: str, portal: Portal) -> str:
    """Return the station whose tokens a row takes: a tier's workers, or a pool."""
    return f"{name}.workers" if name in portal.tiers else name


def cpu_station(tier: str) -> str:
    """Return the station of a tier's cores."""
    return f"{tier}.cpu"


def squared_cv(distribution: Distribution) -> float:
    """Return variance over squared mean of a distribution."""
    match distribution.distribution:
        case "constant":
            return 0.0
        case "exponential":
            return 1.0
        case "uniform":
            return 1 / 3
        case "lognormal":
            return distribution.cv**2


def program_enqueues(program: tuple[Op, ...]) -> Mapping[str, int]:
    """Return how many items one visit puts into each job."""
    counts: dict[str, int] = {}
    for row in program:
        if isinstance(row, Enqueue):
            counts[row.enqueue] = counts.get(row.enqueue, 0) + 1
    return counts


def _row_times(
    row: Op, flow: Flow, portal: Portal, delays: Delays
) -> tuple[float, tuple[str, float] | None]:
    """Return how long a row takes, and which station it occupies for how long."""
    match row:
        case Take(take=name):
            return delays.wait_s.get(token_station(name, portal), 0.0), None
        case Compute(cpu=tier, work=work):
            name = cpu_station(tier)
            served_s = work.mean_s * delays.stretch.get(name, 1.0) if work.mean_s > 0 else 0.0
            return delays.wait_s.get(name, 0.0) + served_s, (name, served_s)
        case Delay(delay=delay):
            return delay.mean_s, None
        case Call(call=name):
            latency_s = portal.gateways[name].latency.mean_s
            return delays.wait_s.get(name, 0.0) + latency_s, (name, latency_s)
        case Transfer(transfer=name):
            if flow.bits == 0:
                return 0.0, (name, 0.0)
            shared_s = flow.bits * delays.s_per_bit.get(name, 0.0)
            return max(flow.upload_s, shared_s), (name, max(flow.upload_s, shared_s))
        case _:
            return 0.0, None
