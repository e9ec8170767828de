"""From the records of one replication to the numbers a metric is a statistic of."""

import itertools
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.metrics.office_samples import OfficeSamples
from sim.metrics.sample import Floats, Sample, encoded, floats
from sim.results import OUTCOMES, RecordSource
from sim.scenario.metric_names import (
    ALL,
    JOURNEY_PREFIX,
    QUANTITIES,
    MetricName,
    is_mean_only,
)
from sim.scenario.scenario import Scenario

__all__ = ["ELAPSED", "Floats", "ReplicationSamples", "Sample", "encoded", "quantile"]

_Number = TypeVar("_Number", np.float64, np.int8, np.bool_)

ELAPSED = ("ok", "timed_out", "abandoned")
"""Outcomes whose elapsed time is a response time; quick refusals would flatter."""

_SHARE = "_share"
_FEW = 256
_LEVEL_COLUMNS = [
    "station",
    "from_s",
    "to_s",
    "capacity",
    "utilisation",
    "queue_mean",
    "queue_max",
    "queue_age_max_s",
]


def quantile(ordered: NDArray[np.float64], share: float) -> float:
    """Return a quantile of sorted values, interpolated linearly; shape (n,) with n >= 1."""
    place = (len(ordered) - 1) * share
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


class ReplicationSamples:
    """Samples of one replication; of the requests, memory holds one column of numbers at a time.

    Every column is read once when metrics of one quantity follow each other.

    Parameters
    ----------
    source : RecordSource
        Run or records.
    scenario : Scenario
        Its scenario: the judged window, and which endpoints form a group.
    replication : int
        Which replication.
    timed : bool
        Whether samples of requests say when each was due.
    """

    def __init__(
        self, source: RecordSource, scenario: Scenario, replication: int, *, timed: bool = False
    ) -> None:
        self._timed = timed
        self._source = source
        self._scenario = scenario
        self._replication = replication
        self.from_s = scenario.window.warm_up_s
        self.to_s = scenario.window.duration_s
        # Statistics of one quantity follow each other; one sample at a time bounds the memory.
        self._latest: tuple[tuple[str, ...], Sample] | None = None
        self._latest_ordered: tuple[Sample, Floats] | None = None
        self._latest_batches: tuple[Sample, list[Sample]] | None = None

    def sample(self, metric: MetricName) -> Sample:
        """Return the numbers a metric is computed from; none where the records have none."""
        key: tuple[str, ...] = (metric.group, metric.quantity)
        if metric.quantity == "queue":
            key += (str(metric.statistic),)
        if self._latest is None or self._latest[0] != key:
            self._latest = (key, self._sample(metric))
        return self._latest[1]

    def ordered(self, metric: MetricName) -> Floats:
        """Return the numbers of :meth:`sample`, sorted."""
        sample = self.sample(metric)
        if self._latest_ordered is None or self._latest_ordered[0] is not sample:
            self._latest_ordered = (sample, np.sort(sample.values.astype(np.float64, copy=False)))
        return self._latest_ordered[1]

    def batches(self, metric: MetricName, n: int) -> list[Sample]:
        """Return the numbers of :meth:`sample` in ``n`` equal batches of the judged window."""
        sample = self.sample(metric)
        if self._latest_batches is None or self._latest_batches[0] is not sample:
            self._latest_batches = None  # before the next are made
            self._latest_batches = (sample, _batches(sample, self.from_s, self.to_s, n))
        return self._latest_batches[1]

    def _sample(self, metric: MetricName) -> Sample:
        if metric.quantity in ("utilisation", "queue", "queue_age_s"):
            return self._levels(metric)
        if metric.quantity in QUANTITIES["offices"]:
            return self._offices.sample(metric.group, metric.quantity)
        if metric.group == "dossiers":
            return self._dossier_sample(metric.quantity)
        if metric.group.startswith(JOURNEY_PREFIX):
            return self._sessions(metric.group.removeprefix(JOURNEY_PREFIX), metric.quantity)
        return self._requests.sample(self._endpoints(metric.group), metric.quantity)

    def _endpoints(self, group: str) -> tuple[str, ...] | None:
        """Return the endpoints of a group; None for all of them."""
        return None if group == ALL else tuple(self._members.get(group, ()))

    @cached_property
    def _members(self) -> dict[str, list[str]]:
        """Endpoints by the names of groups; an endpoint is also a group of its own."""
        members: dict[str, list[str]] = {}
        for name, spec in self._scenario.portal.endpoints.items():
            for group in {name, spec.group}:
                members.setdefault(group, []).append(name)
        return members

    def _read(self, table: str, columns: list[str]) -> pa.Table:
        return self._source.table(table, columns, replication=self._replication)

    def _judged(self, at_s: Floats) -> NDArray[np.bool_]:
        return (at_s >= self.from_s) & (at_s < self.to_s)

    @cached_property
    def _offices(self) -> OfficeSamples:
        def read(columns: list[str]) -> pa.Table:
            return self._read("dossiers", columns)

        return OfficeSamples(read, self._scenario, self._office_end_s)

    @cached_property
    def _requests(self) -> "_Requests":
        def pieces(columns: list[str]) -> Iterator[pa.Table]:
            return self._source.pieces("requests", columns, replication=self._replication)

        return _Requests(pieces, self._judged, timed=self._timed)

    def _sessions(self, journey: str, quantity: str) -> Sample:
        table = self._session_table
        arrival_s = floats(table, "arrival_s")
        keep = self._judged(arrival_s) & _is_name(table, "journey", journey)
        if quantity == "duration_s":
            return Sample(arrival_s[keep], (floats(table, "end_s") - arrival_s)[keep])
        return Sample(arrival_s[keep], _is_name(table, "outcome", "completed")[keep])

    @cached_property
    def _session_table(self) -> pa.Table:
        return self._read("sessions", ["journey", "arrival_s", "end_s", "outcome"])

    def _dossier_sample(self, quantity: str) -> Sample:
        table = self._dossier_table
        submitted_s = floats(table, "submitted_s")
        synced_s = floats(table, "synced_s")
        keep = self._judged(submitted_s)
        if quantity == "duplicate_share":
            values: NDArray[np.float64] | NDArray[np.bool_] = _is_repeated(table)
        elif quantity == "sync_s":
            acknowledged_s = floats(table, "acknowledged_s")
            keep &= ~np.isnan(acknowledged_s)
            until_s = np.where(np.isnan(synced_s), self._end_s, synced_s)
            values = np.maximum(until_s - acknowledged_s, 0.0)
        else:
            values = ~np.isnan(synced_s)
        return Sample(submitted_s[keep], values[keep])

    @cached_property
    def _dossier_table(self) -> pa.Table:
        columns = ["session", "step", "submitted_s", "acknowledged_s", "synced_s", "filed"]
        table = self._read("dossiers", columns)
        filed = _is_name(table, "filed", "portal")
        return table if filed.all() else table.filter(pa.array(filed))

    @cached_property
    def _end_s(self) -> float:
        """When the run ended, s: the last moment anything is known of."""
        ends = [floats(self._level_table, "to_s"), floats(self._session_table, "end_s")]
        return max((float(times.max()) for times in ends if len(times)), default=self.to_s)

    @cached_property
    def _office_end_s(self) -> float:
        """When the offices' run ended, s; a portal may have been watched longer."""
        to_s = floats(self._level_table, "to_s")
        ends = [to_s[rows].max() for name, rows in self._stations.items() if is_mean_only(name)]
        return float(max(ends, default=self._end_s))

    def _levels(self, metric: MetricName) -> Sample:
        """Return one station's intervals that overlap the judged window."""
        table = self._level_table
        rows = self._stations.get(metric.group, np.empty(0, dtype=np.int64))
        from_s = np.maximum(floats(table, "from_s")[rows], self.from_s)
        overlap_s = np.minimum(floats(table, "to_s")[rows], self.to_s) - from_s
        judged = overlap_s > 0
        rows, from_s, overlap_s = rows[judged], from_s[judged], overlap_s[judged]
        if metric.quantity == "utilisation":
            # Busy over capacity of the whole window: an interval counts with its capacity.
            capacity = floats(table, "capacity")[rows]
            there = capacity > 0
            weights = np.where(np.isfinite(capacity), capacity, 1.0) * overlap_s
            values = floats(table, "utilisation")[rows]
            return Sample(from_s[there], values[there], weights[there])
        column = "queue_age_max_s"
        if metric.quantity == "queue":
            is_max = metric.statistic == "max" and not is_mean_only(metric.group)
            column = "queue_max" if is_max else "queue_mean"
        return Sample(from_s, floats(table, column)[rows], overlap_s)

    @cached_property
    def _level_table(self) -> pa.Table:
        return self._read("levels", _LEVEL_COLUMNS)

    @cached_property
    def _stations(self) -> dict[str, NDArray[np.int64]]:
        names, codes = encoded(self._level_table, "station")
        return {name: np.flatnonzero(codes == code) for code, name in enumerate(names)}


class _Requests:
    """The judged attempts of one replication, sorted by endpoint.

    What stays in memory is where they lie (4 bytes each) and how they ended (1 byte); of the times,
    the column that was asked for last.
    """

    def __init__(
        self,
        pieces: Callable[[list[str]], Iterator[pa.Table]],
        judged: Callable[[Floats], NDArray[np.bool_]],
        *,
        timed: bool,
    ) -> None:
        self._pieces = pieces
        self._timed = timed
        self._order = [_by_endpoint(piece, judged) for piece in pieces(["endpoint", "due_s"])]
        counts: dict[str, int] = {}
        for of_piece in self._order:
            for name, rows in of_piece.items():
                counts[name] = counts.get(name, 0) + len(rows)
        ends = itertools.accumulate(counts.values())
        self._slices = {
            name: slice(end - counts[name], end) for name, end in zip(counts, ends, strict=True)
        }
        self._n = sum(counts.values())
        self._outcome = np.empty(self._n, dtype=np.int8)
        self._fill(self._outcome, "outcome", _outcomes)
        elapsed = [OUTCOMES.index(name) for name in ELAPSED]
        self._is_elapsed = np.isin(self._outcome, elapsed)
        self._latest: tuple[str, Floats] | None = None

    def sample(self, endpoints: tuple[str, ...] | None, quantity: str) -> Sample:
        """Return the numbers of some endpoints, or of all."""
        at_s = self._select(self._due_s, endpoints) if self._timed else None
        outcome = self._select(self._outcome, endpoints)
        if quantity == "rate_per_s":
            return Sample(at_s, outcome)
        if quantity.endswith(_SHARE):
            return Sample(at_s, outcome == OUTCOMES.index(quantity.removesuffix(_SHARE)))
        is_elapsed = self._select(self._is_elapsed, endpoints)
        values = self._select(self._times(quantity), endpoints)
        return Sample(None if at_s is None else at_s[is_elapsed], values[is_elapsed])

    @cached_property
    def _due_s(self) -> Floats:
        return self._column("due_s")

    def _times(self, quantity: str) -> Floats:
        if self._latest is None or self._latest[0] != quantity:
            self._latest = None  # before the next is read
            self._latest = (quantity, self._column(quantity))
        return self._latest[1]

    def _column(self, name: str) -> Floats:
        column = np.empty(self._n)
        self._fill(column, name, floats)
        return column

    def _fill(
        self,
        column: NDArray[_Number],
        name: str,
        values_of: Callable[[pa.Table, str], NDArray[_Number]],
    ) -> None:
        """Read a column, piece by piece, in the order of the endpoints."""
        at = {endpoint: place.start for endpoint, place in self._slices.items()}
        for piece, order in zip(self._pieces([name]), self._order, strict=True):
            values = values_of(piece, name)
            for endpoint, rows in order.items():
                column[at[endpoint] : at[endpoint] + len(rows)] = values[rows]
                at[endpoint] += len(rows)

    def _select(
        self, column: NDArray[_Number], endpoints: tuple[str, ...] | None
    ) -> NDArray[_Number]:
        if endpoints is None:
            return column
        parts: list[NDArray[_Number]] = [
            column[self._slices[name]] for name in endpoints if name in self._slices
        ]
        return parts[0] if len(parts) == 1 else np.concatenate([column[:0], *parts])


def _by_endpoint(
    piece: pa.Table, judged: Callable[[Floats], NDArray[np.bool_]]
) -> dict[str, NDArray[np.uint32]]:
    """Return the judged rows of each endpoint."""
    names, codes = encoded(piece, "endpoint")
    rows = np.flatnonzero(judged(floats(piece, "due_s"))).astype(np.uint32)
    # int16 sorts by radix, in time proportional to the rows.
    kept = codes[rows].astype(np.int16)
    rows = rows[np.argsort(kept, kind="stable")]
    ends = np.cumsum(np.bincount(kept, minlength=len(names)))
    return dict(zip(names, np.split(rows, ends[:-1]), strict=True)) if names else {}


def _outcomes(table: pa.Table, column: str) -> NDArray[np.int8]:
    names, codes = encoded(table, column)
    known = np.array([OUTCOMES.index(name) for name in names], dtype=np.int8)
    return known[codes]


def _batches(sample: Sample, from_s: float, to_s: float, n: int) -> list[Sample]:
    """Return a sample's numbers by equal stretches of time; unweighted durations are sorted."""
    assert sample.at_s is not None
    span_s = (to_s - from_s) / n
    batch = ((sample.at_s - from_s) / span_s).astype(np.uint8 if n <= _FEW else np.int64)
    order = np.argsort(batch, kind="stable")  # uint8 sorts by radix
    edges = np.cumsum(np.bincount(batch, minlength=n))[: n - 1]
    return [_chosen(sample, rows) for rows in np.split(order, edges)]


def _chosen(sample: Sample, rows: NDArray[np.int64]) -> Sample:
    values = sample.values[rows]
    if sample.weights is not None:
        return Sample(None, values, sample.weights[rows])
    if values.dtype == np.float64:
        values.sort()
    return Sample(None, values)


def _is_name(table: pa.Table, column: str, name: str) -> NDArray[np.bool_]:
    names, codes = encoded(table, column)
    return np.equal(codes, names.index(name) if name in names else -1)


def _is_repeated(table: pa.Table) -> NDArray[np.bool_]:
    """Return which dossiers were filed before under the same session and step."""
    key = (table["session"].to_numpy().astype(np.int64) << 32) | table["step"].to_numpy()
    order = np.lexsort((floats(table, "submitted_s"), key))
    repeated = np.zeros(len(key), dtype=bool)
    repeated[order[1:]] = key[order[1:]] == key[order[:-1]]
    return repeated
