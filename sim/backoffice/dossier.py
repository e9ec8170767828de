"""A dossier on its way: what changes of it while it is open."""

import math
from collections.abc import Iterator, Sequence

from simpy import Event

from sim.backoffice.decisions import Examination
from sim.backoffice.filings import Filings
from sim.backoffice.plan import Plan
from sim.backoffice.workflow import STATES, State

SYSTEM, OFFICER, CITIZEN, AGENCY, WORKING = range(5)
"""With whom a dossier spends its time; an officer who has begun its task is the last."""

WAITS: tuple[int, ...] = tuple(
    {"system": SYSTEM, "officer": OFFICER, "citizen": CITIZEN, "agency": AGENCY, "nobody": SYSTEM}[
        STATES[state].waits_for
    ]
    for state in State
)
"""With whom it begins to wait in each state."""

NOT_BEGUN = -1
"""Its task has no row among the visits yet."""

_ORDINARY = Examination(1.0, 0.0, 0.0, 0.0)


class Dossier:
    """One open dossier.

    Attributes
    ----------
    row : int
        In the filings.
    key : int
        Of its random numbers.
    procedure, reception, office : int
        Indices in the plan.
    filing : int
        0 online, 1 at the counter.
    examination : Examination
        How its domain's dossiers are examined.
    state : State
        Where it stands.
    visits : list of int, by state
        How often it came there, this time included.
    sent_back, changes : int
        How often it was sent back; changes of state so far.
    due_s : float
        Its term; until it is accepted that of its reception, s.
    accepted_s : float
        When it was accepted, s; NaN before.
    notice_late, apologised : bool
        As in ``Cases``.
    waits : int
        With whom it spends its time now.
    since : float
        Since when, s.
    spent : list of float
        Time so far with each, s.
    rank, number : float, int
        Its place in the queue of its team.
    work_s : float
        Work that is left of its task, s.
    visit : int
        Row of its task among the visits, or ``NOT_BEGUN``.
    timer, turn : Event or None
        End of the work in hand; what its process waits for while others act.
    """

    __slots__ = (
        "accepted_s",
        "apologised",
        "changes",
        "due_s",
        "examination",
        "filing",
        "key",
        "notice_late",
        "number",
        "office",
        "procedure",
        "rank",
        "reception",
        "row",
        "sent_back",
        "since",
        "spent",
        "state",
        "timer",
        "turn",
        "visit",
        "visits",
        "waits",
        "work_s",
    )

    def __init__(self, row: int, key: int, state: State) -> None:
        self.row = row
        self.key = key
        self.state = state
        self.procedure = self.filing = self.reception = self.office = 0
        self.examination = _ORDINARY
        self.visits = [0] * len(State)
        self.sent_back = self.changes = 0
        self.due_s = self.accepted_s = math.nan
        self.notice_late = self.apologised = False
        self.waits = SYSTEM
        self.since = 0.0
        self.spent = [0.0] * (WORKING + 1)
        self.rank = 0.0
        self.number = 0
        self.work_s = 0.0
        self.visit = NOT_BEGUN
        self.timer: Event | None = None
        self.turn: Event | None = None

    @property
    def visits_before(self) -> int:
        """How often it was in its present state before."""
        return self.visits[self.state] - 1

    @property
    def supplements(self) -> int:
        """How often papers were asked for."""
        visits = self.visits
        return visits[State.SUPPLEMENTING_AT_RECEPTION] + visits[State.SUPPLEMENTING]

    def spend(self, now: float, waits: int) -> None:
        """Count the time since the last change; from now on it is spent with somebody else."""
        self.spent[self.waits] += now - self.since
        self.since = now
        self.waits = waits


def dossiers_of(
    plan: Plan, filings: Filings, reception_due_s: Sequence[float]
) -> Iterator[tuple[float, Dossier]]:
    """Yield when each dossier comes, s, and the dossier, in the order of the filings.

    Parameters
    ----------
    plan : Plan
        The offices.
    filings : Filings
        The dossiers.
    reception_due_s : sequence of float, shape (n,)
        Until when each is to be received, s; NaN for those beyond reception.
    """
    domain = plan.procedures.domain.tolist()
    examinations = [Examination.of(plan.spec, name) for name in plan.domains]
    states = tuple(State)
    columns = ("key", "state", "procedure", "filing", "reception", "office")
    # Through memoryviews: numbers of Python one by one, without lists of all.
    rows = zip(*(getattr(filings, name).data for name in columns), strict=True)
    times = zip(
        filings.arrival_s.data,
        reception_due_s,
        filings.received_s.data,
        filings.due_s.data,
        strict=True,
    )
    for number, (row, (arrival_s, reception_s, received_s, due_s)) in enumerate(
        zip(rows, times, strict=True)
    ):
        key, state, dossier_procedure, filing, reception, office = row
        dossier = Dossier(number, key, states[state])
        dossier.procedure, dossier.filing = dossier_procedure, filing
        dossier.reception, dossier.office = reception, office
        dossier.examination = examinations[domain[dossier_procedure]]
        if math.isnan(reception_s):
            dossier.due_s, dossier.accepted_s = due_s, received_s
        else:
            dossier.due_s = reception_s
        yield arrival_s, dossier
