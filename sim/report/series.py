"""Series of a run that figures show: read once, one replication at a time."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.metrics.samples import ELAPSED, encoded
from sim.report.bins import Bins, bins_for, heat_bins
from sim.report.spending import PARTS, time_spent
from sim.results import OUTCOMES, RecordSource
from sim.scenario.metric_names import BACKOFFICE
from sim.scenario.scenario import Scenario

Matrix = NDArray[np.float64]

MAX_BINS = 100
"""Points of a line at most."""
MAX_LEVEL_BINS = 160
FEWEST_IN_BIN = 20
"""Fewer responses in a bin show no p95: less than one lies beyond it."""
TOP_SERVICES = 25
_QUIET = 0.05
"""A station used less is quiet: what drains after the window is worth showing until then."""

_REQUEST_COLUMNS = [
    "session",
    "endpoint",
    "service",
    "due_s",
    "wait_s",
    "response_s",
    "outcome",
]
_LEVEL_COLUMNS = [
    *("station", "from_s", "to_s", "utilisation", "queue_mean", "queue_age_max_s", "arrivals"),
]


@dataclass(frozen=True, slots=True)
class Band:
    """A series over replications: their mean, lowest and highest, each shape (n_bins,)."""

    mean: Matrix
    low: Matrix
    high: Matrix


@dataclass(frozen=True, slots=True)
class StationSeries:
    """What one station did over time."""

    utilisation: Band
    queue: Band
    age_s: Band


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Median and 95th percentile of the response per bin, all replications together, s."""

    p50: Matrix
    p95: Matrix


@dataclass(frozen=True, slots=True)
class Series:
    """Everything of a run that is drawn over time or per group.

    Attributes
    ----------
    bins, level_bins, heat : Bins
        Of requests and sessions, of stations, and of the heat map.
    sessions_per_s : dict of str to NDArray, shape (n_bins,)
        By journey, mean over replications.
    requests_per_s : dict of str to NDArray, shape (n_bins,)
        By endpoint group, first attempts and retries.
    quantiles : dict of str to Quantiles
        By endpoint group.
    stations : dict of str to StationSeries
        By station of the portal.
    spent_s : dict of str to dict of str to float
        Mean time of one session by journey and part (``PARTS``), s.
    items : dict of str to float
        Items that came to each job in the window, mean over replications, second tries included.
    services : dict of str to NDArray, shape (n columns of ``heat``,)
        Requests per s of the services most asked for, by code, most first.
    """

    bins: Bins
    level_bins: Bins
    heat: Bins
    sessions_per_s: dict[str, Matrix]
    requests_per_s: dict[str, Matrix]
    quantiles: dict[str, Quantiles]
    stations: dict[str, StationSeries]
    spent_s: dict[str, dict[str, float]]
    items: dict[str, float]
    services: dict[str, Matrix]

    @property
    def active_until_s(self) -> float:
        """When the last station fell quiet, s; at least the window's length."""
        busy = np.zeros(self.level_bins.n, dtype=bool)
        for station in self.stations.values():
            busy |= station.utilisation.high > _QUIET
        last = int(np.flatnonzero(busy).max(initial=0))
        return max(self.bins.end_s, float(self.level_bins.edges_s[last + 1]))


def read_series(source: RecordSource, scenario: Scenario) -> Series:
    """Read the series of a run or of records."""
    collector = _Collector(scenario, _end_s(source, scenario))
    for replication in source.replications:
        collector.read(source, replication)
    return collector.series()


def _end_s(source: RecordSource, scenario: Scenario) -> float:
    """Return when the last replication ended, s, at least the window's length."""
    ends = source.table("levels", ["to_s"])["to_s"].to_numpy()
    return float(max(scenario.window.duration_s, ends.max(initial=0.0)))


class _Attempts:
    """Columns of one replication's requests; outcomes as positions in ``OUTCOMES``."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.session: NDArray[np.int32] = table["session"].to_numpy()
        self.due_s: Matrix = table["due_s"].to_numpy()
        self.wait_s: Matrix = table["wait_s"].to_numpy()
        self.response_s: Matrix = table["response_s"].to_numpy()
        names, codes = encoded(table, "outcome")
        positions = np.array([OUTCOMES.index(name) for name in names], dtype=np.int8)
        self.outcome = positions[codes] if len(codes) else np.empty(0, dtype=np.int8)


class _Collector:
    """Sums over replications."""

    def __init__(self, scenario: Scenario, end_s: float) -> None:
        self._scenario = scenario
        duration_s = scenario.window.duration_s
        self._bins = bins_for(duration_s, MAX_BINS)
        self._heat = heat_bins(duration_s)
        interval_s = scenario.execution.level_interval_s
        self._levels = bins_for(end_s, MAX_LEVEL_BINS, multiple_of_s=interval_s)
        endpoints = scenario.portal.endpoints
        self._groups = list(dict.fromkeys(spec.group for spec in endpoints.values()))
        self._journeys = list(scenario.journeys)
        self._n = 0
        self._sessions = np.zeros((len(self._journeys), self._bins.n))
        self._requests = np.zeros((len(self._groups), self._bins.n))
        self._responses: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
        self._services: dict[str, Matrix] = {}
        self._stations: dict[str, list[Matrix]] = {}
        self._items = dict.fromkeys(scenario.portal.jobs, 0.0)
        self._spent = np.zeros((len(self._journeys), len(PARTS)))
        self._judged_sessions = np.zeros(len(self._journeys))

    def read(self, source: RecordSource, replication: int) -> None:
        """Add one replication."""
        self._n += 1
        attempts = _Attempts(source.table("requests", _REQUEST_COLUMNS, replication=replication))
        self._read_requests(attempts)
        self._read_sessions(source, replication, attempts)
        self._read_levels(source, replication)

    def series(self) -> Series:
        """Return the means over the replications read."""
        per_s = self._bins.lengths_s * max(self._n, 1)
        judged = np.maximum(self._judged_sessions, 1)[:, np.newaxis]
        return Series(
            bins=self._bins,
            level_bins=self._levels,
            heat=self._heat,
            sessions_per_s=_named(self._journeys, self._sessions / per_s),
            requests_per_s=_named(self._groups, self._requests / per_s),
            quantiles=self._quantiles(),
            stations={name: _station(parts) for name, parts in self._stations.items()},
            spent_s={
                name: dict(zip(PARTS, row.tolist(), strict=True))
                for name, row in _named(self._journeys, self._spent / judged).items()
            },
            items={name: count / max(self._n, 1) for name, count in self._items.items()},
            services=self._top_services(),
        )

    def _read_requests(self, attempts: "_Attempts") -> None:
        table, due_s, outcome = attempts.table, attempts.due_s, attempts.outcome
        is_inside = due_s < self._scenario.window.duration_s
        group = self._group_of(*encoded(table, "endpoint"))
        bins = group * self._bins.n + self._bins.index(due_s)
        size = self._requests.size
        self._requests += np.bincount(bins[is_inside], minlength=size).reshape(-1, self._bins.n)
        is_elapsed = np.isin(outcome, [OUTCOMES.index(name) for name in ELAPSED]) & is_inside
        responses = attempts.response_s[is_elapsed].astype(np.float32)
        self._responses.append((bins[is_elapsed], responses))
        self._count_services(*encoded(table, "service"), self._heat.index(due_s), is_inside)

    def _group_of(self, endpoints: list[str], codes: NDArray[np.int32]) -> NDArray[np.int64]:
        specs = self._scenario.portal.endpoints
        index = np.array([self._groups.index(specs[name].group) for name in endpoints], dtype=int)
        return index[codes] if len(codes) else np.empty(0, dtype=np.int64)

    def _count_services(
        self,
        names: list[str],
        codes: NDArray[np.int32],
        column: NDArray[np.int64],
        is_inside: NDArray[np.bool_],
    ) -> None:
        n = self._heat.n
        cells = codes[is_inside].astype(np.int64) * n + column[is_inside]
        counts = np.bincount(cells, minlength=len(names) * n).reshape(-1, n)
        for name, row in zip(names, counts, strict=True):
            if row.any():
                self._services[name] = self._services.get(name, np.zeros(n)) + row

    def _read_sessions(self, source: RecordSource, replication: int, attempts: "_Attempts") -> None:
        columns = ["session", "journey", "arrival_s", "end_s"]
        table = source.table("sessions", columns, replication=replication)
        arrival_s, end_s = table["arrival_s"].to_numpy(), table["end_s"].to_numpy()
        names, codes = encoded(table, "journey")
        own = np.array([self._journeys.index(name) for name in names], dtype=np.int64)
        journey = own[codes] if len(codes) else np.empty(0, dtype=np.int64)
        cells = journey * self._bins.n + self._bins.index(arrival_s)
        size = self._sessions.size
        self._sessions += np.bincount(cells, minlength=size).reshape(-1, self._bins.n)
        number = table["session"].to_numpy()
        size = 1 + int(max(number.max(initial=-1), attempts.session.max(initial=-1)))
        length_s = np.zeros(size)
        length_s[number] = end_s - arrival_s
        spent = time_spent(
            attempts.session,
            attempts.due_s,
            attempts.wait_s,
            attempts.response_s,
            attempts.outcome == OUTCOMES.index("ok"),
            length_s,
        )[number]
        window = self._scenario.window
        judged = (arrival_s >= window.warm_up_s) & (arrival_s < window.duration_s)
        np.add.at(self._spent, journey[judged], spent[judged])
        np.add.at(self._judged_sessions, journey[judged], 1.0)

    def _read_levels(self, source: RecordSource, replication: int) -> None:
        table = source.table("levels", _LEVEL_COLUMNS, replication=replication)
        names, codes = encoded(table, "station")
        from_s, to_s = table["from_s"].to_numpy(), table["to_s"].to_numpy()
        cell = codes.astype(np.int64) * self._levels.n + self._levels.index((from_s + to_s) / 2)
        shape = (len(names), self._levels.n)
        weight = np.bincount(cell, to_s - from_s, minlength=shape[0] * shape[1])
        ages = np.full(len(weight), np.nan)
        np.fmax.at(ages, cell, table["queue_age_max_s"].to_numpy())
        with np.errstate(invalid="ignore", divide="ignore"):
            means = [
                np.bincount(cell, table[name].to_numpy() * (to_s - from_s), len(weight)) / weight
                for name in ("utilisation", "queue_mean")
            ]
        stacked = np.stack([part.reshape(shape) for part in (*means, ages)], axis=1)
        arrivals = table["arrivals"].to_numpy() * (from_s < self._scenario.window.duration_s)
        counts = np.bincount(codes, arrivals, minlength=len(names))
        for name, count in zip(names, counts.tolist(), strict=True):
            if name in self._items:
                self._items[name] += count
        for name, rows in zip(names, stacked, strict=True):
            if not name.startswith(f"{BACKOFFICE}."):
                self._stations.setdefault(name, []).append(rows)

    def _quantiles(self) -> dict[str, Quantiles]:
        cells = np.concatenate([bins for bins, _ in self._responses])
        values = np.concatenate([part for _, part in self._responses])
        order = np.lexsort((values, cells))
        values = values[order]
        ends = np.cumsum(np.bincount(cells, minlength=len(self._groups) * self._bins.n))
        counts = np.diff(ends, prepend=0)
        is_known = counts >= FEWEST_IN_BIN
        quantiles = []
        for share in (0.5, 0.95):
            place = (ends - counts + (counts - 1) * share).astype(np.int64)
            picked = np.full(len(counts), np.nan)
            picked[is_known] = values[place[is_known]]
            quantiles.append(picked.reshape(-1, self._bins.n))
        return {
            name: Quantiles(p50, p95)
            for name, p50, p95 in zip(self._groups, *quantiles, strict=True)
        }

    def _top_services(self) -> dict[str, Matrix]:
        ranked = sorted(self._services.items(), key=lambda item: (-item[1].sum(), item[0]))
        per_s = self._heat.lengths_s * max(self._n, 1)
        return {name: counts / per_s for name, counts in ranked[:TOP_SERVICES]}


def _station(parts: list[Matrix]) -> StationSeries:
    """Return the bands of one station from its rows, each (3, n_bins), of each replication."""
    stacked = np.stack(parts)
    return StationSeries(*(_band(stacked[:, i]) for i in range(stacked.shape[1])))


def _band(rows: Matrix) -> Band:
    """Return mean, lowest and highest of the replications that have a value."""
    is_known = ~np.isnan(rows)
    n = is_known.sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean = np.where(n > 0, np.where(is_known, rows, 0.0).sum(axis=0) / np.maximum(n, 1), np.nan)
    low, high = np.fmin.reduce(rows), np.fmax.reduce(rows)
    return Band(mean, low, high)


def _named(names: list[str], rows: Matrix) -> dict[str, Matrix]:
    return dict(zip(names, rows, strict=True))


def most_used(series: Series, at_most: int) -> list[str]:
    """Return the stations with a limit, most used first; of servers apart only their tier.

    Jobs are left out: what limits them is their ticks, not how busy their workers are.
    """
    whole = [name for name in series.stations if "[" not in name and name not in series.items]
    peaks = {name: _peak(series.stations[name].utilisation.mean) for name in whole}
    ranked = sorted((name for name in whole if peaks[name] >= 0), key=lambda name: -peaks[name])
    return ranked[:at_most]


def _peak(values: Matrix) -> float:
    known = values[~np.isnan(values)]
    return float(known.max()) if len(known) else -1.0
