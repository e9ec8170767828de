"""What one replication's offices are: everything both engines read, as columns."""

import datetime as dt
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.backoffice.staffing import office_sizes, officers_by_day, present_officers
from sim.calendars import OfficeCalendar, WorkingTime, days_touched
from sim.demand import Catalogue, catalogue_of
from sim.scenario import Flaw, Scenario, ScenarioError
from sim.scenario.backoffice import FILINGS, TASKS, Backoffice
from sim.scenario.backoffice_checks import check_offices, deciding_group
from sim.scenario.errors import dotted

DAY_S = 86400.0
HOUR_S = 3600.0

NO_TEAM = -1
"""Nobody in an office can do a task."""

NO_GROUP = -1
"""No office of the city decides a procedure, which no dossier asks for."""

REACH_BEFORE_S = 400 * DAY_S
"""Calendars begin so long before the window: the oldest dossiers drawn for the start are as old."""

FILE_REACH_BEFORE_S = 3660 * DAY_S
"""The same where the open dossiers are listed in a file."""

REACH_AFTER_S = 800 * DAY_S
"""Calendars go on at least so long after the end; on as far as any term may fall."""

LONGEST_REACH_S = 36_600 * DAY_S
"""No term is farther off: a hundred years."""

_ROOM = 1.1  # days off are not spread evenly over a calendar


@dataclass(frozen=True, slots=True)
class Procedures:
    """What matters of each procedure, one row each, in the catalogue's order.

    Attributes
    ----------
    code : tuple of str, length n
        Codes.
    domain : NDArray[int32], shape (n,)
        Index of its domain in ``Plan.domains``.
    limit_s : NDArray[float64], shape (n,)
        Legal limit, working s, > 0.
    has_fee : NDArray[bool], shape (n,)
        Whether a fee is charged.
    group : NDArray[int32], shape (n,)
        Index of the group of offices that decides it; ``NO_GROUP`` where a ministry does.
    """

    code: tuple[str, ...]
    domain: NDArray[np.int32]
    limit_s: NDArray[np.float64]
    has_fee: NDArray[np.bool_]
    group: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Shifts:
    """One calendar: when its offices are open, and when officers come.

    Attributes
    ----------
    working_time : WorkingTime
        From before the oldest backlog to after the last due date.
    opening_s : NDArray[float64], shape (k,)
        Openings in the run, [0, end), s, ascending; a calendar that is open at 0 has one at 0.
    opening_day : NDArray[int32], shape (k,)
        Index of each opening's day in ``Plan.present``.
    """

    working_time: WorkingTime
    opening_s: NDArray[np.float64]
    opening_day: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Plan:
    """The offices of one replication.

    Offices, teams and calendars are numbered; an office's teams follow each other, offices in the
    order of their groups.

    Attributes
    ----------
    spec : Backoffice
        The scenario's block: workflow, law, order, intake and publication are read there.
    procedures : Procedures
        All procedures of the catalogue.
    domains : tuple of str
        Names of the domains.
    offices : tuple of str, length n_offices
        Names, such as ``communes_001``; the group's own name if it has only one office.
    group : NDArray[int32], shape (n_offices,)
        Index of each office's group in ``spec.offices``.
    size : NDArray[float64], shape (n_offices,)
        Share of its group's dossiers; sums to 1 in each group.
    calendar : NDArray[int32], shape (n_offices,)
        Index of each office's calendar in ``shifts``.
    shifts : tuple of Shifts
        The different calendars.
    team_office : NDArray[int32], shape (n_teams,)
        Office of each team.
    team_role : NDArray[int32], shape (n_teams,)
        Index in ``roles``.
    roles : tuple of str
        ``<group>.<team>``: the same team in every office of a group.
    role_order : tuple of str
        ``due_first`` or ``fifo``, by role.
    present : NDArray[int32], shape (n_teams, n_days)
        Officers of each team present on each day of the run, leave and roster counted in. A day
        without openings is never read.
    team_of : NDArray[int32], shape (n_offices, n_tasks, n_domains, 2)
        Team that does a task on dossiers of a domain filed online (0) or at the counter (1);
        ``NO_TEAM`` where nobody can, which no dossier meets. Tasks as in ``TASKS``.
    end_s : float
        When the run ends, s.
    """

    spec: Backoffice
    procedures: Procedures
    domains: tuple[str, ...]
    offices: tuple[str, ...]
    group: NDArray[np.int32]
    size: NDArray[np.float64]
    calendar: NDArray[np.int32]
    shifts: tuple[Shifts, ...]
    team_office: NDArray[np.int32]
    team_role: NDArray[np.int32]
    roles: tuple[str, ...]
    role_order: tuple[str, ...]
    present: NDArray[np.int32]
    team_of: NDArray[np.int32]
    end_s: float


def plan_of(
    scenario: Scenario,
    replication: int,
    catalogue: Catalogue | None = None,
    end_s: float | None = None,
) -> Plan:
    """Return the offices of one replication.

    Parameters
    ----------
    scenario : Scenario
        The question; it has a block ``backoffice``.
    replication : int
        Which replication, >= 0: it decides who is on leave when, nothing else.
    catalogue : Catalogue, optional
        The scenario's procedures; read or generated when absent.
    end_s : float, optional
        When the run ends, s, > 0; absent: ``window.drain_s`` after the window.

    Raises
    ------
    ScenarioError
        When nobody decides some procedure, or nobody does some task: what only the catalogue
        itself tells.
    CatalogueError
        When the catalogue is faulty.
    """
    spec, window = scenario.backoffice, scenario.window
    assert spec is not None
    catalogue = catalogue_of(scenario) if catalogue is None else catalogue
    _check(scenario, spec, catalogue)
    end_s = window.duration_s + window.drain_s if end_s is None else end_s
    days = days_touched(window.start, end_s)
    domains = tuple(dict.fromkeys(catalogue.domain))
    procedures = _procedures(spec, catalogue, domains)
    staff = _Staff.of(scenario, spec, replication, days)
    calendar, shifts = _calendars(scenario, spec, procedures, end_s)
    group = np.repeat(np.arange(len(spec.offices)), [g.count for g in spec.offices.values()])
    return Plan(
        spec=spec,
        procedures=procedures,
        domains=domains,
        offices=tuple(name for name, _ in spec.office_names()),
        group=group.astype(np.int32),
        size=staff.size,
        calendar=calendar[group],
        shifts=shifts,
        team_office=staff.team_office,
        team_role=staff.team_role,
        roles=tuple(f"{group}.{team}" for group, team, _ in spec.teams()),
        role_order=tuple(team.order or spec.order for _, _, team in spec.teams()),
        present=staff.present,
        team_of=_dispatch(spec, staff, group, domains),
        end_s=end_s,
    )


@dataclass(frozen=True, slots=True)
class _Staff:
    """Sizes of all offices, and the teams in them."""

    size: NDArray[np.float64]
    team_office: NDArray[np.int32]
    team_role: NDArray[np.int32]
    present: NDArray[np.int32]
    is_staffed: NDArray[np.bool_]  # whether a team has an officer on any day

    @classmethod
    def of(
        cls, scenario: Scenario, spec: Backoffice, replication: int, days: tuple[dt.date, ...]
    ) -> "_Staff":
        """Return the staff; an office's teams follow each other."""
        sizes, offices, roles, present, staffed = [], [], [], [], []
        first_office, first_role = 0, 0
        for name, group in spec.offices.items():
            size = office_sizes(scenario.seed, name, group)
            shape = (group.count, len(group.teams))
            officers = [officers_by_day(group, team, size, days) for team in group.teams.values()]
            there = [
                present_officers(
                    officers[i],
                    days,
                    team.leave_share,
                    seed=scenario.seed,
                    replication=replication,
                    group=name,
                    team=team_name,
                )
                for i, (team_name, team) in enumerate(group.teams.items())
            ]
            office, role = np.indices(shape, dtype=np.int32)
            sizes.append(size)
            offices.append(office.ravel() + np.int32(first_office))
            roles.append(role.ravel() + np.int32(first_role))
            present.append(np.stack(there, axis=1).reshape(-1, len(days)))
            staffed.append(np.stack(officers, axis=1).max(axis=2).ravel() > 0)
            first_office, first_role = first_office + shape[0], first_role + shape[1]
        return cls(*(np.concatenate(part) for part in (sizes, offices, roles, present, staffed)))


def _check(scenario: Scenario, spec: Backoffice, catalogue: Catalogue) -> None:
    decided = {
        (level, domain)
        for level, domain in zip(catalogue.level, catalogue.domain, strict=True)
        if level != "ministry"
    }
    findings = check_offices(spec, decided, scenario.demand, scenario.window)
    flaws = [Flaw(dotted(path), message) for path, message in findings]
    if flaws:
        raise ScenarioError(flaws)


def _procedures(spec: Backoffice, catalogue: Catalogue, domains: tuple[str, ...]) -> Procedures:
    number = {domain: i for i, domain in enumerate(domains)}
    groups = {group: i for i, group in enumerate(spec.offices)}
    deciding = {
        (level, domain): deciding_group(spec, level, domain)
        for level, domain in set(zip(catalogue.level, catalogue.domain, strict=True))
    }
    group = [
        NO_GROUP if name is None else groups[name]
        for name in (deciding[row] for row in zip(catalogue.level, catalogue.domain, strict=True))
    ]
    limit_h = np.where(np.isnan(catalogue.limit_h), spec.law.default_limit_h, catalogue.limit_h)
    return Procedures(
        code=catalogue.code,
        domain=np.array([number[domain] for domain in catalogue.domain], dtype=np.int32),
        limit_s=limit_h * HOUR_S,
        has_fee=catalogue.fee_vnd > 0,
        group=np.array(group, dtype=np.int32),
    )


def _dispatch(
    spec: Backoffice, staff: _Staff, group: NDArray[np.intp], domains: tuple[str, ...]
) -> NDArray[np.int32]:
    """Return who does what: of each office's teams that have anybody the first that can."""
    team_of = np.full((len(group), len(TASKS), len(domains), len(FILINGS)), NO_TEAM, dtype=np.int32)
    able = [
        [
            [[team.does_task(task, d, filing) for filing in FILINGS] for d in domains]
            for task in TASKS
        ]
        for _, _, team in spec.teams()
    ]
    can = np.array(able, dtype=bool)
    for team in np.flatnonzero(staff.is_staffed)[::-1]:
        own = team_of[staff.team_office[team]]
        own[can[staff.team_role[team]]] = team
    return team_of


def _calendars(
    scenario: Scenario, spec: Backoffice, procedures: Procedures, end_s: float
) -> tuple[NDArray[np.int32], tuple[Shifts, ...]]:
    """Return the index of each group's calendar, and the different calendars."""
    different = list(spec.offices.values())[:0]
    index = []
    for group in spec.offices.values():
        same = [i for i, other in enumerate(different) if other.hours == group.hours]
        index.append(same[0] if same else len(different))
        if not same:
            different.append(group)
    longest_s = float(procedures.limit_s.max())
    shifts = tuple(
        _shifts(scenario, group.hours.calendar(scenario.demand.calendar), longest_s, end_s)
        for group in different
    )
    return np.array(index, dtype=np.int32), shifts


def _shifts(scenario: Scenario, calendar: OfficeCalendar, longest_s: float, end_s: float) -> Shifts:
    start = scenario.window.start
    working_time = _working_time(scenario, calendar, longest_s, end_s)
    opens_s, closes_s = working_time.opens_s, working_time.closes_s
    in_run = (closes_s > 0) & (opens_s < end_s)
    opening_s = np.maximum(opens_s[in_run], 0.0)
    since_midnight_s = (start - dt.datetime.combine(start.date(), dt.time())).total_seconds()
    day = ((opening_s + since_midnight_s) // DAY_S).astype(np.int32)
    return Shifts(working_time, opening_s, day)


def _working_time(
    scenario: Scenario, calendar: OfficeCalendar, longest_s: float, end_s: float
) -> WorkingTime:
    """Return the open time from the oldest backlog to the last term.

    A term is at most the longest limit after the end, and as long again as the clock stood still.
    """
    spec = scenario.backoffice
    assert spec is not None
    from_s = -REACH_BEFORE_S if spec.initial_state.file is None else -FILE_REACH_BEFORE_S
    reach_s = REACH_AFTER_S
    while reach_s <= LONGEST_REACH_S:
        time = WorkingTime.of(calendar, scenario.window.start, from_s, end_s + reach_s)
        after_s = time.between(end_s, end_s + reach_s)
        needed_s = longest_s + time.between(0.0, end_s) + DAY_S
        if after_s >= needed_s:
            return time
        reach_s *= _ROOM * needed_s / max(after_s, 1.0)
    raise ScenarioError(
        [
            Flaw(
                "backoffice.offices",
                f"the longest limit of a procedure, {longest_s / HOUR_S:g} working hours, takes "
                "more than a hundred years in the hours of some office; open it longer",
            )
        ]
    )
