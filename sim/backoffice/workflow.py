"""A dossier's states and transitions: one table, and what may happen in each state.

The model, its compiled twin, the records and the diagram in ``docs/workflow.md`` all read it.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

WaitsFor = Literal["system", "officer", "citizen", "agency", "nobody"]
"""On whom a dossier waits in a state."""


class State(IntEnum):
    """Where a dossier stands."""

    SYNCHRONISING = 0
    RECEIVING = 1
    SUPPLEMENTING_AT_RECEPTION = 2
    PAYING = 3
    ASSIGNING = 4
    EXAMINING = 5
    SUPPLEMENTING = 6
    CONSULTING = 7
    APPROVING = 8
    SIGNING = 9
    RELEASING = 10
    RETURNED = 11
    REFUSED_AT_RECEPTION = 12
    REFUSED = 13
    WITHDRAWN = 14


class Event(IntEnum):
    """What ends a state."""

    SYNCHRONISED = 0
    ACCEPTED = 1
    FEE_DUE = 2
    INCOMPLETE = 3
    DENIED = 4
    ANSWERED = 5
    UNANSWERED = 6
    WITHDREW = 7
    ASSIGNED = 8
    EXAMINED = 9
    CONSULTED = 10
    APPROVED = 11
    SENT_BACK = 12
    SIGNED = 13
    HANDED_OVER = 14


@dataclass(frozen=True, slots=True)
class StateRow:
    """What a state is.

    Attributes
    ----------
    national_code : int
        Code of the state on the National Public Service Portal, 1 to 10.
    portal_status : str
        Status in the one-stop system (OpenCPS).
    waits_for : str
        On whom a dossier waits.
    task : str or None
        Task of an officer that ends the state, by its name in a scenario.
    """

    national_code: int
    portal_status: str
    waits_for: WaitsFor
    task: str | None = None


STATES: dict[State, StateRow] = {
    State.SYNCHRONISING: StateRow(1, "new", "system"),
    State.RECEIVING: StateRow(1, "receiving", "officer", "receive"),
    State.SUPPLEMENTING_AT_RECEPTION: StateRow(5, "waiting", "citizen"),
    State.PAYING: StateRow(6, "paying", "citizen"),
    State.ASSIGNING: StateRow(2, "receiving", "officer", "assign"),
    State.EXAMINING: StateRow(4, "processing", "officer", "examine"),
    State.SUPPLEMENTING: StateRow(5, "waiting", "citizen"),
    State.CONSULTING: StateRow(4, "interoperating", "agency"),
    State.APPROVING: StateRow(4, "processing", "officer", "approve"),
    State.SIGNING: StateRow(4, "processing", "officer", "sign"),
    State.RELEASING: StateRow(9, "releasing", "officer", "release"),
    State.RETURNED: StateRow(10, "done", "nobody"),
    State.REFUSED_AT_RECEPTION: StateRow(3, "denied", "nobody"),
    State.REFUSED: StateRow(8, "unresolved", "nobody"),
    State.WITHDRAWN: StateRow(7, "cancelled", "nobody"),
}
"""Every state. # source: status model of OpenCPS; national codes of the DVCQG adapter; which local
status has which code is the usual configuration (the table is data in every installation)."""

TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.SYNCHRONISING, Event.SYNCHRONISED): State.RECEIVING,
    (State.RECEIVING, Event.ACCEPTED): State.ASSIGNING,
    (State.RECEIVING, Event.FEE_DUE): State.PAYING,
    (State.RECEIVING, Event.INCOMPLETE): State.SUPPLEMENTING_AT_RECEPTION,
    (State.RECEIVING, Event.DENIED): State.REFUSED_AT_RECEPTION,
    (State.SUPPLEMENTING_AT_RECEPTION, Event.ANSWERED): State.RECEIVING,
    (State.SUPPLEMENTING_AT_RECEPTION, Event.UNANSWERED): State.REFUSED_AT_RECEPTION,
    (State.SUPPLEMENTING_AT_RECEPTION, Event.WITHDREW): State.WITHDRAWN,
    (State.PAYING, Event.ANSWERED): State.ASSIGNING,
    (State.PAYING, Event.UNANSWERED): State.REFUSED,
    (State.PAYING, Event.WITHDREW): State.WITHDRAWN,
    (State.ASSIGNING, Event.ASSIGNED): State.EXAMINING,
    (State.EXAMINING, Event.EXAMINED): State.APPROVING,
    (State.EXAMINING, Event.INCOMPLETE): State.SUPPLEMENTING,
    (State.EXAMINING, Event.CONSULTED): State.CONSULTING,
    (State.EXAMINING, Event.DENIED): State.REFUSED,
    (State.SUPPLEMENTING, Event.ANSWERED): State.EXAMINING,
    (State.SUPPLEMENTING, Event.UNANSWERED): State.REFUSED,
    (State.SUPPLEMENTING, Event.WITHDREW): State.WITHDRAWN,
    (State.CONSULTING, Event.ANSWERED): State.EXAMINING,
    (State.APPROVING, Event.APPROVED): State.SIGNING,
    (State.APPROVING, Event.SENT_BACK): State.EXAMINING,
    (State.SIGNING, Event.SIGNED): State.RELEASING,
    (State.RELEASING, Event.HANDED_OVER): State.RETURNED,
}
"""Which state follows; a pair that is absent cannot happen."""

ENDS = frozenset(state for state, row in STATES.items() if row.waits_for == "nobody")
"""States a dossier never leaves."""

DECIDED = ENDS - {State.WITHDRAWN} | {State.RELEASING}
"""Entering one of these first decides a dossier; a withdrawn one is never decided."""

OUTCOMES: dict[State, str] = {
    State.RETURNED: "returned",
    State.REFUSED_AT_RECEPTION: "refused_at_reception",
    State.REFUSED: "refused",
    State.WITHDRAWN: "withdrawn",
}
"""How a dossier's way ended; otherwise it is ``open``."""


def next_state(state: State, event: Event) -> State:
    """Return the state that follows.

    Raises
    ------
    KeyError
        When the event cannot happen in the state.
    """
    return TRANSITIONS[state, event]
