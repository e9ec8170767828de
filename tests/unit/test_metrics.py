"""Metrics: values, intervals, verdicts, and what the data cannot carry."""

import functools
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.metrics import (
    Estimate,
    Verdict,
    check_conservation,
    estimate,
    estimate_all,
    exit_code,
    judge,
    judge_all,
    mser5,
    split_regimes,
    summarise,
)
from sim.metrics.samples import quantile
from sim.metrics.summary import summary_metrics
from sim.results import TABLES, Records, RunWriter
from sim.scenario import Scenario, load_scenario
from sim.scenario.run import Target

WARM_UP_S, END_S = 100.0, 1100.0
EMPTY = {name: schema.empty_table() for name, schema in TABLES.items()}


@functools.cache
def scenario() -> Scenario:
    overrides = [f"window.duration_s={END_S}", f"window.warm_up_s={WARM_UP_S}"]
    return load_scenario("peak-hour", overrides)


def endpoint(group: str = "browse") -> str:
    return next(n for n, spec in scenario().portal.endpoints.items() if spec.group == group)


def column(values: object, kind: pa.DataType, n: int) -> pa.Array:
    if isinstance(values, str):
        return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([values]))
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string()).cast(kind)
    return pa.array(np.broadcast_to(np.asarray(values), n), kind)


def table(name: str, n: int, **columns: object) -> pa.Table:
    """A table of n rows; a column is one value for all of them or an array."""
    schema = TABLES[name]
    blank: dict[str, object] = {
        field.name: "x" if pa.types.is_dictionary(field.type) else 0 for field in schema
    }
    if name == "dossiers":
        blank |= {"filed": "portal", "state": [None] * n}
    columns = blank | columns
    return pa.table([column(columns[f.name], f.type, n) for f in schema], schema=schema)


def requests(response_s: object, replication: int = 0, **columns: object) -> Records:
    """Single-request sessions due evenly over the judged window."""
    response = np.atleast_1d(np.asarray(response_s, dtype=float))
    n = len(response)
    due_s = np.linspace(WARM_UP_S, END_S, n, endpoint=False)
    rows = {
        "replication": replication,
        "session": np.arange(n),
        "endpoint": endpoint(),
        "due_s": due_s,
        "sent_s": due_s,
        "response_s": response,
        "outcome": "ok",
    }
    return Records(**EMPTY | {"requests": table("requests", n, **rows | columns)})


def together(*parts: Records) -> Records:
    return Records(
        **{name: pa.concat_tables([part.table(name) for part in parts]) for name in TABLES}
    )


def estimated(records: Records, metric: str, confidence: float = 0.95) -> Estimate:
    return estimate(records, scenario(), metric, confidence)


def lindley(rng: np.random.Generator, n: int, rho: float) -> np.ndarray:
    """Response times of an M/M/1 queue with service rate 1, started empty."""
    steps = rng.exponential(1, n) - rng.exponential(1 / rho, n)
    walk = np.concatenate([[0.0], np.cumsum(steps[:-1])])
    waits = walk - np.minimum.accumulate(walk)
    return waits + rng.exponential(1, n)


# Values.


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_quantiles_are_numpys(values: list[float], share: float) -> None:
    expected = np.quantile(values, share)
    assert quantile(np.sort(values), share) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("all.response_s.mean", 49.5),
        ("all.response_s.p50", 49.5),
        ("all.response_s.p90", 89.1),
        ("all.response_s.max", 99.0),
        ("all.rate_per_s", 0.1),
        ("all.ok_share", 1.0),
        ("all.wait_s.mean", 0.0),
        ("all.failed_share", 0.0),
    ],
)
def test_a_value_is_the_statistic_of_the_judged_requests(metric: str, value: float) -> None:
    assert estimated(requests(np.arange(100)), metric).value == pytest.approx(value)


def test_what_is_due_outside_the_window_does_not_count() -> None:
    due_s = [WARM_UP_S - 1e-6, WARM_UP_S, END_S - 1e-6, END_S]
    outside = requests([1000, 1, 3, 1000], due_s=due_s)
    assert estimated(outside, "all.response_s.mean").value == 2.0


def test_slow_failures_count_in_response_and_quick_refusals_do_not() -> None:
    outcome = ["ok", "timed_out", "abandoned", "rejected", "failed"]
    mixed = requests([1, 30, 20, 0.001, 0.001], outcome=outcome)
    assert estimated(mixed, "all.response_s.mean").value == 17.0
    for share in ("ok", "timed_out", "abandoned", "rejected", "failed"):
        assert estimated(mixed, f"all.{share}_share").value == pytest.approx(0.2)


def test_a_group_holds_its_endpoints_only() -> None:
    names = [endpoint("browse"), endpoint("officer"), endpoint("officer")]
    mixed = requests([1, 2, 4], endpoint=names)
    assert estimated(mixed, "browse.response_s.mean").value == 1.0
    assert estimated(mixed, "officer.response_s.mean").value == 3.0
    assert estimated(mixed, f"{names[1]}.rate_per_s").value == pytest.approx(
        2 / (END_S - WARM_UP_S)
    )


def test_dictionaries_of_replications_may_differ() -> None:
    parts = [
        requests([1.0], 0, endpoint=[endpoint("browse")]),
        requests([5.0, 3.0], 1, endpoint=[endpoint("officer"), endpoint("browse")]),
    ]
    values = estimated(together(*parts), "browse.response_s.mean").per_replication
    assert values.tolist() == [1.0, 3.0]


def test_journeys_are_judged_by_their_arrival() -> None:
    arrival_s = np.array([0.0, 200.0, 300.0, 400.0])
    sessions = table(
        "sessions",
        4,
        session=np.arange(4),
        arrival_s=arrival_s,
        end_s=arrival_s + np.array([999.0, 10, 20, 90]),
        journey=["submit", "submit", "submit", "browse"],
        outcome=["completed", "completed", "abandoned", "completed"],
    )
    records = Records(**EMPTY | {"sessions": sessions})
    assert estimated(records, "journey_submit.duration_s.mean").value == 15.0
    assert estimated(records, "journey_submit.completed_share").value == 0.5
    assert estimated(records, "journey_submit.rate_per_s").value == pytest.approx(0.002)


def test_dossiers_count_until_synchronised_or_the_end_of_the_run() -> None:
    nan = math.nan
    dossiers = table(
        "dossiers",
        4,
        session=[0, 0, 1, 2],
        step=[5, 5, 5, 5],
        attempt=[0, 1, 0, 0],
        submitted_s=[200.0, 230.0, 300.0, 400.0],
        acknowledged_s=[nan, 231.0, 301.0, 401.0],
        synced_s=[250.0, 261.0, 311.0, nan],
    )
    levels = table("levels", 1, station="sync", from_s=0.0, to_s=2000.0)
    records = Records(**EMPTY | {"dossiers": dossiers, "levels": levels})
    expected = np.mean([30.0, 10.0, 2000.0 - 401.0])
    assert estimated(records, "dossiers.sync_s.mean").value == pytest.approx(expected)
    assert estimated(records, "dossiers.synced_share").value == 0.75
    assert estimated(records, "dossiers.duplicate_share").value == 0.25
    assert estimated(records, "dossiers.per_s").value == pytest.approx(0.004)


def levels_of(**columns: object) -> Records:
    """Intervals 0-100 (warm-up), 100-600, 600-1000, 1000-1200 (half beyond the window)."""
    rows = table(
        "levels",
        4,
        station="app.cpu",
        from_s=[0.0, 100, 600, 1000],
        to_s=[100.0, 600, 1000, 1200],
        **columns,
    )
    return Records(**EMPTY | {"levels": rows})


def test_utilisation_is_busy_over_capacity_of_the_window() -> None:
    records = levels_of(capacity=[8.0, 8, 4, 4], utilisation=[1.0, 0.25, 0.5, 1.0])
    busy_s = 2 * 500 + 2 * 400 + 4 * 100
    capacity_s = 8 * 500 + 4 * 400 + 4 * 100
    value = estimated(records, "app.cpu.utilisation.mean").value
    assert value == pytest.approx(busy_s / capacity_s)
    assert estimated(records, "app.cpu.utilisation.max").value == 1.0


def test_a_queue_is_weighted_by_time_and_its_maximum_leaves_the_warm_up_out() -> None:
    records = levels_of(queue_mean=[99.0, 1, 2, 3], queue_max=[99.0, 4, 9, 5])
    assert estimated(records, "app.cpu.queue.mean").value == pytest.approx(1.6)
    assert estimated(records, "app.cpu.queue.max").value == 9.0


def test_an_interval_without_capacity_does_not_spoil_the_utilisation() -> None:
    records = levels_of(capacity=[4.0, 4, 0, 4], utilisation=[0.5, 0.5, math.nan, 0.5])
    assert estimated(records, "app.cpu.utilisation.mean").value == 0.5


def test_a_station_without_limit_has_no_utilisation_and_says_so() -> None:
    found = estimated(
        levels_of(capacity=math.inf, utilisation=math.nan), "app.cpu.utilisation.mean"
    )
    assert math.isnan(found.value)
    assert "no limit" in str(found.reason)


def test_many_metrics_at_once_are_the_same_as_one_by_one() -> None:
    rng = np.random.default_rng(5)
    records = together(*(requests(rng.exponential(1, 300), r) for r in range(3)))
    metrics = ["all.response_s.p95", "browse.response_s.mean", "all.rate_per_s"]
    for metric, found in estimate_all(records, scenario(), metrics).items():
        alone = estimate(records, scenario(), metric)
        assert (found.value, found.low, found.high) == (alone.value, alone.low, alone.high)


# Intervals.


def test_the_interval_over_replications_is_the_t_interval() -> None:
    records = together(*(requests([value], r) for r, value in enumerate([1.0, 2.0, 3.0])))
    found = estimated(records, "all.response_s.mean")
    # t(0.975; 2) = 4.30265, standard error 1/sqrt(3)
    assert (found.low, found.value) == pytest.approx((0.0, 2.0))
    assert found.high == pytest.approx(2 + 4.30265 / math.sqrt(3), rel=1e-5)
    assert found.n_replications == 3
    assert found.reason is None


def test_shares_stay_within_one() -> None:
    records = together(
        *(
            requests([1] * 4, r, outcome=["ok", "ok", "ok", last])
            for r, last in enumerate(["ok", "failed"])
        )
    )
    found = estimated(records, "all.ok_share")
    assert (found.low, found.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("metric", "n", "carries"),
    [
        ("p99", 1000, True),
        ("p99", 999, False),
        ("p95", 200, True),
        ("p95", 199, False),
        ("p90", 100, True),
        ("p90", 99, False),
        ("p50", 20, True),
        ("p50", 19, False),
    ],
)
def test_a_quantile_needs_ten_requests_beyond_it(metric: str, n: int, carries: bool) -> None:
    records = together(requests(np.arange(n), 0), requests(np.arange(2 * n), 1))
    found = estimated(records, f"all.response_s.{metric}")
    assert math.isfinite(found.value)
    assert (found.low is not None) == carries
    assert (found.reason is None) == carries


def test_a_replication_without_the_group_is_named_and_leaves_no_interval() -> None:
    records = together(requests([1.0] * 3, 0), requests([2.0], 1, endpoint=endpoint("officer")))
    found = estimated(records, "browse.response_s.mean")
    assert found.value == 1.0
    assert found.low is None
    assert found.reason == "replications without a value: 1"


def test_one_replication_gets_its_interval_from_batches_of_time() -> None:
    found = estimated(
        requests(np.random.default_rng(1).exponential(1, 4000)), "all.response_s.mean"
    )
    assert found.low is not None
    assert found.high is not None
    assert found.low < 1 < found.high
    assert "20 batches" in str(found.method)


@pytest.mark.parametrize("metric", ["all.response_s.max", "all.response_s.mean"])
def test_one_replication_with_an_empty_batch_has_no_interval(metric: str) -> None:
    found = estimated(requests([1.0] * 10), metric)
    assert found.low is None
    assert "more replications" in str(found.reason)


def coverage(intervals: list[Estimate], truth: float) -> float:
    inside = [
        found.low <= truth <= found.high
        for found in intervals  # type: ignore[operator]
        if found.low is not None
    ]
    assert len(inside) == len(intervals)
    return float(np.mean(inside))


def test_the_intervals_of_mean_and_p95_cover_the_truth_as_often_as_they_say() -> None:
    rng, rho, n, repeats = np.random.default_rng(20), 0.5, 2000, 300
    metrics = ["all.response_s.mean", "all.response_s.p95"]
    found: dict[str, list[Estimate]] = {metric: [] for metric in metrics}
    for _ in range(repeats):
        records = together(*(requests(lindley(rng, n + 200, rho)[200:], r) for r in range(5)))
        for metric, estimate_ in estimate_all(records, scenario(), metrics).items():
            found[metric].append(estimate_)
    # The response of M/M/1 is exponential with rate 1 - rho.
    truths = {metrics[0]: 1 / (1 - rho), metrics[1]: -math.log(0.05) / (1 - rho)}
    slack = 4 * math.sqrt(0.95 * 0.05 / repeats)
    for metric, truth in truths.items():
        assert 0.93 - slack <= coverage(found[metric], truth) <= 0.97 + slack


def test_the_intervals_of_one_long_replication_cover_the_truth() -> None:
    rng, rho, repeats = np.random.default_rng(21), 0.5, 300
    metrics = ["all.response_s.mean", "all.response_s.p95"]
    found: dict[str, list[Estimate]] = {metric: [] for metric in metrics}
    for _ in range(repeats):
        records = requests(lindley(rng, 20_200, rho)[200:])
        for metric, estimate_ in estimate_all(records, scenario(), metrics).items():
            found[metric].append(estimate_)
    slack = 4 * math.sqrt(0.95 * 0.05 / repeats)
    assert abs(coverage(found[metrics[0]], 1 / (1 - rho)) - 0.95) <= slack + 0.02
    assert abs(coverage(found[metrics[1]], -math.log(0.05) / (1 - rho)) - 0.95) <= slack + 0.02


# Verdicts.


def known(low: float | None, high: float | None, n: int = 10_000) -> Estimate:
    value = math.nan if low is None or high is None else (low + high) / 2
    reason = "too few" if low is None else None
    return Estimate("m", value, low, high, np.array([value]), 5, n, 0.95, reason=reason)


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (1.0, 2.0, "met"),
        (1.0, 2.1, "cannot_tell"),
        (2.1, 3.0, "missed"),
        (2.0, 2.0, "met"),
        (2.0, 3.0, "cannot_tell"),
        (None, None, "cannot_tell"),
    ],
)
def test_at_most_is_judged_by_the_whole_interval(
    low: float | None, high: float | None, answer: str
) -> None:
    target = Target(metric="all.response_s.mean", at_most=2.0)
    assert judge(target, known(low, high)).answer == answer


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (2.0, 3.0, "met"),
        (1.9, 3.0, "cannot_tell"),
        (1.0, 1.9, "missed"),
        (2.0, 2.0, "met"),
        (1.0, 2.0, "cannot_tell"),
        (None, None, "cannot_tell"),
    ],
)
def test_at_least_is_judged_by_the_whole_interval(
    low: float | None, high: float | None, answer: str
) -> None:
    target = Target(metric="all.rate_per_s", at_least=2.0)
    assert judge(target, known(low, high)).answer == answer


def test_a_verdict_without_interval_gives_the_reason() -> None:
    target = Target(metric="all.response_s.p99", at_most=2.0)
    assert judge(target, known(None, None)).reason == "too few"


@pytest.mark.parametrize(("n", "answer"), [(2999, "cannot_tell"), (3001, "met")])
def test_a_share_is_met_only_where_enough_requests_could_have_broken_it(
    n: int, answer: str
) -> None:
    target = Target(metric="all.ok_share", at_least=0.999)
    assert judge(target, known(1.0, 1.0, n)).answer == answer


def test_all_targets_of_a_scenario_are_judged_on_its_records() -> None:
    targets = (
        Target(metric="all.response_s.mean", at_most=1.5),
        Target(metric="all.response_s.mean", at_least=1.5),
        Target(metric="all.response_s.p95", at_most=1.5),
    )
    asked = scenario().model_copy(update={"targets": targets})
    records = together(*(requests([1.0] * 100, r) for r in range(2)))
    results = judge_all(records, asked)
    assert [result.verdict.answer for result in results] == ["met", "missed", "cannot_tell"]
    assert [result.target for result in results] == list(targets)


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        (["met", "met"], 0),
        (["met", "missed"], 1),
        (["met", "cannot_tell"], 1),
        ([], 0),
    ],
)
def test_the_exit_code_is_zero_only_when_all_are_met(answers: list[str], code: int) -> None:
    assert exit_code(Verdict(answer, "") for answer in answers) == code  # type: ignore[arg-type]


# Warm-up and regimes.


def test_mser5_cuts_a_transient_and_little_more() -> None:
    rng = np.random.default_rng(3)
    transient = np.where(np.arange(2000) < 200, 10.0, 0.0)
    cut = mser5(transient + rng.normal(0, 1, 2000))
    assert 200 <= cut <= 300


def test_mser5_leaves_a_steady_series_nearly_whole() -> None:
    rng = np.random.default_rng(4)
    assert np.mean([mser5(rng.normal(0, 1, 1000)) for _ in range(50)]) < 150


@pytest.mark.parametrize("n", [0, 1, 9])
def test_mser5_leaves_a_short_series_alone(n: int) -> None:
    assert mser5(np.ones(n)) == 0


@pytest.mark.parametrize("n", [5, 10, 20, 50, 100])
@pytest.mark.parametrize("noise", ["normal", "lognormal"])
def test_noise_shows_no_regimes(n: int, noise: str) -> None:
    rng, repeats = np.random.default_rng(n), 1000
    sigma = math.sqrt(math.log(1 + 0.3**2))
    alarms = sum(
        split_regimes(rng.normal(1, 0.3, n) if noise == "normal" else rng.lognormal(0, sigma, n))
        is not None
        for _ in range(repeats)
    )
    assert alarms / repeats <= 0.01 + 4 * math.sqrt(0.01 * 0.99 / repeats)


@pytest.mark.parametrize("n_collapsed", [1, 2, 4, 10, 16])
def test_collapsed_replications_are_found(n_collapsed: int) -> None:
    rng = np.random.default_rng(n_collapsed)
    values = rng.lognormal(0, 0.1, 20)
    collapsed = rng.choice(20, n_collapsed, replace=False)
    values[collapsed] *= rng.lognormal(math.log(20), 0.3, n_collapsed)
    found = split_regimes(values)
    assert found is not None
    assert found.high == tuple(sorted(collapsed.tolist()))


def test_one_outlier_is_said() -> None:
    found = split_regimes(np.array([1.0, 1.1, 0.9, 1.05, 30.0]))
    assert str(found).startswith("1 of 5 replications lies far above the others")


def test_equal_values_and_missing_ones_are_no_regimes() -> None:
    assert split_regimes(np.ones(20)) is None
    assert split_regimes(np.array([math.nan] * 10 + [1.0, 9.0])) is None


# Conservation and summary.


def sound() -> Records:
    """Two sessions with three attempts, one dossier, one station."""
    times = [150.0, 160.0, 300.0]
    return Records(
        requests=table(
            "requests",
            3,
            session=[0, 0, 1],
            attempt=[0, 1, 0],
            endpoint=endpoint(),
            due_s=times,
            sent_s=times,
            response_s=[1.0, 2.0, 3.0],
            outcome=["failed", "ok", "ok"],
        ),
        sessions=table(
            "sessions",
            2,
            session=[0, 1],
            journey="submit",
            arrival_s=[150.0, 300.0],
            end_s=[170.0, 310.0],
            requests=[2, 1],
            outcome="completed",
        ),
        dossiers=table(
            "dossiers",
            1,
            session=[0],
            attempt=[1],
            submitted_s=[160.0],
            acknowledged_s=[162.0],
            synced_s=[190.0],
            outcome="acknowledged",
        ),
        levels=table(
            "levels",
            2,
            station="app.cpu",
            from_s=[0.0, 600.0],
            to_s=[600.0, 1200.0],
            arrivals=[5, 0],
            departures=[3, 2],
            queue_max=1.0,
        ),
    )


def test_sound_records_break_no_identity() -> None:
    assert check_conservation(sound()) == []


@pytest.mark.parametrize("replications", [1, 2])
def test_metrics_do_not_depend_on_how_many_rows_are_read_at_once(
    replications: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(4)
    names = list(rng.choice(list(scenario().portal.endpoints), 500))
    outcomes = list(rng.choice(["ok", "rejected", "abandoned"], 500))
    whole = together(
        *(
            requests(rng.exponential(1.0, 500), index, endpoint=names, outcome=outcomes)
            for index in range(replications)
        )
    )
    metrics = list(summary_metrics(scenario()))
    at_once = estimate_all(whole, scenario(), metrics)
    monkeypatch.setattr("sim.results.records.ROWS_AT_ONCE", 7)
    for name, again in estimate_all(whole, scenario(), metrics).items():
        before = at_once[name]
        assert np.array_equal(again.per_replication, before.per_replication, equal_nan=True)
        assert (again.low, again.high) == (before.low, before.high)


@pytest.mark.parametrize(
    ("name", "changed", "values", "sentence"),
    [
        ("requests", "outcome", ["failed", "lost", "ok"], "unknown outcome"),
        ("requests", "attempt", [0, 0, 0], "not sorted, or twice"),
        ("requests", "sent_s", [149.0, 160.0, 300.0], "sent before due"),
        ("requests", "response_s", [1.0, -2.0, 3.0], "response_s negative"),
        ("requests", "response_s", [math.nan, 2.0, 3.0], "response_s negative or unknown"),
        ("requests", "sent_s", [160.0, 160.0, 300.0], "answered before sent"),
        ("requests", "due_s", [140.0, 160.0, 300.0], "due before their session arrived"),
        ("requests", "session", [0, 0, 0], "requests differ"),
        ("requests", "outcome", ["ok", "failed", "ok"], "without a request answered well"),
        ("sessions", "end_s", [170.0, 290.0], "end before arrival"),
        ("sessions", "requests", [2, 2], "requests differ"),
        ("dossiers", "acknowledged_s", [159.0], "acknowledged before submitted"),
        ("dossiers", "acknowledged_s", [math.nan], "disagree"),
        ("dossiers", "synced_s", [100.0], "synchronised before submitted"),
        ("levels", "from_s", [0.0, 700.0], "gap or overlap"),
        ("levels", "departures", [3, 3], "more departures than arrivals"),
        ("levels", "queue_mean", [2.0, 0.0], "queue_mean above queue_max"),
    ],
)
@pytest.mark.parametrize("rows_at_once", [1, 2, 1000])
def test_a_broken_identity_is_named(
    name: str,
    changed: str,
    values: list[object],
    sentence: str,
    rows_at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sim.results.records.ROWS_AT_ONCE", rows_at_once)
    whole = sound()
    tables = {each: whole.table(each) for each in TABLES}
    field = TABLES[name].field(changed)
    index = TABLES[name].get_field_index(changed)
    broken = tables[name].set_column(index, field, column(values, field.type, len(values)))
    flaws = check_conservation(Records(**tables | {name: broken}))
    assert any(sentence in flaw for flaw in flaws)


def test_the_summary_has_every_group_and_is_json(tmp_path: Path) -> None:
    with RunWriter.resume_or_create(tmp_path, scenario()) as writer:
        writer.add(0, sound())
        run = writer.finish(summarise=summarise)
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary["figures"]["requests"]["all"]["rate_per_s"]["value"] == pytest.approx(0.003)
    assert "app.cpu" in summary["figures"]["station"]
    assert len(summary["targets"]) == len(scenario().targets)
    assert summary["conservation"] == []


def test_the_summary_tells_of_a_collapse(tmp_path: Path) -> None:
    with RunWriter.resume_or_create(tmp_path, scenario()) as writer:
        for replication in range(8):
            slow = 60.0 if replication == 3 else 1.0 + replication / 100
            writer.add(replication, requests([slow] * 10, replication))
        regimes = summarise(writer.finish())["regimes"]
    assert "1 of 8 replications lies far above" in str(regimes)
