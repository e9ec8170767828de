"""Dossiers open when the window begins: drawn from counts, or read from a list."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.backoffice.choices import (
    AGE_SLOT,
    COUNTER,
    FILING_SLOT,
    ONLINE,
    PROCEDURE_SLOT,
    RECEIVED_SLOT,
    Choices,
    Index,
    Keys,
    chosen,
    numbers,
)
from sim.backoffice.open_dossiers import ListedDossiers, read_open_dossiers
from sim.backoffice.plan import DAY_S, HOUR_S, NO_GROUP, REACH_BEFORE_S, Plan
from sim.backoffice.workflow import State
from sim.calendars import WorkingTime
from sim.demand.variates import variates_of
from sim.scenario import Scenario

Floats = NDArray[np.float64]

OLDEST_S = REACH_BEFORE_S - DAY_S
"""No dossier that is drawn is older; the calendars reach a little further."""

BEFORE_RECEPTION = (State.RECEIVING,)
BEFORE_ACCEPTANCE = (State.RECEIVING, State.SUPPLEMENTING_AT_RECEPTION)
"""States of dossiers that were not received, and of those without a term."""


@dataclass(frozen=True, slots=True)
class OpenDossiers:
    """Dossiers open at 0 s.

    Attributes
    ----------
    key : NDArray[uint64], shape (n,)
        Keys.
    submitted_s : NDArray[float64], shape (n,)
        When each was filed, s, <= 0.
    procedure, office : NDArray[int32], shape (n,)
        What was asked for, and the office that decides.
    filing, state : NDArray[int8], shape (n,)
        How it was filed, where it stands.
    received_s, due_s : NDArray[float64], shape (n,)
        When it was received, NaN before reception; when it is due, NaN before acceptance.
    """

    key: Keys
    submitted_s: Floats
    procedure: Index
    office: Index
    filing: NDArray[np.int8]
    state: NDArray[np.int8]
    received_s: Floats
    due_s: Floats


def open_at_start(
    scenario: Scenario, choices: Choices, keys: Callable[[int], Keys]
) -> OpenDossiers:
    """Return the dossiers open at the start, listed in a file or drawn.

    Parameters
    ----------
    scenario : Scenario
        The question.
    choices : Choices
        What is asked for, and by what offices are chosen.
    keys : callable
        Gives the keys of so many dossiers.

    Raises
    ------
    ScenarioError
        When the file is faulty.
    """
    file = choices.plan.spec.initial_state.file
    if file is None:
        return draw_backlog(scenario, choices, keys)
    listed = read_open_dossiers(Path(file), choices.plan, scenario.window.start)
    return complete(scenario, choices, listed, keys(len(listed.state)))


def complete(
    scenario: Scenario, choices: Choices, listed: ListedDossiers, key: Keys
) -> OpenDossiers:
    """Return listed dossiers with what the list leaves open drawn: procedure, office, filing."""
    filing = np.where(listed.filing < 0, draw_filings(scenario, choices, key), listed.filing)
    drawn = draw_procedures(choices, key, filing, listed.group, listed.domain)
    procedure = np.where(listed.procedure < 0, drawn, listed.procedure)
    group = choices.plan.procedures.group[procedure]
    office = np.where(listed.office < 0, choices.offices_in(key, group), listed.office)
    return with_terms(
        choices.plan,
        OpenDossiers(
            key=key,
            submitted_s=listed.filed_s,
            procedure=procedure,
            office=office,
            filing=filing,
            state=listed.state,
            received_s=listed.received_s,
            due_s=listed.due_s,
        ),
    )


def draw_backlog(scenario: Scenario, choices: Choices, keys: Callable[[int], Keys]) -> OpenDossiers:
    """Draw the dossiers open at the start from ``initial_state.groups``.

    A dossier's age is drawn; it was received somewhere within the law's limit for it, and is due as
    the law says, without any halt of the clock. Online ones are as many as in the demand, all
    where none are handed in at the counter.

    Parameters
    ----------
    scenario : Scenario
        The question.
    choices : Choices
        What is asked for, and by what offices are chosen.
    keys : callable
        Gives the keys of so many dossiers.
    """
    plan = choices.plan
    groups = {name: index for index, name in enumerate(plan.spec.offices)}
    lots = [
        (groups[name], State[state.upper()], count, backlog.age)
        for name, backlog in plan.spec.initial_state.groups.items()
        for state, count in backlog.open.items()
    ]
    counts = [count for _, _, count, _ in lots]
    key = keys(sum(counts))
    group = np.repeat(np.array([lot[0] for lot in lots], dtype=np.int32), counts)
    state = np.repeat(np.array([lot[1] for lot in lots], dtype=np.int8), counts)
    filing = draw_filings(scenario, choices, key)
    age_s = np.empty(len(key))
    at = 0
    for _, _, count, age in lots:
        lot = slice(at, at + count)
        u = numbers(key[lot], AGE_SLOT), numbers(key[lot], AGE_SLOT, 1)
        age_s[lot] = np.minimum(variates_of(age, *u), OLDEST_S)
        at += count
    procedure = draw_procedures(choices, key, filing, group)
    office = choices.offices_in(key, group)
    unknown = np.full(len(key), np.nan)
    return with_terms(
        plan, OpenDossiers(key, -age_s, procedure, office, filing, state, unknown, unknown)
    )


def draw_filings(scenario: Scenario, choices: Choices, keys: Keys) -> NDArray[np.int8]:
    """Return how each dossier was filed: as often online as in the demand."""
    if choices.plan.spec.counter_hours is None:
        return np.full(len(keys), ONLINE, dtype=np.int8)
    is_online = numbers(keys, FILING_SLOT) < scenario.demand.online_share
    return np.where(is_online, ONLINE, COUNTER).astype(np.int8)


def draw_procedures(
    choices: Choices,
    keys: Keys,
    filing: NDArray[np.int8],
    group: Index,
    domain: Index | None = None,
) -> Index:
    """Return what each dossier asks for, among what its group decides in its domain (-1: any).

    By popularity among dossiers filed in this way; by that at the counter where nothing of it is
    asked for online, and evenly where nothing is asked for at all. Where a group decides nothing in
    a domain, all groups count.
    """
    procedures = choices.plan.procedures
    procedure = np.full(len(keys), -1, dtype=np.int32)
    u = numbers(keys, PROCEDURE_SLOT)
    domain = np.full(len(keys), -1, dtype=np.int32) if domain is None else domain
    kinds, kind = np.unique(np.stack([group, domain, filing]), axis=1, return_inverse=True)
    for index, (which, field, way) in enumerate(kinds.T.tolist()):
        in_domain = (procedures.group != NO_GROUP) & ((procedures.domain == field) | (field < 0))
        among = in_domain & (procedures.group == which)
        among = among if among.any() else in_domain
        weights = [choices.weights[way] * among, choices.weights[COUNTER] * among, among * 1.0]
        weight = next(w for w in weights if w.any() or w is weights[-1])
        at = np.flatnonzero(kind == index)
        procedure[at] = chosen(weight, u[at])
    return procedure


def with_terms(plan: Plan, dossiers: OpenDossiers) -> OpenDossiers:
    """Return the dossiers with what is missing filled in: when received, when due."""
    received_s, due_s = dossiers.received_s.copy(), dossiers.due_s.copy()
    u = numbers(dossiers.key, RECEIVED_SLOT)
    was_received = ~np.isin(dossiers.state, BEFORE_RECEPTION)
    was_accepted = ~np.isin(dossiers.state, BEFORE_ACCEPTANCE)
    law = plan.spec.law
    cut_off_s = HOUR_S * law.cut_off.hour + 60.0 * law.cut_off.minute
    for calendar, shifts in enumerate(plan.shifts):
        time = shifts.working_time
        is_here = plan.calendar[dossiers.office] == calendar
        rows = np.flatnonzero(is_here & was_received & np.isnan(received_s))
        within_s = u[rows] * law.reception_limit_h * HOUR_S
        received = time.add_each(dossiers.submitted_s[rows], within_s)
        received_s[rows] = np.minimum(received, 0.0)
        rows = np.flatnonzero(is_here & was_accepted & np.isnan(due_s))
        limit_s = plan.procedures.limit_s[dossiers.procedure[rows]]
        due_s[rows] = time.add_each(_counted_from(time, received_s[rows], cut_off_s), limit_s)
    received_s[~was_received] = np.nan
    due_s[~was_accepted] = np.nan
    return replace(dossiers, received_s=received_s, due_s=due_s)


def _counted_from(time: WorkingTime, received_s: Floats, cut_off_s: float) -> Floats:
    """Return when each term begins to run; see ``sim.calendars.law.counted_from``."""
    midnight_s = time.midnight_s + (np.floor((received_s - time.midnight_s) / DAY_S) + 1) * DAY_S
    next_day = np.searchsorted(time.opens_s, midnight_s, side="left")
    is_late = (received_s - time.midnight_s) % DAY_S >= cut_off_s
    return np.where(is_late, time.opens_s[np.minimum(next_day, len(time.opens_s) - 1)], received_s)
