"""Comparing two runs: paired where the runs allow, honest where they do not."""

import functools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from sim.comparison import Comparison, Difference, compare, main_metrics, render
from sim.results import TABLES, Records, ResultsError, Run, RunWriter
from sim.scenario import Scenario, load_scenario

END_S = 1000.0
N = 200
MEAN = "all.response_s.mean"
UTILISATION = "app.cpu.utilisation.mean"


@functools.cache
def scenario(*overrides: str) -> Scenario:
    return load_scenario(
        "peak-hour", [f"window.duration_s={END_S}", "window.warm_up_s=0", *overrides]
    )


def table(name: str, n: int, **columns: object) -> pa.Table:
    """A table of n rows; a column is one value for all of them or, unless text, an array."""
    schema = TABLES[name]
    arrays: list[pa.Array] = []
    for field in schema:
        if pa.types.is_dictionary(field.type):
            codes = pa.array(np.zeros(n, np.int32))
            name = pa.array([columns.get(field.name, "x")])
            arrays.append(pa.DictionaryArray.from_arrays(codes, name))
        else:
            values = np.broadcast_to(columns.get(field.name, 0), n)
            arrays.append(pa.array(values, field.type))
    return pa.table(arrays, schema=schema)


def records(
    replication: int, response_s: np.ndarray, *, busy: float = 1.0, arrivals: int = 0
) -> Records:
    """Sessions of one request; whoever has the same replication and arrivals has the same ones."""
    n = len(response_s)
    due_s = np.sort(np.random.default_rng((replication, arrivals)).uniform(0, END_S, n))
    common = {"replication": replication, "session": np.arange(n)}
    answered = {"due_s": due_s, "sent_s": due_s, "response_s": response_s, "outcome": "ok"}
    level = {"station": "app.cpu", "to_s": END_S, "capacity": 4.0, "utilisation": busy / 4}
    return Records(
        requests=table("requests", n, **common, **answered),
        sessions=table("sessions", n, **common, arrival_s=due_s, end_s=due_s + response_s),
        dossiers=TABLES["dossiers"].empty_table(),
        levels=table("levels", 1, replication=replication, **level),
    )


def luck(replication: int) -> np.ndarray:
    """Response times whose mean varies much between replications."""
    rng = np.random.default_rng(replication)
    return rng.exponential(rng.uniform(1, 5), N)


def run(root: Path, parts: list[Records], *overrides: str) -> Run:
    with RunWriter.resume_or_create(root, scenario(*overrides), resume=False) as writer:
        for part in parts:
            writer.add(part.replications[0], part)
        return writer.finish()


def of_metric(comparison: Comparison, metric: str) -> Difference:
    return next(row for row in comparison.differences if row.metric == metric)


def test_a_small_difference_shows_when_the_luck_is_common(tmp_path: Path) -> None:
    a = run(tmp_path, [records(r, luck(r)) for r in range(5)])
    b = run(tmp_path, [records(r, luck(r) * 0.98) for r in range(5)])
    found = compare(a, b)
    assert found.pairing == "paired"
    assert of_metric(found, MEAN).answer == "B lower"
    assert of_metric(compare(b, a), MEAN).answer == "A lower"


def test_the_same_difference_is_lost_when_the_seeds_differ_and_this_is_said(
    tmp_path: Path,
) -> None:
    a = run(tmp_path, [records(r, luck(r)) for r in range(5)])
    b = run(tmp_path, [records(r, luck(r) * 0.98) for r in range(5)], "seed=2")
    found = compare(a, b)
    assert found.pairing == "unpaired"
    assert of_metric(found, MEAN).answer == "cannot tell"
    assert any("other seeds" in warning for warning in found.warnings)


def test_a_paired_interval_is_the_t_interval_of_the_differences(tmp_path: Path) -> None:
    a = run(tmp_path, [records(r, np.full(N, 5.0 + r)) for r in range(3)])
    b = run(tmp_path, [records(r, np.full(N, 5.0 + r + d)) for r, d in enumerate([1, 2, 3])])
    row = of_metric(compare(a, b), MEAN)
    # t(0.975; 2) = 4.30265, standard error 1/sqrt(3)
    assert row.difference == pytest.approx(2.0)
    assert row.high == pytest.approx(2 + 4.30265 / np.sqrt(3), rel=1e-5)


def test_an_unpaired_interval_is_welchs(tmp_path: Path) -> None:
    from scipy import stats

    values_a, values_b = [1.0, 2.0, 4.0], [10.0, 30.0, 20.0, 25.0]
    a = run(tmp_path, [records(r, np.full(N, v)) for r, v in enumerate(values_a)])
    b = run(tmp_path, [records(r, np.full(N, v)) for r, v in enumerate(values_b)], "seed=2")
    row = of_metric(compare(a, b), MEAN)
    expected = stats.ttest_ind(values_b, values_a, equal_var=False).confidence_interval(0.95)
    assert (row.low, row.high) == pytest.approx((expected.low, expected.high))


def test_equal_runs_are_equal(tmp_path: Path) -> None:
    runs = [run(tmp_path, [records(r, luck(r)) for r in range(3)]) for _ in range(2)]
    found = compare(*runs)
    assert of_metric(found, MEAN).answer == "equal"
    assert of_metric(found, UTILISATION).answer == "equal"
    assert found.requests is not None
    assert found.requests.faster_share == found.requests.slower_share == 0


def test_one_replication_cannot_tell(tmp_path: Path) -> None:
    a, b = (run(tmp_path, [records(0, luck(0) * factor)]) for factor in (1, 9))
    row = of_metric(compare(a, b), MEAN)
    assert row.answer == "cannot tell"
    assert "run more" in str(row.reason)


def test_only_common_replications_are_paired(tmp_path: Path) -> None:
    a = run(tmp_path, [records(r, luck(r)) for r in range(5)])
    b = run(tmp_path, [records(r, luck(r) + 1) for r in range(2, 4)])
    found = compare(a, b)
    assert found.replications == (2, 2)
    assert of_metric(found, MEAN).difference == pytest.approx(1.0)
    assert any("replications: 2, 3" in warning for warning in found.warnings)


def test_the_same_sessions_are_paired_request_by_request(tmp_path: Path) -> None:
    change_s = np.where(np.arange(N) < 50, -0.5, 0.25)
    change_s[-20:] = 0.0
    a = run(tmp_path, [records(r, luck(r) + 1) for r in range(3)])
    b = run(tmp_path, [records(r, luck(r) + 1 + change_s) for r in range(3)])
    pairs = compare(a, b).requests
    assert pairs is not None
    assert pairs.n == 3 * N
    assert pairs.faster_share == pytest.approx(50 / N)
    assert pairs.slower_share == pytest.approx((N - 70) / N)
    assert pairs.mean_s == pytest.approx(change_s.mean())


def test_other_sessions_are_not_paired_request_by_request(tmp_path: Path) -> None:
    a = run(tmp_path, [records(r, luck(r)) for r in range(2)])
    b = run(tmp_path, [records(r, luck(r), arrivals=1) for r in range(2)])
    assert compare(a, b).requests is None


def test_what_both_scenarios_have_is_compared_once() -> None:
    metrics = list(main_metrics(scenario(), scenario()))
    targets = [target.metric for target in scenario().targets]
    assert metrics[: len(targets)] == targets
    assert len(metrics) == len(set(metrics))
    assert {UTILISATION, "browse.response_s.p50", "all.response_s.p95"} <= set(metrics)


def test_a_metric_neither_run_has_is_refused_with_advice(tmp_path: Path) -> None:
    a = run(tmp_path, [records(0, luck(0))])
    with pytest.raises(ResultsError, match=r"brwse.*browse"):
        compare(a, a, ["brwse.response_s.p95"])


def test_the_picture_names_runs_pairing_and_warnings(tmp_path: Path) -> None:
    a = run(tmp_path, [records(r, luck(r)) for r in range(3)])
    b = run(tmp_path, [records(r, luck(r) * 2) for r in range(3)], "seed=2")
    text = shown(compare(a, b))
    for words in (a.name, b.name, MEAN, "unpaired", "other seeds", "left out"):
        assert words in text


def shown(comparison: Comparison) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(render(comparison))
    return captured.get()
