"""Estimators: a value per replication, then an interval over replications.

With one replication the interval comes from equal batches of time. A number the data cannot carry
has no interval, and says why.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.metrics.sample import Floats, Sample
from sim.metrics.samples import ReplicationSamples, quantile
from sim.results import RecordSource
from sim.scenario.metric_names import MetricName, parse_metric
from sim.scenario.scenario import Scenario

N_BATCHES = 20
"""Batches of a single replication; 10 to 30 serve well (Schmeiser 1982)."""

BEYOND_QUANTILE = 10
"""Observations that must lie beyond a quantile in every replication."""

_RATES = {"rate_per_s": 1.0, "per_s": 1.0, "decided_per_day": 86400.0}
"""Quantities that count per time, and its length, s."""

_COUNTS = ("backlog_end", "overdue_end")
"""Quantities that count what is so."""

AT_END = (*_COUNTS, "backlog_age_s")
"""Quantities that only the end of a run shows."""

_NOTHING = {
    "on_time_share": "no term of {group} ends in the judged window; simulate longer than the terms",
    "late_reception_share": "no online dossier of {group} is to be received in the judged window",
    "late_by_sync_share": "no dossier of {group} was received late",
    "backlog_age_s": "no dossier of {group} is open at the end",
}
"""What it means that a quantity has no observations, where there is more to say."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one replication says about a metric.

    Attributes
    ----------
    value : float
        The statistic, NaN where nothing was observed.
    n : int
        Requests, sessions, dossiers or intervals it was computed from.
    batches : NDArray, shape (N_BATCHES,), or None
        The statistic of each batch of time, where asked for.
    """

    value: float
    n: int
    batches: Floats | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric with its confidence interval.

    Attributes
    ----------
    metric : str
        Its name.
    value : float
        Mean over replications, in the metric's unit; NaN when nothing was observed.
    low, high : float or None
        Ends of the interval; None when the data cannot carry one.
    per_replication : NDArray, shape (n_replications,)
        Value of each replication, in order; NaN where it has none.
    n_replications : int
        Number of replications.
    n_requests : int
        Requests (sessions, dossiers, intervals) in all of them together.
    confidence : float
        Confidence of the interval.
    method : str or None
        How the interval was found.
    reason : str or None
        Why there is none.
    """

    metric: str
    value: float
    low: float | None
    high: float | None
    per_replication: NDArray[np.float64]
    n_replications: int
    n_requests: int
    confidence: float
    method: str | None = None
    reason: str | None = None

    @property
    def half_width(self) -> float | None:
        """Half the interval's width, None without interval."""
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / 2

    @property
    def relative_half_width(self) -> float | None:
        """Half the interval's width over the value; infinite at value 0, None without interval."""
        half_width = self.half_width
        if half_width is None or half_width == 0:
            return half_width
        return half_width / abs(self.value) if self.value else math.inf


def estimate(
    source: RecordSource,
    scenario: Scenario,
    metric: str | MetricName,
    confidence: float | None = None,
) -> Estimate:
    """Estimate one metric from a run or from records (see :func:`estimate_all`)."""
    return estimate_all(source, scenario, [metric], confidence)[str(metric)]


def estimate_all(
    source: RecordSource,
    scenario: Scenario,
    metrics: Iterable[str | MetricName],
    confidence: float | None = None,
) -> dict[str, Estimate]:
    """Estimate many metrics, reading the records once and one replication at a time.

    Parameters
    ----------
    source : RecordSource
        Run or records.
    scenario : Scenario
        Its scenario.
    metrics : iterable of str or MetricName
        What to estimate.
    confidence : float, optional
        Confidence of the intervals, in (0, 1); absent: the scenario's.

    Returns
    -------
    dict of str to Estimate
        By name, in the order given.

    Raises
    ------
    ValueError
        When a name is no metric.
    """
    reader = MetricReader(scenario, metrics)
    for replication in source.replications:
        reader.read(source, replication, batched=len(source.replications) == 1)
    return reader.estimates(confidence)


class MetricReader:
    """Observations of some metrics, collected one replication after another.

    Parameters
    ----------
    scenario : Scenario
        The question.
    metrics : iterable of str or MetricName
        What to observe.
    """

    def __init__(self, scenario: Scenario, metrics: Iterable[str | MetricName]) -> None:
        self._scenario = scenario
        names = [parse_metric(name) if isinstance(name, str) else name for name in metrics]
        self._observations: dict[MetricName, dict[int, Observation]] = {name: {} for name in names}

    def read(self, source: RecordSource, replication: int, *, batched: bool = False) -> None:
        """Observe one replication; batches are needed only when it stays the only one."""
        samples = ReplicationSamples(source, self._scenario, replication, timed=batched)
        # One quantity after the other: each column is read once, and memory holds one of them.
        for metric in sorted(self._observations, key=lambda metric: metric.quantity):
            sample = samples.sample(metric)
            if _is_quantile(metric):
                value = _of_sorted(samples.ordered(metric), metric)
            else:
                value = statistic(sample, metric, samples.to_s - samples.from_s)
            batches = _batches(metric, samples) if batched else None
            self._observations[metric][replication] = Observation(
                value, len(sample.values), batches
            )

    def observations(self, replication: int) -> dict[MetricName, Observation]:
        """Return what one replication that has been read says, metric by metric."""
        return {metric: seen[replication] for metric, seen in self._observations.items()}

    def estimates(self, confidence: float | None = None) -> dict[str, Estimate]:
        """Return what the replications read so far say about each metric."""
        level = self._scenario.execution.confidence if confidence is None else confidence
        return {
            str(metric): combine(metric, observations, level)
            for metric, observations in self._observations.items()
        }


def statistic(sample: Sample, metric: MetricName, span_s: float) -> float:
    """Return a metric's value from its sample over ``span_s`` seconds; NaN where it has none."""
    values = sample.values
    if not sample.is_known:
        return math.nan
    if metric.quantity in _RATES:
        return len(values) / span_s * _RATES[metric.quantity]
    if len(values) == 0:
        return math.nan
    if metric.quantity in _COUNTS:
        return float(np.count_nonzero(values))
    if metric.statistic == "max":
        return float(values.max())
    if _is_quantile(metric):
        return _of_sorted(np.sort(values), metric)
    if sample.weights is not None:
        return float(np.average(values, weights=sample.weights))
    return float(values.mean())


def combine(
    metric: MetricName, observations: dict[int, Observation], confidence: float
) -> Estimate:
    """Return the estimate from the observations of the replications.

    References
    ----------
    Law (2015), Simulation Modeling and Analysis, ch. 9: t interval over replications.
    Asmussen and Glynn (2007), Stochastic Simulation, III.5: sectioning.
    """
    replications = sorted(observations)
    values = np.array([observations[index].value for index in replications])
    counts = [observations[index].n for index in replications]
    known = values[~np.isnan(values)]
    value = float(known.mean()) if len(known) else math.nan
    low = high = method = None
    reason = _why_none(metric, dict(zip(replications, values, strict=True)), counts)
    if reason is None and len(values) > 1:
        low, high = t_interval(values, value, confidence)
        method = f"t interval over {len(values)} replications"
    elif reason is None:
        reason, batches = _why_no_batches(metric, observations[replications[0]].batches)
        if reason is None:
            low, high = t_interval(batches, value, confidence)
            method = f"t interval over {N_BATCHES} batches of time in one replication"
    if low is not None and high is not None:
        # Every metric is >= 0, and a share at most 1.
        low, high = max(low, 0.0), min(high, 1.0) if metric.quantity.endswith("_share") else high
    return Estimate(
        metric=str(metric),
        value=value,
        low=low,
        high=high,
        per_replication=values,
        n_replications=len(values),
        n_requests=sum(counts),
        confidence=confidence,
        method=method,
        reason=reason,
    )


def t_interval(values: Floats, center: float, confidence: float) -> tuple[float, float]:
    """Return the t interval around a centre from values that scatter around it, shape (n,)."""
    half_width = t_factor(len(values) - 1, confidence) * math.sqrt(
        float(np.sum((values - center) ** 2)) / (len(values) - 1) / len(values)
    )
    return center - half_width, center + half_width


def t_factor(degrees: float, confidence: float) -> float:
    """Return the two-sided quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + confidence) / 2))


def carries_quantile(metric: MetricName, counts: Sequence[int]) -> bool:
    """Return whether every replication has enough observations beyond the metric's quantile."""
    if metric.statistic is None or not _is_quantile(metric):
        return True
    beyond_percent = 100 - int(metric.statistic[1:])
    return min(counts, default=0) * beyond_percent >= 100 * BEYOND_QUANTILE


def _is_quantile(metric: MetricName) -> bool:
    return metric.statistic is not None and metric.statistic.startswith("p")


def _of_sorted(ordered: Floats, metric: MetricName) -> float:
    assert metric.statistic is not None
    return quantile(ordered, int(metric.statistic[1:]) / 100) if len(ordered) else math.nan


def _batches(metric: MetricName, samples: ReplicationSamples) -> Floats | None:
    """Return the metric's value in each of ``N_BATCHES`` equal batches of the judged window."""
    if metric.quantity in AT_END:
        return None
    span_s = (samples.to_s - samples.from_s) / N_BATCHES
    parts = samples.batches(metric, N_BATCHES)
    return np.array([statistic(part, metric, span_s) for part in parts])


def _why_none(metric: MetricName, values: dict[int, float], counts: Sequence[int]) -> str | None:
    """Return why these replications carry no interval, or None."""
    if not values:
        return "there are no replications"
    if not any(counts) and metric.quantity not in _RATES:
        told = _NOTHING.get(metric.quantity, "nothing was observed of {group}")
        return told.format(group=metric.group)
    if not carries_quantile(metric, counts):
        return (
            f"too few for {metric.statistic}: {BEYOND_QUANTILE} must lie beyond it in every "
            f"replication, the smallest has {min(counts)} in all"
        )
    missing = [str(index) for index, value in values.items() if not math.isfinite(value)]
    if len(missing) == len(values) and metric.quantity in _RATES:
        return f"nothing was observed of {metric.group}"
    if len(missing) == len(values):
        return f"{metric.group} has no limit, so no {metric.quantity}"
    if missing:
        return f"replications without a value: {', '.join(missing)}"
    return None


def _why_no_batches(metric: MetricName, batches: Floats | None) -> tuple[str | None, Floats]:
    none = np.empty(0)
    if metric.quantity in AT_END:
        return "the end of one replication has no interval; run more replications", none
    if metric.statistic == "max":
        return "the maximum of one replication has no interval; run more replications", none
    if batches is None or not np.isfinite(batches).all():
        return (
            "one replication, and not every batch of its time has observations; "
            "run more replications"
        ), none
    return None, batches
