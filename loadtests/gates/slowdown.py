"""A run against a base run: differences for people, and slowdowns that are certain.

The unit of evidence is the replication, never the request: requests of one run share its luck, and
two identical builds differ significantly request by request.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from loadtests.gates.trust import is_complete, trust_of
from sim.comparison import Comparison, compare
from sim.metrics import Estimate, Verdict, estimate_all
from sim.metrics.estimates import t_interval
from sim.metrics.samples import Floats
from sim.report.wording import plural
from sim.results import Run

USUAL_METRIC = "all.response_s.p50"
"""A median of a run can be compared; a p95 of a short run changes sign by chance."""

_FEWEST = 2
"""Common replications an interval needs."""


@dataclass(frozen=True, slots=True)
class Slowdown:
    """How many times slower a run is than its base, in one metric.

    Attributes
    ----------
    metric : str
        Its name.
    limit : float
        Ratio that must not be exceeded.
    ratio : float
        Geometric mean over replications of run / base; NaN where unknown.
    low, high : float or None
        Confidence interval of the ratio.
    verdict : Verdict
        Missed when the whole interval lies above the limit, met when none of it does.
    """

    metric: str
    limit: float
    ratio: float
    low: float | None
    high: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Against:
    """A run compared with a base run.

    Attributes
    ----------
    comparison : Comparison
        Paired differences; A is the base.
    slowdowns : tuple of Slowdown
        One per metric that is judged; none without a limit.
    """

    comparison: Comparison
    slowdowns: tuple[Slowdown, ...]

    @property
    def slower(self) -> list[Slowdown]:
        """The slowdowns that are certain."""
        return [each for each in self.slowdowns if each.verdict.answer == "missed"]


def compare_with(
    base: Run, run: Run, limit: float | None, metrics: Sequence[str] = (USUAL_METRIC,)
) -> Against:
    """Compare a run with a base run.

    Parameters
    ----------
    base, run : Run
        The runs.
    limit : float, optional
        How many times slower is too slow, > 0; absent: nothing is judged.
    metrics : sequence of str
        What is judged by it; metrics in which more is worse.

    Raises
    ------
    ResultsError
        When one of the runs has no such metric.
    """
    comparison = compare(base, run)
    if limit is None:
        return Against(comparison, ())
    # Says which run lacks which metric.
    compare(base, run, metrics)
    return Against(comparison, tuple(_slowdowns(base, run, limit, metrics)))


def _slowdowns(base: Run, run: Run, limit: float, metrics: Sequence[str]) -> Iterator[Slowdown]:
    estimates = [estimate_all(each, each.scenario, metrics) for each in (base, run)]
    for metric in metrics:
        reason, logs = _log_ratios(base, run, *(each[metric] for each in estimates))
        if reason is not None:
            ratio = math.exp(float(logs.mean())) if len(logs) else math.nan
            yield Slowdown(metric, limit, ratio, None, None, Verdict("cannot_tell", reason))
            continue
        mean = float(logs.mean())
        confidence = max(each.scenario.execution.confidence for each in (base, run))
        low, high = (math.exp(end) for end in t_interval(logs, mean, confidence))
        verdict = _judge(low, high, limit)
        yield Slowdown(metric, limit, math.exp(mean), low, high, verdict)


def _log_ratios(
    base: Run, run: Run, of_base: Estimate, of_run: Estimate
) -> tuple[str | None, Floats]:
    """Return why there is no interval, and log(run / base) of each common replication."""
    common = sorted(set(base.replications) & set(run.replications))
    values = [
        np.array([found.per_replication[each.replications.index(index)] for index in common])
        for each, found in ((base, of_base), (run, of_run))
    ]
    is_known = (values[0] > 0) & (values[1] > 0)
    logs = np.log(values[1][is_known] / values[0][is_known])
    if not (trust_of(base).is_given and is_complete(base)):
        reason: str | None = f"the base {base.name} cannot be trusted or was interrupted"
    elif base.manifest.seed != run.manifest.seed:
        reason = "the seeds differ, so the runs are not paired"
    elif len(common) < _FEWEST:
        reason = f"{plural(len(common), 'common replication')}: no interval; run more"
    else:
        reason = of_base.reason or of_run.reason
    if reason is None and not is_known.all():
        reason = "a replication has no value above 0"
    return reason, logs


def _judge(low: float, high: float, limit: float) -> Verdict:
    interval = f"{low:.4g} to {high:.4g} times the base"
    if low > limit:
        return Verdict("missed", f"{interval}, at most {limit:g} is wanted")
    if high <= limit:
        return Verdict("met", f"{interval} keeps at most {limit:g}")
    return Verdict("cannot_tell", f"{interval} holds the limit {limit:g}: run more replications")
