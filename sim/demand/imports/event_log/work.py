"""Who does what, again and again, and how long: rework, hand-over, waiting and processing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.event_log.log import EventLog
from sim.demand.imports.event_log.week import WorkedWeek
from sim.demand.imports.shapes import Estimate

MIN_TIMED = 10
"""Fewer processing times tell no distribution."""

GROUPS_LISTED = 30
"""Without groups the matrix of hand-overs is between so many resources at most."""

_NO_BEGINS = "the log has only completions: waiting cannot be told from processing"


@dataclass(frozen=True, slots=True)
class Processing:
    """Officer's working time for one activity, or why it cannot be told.

    Attributes
    ----------
    n : int
        Times seen.
    mean_s, cv, median_s : float
        Mean and median, s, and coefficient of variation; NaN: cannot tell.
    wait_mean_s : float
        Mean working time between the step before and the begin, s.
    reason : str
        Why they cannot be told; empty otherwise.
    """

    n: int
    mean_s: float = np.nan
    cv: float = np.nan
    median_s: float = np.nan
    wait_mean_s: float = np.nan
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ActivityFacts:
    """What a log says about one activity.

    Attributes
    ----------
    name : str
        Its name.
    n_events, n_cases : int
        How often, and in how many cases.
    repeat_share : float
        Share of its events that are not the case's first of it.
    repeat_work_ratio : float
        Mean processing time when done again, over the first time's; NaN: cannot tell.
    median_delay_s, p90_delay_s : float
        Working time since the step before, s; NaN: never has one.
    processing : Processing
        Officer's work.
    """

    name: str
    n_events: int
    n_cases: int
    repeat_share: float
    repeat_work_ratio: float
    median_delay_s: float
    p90_delay_s: float
    processing: Processing


@dataclass(frozen=True, slots=True)
class HandOver:
    """How often the next step is another person's.

    Attributes
    ----------
    share : Estimate
        Share of successive events of a case done by different people.
    unit : str
        What the matrix counts: groups or resources.
    names : tuple of str
        Its rows and columns.
    matrix : NDArray of int, shape (n, n)
        Successive events from row to column.
    """

    share: Estimate
    unit: str
    names: tuple[str, ...]
    matrix: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WorkFacts:
    """What a log says about work.

    Attributes
    ----------
    activities : tuple of ActivityFacts
        By number of events, greatest first.
    rework_share : float
        Share of the cases in which some activity is repeated.
    hand_over : HandOver
        Between people.
    directly_follows : NDArray of int, shape (n_activities + 1, n_activities + 1)
        Successive activities in the log's order; row 0: the start, last column: the end.
    """

    activities: tuple[ActivityFacts, ...]
    rework_share: float
    hand_over: HandOver
    directly_follows: NDArray[np.int64]


def work_facts(log: EventLog, week: WorkedWeek) -> WorkFacts:
    """Return what a log says about work.

    Parameters
    ----------
    log : EventLog
        The log.
    week : WorkedWeek
        The office's hours.
    """
    clock = week.clock(float(log.arrival_s().min()), float(log.time_s.max()))
    firsts = log.is_first
    before_s = np.where(firsts, log.start_s[log.case], np.roll(log.time_s, 1))
    delay_s = np.full(len(log.case), np.nan)
    has_before = np.isfinite(before_s)
    delay_s[has_before] = clock.between_s(before_s[has_before], log.time_s[has_before])
    is_timed = np.isfinite(log.begun_s)
    work_s = np.full(len(log.case), np.nan)
    work_s[is_timed] = clock.between_s(log.begun_s[is_timed], log.time_s[is_timed])
    repeats = _is_repeat(log)
    facts = [_activity(log, i, delay_s, work_s, repeats) for i in range(len(log.activities))]
    in_rework = np.unique(log.case[repeats])
    return WorkFacts(
        tuple(sorted((one for one in facts if one.n_events), key=lambda one: -one.n_events)),
        len(in_rework) / len(log.cases),
        _hand_over(log),
        _directly_follows(log),
    )


def _is_repeat(log: EventLog) -> NDArray[np.bool_]:
    """Return which events are not the case's first of their activity."""
    pair = log.case.astype(np.int64) * len(log.activities) + log.activity
    _, first = np.unique(pair, return_index=True)
    repeats = np.ones(len(pair), bool)
    repeats[first] = False
    return repeats


def _activity(
    log: EventLog,
    i: int,
    delay_s: NDArray[np.float64],
    work_s: NDArray[np.float64],
    repeats: NDArray[np.bool_],
) -> ActivityFacts:
    own = log.activity == i
    n_events = int(own.sum())
    delays = delay_s[own & np.isfinite(delay_s)]
    median, p90 = np.quantile(delays, [0.5, 0.9]).tolist() if len(delays) else (np.nan, np.nan)
    timed = own & np.isfinite(work_s)
    again, once = work_s[timed & repeats], work_s[timed & ~repeats]
    is_told = min(len(again), len(once)) >= MIN_TIMED and once.mean() > 0
    return ActivityFacts(
        log.activities[i],
        n_events,
        n_events - int((own & repeats).sum()),
        float((own & repeats).sum()) / max(n_events, 1),
        float(again.mean() / once.mean()) if is_told else np.nan,
        median,
        p90,
        _processing(work_s[timed], (delay_s - work_s)[timed & np.isfinite(delay_s)]),
    )


def _processing(work_s: NDArray[np.float64], wait_s: NDArray[np.float64]) -> Processing:
    if not len(work_s):
        return Processing(0, reason=_NO_BEGINS)
    if len(work_s) < MIN_TIMED:
        return Processing(len(work_s), reason=f"only {len(work_s)} have a begin and an end")
    mean = float(work_s.mean())
    if mean <= 0:
        return Processing(len(work_s), reason="all begin and end in the same moment")
    wait = float(np.maximum(wait_s, 0.0).mean()) if len(wait_s) else np.nan
    return Processing(
        len(work_s), mean, float(work_s.std(ddof=1)) / mean, float(np.median(work_s)), wait
    )


def _hand_over(log: EventLog) -> HandOver:
    follows = ~log.is_first
    follows[0] = False
    after = np.flatnonzero(follows)
    by, to = log.resource[after - 1], log.resource[after]
    told = (by >= 0) & (to >= 0)
    has_groups = len(log.groups) > 1
    column, names = (log.group, log.groups) if has_groups else (log.resource, log.resources)
    shown = np.argsort(-np.bincount(column[column >= 0], minlength=len(names)), kind="stable")
    shown = shown[:GROUPS_LISTED]
    place = np.full(len(names) + 1, -1)
    place[shown] = np.arange(len(shown))
    row, cell = place[column[after - 1]], place[column[after]]
    both = (row >= 0) & (cell >= 0)
    matrix = np.zeros((len(shown), len(shown)), np.int64)
    np.add.at(matrix, (row[both], cell[both]), 1)
    return HandOver(
        _share(int((by != to)[told].sum()), int(told.sum())),
        "groups" if has_groups else "resources",
        tuple(names[i] for i in shown.tolist()),
        matrix,
    )


def _share(n: int, of: int) -> Estimate:
    if not of:
        return Estimate(None, reason="the log names nobody")
    p = n / of
    return Estimate(p, float(np.sqrt(p * (1 - p) / of)))


def _directly_follows(log: EventLog) -> NDArray[np.int64]:
    n = len(log.activities) + 1
    firsts = log.is_first
    last = np.where(firsts, 0, np.roll(log.activity, 1) + 1)
    matrix = np.zeros((n, n), np.int64)
    np.add.at(matrix, (last, log.activity), 1)
    ends = log.activity[np.append(np.flatnonzero(firsts)[1:], len(firsts)) - 1]
    np.add.at(matrix, (ends + 1, np.full(len(ends), n - 1)), 1)
    return matrix
