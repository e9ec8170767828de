"""What is known while the load runs: pieces from the workers, added up for people and for rules.

Pure. A worker sends one :class:`Piece` a second; the :class:`LiveView` of the master (or of the
only process) adds them up. The final figures come from the records, not from here.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.abort import Second, Tally
from loadtests.histogram import N_BINS, VALUES_S, Counts, hdr_bytes, quantile_s
from sim.results import OUTCOMES

RECENT_S = 10.0
"""What is called recent covers so much time."""

Cells = NDArray[np.int32]
"""Rows (row, column, count): the cells of a matrix that are not zero."""

_OK = OUTCOMES.index("ok")


def sparse(row: NDArray[np.int64], column: NDArray[np.int64]) -> Cells:
    """Count equal pairs; returns rows (row, column, count)."""
    width = int(column.max(initial=0)) + 1
    cells, counts = np.unique(row * width + column, return_counts=True)
    return np.stack([cells // width, cells % width, counts], axis=1).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one worker did within about one second; totals where not said otherwise.

    Attributes
    ----------
    worker : int
        Its index.
    t_s : float
        End of the second, s from the epoch.
    arrived, sent, active, dropped : int
        Sessions due so far, attempts ended so far, sessions under way now, sessions dropped so far.
    cpu_share : float
        Use of one core since the last piece.
    outcomes : Cells
        Attempts ended since the last piece, by endpoint and outcome.
    times : Cells
        Their elapsed times by endpoint and bin (``loadtests.histogram``); quick refusals left out.
    late : Cells
        How late they were sent, by 0 and bin.
    services : Cells
        By service and whether they were not answered well (0, 1).
    """

    worker: int
    t_s: float
    arrived: int
    sent: int
    active: int
    dropped: int
    cpu_share: float
    outcomes: Cells
    times: Cells
    late: Cells
    services: Cells

    def to_message(self) -> dict[str, Any]:
        """Return what a message can carry."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.tobytes() if isinstance(value, np.ndarray) else value
            for name, value in values.items()
        }

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> "Piece":
        """Return the piece of a message."""
        values: dict[str, Any] = {
            name: np.frombuffer(value, dtype=np.int32).reshape(-1, 3)
            if isinstance(value, bytes)
            else value
            for name, value in message.items()
        }
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Totals:
    """One line on the whole run so far.

    Attributes
    ----------
    t_s : float
        s from the epoch.
    arrived, dropped, active, requests, not_ok : int
        Sessions due, dropped and under way; attempts ended, and not answered well.
    recent_rate_per_s : float
        Attempts a second, lately.
    recent_p95_s : float
        95th percentile of their response, s; NaN without any.
    late_p99_s : float
        99th percentile of the lateness of the whole run, s; NaN without any request.
    cpu_share : float
        Largest use of one core among the workers in their last second.
    workers : int
        Workers heard of.
    """

    t_s: float
    arrived: int
    dropped: int
    active: int
    requests: int
    not_ok: int
    recent_rate_per_s: float
    recent_p95_s: float
    late_p99_s: float
    cpu_share: float
    workers: int


@dataclass(frozen=True, slots=True)
class EndpointFigures:
    """One endpoint so far.

    Attributes
    ----------
    endpoint : str
        Its name.
    outcomes : dict of str to int
        Attempts by outcome.
    p50_s, p95_s, p99_s : float
        Response of the whole run so far, s; NaN without any.
    recent_rate_per_s, recent_p95_s : float
        The same lately.
    """

    endpoint: str
    outcomes: dict[str, int]
    p50_s: float
    p95_s: float
    p99_s: float
    recent_rate_per_s: float
    recent_p95_s: float


@dataclass(frozen=True, slots=True)
class ServiceFigures:
    """One service so far: its code, attempts, and those not answered well."""

    service: str
    requests: int
    not_ok: int


class LiveView:
    """The sum of all pieces.

    Parameters
    ----------
    endpoints, services : sequence of str
        Names behind the indices of the trace.
    """

    def __init__(self, endpoints: Sequence[str], services: Sequence[str]) -> None:
        self.endpoints = tuple(endpoints)
        self.services = tuple(services)
        self._outcomes = np.zeros((len(endpoints), len(OUTCOMES)), dtype=np.int64)
        self._times = np.zeros((len(endpoints), N_BINS), dtype=np.int64)
        self._late = np.zeros(N_BINS, dtype=np.int64)
        self._services = np.zeros((len(services), 2), dtype=np.int64)
        self._latest: dict[int, Piece] = {}
        self._recent: deque[Piece] = deque()
        self._unfed: list[Piece] = []

    def add(self, piece: Piece) -> None:
        """Take in what one worker did in a second."""
        _add(self._outcomes, piece.outcomes)
        _add(self._times, piece.times)
        _add(self._services, piece.services)
        self._late[piece.late[:, 1]] += piece.late[:, 2]
        self._latest[piece.worker] = piece
        self._recent.append(piece)
        self._unfed.append(piece)
        while self._recent[0].t_s < self.t_s - RECENT_S:
            self._recent.popleft()

    @property
    def t_s(self) -> float:
        """The latest moment heard of, s from the epoch; 0 before any."""
        return max((piece.t_s for piece in self._latest.values()), default=0.0)

    def second(self) -> Second:
        """Return what came since the last call, for the rules that stop a run."""
        pieces, self._unfed = self._unfed, []
        outcomes = _cells([piece.outcomes for piece in pieces])
        times = _cells([piece.times for piece in pieces])
        return Second(
            t_s=self.t_s,
            endpoints={
                self.endpoints[index]: Tally(
                    outcomes=_by_outcome(outcomes[outcomes[:, 0] == index]),
                    response_s=VALUES_S[times[times[:, 0] == index, 1]],
                    counts=times[times[:, 0] == index, 2].astype(np.int64),
                )
                for index in np.unique(outcomes[:, 0]).tolist()
            },
        )

    def totals(self) -> Totals:
        """Return one line on the whole run so far."""
        latest = list(self._latest.values())
        recent = _dense(_cells([piece.times for piece in self._recent]), len(self.endpoints))
        attempts = sum(int(piece.outcomes[:, 2].sum()) for piece in self._recent)
        return Totals(
            t_s=self.t_s,
            arrived=sum(piece.arrived for piece in latest),
            dropped=sum(piece.dropped for piece in latest),
            active=sum(piece.active for piece in latest),
            requests=int(self._outcomes.sum()),
            not_ok=int(self._outcomes.sum() - self._outcomes[:, _OK].sum()),
            recent_rate_per_s=attempts / self._recent_s(),
            recent_p95_s=quantile_s(recent.sum(axis=0), 0.95),
            late_p99_s=quantile_s(self._late, 0.99),
            cpu_share=max((piece.cpu_share for piece in latest), default=0.0),
            workers=len(latest),
        )

    def endpoint_figures(self) -> list[EndpointFigures]:
        """Return the endpoints that were asked so far, in the scenario's order."""
        recent = _dense(_cells([piece.times for piece in self._recent]), len(self.endpoints))
        ended = np.zeros(len(self.endpoints), dtype=np.int64)
        for piece in self._recent:
            np.add.at(ended, piece.outcomes[:, 0], piece.outcomes[:, 2])
        return [
            EndpointFigures(
                endpoint=name,
                outcomes=dict(zip(OUTCOMES, self._outcomes[index].tolist(), strict=True)),
                p50_s=quantile_s(self._times[index], 0.5),
                p95_s=quantile_s(self._times[index], 0.95),
                p99_s=quantile_s(self._times[index], 0.99),
                recent_rate_per_s=float(ended[index]) / self._recent_s(),
                recent_p95_s=quantile_s(recent[index], 0.95),
            )
            for index, name in enumerate(self.endpoints)
            if self._outcomes[index].any()
        ]

    def recent_quantiles_s(self, shares: Sequence[float]) -> tuple[float, ...]:
        """Return quantiles of the response of all endpoints lately, s; NaN without any."""
        cells = _cells([piece.times for piece in self._recent])
        counts = np.zeros(N_BINS, dtype=np.int64)
        np.add.at(counts, cells[:, 1], cells[:, 2])
        return tuple(quantile_s(counts, share) for share in shares)

    def service_figures(self) -> list[ServiceFigures]:
        """Return the services that were asked for so far, the most asked first."""
        requests = self._services.sum(axis=1)
        order = np.argsort(-requests, kind="stable")
        return [
            ServiceFigures(
                self.services[index], int(requests[index]), int(self._services[index, 1])
            )
            for index in order.tolist()
            if requests[index]
        ]

    def times_of(self, endpoint: str) -> Counts:
        """Return the counts of one endpoint's response times, shape (N_BINS,)."""
        counts: Counts = self._times[self.endpoints.index(endpoint)]
        return counts

    def snapshot(self) -> dict[str, bytes]:
        """Return the response times so far, one compressed HdrHistogram per endpoint."""
        return {
            name: hdr_bytes(self._times[index])
            for index, name in enumerate(self.endpoints)
            if self._times[index].any()
        }

    def _recent_s(self) -> float:
        return min(max(self.t_s, 1.0), RECENT_S)


def _add(matrix: NDArray[np.int64], cells: Cells) -> None:
    matrix[cells[:, 0], cells[:, 1]] += cells[:, 2]


def _cells(pieces: Sequence[Cells]) -> Cells:
    return np.concatenate([np.empty((0, 3), dtype=np.int32), *pieces])


def _dense(cells: Cells, rows: int) -> NDArray[np.int64]:
    matrix = np.zeros((rows, N_BINS), dtype=np.int64)
    np.add.at(matrix, (cells[:, 0], cells[:, 1]), cells[:, 2])
    return matrix


def _by_outcome(cells: Cells) -> dict[str, int]:
    counts = np.zeros(len(OUTCOMES), dtype=np.int64)
    np.add.at(counts, cells[:, 1], cells[:, 2])
    return dict(zip(OUTCOMES, counts.tolist(), strict=True))
