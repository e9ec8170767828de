"""Sessions of one replication: when they start, what they want, and which steps they go through.

Arrivals come from named streams. Whatever a session draws afterwards is a function of its key, so
a session keeps its luck whatever happens to the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.arrivals import RateProfile, arrival_times
from sim.demand.journeys import END, JourneyTables, StepIndex
from sim.demand.procedures import Catalogue
from sim.scenario.scenario import Scenario
from sim.streams import child_keys, stream, uniform_array

SERVICE_SLOT = 0
CHANNEL_SLOT = 1
TRANSITION_SLOT = 0
"""Slots of the keys of a session (the first two) and of a visit."""

FIRST_VISIT = 2**32
"""Children of a session's key: its requests come from 0, its visits to steps from here."""

BY_POPULARITY = -1
"""Service of an officer's session that is drawn like a citizen's."""

Keys = NDArray[np.uint64]
Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OfficerSessions:
    """Sessions that officers begin at their tasks, in any order.

    Attributes
    ----------
    journey : str
        What they do, one of the scenario's journeys.
    arrival_s : NDArray[float64], shape (n,)
        When they begin, s from the window's start, in [0, window.duration_s).
    service : NDArray[int32], shape (n,)
        Index in the catalogue's services, or ``BY_POPULARITY``.
    key : NDArray[uint64], shape (n,)
        Key of everything else a session draws.
    """

    journey: str
    arrival_s: NDArray[np.float64]
    service: NDArray[np.int32]
    key: Keys


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions in order of arrival.

    Attributes
    ----------
    arrival_s : NDArray[float64], shape (n_sessions,)
        Arrival times, s from the window's start, sorted.
    journey, service, channel : NDArray[int32], shape (n_sessions,)
        Indices into the scenario's journeys, the services, the scenario's channels.
    key : NDArray[uint64], shape (n_sessions,)
        Key of everything else a session draws.
    """

    arrival_s: NDArray[np.float64]
    journey: NDArray[np.int32]
    service: NDArray[np.int32]
    channel: NDArray[np.int32]
    key: Keys

    def part(self, which: slice) -> "Sessions":
        """Return some of the sessions, as views."""
        return Sessions(
            arrival_s=self.arrival_s[which],
            journey=self.journey[which],
            service=self.service[which],
            channel=self.channel[which],
            key=self.key[which],
        )


@dataclass(frozen=True, slots=True)
class Visits:
    """The steps that sessions go through, session after session.

    Attributes
    ----------
    first : NDArray[int64], shape (n_sessions + 1,)
        Visits of session ``i`` are ``first[i]`` up to ``first[i + 1]``.
    step : NDArray[int16], shape (n_visits,)
        Step of each visit, as the journeys' tables number them.
    """

    first: Index
    step: StepIndex


def draw_sessions(
    scenario: Scenario,
    replication: int,
    profiles: Mapping[str, RateProfile],
    services: Catalogue,
    officers: OfficerSessions | None = None,
) -> Sessions:
    """Draw the sessions of one replication.

    Parameters
    ----------
    scenario : Scenario
        The question.
    replication : int
        Which replication, >= 0.
    profiles : mapping of str to RateProfile
        When sessions start, by journey.
    services : Catalogue
        What they choose among, by weight.
    officers : OfficerSessions, optional
        Further sessions; the others are the same with and without them.

    Returns
    -------
    Sessions
        In order of arrival; at equal times in the order of the journeys, then officers as given.
    """
    times, keys = [np.empty(0)], [np.empty(0, dtype=np.uint64)]
    journeys = [np.empty(0, dtype=np.int32)]
    for journey, name in enumerate(scenario.journeys):
        if name in profiles:
            rng = stream(scenario.seed, replication, f"demand.arrivals.{name}")
            times.append(arrival_times(profiles[name], rng))
            keys.append(_session_keys(scenario.seed, replication, name, len(times[-1])))
            journeys.append(np.full(len(times[-1]), journey, dtype=np.int32))
    if officers is not None:
        times.append(officers.arrival_s)
        keys.append(officers.key)
        journey = list(scenario.journeys).index(officers.journey)
        journeys.append(np.full(len(times[-1]), journey, dtype=np.int32))
    arrival_s = np.concatenate(times)
    order = np.argsort(arrival_s, kind="stable")
    key, journey_of = np.concatenate(keys)[order], np.concatenate(journeys)[order]
    service = _choose(services.weight, uniform_array(key, 0, SERVICE_SLOT))
    return Sessions(
        arrival_s=arrival_s[order],
        journey=journey_of,
        service=service if officers is None else _given_services(service, officers, order),
        channel=_draw_channels(scenario, journey_of, key),
        key=key,
    )


def walk(tables: JourneyTables, sessions: Sessions, has_fee: NDArray[np.bool_]) -> Visits:
    """Lead all sessions through their journeys at once, one step of everybody at a time.

    Parameters
    ----------
    tables : JourneyTables
        The journeys.
    sessions : Sessions
        Who goes.
    has_fee : NDArray[bool], shape (n_services,)
        Which services charge a fee.
    """
    session = np.arange(len(sessions.key))
    pays = has_fee[sessions.service]
    step = tables.start[sessions.journey]
    done: list[tuple[Index, StepIndex]] = []
    while len(session):
        step = tables.arrive(step, pays[session])
        goes_on = step != END
        session, step = session[goes_on], step[goes_on]
        done.append((session, step))
        step = _next_steps(tables, step, sessions.key[session], len(done) - 1)
    return _in_session_order(done, len(sessions.key))


def group_starts(counts: Index) -> Index:
    """Return where groups begin that lie one after the other, and the end, shape (n + 1,)."""
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def group_positions(counts: Index) -> Index:
    """Return 0, 1, … within each of the groups that lie one after the other."""
    starts = group_starts(counts)
    return np.arange(starts[-1]) - np.repeat(starts[:-1], counts)


def _session_keys(seed: int, replication: int, journey: str, n: int) -> Keys:
    """Return the keys of one journey's sessions; other journeys' demand does not touch them."""
    rng = stream(seed, replication, f"demand.keys.{journey}")
    base = rng.integers(2**64, size=1, dtype=np.uint64)
    return child_keys(base, np.arange(n, dtype=np.uint64))


def _given_services(
    drawn: NDArray[np.int32], officers: OfficerSessions, order: Index
) -> NDArray[np.int32]:
    """Return the services of sessions in order; the officers' came last before they were ordered.

    Those that have none of their own keep the one drawn.
    """
    given = np.full(len(order), BY_POPULARITY, dtype=np.int32)
    given[len(order) - len(officers.service) :] = officers.service
    given = given[order]
    return np.where(given == BY_POPULARITY, drawn, given)


def _draw_channels(scenario: Scenario, journey: NDArray[np.int32], keys: Keys) -> NDArray[np.int32]:
    """Return the channel the journey names, or one drawn by the channels' shares."""
    shares = np.array([channel.share for channel in scenario.channels.values()])
    index = {name: i for i, name in enumerate(scenario.channels)}
    named = np.array(
        [
            -1 if spec.channel is None else index[spec.channel]
            for spec in scenario.journeys.values()
        ],
        dtype=np.int32,
    )
    channel = named[journey]
    free = np.flatnonzero(channel < 0)
    channel[free] = _choose(shares, uniform_array(keys[free], 0, CHANNEL_SLOT))
    return channel


def _choose(weights: NDArray[np.float64], u: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return an index per uniform number, with probability proportional to the weights."""
    cumulative = np.cumsum(weights)
    return np.searchsorted(cumulative / cumulative[-1], u, side="right").astype(np.int32)


def _next_steps(tables: JourneyTables, step: StepIndex, keys: Keys, visit: int) -> StepIndex:
    following: StepIndex = tables.target[step, 0]
    rows = np.flatnonzero(tables.is_random[step])
    visit_keys = child_keys(keys[rows], np.array([FIRST_VISIT + visit], dtype=np.uint64))
    u = uniform_array(visit_keys, 0, TRANSITION_SLOT)
    passed = (tables.cumulative[step[rows]] <= u[:, np.newaxis]).sum(axis=1)
    following[rows] = tables.target[step[rows], passed]
    return following


def _in_session_order(done: list[tuple[Index, StepIndex]], n_sessions: int) -> Visits:
    """Turn lists by number of the visit into one column by session."""
    counts = np.zeros(n_sessions, dtype=np.int64)
    for session, _ in done:
        counts[session] += 1
    first = group_starts(counts)
    steps = np.empty(int(first[-1]), dtype=np.int16)
    for visit, (session, step) in enumerate(done):
        steps[first[session] + visit] = step
    return Visits(first, steps)
