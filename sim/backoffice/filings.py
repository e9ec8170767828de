"""Dossiers as they reach the offices: from the demand, from the portal's records, or lying there.

A year of the merged city, 2.33 million dossiers, takes 67 bytes each and about twice that while it
is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from sim.backoffice.backlog import open_at_start
from sim.backoffice.choices import COUNTER, ONLINE, ORIGIN, Choices, Index, Keys, keys_of_origin
from sim.backoffice.plan import Plan
from sim.backoffice.workflow import State
from sim.calendars import OfficeCalendar
from sim.demand import Catalogue, Trace, catalogue_of
from sim.demand.arrivals import arrival_times, day_effects, dossier_profile
from sim.demand.variates import variate_of
from sim.scenario import Flaw, Scenario, ScenarioError
from sim.scenario.backoffice import Sync
from sim.scenario.backoffice_checks import filing_journeys
from sim.streams import child_keys, stream, uniform

ORIGINS = ("portal", "online", "counter", "backlog")
"""Where a dossier comes from: filed on the simulated portal, online straight from the demand, at
the counter, or open when the window begins."""

RESEND_SLOT = 32
"""Slot of a dossier's key: how long it lies until somebody sends it again."""


@dataclass(frozen=True, slots=True)
class Filings:
    """Dossiers of one replication, in order of arrival; at one moment in the order of the rows.

    Attributes
    ----------
    arrival_s : NDArray[float64], shape (n,)
        When it enters its first state, s, >= 0, ascending; 0 for the backlog.
    submitted_s : NDArray[float64], shape (n,)
        When it was filed, s; negative for the backlog.
    key : NDArray[uint64], shape (n,)
        Key of all its random numbers.
    procedure : NDArray[int32], shape (n,)
        Index of the procedure in the catalogue.
    filing : NDArray[int8], shape (n,)
        0 online, 1 at the counter; index in ``sim.scenario.backoffice.FILINGS``.
    state : NDArray[int8], shape (n,)
        First state: ``SYNCHRONISING`` through the intake, ``RECEIVING``, or where the backlog is.
    reception : NDArray[int32], shape (n,)
        Office that receives it.
    office : NDArray[int32], shape (n,)
        Office that decides it.
    received_s, due_s : NDArray[float64], shape (n,)
        Of a backlog dossier beyond reception, when it was received and is due; else NaN.
    origin : NDArray[int8], shape (n,)
        Index in ``ORIGINS``.
    session, step, attempt : NDArray[int32], shape (n,)
        Of the request that filed it; for other origins its number among them, 0 and 0.
    """

    arrival_s: NDArray[np.float64]
    submitted_s: NDArray[np.float64]
    key: NDArray[np.uint64]
    procedure: NDArray[np.int32]
    filing: NDArray[np.int8]
    state: NDArray[np.int8]
    reception: NDArray[np.int32]
    office: NDArray[np.int32]
    received_s: NDArray[np.float64]
    due_s: NDArray[np.float64]
    origin: NDArray[np.int8]
    session: NDArray[np.int32]
    step: NDArray[np.int32]
    attempt: NDArray[np.int32]

    def __len__(self) -> int:
        """Return the number of dossiers."""
        return len(self.arrival_s)


@dataclass(frozen=True, slots=True)
class PortalDossiers:
    """Dossiers that requests filed on the portal, in any order.

    Attributes
    ----------
    session, step, attempt : NDArray[int32], shape (n,)
        The request that filed it.
    key : NDArray[uint64], shape (n,)
        The request's key in the trace.
    service : NDArray[int32], shape (n,)
        Index in ``services``.
    submitted_s : NDArray[float64], shape (n,)
        When it was filed, s.
    acknowledged_s, synced_s : NDArray[float64], shape (n,)
        When the client was told, and when the portal's job had it through, s; NaN if never.
    services : tuple of str
        Codes of the services, as in the trace.
    """

    session: NDArray[np.int32]
    step: NDArray[np.int32]
    attempt: NDArray[np.int32]
    key: NDArray[np.uint64]
    service: NDArray[np.int32]
    submitted_s: NDArray[np.float64]
    acknowledged_s: NDArray[np.float64]
    synced_s: NDArray[np.float64]
    services: tuple[str, ...]


def demand_filings(
    scenario: Scenario, replication: int, plan: Plan, catalogue: Catalogue | None = None
) -> Filings:
    """Draw the dossiers of a replication straight from the demand, without sessions.

    Online arrive ``dossiers_per_year`` times ``online_share`` a year, at the hours of
    ``online_hours`` or of the first journey that files dossiers; at the counter the rest, on days
    on which some office is open, at ``counter_hours``. Both follow the year's shape, its events and
    its random days.

    Parameters
    ----------
    scenario : Scenario
        The question.
    replication : int
        Which replication, >= 0.
    plan : Plan
        Its offices.
    catalogue : Catalogue, optional
        The scenario's procedures; read or generated when absent.

    Returns
    -------
    Filings
        Online, counter and backlog. With an intake those filed online begin in ``SYNCHRONISING``.

    Raises
    ------
    ScenarioError
        When the list of open dossiers is faulty, or nothing says when dossiers are filed online.
    """
    choices = Choices.of(scenario, plan, catalogue_of(scenario) if catalogue is None else catalogue)
    online = _online(scenario, replication, choices)
    return _in_order([*_without_portal(scenario, replication, choices), online])


def portal_filings(
    scenario: Scenario,
    replication: int,
    plan: Plan,
    dossiers: PortalDossiers,
    catalogue: Catalogue | None = None,
) -> Filings:
    """Return the dossiers the portal filed as they reach the offices, counter and backlog included.

    Parameters
    ----------
    scenario : Scenario
        The question.
    replication : int
        Which replication, >= 0.
    plan : Plan
        Its offices.
    dossiers : PortalDossiers
        What was filed on the portal.
    catalogue : Catalogue, optional
        The scenario's procedures; read or generated when absent.

    Returns
    -------
    Filings
        A dossier reaches its office when it is synchronised. One that never was somebody sends
        again: a drawn ``intake.resend`` (a day without an intake) after it was acknowledged, or
        filed if nobody was told. What does not arrive before ``plan.end_s`` is left out.
    """
    choices = Choices.of(scenario, plan, catalogue_of(scenario) if catalogue is None else catalogue)
    portal = _from_portal(choices, dossiers)
    return _in_order([*_without_portal(scenario, replication, choices), portal])


def nominal_filings(
    trace: Trace, scenario: Scenario, plan: Plan, catalogue: Catalogue | None = None
) -> Filings:
    """Return :func:`portal_filings` of :func:`nominal_dossiers`: as if the portal took no time."""
    return portal_filings(
        scenario, trace.replication, plan, nominal_dossiers(trace, scenario), catalogue
    )


def nominal_dossiers(trace: Trace, scenario: Scenario) -> PortalDossiers:
    """Return the dossiers of a trace, or of a piece of one, filed and synchronised at once.

    Parameters
    ----------
    trace : Trace
        The sessions; each request to an endpoint that files dossiers files one.
    scenario : Scenario
        The question.

    Returns
    -------
    PortalDossiers
        Filed when the session would send the request if answers took no time: its arrival plus all
        thinking before. In order of the requests; sessions are numbered as in ``trace``.
    """
    files = np.array([endpoint.files_dossier for endpoint in scenario.portal.endpoints.values()])
    request = np.flatnonzero(files[trace.endpoint])
    session = np.searchsorted(trace.first_request, request, side="right") - 1
    first = trace.first_request[session]
    stretches = np.stack([first, request + 1], axis=1).ravel()
    thought_s = np.add.reduceat(np.append(trace.think_s, 0.0), stretches)[::2]
    filed_s = trace.arrival_s[session] + thought_s if len(request) else np.empty(0)
    return PortalDossiers(
        session=session.astype(np.int32),
        step=(request - first).astype(np.int32),
        attempt=np.zeros(len(request), dtype=np.int32),
        key=trace.key[request],
        service=trace.service[session],
        submitted_s=filed_s,
        acknowledged_s=filed_s,
        synced_s=filed_s,
        services=trace.services,
    )


def _without_portal(scenario: Scenario, replication: int, choices: Choices) -> list[Filings]:
    """Return what reaches the offices whatever the portal does."""
    backlog = _open_at_start(scenario, replication, choices)
    if choices.plan.spec.counter_hours is None:
        return [backlog]
    return [backlog, _counter(scenario, replication, choices)]


def _online(scenario: Scenario, replication: int, choices: Choices) -> Filings:
    spec = choices.plan.spec
    journey = next(filing_journeys(scenario), None)
    hours = spec.online_hours or (scenario.demand.journeys[journey].hours if journey else None)
    if hours is None:
        told = "nothing says at which hours dossiers are filed online; name an hour shape"
        raise ScenarioError([Flaw("backoffice.online_hours", told)])
    profile = dossier_profile(
        scenario,
        scenario.demand.online_share,
        hours,
        journey=journey,
        effects=day_effects(scenario, replication),
    )
    times = arrival_times(profile, stream(scenario.seed, replication, "backoffice.online"))
    state = State.RECEIVING if spec.intake is None else State.SYNCHRONISING
    return _drawn(scenario, replication, choices, times, ONLINE, "online", state)


def _counter(scenario: Scenario, replication: int, choices: Choices) -> Filings:
    spec = choices.plan.spec
    calendars = _calendars(scenario, choices.plan)
    assert spec.counter_hours is not None
    profile = dossier_profile(
        scenario,
        1.0 - scenario.demand.online_share,
        spec.counter_hours,
        is_open=lambda day: any(calendar.hours_on(day) for calendar in calendars),
        effects=day_effects(scenario, replication),
    )
    times = arrival_times(profile, stream(scenario.seed, replication, "backoffice.counter"))
    return _drawn(scenario, replication, choices, times, COUNTER, "counter", State.RECEIVING)


def _calendars(scenario: Scenario, plan: Plan) -> list[OfficeCalendar]:
    days = scenario.demand.calendar
    return [group.hours.calendar(days) for group in plan.spec.offices.values()]


def _drawn(
    scenario: Scenario,
    replication: int,
    choices: Choices,
    times: NDArray[np.float64],
    filing: int,
    origin: str,
    state: State,
) -> Filings:
    """Return dossiers that arrive at these times, filed in one way."""
    n, number = len(times), ORIGINS.index(origin)
    key = keys_of_origin(scenario, replication, number, n)
    procedure = choices.procedures(key, filing)
    office = choices.offices(key, procedure)
    ways = _same(filing, n)
    unknown = np.broadcast_to(np.nan, n)
    return Filings(
        arrival_s=times,
        submitted_s=times,
        key=key,
        procedure=procedure,
        filing=ways,
        state=_same(state, n),
        reception=choices.receptions(key, procedure, office, ways),
        office=office,
        received_s=unknown,
        due_s=unknown,
        origin=_same(number, n),
        session=np.arange(n, dtype=np.int32),
        step=_zeros(n),
        attempt=_zeros(n),
    )


def _open_at_start(scenario: Scenario, replication: int, choices: Choices) -> Filings:
    number = ORIGINS.index("backlog")
    opened = open_at_start(
        scenario, choices, lambda n: keys_of_origin(scenario, replication, number, n)
    )
    n = len(opened.key)
    return Filings(
        arrival_s=np.zeros(n),
        submitted_s=opened.submitted_s,
        key=opened.key,
        procedure=opened.procedure,
        filing=opened.filing,
        state=opened.state,
        reception=choices.receptions(opened.key, opened.procedure, opened.office, opened.filing),
        office=opened.office,
        received_s=opened.received_s,
        due_s=opened.due_s,
        origin=_same(number, n),
        session=np.arange(n, dtype=np.int32),
        step=_zeros(n),
        attempt=_zeros(n),
    )


def _from_portal(choices: Choices, dossiers: PortalDossiers) -> Filings:
    plan = choices.plan
    attempts = ORIGIN + dossiers.attempt.astype(np.uint64)
    key = child_keys(dossiers.key, attempts)
    arrival_s = _arrivals(plan, dossiers, key)
    rows = np.flatnonzero(arrival_s < plan.end_s)
    rows = rows[np.lexsort((dossiers.attempt[rows], dossiers.step[rows], dossiers.session[rows]))]
    key, n = key[rows], len(rows)
    procedure = _procedures(plan, dossiers.services, dossiers.service[rows])
    office = choices.offices(key, procedure)
    ways = _same(ONLINE, n)
    unknown = np.broadcast_to(np.nan, n)
    return Filings(
        arrival_s=arrival_s[rows],
        submitted_s=dossiers.submitted_s[rows],
        key=key,
        procedure=procedure,
        filing=ways,
        state=_same(State.RECEIVING, n),
        reception=choices.receptions(key, procedure, office, ways),
        office=office,
        received_s=unknown,
        due_s=unknown,
        origin=_same(ORIGINS.index("portal"), n),
        session=dossiers.session[rows],
        step=dossiers.step[rows],
        attempt=dossiers.attempt[rows],
    )


def _procedures(plan: Plan, services: Sequence[str], service: Index) -> Index:
    """Return the procedures of services in a list of codes."""
    number = {code: row for row, code in enumerate(plan.procedures.code)}
    asked, which = np.unique(service, return_inverse=True)
    return np.array([number[services[i]] for i in asked.tolist()], dtype=np.int32)[which]


def _arrivals(plan: Plan, dossiers: PortalDossiers, keys: Keys) -> NDArray[np.float64]:
    """Return when each dossier of the portal reaches its office, s."""
    arrival_s = dossiers.synced_s.copy()
    resend = (
        Sync.model_fields["resend"].default if plan.spec.intake is None else plan.spec.intake.resend
    )
    known_s = np.where(
        np.isnan(dossiers.acknowledged_s), dossiers.submitted_s, dossiers.acknowledged_s
    )
    for row in np.flatnonzero(np.isnan(arrival_s)).tolist():
        key = int(keys[row])
        u0, u1 = uniform(key, 0, RESEND_SLOT), uniform(key, 0, RESEND_SLOT, 1)
        arrival_s[row] = known_s[row] + variate_of(resend, u0, u1)
    return arrival_s


def _in_order(parts: Sequence[Filings]) -> Filings:
    """Return all dossiers in order of arrival, at one moment in the order of the parts."""
    order = np.argsort(np.concatenate([part.arrival_s for part in parts]), kind="stable")
    columns = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])[order]
        for field in fields(Filings)
    }
    return Filings(**columns)


def _same(value: int, n: int) -> NDArray[np.int8]:
    """Return one small number n times, without memory of its own."""
    return np.broadcast_to(np.int8(value), n)


def _zeros(n: int) -> NDArray[np.int32]:
    return np.broadcast_to(np.int32(0), n)
