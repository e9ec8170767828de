"""Traces: drawn sessions and requests, and their files."""

import dataclasses
import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from sim.demand import DemandError, Trace, catalogue_of, draw_trace, load_trace, save_trace
from sim.demand.arrivals import session_profiles
from sim.demand.journeys import expected_requests
from sim.demand.trace import TOGETHER, TRACE_VERSION, WHILE_SYNCING
from sim.results import ResultsError
from sim.scenario.scenario import Scenario

ENDPOINTS = ("page", "list", "login", "upload", "form", "pay", "submit", "poll")
COLUMNS = [field.name for field in dataclasses.fields(Trace)]

SUBMIT = [
    {"step": "home", "calls": {"page": 5, "list": 2}, "together": 3, "think": "uniform 4 s"},
    {"step": "read", "think": "exponential 40 s"},
    {"step": "login", "calls": {"login": 2}, "think": "lognormal 20 s cv 1.5"},
    {
        "step": "papers",
        "calls": {"upload": "upload_slots", "form": "e_forms"},
        "think": "60 s",
        "upload": {"mean_bytes": "1 MB", "cv": 0.5, "max_bytes": "2 MB"},
    },
    {"step": "pay", "calls": {"pay": 3}, "only_with_fee": True, "next": {"send": 0.9}},
    {"step": "send", "calls": {"submit": 1}, "think": "exponential 10 s"},
    {
        "step": "poll",
        "calls": {"poll": 2},
        "together": 2,
        "repeat": 4,
        "while_syncing": True,
        "think": "3500 ms",
    },
]
BROWSE = [
    {"step": "home", "calls": {"page": 3}, "together": 6, "next": {"search": 0.7}},
    {"step": "search", "calls": {"list": 2}, "next": {"search": 0.4, "detail": 0.4}},
    {"step": "detail", "calls": {"page": 1}, "next": {"search": 0.3, "home": 0.1}},
]


def build(journeys=None, seed=1, duration_s=3600.0, dossiers=1_000_000, made=None, **demand):
    """Return a scenario: an hour of about 2000 sessions unless told otherwise."""
    journeys = journeys or {"submit": SUBMIT, "browse": BROWSE}
    return Scenario.model_validate(
        {
            "name": "trace",
            "seed": seed,
            "city": {"name": "Hải Phòng"},
            "window": {"start": "2024-11-25T08:00", "duration_s": duration_s},
            "catalogue": {
                "procedures": 50,
                "integrated": 40,
                "full_process_share": 0.9,
                "active_share": 0.5,
                "limit_sigma": 0.5,
                "fee_share": 0.4,
                "fee_median_vnd": 50_000,
                "upload_slots_mean": 2.5,
                "upload_slots_max": 8,
                "e_form_share": 0.5,
                "domains": {"land": {"share": 1, "limit_median_days": 5}},
            },
            "demand": {
                "dossiers_per_year": dossiers,
                "online_share": 1,
                "months": [1] * 12,
                "weekdays": [1] * 7,
                "hours": {"day": [0] * 8 + [1] * 4 + [0.5] * 8 + [0] * 4},
                "journeys": {
                    name: {"per_dossier": 3 if name == "browse" else 1, "hours": "day"}
                    for name in journeys
                },
            }
            | ({} if made is None else {"journeys": made})
            | demand,
            "channels": {
                "fibre": {"share": 0.5, "uplink_bit_per_s": 1e7},
                "mobile": {"share": 0.3, "uplink_bit_per_s": 1e6},
                "office": {"share": 0.2, "uplink_bit_per_s": 1e6},
            },
            "clients": {"citizen": {}},
            "journeys": {
                name: {"client": "citizen", "steps": steps} for name, steps in journeys.items()
            },
            "portal": {
                "tiers": {},
                "endpoints": {name: {"group": "all", "program": []} for name in ENDPOINTS},
            },
        }
    )


def alone(*steps, **options):
    """Return the trace of a scenario with one journey of these steps."""
    return draw_trace(build({"visit": list(steps)}, **options), 0)


def assert_same(one, other):
    for name in COLUMNS:
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, name
            assert a.tobytes() == b.tobytes(), name
        else:
            assert a == b, name


def of_endpoint(trace, name):
    return trace.endpoint == ENDPOINTS.index(name)


def session_of_request(trace):
    return np.repeat(np.arange(trace.n_sessions), np.diff(trace.first_request))


def test_columns_have_their_types_and_lengths():
    trace = draw_trace(build(), 0)
    types = {"journey": "int32", "service": "int32", "channel": "int32", "endpoint": "int16"}
    types |= {"think_s": "float64", "bytes_up": "int64", "flags": "uint8", "key": "uint64"}
    types |= {"arrival_s": "float64", "first_request": "int64"}
    assert {name: str(getattr(trace, name).dtype) for name in types} == types
    for name in ("endpoint", "think_s", "bytes_up", "flags", "key"):
        assert len(getattr(trace, name)) == trace.n_requests
    assert len(trace.first_request) == trace.n_sessions + 1


def test_every_request_belongs_to_one_session():
    trace = draw_trace(build(), 0)
    assert trace.first_request[0] == 0
    assert trace.first_request[-1] == trace.n_requests
    assert (np.diff(trace.first_request) > 0).all()  # every session here begins with requests


def test_sessions_come_in_order_of_arrival_within_the_window():
    arrival_s = draw_trace(build(), 0).arrival_s
    assert (np.diff(arrival_s) >= 0).all()
    assert ((arrival_s >= 0) & (arrival_s < 3600)).all()


def test_one_seed_gives_one_trace():
    assert_same(draw_trace(build(), 0), draw_trace(build(), 0))


def test_a_replication_is_reached_directly():
    scenario = build(duration_s=300)
    in_turn = [draw_trace(scenario, r) for r in range(38)]
    assert_same(in_turn[37], draw_trace(scenario, 37))


@pytest.mark.parametrize("other", [{"replication": 1}, {"seed": 2}])
def test_another_replication_or_seed_gives_another_trace(other):
    one = draw_trace(build(), 0)
    two = draw_trace(build(seed=other.get("seed", 1)), other.get("replication", 0))
    assert not np.isin(one.arrival_s, two.arrival_s).any()
    assert not np.isin(one.key, two.key).any()


def test_requests_have_keys_of_their_own():
    trace = draw_trace(build(), 0)
    assert len(np.unique(trace.key)) == trace.n_requests


def test_more_browsing_leaves_the_submissions_as_they_are():
    def submissions(scenario):
        trace = draw_trace(scenario, 0)
        chosen = trace.journey == trace.journeys.index("submit")
        requests = chosen[session_of_request(trace)]
        return trace.arrival_s[chosen], trace.service[chosen], trace.key[requests]

    much = {
        "submit": {"per_dossier": 1, "hours": "day"},
        "browse": {"per_dossier": 9, "hours": "day"},
    }
    for a, b in zip(submissions(build()), submissions(build(made=much)), strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_trace_names_its_origin():
    scenario = build(seed=7)
    trace = draw_trace(scenario, 3)
    assert (trace.seed, trace.replication) == (7, 3)
    assert trace.scenario_digest == scenario.digest()
    assert trace.journeys == ("submit", "browse")
    assert trace.channels == ("fibre", "mobile", "office")
    assert trace.endpoints == ENDPOINTS
    assert trace.services == catalogue_of(scenario).services.code


def test_sessions_arrive_as_often_as_their_profile_says():
    scenario = build()
    journeys = np.concatenate([draw_trace(scenario, r).journey for r in range(10)])
    for index, profile in enumerate(session_profiles(scenario).values()):
        mean = 10 * profile.expected_counts.sum()
        assert abs(np.count_nonzero(journeys == index) - mean) < 4 * math.sqrt(mean)


def test_services_are_chosen_by_weight():
    scenario = build(duration_s=4 * 3600)
    weight = catalogue_of(scenario).services.weight
    counts = np.bincount(draw_trace(scenario, 0).service, minlength=len(weight))
    assert not counts[weight == 0].any()
    expected = counts.sum() * weight[weight > 0]
    assert stats.chisquare(counts[weight > 0], expected).pvalue > 0.001


def test_channels_are_drawn_by_share():
    counts = np.bincount(draw_trace(build(duration_s=4 * 3600), 0).channel)
    assert stats.chisquare(counts, counts.sum() * np.array([0.5, 0.3, 0.2])).pvalue > 0.001


def test_a_journey_may_name_its_channel():
    base = build().model_dump(mode="json")
    base["journeys"]["browse"]["channel"] = "office"
    trace = draw_trace(Scenario.model_validate(base), 0)
    assert set(trace.channel[trace.journey == 1].tolist()) == {2}
    assert set(trace.channel[trace.journey == 0].tolist()) == {0, 1, 2}


def test_services_and_channels_are_independent():
    trace = draw_trace(build(duration_s=4 * 3600), 0)
    most_wanted = np.argsort(np.bincount(trace.service))[-4:]
    table = [np.bincount(trace.channel[trace.service == s], minlength=3) for s in most_wanted]
    assert stats.chi2_contingency(table).pvalue > 0.001


@pytest.mark.parametrize("journey", ["submit", "browse"])
def test_requests_per_session_average_what_the_chain_says(journey):
    scenario = build(duration_s=4 * 3600)
    expected = expected_requests(scenario, catalogue_of(scenario))[journey]
    trace = draw_trace(scenario, 0)
    n_cells = trace.n_sessions * len(ENDPOINTS)
    cell = session_of_request(trace) * len(ENDPOINTS) + trace.endpoint
    counts = np.bincount(cell, minlength=n_cells).reshape(-1, len(ENDPOINTS))
    counts = counts[trace.journey == trace.journeys.index(journey)]
    standard_error = counts.std(axis=0) / math.sqrt(len(counts))
    assert (abs(counts.mean(axis=0) - expected) <= 4 * standard_error + 1e-12).all()


def test_a_session_does_its_steps_in_order():
    scenario = build({"submit": SUBMIT})
    trace = draw_trace(scenario, 0)
    services = catalogue_of(scenario).services
    for session in range(50):
        papers = int(services.upload_slots[trace.service[session]])
        forms = int(services.e_form[trace.service[session]])
        begin, end = trace.first_request[session : session + 2]
        names = [ENDPOINTS[i] for i in trace.endpoint[begin:end]]
        head = ["page"] * 5 + ["list"] * 2 + ["login"] * 2 + ["upload"] * papers + ["form"] * forms
        paid = ["pay"] * 3 if services.fee_vnd[trace.service[session]] > 0 else []
        left = not paid or "submit" in names
        assert names == head + paid + (["submit"] + ["poll"] * 8 if left else [])


def test_requests_are_sent_in_waves():
    trace = alone(SUBMIT[0], SUBMIT[-1])
    together = (trace.flags & TOGETHER > 0).reshape(trace.n_sessions, -1)
    home, poll = [False, True, True, False, True, True, False], [False, True] * 4
    assert (together == home + poll).all()


def test_only_polls_are_skipped_once_nothing_synchronises():
    trace = draw_trace(build(), 0)
    assert ((trace.flags & WHILE_SYNCING > 0) == of_endpoint(trace, "poll")).all()


def test_only_the_first_request_of_a_round_waits_for_the_person():
    trace = alone(SUBMIT[0], SUBMIT[2], SUBMIT[-1])
    thinks = (trace.think_s > 0).reshape(trace.n_sessions, -1)
    assert (thinks == [True, *[False] * 6, True, False, *[True, False] * 4]).all()


@pytest.mark.parametrize(
    ("think", "law"),
    [
        ("uniform 4 s", stats.uniform(0, 8)),
        ("exponential 40 s", stats.expon(scale=40)),
        (
            "lognormal 20 s cv 1.5",
            stats.lognorm(math.sqrt(math.log(3.25)), scale=20 / math.sqrt(3.25)),
        ),
    ],
)
def test_think_times_follow_their_distribution(think, law):
    trace = alone({"step": "home", "calls": {"page": 1}, "think": think, "repeat": 4})
    by_round = trace.think_s.reshape(-1, 4)
    assert stats.kstest(trace.think_s, law.cdf).pvalue > 0.001
    assert abs(np.corrcoef(by_round[:, 0], by_round[:, 1])[0, 1]) < 4 / math.sqrt(len(by_round))


def test_thinking_before_a_step_without_requests_delays_the_next_request():
    read = {"step": "read", "think": "7 s", "repeat": 2}
    home, list_ = ({"step": n, "calls": {n: 1}, "think": "3 s"} for n in ("page", "list"))
    trace = alone(home, read, list_, read | {"step": "linger"})
    assert (trace.think_s.reshape(-1, 2) == [3.0, 17.0]).all()


def test_thinking_never_passes_into_another_session():
    read = {"step": "read", "think": "7 s", "next": {"page": 0.5}}
    trace = alone(read, {"step": "page", "calls": {"page": 1}, "think": "3 s"})
    assert 0 < trace.n_requests < trace.n_sessions
    assert set(trace.think_s.tolist()) == {10.0}


def test_sessions_may_want_nothing_at_all():
    trace = alone({"step": "home", "think": "5 s"})
    assert trace.n_sessions > 0
    assert trace.n_requests == 0
    assert not trace.first_request.any()


def test_nobody_may_come():
    trace = draw_trace(build(hours={"day": [0] * 23 + [1]}), 0)
    assert (trace.n_sessions, trace.n_requests) == (0, 0)


def test_a_journey_nobody_makes_has_no_sessions():
    trace = draw_trace(build(made={"browse": {"per_dossier": 1, "hours": "day"}}), 0)
    assert trace.journeys == ("submit", "browse")
    assert set(trace.journey.tolist()) == {1}


def test_only_steps_with_uploads_send_bytes():
    trace = draw_trace(build(), 0)
    sends = of_endpoint(trace, "upload") | of_endpoint(trace, "form")
    assert ((trace.bytes_up > 0) == sends).all()


def test_upload_sizes_are_lognormal_up_to_their_maximum():
    step = {"step": "papers", "calls": {"upload": 20}, "together": 20}
    trace = alone(step | {"upload": {"mean_bytes": 1e6, "cv": 0.5, "max_bytes": 1.5e6}})
    sigma = math.sqrt(math.log(1.25))
    law = stats.lognorm(sigma, scale=1e6 * math.exp(-(sigma**2) / 2))
    share = law.sf(1.5e6)
    capped = trace.bytes_up == 1_500_000
    n = trace.n_requests
    assert trace.bytes_up.max() == 1_500_000
    assert abs(capped.mean() - share) < 4 * math.sqrt(share * (1 - share) / n)
    assert stats.kstest(law.cdf(trace.bytes_up[~capped]) / (1 - share), "uniform").pvalue > 0.001


def test_an_upload_has_at_least_one_byte():
    upload = {"mean_bytes": 0.01, "max_bytes": 0.5}
    assert (alone({"step": "x", "calls": {"upload": 1}, "upload": upload}).bytes_up == 1).all()


def test_a_trace_does_not_depend_on_how_it_is_cut_into_blocks(monkeypatch):
    whole = draw_trace(build(duration_s=600), 0)
    for size in (1, 1000):
        monkeypatch.setattr("sim.demand.drawing.BLOCK_REQUESTS", size)
        assert_same(whole, draw_trace(build(duration_s=600), 0))


def test_busier_days_have_more_sessions():
    scenario = build(day_effect_cv=0.5, duration_s=600)
    counts = np.array([draw_trace(scenario, r).n_sessions for r in range(60)])
    # Poisson counts alone would give a ratio of 1, within 4 standard errors of sqrt(2/60).
    assert counts.var() / counts.mean() > 1 + 4 * math.sqrt(2 / 60)


def test_too_many_requests_are_refused_with_their_number():
    with pytest.raises(DemandError, match=r"about [0-9,]{5,} million requests, more than 200 mill"):
        draw_trace(build(dossiers=1e12), 0)


def test_a_trace_does_not_depend_on_the_hash_seed():
    code = (
        "import sys, hashlib; from sim.demand import draw_trace; "
        "from sim.scenario.scenario import Scenario; "
        "t = draw_trace(Scenario.model_validate_json(sys.stdin.read()), 0); "
        "print(hashlib.sha256(t.key.tobytes() + t.think_s.tobytes()).hexdigest())"
    )
    trace = draw_trace(build(), 0)
    here = hashlib.sha256(trace.key.tobytes() + trace.think_s.tobytes()).hexdigest()
    there = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "123"},
        input=build().model_dump_json(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert there.strip() == here


def test_a_saved_trace_is_read_back_bit_for_bit(tmp_path):
    trace = draw_trace(build(), 2)
    save_trace(trace, tmp_path / "trace")
    assert_same(trace, load_trace(tmp_path / "trace"))


def test_an_empty_trace_is_read_back(tmp_path):
    trace = draw_trace(build(hours={"day": [0] * 23 + [1]}), 0)
    save_trace(trace, tmp_path / "trace")
    assert_same(trace, load_trace(tmp_path / "trace"))


def test_saving_again_replaces_the_trace(tmp_path):
    for replication in (0, 1):
        save_trace(draw_trace(build(duration_s=60), replication), tmp_path / "trace")
    assert load_trace(tmp_path / "trace").replication == 1
    assert [path.name for path in tmp_path.iterdir()] == ["trace"]


def saved(tmp_path, name="trace", replication=0):
    save_trace(draw_trace(build(duration_s=60), replication), tmp_path / name)
    return tmp_path / name


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(ResultsError, match=r"sessions\.parquet: not found; is .*nothing a trace"):
        load_trace(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["sessions", "requests"])
def test_a_missing_file_is_told(tmp_path, name):
    folder = saved(tmp_path)
    (folder / f"{name}.parquet").unlink()
    with pytest.raises(ResultsError, match=rf"{name}\.parquet: not found"):
        load_trace(folder)


@pytest.mark.parametrize("name", ["sessions", "requests"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_told(tmp_path, name, kept):
    file = saved(tmp_path) / f"{name}.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ResultsError, match=rf"{name}\.parquet: damaged"):
        load_trace(file.parent)


def test_a_trace_of_another_version_is_refused(tmp_path, monkeypatch):
    folder = saved(tmp_path)
    monkeypatch.setattr("sim.demand.trace.TRACE_VERSION", TRACE_VERSION + 1)
    message = f"trace of version {TRACE_VERSION}, this hoso reads version {TRACE_VERSION + 1}"
    with pytest.raises(ResultsError, match=message):
        load_trace(folder)


def test_files_of_two_traces_do_not_make_one(tmp_path):
    one, other = saved(tmp_path, "one"), saved(tmp_path, "other", replication=1)
    (other / "requests.parquet").replace(one / "requests.parquet")
    with pytest.raises(ResultsError, match="files do not belong"):
        load_trace(one)


def test_a_file_of_something_else_is_refused(tmp_path):
    folder = saved(tmp_path)
    pq.write_table(pa.table({"x": [1]}), folder / "sessions.parquet")
    with pytest.raises(ResultsError, match="not written as part of a trace"):
        load_trace(folder)


def test_a_file_without_a_column_is_refused(tmp_path):
    file = saved(tmp_path) / "requests.parquet"
    pq.write_table(pq.ParquetFile(file).read().drop_columns("key"), file)
    with pytest.raises(ResultsError, match="not the columns of a trace"):
        load_trace(file.parent)


def test_a_folder_that_holds_anything_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ResultsError, match=r"thesis\.txt, which is no part of a trace"):
        save_trace(draw_trace(build(), 0), tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_a_think_factor_shortens_thinking_and_nothing_else():
    ordinary, hasty = draw_trace(build(), 0), draw_trace(build(think_factor=0.25), 0)
    assert hasty.think_s == pytest.approx(ordinary.think_s * 0.25, rel=1e-12)
    for name in ("arrival_s", "endpoint", "bytes_up", "flags", "key"):
        assert np.array_equal(getattr(hasty, name), getattr(ordinary, name))
