"""When a load test stops early: streaks, grace, silence, the default rule, the scenario's block."""

from typing import Any

import pytest

from loadtests.abort import DEFAULT_RULE, FEWEST_ATTEMPTS, AbortRules, Second, Tally, rules_of
from sim.scenario import ScenarioError, load_scenario
from sim.scenario.run import AbortRule

GROUPS = {"submit": "write", "file_upload": "write", "facets": "browse"}


def rule(metric: str = "all.failed_share", **limits: Any) -> AbortRule:
    return AbortRule(metric=metric, **({"above": 0.2, "for_s": 3, "grace_s": 0} | limits))


def heard(t_s: float, endpoint: str = "submit", **outcomes: int) -> Second:
    return Second(t_s, {endpoint: Tally(outcomes)})


def stops_at(rules: AbortRules, seconds: list[Second]) -> float | None:
    """Return when the first reason comes back."""
    return next((second.t_s for second in seconds if rules.feed(second) is not None), None)


def answers(t_s: float, *response_s: float, endpoint: str = "submit") -> Second:
    return Second(t_s, {endpoint: Tally({"ok": len(response_s)}, response_s)})


def shipped(*overrides: str) -> Any:
    return load_scenario("peak-hour", overrides)


def test_a_rule_fires_once_its_condition_has_held_for_its_time():
    rules = AbortRules([rule(for_s=3)], GROUPS)
    assert stops_at(rules, [heard(t, failed=9, ok=1) for t in range(1, 9)]) == 3


def test_an_interruption_begins_the_time_anew():
    rules = AbortRules([rule(for_s=3)], GROUPS)
    seconds = [heard(t, failed=0 if t == 3 else 9, ok=1) for t in range(1, 9)]
    assert stops_at(rules, seconds) == 6


def test_a_share_at_the_bound_is_no_breach():
    rules = AbortRules([rule(above=0.2)], GROUPS)
    assert stops_at(rules, [heard(t, failed=2, ok=8) for t in range(1, 60)]) is None


def test_nothing_is_judged_before_the_grace_is_over():
    rules = AbortRules([rule(for_s=3, grace_s=10)], GROUPS)
    assert stops_at(rules, [heard(t, failed=9) for t in range(1, 30)]) == 13


def test_a_second_without_attempts_neither_fires_nor_interrupts():
    rules = AbortRules([rule(for_s=4)], GROUPS)
    seconds = [heard(1, failed=9), heard(2), heard(3), heard(4), heard(5, failed=9)]
    assert stops_at(rules, seconds) == 5


def test_a_long_silence_begins_the_time_anew():
    rules = AbortRules([rule(for_s=3)], GROUPS)
    seconds = [heard(1, failed=9), heard(60, failed=9), heard(61, failed=9), heard(62, failed=9)]
    assert stops_at(rules, seconds) == 62


def test_a_handful_of_attempts_stops_nothing():
    rules = AbortRules([rule(for_s=3)], GROUPS)
    assert stops_at(rules, [heard(t, failed=1) for t in range(1, 30)]) == FEWEST_ATTEMPTS


def test_a_rule_of_one_endpoint_does_not_see_the_others():
    rules = AbortRules([rule("file_upload.failed_share")], GROUPS)
    assert stops_at(rules, [heard(t, "submit", failed=9) for t in range(1, 30)]) is None
    assert stops_at(rules, [heard(t, "file_upload", failed=9) for t in range(30, 60)]) == 32


def test_a_group_takes_its_endpoints_together():
    both = {"submit": Tally({"failed": 3}), "file_upload": Tally({"ok": 7})}
    rules = AbortRules([rule("write.failed_share", above=0.25)], GROUPS)
    assert stops_at(rules, [Second(t, both) for t in range(1, 30)]) == 3
    rules = AbortRules([rule("write.failed_share", above=0.35)], GROUPS)
    assert stops_at(rules, [Second(t, both) for t in range(1, 30)]) is None


def test_the_quantile_is_that_of_the_second():
    rules = AbortRules([rule("submit.response_s.p95", above=1)], GROUPS)
    slow = [*[0.1] * 94, *[5.0] * 6]
    assert stops_at(rules, [answers(t, *slow) for t in range(1, 30)]) == 3
    rules = AbortRules([rule("submit.response_s.p95", above=1)], GROUPS)
    assert stops_at(rules, [answers(t, *[0.1] * 95, *[5.0] * 5) for t in range(1, 30)]) is None


@pytest.mark.parametrize("statistic", ["mean", "p50", "p90", "p95", "p99", "max"])
def test_a_histogram_says_the_same_as_its_values(statistic: str):
    whole = Tally({"ok": 10}, [0.1, 0.2, 0.2, 0.2, 0.3, 0.3, 0.4, 0.5, 0.6, 2.0])
    parts = Tally({"ok": 10}, [2.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [1, 1, 3, 2, 1, 1, 1])
    for bound in (0.05, 0.25, 0.35, 0.47, 0.7, 1.9, 2.1):
        metric = f"all.response_s.{statistic}"
        stops = [
            stops_at(
                AbortRules([rule(metric, above=bound)], GROUPS),
                [Second(t, {"submit": tally}) for t in range(1, 9)],
            )
            for tally in (whole, parts)
        ]
        assert stops[0] == stops[1]


def test_the_reason_names_the_rule_and_what_was_seen():
    reason = AbortRules([rule(for_s=1)], GROUPS).feed(heard(1, failed=9, ok=3))
    assert reason is not None
    assert (
        "all.failed_share was above 20 % for 1 s (75 % in the last second, 12 attempts)" in reason
    )
    assert "{metric: all.failed_share, above: 0.2, for_s: 1}" in reason


def test_a_scenario_without_rules_stops_when_half_of_all_is_wrong():
    rules = AbortRules.from_scenario(shipped("abort=[]"))
    assert stops_at(rules, [heard(t, rejected=6, ok=4) for t in range(1, 60)]) == 20
    rules = AbortRules.from_scenario(shipped("abort=[]"))
    assert stops_at(rules, [heard(t, rejected=5, ok=5) for t in range(1, 60)]) is None


def test_a_rule_on_the_same_metric_replaces_the_default():
    own = shipped("abort=[{metric: all.ok_share, below: 0.1}]")
    assert [str(each.below) for each in rules_of(own)] == ["0.1"]
    other = shipped("abort=[{metric: all.failed_share, above: 0.1}]")
    assert rules_of(other)[-1] is DEFAULT_RULE


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("{metric: nothing.failed_share, above: 0.1}", "unknown group 'nothing'"),
        ("{metric: app.cpu.utilisation.mean, above: 0.1}", "not seen second by second"),
        ("{metric: all.rate_per_s, above: 0.1}", "not seen second by second"),
        ("{metric: all.failed_share, above: 20}", "20 must be a share between 0 and 1"),
        ("{metric: all.response_s.p95, above: -1}", "-1 must be at least 0"),
        ("{metric: all.failed_share}", "give above or below, exactly one"),
        ("{metric: all.failed_share, above: 0.1, for_s: 0 s}", "must be greater than 0"),
    ],
)
def test_a_wrong_rule_is_told_with_its_place(row: str, told: str):
    with pytest.raises(ScenarioError, match="abort") as caught:
        shipped(f"abort=[{row}]")
    assert told in str(caught.value)


def test_abort_rules_do_not_decide_the_records():
    digests = {
        shipped(f"abort=[{{metric: all.ok_share, below: {x}}}]").digest() for x in (0.1, 0.2)
    }
    assert digests == {shipped("abort=[]").digest()}
