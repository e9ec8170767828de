"""Fitting the model of cases to a log, with what the log's end hides taken into account."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.event_log.delays import (
    MIN_DELAYS,
    SHORTEST_S,
    Delays,
    Mixtures,
    fit_mixtures,
    refit_mixtures,
)
from sim.demand.imports.event_log.history import Walk, walk
from sim.demand.imports.event_log.log import EventLog
from sim.demand.imports.event_log.model import SITTING_S, FittedModel, Kinds, Variant
from sim.demand.imports.event_log.routing import Routing, Steps, fit_routing, steps_of
from sim.demand.imports.event_log.week import WorkedWeek, learn_week, learn_weeks

_ROUNDS = 4
"""Rounds between what open cases will do and the model that tells it."""

_ROUNDS_AGAIN = 2
_LEAST_CHANCE = 1e-4
"""A less likely continuation of an open case is not followed up."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """All a log gives to learn from, under one variant of the model.

    Attributes
    ----------
    log : EventLog
        The log.
    variant : Variant
        The choice of model.
    steps : Steps
        Steps between states.
    delay_s : NDArray, shape (n_events,)
        Working time since the step before.
    has_delay : NDArray of bool, shape (n_events,)
        Whether there is a step before.
    in_sitting : NDArray of int, shape (n_events,)
        Whether the step before was in a sitting.
    open_s : NDArray, shape (n_cases,)
        Working time from each case's last event to the end of the log.
    final_sitting : NDArray of int, shape (n_cases,)
        Whether each case's last event was in a sitting.
    weeks : tuple of WorkedWeek
        The office's hours, and resources' own.
    week_of : NDArray of int, shape (n_events,)
        Whose hours.
    kinds : Kinds
        Mixtures of delays.
    unmet_s : NDArray, shape (n_unmet,)
        Working time since the start of cases that had no event yet.
    """

    log: EventLog
    variant: Variant
    steps: Steps
    delay_s: NDArray[np.float64]
    has_delay: NDArray[np.bool_]
    in_sitting: NDArray[np.int64]
    open_s: NDArray[np.float64]
    final_sitting: NDArray[np.int64]
    weeks: tuple[WorkedWeek, ...]
    week_of: NDArray[np.int64]
    kinds: Kinds
    unmet_s: NDArray[np.float64]


def lessons_of(
    log: EventLog,
    variant: Variant,
    end_s: float,
    walked: Walk | None = None,
    unmet_start_s: NDArray[np.float64] | None = None,
) -> Lessons:
    """Prepare a log for fitting.

    Parameters
    ----------
    log : EventLog
        The log; nothing in it is later than ``end_s``.
    variant : Variant
        The choice of model.
    end_s : float
        When the log ends: what had not happened by then may still have been to come.
    walked : Walk, optional
        States of the log, where they are known already.
    unmet_start_s : NDArray, optional
        Starts of cases that had no event before the log's end.
    """
    unmet_s = np.zeros(0) if unmet_start_s is None or not log.has_starts else unmet_start_s
    weeks, week_of = _weeks(log, has_own=variant.has_own_weeks)
    firsts = log.is_first
    before_s = np.where(firsts, log.start_s[log.case], np.roll(log.time_s, 1))
    has_delay = np.isfinite(before_s) & (~firsts | log.has_starts)
    delay_s = np.zeros(len(log.case))
    span = (float(np.nanmin(log.arrival_s())), end_s)
    for i, week in enumerate(weeks):
        own = has_delay & (week_of == i)
        delay_s[own] = week.clock(*span).between_s(before_s[own], log.time_s[own])
    delay_s = np.maximum(delay_s, SHORTEST_S)
    is_short = (~firsts & (delay_s < SITTING_S)).astype(np.int64) * variant.knows_sittings
    in_sitting = np.where(firsts, 0, np.roll(is_short, 1))
    lasts = np.append(np.flatnonzero(firsts)[1:], len(firsts)) - 1
    end = np.full(len(lasts), end_s)
    n_activities = len(log.activities)
    steps = steps_of(walked or walk(log), log.activity, variant.rule, n_activities)
    return Lessons(
        log,
        variant,
        steps,
        delay_s,
        has_delay,
        in_sitting,
        weeks[0].clock(*span).between_s(log.time_s[lasts], end),
        is_short[lasts],
        weeks,
        week_of,
        _kinds(steps, in_sitting, has_delay),
        weeks[0].clock(*span).between_s(unmet_s, np.full(len(unmet_s), end_s)),
    )


def fit(lessons: Lessons, weight: NDArray[np.float64] | None = None) -> FittedModel:
    """Fit the model.

    Cases that had not ended are not left out: each is thought to have ended, or to be waiting for
    one of its next steps for longer than it was seen to, in the shares the model itself gives
    (expectation and maximisation).

    Parameters
    ----------
    lessons : Lessons
        What there is to learn from.
    weight : NDArray, shape (n_cases,), optional
        How much each case counts; absent: all alike.
    """
    return _fit(lessons, np.ones(len(lessons.log.cases)) if weight is None else weight, None)


def refit(lessons: Lessons, start: FittedModel, weight: NDArray[np.float64]) -> FittedModel:
    """Fit again with other weights of the cases, from a fit that is near.

    Parameters
    ----------
    lessons : Lessons
        What the first fit was made of.
    start : FittedModel
        The first fit.
    weight : NDArray, shape (n_cases,)
        How often each case counts, such as a bootstrap sample.
    """
    return _fit(lessons, weight, start)


def _fit(lessons: Lessons, weight: NDArray[np.float64], start: FittedModel | None) -> FittedModel:
    steps, log = lessons.steps, lessons.log
    n_cases, n_next = len(log.cases), steps.n_activities + 1
    of_event = weight[log.case]
    final = np.zeros((n_cases, n_next))
    final[:, -1] = weight
    rule = lessons.variant.rule
    routing = fit_routing(steps, rule, of_event, final) if start is None else start.routing
    seen = _seen(lessons, of_event)
    mixtures = fit_mixtures(seen, lessons.kinds.n_kinds) if start is None else start.mixtures
    is_open = lessons.open_s <= max(float(lessons.delay_s.max()), SHORTEST_S)
    for _ in range(_ROUNDS if start is None else _ROUNDS_AGAIN):
        chance = _continuations(lessons, routing, mixtures, is_open)
        final[is_open] = chance * weight[is_open, np.newaxis]
        routing = fit_routing(steps, rule, of_event, final)
        bounds = _bounds(lessons, routing, final, is_open)
        mixtures = refit_mixtures(_joined(seen, bounds), mixtures)
    share = np.zeros((steps.n_activities, len(lessons.weeks)))
    np.add.at(share, (log.activity, lessons.week_of), of_event)
    share /= np.maximum(share.sum(axis=1, keepdims=True), 1e-12)
    return FittedModel(
        lessons.variant,
        log.activities,
        routing,
        lessons.kinds,
        mixtures,
        lessons.weeks,
        share,
        log.has_starts,
        int(np.bincount(log.case).max()),
    )


def _weeks(log: EventLog, *, has_own: bool) -> tuple[tuple[WorkedWeek, ...], NDArray[np.int64]]:
    """Return the hours to use and which each event is measured in."""
    office = learn_week(log.time_s, log.case)
    week_of = np.zeros(len(log.case), np.int64)
    if not has_own:
        return (office,), week_of
    own = learn_weeks(log.time_s, log.case, log.resource, len(log.resources), office)
    for i, resource in enumerate(own, start=1):
        week_of[log.resource == resource] = i
    return (office, *own.values()), week_of


def _kinds(steps: Steps, in_sitting: NDArray[np.int64], has_delay: NDArray[np.bool_]) -> Kinds:
    """Give each step its own mixture if it was seen often enough, else one of a wider kind."""
    n = steps.n_activities
    shape = (n + 1, n, 2)
    of_step = np.full(shape, -1, np.int64)
    last, to, flag = steps.last[has_delay], steps.next[has_delay], in_sitting[has_delay]
    n_kinds = 1
    scopes = (("last", "to", "flag"), ("last", "to"), ("to", "flag"), ("to",))
    part_of = {"last": last, "to": to, "flag": flag}
    grid = dict(zip(("last", "to", "flag"), np.indices(shape), strict=True))
    size_of = {"last": n + 1, "to": n, "flag": 2}
    for scope in scopes:
        flat = np.zeros(len(to), np.int64)
        flat_grid = np.zeros(shape, np.int64)
        for name in scope:
            flat = flat * size_of[name] + part_of[name]
            flat_grid = flat_grid * size_of[name] + grid[name]
        is_left = of_step[last, to, flag] < 0
        counts = np.bincount(flat[is_left], minlength=int(flat_grid.max()) + 1)
        numbers = np.where(counts >= MIN_DELAYS, np.cumsum(counts >= MIN_DELAYS), 0)
        take = (of_step < 0) & (numbers[flat_grid] > 0)
        of_step[take] = numbers[flat_grid][take] + n_kinds - 1
        n_kinds += int(numbers.max(initial=0))
    return Kinds(np.maximum(of_step, 0), n_kinds)


def _seen(lessons: Lessons, of_event: NDArray[np.float64]) -> Delays:
    """Return the delays seen; the widest kind learns from all when little is left for it alone."""
    steps, used = lessons.steps, lessons.has_delay
    kind = lessons.kinds.of_step[steps.last[used], steps.next[used], lessons.in_sitting[used]]
    log, weight = np.log(lessons.delay_s[used]), of_event[used]
    if (kind == 0).sum() < MIN_DELAYS:
        others = kind != 0
        log = np.concatenate((log, log[others]))
        weight = np.concatenate((weight, weight[others]))
        kind = np.concatenate((kind, np.zeros(int(others.sum()), np.int64)))
    return Delays(log, kind, weight, np.zeros(len(log), bool))


def _continuations(
    lessons: Lessons, routing: Routing, mixtures: Mixtures, is_open: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the chances of what open cases will do, given how long they have not done it."""
    steps = lessons.steps
    last, open_s = steps.final_last[is_open], lessons.open_s[is_open]
    chance = routing.rows(steps.keys[steps.final_row[is_open]], last).copy()
    case, to = np.nonzero(chance[:, :-1] > _LEAST_CHANCE)
    kind = lessons.kinds.of_step[last[case], to, lessons.final_sitting[is_open][case]]
    still = np.zeros((len(last), steps.n_activities))
    still[case, to] = mixtures.survival(kind, open_s[case])
    chance[:, :-1] *= still
    total = chance.sum(axis=1, keepdims=True)
    chance[:, -1] += total[:, 0] <= 0
    result: NDArray[np.float64] = chance / np.where(total > 0, total, 1.0)
    return result


def _bounds(
    lessons: Lessons,
    routing: Routing,
    final: NDArray[np.float64],
    is_open: NDArray[np.bool_],
) -> Delays:
    """Return the lower bounds that open cases, and cases without an event yet, give."""
    case, to = np.nonzero((final[:, :-1] > _LEAST_CHANCE) & is_open[:, np.newaxis])
    last = lessons.steps.final_last[case]
    kind = lessons.kinds.of_step[last, to, lessons.final_sitting[case]]
    first = np.flatnonzero(routing.by_last[0, :-1] > _LEAST_CHANCE)
    n_unmet = len(lessons.unmet_s)
    bound_s = np.concatenate((lessons.open_s[case], np.repeat(lessons.unmet_s, len(first))))
    return Delays(
        np.log(np.maximum(bound_s, SHORTEST_S)),
        np.concatenate((kind, np.tile(lessons.kinds.of_step[0, first, 0], n_unmet))),
        np.concatenate((final[case, to], np.tile(routing.by_last[0, first], n_unmet))),
        np.ones(len(bound_s), bool),
    )


def _joined(seen: Delays, bounds: Delays) -> Delays:
    return Delays(
        np.concatenate((seen.log, bounds.log)),
        np.concatenate((seen.kind, bounds.kind)),
        np.concatenate((seen.weight, bounds.weight)),
        np.concatenate((seen.is_censored, bounds.is_censored)),
    )
