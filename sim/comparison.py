"""Two runs side by side: differences with intervals, paired as far as the runs allow."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.metrics.estimates import Estimate, estimate_all, t_factor, t_interval
from sim.metrics.sample import encoded
from sim.metrics.samples import ELAPSED
from sim.results import SESSIONS, ResultsError, Run
from sim.scenario.metric_names import (
    ALL,
    DOMAIN_PREFIX,
    check_metric,
    metric_groups,
    parse_metric,
)
from sim.scenario.scenario import Scenario

if TYPE_CHECKING:
    from rich.console import Group

Answer = Literal["A lower", "B lower", "equal", "cannot tell"]
Pairing = Literal["paired", "unpaired"]

_FEWEST = 2
"""Replications an interval needs."""
_STEP_BITS = 32
_OF_OFFICES = ("on_time_share", "late_reception_share", "lead_s.p50", "lead_s.p95", "backlog_end")
_DOSSIER_KEY = ("filed", "session", "step", "attempt")
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
    """The same requests, or the same dossiers, in both runs.

    Requests are first attempts of the same sessions with a response time, dossiers those decided
    in the judged window of both; their time is that from filing to decision.

    Attributes
    ----------
    n : int
        Number of pairs.
    faster_share, slower_share : float
        Share of them with a shorter, a longer time in B; the rest are equal.
    mean_s : float
        Mean of time B - time A, over replications, s.
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
    dossiers : RequestPairs or None
        Dossier by dossier; only when both runs have offices and the same dossiers reached them.
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
    dossiers: RequestPairs | None
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
        What to compare; absent: both runs' targets, the response of each group of endpoints, the
        utilisation of each station, and what offices owe: terms, times, backlog, officers' use.

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
        dossiers=_pair_dossiers(run_a, run_b, common, confidence) if paired else None,
        warnings=tuple(_warnings(run_a, run_b, common)),
    )


def main_metrics(scenario_a: Scenario, scenario_b: Scenario) -> Iterator[str]:
    """Yield what is worth comparing and both scenarios have, each once.

    All targets, p50 and p95 of the response of each group of endpoints, the mean utilisation of
    each station and role, and the main figures of the city's offices and of each group of them.
    """
    groups_a, groups_b = metric_groups(scenario_a), metric_groups(scenario_b)
    metrics = [target.metric for target in (*scenario_a.targets, *scenario_b.targets)]
    endpoints = scenario_a.portal.endpoints.values()
    for group in (ALL, *dict.fromkeys(endpoint.group for endpoint in endpoints)):
        metrics += [f"{group}.response_s.p50", f"{group}.response_s.p95"]
    for group, kind in groups_a.items():
        if kind in ("station", "role"):
            metrics.append(f"{group}.utilisation.mean")
        if kind == "offices" and not group.startswith(DOMAIN_PREFIX):
            metrics += [f"{group}.{quantity}" for quantity in _OF_OFFICES]
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
        # Names and words give way to a narrow terminal, numbers never.
        is_number = column in ("A", "B", "B - A")
        justify: Literal["left", "right"] = "left" if is_text else "right"
        table.add_column(column, justify=justify, no_wrap=is_number, overflow="fold")
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
        notes.append(_pairs_sentence(comparison.requests, "requests served", "faster", "slower"))
    if comparison.dossiers is not None:
        notes.append(_pairs_sentence(comparison.dossiers, "dossiers decided", "sooner", "later"))
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
    if not (run_a.scenario.has_portal and run_b.scenario.has_portal):
        return None
    changes = []
    for replication in replications:
        if not _same_sessions(run_a, run_b, replication):
            return None
        changes.append(_changes(run_a, run_b, replication))
    return _pairs(changes, confidence)


def _pair_dossiers(
    run_a: Run, run_b: Run, replications: Sequence[int], confidence: float
) -> RequestPairs | None:
    """Pair dossier by dossier; None without offices, or when other dossiers reached them."""
    if run_a.scenario.backoffice is None or run_b.scenario.backoffice is None:
        return None
    changes = []
    for replication in replications:
        leads = [_leads(run, replication) for run in (run_a, run_b)]
        both = leads[0].join(
            leads[1], [*_DOSSIER_KEY], join_type="inner", left_suffix="_a", right_suffix="_b"
        )
        if not (both["service_a"].equals(both["service_b"]) and _filed_alike(both)):
            return None
        changes.append(both["lead_s_b"].to_numpy() - both["lead_s_a"].to_numpy())
    return _pairs(changes, confidence)


def _filed_alike(both: pa.Table) -> bool:
    """Whether dossiers that met no portal were filed at one time in both: other days, others."""
    elsewhere = pc.not_equal(both["filed"], "portal")
    both = both.filter(elsewhere)
    return bool(both["submitted_s_a"].equals(both["submitted_s_b"]))


def _pairs(changes: Sequence[NDArray[np.float64]], confidence: float) -> RequestPairs | None:
    """Return what the changes of each replication, B - A in s, say together; None without any."""
    n = sum(map(len, changes))
    if n == 0:
        return None
    faster = sum(int(np.count_nonzero(change_s < 0)) for change_s in changes)
    slower = sum(int(np.count_nonzero(change_s > 0)) for change_s in changes)
    means = [float(change_s.mean()) for change_s in changes if len(change_s)]
    mean_s, low_s, high_s = float(np.mean(means)), None, None
    if len(means) >= _FEWEST:
        low_s, high_s = t_interval(np.array(means), mean_s, confidence)
    return RequestPairs(n, faster / n, slower / n, mean_s, low_s, high_s)


def _leads(run: Run, replication: int) -> pa.Table:
    """Return key, service, filing and lead time of the dossiers decided in the judged window."""
    columns = (*_DOSSIER_KEY, "service", "submitted_s", "decided_s")
    table = run.table("dossiers", columns, replication=replication)
    window = run.scenario.window
    decided_s = table["decided_s"].to_numpy()
    kept = (decided_s >= window.warm_up_s) & (decided_s < window.duration_s)
    lead_s = pa.array(decided_s - table["submitted_s"].to_numpy())
    table = table.append_column("lead_s", lead_s).filter(pa.array(kept))
    plain = [table[name].cast(pa.string()) for name in ("filed", "service")]
    return pa.table(
        {
            "filed": plain[0],
            "service": plain[1],
            **{name: table[name] for name in (*_DOSSIER_KEY[1:], "submitted_s", "lead_s")},
        }
    )


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


def _pairs_sentence(pairs: RequestPairs, what: str, shorter: str, longer: str) -> str:
    interval = _interval(pairs.low_s, pairs.high_s)
    return (
        f"{pairs.n} {what} in both: {pairs.faster_share:.1%} {shorter} in B, "
        f"{pairs.slower_share:.1%} {longer}; B - A {_shown(pairs.mean_s)} s on average "
        f"(interval {interval})"
    )


def _shown(value: float) -> str:
    return f"{value:.4g}"


def _interval(low: float | None, high: float | None) -> str:
    return "none" if low is None or high is None else f"{low:.4g} to {high:.4g}"
