"""The report's chapters on offices, on a small city that is really simulated."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.engine import simulate
from sim.report import write_report
from sim.report.office_series import FLOWS, MARGIN_DAYS, OfficeSeries, read_office_series
from sim.results import Run, RunWriter
from sim.scenario.scenario import Scenario

DAY_S = 86400.0
REPLICATIONS = 2


def stored(question: Scenario, folder: Path) -> Run:
    with RunWriter.resume_or_create(folder, question) as writer:
        for replication in range(REPLICATIONS):
            writer.add(replication, simulate(question, replication))
        return writer.finish()


@pytest.fixture(scope="module")
def run(city_dict: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Ten days of the small city's offices, without its portal."""
    window = {"start": "2024-11-25T00:00", "duration_s": 10 * DAY_S, "warm_up_s": DAY_S}
    offices = {"fed_by": "demand", "officer_journey": None, "online_hours": "flat"}
    question = Scenario.model_validate(city_dict(offices=offices, window=window))
    return stored(question, tmp_path_factory.mktemp("offices"))


@pytest.fixture(scope="module")
def series(run: Run) -> OfficeSeries:
    return read_office_series(run, run.scenario)


def test_a_report_of_offices_alone_has_no_chapter_on_the_portal(run: Run, tmp_path: Path) -> None:
    page = write_report([run], tmp_path / "report.html").read_text()
    for title in ("Terms kept", "Backlog", "Officers", "Decision 766"):
        assert title in page
    for title in ("Response times", "Where the time goes", "Stations"):
        assert f">{title}<" not in page


def test_a_portal_and_its_offices_are_both_reported(
    city_dict: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    question = Scenario.model_validate(city_dict())
    page = write_report([stored(question, tmp_path)], tmp_path / "report.html").read_text()
    for title in ("Terms kept", "Backlog", "Officers", "Response times", "Stations"):
        assert title in page


def test_the_flow_ends_with_all_that_ever_happened(run: Run, series: OfficeSeries) -> None:
    dossiers = run.table("dossiers", ["submitted_s", "received_s", "closed_s"])
    last = {name: counts[-1] * REPLICATIONS for name, counts in series.flow.items()}
    assert list(last) == list(FLOWS)
    assert last["filed"] == dossiers.num_rows
    for name in ("received", "closed"):
        at_s = dossiers[f"{name}_s"].to_numpy()
        assert last[name] == np.count_nonzero(~np.isnan(at_s))
    gaps = -np.diff(np.array(list(series.flow.values())), axis=0)
    assert (gaps >= 0).all()


def test_open_dossiers_over_time_are_those_between_filed_and_closed(series: OfficeSeries) -> None:
    open_at_edges = series.flow["filed"] - series.flow["closed"]
    mean = sum(series.open_in.values())
    low = np.minimum(open_at_edges[:-1], open_at_edges[1:])
    day = round(DAY_S / series.bins.length_s)
    assert "returned" not in series.open_in
    assert mean[::day].max() <= open_at_edges.max()
    assert mean.min() >= low.min()


def test_margins_hold_every_judged_decision_once(run: Run, series: OfficeSeries) -> None:
    dossiers = run.table("dossiers", ["decided_s", "due_s"])
    decided_s, due_s = (dossiers[name].to_numpy() for name in ("decided_s", "due_s"))
    window = run.scenario.window
    judged = (decided_s >= window.warm_up_s) & (decided_s < window.duration_s) & ~np.isnan(due_s)
    late = judged & (decided_s > due_s)
    assert series.margins.sum() * REPLICATIONS == judged.sum() > 0
    assert series.margins[: MARGIN_DAYS + 1].sum() * REPLICATIONS == late.sum()


def test_parts_of_a_dossiers_time_sum_to_its_life_until_now(run: Run, series: OfficeSeries) -> None:
    assert series.spent_s.keys() == {"land"}
    assert sum(series.spent_s["land"].values()) > 0
    assert set(series.used) == {"communes.desk", "department.desk"}
    assert all(0 <= np.nanmax(used) <= 1 for used in series.used.values())
