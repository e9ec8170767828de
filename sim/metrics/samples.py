"""From the records of one replication to the numbers a metric is a statistic of."""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.results import OUTCOMES, RecordSource
from sim.scenario.metric_names import ALL, JOURNEY_PREFIX, MetricName
from sim.scenario.scenario import Scenario

Floats = NDArray[np.float64]
_Number = TypeVar("_Number", np.float64, np.int8, np.bool_)

ELAPSED = ("ok", "timed_out", "abandoned")
"""Outcomes whose elapsed time is a response time; quick refusals would flatter."""

_SHARE = "_share"
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


@dataclass(frozen=True, slots=True)
class Sample:
    """The numbers of one group and quantity in one replication.

    Attributes
    ----------
    at_s : NDArray, shape (n,)
        When each belongs to, s from the window's start, in [warm_up_s, duration_s).
    values : NDArray, shape (n,)
        The numbers; of a rate only how many there are counts.
    weights : NDArray, shape (n,), or None
        Weights in their mean; None for equal ones.
    """

    at_s: Floats
    values: NDArray[np.float64] | NDArray[np.bool_]
    weights: Floats | None = None


def quantile(ordered: NDArray[np.float64], share: float) -> float:
    """Return a quantile of sorted values, interpolated linearly; shape (n,) with n >= 1."""
    place = (len(ordered) - 1) * share
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


class ReplicationSamples:
    """Samples of one replication; every column is read once and grouped by sorting once.

    Parameters
    ----------
    source : RecordSource
        Run or records.
    scenario : Scenario
        Its scenario: the judged window, and which endpoints form a group.
    replication : int
        Which replication.
    """

    def __init__(self, source: RecordSource, scenario: Scenario, replication: int) -> None:
        self._source = source
        self._scenario = scenario
        self._replication = replication
        self.from_s = scenario.window.warm_up_s
        self.to_s = scenario.window.duration_s
        # Statistics of one quantity follow each other; one sample at a time bounds the memory.
        self._latest: tuple[tuple[str, ...], Sample] | None = None
        self._latest_ordered: tuple[Sample, Floats] | None = None

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
            self._latest_ordered = (sample, np.sort(sample.values.astype(np.float64)))
        return self._latest_ordered[1]

    def _sample(self, metric: MetricName) -> Sample:
        if metric.quantity in ("utilisation", "queue", "queue_age_s"):
            return self._levels(metric)
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
    def _requests(self) -> "_Requests":
        table = self._read("requests", ["endpoint", "due_s", "wait_s", "response_s", "outcome"])
        return _Requests(table, self._judged(_floats(table, "due_s")))

    def _sessions(self, journey: str, quantity: str) -> Sample:
        table = self._session_table
        arrival_s = _floats(table, "arrival_s")
        keep = self._judged(arrival_s) & _is_name(table, "journey", journey)
        if quantity == "duration_s":
            return Sample(arrival_s[keep], (_floats(table, "end_s") - arrival_s)[keep])
        return Sample(arrival_s[keep], _is_name(table, "outcome", "completed")[keep])

    @cached_property
    def _session_table(self) -> pa.Table:
        return self._read("sessions", ["journey", "arrival_s", "end_s", "outcome"])

    def _dossier_sample(self, quantity: str) -> Sample:
        table = self._dossier_table
        submitted_s = _floats(table, "submitted_s")
        synced_s = _floats(table, "synced_s")
        keep = self._judged(submitted_s)
        if quantity == "duplicate_share":
            values: NDArray[np.float64] | NDArray[np.bool_] = _is_repeated(table)
        elif quantity == "sync_s":
            acknowledged_s = _floats(table, "acknowledged_s")
            keep &= ~np.isnan(acknowledged_s)
            until_s = np.where(np.isnan(synced_s), self._end_s, synced_s)
            values = np.maximum(until_s - acknowledged_s, 0.0)
        else:
            values = ~np.isnan(synced_s)
        return Sample(submitted_s[keep], values[keep])

    @cached_property
    def _dossier_table(self) -> pa.Table:
        columns = ["session", "step", "submitted_s", "acknowledged_s", "synced_s"]
        return self._read("dossiers", columns)

    @cached_property
    def _end_s(self) -> float:
        """When the run ended, s: the last moment anything is known of."""
        ends = [_floats(self._level_table, "to_s"), _floats(self._session_table, "end_s")]
        return max((float(times.max()) for times in ends if len(times)), default=self.to_s)

    def _levels(self, metric: MetricName) -> Sample:
        """Return one station's intervals that overlap the judged window."""
        table = self._level_table
        rows = self._stations.get(metric.group, np.empty(0, dtype=np.int64))
        from_s = np.maximum(_floats(table, "from_s")[rows], self.from_s)
        overlap_s = np.minimum(_floats(table, "to_s")[rows], self.to_s) - from_s
        judged = overlap_s > 0
        rows, from_s, overlap_s = rows[judged], from_s[judged], overlap_s[judged]
        if metric.quantity == "utilisation":
            # Busy over capacity of the whole window: an interval counts with its capacity.
            capacity = _floats(table, "capacity")[rows]
            there = capacity > 0
            weights = np.where(np.isfinite(capacity), capacity, 1.0) * overlap_s
            values = _floats(table, "utilisation")[rows]
            return Sample(from_s[there], values[there], weights[there])
        column = {"queue": f"queue_{metric.statistic}", "queue_age_s": "queue_age_max_s"}
        return Sample(from_s, _floats(table, column[metric.quantity])[rows], overlap_s)

    @cached_property
    def _level_table(self) -> pa.Table:
        return self._read("levels", _LEVEL_COLUMNS)

    @cached_property
    def _stations(self) -> dict[str, NDArray[np.int64]]:
        names, codes = encoded(self._level_table, "station")
        return {name: np.flatnonzero(codes == code) for code, name in enumerate(names)}


class _Requests:
    """The judged attempts of one replication, sorted by endpoint."""

    def __init__(self, table: pa.Table, judged: NDArray[np.bool_]) -> None:
        names, codes = encoded(table, "endpoint")
        rows = np.flatnonzero(judged)
        # int16 sorts by radix, in time proportional to the rows.
        kept = codes[rows].astype(np.int16)
        rows = rows[np.argsort(kept, kind="stable")]
        counts = np.bincount(kept, minlength=len(names))
        ends = np.cumsum(counts)
        self._slices = {
            name: slice(int(end - count), int(end))
            for name, end, count in zip(names, ends, counts, strict=True)
        }
        self._columns = {
            name: _floats(table, name)[rows] for name in ("due_s", "wait_s", "response_s")
        }
        outcomes, outcome = encoded(table, "outcome")
        known = np.array([OUTCOMES.index(name) for name in outcomes], dtype=np.int8)
        self._outcome = known[outcome[rows]] if len(rows) else np.empty(0, dtype=np.int8)
        self._is_elapsed = np.isin(self._outcome, [OUTCOMES.index(name) for name in ELAPSED])

    def sample(self, endpoints: tuple[str, ...] | None, quantity: str) -> Sample:
        """Return the numbers of some endpoints, or of all."""
        at_s = self._select(self._columns["due_s"], endpoints)
        if quantity == "rate_per_s":
            return Sample(at_s, at_s)
        if quantity.endswith(_SHARE):
            outcome = OUTCOMES.index(quantity.removesuffix(_SHARE))
            return Sample(at_s, self._select(self._outcome, endpoints) == outcome)
        is_elapsed = self._select(self._is_elapsed, endpoints)
        values = self._select(self._columns[quantity], endpoints)
        return Sample(at_s[is_elapsed], values[is_elapsed])

    def _select(
        self, column: NDArray[_Number], endpoints: tuple[str, ...] | None
    ) -> NDArray[_Number]:
        if endpoints is None:
            return column
        parts: list[NDArray[_Number]] = [
            column[self._slices[name]] for name in endpoints if name in self._slices
        ]
        return parts[0] if len(parts) == 1 else np.concatenate([column[:0], *parts])


def encoded(table: pa.Table, column: str) -> tuple[list[str], NDArray[np.int32]]:
    """Return the names and the codes of a dictionary column."""
    array = table[column].unify_dictionaries()
    if array.num_chunks == 0:
        return [], np.empty(0, dtype=np.int32)
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in array.chunks])
    return array.chunk(0).dictionary.to_pylist(), codes


def _floats(table: pa.Table, column: str) -> Floats:
    values: Floats = table[column].to_numpy()
    return values


def _is_name(table: pa.Table, column: str, name: str) -> NDArray[np.bool_]:
    names, codes = encoded(table, column)
    return np.equal(codes, names.index(name) if name in names else -1)


def _is_repeated(table: pa.Table) -> NDArray[np.bool_]:
    """Return which dossiers were filed before under the same session and step."""
    key = (table["session"].to_numpy().astype(np.int64) << 32) | table["step"].to_numpy()
    order = np.lexsort((_floats(table, "submitted_s"), key))
    repeated = np.zeros(len(key), dtype=bool)
    repeated[order[1:]] = key[order[1:]] == key[order[:-1]]
    return repeated
