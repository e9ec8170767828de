"""A model of cases learned from a log: routing, delays in working time, hours; and its drawing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.event_log.delays import Mixtures
from sim.demand.imports.event_log.history import RULE_TEXTS, Histories, Rule
from sim.demand.imports.event_log.routing import Routing
from sim.demand.imports.event_log.week import WorkedWeek, WorkingClock

SITTING_S = 900.0
"""A step that follows within a quarter of an hour is done in the same sitting."""

LONGEST_FACTOR = 3
"""A drawn case ends after so many times the longest case seen."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A choice of model.

    Attributes
    ----------
    rule : Rule
        What of a case's past decides its next step.
    knows_sittings : bool
        Whether a delay depends on whether the step before was done in the same sitting.
    has_own_weeks : bool
        Whether working time is by each resource's hours, or by the office's.
    """

    rule: Rule
    knows_sittings: bool
    has_own_weeks: bool

    def text(self) -> str:
        """Return the choice for people."""
        delays = "and on the sitting" if self.knows_sittings else "alone"
        hours = "each resource's" if self.has_own_weeks else "the office's"
        return (
            f"next step by {RULE_TEXTS[self.rule]}; delays by pair of steps {delays}; {hours} hours"
        )


@dataclass(frozen=True, slots=True)
class Kinds:
    """Which mixture each step draws its delay from.

    Attributes
    ----------
    of_step : NDArray of int, shape (n_activities + 1, n_activities, 2)
        By activity before (0: the start), activity, and whether the step before was in a sitting.
    n_kinds : int
        Number of mixtures.
    """

    of_step: NDArray[np.int64]
    n_kinds: int


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A model of cases.

    Attributes
    ----------
    variant : Variant
        Which model.
    activities : tuple of str
        Names.
    routing : Routing
        Which activity comes next.
    kinds, mixtures : Kinds, Mixtures
        Delays in working time.
    weeks : tuple of WorkedWeek
        The office's hours, and those of resources with hours of their own.
    week_share : NDArray, shape (n_activities, n_weeks)
        Share of each activity's events done in each of these hours.
    has_starts : bool
        Whether the first activity comes a delay after the start, or is the start.
    longest : int
        Events of the longest case seen.
    """

    variant: Variant
    activities: tuple[str, ...]
    routing: Routing
    kinds: Kinds
    mixtures: Mixtures
    weeks: tuple[WorkedWeek, ...]
    week_share: NDArray[np.float64]
    has_starts: bool
    longest: int


@dataclass(frozen=True, slots=True)
class Events:
    """Events of cases, seen or drawn; sorted by case and time.

    Attributes
    ----------
    case, activity : NDArray of int, shape (n_events,)
        Case and activity.
    time_s : NDArray, shape (n_events,)
        Completion, s since 1970.
    start_s : NDArray, shape (n_cases,)
        Arrival of each case.
    """

    case: NDArray[np.int64]
    activity: NDArray[np.int64]
    time_s: NDArray[np.float64]
    start_s: NDArray[np.float64]


def draw_cases(
    model: FittedModel,
    start_s: NDArray[np.float64],
    channel: NDArray[np.int32],
    until_s: float,
    rng: np.random.Generator,
) -> Events:
    """Draw the events of cases that arrive at given moments, up to a moment.

    Parameters
    ----------
    model : FittedModel
        The model.
    start_s : NDArray, shape (n_cases,)
        Arrivals, s since 1970.
    channel : NDArray of int, shape (n_cases,)
        Their channels, -1: none.
    until_s : float
        Events from then on are not seen.
    rng : Generator
        Source of luck.
    """
    n_activities = len(model.activities)
    first_s = float(start_s.min(initial=until_s))
    clocks = [week.clock(first_s, until_s) for week in model.weeks]
    histories = Histories(channel, n_activities)
    now_s = start_s.copy()
    in_sitting = np.zeros(len(start_s), np.int64)
    active = np.arange(len(start_s))
    drawn: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    for step in range(LONGEST_FACTOR * model.longest):
        chosen = model.routing.draw(histories, active, rng)
        active, chosen = active[chosen < n_activities], chosen[chosen < n_activities]
        if step > 0 or model.has_starts:
            kind = model.kinds.of_step[histories.last[active], chosen, in_sitting[active]]
            delay_s = model.mixtures.draw_s(kind, rng)
            now_s[active] = _later(model, clocks, now_s[active], delay_s, chosen, rng)
            in_sitting[active] = (step > 0) & (delay_s < SITTING_S)
        is_seen = now_s[active] < until_s
        active, chosen = active[is_seen], chosen[is_seen]
        if not len(active):
            break
        histories.advance(active, chosen)
        drawn.append((active, chosen, now_s[active]))
    if not drawn:
        nothing = np.zeros(0, np.int64)
        return Events(nothing, nothing, np.zeros(0), start_s)
    case, activity, time_s = (np.concatenate(column) for column in zip(*drawn, strict=True))
    order = np.argsort(case, kind="stable")
    return Events(case[order], activity[order], time_s[order], start_s)


def _later(
    model: FittedModel,
    clocks: list[WorkingClock],
    from_s: NDArray[np.float64],
    delay_s: NDArray[np.float64],
    activity: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the moments some working time later, by the hours of whoever does the activity."""
    if len(clocks) == 1:
        return clocks[0].after(from_s, delay_s)
    upto = np.cumsum(model.week_share[activity], axis=1)
    who = np.minimum((rng.random(len(activity))[:, np.newaxis] > upto).sum(axis=1), len(clocks) - 1)
    later_s = np.empty(len(from_s))
    for i in np.unique(who).tolist():
        own = who == i
        later_s[own] = clocks[i].after(from_s[own], delay_s[own])
    return later_s
