"""From a scenario to its prediction, by the utilisation law and queueing formulas.

Means only, no retries, no faults, no limits on queues: a screen and an anchor, not an answer.
Loads follow the utilisation law; waits treat every station as if it stood alone (M/M/c, or
Allen–Cunneen where the spread of service is known), and what holds a token while it waits further
in is iterated to a fixed point.
"""

import math

import numpy as np

from sim.analytic.backlog import Work, works_of_jobs
from sim.analytic.flows import Delays, Flow, Passage, cpu_station, item_time_s, passage, squared_cv
from sim.analytic.prediction import EndpointPrediction, JobBalance, Prediction, StationLoad
from sim.analytic.stations import Station, job_capacity_per_s, stations_of
from sim.analytic.traffic import Matrix, Traffic, mean_traffic
from sim.demand.catalogue import Catalogue, catalogue_of
from sim.scenario.portal import Compute, Portal
from sim.scenario.scenario import Scenario

_ROUNDS = 100
"""Rounds of the fixed point at most; pools nested n deep settle after n + 1."""


def predict(scenario: Scenario, catalogue: Catalogue | None = None) -> Prediction:
    """Predict loads and latencies by queueing formulas.

    Parameters
    ----------
    scenario : Scenario
        The question; its faults are ignored.
    catalogue : Catalogue, optional
        Its procedures; by default those of the scenario.

    Raises
    ------
    DemandError
        When some journey never ends.
    """
    traffic = mean_traffic(scenario, catalogue_of(scenario) if catalogue is None else catalogue)
    return _Predictor(scenario, traffic).prediction()


class _Predictor:
    """Flows, stations and passages of one scenario; each method is one step of the reckoning."""

    def __init__(self, scenario: Scenario, traffic: Traffic) -> None:
        self._scenario = scenario
        self._portal = scenario.portal
        self._traffic = traffic
        self._item_s = {name: item_time_s(name, self._portal) for name in self._portal.jobs}
        self._works = works_of_jobs(self._portal, traffic, self._item_s)
        self._flows = [*_request_flows(scenario, traffic), *_job_flows(self._portal)]
        done = [work.done_per_s for work in self._works.values()]
        self._rates = np.column_stack([traffic.requests_per_s, *done])
        self._zero = [passage(flow, self._portal, Delays()) for flow in self._flows]
        self._bits = np.array([flow.bits for flow in self._flows])

    def prediction(self) -> Prediction:
        """Put everything together."""
        cores = {
            cpu_station(tier): float((self._rates @ self._occupied_s(cpu_station(tier))).max())
            for tier in self._portal.tiers
        }
        stations = list(stations_of(self._portal, cores, self._item_s))
        offered = np.zeros((len(self._rates), len(stations)))
        for i, station in enumerate(stations):
            offered[:, i] = self._offered(station)
        used = offered / np.array([station.capacity for station in stations])
        peak = int(np.argmax(used.max(axis=1))) if stations else 0
        delays, held = self._queueing(stations, self._rates[peak])
        offered_mean = self._traffic.mean_from(offered, self._scenario.window.warm_up_s)
        loads = [
            StationLoad(
                name=station.name,
                kind=station.kind,
                capacity=station.capacity,
                capacity_most=station.most,
                offered_mean=float(offered_mean[i]),
                offered_peak=float(offered[peak, i]),
                held_peak=held.get(station.name, float(offered[peak, i])),
                wait_peak_s=_wait_s(station, delays, float(offered[peak, i])),
            )
            for i, station in enumerate(stations)
        ]
        loads.sort(key=lambda load: (-load.utilisation_peak, load.name))
        return self._assembled(peak, delays, tuple(loads))

    def _assembled(self, peak: int, delays: Delays, loads: tuple[StationLoad, ...]) -> Prediction:
        traffic, warm_up_s = self._traffic, self._scenario.window.warm_up_s
        requests = traffic.requests_per_s
        requests_mean = traffic.mean_from(requests, warm_up_s)
        sessions_mean = traffic.mean_from(traffic.sessions_per_s, warm_up_s)
        lengths = np.diff(traffic.edges_s)
        files = [self._portal.endpoints[name].files_dossier for name in traffic.endpoints]
        return Prediction(
            peak_from_s=float(traffic.edges_s[peak]),
            sessions_mean_per_s=_by_name(traffic.journeys, sessions_mean),
            sessions_peak_per_s=_by_name(traffic.journeys, traffic.sessions_per_s[peak]),
            requests_per_session=_by_name(traffic.journeys, traffic.requests.sum(axis=1)),
            endpoints={
                flow.name: EndpointPrediction(
                    rate_mean_per_s=float(requests_mean[i]),
                    rate_peak_per_s=float(requests[peak, i]),
                    zero_load_s=self._zero[i].response_s,
                    response_peak_s=passage(flow, self._portal, delays).response_s,
                )
                for i, flow in enumerate(self._flows[: len(traffic.endpoints)])
            },
            stations=loads,
            jobs={name: self._balance(name, work) for name, work in self._works.items()},
            sessions=float(lengths @ traffic.sessions_per_s.sum(axis=1)),
            requests=float(lengths @ requests.sum(axis=1)),
            dossiers=float(lengths @ requests[:, files].sum(axis=1)),
        )

    def _occupied_s(self, station: str) -> Matrix:
        """Return how long one visit of each flow occupies a station at zero load, s."""
        return np.array([_occupied_s(course, station) for course in self._zero])

    def _visits(self, station: str) -> Matrix:
        """Return how often one visit of each flow uses a station."""
        counts = [sum(name == station for name, _ in course.visits) for course in self._zero]
        return np.array(counts, dtype=np.float64)

    def _offered(self, station: Station) -> Matrix:
        """Return the offered load per interval in the unit of the station's capacity."""
        if station.kind == "job":
            return self._works[station.name].items_per_s
        per_visit = self._occupied_s(station.name)
        if station.kind == "rate_limit":
            per_visit = self._visits(station.name)
        elif station.kind == "link":
            per_visit = self._visits(station.name) * self._bits
        offered: Matrix = self._rates @ per_visit
        return offered

    def _queueing(self, stations: list[Station], rates: Matrix) -> tuple[Delays, dict[str, float]]:
        """Return what queueing adds at these rates, and the loads of workers and pools."""
        delays = Delays()
        for station in stations:
            self._add_delay(station, rates, delays)
        tokens = [station for station in stations if station.kind in ("workers", "pool")]
        visits_per_s = {
            station.name: float(rates @ self._visits(station.name)) for station in tokens
        }
        held: dict[str, float] = {}
        for _ in range(_ROUNDS):
            courses = [passage(flow, self._portal, delays) for flow in self._flows]
            before, held = held, {name: _load(name, courses, rates) for name in visits_per_s}
            if held == before:
                break
            for station in tokens:
                rate = visits_per_s[station.name]
                mean_s = held[station.name] / rate if rate > 0 else 0.0
                delays.wait_s[station.name] = station.wait_mean_s(rate, mean_s)
        return delays, held

    def _add_delay(self, station: Station, rates: Matrix, delays: Delays) -> None:
        """Add the delay at a station whose service takes as long whatever happens elsewhere."""
        name = station.name
        load, visits_per_s = _load(name, self._zero, rates), float(rates @ self._visits(name))
        if visits_per_s == 0:
            return
        if station.kind == "gateway":
            spread = squared_cv(self._portal.gateways[name].latency)
            delays.wait_s[name] = station.wait_mean_s(visits_per_s, load / visits_per_s, spread)
        elif station.kind == "link":
            spare = station.capacity - float(rates @ (self._visits(name) * self._bits))
            delays.s_per_bit[name] = 1 / spare if spare > 0 else math.inf
        elif station.kind == "processor":
            tier = name.removesuffix(".cpu")
            if self._portal.tiers[tier].discipline == "ps":
                delays.stretch[name] = station.stretch(load)
            else:
                spread = self._work_cv2(tier, rates)
                delays.wait_s[name] = station.wait_mean_s(visits_per_s, load / visits_per_s, spread)

    def _work_cv2(self, tier: str, rates: Matrix) -> float:
        """Return variance over squared mean of the work on a tier, over all programs."""
        moments = np.zeros(3)
        for flow, rate in zip(self._flows, rates.tolist(), strict=True):
            for row in flow.program:
                if isinstance(row, Compute) and row.cpu == tier:
                    mean_s = row.work.mean_s
                    square = mean_s**2 * (1 + squared_cv(row.work))
                    moments += rate * np.array([1.0, mean_s, square])
        count, total, squares = moments.tolist()
        return max(0.0, squares * count / total**2 - 1) if total > 0 else 0.0

    def _balance(self, name: str, work: Work) -> JobBalance:
        traffic, job = self._traffic, self._portal.jobs[name]
        warm_up_s = self._scenario.window.warm_up_s
        mean = traffic.mean_from(work.items_per_s[:, np.newaxis], warm_up_s)
        return JobBalance(
            items_mean_per_s=float(mean[0]),
            items_peak_per_s=float(work.items_per_s.max()),
            capacity_per_s=job_capacity_per_s(job, self._item_s[name]),
            zero_load_s=job.period_s / 2 + self._item_s[name],
            backlog_max=work.backlog_max,
            backlog_end=work.backlog_end,
        )


def _request_flows(scenario: Scenario, traffic: Traffic) -> list[Flow]:
    """Return a flow per endpoint, its journeys mixed by their mean requests."""
    lengths = np.diff(traffic.edges_s)
    sent = (lengths @ traffic.sessions_per_s)[:, np.newaxis] * traffic.requests
    bits = (lengths @ traffic.sessions_per_s)[:, np.newaxis] * traffic.bits
    total = np.where(sent.sum(axis=0) > 0, sent.sum(axis=0), 1.0)
    round_trips = traffic.round_trip_s @ sent / total
    uploads = traffic.s_per_bit @ bits / total
    return [
        Flow(
            name,
            scenario.portal.endpoints[name].program,
            round_trip_s=float(round_trips[i]),
            bits=float(bits[:, i].sum() / total[i]),
            upload_s=float(uploads[i]),
        )
        for i, name in enumerate(traffic.endpoints)
    ]


def _job_flows(portal: Portal) -> list[Flow]:
    return [Flow(name, job.program) for name, job in portal.jobs.items()]


def _occupied_s(course: Passage, station: str) -> float:
    return sum(occupied_s for name, occupied_s in course.visits if name == station)


def _load(station: str, courses: list[Passage], rates: Matrix) -> float:
    """Return the offered load of a station, Erlang; a flow that does not run adds nothing."""
    return math.fsum(
        rate * _occupied_s(course, station)
        for course, rate in zip(courses, rates.tolist(), strict=True)
        if rate > 0
    )


def _wait_s(station: Station, delays: Delays, offered: float) -> float:
    """Return the mean wait per visit of a station, s; shared capacity makes nobody wait."""
    if station.kind in ("rate_limit", "job", "link"):
        return 0.0 if offered < station.capacity else math.inf
    if math.isinf(delays.stretch.get(station.name, 1.0)):
        return math.inf
    return delays.wait_s.get(station.name, 0.0)


def _by_name(names: tuple[str, ...], values: Matrix) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))
