"""Journeys as tables: every step of every journey, where it leads, and what it asks for on average.

A journey is a Markov chain over its steps. The same tables draw sessions and give their exact
means.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.errors import DemandError
from sim.demand.procedures import Catalogue
from sim.scenario.demand import Calls, Journey, Step
from sim.scenario.scenario import Scenario

END = -1
"""What a last step leads to."""

_ROUNDING = 1e-9  # probabilities that sum to 1 within this do so

Matrix = NDArray[np.float64]
StepIndex = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class JourneyTables:
    """All journeys of a scenario, their steps numbered through.

    Attributes
    ----------
    journeys, endpoints : tuple of str
        Names; indices elsewhere point here.
    steps : tuple of Step, length n_steps
        Rows of all journeys, one journey after the other.
    start : NDArray[int16], shape (n_journeys,)
        First step of each journey.
    next_row : NDArray[int16], shape (n_steps,)
        The row below within the same journey, or ``END``.
    only_with_fee : NDArray[bool], shape (n_steps,)
        Whether services without a fee go on to ``next_row`` instead.
    cumulative : NDArray[float64], shape (n_steps, width)
        Cumulative probabilities of the targets, infinite beyond the last.
    target : NDArray[int16], shape (n_steps, width + 1)
        Next step: column ``k`` where ``k`` cumulative probabilities are at most a uniform number.
    """

    journeys: tuple[str, ...]
    endpoints: tuple[str, ...]
    steps: tuple[Step, ...]
    start: StepIndex
    next_row: StepIndex
    only_with_fee: NDArray[np.bool_]
    cumulative: Matrix
    target: StepIndex

    @property
    def is_random(self) -> NDArray[np.bool_]:
        """Whether it takes a random number to know where a step leads, shape (n_steps,)."""
        return self.cumulative[:, 0] < 1.0

    def arrive(self, step: StepIndex, has_fee: NDArray[np.bool_]) -> StepIndex:
        """Return the steps really done when these are led to: some are skipped without a fee."""
        at = step.copy()
        while True:
            skipped = np.flatnonzero((at != END) & self.only_with_fee[at] & ~has_fee)
            if not len(skipped):
                return at
            at[skipped] = self.next_row[at[skipped]]


def compile_journeys(scenario: Scenario) -> JourneyTables:
    """Return the tables of all journeys of a scenario.

    Raises
    ------
    DemandError
        When some step never leads to the end of its journey.
    """
    ids = _step_ids(scenario.journeys)
    steps = tuple(step for journey in scenario.journeys.values() for step in journey.steps)
    next_row = np.arange(1, len(steps) + 1, dtype=np.int16)
    leads = [
        _leads(name, journey, row, ids)
        for name, journey in scenario.journeys.items()
        for row in range(len(journey.steps))
    ]
    for name, journey in scenario.journeys.items():
        next_row[ids[name, journey.steps[-1].step]] = END
    cumulative, target = _transition_tables(leads)
    tables = JourneyTables(
        journeys=tuple(scenario.journeys),
        endpoints=tuple(scenario.portal.endpoints),
        steps=steps,
        start=np.array(
            [ids[name, journey.steps[0].step] for name, journey in scenario.journeys.items()],
            dtype=np.int16,
        ),
        next_row=next_row,
        only_with_fee=np.array([step.only_with_fee for step in steps]),
        cumulative=cumulative,
        target=target,
    )
    _check_ends(tables, list(ids))
    return tables


def expected_requests(scenario: Scenario, catalogue: Catalogue) -> dict[str, Matrix]:
    """Return the mean number of requests of one session, exactly.

    Solves the linear system of the chain (its fundamental matrix) for services with and without
    a fee. Requests that may be skipped while a dossier synchronises are counted.

    Parameters
    ----------
    scenario : Scenario
        The question.
    catalogue : Catalogue
        Its procedures; sessions choose among the integrated ones by weight.

    Returns
    -------
    dict of str to NDArray, shape (n_endpoints,)
        By journey; endpoints in the order of ``portal.endpoints``.
    """
    tables = compile_journeys(scenario)
    services = catalogue.services
    share = services.weight / services.weight.sum()
    mean = np.zeros((len(tables.journeys), len(tables.endpoints)))
    for with_fee in (False, True):
        among = share * ((services.fee_vnd > 0) == with_fee)
        if among.sum() > 0:
            papers = float(among @ services.upload_slots / among.sum())
            forms = float(among @ services.e_form / among.sum())
            per_step = _requests_per_visit(tables, papers, forms)
            mean += among.sum() * (expected_visits(tables, has_fee=with_fee) @ per_step)
    return dict(zip(tables.journeys, mean, strict=True))


def expected_dossiers_per_session(scenario: Scenario, catalogue: Catalogue) -> dict[str, float]:
    """Return the mean number of requests of one session that put a dossier on file, by journey."""
    files = np.array([endpoint.files_dossier for endpoint in scenario.portal.endpoints.values()])
    means = expected_requests(scenario, catalogue)
    return {name: float(requests[files].sum()) for name, requests in means.items()}


def expected_visits(tables: JourneyTables, *, has_fee: bool) -> Matrix:
    """Return how often a session does each step on average, shape (n_journeys, n_steps).

    Parameters
    ----------
    tables : JourneyTables
        The journeys.
    has_fee : bool
        Whether the session's service charges a fee.

    References
    ----------
    Kemeny and Snell (1960), Finite Markov chains: the fundamental matrix (I - P)^-1.
    """
    n_steps, n_journeys = len(tables.steps), len(tables.journeys)
    starts = tables.arrive(tables.start, np.full(n_journeys, has_fee))
    start = np.zeros((n_steps, n_journeys))
    journeys = np.flatnonzero(starts != END)
    start[starts[journeys], journeys] = 1.0
    p = _transition_matrix(tables, has_fee=has_fee)
    return np.asarray(np.linalg.solve((np.eye(n_steps) - p).T, start).T, dtype=np.float64)


def mean_calls(calls: Calls, papers: float, forms: float) -> float:
    """Return how many requests an entry of ``calls`` means for a service with so many papers."""
    if calls == "upload_slots":
        return papers
    if calls == "e_forms":
        return forms
    return float(calls)


def _step_ids(journeys: Mapping[str, Journey]) -> dict[tuple[str, str], int]:
    names = [(name, step.step) for name, journey in journeys.items() for step in journey.steps]
    return {name: i for i, name in enumerate(names)}


def _leads(
    name: str, journey: Journey, row: int, ids: Mapping[tuple[str, str], int]
) -> dict[int, float]:
    """Return the global ids a row leads to, with their probabilities."""
    step = journey.steps[row]
    if step.next is not None:
        return {ids[name, target]: share for target, share in step.next.items()}
    if row + 1 < len(journey.steps):
        return {ids[name, journey.steps[row + 1].step]: 1.0}
    return {}


def _transition_tables(leads: list[dict[int, float]]) -> tuple[Matrix, StepIndex]:
    width = max(1, *(len(row) for row in leads))
    cumulative = np.full((len(leads), width), np.inf)
    target = np.full((len(leads), width + 1), END, dtype=np.int16)
    for step, row in enumerate(leads):
        cumulative[step, : len(row)] = np.cumsum(list(row.values()))
        target[step, : len(row)] = list(row)
    cumulative[np.abs(cumulative - 1.0) < _ROUNDING] = 1.0
    return cumulative, target


def _transition_matrix(tables: JourneyTables, *, has_fee: bool) -> Matrix:
    """Return P, shape (n_steps, n_steps); what a row lacks to 1 is its probability of the end."""
    n_steps = len(tables.steps)
    p = np.zeros((n_steps, n_steps))
    finite = np.where(np.isfinite(tables.cumulative), tables.cumulative, np.nan)
    shares = np.diff(finite, axis=1, prepend=0.0)
    for k in range(shares.shape[1]):
        to = tables.arrive(tables.target[:, k], np.full(n_steps, has_fee))
        rows = np.flatnonzero((to != END) & np.isfinite(shares[:, k]))
        np.add.at(p, (rows, to[rows]), shares[rows, k])
    return p


def _requests_per_visit(tables: JourneyTables, papers: float, forms: float) -> Matrix:
    """Return the mean requests of one visit of each step, shape (n_steps, n_endpoints)."""
    index = {name: i for i, name in enumerate(tables.endpoints)}
    requests = np.zeros((len(tables.steps), len(tables.endpoints)))
    for step, spec in enumerate(tables.steps):
        for name, calls in spec.calls.items():
            requests[step, index[name]] = spec.repeat * mean_calls(calls, papers, forms)
    return requests


def _check_ends(tables: JourneyTables, names: list[tuple[str, str]]) -> None:
    """Refuse a chain that can go round for ever: its sessions would have no last request."""
    for has_fee in (False, True):
        p = _transition_matrix(tables, has_fee=has_fee)
        ends = p.sum(axis=1) < 1.0 - _ROUNDING
        for _ in names:
            ends |= p @ ends > 0
        stuck = [
            f"{journey}.{step}" for (journey, step), end in zip(names, ends, strict=True) if not end
        ]
        if stuck:
            raise DemandError(f"journeys: from {', '.join(stuck)} the end is never reached")
