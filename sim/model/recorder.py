"""The recorder: facts as they happen, tables at the end."""

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.demand.trace import Trace
from sim.model.level import Level
from sim.results import DOSSIERS, LEVELS, OUTCOMES, REQUESTS, SESSIONS, Records

_REQUEST_FIELDS = 7
_DOSSIER_FIELDS = 4
_LEVEL_FIELDS = 9
SESSION_OUTCOMES = ("completed", "abandoned")
DOSSIER_OUTCOMES = ("acknowledged", "unacknowledged")


class Recorder:
    """Rows of one replication, appended while it runs.

    A request's row is (request, attempt, due, sent, wait, response, outcome); all are numbers, so
    one flat array of float64 keeps them in 56 bytes.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._requests = array("d")
        self._dossiers = array("d")
        self._synced: list[float] = []
        self._end_s = np.full(trace.n_sessions, np.nan)
        self._abandoned = np.ones(trace.n_sessions, dtype=np.int8)
        self.request = self._requests.extend
        """Append one request's row: an iterable of its seven numbers."""

    def session(self, session: int, end_s: float, abandoned: bool) -> None:
        """A session ended."""
        self._end_s[session] = end_s
        self._abandoned[session] = abandoned

    def dossier(self, request: int, attempt: int, submitted_s: float) -> int:
        """A dossier is on file; returns its number. Nobody has been told yet."""
        self._dossiers.extend((request, attempt, submitted_s, np.nan))
        self._synced.append(np.nan)
        return len(self._synced) - 1

    def acknowledged(self, dossier: int, now: float) -> None:
        """The client got the answer that its dossier is on file."""
        self._dossiers[dossier * _DOSSIER_FIELDS + 3] = now

    def synced(self, dossier: int, now: float) -> None:
        """The last synchronisation of a dossier ended."""
        self._synced[dossier] = now

    def records(self, stations: dict[str, list[Level]], end_s: float) -> Records:
        """Return the tables; the run ended at ``end_s``."""
        requests = np.frombuffer(self._requests).reshape(-1, _REQUEST_FIELDS)
        requests = requests[np.lexsort((requests[:, 1], requests[:, 0]))]
        return Records(
            requests=self._request_table(requests),
            sessions=self._session_table(requests, end_s),
            dossiers=self._dossier_table(),
            levels=self._level_table(stations),
        )

    def _request_table(self, rows: NDArray[np.float64]) -> pa.Table:
        trace = self._trace
        request = rows[:, 0].astype(np.int64)
        session = self._session_of(request)
        columns = {
            "session": session,
            "step": request - trace.first_request[session],
            "attempt": rows[:, 1],
            "endpoint": _names(trace.endpoints, trace.endpoint[request]),
            "service": _names(trace.services, trace.service[session]),
            "channel": _names(trace.channels, trace.channel[session]),
            "due_s": rows[:, 2],
            "sent_s": rows[:, 3],
            "wait_s": rows[:, 4],
            "response_s": rows[:, 5],
            "outcome": _names(OUTCOMES, rows[:, 6]),
            "bytes_up": trace.bytes_up[request],
        }
        return self._table(columns, REQUESTS)

    def _session_table(self, rows: NDArray[np.float64], end_s: float) -> pa.Table:
        trace = self._trace
        attempts = np.bincount(
            self._session_of(rows[:, 0].astype(np.int64)), minlength=trace.n_sessions
        )
        columns = {
            "session": np.arange(trace.n_sessions),
            "journey": _names(trace.journeys, trace.journey),
            "service": _names(trace.services, trace.service),
            "channel": _names(trace.channels, trace.channel),
            "arrival_s": trace.arrival_s,
            "end_s": np.where(np.isnan(self._end_s), end_s, self._end_s),
            "requests": attempts,
            "outcome": _names(SESSION_OUTCOMES, self._abandoned),
        }
        return self._table(columns, SESSIONS)

    def _dossier_table(self) -> pa.Table:
        trace = self._trace
        rows = np.frombuffer(self._dossiers).reshape(-1, _DOSSIER_FIELDS)
        order = np.lexsort((rows[:, 1], rows[:, 0]))
        rows, synced = rows[order], np.array(self._synced)[order]
        request = rows[:, 0].astype(np.int64)
        session = self._session_of(request)
        unknown = np.full(len(rows), np.nan)
        columns = {
            "session": session,
            "step": request - trace.first_request[session],
            "attempt": rows[:, 1],
            "service": _names(trace.services, trace.service[session]),
            "submitted_s": rows[:, 2],
            "acknowledged_s": rows[:, 3],
            "received_s": unknown,
            "synced_s": synced,
            "decided_s": unknown,
            "due_s": unknown,
            "outcome": _names(DOSSIER_OUTCOMES, np.isnan(rows[:, 3])),
        }
        return self._table(columns, DOSSIERS)

    def _level_table(self, stations: dict[str, list[Level]]) -> pa.Table:
        """Return one block of rows per level, and one per station whose levels are several."""
        names: list[str] = []
        blocks: list[NDArray[np.float64]] = []
        for station, levels in stations.items():
            of_levels = [np.array(level.rows).reshape(-1, _LEVEL_FIELDS) for level in levels]
            if len(levels) > 1 or levels[0].name != station:
                names.append(station)
                blocks.append(_together(of_levels))
            names += [level.name for level in levels]
            blocks += of_levels
        index = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
        rows = np.concatenate(blocks)
        span = rows[:, 1] - rows[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            columns = {
                "station": _names(names, index),
                "from_s": rows[:, 0],
                "to_s": rows[:, 1],
                "capacity": rows[:, 2] / span,
                "utilisation": np.where(np.isfinite(rows[:, 2]), rows[:, 3] / rows[:, 2], np.nan),
                "busy_mean": rows[:, 3] / span,
                "queue_mean": rows[:, 4] / span,
                "queue_max": rows[:, 5],
                "queue_age_max_s": rows[:, 6],
                "arrivals": rows[:, 7],
                "departures": rows[:, 8],
            }
        return self._table(columns, LEVELS)

    def _table(self, columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
        n = len(next(iter(columns.values())))
        arrays = {"replication": np.full(n, self._trace.replication)} | columns
        return pa.table(
            [_column(arrays[field.name], field.type) for field in schema], schema=schema
        )

    def _session_of(self, request: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self._trace.first_request, request, side="right") - 1


def _together(rows: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the rows of a station from those of its servers: sums; of maxima the largest."""
    stacked = np.stack(list(rows))
    whole: NDArray[np.float64] = stacked.sum(axis=0)
    whole[:, :2] = stacked[0, :, :2]
    whole[:, 5:7] = stacked[:, :, 5:7].max(axis=0)
    return whole


def _names(names: Sequence[str], indices: NDArray[Any]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(
        pa.array(indices.astype(np.int32)), pa.array(names, type=pa.string())
    )


def _column(values: NDArray[Any] | pa.DictionaryArray, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.DictionaryArray):
        return values
    return pa.array(values.astype(kind.to_pandas_dtype()), type=kind)
