"""The workload: officers' sessions in the trace, and nothing else changed by them."""

import dataclasses
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from sim.backoffice.filings import Filings, demand_filings, nominal_filings
from sim.backoffice.outcomes import OfficeRun, Visits
from sim.backoffice.plan import plan_of
from sim.backoffice.workflow import State
from sim.demand import (
    OfficerSessions,
    Trace,
    catalogue_of,
    draw_trace,
    draw_trace_chunks,
    expected_size,
)
from sim.demand.journeys import expected_requests
from sim.demand.sessions import BY_POPULARITY
from sim.scenario.scenario import Scenario
from sim.workload.expectations import expected_dossiers, tasks_per_dossier
from sim.workload.tasks import Coupling, Tasks, coupling_of, officer_sessions, tasks_of

PER_REQUEST = ("endpoint", "think_s", "bytes_up", "flags", "key")
PER_SESSION = ("arrival_s", "journey", "service", "channel")


@pytest.fixture
def city(city_dict: Callable[..., dict]) -> Scenario:
    return Scenario.model_validate(city_dict())


def at(*arrival_s: float, service: int = BY_POPULARITY, first_key: int = 1) -> OfficerSessions:
    """Return officers' sessions at these times."""
    n = len(arrival_s)
    return OfficerSessions(
        journey="work",
        arrival_s=np.array(arrival_s),
        service=np.full(n, service, dtype=np.int32),
        key=np.arange(first_key, first_key + n, dtype=np.uint64),
    )


def sessions_of(trace: Trace, journey: str) -> list[tuple[bytes, ...]]:
    """Return all that a trace says of each session of a journey."""
    found = np.flatnonzero(trace.journey == trace.journeys.index(journey))
    bounds = zip(trace.first_request[found], trace.first_request[found + 1], strict=True)
    return [
        tuple(getattr(trace, name)[session].tobytes() for name in PER_SESSION)
        + tuple(getattr(trace, name)[start:end].tobytes() for name in PER_REQUEST)
        for session, (start, end) in zip(found, bounds, strict=True)
    ]


def assert_equal(one: Trace, other: Trace) -> None:
    for field in dataclasses.fields(Trace):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype, field.name
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


def test_citizens_are_the_same_with_and_without_officers(city: Scenario) -> None:
    alone = draw_trace(city, 0)
    first_s, last_s = alone.arrival_s[0], alone.arrival_s[-1]
    officers = at(7199.0, 0.0, first_s, last_s, *np.linspace(100.0, 7000.0, 300))
    trace = draw_trace(city, 0, officers=officers)
    assert trace.n_sessions == alone.n_sessions + 304
    assert (np.diff(trace.arrival_s) >= 0).all()
    assert sessions_of(trace, "file") == sessions_of(alone, "file")


def test_nobody_comes_where_nobody_works(city: Scenario) -> None:
    assert_equal(draw_trace(city, 0, officers=at()), draw_trace(city, 0))


def test_an_officers_session_is_a_matter_of_its_own_key(city: Scenario) -> None:
    few = draw_trace(city, 0, officers=at(300.0, 600.0, first_key=50))
    many = draw_trace(
        city,
        0,
        officers=OfficerSessions(
            "work",
            np.array([10.0, 600.0, 20.0, 300.0]),
            np.full(4, BY_POPULARITY, dtype=np.int32),
            np.array([7, 51, 8, 50], dtype=np.uint64),
        ),
    )
    assert set(sessions_of(few, "work")) < set(sessions_of(many, "work"))


def test_an_officer_works_on_the_service_of_the_dossier(city: Scenario) -> None:
    named = draw_trace(city, 0, officers=at(*range(200), service=3))
    drawn = draw_trace(city, 0, officers=at(*range(200)))
    is_officer = named.journey == named.journeys.index("work")
    assert set(named.service[is_officer]) == {3}
    assert len(set(drawn.service[is_officer])) > 3
    assert named.key.tobytes() == drawn.key.tobytes()


def test_an_officers_requests_are_those_of_the_journey(city: Scenario) -> None:
    trace = draw_trace(city, 0, officers=at(*np.linspace(0.0, 7000.0, 50)))
    means = expected_requests(city, catalogue_of(city))["work"]
    per_session = dict(zip(trace.endpoints, means, strict=True))
    for session in np.flatnonzero(trace.journey == trace.journeys.index("work")):
        own = slice(*trace.first_request[session : session + 2])
        counts = Counter(trace.endpoints[endpoint] for endpoint in trace.endpoint[own])
        assert counts == {"case": per_session["case"]}


def test_officers_count_in_the_expected_size(city: Scenario) -> None:
    alone, size = expected_size(city, 0), expected_size(city, 0, officers=at(1.0, 2.0))
    assert size.sessions == pytest.approx(alone.sessions + 2)
    assert size.requests == pytest.approx(alone.requests + 6)


@pytest.mark.parametrize("sessions_per_chunk", [1, 7, 10**9])
def test_pieces_with_officers_are_the_whole(city: Scenario, sessions_per_chunk: int) -> None:
    officers = at(*np.linspace(0.0, 7000.0, 40))
    pieces = list(draw_trace_chunks(city, 1, sessions_per_chunk, officers=officers))
    assert_equal(joined(pieces), draw_trace(city, 1, officers=officers))


def filings_of(n: int) -> Filings:
    """Return dossiers of which only the keys matter."""
    nothing = np.zeros(n)
    columns = {field.name: nothing for field in dataclasses.fields(Filings)}
    columns["procedure"] = np.arange(n, dtype=np.int32)
    return Filings(**columns | {"key": np.arange(n, dtype=np.uint64)})


def tasks_at(*rows: tuple[int, State, float]) -> Visits:
    """Return tasks: dossier, state, start."""
    dossier, state, started_s = (np.array(column) for column in zip(*rows, strict=True))
    return Visits(
        dossier=dossier.astype(np.int32),
        state=state.astype(np.int8),
        team=np.zeros(len(rows), dtype=np.int32),
        ready_s=started_s,
        started_s=started_s,
        ended_s=started_s,
    )


def test_a_task_keeps_its_name_whatever_others_do() -> None:
    alone = tasks_of(
        filings_of(3),
        tasks_at((1, State.EXAMINING, 5.0), (1, State.EXAMINING, 9.0), (1, State.SIGNING, 12.0)),
        100.0,
    )
    among = tasks_of(
        filings_of(3),
        tasks_at(
            (0, State.EXAMINING, 1.0),
            (1, State.EXAMINING, 6.0),
            (2, State.SIGNING, 7.0),
            (1, State.SIGNING, 8.0),
            (0, State.EXAMINING, 8.0),
            (1, State.EXAMINING, 11.0),
        ),
        100.0,
    )
    assert len(set(among.key.tolist())) == 6
    assert alone.key.tolist() == among.key[[1, 5, 3]].tolist()


def test_two_passes_are_compared_task_by_task() -> None:
    one = Tasks(np.array([1, 2, 3, 4], dtype=np.uint64), np.array([10.0, 20.0, 30.0, 40.0]))
    other = Tasks(np.array([9, 4, 2, 1], dtype=np.uint64), np.array([90.0, 46.0, 21.0, 10.0]))
    coupling = coupling_of(one, other)
    assert (coupling.tasks, coupling.median_s) == (3, 1.0)
    assert coupling.p95_s == pytest.approx(1.0 + 0.9 * 5.0)
    assert coupling.only_one_share == pytest.approx(2 / 5)


def test_passes_without_a_task_in_common_have_no_distance() -> None:
    nobody = Tasks(np.empty(0, dtype=np.uint64), np.empty(0))
    somebody = Tasks(np.array([1], dtype=np.uint64), np.array([1.0]))
    assert coupling_of(nobody, nobody) == Coupling(0, None, None, 0.0)
    assert coupling_of(nobody, somebody) == Coupling(0, None, None, 1.0)


def test_only_tasks_begun_in_the_window_are_sessions(city: Scenario) -> None:
    visits = tasks_at((0, State.RECEIVING, 10.0), (1, State.RECEIVING, 7200.0))
    run = OfficeRun(cases=None, visits=visits, levels=())  # type: ignore[arg-type]
    officers = officer_sessions(city, catalogue_of(city), filings_of(2), run)
    assert officers.arrival_s.tolist() == [10.0]
    assert officers.journey == "work"


def test_a_session_is_about_the_service_if_that_is_offered_online(city: Scenario) -> None:
    catalogue = catalogue_of(city)
    offered = np.ones(len(catalogue), dtype=bool)
    offered[0] = False
    partly = dataclasses.replace(catalogue, integrated=offered)
    visits = tasks_at(*((row, State.RECEIVING, 1.0) for row in range(3)))
    run = OfficeRun(cases=None, visits=visits, levels=())  # type: ignore[arg-type]
    officers = officer_sessions(city, partly, filings_of(3), run)
    assert officers.service.tolist() == [BY_POPULARITY, 0, 1]


def test_a_dossier_takes_its_six_tasks_and_what_is_repeated(
    city_dict: Callable[..., dict],
) -> None:
    whole = city_dict()
    whole["backoffice"]["workflow"]["rules"] = {}
    straight = Scenario.model_validate(whole).backoffice
    assert straight is not None
    assert tasks_per_dossier(straight) == 6.0
    whole["backoffice"]["workflow"]["rules"] = {"incomplete_share": 0.25, "sent_back_share": 0.5}
    looping = Scenario.model_validate(whole).backoffice
    assert looping is not None
    assert tasks_per_dossier(looping) == pytest.approx(6 + 0.25 + 2 * (0.5 + 0.25 + 0.125))


def test_dossiers_of_all_origins_are_expected(city_dict: Callable[..., dict]) -> None:
    for feeding in ({}, {"fed_by": "demand", "officer_journey": None}):
        scenario = Scenario.model_validate(city_dict(offices=feeding))
        catalogue = catalogue_of(scenario)
        counts = [len(filings_in(scenario, replication)) for replication in range(40)]
        expected = expected_dossiers(scenario, 0, catalogue)
        assert abs(np.mean(counts) - expected) < 4 * np.sqrt(expected / len(counts))


def filings_in(scenario: Scenario, replication: int) -> Filings:
    """Return all dossiers that reach the offices before the window's end, portal or not."""
    plan = plan_of(scenario, replication, end_s=1e6)
    if not scenario.has_portal:
        return demand_filings(scenario, replication, plan)
    return nominal_filings(draw_trace(scenario, replication), scenario, plan)
