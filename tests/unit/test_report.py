"""The report and its parts, on a small portal that is really simulated."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.engine import simulate
from sim.explain import answer, explain
from sim.metrics import judge_all
from sim.report import write_report
from sim.report.answers import answers_of, warnings_of
from sim.report.bins import bins_for
from sim.report.canvas import linear_ticks
from sim.report.series import read_series
from sim.report.spending import time_spent
from sim.report.verdict import distrust, headline
from sim.report.wording import duration, metric_value, money, number, rate, share
from sim.results import LEVELS, Records, Run, RunWriter
from sim.scenario.scenario import Scenario

HOLDS = {"metric": "all.response_s.p50", "at_most": 10}
MISSES = {"metric": "all.response_s.p50", "at_most": 0.001}
HOSTILE = "<script>alert('x')</script> $100 [bold]"
UNDECIDED = {"metric": "page.response_s.p99", "at_most": 10}
"""p99 needs a thousand requests in a replication; the small portal sees fewer."""


def scenario(**changes: Any) -> Scenario:
    """Build ten minutes of half a session a second: a page, then a dossier that is synchronised."""
    server = [{"take": "app"}, {"cpu": "app", "work": "exponential 100 ms"}]
    content: dict[str, Any] = {
        "name": "small",
        "title": "A small portal",
        "city": {"name": "Hải Phòng"},
        "window": {"start": "2024-11-25T08:00:00", "duration_s": 600, "drain_s": 300},
        "catalogue": {
            "procedures": 20,
            "integrated": 20,
            "full_process_share": 1,
            "active_share": 1,
            "limit_sigma": 0,
            "fee_share": 0,
            "fee_median_vnd": 1000,
            "upload_slots_mean": 1,
            "upload_slots_max": 1,
            "e_form_share": 0,
            "domains": {"land": {"share": 1, "limit_median_days": 10}},
        },
        "demand": {
            "dossiers_per_year": 0.5 * 86400 * 366,
            "online_share": 1,
            "months": [1] * 12,
            "weekdays": [1] * 7,
            "hours": {"even": [1] * 24},
            "journeys": {"file": {"per_dossier": 1, "hours": "even"}},
        },
        "channels": {"fibre": {"share": 1, "uplink_bit_per_s": 8e6, "round_trip_s": 0.02}},
        "clients": {"citizen": {"patience": "10 s"}},
        "journeys": {
            "file": {
                "client": "citizen",
                "steps": [
                    {"step": "look", "calls": {"page": 1}},
                    {"step": "send", "calls": {"submit": 1}, "think": "exponential 20 s"},
                ],
            }
        },
        "portal": {
            "tiers": {"app": {"servers": 1, "cores": 1, "workers": 4, "queue_limit": 50}},
            "jobs": {"sync": {"period_s": 30, "batch": 50}},
            "endpoints": {
                "page": {"group": "browse", "program": server},
                "submit": {
                    "group": "filing",
                    "program": [*server, {"enqueue": "sync"}],
                    "files_dossier": True,
                },
            },
        },
        "budget": {"total_vnd_per_year": 4e11, "projects": 81, "core_vnd_per_month": 72000},
        "execution": {"replications": 2, "level_interval_s": 60},
    }
    return Scenario.model_validate(content | changes)


def run_of(question: Scenario, folder: Path, *, drop_levels: bool = False, **finish: Any) -> Run:
    """Simulate a scenario and store it, without levels as a load test would."""
    with RunWriter.resume_or_create(folder, question) as writer:
        for replication in range(question.execution.replications):
            records = simulate(question, replication)
            if drop_levels:
                records = Records(
                    records.requests, records.sessions, records.dossiers, LEVELS.empty_table()
                )
            writer.add(replication, records)
        return writer.finish(**finish)


def report_of(folder: Path, **changes: Any) -> str:
    run = run_of(scenario(**changes), folder)
    return write_report([run], folder / "report.html").read_text(encoding="utf-8")


def text_of(renderable: Any) -> str:
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Simulate once for all tests that only read."""
    question = scenario(title=HOSTILE, description=HOSTILE, targets=[HOLDS, MISSES])
    return run_of(question, tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def page(run: Run) -> str:
    """The report of that run and, side by side, of that run again."""
    path = write_report([run, run], run.path.parent / "report.html")
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ([HOLDS], "Holds: the only target is met."),
        ([HOLDS, MISSES, UNDECIDED], "Does not hold: 1 of 3 targets missed."),
        ([HOLDS, UNDECIDED], "Cannot tell: 1 of 2 targets undecided (page.response_s.p99)."),
        ([], "Not judged: the scenario states no targets."),
    ],
)
def test_the_answer_is_one_sentence(run: Run, targets: list[dict[str, Any]], words: str) -> None:
    assert headline(judge_all(run, scenario(targets=targets))).text.startswith(words)


def test_the_report_answers_before_it_shows(page: str) -> None:
    section = page[page.index('<section id="run-1-answer"') :]
    assert section.index("Does not hold</b>: 1 of 2 targets missed") < section.index("<svg")


def test_the_report_needs_no_other_file(page: str) -> None:
    loading = re.findall(r"<(?:script|link|img|iframe|object)\b", page)
    addresses = re.findall(r"""(?:src|href)=["'](?!#|data:)([^"']*)""", page)
    assert loading == []
    assert addresses == []
    assert "@import" not in page


def test_anchors_and_parts_of_figures_have_ids_of_their_own(page: str) -> None:
    ids = re.findall(r'\bid="([^"]*)"', page)
    links = re.findall(r'href="#([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(links) <= set(ids)


def test_texts_of_the_scenario_are_no_markup(page: str) -> None:
    assert "<script>" not in page
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; $100 [bold]" in page


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    interrupted = run_of(scenario(), tmp_path, status="interrupted")
    warnings = list(warnings_of(answers_of(interrupted, "small")))
    assert warnings == ["Interrupted: 2 replications finished."]


def test_a_measured_run_without_stations_is_reported(tmp_path: Path) -> None:
    measured = run_of(scenario(targets=[HOLDS]), tmp_path, drop_levels=True)
    written = write_report([measured], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No station was observed." in written
    assert "Response times" in written


def test_a_window_in_which_nobody_comes_is_reported(tmp_path: Path) -> None:
    nobody = scenario().demand.model_dump(mode="json") | {"dossiers_per_year": 1e-6}
    page = report_of(tmp_path, demand=nobody, targets=[HOLDS])
    assert "No request was answered." in page
    assert "Cannot tell" in page


def test_several_runs_stand_side_by_side(page: str, run: Run) -> None:
    comparison = page[page.index('id="comparison"') : page.index('id="run-1"')]
    assert f'<th scope="col">{run.name}</th>' * 2 in comparison
    assert comparison.count("✗ missed") == 2


def test_a_fully_used_station_is_named(tmp_path: Path) -> None:
    portal = scenario().portal.model_dump(mode="json", exclude_none=True)
    portal["jobs"] = {}
    slow = [{"take": "app"}, {"cpu": "app", "work": "3 s"}]
    portal["endpoints"] = {
        name: {"group": "browse", "program": slow} for name in ("page", "submit")
    }
    page = report_of(tmp_path, portal=portal)
    assert re.search(r"Fully used in the judged part of the window: app\.\w+ for \d", page)
    assert "Synchronisation" not in page


def test_series_count_every_session_and_request_once(run: Run) -> None:
    series = read_series(run, run.scenario)
    lengths_s, n = series.bins.lengths_s, len(run.replications)
    due_s = run.requests["due_s"].to_numpy()
    inside = np.count_nonzero(due_s < run.scenario.window.duration_s)
    sessions = sum(rates @ lengths_s for rates in series.sessions_per_s.values())
    requests = sum(rates @ lengths_s for rates in series.requests_per_s.values())
    services = sum(rates @ series.heat.lengths_s for rates in series.services.values())
    assert sessions * n == pytest.approx(run.sessions.num_rows)
    assert requests * n == pytest.approx(inside)
    assert services * n == pytest.approx(inside)


def test_quantiles_over_time_are_those_of_all_replications_together(tmp_path: Path) -> None:
    demand = scenario().demand.model_dump(mode="json") | {"day_factor": 8}
    question = scenario(demand=demand)
    run = run_of(question, tmp_path)
    series = read_series(run, question)
    table = run.requests.to_pydict()
    lengths = series.bins.length_s
    place = 30
    answered = [
        response_s
        for due_s, response_s, endpoint, outcome in zip(
            *(table[name] for name in ("due_s", "response_s", "endpoint", "outcome")), strict=True
        )
        if int(due_s // lengths) == place and endpoint == "page" and outcome not in ("rejected",)
    ]
    ordered = np.sort(np.array(answered, dtype=np.float32))
    assert len(ordered) >= 20
    assert series.quantiles["browse"].p50[place] == ordered[(len(ordered) - 1) // 2]


def test_time_spent_sums_to_the_session_and_counts_no_moment_twice() -> None:
    # Two requests together from 10 to 14 and to 12, of which the first waited a half of its time;
    # one failed from 20 to 23; the session lasts 30.
    spent = time_spent(
        session=np.array([0, 0, 0], dtype=np.int32),
        due_s=np.array([10.0, 10.0, 20.0]),
        wait_s=np.array([2.0, 0.0, 1.0]),
        response_s=np.array([4.0, 2.0, 3.0]),
        is_ok=np.array([True, True, False]),
        length_s=np.array([30.0, 5.0]),
    )
    assert spent.tolist() == [[23.0, 2.0, 2.0, 3.0], [5.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("end_s", [0.5, 599.0, 4800.0, 86400.0, 400 * 86400.0])
def test_bins_cover_the_window_with_few(end_s: float) -> None:
    bins = bins_for(end_s, 100)
    assert bins.n <= 100
    assert bins.edges_s[0] == 0
    assert bins.edges_s[-1] == end_s
    assert bins.lengths_s.min() > 0


def test_bins_of_stations_are_whole_intervals_of_the_records() -> None:
    assert bins_for(4800.0, 100, multiple_of_s=45.0).length_s == 90.0


@pytest.mark.parametrize("high_s", [0.003, 0.8, 7.0, 400.0, 90000.0])
def test_ticks_are_few_and_reach_the_end(high_s: float) -> None:
    ticks = linear_ticks(high_s, 5)
    assert 2 <= len(ticks) <= 6
    assert ticks[-1] <= high_s < ticks[-1] + (ticks[1] - ticks[0])


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (number(0), "0"),
        (number(1234567), "1,234,567"),
        (number(0.012345), "0.0123"),
        (duration(0.34705), "347 ms"),
        (duration(90), "90 s"),
        (duration(5400), "90 min"),
        (duration(10 * 86400), "10 days"),
        (share(0.8153), "81.5 %"),
        (share(0.995), "99.5 %"),
        (share(0.999968), "99.9968 %"),
        (share(1.0), "100 %"),
        (rate(0.02), "1.2/min"),
        (money(4e11), "400 billion VND"),
        (metric_value("app.cpu.utilisation.mean", 0.5), "50 %"),
        (metric_value("dossiers.per_s", 2.0), "2/s"),
        (metric_value("app.workers.queue.max", 12.0), "12"),
    ],
)
def test_numbers_are_told_as_people_do(told: str, words: str) -> None:
    assert told == words


def test_explaining_names_the_bottleneck_and_what_is_left_out() -> None:
    text = text_of(explain(scenario(title="[red]A title[/red]", targets=[HOLDS])))
    assert "[red]A title[/red]" in text
    assert "sync is used up first" in text or "app.cpu is used up first" in text
    assert "all.response_s.p50" in text
    assert "72,000 VND a month" in text
    assert "retries, faults and limits on queues are not included" in text


def test_the_answer_on_the_terminal_is_that_of_the_report(run: Run) -> None:
    text = text_of(answer(run))
    assert "Does not hold: 1 of 2 targets missed" in text
    assert "✓ " in text
    assert "✗ " in text


def test_a_report_of_days_has_dates_on_its_axis(tmp_path: Path) -> None:
    window = {"start": "2024-11-25T00:00:00", "duration_s": 3 * 86400}
    demand = scenario().demand.model_dump(mode="json") | {"dossiers_per_year": 20000}
    page = report_of(tmp_path, window=window, demand=demand)
    assert "Monday 25 November 2024, 00:00 to 28 November 00:00" in page
    assert ">26 Nov<" in page


def test_a_measurement_nobody_can_trust_is_not_said_to_hold():
    trust = {"verdict": "untrustworthy", "reasons": ["late"], "figures": {}}
    head = headline([], trust)
    assert head.text == "Not judged: the measurement cannot be trusted."
    assert head.answer == "cannot_tell"
    assert distrust(trust) == ["late"]
    assert distrust(None) == distrust({"verdict": "trustworthy", "reasons": []}) == []
