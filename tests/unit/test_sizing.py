"""Sizing finds the smallest capacity, says what it knows, and writes it as a scenario."""

import io
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from sim.analytic.formulas import mmc_wait_mean
from sim.demand import Trace, draw_trace
from sim.engine import simulate
from sim.experiment import ExperimentError
from sim.results import Records
from sim.scenario import load_scenario
from sim.scenario.scenario import Scenario
from sim.sizing import Sizing, render, size, write_override
from sim.sizing.knobs import with_counts

SERVICE_S = 1.0
RATE_PER_S = 5.0
SECONDS_PER_YEAR = 366 * 86400


def question(target: dict[str, object], **portal: object) -> Scenario:
    """Return M/M/c as a scenario: one tier behind one queue, served in turn."""
    tier = {"cores": 9, "discipline": "fcfs"} | portal
    return Scenario.model_validate(
        {
            "name": "mmc",
            "seed": 5,
            "city": {"name": "test"},
            "window": {"start": "2024-11-25T00:00", "duration_s": 700, "warm_up_s": 100},
            "catalogue": {
                "procedures": 1,
                "integrated": 1,
                "full_process_share": 1,
                "active_share": 1,
                "limit_sigma": 1,
                "fee_share": 0,
                "fee_median_vnd": 1,
                "upload_slots_mean": 0,
                "upload_slots_max": 0,
                "e_form_share": 0,
                "domains": {"any": {"share": 1, "limit_median_days": 5}},
            },
            "demand": {
                "dossiers_per_year": RATE_PER_S * SECONDS_PER_YEAR,
                "online_share": 1,
                "months": [1] * 12,
                "weekdays": [1] * 7,
                "hours": {"flat": [1] * 24},
                "journeys": {"visit": {"per_dossier": 1, "hours": "flat"}},
            },
            "channels": {"line": {"share": 1, "uplink_bit_per_s": "100 Mbit/s"}},
            "clients": {"person": {}},
            "journeys": {
                "visit": {"client": "person", "steps": [{"step": "ask", "calls": {"page": 1}}]}
            },
            "portal": {
                "tiers": {"app": tier},
                "endpoints": {
                    "page": {
                        "group": "browse",
                        "program": [{"cpu": "app", "work": f"exponential {SERVICE_S} s"}],
                    }
                },
            },
            "targets": [target],
            "execution": {"replications": 4},
        }
    )


def sized(scenario: Scenario) -> Sizing:
    with ThreadPoolExecutor(1) as executor:
        return size(scenario, executor=executor, processes=2, engine="simpy")


def smallest_by_erlang_c(bound_s: float) -> int:
    return next(
        cores
        for cores in range(int(RATE_PER_S * SERVICE_S) + 1, 50)
        if mmc_wait_mean(cores, RATE_PER_S, SERVICE_S) + SERVICE_S <= bound_s
    )


def test_the_smallest_capacity_is_that_of_erlang_c() -> None:
    bound_s = 1.4
    answer = sized(question({"metric": "page.response_s.mean", "at_most": bound_s}))
    assert answer.is_certified
    assert answer.counts == {"portal.tiers.app.cores": smallest_by_erlang_c(bound_s)}


@pytest.mark.slow
def test_certified_answers_hold_in_95_percent_of_seeds() -> None:
    bound_s = 1.4
    least = smallest_by_erlang_c(bound_s)
    scenario = question({"metric": "page.response_s.mean", "at_most": bound_s})
    answers = [sized(scenario.model_copy(update={"seed": seed})) for seed in range(40)]
    certified = [answer for answer in answers if answer.is_certified]
    right = [answer for answer in certified if answer.counts["portal.tiers.app.cores"] >= least]
    assert len(certified) >= 38
    assert len(right) >= 0.95 * len(certified)


def test_a_target_that_capacity_cannot_meet_is_said_not_sized() -> None:
    answer = sized(question({"metric": "page.response_s.mean", "at_most": 0.5}))
    assert not answer.is_certified
    assert "do not help" in answer.reason
    assert "page.response_s.mean" in answer.reason


def test_a_scenario_without_targets_is_said_not_sized() -> None:
    scenario = question({"metric": "page.response_s.mean", "at_most": 2}).model_copy(
        update={"targets": ()}
    )
    answer = sized(scenario)
    assert not answer.is_certified
    assert "no targets" in answer.reason


def test_confirming_replications_are_fresh() -> None:
    answer = sized(question({"metric": "page.response_s.mean", "at_most": 1.6}))
    assert answer.is_certified
    assert min(answer.confirmed_on) > 1000


def test_tiers_with_several_servers_are_sized_by_servers() -> None:
    scenario = question(
        {"metric": "page.response_s.mean", "at_most": 1.6},
        servers=6,
        cores=2,
        balancing="least_connections",
    )
    answer = sized(scenario)
    assert list(answer.counts) == ["portal.tiers.app.servers"]
    assert answer.counts["portal.tiers.app.servers"] in (3, 4)


def test_the_override_is_a_scenario_that_states_only_the_counts(tmp_path: Path) -> None:
    parent = load_scenario("peak-hour")
    answer = Sizing(
        scenario=parent,
        knobs=(),
        before={},
        counts={},
        is_certified=True,
        confidence=0.95,
        results=[],
        confirmed_on=(1, 2),
        steps=(),
        reason="",
    )
    path = write_override(answer, tmp_path / "sized.yaml", "peak-hour", ["seed=3"])
    text = path.read_text(encoding="utf-8")
    assert yaml.safe_load(text)["extends"] == "peak-hour"
    assert "--set seed=3" in text


def test_an_override_in_another_folder_finds_its_parent(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: peak-hour\n", encoding="utf-8")
    answer = sized(question({"metric": "page.response_s.mean", "at_most": 1.6}))
    path = write_override(answer, tmp_path / "out" / "sized.yaml", str(tmp_path / "mine.yaml"))
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["extends"] == "../mine.yaml"


def test_servers_that_a_fault_takes_away_stay() -> None:
    scenario = question(
        {"metric": "page.response_s.mean", "at_most": 3},
        servers=9,
        cores=4,
        balancing="least_connections",
    )
    fault = {"kind": "server_lost", "target": "app", "from_s": 10, "to_s": 20, "servers": 3}
    faulty = Scenario.model_validate(scenario.model_dump(mode="json") | {"faults": [fault]})
    assert sized(faulty).counts["portal.tiers.app.servers"] >= 3


def test_the_answer_does_not_depend_on_how_many_run_at_once() -> None:
    scenario = question({"metric": "page.response_s.mean", "at_most": 1.4})
    with ThreadPoolExecutor(4) as executor:
        answers = [
            size(scenario, executor=executor, processes=n, engine="simpy") for n in (1, 3, 8)
        ]
    assert len({str(answer.steps) for answer in answers}) == 1


def test_every_candidate_meets_a_trace_that_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def draw(scenario: Scenario, replication: int, _: object) -> Trace:
        drawn.append(replication)
        return draw_trace(scenario, replication)

    monkeypatch.setattr("sim.workload.trace_cache.draw_workload", draw)
    answer = sized(question({"metric": "page.response_s.mean", "at_most": 1.4}))
    assert len(answer.steps) > 2
    assert len(drawn) == len(set(drawn))


def test_a_candidate_that_is_hopeless_is_left_after_two_replications() -> None:
    ran: list[int] = []

    def slow(scenario: Scenario, replication: int, trace: Trace | None = None) -> Records:
        ran.append(replication)
        return simulate(scenario, replication, trace)

    scenario = question({"metric": "page.response_s.mean", "at_most": 0.5})
    with ThreadPoolExecutor(1) as executor:
        answer = size(scenario, executor=executor, processes=1, simulate=slow)
    assert set(ran) == {0, 1}
    assert len(ran) == 2 * len(answer.steps)


def test_a_worker_that_dies_is_said() -> None:
    def dying(*_: object) -> None:
        raise BrokenExecutor

    scenario = question({"metric": "page.response_s.mean", "at_most": 1.6})
    with (
        ThreadPoolExecutor(1) as executor,
        pytest.raises(ExperimentError, match="a worker process died"),
    ):
        size(scenario, executor=executor, simulate=dying)


def test_the_answer_renders() -> None:
    from rich.console import Console

    answer = sized(question({"metric": "page.response_s.mean", "at_most": 1.6}))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(answer))
    assert "smallest found" in console.export_text()


def test_counts_change_nothing_else() -> None:
    scenario = question({"metric": "page.response_s.mean", "at_most": 1.6})
    changed = with_counts(scenario, {"portal.tiers.app.cores": 3})
    assert changed.portal.tiers["app"].cores == 3
    assert with_counts(changed, {"portal.tiers.app.cores": 9}) == scenario
