"""What a prediction says: loads of stations, latencies of endpoints, balances of jobs."""

import math
from dataclasses import dataclass

from sim.analytic.stations import Kind

NOTE = "Means by queueing formulas; retries, faults and limits on queues are not included."
"""What a reader of a prediction must know."""


@dataclass(frozen=True, slots=True)
class StationLoad:
    """Load of one station.

    Attributes
    ----------
    name : str
        Station as in the records.
    kind : Kind
        What its capacity is counted in: cores, workers, tokens, calls, calls/s, bit/s, items/s.
    capacity, capacity_most : float
        Capacity at the peak, and after all autoscaling.
    offered_mean, offered_peak : float
        Offered load without queueing, in the unit of the capacity: mean of the judged part of the
        window, and in the peak interval.
    held_peak : float
        Offered load in the peak interval when waits further in lengthen it; infinite when they
        never end.
    wait_peak_s : float
        Mean wait per visit in the peak interval, s; infinite without a steady state.
    """

    name: str
    kind: Kind
    capacity: float
    capacity_most: float
    offered_mean: float
    offered_peak: float
    held_peak: float
    wait_peak_s: float

    @property
    def utilisation_mean(self) -> float:
        """Mean offered load over capacity; above 1 when it is not enough."""
        return self.offered_mean / self.capacity

    @property
    def utilisation_peak(self) -> float:
        """Offered load over capacity in the peak interval; above 1 when it is not enough."""
        return self.offered_peak / self.capacity

    @property
    def is_stable(self) -> bool:
        """Whether the station has a steady state in the peak interval."""
        return self.held_peak < self.capacity


@dataclass(frozen=True, slots=True)
class EndpointPrediction:
    """Traffic and latency of one endpoint.

    Attributes
    ----------
    rate_mean_per_s, rate_peak_per_s : float
        Requests per second, mean of the judged part of the window and in the peak interval.
    zero_load_s : float
        Mean response of a lone request, s.
    response_peak_s : float
        Approximate mean response in the peak interval, s; infinite without a steady state.
    """

    rate_mean_per_s: float
    rate_peak_per_s: float
    zero_load_s: float
    response_peak_s: float


@dataclass(frozen=True, slots=True)
class JobBalance:
    """Work of one background job against what it can do.

    Attributes
    ----------
    items_mean_per_s, items_peak_per_s : float
        Items that arrive per second, mean of the judged part and highest of any interval.
    capacity_per_s : float
        Items it can work off per second.
    zero_load_s : float
        Mean time of an item that finds the queue empty: half a period and its program, s.
    backlog_max, backlog_end : float
        Largest queue over the window, and the queue at its end, items, in the fluid limit.
    """

    items_mean_per_s: float
    items_peak_per_s: float
    capacity_per_s: float
    zero_load_s: float
    backlog_max: float
    backlog_end: float

    @property
    def delay_max_s(self) -> float:
        """Time to work off the largest queue, s."""
        return self.backlog_max / self.capacity_per_s


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the formulas say of a scenario.

    Attributes
    ----------
    peak_from_s : float
        Start of the peak interval: the one in which some station is used most, s.
    sessions_mean_per_s, sessions_peak_per_s : dict of str to float
        Sessions that start per second, by journey.
    requests_per_session : dict of str to float
        Mean requests of one session, by journey.
    endpoints : dict of str to EndpointPrediction
        By endpoint.
    stations : tuple of StationLoad
        Most used first.
    jobs : dict of str to JobBalance
        By job.
    sessions, requests, dossiers : float
        Expected numbers over the whole window.
    """

    peak_from_s: float
    sessions_mean_per_s: dict[str, float]
    sessions_peak_per_s: dict[str, float]
    requests_per_session: dict[str, float]
    endpoints: dict[str, EndpointPrediction]
    stations: tuple[StationLoad, ...]
    jobs: dict[str, JobBalance]
    sessions: float
    requests: float
    dossiers: float

    @property
    def bottleneck(self) -> StationLoad | None:
        """The station used most in the peak interval; None when nothing has a limit."""
        return self.stations[0] if self.stations else None

    @property
    def headroom(self) -> float:
        """How many times the sessions may grow before some station saturates; below 1: not enough.

        An upper bound (asymptotic: Denning and Buzen, 1978); reckons with all autoscaling.
        """
        used = [load for load in self.stations if load.offered_peak > 0]
        return min((load.capacity_most / load.offered_peak for load in used), default=math.inf)

    def station(self, name: str, kind: Kind | None = None) -> StationLoad:
        """Return the load of a station; of a gateway the more used limit, unless a kind is named.

        Raises
        ------
        KeyError
            When the portal has no such station with a limit.
        """
        for load in self.stations:
            if load.name == name and kind in (None, load.kind):
                return load
        raise KeyError(name)
