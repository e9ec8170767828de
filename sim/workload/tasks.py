"""Tasks of officers as sessions on the portal, and how well two passes agree about them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.backoffice.filings import Filings
from sim.backoffice.outcomes import OfficeRun, Visits
from sim.demand import Catalogue, OfficerSessions
from sim.demand.sessions import BY_POPULARITY
from sim.scenario.scenario import Scenario
from sim.streams import child_keys

TASK = 2**36
"""Children of a dossier's key for the officers' sessions: from here, by visit and state."""

STATES_AT_MOST = 16
"""How far the keys of one visit reach; ``docs/model.md``."""

_LAST_QUANTILE = 0.95

Keys = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Tasks:
    """Tasks begun, in any order.

    Attributes
    ----------
    key : NDArray[uint64], shape (n,)
        What tells a task from all others; the same in every pass.
    started_s : NDArray[float64], shape (n,)
        When it was first begun, s.
    """

    key: Keys
    started_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Coupling:
    """How far the officers' sessions in a trace are from the tasks of the final pass.

    Attributes
    ----------
    tasks : int
        Tasks that both passes began within the window.
    median_s, p95_s : float or None
        Median and 95th percentile of the distance between their two starts, s; None without tasks.
    only_one_share : float
        Of the tasks that any of the two began within the window, those that only one did.
    """

    tasks: int
    median_s: float | None
    p95_s: float | None
    only_one_share: float


def officer_sessions(
    scenario: Scenario, catalogue: Catalogue, filings: Filings, run: OfficeRun
) -> OfficerSessions:
    """Return a session on the portal for each task begun within the window.

    Parameters
    ----------
    scenario : Scenario
        The question; it names the officers' journey.
    catalogue : Catalogue
        Its procedures. A session is about the dossier's service; if that is not offered online,
        about one drawn like a citizen's.
    filings : Filings
        The dossiers.
    run : OfficeRun
        What the offices did with them.
    """
    assert scenario.backoffice is not None
    journey = scenario.backoffice.officer_journey
    assert journey is not None
    visits = run.visits
    inside = np.flatnonzero(visits.started_s < scenario.window.duration_s)
    service_of = np.full(len(catalogue), BY_POPULARITY, dtype=np.int32)
    offered = np.flatnonzero(catalogue.integrated)
    service_of[offered] = np.arange(len(offered), dtype=np.int32)
    return OfficerSessions(
        journey=journey,
        arrival_s=visits.started_s[inside],
        service=service_of[filings.procedure[visits.dossier[inside]]],
        key=_task_keys(filings, visits)[inside],
    )


def tasks_of(filings: Filings, visits: Visits, before_s: float) -> Tasks:
    """Return the tasks begun before some time, named as the first requests of their sessions."""
    inside = np.flatnonzero(visits.started_s < before_s)
    key = _task_keys(filings, visits)[inside]
    return Tasks(first_request_keys(key), visits.started_s[inside])


def first_request_keys(session_keys: Keys) -> Keys:
    """Return the key that the first request of each of these sessions has in a trace."""
    return child_keys(session_keys, np.zeros(1, dtype=np.uint64))


def coupling_of(nominal: Tasks, final: Tasks) -> Coupling:
    """Return how far two passes are from each other."""
    _, ours, theirs = np.intersect1d(
        nominal.key, final.key, assume_unique=True, return_indices=True
    )
    distance_s = np.abs(nominal.started_s[ours] - final.started_s[theirs])
    n_any = len(nominal.key) + len(final.key) - len(ours)
    return Coupling(
        tasks=len(ours),
        median_s=float(np.median(distance_s)) if len(ours) else None,
        p95_s=float(np.quantile(distance_s, _LAST_QUANTILE)) if len(ours) else None,
        only_one_share=1.0 - len(ours) / n_any if n_any else 0.0,
    )


def _task_keys(filings: Filings, visits: Visits) -> Keys:
    """Return the key of each visit's session: of its dossier, its state, and which time it is."""
    group = visits.dossier.astype(np.int64) * STATES_AT_MOST + visits.state
    order = np.argsort(group, kind="stable")  # visits of a group stay in order of their start
    is_first = np.diff(group[order], prepend=-1) != 0
    first = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
    times = np.empty(len(order), dtype=np.int64)
    times[order] = np.arange(len(order)) - first
    child = TASK + STATES_AT_MOST * times + visits.state
    return child_keys(filings.key[visits.dossier], child.astype(np.uint64))
