"""The trust verdict of a load test: every single reason is enough against it."""

import dataclasses
import math

import numpy as np
import pytest

from loadtests.trust import (
    CPU_WINDOW_S,
    Figures,
    judge_trust,
    too_few_requests,
    worst_cpu_shares,
)
from sim.scenario.scenario import Scenario

GOOD = Figures(
    cpu_share_mean=0.4,
    cpu_share_max=0.6,
    waiting_share=0.01,
    lateness_p50_s=0.0005,
    lateness_p99_s=0.002,
    lateness_max_s=0.05,
    requests=10_000,
    dropped=0,
)


def test_a_quiet_generator_is_trusted() -> None:
    trust = judge_trust(GOOD)
    assert (trust.verdict, trust.reasons) == ("trustworthy", ())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"cpu_share_max": 0.71}, "core"),
        ({"lateness_p99_s": 0.0051}, "late"),
        ({"dropped": 1}, "not started"),
        ({"missing_workers": ("worker 1 (here)",)}, "worker 1"),
        ({"faults_missed": ("payment down",)}, "payment down"),
        ({"too_few": {"all.response_s.p99": 12}}, "too few"),
        ({"requests": 0, "lateness_p99_s": math.nan}, "no request"),
    ],
)
def test_one_reason_is_enough(change: dict, word: str) -> None:
    trust = judge_trust(dataclasses.replace(GOOD, **change))
    assert trust.verdict == "untrustworthy"
    (reason,) = trust.reasons
    assert word in reason


def test_figures_at_their_limits_are_trusted() -> None:
    figures = dataclasses.replace(GOOD, cpu_share_max=0.70, lateness_p99_s=0.005)
    assert judge_trust(figures).verdict == "trustworthy"


def test_lateness_that_others_cause_is_told_apart() -> None:
    late = dataclasses.replace(GOOD, lateness_p99_s=0.1, waiting_share=0.5)
    assert "other programs" in judge_trust(late).reasons[0]
    own = dataclasses.replace(GOOD, lateness_p99_s=0.1, waiting_share=math.nan)
    assert "--processes" in judge_trust(own).reasons[0]


def test_the_verdict_is_json_with_unknown_numbers_null() -> None:
    json = judge_trust(dataclasses.replace(GOOD, waiting_share=math.nan)).to_json()
    assert isinstance(json, dict)
    assert json["verdict"] == "trustworthy"
    assert json["figures"]["waiting_share"] is None
    assert json["figures"]["requests"] == 10_000


def test_a_short_burst_is_no_reason_but_a_long_one_is() -> None:
    t_s = np.arange(1.0, 61.0)
    burst, plateau = np.full(60, 0.2), np.full(60, 0.2)
    burst[30:33] = 1.0
    plateau[30:42] = 1.0
    assert worst_cpu_shares([(t_s, burst)])[1] == pytest.approx((3 * 1.0 + 7 * 0.2) / CPU_WINDOW_S)
    assert worst_cpu_shares([(t_s, plateau)])[1] == pytest.approx(1.0)


def test_the_busiest_process_counts() -> None:
    t_s = np.arange(1.0, 31.0)
    mean, peak = worst_cpu_shares([(t_s, np.full(30, 0.1)), (t_s, np.full(30, 0.8))])
    assert (mean, peak) == (pytest.approx(0.8), pytest.approx(0.8))


def test_a_run_shorter_than_the_window_is_averaged_as_a_whole() -> None:
    t_s = np.arange(1.0, 5.0)
    assert worst_cpu_shares([(t_s, np.full(4, 0.9))])[1] == pytest.approx(0.9)
    assert math.isnan(worst_cpu_shares([])[0])


@pytest.mark.parametrize(("n", "is_enough"), [(199, False), (200, True)])
def test_a_quantile_needs_ten_requests_beyond_it(scenario_dict, one_endpoint, n, is_enough) -> None:
    targets = [
        {"metric": "all_of_them.response_s.p95", "at_most": 1.0},
        {"metric": "all.response_s.mean", "at_most": 1.0},
        {"metric": "all.ok_share", "at_least": 0.9},
    ]
    scenario = Scenario.model_validate(scenario_dict(one_endpoint([]), targets=targets))
    found = too_few_requests(scenario, ("e",), {"e": n})
    assert found == ({} if is_enough else {"all_of_them.response_s.p95": n})
