"""What one replication's offices are: everything both engines read, as columns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.calendars import WorkingTime
from sim.scenario.backoffice import Backoffice

NO_TEAM = -1
"""Nobody in an office can do a task."""


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
    """

    code: tuple[str, ...]
    domain: NDArray[np.int32]
    limit_s: NDArray[np.float64]
    has_fee: NDArray[np.bool_]


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
