"""When a load test stops early: rules over what was heard back, second by second.

Pure: no clock, no threads. The driver feeds every second and stops when a text comes back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.report.wording import duration, metric_value, plural
from sim.results import OUTCOMES
from sim.scenario.metric_names import ALL, MetricName, parse_metric
from sim.scenario.run import AbortRule
from sim.scenario.scenario import Scenario

OK = "ok"

# assumption: more than half wrong is no overload any more; 10 s tell it from a hiccup
DEFAULT_RULE = AbortRule(metric=f"{ALL}.{OK}_share", below=0.5, for_s=10.0, grace_s=10.0)
"""Holds unless the scenario states a rule on the same metric itself."""

FEWEST_ATTEMPTS = 10
"""Attempts a streak must hold before it stops anything: a handful of them proves nothing."""

_SHARE = "_share"
_SECOND_S = 1.0
"""What is fed covers so much time before its ``t_s``."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What ended at one endpoint within one second.

    Attributes
    ----------
    outcomes : mapping of str to int
        Attempts by outcome (those of ``sim.results.OUTCOMES``); absent ones count 0.
    response_s : sequence of float
        Elapsed times from the due time, s, of the attempts answered well, timed out or abandoned.
    counts : sequence of int, optional
        How often each of ``response_s`` occurred, where it comes from a histogram; absent: once.
    """

    outcomes: Mapping[str, int]
    response_s: Sequence[float] | NDArray[np.float64] = ()
    counts: Sequence[int] | NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Second:
    """What ended within one second of a run.

    Attributes
    ----------
    t_s : float
        End of the second, s from the start of the load; never falls from one to the next.
    endpoints : mapping of str to Tally
        By endpoint; those without any may be missing.
    """

    t_s: float
    endpoints: Mapping[str, Tally]


class AbortRules:
    """All rules of one run, and how long each has held.

    A rule fires when its condition held in every second heard of for ``for_s`` without
    interruption, once ``grace_s`` is over. A second without attempts says nothing: it neither
    interrupts nor fires, but a silence of ``for_s`` begins anew.

    Parameters
    ----------
    rules : iterable of AbortRule
        The rules, in the order they are asked.
    groups : mapping of str to str
        Group of each endpoint.
    """

    def __init__(self, rules: Iterable[AbortRule], groups: Mapping[str, str]) -> None:
        self._groups = groups
        self._streaks = [_Streak(rule, parse_metric(rule.metric)) for rule in rules]

    @classmethod
    def from_scenario(cls, scenario: Scenario) -> "AbortRules":
        """Return the rules of a scenario, and the default rule where it does not replace it."""
        groups = {name: spec.group for name, spec in scenario.portal.endpoints.items()}
        return cls(rules_of(scenario), groups)

    def feed(self, second: Second) -> str | None:
        """Take in one second; return why the run must stop, or None."""
        reasons = [
            streak.feed(second.t_s, self._tallies(second, streak)) for streak in self._streaks
        ]
        return next((reason for reason in reasons if reason is not None), None)

    def _tallies(self, second: Second, streak: "_Streak") -> list[Tally]:
        group = streak.metric.group
        return [
            tally
            for endpoint, tally in second.endpoints.items()
            if group in (ALL, endpoint, self._groups.get(endpoint))
        ]


def rules_of(scenario: Scenario) -> tuple[AbortRule, ...]:
    """Return the rules of a scenario; the default rule is added unless one has its metric."""
    stated = {rule.metric for rule in scenario.abort}
    return scenario.abort if DEFAULT_RULE.metric in stated else (*scenario.abort, DEFAULT_RULE)


@dataclass(slots=True)
class _Streak:
    """How long one rule's condition has held."""

    rule: AbortRule
    metric: MetricName
    since_s: float | None = None
    heard_s: float = 0.0
    attempts: int = 0

    def feed(self, t_s: float, tallies: Sequence[Tally]) -> str | None:
        """Take in one second of the rule's endpoints; return why the run must stop, or None."""
        if t_s - _SECOND_S < self.rule.grace_s:
            return None
        value = _value(self.metric, tallies)
        if value is None:
            return None
        if not _breaks(self.rule, value):
            self.since_s = None
            return None
        if self.since_s is None or t_s - self.heard_s > self.rule.for_s:
            self.since_s, self.attempts = t_s - _SECOND_S, 0
        self.heard_s = t_s
        self.attempts += _attempts(tallies)
        if t_s - self.since_s < self.rule.for_s or self.attempts < FEWEST_ATTEMPTS:
            return None
        return _reason(self.rule, value, t_s - self.since_s, self.attempts)


def _breaks(rule: AbortRule, value: float) -> bool:
    if rule.above is not None:
        return value > rule.above
    assert rule.below is not None
    return value < rule.below


def _value(metric: MetricName, tallies: Sequence[Tally]) -> float | None:
    """Return a metric of one second; None when nothing says anything about it."""
    if metric.quantity.endswith(_SHARE):
        outcome = metric.quantity.removesuffix(_SHARE)
        attempts = _attempts(tallies)
        of_outcome = sum(tally.outcomes.get(outcome, 0) for tally in tallies)
        return of_outcome / attempts if attempts else None
    heard = [tally for tally in tallies if len(tally.response_s)]
    if not heard:
        return None
    values = np.concatenate([np.asarray(tally.response_s, np.float64) for tally in heard])
    counts = np.concatenate([_counts(tally) for tally in heard])
    return _statistic(values, counts, str(metric.statistic))


def _attempts(tallies: Sequence[Tally]) -> int:
    return sum(tally.outcomes.get(outcome, 0) for tally in tallies for outcome in OUTCOMES)


def _counts(tally: Tally) -> NDArray[np.int64]:
    if tally.counts is None:
        return np.ones(len(tally.response_s), np.int64)
    return np.asarray(tally.counts, np.int64)


def _statistic(values: NDArray[np.float64], counts: NDArray[np.int64], statistic: str) -> float:
    """Return the mean, the maximum, or the smallest value that enough values do not exceed."""
    if statistic == "mean":
        return float(np.average(values, weights=counts))
    if statistic == "max":
        return float(values.max())
    order = np.argsort(values)
    reached = np.cumsum(counts[order])
    wanted = np.ceil(reached[-1] * int(statistic[1:]) / 100)
    return float(values[order][np.searchsorted(reached, wanted)])


def _reason(rule: AbortRule, value: float, held_s: float, attempts: int) -> str:
    bound, word = (rule.above, "above") if rule.above is not None else (rule.below, "below")
    assert bound is not None
    return (
        f"{rule.metric} was {word} {metric_value(rule.metric, bound)} for {duration(held_s)} "
        f"({metric_value(rule.metric, value)} in the last second, {plural(attempts, 'attempt')}): "
        f"rule abort {{metric: {rule.metric}, {word}: {bound:g}, for_s: {rule.for_s:g}}}"
    )
