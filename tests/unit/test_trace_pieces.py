"""Traces in pieces are the whole trace; a cache draws each of them once."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest

from sim.compiled.offices import simulate_offices
from sim.demand import Trace, draw_trace, draw_trace_chunks, expected_size
from sim.scenario import Scenario, load_scenario
from sim.workload.trace_cache import TraceCache

PER_REQUEST = ("endpoint", "think_s", "bytes_up", "flags", "key")
PER_SESSION = ("arrival_s", "journey", "service", "channel")


def question(*overrides: str) -> Scenario:
    return load_scenario("peak-hour", ["window.duration_s=300", "window.warm_up_s=0", *overrides])


def assert_equal(one: Trace, other: Trace) -> None:
    for field in dataclasses.fields(Trace):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype
            assert ours.tobytes() == theirs.tobytes(), field.name
        else:
            assert ours == theirs


def joined(pieces: list[Trace]) -> Trace:
    """Return consecutive pieces as one trace."""
    columns = {
        name: np.concatenate([getattr(piece, name) for piece in pieces])
        for name in (*PER_SESSION, *PER_REQUEST)
    }
    sizes = np.concatenate([np.diff(piece.first_request) for piece in pieces])
    first = np.concatenate([[0], np.cumsum(sizes)])
    return dataclasses.replace(pieces[0], first_request=first, **columns)


@pytest.mark.parametrize("sessions_per_chunk", [1, 7, 500, 10**9])
def test_pieces_together_are_the_trace_bit_for_bit(sessions_per_chunk: int) -> None:
    scenario = question("window.duration_s=60" if sessions_per_chunk == 1 else "seed=1")
    whole = draw_trace(scenario, 3)
    pieces = list(draw_trace_chunks(scenario, 3, sessions_per_chunk))
    assert len(pieces) == -(-whole.n_sessions // sessions_per_chunk)
    assert {piece.n_sessions for piece in pieces[:-1]} <= {sessions_per_chunk}
    assert_equal(joined(pieces), whole)


def test_a_replication_without_sessions_is_one_empty_piece() -> None:
    [piece] = draw_trace_chunks(question("demand.dossiers_per_year=0.001"), 0, 10)
    assert piece.n_sessions == piece.n_requests == 0


def test_the_size_is_known_before_the_trace_is_drawn() -> None:
    scenario = question("demand.day_effect_cv=0.5")
    for replication in range(4):
        trace, size = draw_trace(scenario, replication), expected_size(scenario, replication)
        assert abs(trace.n_sessions - size.sessions) < 4 * size.sessions**0.5
        per_session = np.diff(trace.first_request)
        error = np.sqrt(np.sum(per_session.astype(float) ** 2))
        assert abs(trace.n_requests - size.requests) < 4 * error


def test_a_cached_trace_is_the_trace(tmp_path: Path) -> None:
    cache = TraceCache(question(), simulate_offices, tmp_path)
    for _ in range(2):
        assert_equal(cache.trace(2), draw_trace(question(), 2))


def test_a_trace_is_drawn_once_for_all_who_see_the_folder(tmp_path: Path) -> None:
    TraceCache(question(), simulate_offices, tmp_path).trace(0)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "0").iterdir()}
    elsewhere = pickle.loads(pickle.dumps(TraceCache(question(), simulate_offices, tmp_path)))
    elsewhere.trace(0)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "0").iterdir()} == written
    assert [path.name for path in tmp_path.iterdir()] == ["0"]


def test_columns_are_mapped_files_that_no_reader_changes(tmp_path: Path) -> None:
    cache = TraceCache(question(), simulate_offices, tmp_path)
    columns = cache.trace(0)
    assert isinstance(columns.think_s.base, np.memmap)
    columns.think_s[:] = -1.0
    assert (cache.trace(0).think_s >= 0).all()


def test_a_cached_trace_may_be_empty(tmp_path: Path) -> None:
    empty = question("demand.dossiers_per_year=0.001")
    assert_equal(TraceCache(empty, simulate_offices, tmp_path).trace(0), draw_trace(empty, 0))


def test_who_does_not_see_the_folder_draws_and_keeps_the_last_few(tmp_path: Path) -> None:
    cache = TraceCache(question("seed=77"), simulate_offices, tmp_path / "of another machine")
    first = cache.trace(1)
    assert_equal(first, draw_trace(question("seed=77"), 1))
    assert pickle.loads(pickle.dumps(cache)).trace(1) is first
    for replication in range(2, 20):
        cache.trace(replication)
    assert cache.trace(1) is not first


def test_candidates_with_other_officers_have_traces_of_their_own(tmp_path: Path, city_dict) -> None:
    few = Scenario.model_validate(city_dict())
    offices = city_dict()["backoffice"]["offices"]
    offices["department"]["teams"]["desk"] |= {"officers_per_office": 9}
    more = Scenario.model_validate(city_dict(offices={"offices": offices}))
    whole = city_dict()
    whole["portal"]["tiers"]["app"]["cores"] = 8
    larger_portal = Scenario.model_validate(whole)
    cache = TraceCache(few, simulate_offices, tmp_path)
    assert cache.of(larger_portal) is cache
    assert cache.of(more).trace(0).scenario_digest == more.digest()
    assert cache.trace(0).scenario_digest == few.digest()


def test_a_temporary_cache_leaves_nothing_behind() -> None:
    with TraceCache.temporary(question(), simulate_offices) as cache:
        cache.trace(0)
        assert cache.folder.is_dir()
    assert not cache.folder.exists()
