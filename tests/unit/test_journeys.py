"""Journeys as tables, their exact means, and their page."""

import re
from pathlib import Path

import numpy as np
import pytest

from sim.demand.errors import DemandError
from sim.demand.journey_page import journey_diagram, journey_page, journey_table
from sim.demand.journeys import (
    END,
    compile_journeys,
    expected_dossiers_per_session,
    expected_requests,
    expected_visits,
)
from sim.demand.procedures import Catalogue
from sim.scenario import load_scenario
from sim.scenario.scenario import Scenario

PAGE = Path(__file__).resolve().parents[2] / "docs" / "journeys.md"
ENDPOINTS = ("page", "upload", "form", "pay", "submit")


def build(**journeys):
    """Return a scenario with these journeys, each a list of steps."""
    return Scenario.model_validate(
        {
            "name": "journeys",
            "city": {"name": "Hải Phòng"},
            "window": {"start": "2024-11-25T08:00", "duration_s": 3600},
            "catalogue": {
                "procedures": 10,
                "integrated": 10,
                "full_process_share": 1,
                "active_share": 1,
                "limit_sigma": 0.5,
                "fee_share": 0,
                "fee_median_vnd": 1000,
                "upload_slots_mean": 1,
                "upload_slots_max": 2,
                "e_form_share": 0,
                "domains": {"land": {"share": 1, "limit_median_days": 5}},
            },
            "demand": {
                "dossiers_per_year": 1000,
                "online_share": 1,
                "months": [1] * 12,
                "weekdays": [1] * 7,
                "hours": {"flat": [1] * 24},
                "journeys": {name: {"per_dossier": 1, "hours": "flat"} for name in journeys},
            },
            "channels": {"fibre": {"share": 1, "uplink_bit_per_s": 1e7}},
            "clients": {"citizen": {}},
            "journeys": {
                name: {"client": "citizen", "steps": steps} for name, steps in journeys.items()
            },
            "portal": {
                "tiers": {},
                "endpoints": {
                    name: {"group": "all", "program": [], "files_dossier": name == "submit"}
                    for name in ENDPOINTS
                },
            },
        }
    )


def services(papers=(1,), fees=(0,), forms=(0,), weights=(1.0,), integrated=None):
    """Return a catalogue of so many services."""
    n = len(papers)
    text = ("x",) * n
    return Catalogue(
        code=tuple(f"1.{i:06d}" for i in range(n)),
        name=text,
        domain=text,
        agency=text,
        level=("province",) * n,
        online_level=("full",) * n,
        integrated=np.array([True] * n if integrated is None else integrated),
        limit_h=np.full(n, 40.0),
        fee_vnd=np.array(fees, dtype=np.int64),
        upload_slots=np.array(papers, dtype=np.int64),
        e_form=np.array(forms, dtype=bool),
        weight=np.array(weights),
        archetype=text,
    )


def requests(steps, catalogue=None):
    means = expected_requests(build(visit=steps), catalogue or services())["visit"]
    return dict(zip(ENDPOINTS, means.tolist(), strict=True))


def test_steps_of_all_journeys_are_numbered_through():
    home, form = {"step": "home"}, {"step": "form", "next": {"home": 0.5}}
    tables = compile_journeys(build(browse=[home, form], file=[home, form]))
    assert [step.step for step in tables.steps] == ["home", "form", "home", "form"]
    assert tables.start.tolist() == [0, 2]
    assert tables.next_row.tolist() == [1, END, 3, END]
    assert tables.target[:, 0].tolist() == [1, 0, 3, 2]


def test_every_step_of_a_straight_journey_is_done_once():
    steps = [{"step": name, "calls": {name: 2}} for name in ("page", "form", "submit")]
    assert requests(steps) == {"page": 2, "upload": 0, "form": 2, "pay": 0, "submit": 2}


def test_a_loop_is_done_a_geometric_number_of_times():
    steps = [{"step": "home", "calls": {"page": 3}, "next": {"home": 0.75}}]
    assert requests(steps)["page"] == pytest.approx(3 / 0.25, rel=1e-12)


def test_what_is_left_of_probability_leaves():
    steps = [
        {"step": "home", "calls": {"page": 1}, "next": {"form": 0.5, "pay": 0.2}},
        {"step": "form", "calls": {"form": 1}, "next": {"pay": 0.1}},
        {"step": "pay", "calls": {"pay": 1}},
    ]
    means = requests(steps)
    assert (means["form"], means["pay"]) == pytest.approx((0.5, 0.25), rel=1e-12)


def test_a_step_with_no_next_step_is_the_last():
    steps = [{"step": "home", "calls": {"page": 1}, "next": {}}, {"step": "x", "calls": {"pay": 1}}]
    assert requests(steps)["pay"] == 0


def test_probabilities_that_miss_1_by_rounding_let_nobody_leave():
    shares = dict.fromkeys(("a", "b", "c", "d", "e", "f"), 1 / 6)
    steps = [{"step": "home", "next": shares}, *({"step": name} for name in shares)]
    tables = compile_journeys(build(visit=steps))
    assert sum(shares.values()) < 1
    assert tables.cumulative[0, -1] == 1.0


def test_rounds_repeat_all_requests_of_a_step():
    steps = [{"step": "poll", "calls": {"page": 3}, "repeat": 13, "while_syncing": True}]
    assert requests(steps)["page"] == 39


def test_papers_and_forms_count_by_the_weights_of_services():
    steps = [{"step": "form", "calls": {"upload": "upload_slots", "form": "e_forms"}, "repeat": 2}]
    catalogue = services((0, 4, 9), (0,) * 3, (1, 1, 0), (0.25, 0.5, 0.25))
    means = requests(steps, catalogue)
    assert (means["upload"], means["form"]) == pytest.approx((2 * 4.25, 2 * 0.75), rel=1e-12)


def test_services_that_are_not_integrated_do_not_count():
    steps = [{"step": "form", "calls": {"upload": "upload_slots"}}]
    catalogue = services((1, 5), (0, 0), (0, 0), (1.0, 0.0), integrated=[True, False])
    assert requests(steps, catalogue)["upload"] == 1


def test_without_a_fee_the_next_row_follows_whatever_the_step_says():
    steps = [
        {"step": "home", "calls": {"page": 1}, "next": {"pay": 1.0}},
        {"step": "pay", "calls": {"pay": 1}, "only_with_fee": True, "next": {"home": 0.5}},
        {"step": "submit", "calls": {"submit": 1}},
    ]
    free, paid = services(fees=(0,)), services(fees=(50_000,))
    assert requests(steps, free) == {"page": 1, "upload": 0, "form": 0, "pay": 0, "submit": 1}
    assert requests(steps, paid) == {"page": 2, "upload": 0, "form": 0, "pay": 2, "submit": 0}


def test_papers_of_services_with_a_fee_count_where_only_those_go():
    steps = [
        {"step": "pay", "calls": {"pay": 1, "upload": "upload_slots"}, "only_with_fee": True},
        {"step": "submit", "calls": {"submit": 1}},
    ]
    means = requests(steps, services((2, 10), (0, 1000), (0, 0), (0.9, 0.1)))
    assert means["upload"] == pytest.approx(0.1 * 10, rel=1e-12)


def test_consecutive_steps_may_be_skipped_and_so_may_the_last():
    steps = [
        {"step": "pay", "calls": {"pay": 1}, "only_with_fee": True},
        {"step": "receipt", "calls": {"page": 1}, "only_with_fee": True},
    ]
    tables = compile_journeys(build(visit=steps))
    assert expected_visits(tables, has_fee=False).tolist() == [[0, 0]]
    assert expected_visits(tables, has_fee=True).tolist() == [[1, 1]]


def test_dossiers_are_counted_by_the_requests_that_file_them():
    step = {"step": "send", "calls": {"submit": 1, "page": 9}}
    scenario = build(
        file=[{"step": "look", "next": {"send": 0.4}}, step], bulk=[step | {"repeat": 50}]
    )
    dossiers = expected_dossiers_per_session(scenario, services())
    assert dossiers == pytest.approx({"file": 0.4, "bulk": 50.0})


def test_a_journey_without_end_is_refused():
    steps = [{"step": "home"}, {"step": "poll", "next": {"home": 1.0}}]
    with pytest.raises(
        DemandError, match=r"from visit\.home, visit\.poll the end is never reached"
    ):
        compile_journeys(build(visit=steps))


def test_a_journey_whose_only_exit_costs_a_fee_is_refused():
    steps = [
        {"step": "home", "next": {"pay": 1.0}},
        {"step": "pay", "only_with_fee": True, "next": {}},
        {"step": "check", "next": {"home": 1.0}},
    ]
    with pytest.raises(DemandError, match="the end is never reached"):
        compile_journeys(build(visit=steps))


DRAWN = [
    {"step": "home", "calls": {"page": 6}, "together": 6, "next": {"end": 0.25, "pay": 0.5}},
    {"step": "pay", "calls": {"pay": 1}, "only_with_fee": True, "think": "lognormal 30 s cv 2"},
    {
        "step": "end",
        "calls": {"upload": "upload_slots"},
        "think": "3500 ms",
        "repeat": 13,
        "while_syncing": True,
    },
]


def test_the_diagram_shows_steps_choices_and_skips():
    diagram = journey_diagram(build(visit=DRAWN).journeys["visit"])
    assert diagram.splitlines() == [
        "flowchart TD",
        '  s0["home<br/>page × 6"]',
        '  s1["pay<br/>pay × 1<br/>after 30 s (lognormal, cv 2)"]',
        '  s2["end<br/>upload one per paper<br/>after 3.5 s (constant)'
        '<br/>13 rounds while the dossier synchronises"]',
        '  out(["(leaves)"])',
        "  s0 -- 0.25 --> s2",
        "  s0 -- 0.5 --> s1",
        "  s0 -- 0.25 --> out",
        "  s1 --> s2",
        "  s2 --> out",
        "  s1 -. no fee .-> s2",
    ]


def test_the_table_has_a_row_per_step():
    table = journey_table(build(visit=DRAWN).journeys["visit"]).splitlines()
    assert len(table) == 2 + 3
    assert table[2] == "| home | page × 6 | 6 | 0 s | 1 | end 0.25, pay 0.5, (leaves) 0.25 |"


def test_the_page_is_up_to_date():
    text = PAGE.read_text(encoding="utf-8")
    match = re.search(r"Written from the scenario `([a-z0-9-]+)`", text)
    assert match is not None
    name = match[1]
    assert text == journey_page(load_scenario(name)), (
        f"write it anew: python -m sim.demand.journey_page {name} docs/journeys.md"
    )
