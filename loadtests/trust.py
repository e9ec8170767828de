"""The trust verdict: whether a measurement says something about the portal, or about its generator.

A pure function of figures. It comes before any target: a number that cannot be trusted is neither
met nor missed.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from sim.metrics.estimates import BEYOND_QUANTILE
from sim.scenario.metric_names import ALL, parse_metric
from sim.scenario.scenario import Scenario

MAX_CPU_SHARE = 0.70
"""# source: measured with Locust's fast client: above it, p95 is off by more than 10 %."""
CPU_WINDOW_S = 10.0
"""A process's use of its core is averaged over so much time."""
MAX_LATENESS_P99_S = 0.005
"""# source: measured with open arrivals: p95 begins to lie where lateness passes 5 ms."""
Verdict = Literal["trustworthy", "untrustworthy"]


@dataclass(frozen=True, slots=True)
class Figures:
    """What the verdict depends on.

    Attributes
    ----------
    cpu_share_mean, cpu_share_max : float
        Use of one core by the busiest worker: over the run, and over its busiest
        ``CPU_WINDOW_S``; NaN when unknown.
    waiting_share : float
        Share of the run in which the worst-off worker could have worked but other processes had
        the processors; NaN where the system does not say.
    lateness_p50_s, lateness_p99_s, lateness_max_s : float
        How late requests were sent, s; NaN without any request.
    requests : int
        Attempts in the judged window.
    dropped : int
        Sessions that were not started because too many were there.
    missing_workers : tuple of str
        Workers that did not deliver.
    faults_missed : tuple of str
        Faults of the scenario that the gateways did not have.
    too_few : dict of str to int
        Metrics of targets whose quantile needs more requests → how many there were.
    """

    cpu_share_mean: float
    cpu_share_max: float
    waiting_share: float
    lateness_p50_s: float
    lateness_p99_s: float
    lateness_max_s: float
    requests: int
    dropped: int
    missing_workers: tuple[str, ...] = ()
    faults_missed: tuple[str, ...] = ()
    too_few: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trust:
    """The verdict, every reason against trusting, and the figures."""

    verdict: Verdict
    reasons: tuple[str, ...]
    figures: Figures

    def to_json(self) -> JsonValue:
        """Return it as the manifest keeps it; unknown numbers are null."""
        figures = {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self.figures).items()
        }
        figures["missing_workers"] = list(self.figures.missing_workers)
        figures["faults_missed"] = list(self.figures.faults_missed)
        return {"verdict": self.verdict, "reasons": list(self.reasons), "figures": figures}


def judge_trust(figures: Figures) -> Trust:
    """Return the verdict: trustworthy only without a single reason against it."""
    reasons = tuple(_reasons(figures))
    return Trust("untrustworthy" if reasons else "trustworthy", reasons, figures)


def _reasons(figures: Figures) -> Iterator[str]:
    if figures.missing_workers:
        named = ", ".join(figures.missing_workers)
        yield f"missing: {named}; the load was smaller than planned, and part of it is not recorded"
    for fault in figures.faults_missed:
        yield f"a fault of the scenario did not happen: {fault}"
    if figures.requests == 0:
        yield "no request was sent in the judged window"
    if figures.dropped:
        yield (
            f"{figures.dropped:,} sessions were not started because too many were there at once: "
            "raise --max-sessions, or the portal is far over its limit"
        )
    if figures.cpu_share_max > MAX_CPU_SHARE:
        yield (
            f"a generator process used {figures.cpu_share_max:.0%} of its core, above "
            f"{MAX_CPU_SHARE:.0%}: add --processes, or machines"
        )
    if figures.lateness_p99_s > MAX_LATENESS_P99_S:
        yield (
            f"one request in a hundred was sent more than {figures.lateness_p99_s * 1e3:.1f} ms "
            f"late, above {MAX_LATENESS_P99_S * 1e3:.0f} ms: {_remedy(figures)}"
        )
    for metric, n in figures.too_few.items():
        yield f"{metric}: {n} requests are too few for this quantile: run longer"


def _remedy(figures: Figures) -> str:
    if figures.waiting_share > figures.cpu_share_mean:
        return (
            "other programs kept the generator waiting for a processor longer than it used one "
            f"({figures.waiting_share:.0%} of the time); run it on a machine of its own"
        )
    return "add --processes, or give the generator a quieter machine"


def worst_cpu_shares(
    usages: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> tuple[float, float]:
    """Return the largest mean, and the largest mean over ``CPU_WINDOW_S``, of all processes.

    Parameters
    ----------
    usages : sequence of (t_s, share)
        By process: ends of the intervals, s, sorted, and use of one core in each; both shape (n,).

    Returns
    -------
    tuple of float
        NaN where there is nothing.
    """
    means, peaks = [math.nan], [math.nan]
    for t_s, share in usages:
        if len(t_s) == 0:
            continue
        used_s = np.concatenate([[0.0], np.cumsum(share * np.diff(t_s, prepend=t_s[0] - 1.0))])
        ends = np.concatenate([[t_s[0] - 1.0], t_s])
        means.append(float(used_s[-1] / (ends[-1] - ends[0])))
        begins = np.maximum(ends[1:] - CPU_WINDOW_S, ends[0])
        peak = (used_s[1:] - np.interp(begins, ends, used_s)) / np.minimum(
            CPU_WINDOW_S, ends[-1] - ends[0]
        )
        peaks.append(float(peak.max()))
    return float(np.fmax.reduce(means)), float(np.fmax.reduce(peaks))


def too_few_requests(
    scenario: Scenario, endpoint: Sequence[str], counts: Mapping[str, int]
) -> dict[str, int]:
    """Return the targets' quantiles of response times that have too few requests, and how many.

    Parameters
    ----------
    scenario : Scenario
        Targets, and which endpoints form a group.
    endpoint : sequence of str
        All endpoints of the trace.
    counts : mapping of str to int
        Requests in the judged window by endpoint.
    """
    found: dict[str, int] = {}
    for target in scenario.targets:
        metric = parse_metric(target.metric)
        statistic = str(metric.statistic)
        if metric.quantity != "response_s" or not statistic.startswith("p"):
            continue
        members = [name for name in endpoint if metric.group in _groups(scenario, name)]
        n = sum(counts.get(name, 0) for name in members)
        if n * (100 - int(statistic[1:])) < BEYOND_QUANTILE * 100:
            found[target.metric] = n
    return found


def _groups(scenario: Scenario, endpoint: str) -> tuple[str, ...]:
    spec = scenario.portal.endpoints.get(endpoint)
    return (ALL, endpoint) if spec is None else (ALL, endpoint, spec.group)
