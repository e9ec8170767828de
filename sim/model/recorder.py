"""The recorder: facts as they happen, tables at the end."""

from array import array

import numpy as np
from numpy.typing import NDArray

from sim.demand.trace import Trace
from sim.model.level import Level
from sim.results import Records, tables

_REQUEST_FIELDS = 7
_DOSSIER_FIELDS = 4


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
        rows = np.frombuffer(self._requests).reshape(-1, _REQUEST_FIELDS)
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        attempts = tables.Attempts(rows[:, 0].astype(np.int64), *rows[:, 1:].T)
        trace = self._trace
        session = tables.session_of(trace, attempts.request)
        return Records(
            requests=tables.request_table(trace, attempts),
            sessions=tables.session_table(
                trace,
                np.where(np.isnan(self._end_s), end_s, self._end_s),
                np.bincount(session, minlength=trace.n_sessions),
                self._abandoned,
            ),
            dossiers=tables.dossier_table(trace.services, self._filings(), trace.replication),
            levels=tables.level_table(_rows_of(stations), trace.replication),
        )

    def _filings(self) -> tables.Filings:
        rows = np.frombuffer(self._dossiers).reshape(-1, _DOSSIER_FIELDS)
        request = rows[:, 0].astype(np.int64)
        session = tables.session_of(self._trace, request)
        return tables.Filings(
            session=session,
            step=request - self._trace.first_request[session],
            number=rows[:, 1],
            service=self._trace.service[session],
            submitted_s=rows[:, 2],
            acknowledged_s=rows[:, 3],
            synced_s=np.array(self._synced),
        )


def _rows_of(stations: dict[str, list[Level]]) -> tables.Levels:
    """Return what the levels of every station wrote down."""
    return {
        station: [(level.name, _array(level.rows)) for level in levels]
        for station, levels in stations.items()
    }


def _array(rows: list[tuple[float, ...]]) -> NDArray[np.float64]:
    return np.array(rows).reshape(-1, tables.LEVEL_FIELDS)
