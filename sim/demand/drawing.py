"""Drawing a trace: the sessions of one replication and all their requests, column by column."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.arrivals import RateProfile, day_effects, session_profiles
from sim.demand.catalogue import catalogue_of
from sim.demand.errors import DemandError
from sim.demand.journeys import (
    JourneyTables,
    StepIndex,
    compile_journeys,
    expected_requests,
)
from sim.demand.layouts import Layouts, lay_out
from sim.demand.procedures import Catalogue
from sim.demand.sessions import (
    FIRST_VISIT,
    Index,
    Keys,
    OfficerSessions,
    Sessions,
    Visits,
    draw_sessions,
    group_positions,
    group_starts,
    walk,
)
from sim.demand.trace import Trace
from sim.demand.variates import variates, variates_of
from sim.scenario.demand import Upload
from sim.scenario.scenario import Scenario
from sim.streams import child_keys, uniform_array

MAX_REQUESTS = 200_000_000
"""A replication has at most so many requests: their columns take 27 bytes each in memory."""

SESSION_BYTES = 80
"""Memory a session takes while all are drawn, its requests apart: columns and their sorting."""

UPLOAD = 2**32
"""Child of a request's key for its size; the children its service gives it are numbered lower."""

THINK_SLOT = 0
SIZE_SLOT = 0
"""Slots of the keys of a round and of an upload."""

BLOCK_REQUESTS = 2**18
"""Requests written at a time: few enough for a processor's cache."""


def draw_trace(
    scenario: Scenario,
    replication: int,
    catalogue: Catalogue | None = None,
    *,
    officers: OfficerSessions | None = None,
) -> Trace:
    """Draw what all clients of one replication want.

    Parameters
    ----------
    scenario : Scenario
        The question.
    replication : int
        Which replication, >= 0; any one is reached directly.
    catalogue : Catalogue, optional
        The scenario's procedures; read or generated when absent.
    officers : OfficerSessions, optional
        Sessions that come at other times than the demand's rates say.

    Returns
    -------
    Trace
        Sessions in order of arrival; the same for the same scenario and replication. Every other
        session is the same with and without officers, but for its number. There is none where no
        portal is simulated.

    Raises
    ------
    DemandError
        When a journey never ends, or the window yields more than ``MAX_REQUESTS`` requests.
    CatalogueError
        When the catalogue is faulty.
    """
    catalogue = catalogue_of(scenario) if catalogue is None else catalogue
    size = expected_size(scenario, replication, catalogue, officers=officers)
    _check_size(size.requests)
    crowd = _Crowd.drawn(scenario, replication, catalogue, officers)
    return crowd.trace(slice(0, crowd.n_sessions))


def draw_trace_chunks(
    scenario: Scenario,
    replication: int,
    sessions_per_chunk: int,
    catalogue: Catalogue | None = None,
    *,
    officers: OfficerSessions | None = None,
) -> Iterator[Trace]:
    """Draw one replication piece by piece, for a trace that memory does not hold at once.

    Parameters
    ----------
    scenario : Scenario
        The question.
    replication : int
        Which replication, >= 0.
    sessions_per_chunk : int
        Sessions of a piece, >= 1; the last may have fewer.
    catalogue : Catalogue, optional
        The scenario's procedures; read or generated when absent.
    officers : OfficerSessions, optional
        See :func:`draw_trace`.

    Yields
    ------
    Trace
        Consecutive sessions; together :func:`draw_trace`, bit for bit. Without sessions, one empty
        piece. All sessions, without their requests, stay in memory: ``SESSION_BYTES`` each.

    Raises
    ------
    DemandError
        When a journey never ends.
    CatalogueError
        When the catalogue is faulty.
    """
    catalogue = catalogue_of(scenario) if catalogue is None else catalogue
    crowd = _Crowd.drawn(scenario, replication, catalogue, officers)
    for start in range(0, max(1, crowd.n_sessions), sessions_per_chunk):
        yield crowd.trace(slice(start, min(start + sessions_per_chunk, crowd.n_sessions)))


@dataclass(frozen=True, slots=True)
class ExpectedSize:
    """Mean numbers of sessions and of requests of one replication, given its days' effects."""

    sessions: float
    requests: float


def expected_size(
    scenario: Scenario,
    replication: int,
    catalogue: Catalogue | None = None,
    *,
    officers: OfficerSessions | None = None,
) -> ExpectedSize:
    """Return how large a trace will be, before it is drawn.

    Raises
    ------
    DemandError
        When a journey never ends.
    CatalogueError
        When the catalogue is faulty.
    """
    catalogue = catalogue_of(scenario) if catalogue is None else catalogue
    requests = expected_requests(scenario, catalogue)
    profiles = _profiles(scenario, replication)
    sessions = {name: float(profile.expected_counts.sum()) for name, profile in profiles.items()}
    if officers is not None:
        name = officers.journey
        sessions[name] = sessions.get(name, 0.0) + len(officers.arrival_s)
    return ExpectedSize(
        sessions=float(sum(sessions.values())),
        requests=float(sum(n * requests[name].sum() for name, n in sessions.items())),
    )


def _profiles(scenario: Scenario, replication: int) -> dict[str, RateProfile]:
    """Return when sessions start: never where the offices get their dossiers without a portal."""
    if not scenario.has_portal:
        return {}
    return session_profiles(scenario, day_effects(scenario, replication))


def _check_size(requests: float) -> None:
    """Refuse what would not fit in memory before anything is drawn."""
    if requests > MAX_REQUESTS:
        raise DemandError(
            f"the window yields about {requests / 1e6:,.0f} million requests, more than "
            f"{MAX_REQUESTS / 1e6:,.0f} million: shorten window.duration_s or lower the demand"
        )


@dataclass(frozen=True, slots=True)
class _Crowd:
    """All sessions of one replication; the requests of any of them can be written."""

    scenario: Scenario
    replication: int
    scenario_digest: str
    services: Catalogue
    tables: JourneyTables
    layouts: Layouts
    sessions: Sessions

    @classmethod
    def drawn(
        cls,
        scenario: Scenario,
        replication: int,
        catalogue: Catalogue,
        officers: OfficerSessions | None,
    ) -> "_Crowd":
        """Return the sessions of a replication."""
        services = catalogue.services
        tables = compile_journeys(scenario)
        profiles = _profiles(scenario, replication)
        return cls(
            scenario=scenario,
            replication=replication,
            scenario_digest=scenario.digest(),
            services=services,
            tables=tables,
            layouts=lay_out(tables, services),
            sessions=draw_sessions(scenario, replication, profiles, services, officers),
        )

    @property
    def n_sessions(self) -> int:
        """Number of sessions."""
        return len(self.sessions.arrival_s)

    def trace(self, which: slice) -> Trace:
        """Write the requests of consecutive sessions."""
        sessions = self.sessions.part(which)
        visits = walk(self.tables, sessions, self.services.fee_vnd > 0)
        think_factor = self.scenario.demand.think_factor
        plan = _Plan.of(self.tables, self.layouts, sessions, visits, think_factor)
        columns = _Columns.empty(int(plan.first_request[-1]))
        for block in _blocks(plan.first_request):
            _write(plan, block, columns)
        return Trace(
            arrival_s=sessions.arrival_s,
            journey=sessions.journey,
            service=sessions.service,
            channel=sessions.channel,
            first_request=plan.first_request,
            endpoint=columns.endpoint,
            think_s=columns.think_s,
            bytes_up=columns.bytes_up,
            flags=columns.flags,
            key=columns.key,
            journeys=self.tables.journeys,
            services=self.services.code,
            channels=tuple(self.scenario.channels),
            endpoints=self.tables.endpoints,
            seed=self.scenario.seed,
            replication=self.replication,
            scenario_digest=self.scenario_digest,
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    """Everything that decides the requests."""

    tables: JourneyTables
    layouts: Layouts
    sessions: Sessions
    visits: Visits
    repeat: Index  # how many rounds a step has, by step
    first_request: Index  # where the requests of each session begin, and the end
    think_factor: float

    @classmethod
    def of(
        cls,
        tables: JourneyTables,
        layouts: Layouts,
        sessions: Sessions,
        visits: Visits,
        think_factor: float,
    ) -> "_Plan":
        """Return the plan with the requests counted."""
        repeat = np.array([step.repeat for step in tables.steps], dtype=np.int64)
        per_visit = repeat[:, np.newaxis] * layouts.length[layouts.layout]
        variant = np.repeat(layouts.variant[sessions.service], np.diff(visits.first))
        before = group_starts(per_visit[visits.step, variant])
        first_request = before[visits.first]
        return cls(tables, layouts, sessions, visits, repeat, first_request, think_factor)


@dataclass(frozen=True, slots=True)
class _Columns:
    """The requests' columns, filled block by block."""

    endpoint: NDArray[np.int16]
    think_s: NDArray[np.float64]
    bytes_up: NDArray[np.int64]
    flags: NDArray[np.uint8]
    key: Keys

    @classmethod
    def empty(cls, n: int) -> "_Columns":
        """Return columns for n requests; a think time is 0 where none is written."""
        return cls(
            endpoint=np.empty(n, dtype=np.int16),
            think_s=np.zeros(n),
            bytes_up=np.empty(n, dtype=np.int64),
            flags=np.empty(n, dtype=np.uint8),
            key=np.empty(n, dtype=np.uint64),
        )


@dataclass(frozen=True, slots=True)
class _Rounds:
    """Repetitions of the steps of some sessions, in order."""

    session: Index
    step: StepIndex
    key: Keys


def _blocks(first_request: Index) -> Iterator[slice]:
    """Cut the sessions into stretches of about ``BLOCK_REQUESTS`` requests."""
    start, end = 0, len(first_request) - 1
    while start < end:
        limit = first_request[start] + BLOCK_REQUESTS
        stop = int(np.searchsorted(first_request, limit, side="right")) - 1
        block = slice(start, min(max(start + 1, stop), end))
        yield block
        start = block.stop


def _write(plan: _Plan, block: slice, columns: _Columns) -> None:
    """Write the requests of a block of sessions."""
    rounds = _rounds(plan, block)
    first = plan.first_request
    at = slice(int(first[block.start]), int(first[block.stop]))
    variant = plan.layouts.variant[plan.sessions.service[rounds.session]]
    layout = plan.layouts.layout[rounds.step, variant]
    length = plan.layouts.length[layout]
    round_of = np.repeat(np.arange(len(length)), length)
    row = plan.layouts.first[layout][round_of] + group_positions(length)
    columns.endpoint[at] = plan.layouts.endpoint[row]
    columns.flags[at] = plan.layouts.flags[row]
    session = rounds.session[round_of]
    number = np.arange(at.start, at.stop) - first[session]
    columns.key[at] = child_keys(plan.sessions.key[session], number.astype(np.uint64))
    is_full = length > 0
    begins = at.start + group_starts(length)[:-1][is_full]
    columns.think_s[begins] = _think_times(plan.tables, rounds, is_full) * plan.think_factor
    columns.bytes_up[at] = _upload_sizes(plan.tables, rounds.step[round_of], columns.key[at])


def _rounds(plan: _Plan, block: slice) -> _Rounds:
    first = plan.visits.first[block.start : block.stop + 1]
    visits = np.diff(first)
    session = np.repeat(np.arange(block.start, block.stop), visits)
    number = group_positions(visits).astype(np.uint64) + np.uint64(FIRST_VISIT)
    visit_key = child_keys(plan.sessions.key[session], number)
    step = plan.visits.step[first[0] : first[-1]]
    repeat = plan.repeat[step]
    visit_of = np.repeat(np.arange(len(step)), repeat)
    return _Rounds(
        session=session[visit_of],
        step=step[visit_of],
        key=child_keys(visit_key[visit_of], group_positions(repeat).astype(np.uint64)),
    )


def _think_times(
    tables: JourneyTables, rounds: _Rounds, is_full: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the think times before the rounds that have requests, s.

    The time of a round without requests passes before the session's next request, if any.
    """
    think_s = np.empty(len(rounds.step))
    for step, at in _by_step(rounds.step):
        think = tables.steps[step].think
        if think.is_random:
            first, second = _two_uniforms(rounds.key[at], THINK_SLOT)
            think_s[at] = variates_of(think, first, second)
        else:
            think_s[at] = think.mean_s
    full, empty = np.flatnonzero(is_full), np.flatnonzero(~is_full)
    following = np.searchsorted(full, empty)
    empty, following = empty[following < len(full)], following[following < len(full)]
    is_same = rounds.session[empty] == rounds.session[full[following]]
    total_s = think_s[full]
    np.add.at(total_s, following[is_same], think_s[empty[is_same]])
    return total_s


def _upload_sizes(tables: JourneyTables, step: StepIndex, keys: Keys) -> NDArray[np.int64]:
    """Return the size of each request's upload, bytes, 0 where its step has none."""
    sizes = np.zeros(len(step), dtype=np.int64)
    uploads = np.array([spec.upload is not None for spec in tables.steps])
    rows = np.flatnonzero(uploads[step])
    for which, at in _by_step(step[rows]):
        upload = tables.steps[which].upload
        assert upload is not None
        sizes[rows[at]] = _draw_sizes(upload, keys[rows[at]])
    return sizes


def _draw_sizes(upload: Upload, request_keys: Keys) -> NDArray[np.int64]:
    keys = child_keys(request_keys, np.array([UPLOAD], dtype=np.uint64))
    first, second = _two_uniforms(keys, SIZE_SLOT)
    sizes = variates("lognormal", upload.mean_bytes, upload.cv, first, second)
    return np.clip(np.rint(sizes), 1, max(1, int(upload.max_bytes))).astype(np.int64)


def _two_uniforms(keys: Keys, slot: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return uniform_array(keys, 0, slot), uniform_array(keys, 0, slot, 1)


def _by_step(step: StepIndex) -> Iterator[tuple[int, Index]]:
    """Return each step that occurs, and where."""
    order = np.argsort(step, kind="stable")
    present, first = np.unique(step[order], return_index=True)
    return zip(present.tolist(), np.split(order, first)[1:], strict=True)
