"""Two runs side by side: differences with intervals, paired as far as the runs allow."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.metrics.estimates import Estimate, estimate_all, t_factor, t_interval
from sim.metrics.sample import encoded
from sim.metrics.samples import ELAPSED
from sim.results import SESSIONS, ResultsError, Run
from sim.scenario.metric_names import ALL, check_metric, metric_groups, parse_metric
from sim.scenario.scenario import Scenario

if TYPE_CHECKING:
    from rich.console import Group

Answer = Literal["A lower", "B lower", "equal", "cannot tell"]
Pairing = Literal["paired", "unpaired"]

_FEWEST = 2
"""Replications an interval needs."""
_STEP_BITS = 32
_PLAIN_SESSIONS = pa.schema(
    [
        ("session", SESSIONS.field("session").type),
        ("journey", pa.string()),
        ("service", pa.string()),
        ("channel", pa.string()),
        ("arrival_s", SESSIONS.field("arrival_s").type),
    ]
)
"""What makes two sessions the same, without dictionaries."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How much higher a metric is in run B than in run A.

    Attributes
    ----------
    metric : str
        Its name.
    value_a, value_b : float
        Means over the compared replications, NaN where unknown.
    difference : float
        B - A, in the metric's unit.
    low, high : float or None
        Confidence interval of the difference; None when the data cannot carry one.
    answer : {"A lower", "B lower", "equal", "cannot tell"}
        ``equal`` when every replication gives the same value in both.
    reason : str or None
        Why there is no interval.
    """

    metric: str
    value_a: float
    value_b: float
    difference: float
    low: float | None
    high: float | None
    answer: Answer
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RequestPairs:
    """The same requests of the same sessions in both runs: first attempts with a response time.

    Attributes
    ----------
    n : int
        Number of pairs.
    faster_share, slower_share : float
        Share of them with a shorter, a longer response in B; the rest are equal.
    mean_s : float
        Mean of response B - response A, over replications, s.
    low_s, high_s : float or None
        Its confidence interval over replications; None with fewer than two.
    """

    n: int
    faster_share: float
    slower_share: float
    mean_s: float
    low_s: float | None
    high_s: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences between two runs.

    Attributes
    ----------
    run_a, run_b : str
        Names of the runs.
    pairing : {"paired", "unpaired"}
        Paired by replication, with the same seed; otherwise Welch's interval.
    replications : tuple of int, tuple of int
        How many replications of each run were compared.
    confidence : float
        Confidence of the intervals.
    differences : tuple of Difference
        One per metric both scenarios have.
    requests : RequestPairs or None
        Request by request; only when both runs served the same sessions.
    warnings : tuple of str
        What a reader must know.
    """

    run_a: str
    run_b: str
    pairing: Pairing
    replications: tuple[int, int]
    confidence: float
    differences: tuple[Difference, ...]
    requests: RequestPairs | None
    warnings: tuple[str, ...]


def compare(run_a: Run, run_b: Run, metrics: Sequence[str] | None = None) -> Comparison:
    """Compare two runs.

    Runs of one seed are paired replication by replication: what they share cancels out, so small
    differences show. Runs of other seeds are compared by Welch's interval, with a warning.

    Parameters
    ----------
    run_a, run_b : Run
        The runs.
    metrics : sequence of str, optional
        What to compare; absent: both runs' targets, the response of each group of endpoints, and
        the utilisation of each station.

    Raises
    ------
    ResultsError
        When one of the runs has no such metric.
    """
    chosen = list(main_metrics(run_a.scenario, run_b.scenario)) if metrics is None else metrics
    for run in (run_a, run_b):
        _check_metrics(run, chosen)
    confidence = max(run.scenario.execution.confidence for run in (run_a, run_b))
    common = tuple(sorted(set(run_a.replications) & set(run_b.replications)))
    paired = run_a.manifest.seed == run_b.manifest.seed and len(common) > 0
    side_a, side_b = (_Side(run, common if paired else run.replications) for run in (run_a, run_b))
    estimates_a = estimate_all(side_a, run_a.scenario, chosen, confidence)
    estimates_b = estimate_all(side_b, run_b.scenario, chosen, confidence)
    return Comparison(
        run_a=run_a.name,
        run_b=run_b.name,
        pairing="paired" if paired else "unpaired",
        replications=(len(side_a.replications), len(side_b.replications)),
        confidence=confidence,
        differences=tuple(
            _difference(estimates_a[metric], estimates_b[metric], paired, confidence)
            for metric in chosen
        ),
        requests=_pair_requests(run_a, run_b, common, confidence) if paired else None,
        warnings=tuple(_warnings(run_a, run_b, common)),
    )


def main_metrics(scenario_a: Scenario, scenario_b: Scenario) -> Iterator[str]:
    """Yield what is worth comparing and both scenarios have, each once.

    All targets, p50 and p95 of the response of each group of endpoints, and the mean utilisation
    of each station.
    """
    groups_a, groups_b = metric_groups(scenario_a), metric_groups(scenario_b)
    metrics = [target.metric for target in (*scenario_a.targets, *scenario_b.targets)]
    endpoints = scenario_a.portal.endpoints.values()
    for group in (ALL, *dict.fromkeys(endpoint.group for endpoint in endpoints)):
        metrics += [f"{group}.response_s.p50", f"{group}.response_s.p95"]
    stations = [group for group, kind in groups_a.items() if kind == "station"]
    metrics += [f"{station}.utilisation.mean" for station in stations]
    for metric in dict.fromkeys(metrics):
        group = parse_metric(metric).group
        if groups_a.get(group) == groups_b.get(group, "missing"):
            yield metric


def render(comparison: Comparison) -> "Group":
    """Return a comparison as something ``rich`` prints."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    known = [row for row in comparison.differences if math.isfinite(row.difference)]
    columns = ["metric", "A", "B", "B - A", f"{comparison.confidence:.0%} interval", "answer"]
    # Two single replications: an answer nobody can give needs no column.
    shown = columns if any(row.answer != "cannot tell" for row in known) else columns[:4]
    table = Table(title=f"A {comparison.run_a}   B {comparison.run_b}", box=None, pad_edge=False)
    for column in shown:
        is_text = column in ("metric", "answer")
        table.add_column(column, justify="left" if is_text else "right", no_wrap=column == "metric")
    for row in known:
        cells = [row.metric, *map(_shown, (row.value_a, row.value_b, row.difference))]
        cells += [_interval(row.low, row.high), row.answer]
        table.add_row(*(Text(cell) for cell in cells[: len(shown)]))
    n_a, n_b = comparison.replications
    notes = [f"{comparison.pairing} by replication: {n_a} of A, {n_b} of B"]
    if len(known) < len(comparison.differences):
        left_out = len(comparison.differences) - len(known)
        notes.append(f"{left_out} metrics without a value in A or in B are left out")
    notes += dict.fromkeys(f"cannot tell: {row.reason}" for row in known if row.reason)
    if comparison.requests is not None:
        notes.append(_requests_sentence(comparison.requests))
    notes += [f"warning: {warning}" for warning in comparison.warnings]
    return Group(table, *(Text(note) for note in notes))


@dataclass(frozen=True, slots=True)
class _Side:
    """Some replications of a run."""

    run: Run
    replications: tuple[int, ...]

    def table(
        self, name: str, columns: Sequence[str] | None = None, *, replication: int | None = None
    ) -> pa.Table:
        return self.run.table(name, columns, replication=replication)

    def pieces(self, name: str, columns: Sequence[str], *, replication: int) -> Iterator[pa.Table]:
        return self.run.pieces(name, columns, replication=replication)


def _check_metrics(run: Run, metrics: Sequence[str]) -> None:
    groups = metric_groups(run.scenario)
    for metric in metrics:
        try:
            check_metric(parse_metric(metric), groups)
        except ValueError as error:
            raise ResultsError(f"{run.name}: {metric}: {error}") from error


def _difference(a: Estimate, b: Estimate, paired: bool, confidence: float) -> Difference:
    values_a, values_b = a.per_replication, b.per_replication
    difference = b.value - a.value
    reason = a.reason or b.reason
    if reason is None and min(len(values_a), len(values_b)) < _FEWEST:
        reason = "one replication has no interval; run more"
    low = high = None
    if reason is None and paired:
        low, high = t_interval(values_b - values_a, difference, confidence)
    elif reason is None:
        low, high = _welch_interval(values_a, values_b, confidence)
    return Difference(
        metric=a.metric,
        value_a=a.value,
        value_b=b.value,
        difference=difference,
        low=low,
        high=high,
        answer=_answer(low, high),
        reason=reason,
    )


def _answer(low: float | None, high: float | None) -> Answer:
    if low is None or high is None:
        return "cannot tell"
    if low == high == 0:
        return "equal"
    if low > 0:
        return "A lower"
    return "B lower" if high < 0 else "cannot tell"


def _welch_interval(
    values_a: NDArray[np.float64], values_b: NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    """Return the interval of mean(b) - mean(a) for independent samples of unequal variance.

    References
    ----------
    Welch (1947), Biometrika 34.
    """
    errors = [float(values.var(ddof=1)) / len(values) for values in (values_a, values_b)]
    center = float(values_b.mean() - values_a.mean())
    if sum(errors) == 0:
        return center, center
    freedom = sum(errors) ** 2 / sum(
        error**2 / (len(values) - 1)
        for error, values in zip(errors, (values_a, values_b), strict=True)
    )
    half_width = t_factor(freedom, confidence) * math.sqrt(sum(errors))
    return center - half_width, center + half_width


def _pair_requests(
    run_a: Run, run_b: Run, replications: Sequence[int], confidence: float
) -> RequestPairs | None:
    """Pair request by request; None when some replication served other sessions."""
    n = faster = slower = 0
    means = []
    for replication in replications:
        if not _same_sessions(run_a, run_b, replication):
            return None
        change_s = _changes(run_a, run_b, replication)
        n += len(change_s)
        faster += int(np.count_nonzero(change_s < 0))
        slower += int(np.count_nonzero(change_s > 0))
        if len(change_s):
            means.append(float(change_s.mean()))
    if n == 0:
        return None
    mean_s, low_s, high_s = float(np.mean(means)), None, None
    if len(means) >= _FEWEST:
        low_s, high_s = t_interval(np.array(means), mean_s, confidence)
    return RequestPairs(n, faster / n, slower / n, mean_s, low_s, high_s)


def _same_sessions(run_a: Run, run_b: Run, replication: int) -> bool:
    tables = [
        run.table("sessions", _PLAIN_SESSIONS.names, replication=replication).cast(_PLAIN_SESSIONS)
        for run in (run_a, run_b)
    ]
    return bool(tables[0].equals(tables[1]))


def _changes(run_a: Run, run_b: Run, replication: int) -> NDArray[np.float64]:
    """Return response B - response A of the requests both runs judged, s."""
    keys_a, response_a = _first_attempts(run_a, replication)
    keys_b, response_b = _first_attempts(run_b, replication)
    _, in_a, in_b = np.intersect1d(keys_a, keys_b, assume_unique=True, return_indices=True)
    return response_b[in_b] - response_a[in_a]


def _first_attempts(run: Run, replication: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return key and response time of the judged first attempts that have one."""
    columns = ("session", "step", "attempt", "due_s", "response_s", "outcome")
    table = run.table("requests", columns, replication=replication)
    window = run.scenario.window
    due_s = table["due_s"].to_numpy()
    outcomes, codes = encoded(table, "outcome")
    kept = np.isin(codes, [code for code, name in enumerate(outcomes) if name in ELAPSED])
    kept &= (table["attempt"].to_numpy() == 0) & (due_s >= window.warm_up_s)
    kept &= due_s < window.duration_s
    keys = table["session"].to_numpy().astype(np.int64) << _STEP_BITS
    return (keys | table["step"].to_numpy())[kept], table["response_s"].to_numpy()[kept]


def _warnings(run_a: Run, run_b: Run, common: Sequence[int]) -> Iterator[str]:
    if run_a.manifest.seed != run_b.manifest.seed:
        yield (
            f"other seeds ({run_a.manifest.seed}, {run_b.manifest.seed}): not paired, so only "
            "large differences show; run both with one seed"
        )
    elif not common:
        yield "no replication is in both runs: not paired, so only large differences show"
    elif set(run_a.replications) != set(run_b.replications):
        yield f"compared on what both runs have, replications: {', '.join(map(str, common))}"
    if run_a.scenario.window != run_b.scenario.window:
        yield "the windows differ: each run is judged within its own"
    if run_a.scenario.demand != run_b.scenario.demand:
        yield "the demand differs: the pairing cancels little of the noise"
    if run_a.manifest.source != run_b.manifest.source:
        yield f"A is {run_a.manifest.source}, B is {run_b.manifest.source}"
    for name, run in (("A", run_a), ("B", run_b)):
        if run.manifest.status != "complete":
            yield f"{name} was {run.manifest.status}"


def _requests_sentence(pairs: RequestPairs) -> str:
    interval = _interval(pairs.low_s, pairs.high_s)
    return (
        f"{pairs.n} requests served in both: {pairs.faster_share:.1%} faster in B, "
        f"{pairs.slower_share:.1%} slower; B - A {_shown(pairs.mean_s)} s on average "
        f"(interval {interval})"
    )


def _shown(value: float) -> str:
    return f"{value:.4g}"


def _interval(low: float | None, high: float | None) -> str:
    return "none" if low is None or high is None else f"{low:.4g} to {high:.4g}"
