"""Mean traffic of a scenario: sessions, requests and uploaded bits, interval by interval."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.arrivals import session_profiles
from sim.demand.catalogue import Catalogue
from sim.demand.journeys import JourneyTables, compile_journeys, expected_visits, mean_calls
from sim.demand.variates import lognormal_parameters
from sim.scenario.demand import Upload
from sim.scenario.scenario import Scenario

BITS_PER_BYTE = 8

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What clients send on average, before retries; polls that may be skipped are counted.

    Attributes
    ----------
    journeys, endpoints : tuple of str
        Names behind the indices.
    edges_s : NDArray, shape (n_intervals + 1,)
        Where intervals begin and the last one ends, s from the window's start.
    sessions_per_s : NDArray, shape (n_intervals, n_journeys)
        Sessions that start, 1/s.
    requests : NDArray, shape (n_journeys, n_endpoints)
        Mean requests of one session.
    bits : NDArray, shape (n_journeys, n_endpoints)
        Mean bits one session uploads.
    round_trip_s, s_per_bit : NDArray, shape (n_journeys,)
        Mean network round trip of a request, and mean time of one bit on the client's own line.
    """

    journeys: tuple[str, ...]
    endpoints: tuple[str, ...]
    edges_s: Matrix
    sessions_per_s: Matrix
    requests: Matrix
    bits: Matrix
    round_trip_s: Matrix
    s_per_bit: Matrix

    @property
    def requests_per_s(self) -> Matrix:
        """Requests by interval and endpoint, 1/s, shape (n_intervals, n_endpoints)."""
        return self.sessions_per_s @ self.requests

    def mean_from(self, per_interval: Matrix, from_s: float) -> Matrix:
        """Return the time average of rows per interval, from a time to the window's end."""
        weights = np.diff(np.maximum(self.edges_s, from_s))
        averaged: Matrix = weights @ per_interval / weights.sum()
        return averaged


def mean_traffic(scenario: Scenario, catalogue: Catalogue) -> Traffic:
    """Return the mean traffic of a scenario whose sessions choose among these procedures."""
    tables = compile_journeys(scenario)
    profiles = session_profiles(scenario)
    rates = [profiles[name].rates_per_s if name in profiles else None for name in tables.journeys]
    edges = next(iter(profiles.values())).edges_s if profiles else np.array([0.0, 1.0])
    still = np.zeros(len(edges) - 1)
    requests, bits = _per_session(tables, catalogue)
    round_trip_s, s_per_bit = _lines(scenario, tables.journeys)
    return Traffic(
        journeys=tables.journeys,
        endpoints=tables.endpoints,
        edges_s=edges,
        sessions_per_s=np.stack([still if rate is None else rate for rate in rates], axis=1),
        requests=requests,
        bits=bits,
        round_trip_s=round_trip_s,
        s_per_bit=s_per_bit,
    )


def mean_upload_bits(upload: Upload) -> float:
    """Return the mean size of an upload, cut off at its maximum, bits.

    References
    ----------
    Limited expected value of the log-normal: Klugman, Panjer and Willmot (2012), Loss Models,
    appendix A.5.1.1.
    """
    most, mean = upload.max_bytes, upload.mean_bytes
    if upload.cv == 0:
        return min(mean, most) * BITS_PER_BYTE
    mu, sigma = lognormal_parameters(mean, upload.cv)
    z = (math.log(most) - mu) / sigma
    return (mean * _normal(z - sigma) + most * (1 - _normal(z))) * BITS_PER_BYTE


def _normal(z: float) -> float:
    """Return the cumulative standard normal distribution."""
    return (1 + math.erf(z / math.sqrt(2))) / 2


def _per_session(tables: JourneyTables, catalogue: Catalogue) -> tuple[Matrix, Matrix]:
    """Return mean requests and mean bits of a session, each (n_journeys, n_endpoints)."""
    services = catalogue.services
    share = services.weight / services.weight.sum()
    sizes = np.array([mean_upload_bits(step.upload) if step.upload else 0 for step in tables.steps])
    shape = (len(tables.journeys), len(tables.endpoints))
    requests, bits = np.zeros(shape), np.zeros(shape)
    for has_fee in (False, True):
        among = share * ((services.fee_vnd > 0) == has_fee)
        if among.sum() == 0:
            continue
        papers = float(among @ services.upload_slots / among.sum())
        forms = float(among @ services.e_form / among.sum())
        calls = _calls(tables, papers, forms)
        visits = among.sum() * expected_visits(tables, has_fee=has_fee)
        requests += visits @ calls
        bits += visits @ (calls * sizes[:, np.newaxis])
    return requests, bits


def _calls(tables: JourneyTables, papers: float, forms: float) -> Matrix:
    """Return the mean requests of one visit of each step, shape (n_steps, n_endpoints)."""
    index = {name: i for i, name in enumerate(tables.endpoints)}
    calls = np.zeros((len(tables.steps), len(tables.endpoints)))
    for row, step in enumerate(tables.steps):
        for name, number in step.calls.items():
            calls[row, index[name]] = step.repeat * mean_calls(number, papers, forms)
    return calls


def _lines(scenario: Scenario, journeys: tuple[str, ...]) -> tuple[Matrix, Matrix]:
    """Return mean round trip and mean time per bit of each journey's channels."""
    round_trips, per_bit = [], []
    for name in journeys:
        own = scenario.journeys[name].channel
        if own is not None:
            mix = {own: 1.0}
        else:
            mix = {channel: spec.share for channel, spec in scenario.channels.items()}
        total = sum(mix.values())
        channels = [(share / total, scenario.channels[channel]) for channel, share in mix.items()]
        round_trips.append(sum(share * channel.round_trip_s for share, channel in channels))
        per_bit.append(sum(share / channel.uplink_bit_per_s for share, channel in channels))
    return np.array(round_trips), np.array(per_bit)
