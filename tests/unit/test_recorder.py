"""The recorder of a load test: what goes in comes out, in files and in the live view."""

from array import array
from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from loadtests.dialects import Acknowledgement
from loadtests.histogram import LONGEST_S, N_BINS, VALUES_S, bins_of, hdr_bytes, quantile_s
from loadtests.live import LiveView, Piece
from loadtests.recorder import (
    ABANDONED,
    FAILED,
    OK,
    REJECTED,
    Part,
    Recorder,
    load_parts,
    part_folder,
)
from sim.results import ResultsError
from sim.scenario.scenario import Scenario


@pytest.fixture(name="trace")
def _trace(scenario_dict, one_endpoint, trace_of):
    """Four sessions of three requests to one endpoint."""
    scenario = Scenario.model_validate(scenario_dict(one_endpoint([]), 10.0))
    return trace_of(scenario, [0.0, 1.0, 2.0, 3.0], [{}, {}, {}])


def filled(trace) -> Recorder:
    """Return a recorder with an answer of every kind."""
    log = Recorder(trace)
    log.request(0, 0, 0.0, 0.001, 0.05, OK)
    log.request(1, 0, 0.5, 0.5, 30.0, ABANDONED)
    log.request(1, 1, 31.0, 31.0, 0.2, OK)
    log.request(3, 0, 1.0, 1.0, 0.01, FAILED)
    log.session(0, 31.2, False)
    log.session(1, 1.01, True)
    log.dropped(2, 2.0)
    log.synced(0, 60.0)
    log.acknowledged(Acknowledgement("dossier", "77", "hoso-1/0/1"), 0, 1, 1, 31.2)
    log.problem("e", "500: out of order")
    log.usage(1.0, 0.25, 0.01, 1e8, 2)
    return log


@given(st.lists(st.floats(0.0, LONGEST_S), min_size=1, max_size=50))
def test_bins_are_those_of_an_hdr_histogram(times: list[float]) -> None:
    reference = HdrHistogram(1, round(LONGEST_S * 1e6), 2)
    expected = [reference._counts_index_for(round(time_s * 1e6)) for time_s in times]
    assert bins_of(np.array(times)).tolist() == expected


@given(st.floats(1e-5, LONGEST_S))
def test_a_bin_is_at_most_one_percent_above_what_is_in_it(time_s: float) -> None:
    value_s = VALUES_S[bins_of(np.array([time_s]))[0]]
    assert time_s - 1e-6 <= value_s <= time_s * 1.01 + 1e-6


def test_longer_times_than_an_hour_count_as_an_hour() -> None:
    assert bins_of(np.array([1e9])).tolist() == [N_BINS - 1]


def test_other_programs_read_and_merge_the_histograms() -> None:
    counts = np.bincount(bins_of(np.array([0.01, 0.02, 0.03, 4.0])), minlength=N_BINS)
    merged = HdrHistogram(1, round(LONGEST_S * 1e6), 2)
    merged.decode_and_add(hdr_bytes(counts))
    merged.decode_and_add(hdr_bytes(counts))
    assert merged.get_total_count() == 8
    assert merged.get_value_at_percentile(100) == pytest.approx(4e6, rel=0.01)


def test_a_quantile_is_the_time_that_share_does_not_exceed() -> None:
    times = np.arange(1, 101) / 100.0
    counts = np.bincount(bins_of(times), minlength=N_BINS)
    assert quantile_s(counts, 0.95) == pytest.approx(0.95, rel=0.01)
    assert np.isnan(quantile_s(np.zeros(N_BINS, dtype=np.int64), 0.95))


def test_a_part_read_back_holds_what_was_recorded(trace, tmp_path: Path) -> None:
    log = filled(trace)
    log.save(part_folder(tmp_path, 3))
    (part,) = load_parts(tmp_path)
    assert part.worker == 3
    requests = part.tables["requests"].to_pylist()
    assert [row["request"] for row in requests] == [0, 1, 1, 3]
    assert requests[1] == {
        "request": 1,
        "attempt": 0,
        "due_s": 0.5,
        "sent_s": 0.5,
        "response_s": 30.0,
        "outcome": ABANDONED,
    }
    assert part.tables["sessions"].to_pylist()[1] == {
        "session": 1,
        "end_s": 1.01,
        "abandoned": True,
    }
    assert part.tables["acknowledged"].to_pylist()[0]["reference"] == "hoso-1/0/1"
    assert part.tables["dropped"].to_pylist() == [{"session": 2, "at_s": 2.0}]
    assert part.tables["problems"].to_pylist() == [
        {"endpoint": "e", "problem": "500: out of order", "count": 1}
    ]


def test_a_part_without_a_table_is_refused(trace, tmp_path: Path) -> None:
    folder = part_folder(tmp_path, 0)
    filled(trace).save(folder)
    (folder / "requests.arrow").write_bytes(b"half a file")
    with pytest.raises(ResultsError, match=r"requests\.arrow"):
        Part.load(folder)


def test_an_attempt_takes_at_most_sixty_bytes(trace) -> None:
    log = Recorder(trace)
    for number in range(100_000):
        log.request(number % 12, 0, 0.0, 0.0, 0.01, OK)
    rows: array = log._requests
    assert rows.itemsize * len(rows) / 100_000 <= 60


def test_a_piece_holds_only_what_ended_since_the_last(trace) -> None:
    log = filled(trace)
    first = log.piece(0, 1.0, arrived=2, active=1, cpu_share=0.1)
    assert first.outcomes[:, 2].sum() == 4
    log.request(4, 0, 1.0, 1.0, 0.3, REJECTED)
    second = log.piece(0, 2.0, arrived=3, active=0, cpu_share=0.1)
    assert second.outcomes.tolist() == [[0, REJECTED, 1]]
    assert second.times.size == 0, "a quick refusal has no response time"
    assert second.sent == 5
    assert second.dropped == 1


def test_a_piece_survives_the_journey_to_the_master(trace) -> None:
    piece = filled(trace).piece(2, 1.0, arrived=2, active=1, cpu_share=0.1)
    back = Piece.from_message(piece.to_message())
    assert back.worker == 2
    for name in ("outcomes", "times", "late", "services"):
        assert np.array_equal(getattr(back, name), getattr(piece, name))


def test_the_live_view_adds_up_the_pieces_of_all_workers(trace) -> None:
    live = LiveView(trace.endpoints, trace.services)
    live.add(filled(trace).piece(0, 1.0, arrived=2, active=1, cpu_share=0.1))
    live.add(filled(trace).piece(1, 1.5, arrived=3, active=2, cpu_share=0.6))
    totals = live.totals()
    assert (totals.arrived, totals.active, totals.dropped) == (5, 3, 2)
    assert (totals.requests, totals.not_ok) == (8, 4)
    assert totals.cpu_share == 0.6
    (figures,) = live.endpoint_figures()
    assert figures.outcomes == {
        "ok": 4,
        "rejected": 0,
        "timed_out": 0,
        "failed": 2,
        "abandoned": 2,
    }
    assert figures.p99_s == pytest.approx(30.0, rel=0.01)
    (service,) = live.service_figures()
    assert (service.requests, service.not_ok) == (8, 4)


def test_what_is_recent_is_forgotten_after_ten_seconds(trace) -> None:
    live = LiveView(trace.endpoints, trace.services)
    log = filled(trace)
    live.add(log.piece(0, 1.0, arrived=2, active=1, cpu_share=0.1))
    live.add(log.piece(0, 30.0, arrived=2, active=1, cpu_share=0.1))
    assert live.totals().recent_rate_per_s == 0.0
    assert np.isnan(live.totals().recent_p95_s)
    assert live.totals().requests == 4


def test_every_second_is_fed_to_the_rules_once(trace) -> None:
    live = LiveView(trace.endpoints, trace.services)
    live.add(filled(trace).piece(0, 1.0, arrived=2, active=1, cpu_share=0.1))
    second = live.second()
    assert second.endpoints["e"].outcomes["ok"] == 2
    assert sum(second.endpoints["e"].counts) == 3
    assert live.second().endpoints == {}


def test_a_snapshot_has_a_histogram_per_endpoint(trace) -> None:
    log = filled(trace)
    assert log.snapshot() == {}
    log.piece(0, 1.0, arrived=2, active=1, cpu_share=0.1)
    histogram = HdrHistogram.decode(log.snapshot()["e"])
    assert histogram.get_total_count() == 3


def test_problems_beyond_a_thousand_kinds_are_counted_together(trace) -> None:
    log = Recorder(trace)
    for number in range(1500):
        log.problem("e", f"no {number}")
    table = log.tables()["problems"]
    assert table.num_rows == 1001
    assert sum(table["count"].to_pylist()) == 1500
