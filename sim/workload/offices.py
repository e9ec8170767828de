"""What goes on from the portal's records to the offices, and comes back as records of both."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import JsonValue

from sim.backoffice.filings import Filings, PortalDossiers, demand_filings, portal_filings
from sim.backoffice.outcomes import OfficeRun
from sim.backoffice.plan import plan_of
from sim.backoffice.tables import office_dossier_table, office_level_table
from sim.demand import Trace, catalogue_of
from sim.results import Records, no_rows
from sim.results.tables import session_of
from sim.scenario.scenario import Scenario
from sim.workload.drawing import SimulateOffices, draw_workload, worked_through
from sim.workload.tasks import Keys, Tasks, coupling_of, tasks_of

SimulatePortal = Callable[[Scenario, Trace], Records]
"""The portal of either engine."""

Sink = Callable[[Records], None]
"""Takes the next rows of each table."""

COUPLING = "coupling"
"""Name of the note in the records on how far officers' sessions are from their tasks."""

_STEP_BITS = 32

_SORTED_BY = ("session", "step", "attempt")


def simulate_both(
    scenario: Scenario,
    replication: int,
    trace: Trace | None,
    simulate_portal: SimulatePortal,
    simulate_offices: SimulateOffices,
) -> Records:
    """Simulate what a scenario has of one replication: the portal, its offices, or both.

    Parameters
    ----------
    scenario : Scenario
        The question.
    replication : int
        Which replication, >= 0.
    trace : Trace or None
        Its demand; drawn when None. Offices that get their dossiers without a portal need none.
    simulate_portal, simulate_offices : callable
        The engine.
    """
    if not scenario.has_portal:
        return offices_alone(scenario, replication, simulate_offices)
    if trace is None:
        trace = draw_workload(scenario, replication, simulate_offices)
    records = simulate_portal(scenario, trace)
    if scenario.backoffice is None:
        return records
    return with_offices(records, trace, scenario, simulate_offices)


def offices_alone(
    scenario: Scenario, replication: int, simulate_offices: SimulateOffices
) -> Records:
    """Simulate one replication of offices that get their dossiers straight from the demand.

    Parameters
    ----------
    scenario : Scenario
        The question; its ``backoffice.fed_by`` is ``demand``.
    replication : int
        Which replication, >= 0.
    simulate_offices : callable
        The engine.

    Returns
    -------
    Records
        No requests and no sessions; dossiers, and levels of the offices.
    """
    catalogue = catalogue_of(scenario)
    plan = plan_of(scenario, replication, catalogue)
    filings = demand_filings(scenario, replication, plan, catalogue)
    run = worked_through(simulate_offices, plan, filings, scenario)
    return replace(
        no_rows(),
        dossiers=office_dossier_table(plan, filings, run.cases, replication),
        levels=office_level_table(run.levels, replication),
    )


def with_offices(
    records: Records, trace: Trace, scenario: Scenario, simulate_offices: SimulateOffices
) -> Records:
    """Let the dossiers of a portal's records go on through the offices.

    Parameters
    ----------
    records : Records
        Of the portal, one replication.
    trace : Trace
        Its demand.
    scenario : Scenario
        The question; it has a block ``backoffice``.
    simulate_offices : callable
        The engine.

    Returns
    -------
    Records
        The same requests and sessions; all dossiers of the offices, their levels after the
        portal's, and the note ``COUPLING`` where officers load the portal.
    """
    behind = _BehindPortal(scenario, trace.replication)
    behind.note(trace)
    return behind.records(records, simulate_offices)


@contextmanager
def put_aside(
    scenario: Scenario,
    replication: int,
    chunks: Iterable[Trace],
    sink: Sink,
    simulate_offices: SimulateOffices,
) -> Iterator[tuple[Iterable[Trace], Sink]]:
    """Let the dossiers of a portal that is simulated piece by piece go on through the offices.

    Memory holds, besides, 16 bytes for each request that may file a dossier and for each officer's
    session, and the rows of all dossiers.

    Parameters
    ----------
    scenario : Scenario
        The question.
    replication : int
        Which replication, >= 0.
    chunks : iterable of Trace
        The demand.
    sink : callable
        Takes records of portal and offices.
    simulate_offices : callable
        The engine.

    Yields
    ------
    iterable of Trace, callable
        What to simulate, and who takes the portal's records meanwhile: requests and sessions are
        handed on, dossiers and levels when the block ends, with what the offices did.
    """
    if scenario.backoffice is None:
        yield chunks, sink
        return
    behind, kept = _BehindPortal(scenario, replication), _Kept(sink)
    yield behind.watched(chunks), kept.take
    sink(behind.records(kept.records(), simulate_offices))


class _Kept:
    """Keeps dossiers and levels of records, and hands on the rest."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._parts: list[Records] = []

    def take(self, records: Records) -> None:
        """Take the next part."""
        nothing = no_rows()
        self._parts.append(replace(records, requests=nothing.requests, sessions=nothing.sessions))
        self._sink(replace(records, dossiers=nothing.dossiers, levels=nothing.levels))

    def records(self) -> Records:
        """Return what was kept, as if it had come at once."""
        dossiers = pa.concat_tables([part.dossiers for part in self._parts])
        dossiers = dossiers.unify_dictionaries().combine_chunks()
        order = np.lexsort([dossiers[name].to_numpy() for name in reversed(_SORTED_BY)])
        levels = pa.concat_tables([part.levels for part in self._parts])
        return replace(no_rows(), dossiers=dossiers.take(order), levels=levels)


class _BehindPortal:
    """The offices of one replication: told the trace piece by piece, then asked for records."""

    def __init__(self, scenario: Scenario, replication: int) -> None:
        assert scenario.backoffice is not None
        self._scenario = scenario
        self._replication = replication
        self._journey = scenario.backoffice.officer_journey
        self._n_sessions = 0
        self._services: tuple[str, ...] = ()
        self._requests: list[_Requests] = []
        self._tasks: list[Tasks] = []

    def watched(self, chunks: Iterable[Trace]) -> Iterator[Trace]:
        """Yield the pieces of the trace, and note what the offices must know of them."""
        for chunk in chunks:
            self.note(chunk)
            yield chunk

    def note(self, trace: Trace) -> None:
        """Note the next sessions of the trace."""
        endpoints = self._scenario.portal.endpoints
        files = np.array([endpoints[name].files_dossier for name in trace.endpoints], dtype=bool)
        at = np.flatnonzero(files[trace.endpoint])
        session = session_of(trace, at)
        step = at - trace.first_request[session]
        self._requests.append(_Requests(_places(session + self._n_sessions, step), trace.key[at]))
        if self._journey is not None:
            self._tasks.append(_tasks_in(trace, self._journey))
        self._n_sessions += trace.n_sessions
        self._services = trace.services

    def records(self, portal: Records, simulate_offices: SimulateOffices) -> Records:
        """Return the records of portal and offices; see :func:`with_offices`."""
        scenario, replication = self._scenario, self._replication
        catalogue = catalogue_of(scenario)
        plan = plan_of(scenario, replication, catalogue)
        dossiers = self._dossiers(portal.dossiers)
        filings = portal_filings(scenario, replication, plan, dossiers, catalogue)
        run = worked_through(simulate_offices, plan, filings, scenario)
        levels = office_level_table(run.levels, replication)
        return replace(
            portal,
            dossiers=office_dossier_table(plan, filings, run.cases, replication, portal.dossiers),
            levels=pa.concat_tables([portal.levels, levels]).unify_dictionaries(),
            notes={**portal.notes, **self._coupling(filings, run)},
        )

    def _dossiers(self, table: pa.Table) -> PortalDossiers:
        session, step, attempt = (
            table[name].to_numpy().astype(np.int32) for name in ("session", "step", "attempt")
        )
        requests = _joined_requests(self._requests)
        at = np.searchsorted(requests.place, _places(session, step))
        return PortalDossiers(
            session=session,
            step=step,
            attempt=attempt,
            key=requests.key[at],
            service=_indices(table["service"], self._services),
            submitted_s=table["submitted_s"].to_numpy(),
            acknowledged_s=table["acknowledged_s"].to_numpy(),
            synced_s=table["synced_s"].to_numpy(),
            services=self._services,
        )

    def _coupling(self, filings: Filings, run: OfficeRun) -> dict[str, JsonValue]:
        if self._journey is None:
            return {}
        nominal = Tasks(
            np.concatenate([tasks.key for tasks in self._tasks]),
            np.concatenate([tasks.started_s for tasks in self._tasks]),
        )
        final = tasks_of(filings, run.visits, self._scenario.window.duration_s)
        return {COUPLING: asdict(coupling_of(nominal, final))}


@dataclass(frozen=True, slots=True)
class _Requests:
    """Requests that may file a dossier, in order: their places, and keys."""

    place: NDArray[np.int64]
    key: Keys


def _joined_requests(parts: Sequence[_Requests]) -> _Requests:
    return _Requests(
        np.concatenate([part.place for part in parts]), np.concatenate([part.key for part in parts])
    )


def _places(session: NDArray[np.integer], step: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return one number per (session, step), in their order."""
    places: NDArray[np.int64] = (session.astype(np.int64) << _STEP_BITS) | step
    return places


def _tasks_in(trace: Trace, journey: str) -> Tasks:
    """Return the tasks behind the officers' sessions of a trace that have requests."""
    is_officer = trace.journey == trace.journeys.index(journey)
    sessions = np.flatnonzero(is_officer & (np.diff(trace.first_request) > 0))
    return Tasks(trace.key[trace.first_request[sessions]], trace.arrival_s[sessions])


def _indices(column: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.int32]:
    """Return a column of texts as indices of names."""
    whole = column.unify_dictionaries().combine_chunks()
    number = {name: index for index, name in enumerate(names)}
    known = np.array([number[name] for name in whole.dictionary.to_pylist()], dtype=np.int32)
    indices: NDArray[np.int32] = known[whole.indices.to_numpy()]
    return indices
