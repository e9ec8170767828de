"""What the offices did with the dossiers of one replication, as columns; both engines give it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Cases:
    """What became of each dossier, row by row as in the filings.

    Attributes
    ----------
    state : NDArray[int8], shape (n,)
        Where it stands at the end.
    synced_s : NDArray[float64], shape (n,)
        When it got through the intake, s; NaN where it did not pass it (yet).
    reception_due_s : NDArray[float64], shape (n,)
        When it is to be received or answered at the latest, s; NaN for a backlog dossier beyond it.
    received_s : NDArray[float64], shape (n,)
        When the reception first answered: accepted, refused or asked for papers, s; else NaN.
    due_s : NDArray[float64], shape (n,)
        Legal term of the decision as last set, s; NaN before acceptance.
    decided_s : NDArray[float64], shape (n,)
        When it was decided, s; else NaN.
    closed_s : NDArray[float64], shape (n,)
        When it reached an end, s; else NaN.
    waiting_officer_s, working_s, waiting_citizen_s, waiting_agency_s, waiting_system_s : NDArray
        Time so far, by the clock and not in working time, in queues of officers, in officers' hands
        (nights and lunch of a task begun included), and waiting for citizens, agencies and the
        synchronisation, s; shape (n,). Their sum is the time from arrival to close or end.
    supplements : NDArray[int32], shape (n,)
        How often papers were asked for.
    notice_late : NDArray[bool], shape (n,)
        Whether an examination asked for papers later than the law allows.
    apologised : NDArray[bool], shape (n,)
        Whether it was still undecided when an apology was due.
    """

    state: NDArray[np.int8]
    synced_s: NDArray[np.float64]
    reception_due_s: NDArray[np.float64]
    received_s: NDArray[np.float64]
    due_s: NDArray[np.float64]
    decided_s: NDArray[np.float64]
    closed_s: NDArray[np.float64]
    waiting_officer_s: NDArray[np.float64]
    working_s: NDArray[np.float64]
    waiting_citizen_s: NDArray[np.float64]
    waiting_agency_s: NDArray[np.float64]
    waiting_system_s: NDArray[np.float64]
    supplements: NDArray[np.int32]
    notice_late: NDArray[np.bool_]
    apologised: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Visits:
    """Tasks that officers did, in order of their first start.

    Attributes
    ----------
    dossier : NDArray[int32], shape (m,)
        Row in the filings.
    state : NDArray[int8], shape (m,)
        State whose task it is.
    team : NDArray[int32], shape (m,)
        Team that did it.
    ready_s, started_s, ended_s : NDArray[float64], shape (m,)
        When it was queued, first begun and ended, s; NaN for an end after the run's.
    """

    dossier: NDArray[np.int32]
    state: NDArray[np.int8]
    team: NDArray[np.int32]
    ready_s: NDArray[np.float64]
    started_s: NDArray[np.float64]
    ended_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StationLevels:
    """Exact averages of one station over consecutive intervals.

    Attributes
    ----------
    station : str
        ``backoffice.<office>``, ``backoffice.<group>.<team>``, ``backoffice.state.<state>``,
        ``backoffice.intake`` or ``backoffice.publication``.
    from_s, to_s : NDArray[float64], shape (k,)
        The intervals, s; the last ends with the run.
    capacity, busy, queue : NDArray[float64], shape (k,)
        Mean officers on duty, officers at work, dossiers (or rows) waiting; nobody is on duty or at
        work while the office is closed. Of a state the queue is the number of dossiers in it;
        capacity is infinite and busy 0, as of intake and publication.
    queue_max, queue_age_max_s : NDArray[float64], shape (k,)
        Most waiting, and the longest age of the first row; 0 but for intake and publication.
    arrivals, departures : NDArray[int64], shape (k,)
        Tasks queued and ended, dossiers that entered and left, rows queued and sent.
    """

    station: str
    from_s: NDArray[np.float64]
    to_s: NDArray[np.float64]
    capacity: NDArray[np.float64]
    busy: NDArray[np.float64]
    queue: NDArray[np.float64]
    queue_max: NDArray[np.float64]
    queue_age_max_s: NDArray[np.float64]
    arrivals: NDArray[np.int64]
    departures: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OfficeRun:
    """All that one engine says of one replication."""

    cases: Cases
    visits: Visits
    levels: tuple[StationLevels, ...]
