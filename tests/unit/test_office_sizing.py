"""Sizing finds the fewest officers that keep the terms."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sim.metrics import estimate
from sim.scenario import load_scenario
from sim.scenario.scenario import Scenario
from sim.sizing import Sizing, render, size, write_override
from sim.sizing.knobs import counts_of, knobs_of, officers_in_all, with_counts

DAY_S = 86400.0
KEY = "backoffice.offices.department.teams.desk.officers_per_office"
BOUND_S = 1500.0


@pytest.fixture
def question(city_dict: Callable[..., dict[str, Any]]) -> Scenario:
    """One department around the clock: how many officers keep the wait short?"""
    tasks = ("receive", "assign", "examine", "approve", "sign", "release")
    team = {"officers_per_office": 9, "does": tasks, "roster": []}
    hours = {
        "spans": [{"opens": "0:00", "closes": "12:00"}, {"opens": "12:00", "closes": "23:59"}],
        "weekdays": list(range(7)),
    }
    offices = {
        "fed_by": "demand",
        "officer_journey": None,
        "online_hours": "flat",
        "initial_state": {},
        "offices": {"department": {"count": 1, "hours": hours, "teams": {"desk": team}}},
    }
    whole = city_dict(
        offices=offices,
        window={"start": "2024-11-25T00:00", "duration_s": 2 * DAY_S, "warm_up_s": DAY_S / 2},
        targets=[{"metric": "backoffice.waiting_officer_s.mean", "at_most": BOUND_S}],
        execution={"replications": 3},
    )
    return Scenario.model_validate(whole)


def sized(scenario: Scenario) -> Sizing:
    with ThreadPoolExecutor(1) as executor:
        return size(scenario, executor=executor, processes=2, engine="simpy")


def waits_s(scenario: Scenario, replications: range) -> list[float]:
    from sim.engine import simulate

    metric = "backoffice.waiting_officer_s.mean"
    return [estimate(simulate(scenario, number), scenario, metric).value for number in replications]


def test_one_officer_fewer_keeps_people_waiting_too_long(question: Scenario) -> None:
    answer = sized(question)
    assert answer.is_certified
    assert [knob.key for knob in answer.knobs] == [KEY]
    fewer = with_counts(question, {KEY: answer.counts[KEY] - 1})
    fresh = range(50, 53)
    assert min(waits_s(fewer, fresh)) > BOUND_S > max(waits_s(answer.sized, fresh))


def test_an_answer_is_written_and_read_again(
    question: Scenario, tmp_path: Path, city_dict: Callable[..., dict[str, Any]]
) -> None:
    changed = with_counts(question, {KEY: 5})
    assert counts_of(changed, knobs_of(changed)) == {KEY: 5}
    assert officers_in_all(changed) == 5
    answer = sized(question)
    text = write_override(answer, tmp_path / "sized.yaml", "city-year").read_text()
    assert f"officers_per_office: {answer.counts[KEY]}  # source: hoso size" in text
    assert "roster" not in text
    assert render(answer) is not None


def test_officers_are_spread_as_they_were_counted(tmp_path: Path) -> None:
    scenario = load_scenario("city-year")
    knobs = knobs_of(scenario)
    counts = counts_of(scenario, knobs)
    assert sum(counts.values()) == officers_in_all(scenario)
    one_more = {key: count + 1 for key, count in counts.items()}
    assert counts_of(with_counts(scenario, one_more), knobs) == one_more
    assert all(knob.at_least <= knob.start for knob in knobs)


def test_behind_a_portal_officers_stay_as_they_are() -> None:
    assert all(knob.kind != "officers" for knob in knobs_of(load_scenario("office-day")))
