"""The recorder of the offices: facts of dossiers and tasks as they happen, columns at the end."""

import math
from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.backoffice.dossier import AGENCY, CITIZEN, OFFICER, SYSTEM, WORKING, Dossier
from sim.backoffice.filings import Filings
from sim.backoffice.outcomes import Cases, OfficeRun, StationLevels, Visits

_TIMES = {
    SYSTEM: "waiting_system_s",
    OFFICER: "waiting_officer_s",
    CITIZEN: "waiting_citizen_s",
    AGENCY: "waiting_agency_s",
    WORKING: "working_s",
}


class Recorder:
    """What became of the dossiers of one run, and the tasks done.

    Attributes
    ----------
    open : dict of int to Dossier
        Dossiers on their way, by row.
    synced_s, received_s, decided_s, closed_s : array of float, shape (n,)
        When each got through the intake, was received, decided and closed, s; NaN before.
    reception_due_s : memoryview of float64, shape (n,)
        Until when each is to be received, s.
    """

    def __init__(self, filings: Filings, reception_due_s: NDArray[np.float64]) -> None:
        n = len(filings)
        is_beyond = np.isnan(reception_due_s)
        self.open: dict[int, Dossier] = {}
        self.reception_due_s = reception_due_s.data
        self.synced_s = _unknown(n)
        self.received_s = array("d", filings.received_s.tobytes())
        self.decided_s = _unknown(n)
        self.closed_s = _unknown(n)
        self._due_s = array("d", np.where(is_beyond, filings.due_s, np.nan).tobytes())
        self._state = array("b", filings.state.tobytes())
        self._spent = {waits: array("d", bytes(8 * n)) for waits in _TIMES}
        self._supplements = array("i", bytes(4 * n))
        self._notice_late = bytearray(n)
        self._apologised = bytearray(n)
        self._task_dossier = array("i")
        self._task_state = array("b")
        self._task_team = array("i")
        self._ready_s, self._started_s, self._ended_s = array("d"), array("d"), array("d")

    def begin(self, dossier: Dossier, team: int, now: float) -> int:
        """Note that a task is begun, which is queued since its dossier waits; returns its row."""
        self._task_dossier.append(dossier.row)
        self._task_state.append(dossier.state)
        self._task_team.append(team)
        self._ready_s.append(dossier.since)
        self._started_s.append(now)
        self._ended_s.append(math.nan)
        return len(self._ended_s) - 1

    def end(self, task: int, now: float) -> None:
        """Note that a task has ended."""
        self._ended_s[task] = now

    def close(self, dossier: Dossier) -> None:
        """Note what became of a dossier; it is not open any more."""
        row = dossier.row
        self._state[row] = dossier.state
        if not math.isnan(dossier.accepted_s):
            self._due_s[row] = dossier.due_s
        for waits, spent in self._spent.items():
            spent[row] = dossier.spent[waits]
        self._supplements[row] = dossier.supplements
        self._notice_late[row] = dossier.notice_late
        self._apologised[row] = dossier.apologised
        del self.open[row]

    def run(self, levels: Iterable[StationLevels]) -> OfficeRun:
        """Return everything as columns."""
        return OfficeRun(self._cases(), self._visits(), tuple(levels))

    def _cases(self) -> Cases:
        return Cases(
            state=_column(self._state),
            synced_s=_column(self.synced_s),
            reception_due_s=np.asarray(self.reception_due_s),
            received_s=_column(self.received_s),
            due_s=_column(self._due_s),
            decided_s=_column(self.decided_s),
            closed_s=_column(self.closed_s),
            supplements=_column(self._supplements),
            notice_late=np.frombuffer(bytes(self._notice_late), np.bool_),
            apologised=np.frombuffer(bytes(self._apologised), np.bool_),
            **{name: _column(self._spent[waits]) for waits, name in _TIMES.items()},
        )

    def _visits(self) -> Visits:
        return Visits(
            dossier=_column(self._task_dossier),
            state=_column(self._task_state),
            team=_column(self._task_team),
            ready_s=_column(self._ready_s),
            started_s=_column(self._started_s),
            ended_s=_column(self._ended_s),
        )


def _unknown(n: int) -> "array[float]":
    return array("d", [math.nan]) * n


def _column(values: "array[Any]") -> NDArray[Any]:
    """Return an array's numbers, without a copy."""
    return np.frombuffer(values, np.dtype(values.typecode))
