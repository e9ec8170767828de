"""Targets judged: met, missed, or the data cannot tell."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sim.exit_codes import MET, MISSED
from sim.metrics.estimates import Estimate, estimate_all
from sim.results import RecordSource
from sim.scenario.run import Target
from sim.scenario.scenario import Scenario

Answer = Literal["met", "missed", "cannot_tell"]

_RULE_OF_THREE = 3.0
"""Without any event among n requests its share is below 3/n with 95 % confidence (Hanley 1983)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Answer to one target.

    Attributes
    ----------
    answer : {"met", "missed", "cannot_tell"}
        The answer.
    reason : str
        Why, for people.
    """

    answer: Answer
    reason: str


@dataclass(frozen=True, slots=True)
class TargetResult:
    """A target, the estimate of its metric, and the verdict."""

    target: Target
    estimate: Estimate
    verdict: Verdict


def judge(target: Target, estimate: Estimate) -> Verdict:
    """Compare a metric's interval with a target's bound.

    Met when the whole interval keeps the bound, missed when it breaks it as a whole; otherwise,
    and without an interval, the data cannot tell. A share is also met only if enough requests
    were observed to see one that breaks the bound.
    """
    low, high = estimate.low, estimate.high
    if low is None or high is None:
        return Verdict("cannot_tell", estimate.reason or "no interval")
    interval = f"interval {low:.4g} to {high:.4g}"
    if target.at_most is not None:
        bound, is_kept, is_broken = target.at_most, high <= target.at_most, low > target.at_most
        relation = "at most"
    else:
        assert target.at_least is not None
        bound, is_kept, is_broken = target.at_least, low >= target.at_least, high < target.at_least
        relation = "at least"
    if is_broken:
        return Verdict("missed", f"{interval} misses {relation} {bound:g}")
    if not is_kept:
        return Verdict(
            "cannot_tell", f"{interval} holds the bound {bound:g}: run more replications"
        )
    if not _resolves(target, bound, estimate.n_requests):
        return Verdict(
            "cannot_tell", f"{estimate.n_requests} observations cannot show a share of {bound:g}"
        )
    return Verdict("met", f"{interval} keeps {relation} {bound:g}")


def judge_all(
    source: RecordSource, scenario: Scenario, confidence: float | None = None
) -> list[TargetResult]:
    """Judge all targets of a scenario, reading the records once.

    Parameters
    ----------
    source : RecordSource
        Run or records.
    scenario : Scenario
        Targets, judged window and confidence.
    confidence : float, optional
        Confidence of the intervals; absent: the scenario's.
    """
    metrics = [target.metric for target in scenario.targets]
    return judged(scenario.targets, estimate_all(source, scenario, metrics, confidence))


def judged(targets: Sequence[Target], estimates: dict[str, Estimate]) -> list[TargetResult]:
    """Judge targets whose metrics are estimated already."""
    return [
        TargetResult(target, estimates[target.metric], judge(target, estimates[target.metric]))
        for target in targets
    ]


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """Return ``MET`` when every target is met, otherwise ``MISSED``."""
    return MET if all(verdict.answer == "met" for verdict in verdicts) else MISSED


def _resolves(target: Target, bound: float, n_requests: int) -> bool:
    """Return whether a share this close to 0 or 1 can be seen in so many requests."""
    room = min(bound, 1 - bound)
    if not target.metric.endswith("_share") or room <= 0 or math.isnan(room):
        return True
    return n_requests * room >= _RULE_OF_THREE
