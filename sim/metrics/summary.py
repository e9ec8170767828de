"""The summary of a run: every group's main figures, targets, regimes, and conservation."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from sim.metrics.checks import check_conservation
from sim.metrics.estimates import Estimate, estimate_all
from sim.metrics.regimes import split_regimes
from sim.metrics.targets import TargetResult, judged
from sim.results import Run
from sim.scenario.metric_names import ALL, QUANTITIES, TIMES, Kind, MetricName, metric_groups
from sim.scenario.scenario import Scenario

_TIMES_SHOWN = ("mean", "p50", "p95", "p99")
_OFFICE_SHOWN = ("mean",)
"""A city has more than a hundred offices: of each only the means."""
_REGIME_SHARE = 0.01
"""Share of requests not answered well that a regime must reach to be worth a word."""


def summarise(run: Run) -> dict[str, JsonValue]:
    """Return the contents of ``summary.json``; ``results/README.md`` documents them.

    Parameters
    ----------
    run : Run
        The run; its tables are read once, one replication at a time.
    """
    scenario = run.scenario
    groups = metric_groups(scenario)
    shown = list(summary_metrics(scenario))
    wanted = dict.fromkeys([*map(str, shown), *(target.metric for target in scenario.targets)])
    estimates = estimate_all(run, scenario, wanted)
    figures: dict[str, dict[str, dict[str, JsonValue]]] = {kind: {} for kind in QUANTITIES}
    for metric in shown:
        quantity = str(metric).removeprefix(f"{metric.group}.")
        of_group = figures[groups[metric.group]].setdefault(metric.group, {})
        of_group[quantity] = estimate_json(estimates[str(metric)])
    return {
        "confidence": scenario.execution.confidence,
        "replications": len(run.replications),
        "figures": {kind: dict(of_kind) for kind, of_kind in figures.items()},
        "targets": [_target_json(result) for result in judged(scenario.targets, estimates)],
        "regimes": list(regime_sentences(estimates)),
        "conservation": list(check_conservation(run)),
    }


def summary_metrics(scenario: Scenario) -> Iterator[MetricName]:
    """Yield the metrics of a summary: all quantities, of times the mean, p50, p95 and p99."""
    for group, kind in metric_groups(scenario).items():
        yield from _metrics_of(group, kind)


def regime_sentences(estimates: dict[str, Estimate]) -> Iterator[str]:
    """Yield a sentence for each figure of all requests whose replications fall into two regimes."""
    response = f"{ALL}.response_s.mean"
    if response not in estimates:  # no portal was simulated
        return
    found = split_regimes(estimates[response].per_replication)
    if found:
        yield f"{response}: {found}"
    share = f"{ALL}.ok_share"
    not_ok: NDArray[np.float64] = 1 - estimates[share].per_replication
    found = split_regimes(not_ok)
    if found and found.high_mean >= _REGIME_SHARE:
        yield f"share of requests not answered well: {found}"


def estimate_json(estimate: Estimate) -> JsonValue:
    """Return an estimate as JSON; what is not known is null."""
    return {
        "value": _number(estimate.value),
        "low": _number(estimate.low),
        "high": _number(estimate.high),
        "n": estimate.n_requests,
        "method": estimate.method,
        "reason": estimate.reason,
    }


def _metrics_of(group: str, kind: Kind) -> Iterator[MetricName]:
    for quantity, statistics in QUANTITIES[kind].items():
        if not statistics:
            yield MetricName(group, quantity)
        for statistic in _shown(kind, statistics):
            yield MetricName(group, quantity, statistic)


def _shown(kind: Kind, statistics: tuple[str, ...]) -> tuple[str, ...]:
    if kind == "office":
        return _OFFICE_SHOWN
    return _TIMES_SHOWN if statistics == TIMES else statistics


def _target_json(result: TargetResult) -> JsonValue:
    target = result.target
    return {
        "metric": target.metric,
        "at_most": target.at_most,
        "at_least": target.at_least,
        "estimate": estimate_json(result.estimate),
        "answer": result.verdict.answer,
        "reason": result.verdict.reason,
    }


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
