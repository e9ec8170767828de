"""Record tables of one replication, from columns of numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.results.records import DOSSIERS, FILED, LEVELS, OUTCOMES, REQUESTS, SESSIONS

SESSION_OUTCOMES = ("completed", "abandoned")
DOSSIER_OUTCOMES = ("acknowledged", "unacknowledged")

OFFICE_TIMES = (
    "reception_due_s",
    "closed_s",
    "waiting_officer_s",
    "working_s",
    "waiting_citizen_s",
    "waiting_agency_s",
    "waiting_system_s",
)
"""Times of a dossier that only offices give."""

LEVEL_FIELDS = 9
"""Numbers of one level in one interval: from_s, to_s, areas of capacity, busy and queue, longest
queue, oldest age, arrivals, departures."""
_MAXIMA = slice(5, 7)

Levels = Mapping[str, Sequence[tuple[str, NDArray[np.float64]]]]
"""Levels by station: name, and rows of shape (n_intervals, LEVEL_FIELDS)."""


class Demand(Protocol):
    """What tables say about the sessions and requests behind their rows: a trace."""

    @property
    def arrival_s(self) -> NDArray[np.float64]:
        """Arrival times, shape (n_sessions,)."""

    @property
    def journey(self) -> NDArray[np.int32]:
        """Indices into ``journeys``, shape (n_sessions,)."""

    @property
    def service(self) -> NDArray[np.int32]:
        """Indices into ``services``, shape (n_sessions,)."""

    @property
    def channel(self) -> NDArray[np.int32]:
        """Indices into ``channels``, shape (n_sessions,)."""

    @property
    def first_request(self) -> NDArray[np.int64]:
        """Where the requests of each session begin, shape (n_sessions + 1,)."""

    @property
    def endpoint(self) -> NDArray[np.int16]:
        """Indices into ``endpoints``, shape (n_requests,)."""

    @property
    def bytes_up(self) -> NDArray[np.int64]:
        """Sizes of uploads, shape (n_requests,)."""

    @property
    def journeys(self) -> tuple[str, ...]:
        """Names of journeys."""

    @property
    def services(self) -> tuple[str, ...]:
        """Codes of services."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of channels."""

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Names of endpoints."""

    @property
    def replication(self) -> int:
        """Which replication."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """Attempts, sorted by request, then number.

    Attributes
    ----------
    request : NDArray[int64], shape (n,)
        Index of the request in its trace.
    number : NDArray, shape (n,)
        Attempt, from 0.
    due_s, sent_s, wait_s, response_s : NDArray[float64], shape (n,)
        Times, s.
    outcome : NDArray, shape (n,)
        Index into ``OUTCOMES``.
    """

    request: NDArray[np.int64]
    number: NDArray[Any]
    due_s: NDArray[np.float64]
    sent_s: NDArray[np.float64]
    wait_s: NDArray[np.float64]
    response_s: NDArray[np.float64]
    outcome: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Filings:
    """Dossiers on file, in any order.

    Attributes
    ----------
    session, step, number : NDArray, shape (n,)
        Session, index of the request within it, and attempt.
    service : NDArray, shape (n,)
        Index of the service.
    submitted_s, acknowledged_s, synced_s : NDArray[float64], shape (n,)
        When it was sent, answered and synchronised, s; NaN if never.
    """

    session: NDArray[Any]
    step: NDArray[Any]
    number: NDArray[Any]
    service: NDArray[Any]
    submitted_s: NDArray[np.float64]
    acknowledged_s: NDArray[np.float64]
    synced_s: NDArray[np.float64]


def session_of(demand: Demand, request: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the session of each request, as indices into the demand's sessions."""
    return np.searchsorted(demand.first_request, request, side="right") - 1


def request_table(demand: Demand, rows: Attempts, numbers: NDArray[Any] | None = None) -> pa.Table:
    """Return the table of attempts; the demand's sessions have these numbers, or 0, 1, …"""
    session = session_of(demand, rows.request)
    columns = {
        "session": session if numbers is None else numbers[session],
        "step": rows.request - demand.first_request[session],
        "attempt": rows.number,
        "endpoint": names_column(demand.endpoints, demand.endpoint[rows.request]),
        "service": names_column(demand.services, demand.service[session]),
        "channel": names_column(demand.channels, demand.channel[session]),
        "due_s": rows.due_s,
        "sent_s": rows.sent_s,
        "wait_s": rows.wait_s,
        "response_s": rows.response_s,
        "outcome": names_column(OUTCOMES, rows.outcome),
        "bytes_up": demand.bytes_up[rows.request],
    }
    return record_table(columns, REQUESTS, demand.replication)


def session_table(
    demand: Demand,
    end_s: NDArray[np.float64],
    attempts: NDArray[Any],
    is_abandoned: NDArray[Any],
    numbers: NDArray[Any] | None = None,
) -> pa.Table:
    """Return the table of sessions: when each ended, after how many attempts, and how."""
    columns = {
        "session": np.arange(len(end_s)) if numbers is None else numbers,
        "journey": names_column(demand.journeys, demand.journey),
        "service": names_column(demand.services, demand.service),
        "channel": names_column(demand.channels, demand.channel),
        "arrival_s": demand.arrival_s,
        "end_s": end_s,
        "requests": attempts,
        "outcome": names_column(SESSION_OUTCOMES, is_abandoned),
    }
    return record_table(columns, SESSIONS, demand.replication)


def dossier_table(services: Sequence[str], rows: Filings, replication: int) -> pa.Table:
    """Return the dossiers of a portal without offices, sorted by session, step and attempt."""
    order = np.lexsort((rows.number, rows.step, rows.session))
    columns = without_offices(len(order)) | {
        "session": rows.session[order],
        "step": rows.step[order],
        "attempt": rows.number[order],
        "service": names_column(services, rows.service[order]),
        "submitted_s": rows.submitted_s[order],
        "acknowledged_s": rows.acknowledged_s[order],
        "synced_s": rows.synced_s[order],
        "outcome": names_column(DOSSIER_OUTCOMES, np.isnan(rows.acknowledged_s[order])),
    }
    return record_table(columns, DOSSIERS, replication)


def level_table(stations: Levels, replication: int) -> pa.Table:
    """Return one block of rows per level, and one per station whose levels are several."""
    names: list[str] = []
    blocks: list[NDArray[np.float64]] = []
    for station, levels in stations.items():
        of_levels = [rows for _, rows in levels]
        if len(levels) > 1 or levels[0][0] != station:
            names.append(station)
            blocks.append(_together(of_levels))
        names += [name for name, _ in levels]
        blocks += of_levels
    index = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    rows = np.concatenate(blocks)
    span = rows[:, 1] - rows[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = {
            "station": names_column(names, index),
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
    return record_table(columns, LEVELS, replication)


def record_table(columns: Mapping[str, Any], schema: pa.Schema, replication: int) -> pa.Table:
    """Return a table of one replication; each column is cast to the schema's type."""
    n = len(next(iter(columns.values())))
    arrays = {"replication": np.full(n, replication)} | dict(columns)
    return pa.table([_column(arrays[field.name], field.type) for field in schema], schema=schema)


def names_column(names: Sequence[str], indices: NDArray[Any]) -> pa.DictionaryArray:
    """Return a column of texts from their indices; index -1 is null."""
    codes = indices.astype(np.int32)
    missing = codes < 0
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, mask=missing if missing.any() else None), pa.array(names, type=pa.string())
    )


def without_offices(n: int) -> dict[str, Any]:
    """Return the columns of ``n`` dossiers of the portal that no office is simulated for."""
    unknown, nothing = np.full(n, np.nan), names_column((), np.full(n, -1))
    texts = dict.fromkeys(("domain", "office", "reception_office", "state"), nothing)
    times = dict.fromkeys(OFFICE_TIMES, unknown)
    return {
        **texts,
        **times,
        "received_s": unknown,
        "decided_s": unknown,
        "due_s": unknown,
        "filed": names_column(FILED, np.full(n, FILED.index("portal"))),
        "supplements": np.zeros(n, dtype=np.int32),
        "notice_late": np.zeros(n, dtype=np.bool_),
        "apologised": np.zeros(n, dtype=np.bool_),
    }


def _together(rows: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the rows of a station from those of its servers: sums; of maxima the largest."""
    stacked = np.stack(list(rows))
    whole: NDArray[np.float64] = stacked.sum(axis=0)
    whole[:, :2] = stacked[0, :, :2]
    whole[:, _MAXIMA] = stacked[:, :, _MAXIMA].max(axis=0)
    return whole


def _column(values: NDArray[Any] | pa.DictionaryArray, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.DictionaryArray):
        return values
    return pa.array(values.astype(kind.to_pandas_dtype()), type=kind)
