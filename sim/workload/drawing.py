"""The trace of a scenario whose officers load the portal: citizens first, then who works for them.

One way (``docs/model.md``): the offices work through the dossiers of the citizens' sessions at
their nominal times, and each start of a task is a session. Whoever draws says which engine the
offices are of; they are twins.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from sim.backoffice.filings import Filings, PortalDossiers, nominal_dossiers, portal_filings
from sim.backoffice.outcomes import OfficeRun
from sim.backoffice.plan import Plan, plan_of
from sim.demand import (
    Catalogue,
    OfficerSessions,
    Trace,
    catalogue_of,
    draw_trace,
    draw_trace_chunks,
    expected_size,
)
from sim.demand.drawing import ExpectedSize
from sim.demand.journeys import expected_requests
from sim.scenario import Flaw, ScenarioError
from sim.scenario.scenario import Scenario
from sim.workload.expectations import expected_dossiers, tasks_per_dossier
from sim.workload.tasks import officer_sessions

SimulateOffices = Callable[[Plan, Filings, Scenario], OfficeRun]
"""The offices of either engine."""


def draw_workload(
    scenario: Scenario,
    replication: int,
    simulate_offices: SimulateOffices,
    catalogue: Catalogue | None = None,
) -> Trace:
    """Draw what all clients of one replication want, officers among them.

    Parameters
    ----------
    scenario : Scenario
        The question.
    replication : int
        Which replication, >= 0; any one is reached directly.
    simulate_offices : callable
        The offices of an engine; called where officers load the portal.
    catalogue : Catalogue, optional
        The scenario's procedures; read or generated when absent.

    Returns
    -------
    Trace
        Of a scenario whose officers do not load the portal :func:`sim.demand.draw_trace`;
        otherwise the same sessions and the officers', one for each task begun in the window.

    Raises
    ------
    DemandError, CatalogueError
        See :func:`sim.demand.draw_trace`.
    ScenarioError
        When the offices cannot do the work of this catalogue.
    """
    catalogue = catalogue_of(scenario) if catalogue is None else catalogue
    citizens = draw_trace(scenario, replication, catalogue)
    if not has_officers(scenario):
        return citizens
    officers = _officers(scenario, replication, simulate_offices, catalogue, [citizens])
    del citizens
    return draw_trace(scenario, replication, catalogue, officers=officers)


def draw_workload_chunks(
    scenario: Scenario,
    replication: int,
    sessions_per_chunk: int,
    simulate_offices: SimulateOffices,
    catalogue: Catalogue | None = None,
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
    simulate_offices : callable
        As in :func:`draw_workload`.
    catalogue : Catalogue, optional
        The scenario's procedures; read or generated when absent.

    Yields
    ------
    Trace
        Consecutive sessions; together :func:`draw_workload`, bit for bit. Without sessions, one
        empty piece. Where officers load the portal, the citizens' pieces are drawn twice.

    Raises
    ------
    DemandError, CatalogueError, ScenarioError
        See :func:`draw_workload`.
    """
    catalogue = catalogue_of(scenario) if catalogue is None else catalogue
    officers = None
    if has_officers(scenario):
        citizens = draw_trace_chunks(scenario, replication, sessions_per_chunk, catalogue)
        officers = _officers(scenario, replication, simulate_offices, catalogue, citizens)
    yield from draw_trace_chunks(
        scenario, replication, sessions_per_chunk, catalogue, officers=officers
    )


def expected_workload(
    scenario: Scenario, replication: int, catalogue: Catalogue | None = None
) -> ExpectedSize:
    """Return how large a trace will be, before it is drawn.

    Of the officers' sessions it is an upper bound of the mean: as if they kept pace with all work.

    Raises
    ------
    DemandError, CatalogueError
        See :func:`sim.demand.expected_size`.
    """
    catalogue = catalogue_of(scenario) if catalogue is None else catalogue
    size = expected_size(scenario, replication, catalogue)
    if not has_officers(scenario):
        return size
    spec = scenario.backoffice
    assert spec is not None
    dossiers = expected_dossiers(scenario, replication, catalogue)
    sessions = dossiers * tasks_per_dossier(spec)
    per_session = expected_requests(scenario, catalogue)[spec.officer_journey or ""].sum()
    return ExpectedSize(
        sessions=size.sessions + sessions, requests=size.requests + sessions * float(per_session)
    )


def has_officers(scenario: Scenario) -> bool:
    """Say whether officers load the portal."""
    return scenario.backoffice is not None and scenario.backoffice.officer_journey is not None


def worked_through(
    simulate_offices: SimulateOffices, plan: Plan, filings: Filings, scenario: Scenario
) -> OfficeRun:
    """Let the offices work through dossiers.

    Raises
    ------
    ScenarioError
        When work, an answer or a term reaches beyond the calendars.
    """
    try:
        return simulate_offices(plan, filings, scenario)
    except ValueError as error:
        told = (
            f"some work, answer or term ends beyond the calendars ({error}): shorten work, "
            "citizen_answer and agency_answer here, or the limits of the procedures"
        )
        raise ScenarioError([Flaw("backoffice.workflow", told)]) from error


def _officers(
    scenario: Scenario,
    replication: int,
    simulate_offices: SimulateOffices,
    catalogue: Catalogue,
    citizens: Iterable[Trace],
) -> OfficerSessions:
    """Let the offices work through the dossiers of the citizens' sessions, at nominal times."""
    plan = plan_of(scenario, replication, catalogue)
    dossiers = _all_dossiers(scenario, citizens)
    filings = portal_filings(scenario, replication, plan, dossiers, catalogue)
    run = worked_through(simulate_offices, plan, filings, scenario)
    return officer_sessions(scenario, catalogue, filings, run)


def _all_dossiers(scenario: Scenario, citizens: Iterable[Trace]) -> PortalDossiers:
    """Return the nominal dossiers of consecutive pieces of a trace."""
    parts, before = [], 0
    for piece in citizens:
        part = nominal_dossiers(piece, scenario)
        parts.append(replace(part, session=part.session + np.int32(before)))
        before += piece.n_sessions
    columns = ("session", "step", "attempt", "key", "service", "submitted_s", "acknowledged_s")
    whole = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in (*columns, "synced_s")
    }
    return PortalDossiers(**whole, services=parts[0].services)
