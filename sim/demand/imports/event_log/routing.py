"""Which activity comes next: a Markov chain on the states of a case's history."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.event_log.history import Histories, Rule, Walk

MIN_VISITS = 5.0
"""A state seen less often takes the probabilities of its last activity alone."""


@dataclass(frozen=True, slots=True)
class Routing:
    """Probabilities of the next activity.

    Attributes
    ----------
    rule : Rule
        What makes a state.
    keys : NDArray of uint64, shape (n_states,)
        Known states, sorted.
    by_state : NDArray, shape (n_states, n_activities + 1)
        Chance of each next activity, the last column: the end. A row of zeros: too rare to tell.
    by_last : NDArray, shape (n_activities + 1, n_activities + 1)
        The same by last activity alone; row 0: the start.
    """

    rule: Rule
    keys: NDArray[np.uint64]
    by_state: NDArray[np.float64]
    by_last: NDArray[np.float64]

    def rows(self, keys: NDArray[np.uint64], last: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the chances of states, shape (n, n_activities + 1)."""
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found = self.by_state[place]
        is_told = (self.keys[place] == keys) & (found.sum(axis=1) > 0)
        result: NDArray[np.float64] = np.where(is_told[:, np.newaxis], found, self.by_last[last])
        return result

    def draw(
        self, histories: Histories, cases: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Draw the next activity of cases; the number of activities stands for the end."""
        chances = self.rows(histories.keys(self.rule, cases), histories.last[cases])
        upto = np.cumsum(chances, axis=1)
        u = rng.random(len(cases))[:, np.newaxis] * upto[:, -1:]
        result: NDArray[np.int64] = np.minimum((u >= upto).sum(axis=1), chances.shape[1] - 1)
        return result


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps taken, and the states in which cases stood when the log ended.

    Attributes
    ----------
    row, last, next : NDArray of int, shape (n_events,)
        State before each event (a place in ``keys``), last activity, the event's activity.
    final_row, final_last : NDArray of int, shape (n_cases,)
        The same of each case's last event.
    keys : NDArray of uint64
        States.
    n_activities : int
        Number of activities.
    """

    row: NDArray[np.int64]
    last: NDArray[np.int64]
    next: NDArray[np.int64]
    final_row: NDArray[np.int64]
    final_last: NDArray[np.int64]
    keys: NDArray[np.uint64]
    n_activities: int


def steps_of(walk: Walk, activity: NDArray[np.int32], rule: Rule, n_activities: int) -> Steps:
    """Return the steps of a log under one rule of state."""
    both = np.concatenate((walk.before[rule], walk.final[rule]))
    keys, places = np.unique(both, return_inverse=True)
    n = len(activity)
    return Steps(
        places[:n],
        walk.last,
        activity.astype(np.int64),
        places[n:],
        walk.final_last,
        keys,
        n_activities,
    )


def fit_routing(
    steps: Steps,
    rule: Rule,
    of_event: NDArray[np.float64],
    final: NDArray[np.float64],
) -> Routing:
    """Fit the chain.

    Parameters
    ----------
    steps : Steps
        What was seen.
    rule : Rule
        What makes a state.
    of_event : NDArray, shape (n_events,)
        Weight of each event.
    final : NDArray, shape (n_cases, n_activities + 1)
        How much of each case is thought to go on to an activity, or (last column) to have ended.
    """
    n_next = steps.n_activities + 1
    by_state = _counts(steps.row, steps.next, of_event, len(steps.keys), n_next)
    by_last = _counts(steps.last, steps.next, of_event, n_next, n_next)
    np.add.at(by_state, steps.final_row, final)
    np.add.at(by_last, steps.final_last, final)
    visits = by_state.sum(axis=1, keepdims=True)
    by_state = np.where(visits >= MIN_VISITS, by_state / np.maximum(visits, MIN_VISITS), 0.0)
    visits = by_last.sum(axis=1, keepdims=True)
    by_last = by_last / np.maximum(visits, 1e-12)
    # What was never left is an end.
    by_last[:, -1] += visits[:, 0] <= 0
    return Routing(rule, steps.keys, by_state, by_last)


def _counts(
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    weight: NDArray[np.float64],
    n_rows: int,
    n_columns: int,
) -> NDArray[np.float64]:
    flat: NDArray[np.float64] = np.bincount(
        row * n_columns + column, weight, n_rows * n_columns
    ).astype(np.float64)
    return flat.reshape((n_rows, n_columns))
