"""Predictions of small portals against sums done by hand."""

import math
from typing import Any

import pytest

from sim.analytic import Prediction, formulas, predict
from sim.demand.journeys import expected_requests
from sim.scenario.scenario import Scenario

HOUR_S = 3600.0
SESSIONS_PER_S = 2.0
EVEN = [1] * 24


def scenario(
    program: list[dict[str, Any]],
    *,
    portal: dict[str, Any] | None = None,
    demand: dict[str, Any] | None = None,
    step: dict[str, Any] | None = None,
) -> Scenario:
    """Build one journey of one request, two sessions a second, all day and all year."""
    parts = {"tiers": {"app": {"servers": 2, "cores": 2}}} | (portal or {})
    sessions_per_day = SESSIONS_PER_S * 86400
    content = {
        "name": "small",
        "city": {"name": "Hải Phòng"},
        "window": {"start": "2024-11-25T08:00:00", "duration_s": HOUR_S},
        "catalogue": {
            "procedures": 10,
            "integrated": 10,
            "full_process_share": 1,
            "active_share": 1,
            "limit_sigma": 0,
            "fee_share": 0,
            "fee_median_vnd": 1000,
            "upload_slots_mean": 3,
            "upload_slots_max": 3,
            "e_form_share": 0,
            "domains": {"land": {"share": 1, "limit_median_days": 10}},
        },
        "demand": {
            "dossiers_per_year": sessions_per_day * 366,
            "online_share": 1,
            "months": [1] * 12,
            "weekdays": [1] * 7,
            "hours": {"even": EVEN},
            "journeys": {"visit": {"per_dossier": 1, "hours": "even"}},
        }
        | (demand or {}),
        "channels": {"fibre": {"share": 1, "uplink_bit_per_s": 8e6, "round_trip_s": 0.02}},
        "clients": {"citizen": {}},
        "journeys": {
            "visit": {
                "client": "citizen",
                "steps": [{"step": "ask", "calls": {"page": 1}} | (step or {})],
            }
        },
        "portal": parts
        | {"endpoints": {"page": {"group": "browse", "program": program, "files_dossier": True}}},
    }
    return Scenario.model_validate(content)


def work(mean_s: float) -> dict[str, Any]:
    return {"cpu": "app", "work": {"distribution": "exponential", "mean_s": mean_s}}


def predicted(*args: Any, **kwargs: Any) -> Prediction:
    return predict(scenario(*args, **kwargs))


def test_traffic_is_that_of_the_demand() -> None:
    answer = predicted([work(0.1)])
    assert answer.sessions == pytest.approx(SESSIONS_PER_S * HOUR_S)
    assert answer.sessions_mean_per_s["visit"] == pytest.approx(SESSIONS_PER_S)
    assert answer.endpoints["page"].rate_peak_per_s == pytest.approx(SESSIONS_PER_S)
    assert answer.dossiers == pytest.approx(answer.requests)


def test_requests_agree_with_those_the_journeys_are_drawn_from() -> None:
    from sim.demand import catalogue_of

    question = scenario([work(0.1)], step={"calls": {"page": "upload_slots"}, "repeat": 2})
    expected = expected_requests(question, catalogue_of(question))["visit"].sum()
    assert predict(question).requests_per_session["visit"] == pytest.approx(expected)


def test_a_processor_is_loaded_by_rate_times_work_over_cores() -> None:
    load = predicted([work(0.1), work(0.3)]).station("app.cpu")
    assert load.utilisation_peak == pytest.approx(SESSIONS_PER_S * 0.4 / 4)


def test_one_shared_processor_answers_as_m_m_c() -> None:
    answer = predicted([work(1.5)]).endpoints["page"]
    expected = formulas.mmc_ps_response_mean(4, SESSIONS_PER_S, 1.5)
    assert answer.zero_load_s == pytest.approx(1.52)
    assert answer.response_peak_s == pytest.approx(0.02 + expected)


def test_servers_dealt_in_turn_are_queues_of_their_own() -> None:
    tiers = {"app": {"servers": 2, "cores": 2, "balancing": "round_robin"}}
    answer = predicted([work(1.5)], portal={"tiers": tiers}).endpoints["page"]
    expected = formulas.mmc_ps_response_mean(2, SESSIONS_PER_S / 2, 1.5)
    assert answer.response_peak_s == pytest.approx(0.02 + expected)


def test_turns_on_a_core_wait_by_allen_cunneen() -> None:
    tiers = {"app": {"cores": 1, "discipline": "fcfs"}}
    answer = predicted([{"cpu": "app", "work": 0.4}], portal={"tiers": tiers})
    expected = formulas.mg1_wait_mean(SESSIONS_PER_S, 0.4, 0.0)
    assert answer.station("app.cpu").wait_peak_s == pytest.approx(expected)


def test_a_worker_is_held_while_a_gateway_answers() -> None:
    portal = {
        "tiers": {"app": {"servers": 2, "cores": 2, "workers": 5}},
        "gateways": {"sso": {"latency": 0.5}},
    }
    answer = predicted([{"take": "app"}, work(0.01), {"call": "sso"}], portal=portal)
    assert answer.station("app.workers").offered_peak == pytest.approx(SESSIONS_PER_S * 0.51)
    assert answer.station("app.workers").capacity == 10


def test_a_released_token_is_held_no_longer() -> None:
    program = [{"take": "connections"}, work(0.1), {"release": "connections"}, {"delay": 5}]
    answer = predicted(program, portal={"pools": {"connections": {"capacity": 4}}})
    assert answer.station("connections").offered_peak == pytest.approx(SESSIONS_PER_S * 0.1)


def test_pools_of_every_server_count_together() -> None:
    portal = {
        "tiers": {"app": {"servers": 3, "cores": 1, "workers": 9}},
        "pools": {"connections": {"capacity": 4, "per_server_of": "app"}},
    }
    answer = predicted([{"take": "app"}, {"take": "connections"}, work(0.1)], portal=portal)
    assert answer.station("connections").capacity == 12


def test_waiting_further_in_holds_what_was_taken_before() -> None:
    portal = {
        "tiers": {"app": {"servers": 1, "cores": 50, "workers": 40}},
        "pools": {"connections": {"capacity": 2}},
    }
    program = [{"take": "app"}, {"take": "connections"}, {"delay": 0.9}]
    answer = predicted(program, portal=portal)
    wait_s = formulas.mmc_wait_mean(2, SESSIONS_PER_S, 0.9)
    workers = answer.station("app.workers")
    assert workers.offered_peak == pytest.approx(SESSIONS_PER_S * 0.9)
    assert workers.held_peak == pytest.approx(SESSIONS_PER_S * (0.9 + wait_s))


def test_an_upload_takes_its_time_on_the_clients_own_line() -> None:
    portal = {"links": {"uplink": {"bandwidth_bit_per_s": 100e6}}}
    answer = predicted(
        [{"transfer": "uplink"}], portal=portal, step={"upload": {"mean_bytes": 1e6, "cv": 0}}
    )
    assert answer.endpoints["page"].zero_load_s == pytest.approx(0.02 + 8e6 / 8e6)
    assert answer.station("uplink").utilisation_peak == pytest.approx(SESSIONS_PER_S * 8e6 / 100e6)


def test_a_rate_limit_is_loaded_by_calls() -> None:
    portal = {"gateways": {"sso": {"latency": 0.5, "concurrency": 10, "rate_limit_per_s": 5}}}
    answer = predicted([{"call": "sso"}, {"call": "sso"}], portal=portal)
    assert answer.station("sso", "rate_limit").offered_peak == pytest.approx(4)
    assert answer.station("sso", "gateway").offered_peak == pytest.approx(2)


def test_too_much_work_is_said_to_have_no_steady_state() -> None:
    answer = predicted([work(3.0)])
    assert answer.bottleneck is not None
    assert answer.bottleneck.name == "app.cpu"
    assert not answer.bottleneck.is_stable
    assert answer.headroom == pytest.approx(4 / (SESSIONS_PER_S * 3))
    assert answer.endpoints["page"].response_peak_s == math.inf


def test_demand_grown_by_the_headroom_saturates_the_bottleneck() -> None:
    small = predicted([work(0.1)])
    grown = predicted([work(0.1)], demand={"day_factor": small.headroom})
    assert grown.station("app.cpu").utilisation_peak == pytest.approx(1)


def test_the_peak_is_the_interval_of_the_surge() -> None:
    surge = {"kind": "surge", "from_s": 1800, "to_s": 2400, "factor": 3}
    answer = predicted([work(0.1)], demand={"events": [surge]})
    load = answer.station("app.cpu")
    assert 1800 <= answer.peak_from_s < 2400
    assert load.offered_peak == pytest.approx(3 * SESSIONS_PER_S * 0.1)
    assert load.offered_mean == pytest.approx(SESSIONS_PER_S * 0.1 * (1 + 2 / 6))


def test_autoscaling_brings_utilisation_below_its_target() -> None:
    scaling = {"min_servers": 1, "max_servers": 8, "target_utilisation": 0.5}
    tiers = {"app": {"servers": 1, "cores": 2, "autoscaling": scaling}}
    load = predicted([work(2.6)], portal={"tiers": tiers}).station("app.cpu")
    assert load.capacity == 12
    assert load.capacity_most == 16


def test_a_job_whose_batch_outlasts_its_period_skips_ticks() -> None:
    # 10 items, 2 at once, 3 s each: 15 s, so every second tick of 10 s is skipped.
    job = {"period_s": 10, "batch": 10, "workers": 2, "program": [{"delay": 3}]}
    answer = predicted([work(0.1), {"enqueue": "sync"}], portal={"jobs": {"sync": job}})
    assert answer.jobs["sync"].capacity_per_s == pytest.approx(10 / 20)
    assert answer.jobs["sync"].zero_load_s == pytest.approx(8)


def test_items_beyond_a_jobs_capacity_pile_up() -> None:
    job = {"period_s": 10, "batch": 15, "initial_queue": 100}
    answer = predicted([work(0.1), {"enqueue": "sync"}], portal={"jobs": {"sync": job}})
    balance = answer.jobs["sync"]
    assert balance.backlog_end == pytest.approx(100 + (SESSIONS_PER_S - 1.5) * HOUR_S)
    assert balance.delay_max_s == pytest.approx(balance.backlog_max / 1.5)


def test_the_next_job_gets_only_what_the_one_before_works_off() -> None:
    jobs = {
        "second": {"period_s": 1, "batch": 100, "program": [work(0.2)]},
        "first": {"period_s": 10, "batch": 10, "then": "second"},
    }
    answer = predicted([{"enqueue": "first"}], portal={"jobs": jobs})
    assert answer.jobs["second"].items_peak_per_s == pytest.approx(1)
    assert answer.station("app.cpu").offered_peak == pytest.approx(0.2)
