"""What of a case's past decides its next step: a choice of states for a Markov chain."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.event_log.log import EventLog
from sim.streams import mix_array

Rule = Literal["last", "last_two", "repeats", "channel", "done"]
"""The state: the last activity; the last two; the last and how often it was done; the last and
the case's channel; the last and the set of all activities done so far."""

RULES: tuple[Rule, ...] = get_args(Rule)

RULE_TEXTS: dict[Rule, str] = {
    "last": "the last activity",
    "last_two": "the last two activities",
    "repeats": "the last activity and how often it was done",
    "channel": "the last activity and the channel",
    "done": "the last activity and what was done before",
}

_REPEATS_TOLD_APART = 3
_DONE = np.uint64(1) << np.uint64(32)
"""Keeps the hashes of what was done apart from those of what was last."""


class Histories:
    """The past of many cases, as far as any rule asks for it.

    Parameters
    ----------
    channel : NDArray of int, shape (n_cases,)
        Channel of each case, -1: none.
    n_activities : int
        Number of activities.
    """

    def __init__(self, channel: NDArray[np.int32], n_activities: int) -> None:
        n_cases = len(channel)
        self.last = np.zeros(n_cases, np.int64)
        """0 before the first event, else 1 + the last activity."""
        self._previous = np.zeros(n_cases, np.int64)
        self._n_done = np.zeros((n_cases, n_activities), np.int8)
        self._done = np.zeros(n_cases, np.uint64)
        self._channel = channel.astype(np.int64) + 1
        self._n = n_activities + 1
        self._hash_of = mix_array(_DONE + np.arange(n_activities, dtype=np.uint64))

    def keys(self, rule: Rule, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return the states of some cases; equal states have equal keys."""
        last = self.last[rows]
        if rule == "last_two":
            return (self._previous[rows] * self._n + last).astype(np.uint64)
        if rule == "channel":
            return (self._channel[rows] * self._n + last).astype(np.uint64)
        if rule == "repeats":
            n_done = self._n_done[rows, np.maximum(last - 1, 0)]
            return (last * (_REPEATS_TOLD_APART + 1) + n_done).astype(np.uint64)
        if rule == "done":
            return self._done[rows] ^ mix_array(last.astype(np.uint64))
        return last.astype(np.uint64)

    def advance(self, rows: NDArray[np.int64], activity: NDArray[np.int64]) -> None:
        """Let some cases, each once, do an activity."""
        is_new = self._n_done[rows, activity] == 0
        self._done[rows] ^= np.where(is_new, self._hash_of[activity], np.uint64(0))
        n_done = np.minimum(self._n_done[rows, activity] + 1, _REPEATS_TOLD_APART)
        self._n_done[rows, activity] = n_done
        self._previous[rows] = self.last[rows]
        self.last[rows] = activity + 1


@dataclass(frozen=True, slots=True)
class Walk:
    """The states a log passes through.

    Attributes
    ----------
    before : dict of Rule to NDArray of uint64, shape (n_events,)
        State before each event.
    final : dict of Rule to NDArray of uint64, shape (n_cases,)
        State after each case's last event.
    last : NDArray of int, shape (n_events,)
        0 before a case's first event, else 1 + the activity before.
    final_last : NDArray of int, shape (n_cases,)
        1 + the last activity.
    """

    before: dict[Rule, NDArray[np.uint64]]
    final: dict[Rule, NDArray[np.uint64]]
    last: NDArray[np.int64]
    final_last: NDArray[np.int64]


def walk(log: EventLog) -> Walk:
    """Return the states a log passes through, for every rule."""
    n_events, n_cases = len(log.case), len(log.cases)
    starts = np.flatnonzero(log.is_first)
    position = np.arange(n_events) - np.repeat(starts, np.diff([*starts.tolist(), n_events]))
    order = np.argsort(position, kind="stable")
    bounds = np.concatenate(([0], np.cumsum(np.bincount(position))))
    histories = Histories(log.channel, len(log.activities))
    before = {rule: np.zeros(n_events, np.uint64) for rule in RULES}
    last = np.zeros(n_events, np.int64)
    for i in range(len(bounds) - 1):
        events = order[bounds[i] : bounds[i + 1]]
        rows = log.case[events].astype(np.int64)
        for rule in RULES:
            before[rule][events] = histories.keys(rule, rows)
        last[events] = histories.last[rows]
        histories.advance(rows, log.activity[events].astype(np.int64))
    everybody = np.arange(n_cases)
    final = {rule: histories.keys(rule, everybody) for rule in RULES}
    return Walk(before, final, last, histories.last.copy())
