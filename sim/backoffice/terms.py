"""The law's terms of a dossier, as pure functions of times in an office's calendar.

The terms themselves are counted by ``sim.calendars.law``; here is what of it a run needs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.backoffice.filings import Filings
from sim.backoffice.plan import Plan
from sim.backoffice.workflow import State
from sim.calendars import WorkingTime, law
from sim.scenario.backoffice import Law

HOUR_S = 3600.0

BEFORE_ACCEPTANCE = frozenset(
    {State.SYNCHRONISING, State.RECEIVING, State.SUPPLEMENTING_AT_RECEPTION}
)
"""States in which a dossier's term is that of its reception."""

STANDING = frozenset({State.PAYING, State.SUPPLEMENTING})
"""States in which the clock stands."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The law's numbers in seconds.

    Attributes
    ----------
    cut_off_s : float
        Time of day, s since midnight, from which what is accepted counts from the next day.
    is_restarted : bool
        Whether the clock starts anew after it stood, instead of going on.
    notice_s, apology_s : float
        Working time within which papers are to be asked for; by which an apology leads the term.
    supplements_max : int or None
        How often papers may be asked for; None: without limit.
    """

    cut_off_s: float
    is_restarted: bool
    notice_s: float
    apology_s: float
    supplements_max: int | None

    @classmethod
    def of(cls, spec: Law) -> "Terms":
        """Return the numbers of a scenario."""
        cut_off = spec.cut_off
        return cls(
            cut_off_s=cut_off.hour * HOUR_S + cut_off.minute * 60.0 + cut_off.second,
            is_restarted=spec.clock == "restart",
            notice_s=spec.supplement_notice_h * HOUR_S,
            apology_s=spec.apology_notice_h * HOUR_S,
            supplements_max=spec.supplements_max,
        )

    def accepted(self, hours: WorkingTime, at_s: float, limit_s: float) -> float:
        """Return the term of a dossier accepted at a time, s."""
        return law.due(hours, at_s, limit_s, self.cut_off_s)

    def answered(
        self, hours: WorkingTime, due_s: float, limit_s: float, asked_s: float, at_s: float
    ) -> float:
        """Return the term after the clock stood from ``asked_s`` until ``at_s``, s.

        Parameters
        ----------
        hours : WorkingTime
            Of the deciding office.
        due_s : float
            The term before, s.
        limit_s : float
            The procedure's limit, working s.
        asked_s, at_s : float
            When something was asked for, and when it came, s.
        """
        if self.is_restarted:
            return law.restarted(hours, at_s, limit_s, self.cut_off_s)
        return law.resumed(hours, due_s, asked_s, at_s)

    def may_ask(self, times_asked: int) -> bool:
        """Say whether papers may be asked for (again)."""
        return law.may_ask_supplement(times_asked, self.supplements_max)

    def is_notice_late(self, hours: WorkingTime, accepted_s: float, at_s: float) -> bool:
        """Say whether papers that an examination asks for now are asked for too late."""
        return hours.between(accepted_s, at_s) > self.notice_s

    def is_apology_due(self, hours: WorkingTime, limit_s: float, due_s: float, at_s: float) -> bool:
        """Say whether less working time is left until the term than an apology must lead it.

        A procedure whose whole limit is not longer than that cannot be apologised for in time.
        """
        if limit_s <= self.apology_s:
            return False
        return hours.worked(at_s) > hours.worked(due_s) - self.apology_s


def reception_terms(plan: Plan, filings: Filings) -> NDArray[np.float64]:
    """Return until when each dossier is to be received, s; NaN for those beyond reception.

    Working time of the receiving office counts since a dossier was filed; there is no cut-off.
    """
    due_s = np.full(len(filings), np.nan)
    is_before = np.isin(filings.state, list(BEFORE_ACCEPTANCE))
    calendar = plan.calendar[filings.reception]
    limit_s = plan.spec.law.reception_limit_h * HOUR_S
    for number, shifts in enumerate(plan.shifts):
        rows = np.flatnonzero(is_before & (calendar == number))
        limits_s = np.full(len(rows), limit_s)
        due_s[rows] = shifts.working_time.add_each(filings.submitted_s[rows], limits_s)
    return due_s
