"""What memory holds decides how a replication is cut, never what it gives."""

from pathlib import Path

import pytest

from sim.demand import expected_size
from sim.demand.drawing import SESSION_BYTES
from sim.experiment import ExperimentError, processes_that_fit, run_experiment
from sim.experiment.memory import (
    FEWEST_SESSIONS,
    PROCESS_BYTES,
    machine_memory,
    memory_in_all,
    sessions_at_once,
)
from sim.scenario import Scenario, load_scenario
from sim.sizing import size

GB = 1e9


def question(*overrides: str) -> Scenario:
    return load_scenario("peak-hour", overrides)


def least_bytes(scenario: Scenario) -> float:
    """Return the least memory that a replication is not refused, to 1 MB."""
    refused, fits = 0.0, 100 * GB
    while fits - refused > 1e6:
        tried = (refused + fits) / 2
        try:
            sessions_at_once("compiled", scenario, 0, tried)
            fits = tried
        except ExperimentError:
            refused = tried
    return fits


def test_memory_is_half_of_the_machines_unless_stated() -> None:
    assert memory_in_all(question()) == machine_memory() / 2
    assert memory_in_all(question("execution.memory=4 GB")) == 4 * GB


def test_a_container_has_no_more_memory_than_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, unlimited = tmp_path / "limit", tmp_path / "unlimited"
    limit.write_text("2000000\n")
    unlimited.write_text("max\n")
    monkeypatch.setattr("sim.experiment.memory._CGROUP_LIMITS", (unlimited, tmp_path / "absent"))
    assert machine_memory() > 2e6
    monkeypatch.setattr("sim.experiment.memory._CGROUP_LIMITS", (unlimited, limit))
    assert machine_memory() == 2e6


def test_what_fits_is_not_cut() -> None:
    assert sessions_at_once("compiled", question(), 0, 100 * GB) is None
    assert sessions_at_once("simpy", question(), 0, 100 * GB) is None


def test_less_memory_means_smaller_pieces() -> None:
    large = question("demand.dossiers_per_year=1e8")
    sessions = expected_size(large, 0).sessions
    pieces = [sessions_at_once("compiled", large, 0, memory * GB) for memory in (2, 3, 4)]
    assert pieces == sorted(pieces)  # type: ignore[type-var]
    assert all(piece is not None and FEWEST_SESSIONS / 2 <= piece < sessions for piece in pieces)


def test_a_long_replication_takes_little_more_than_its_sessions_without_requests() -> None:
    hour = question("demand.dossiers_per_year=1e7")
    day = load_scenario("peak-day", ["demand.dossiers_per_year=1e7"])
    sessions = expected_size(day, 0).sessions - expected_size(hour, 0).sessions
    least = [least_bytes(scenario) for scenario in (hour, day)]
    assert 0 < least[1] - least[0] < 1.2 * SESSION_BYTES * sessions


@pytest.mark.parametrize(("engine", "memory"), [("compiled", 0.4), ("simpy", 4)])
def test_what_does_not_fit_at_all_says_what_it_takes(engine: str, memory: float) -> None:
    large = question("demand.dossiers_per_year=1e8")
    with pytest.raises(ExperimentError, match=r"takes .* GB, there are .* GB .*execution\.memory"):
        sessions_at_once(engine, large, 0, memory * GB)  # type: ignore[arg-type]


def test_a_run_that_does_not_fit_is_refused_before_it_is_drawn(tmp_path: Path) -> None:
    large = question("demand.dossiers_per_year=1e9", "execution.memory=2 GB")
    with pytest.raises(ExperimentError, match="which SimPy needs whole"):
        run_experiment(large, results_root=tmp_path, processes=1, engine="simpy")


def test_sizing_runs_as_many_processes_as_fit() -> None:
    scenario = question("execution.memory=2 GB")
    assert processes_that_fit("simpy", scenario, 1) == 1
    many = processes_that_fit("simpy", scenario, 64)
    assert 1 < many < 2 * GB / PROCESS_BYTES["simpy"]


def test_sizing_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ExperimentError, match="as sizing needs it"):
        size(question("demand.dossiers_per_year=1e9", "execution.memory=2 GB"), engine="simpy")


def test_memory_is_not_part_of_the_question() -> None:
    assert question().digest() == question("execution.memory=1 GB").digest()


def offices(dossiers: float, *overrides: str) -> Scenario:
    return load_scenario("city-year", [f"demand.dossiers_per_year={dossiers}", *overrides])


def test_offices_alone_need_memory_for_their_dossiers() -> None:
    few, many = (offices(n, "execution.memory=10 GB") for n in (1e6, 4e6))
    assert 1 < processes_that_fit("compiled", many, 64) < processes_that_fit("compiled", few, 64)


def test_offices_alone_are_not_cut(tmp_path: Path) -> None:
    assert sessions_at_once("compiled", offices(1e6), 0, 10 * GB) is None
    with pytest.raises(ExperimentError, match=r"million dossiers takes .* GB"):
        sessions_at_once("compiled", offices(1e7), 0, 1 * GB)
    too_many = offices(1e7, "execution.memory=1 GB")
    with pytest.raises(ExperimentError, match="as offices need it"):
        run_experiment(too_many, results_root=tmp_path, engine="simpy")


def test_officers_sessions_count_where_they_load_the_portal() -> None:
    with_officers = load_scenario("office-day")
    without = load_scenario("office-day", ["backoffice.officer_journey=null"])
    memory = 1.3 * GB
    assert sessions_at_once("compiled", without, 0, memory) is None
    assert sessions_at_once("compiled", with_officers, 0, memory) is not None
