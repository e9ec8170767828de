"""Small integers with a meaning, of the offices' kernel and of what prepares its memory."""

from sim.backoffice.workflow import Event, State

NONE = -1
"""Nobody, nowhere, nothing."""

N_STATES, N_EVENTS = len(State), len(Event)

SYNCHRONISING = int(State.SYNCHRONISING)
RECEIVING = int(State.RECEIVING)
SUPPLEMENTING_AT_RECEPTION = int(State.SUPPLEMENTING_AT_RECEPTION)
PAYING = int(State.PAYING)
ASSIGNING = int(State.ASSIGNING)
EXAMINING = int(State.EXAMINING)
SUPPLEMENTING = int(State.SUPPLEMENTING)
CONSULTING = int(State.CONSULTING)
APPROVING = int(State.APPROVING)
SIGNING = int(State.SIGNING)
RELEASING = int(State.RELEASING)
FIRST_END = int(State.RETURNED)
"""States from here on are never left."""

SYNCHRONISED = int(Event.SYNCHRONISED)
ACCEPTED = int(Event.ACCEPTED)
FEE_DUE = int(Event.FEE_DUE)
INCOMPLETE = int(Event.INCOMPLETE)
DENIED = int(Event.DENIED)
ANSWERED = int(Event.ANSWERED)
UNANSWERED = int(Event.UNANSWERED)
WITHDREW = int(Event.WITHDREW)
ASSIGNED = int(Event.ASSIGNED)
EXAMINED = int(Event.EXAMINED)
CONSULTED = int(Event.CONSULTED)
APPROVED = int(Event.APPROVED)
SENT_BACK = int(Event.SENT_BACK)
SIGNED = int(Event.SIGNED)
HANDED_OVER = int(Event.HANDED_OVER)

WORKING, TASK_DONE = N_EVENTS, N_EVENTS + 1
"""What a dossier's timer means that is no event of its state."""

SYSTEM, OFFICER, CITIZEN, AGENCY, IN_HAND = range(5)
"""Whom a dossier waits for; a task in hand follows the rest."""
NOBODY = IN_HAND
"""Of a state that is an end."""

LATE_NOTICE, APOLOGISED = 1, 2

WORK_SLOT = 0
COIN_SLOT = 16
ANSWER_SLOT = 32
INTERRUPTION_SLOT = 48
FEE_SLOT = 60
"""Slots of random numbers, to which the state is added (not to the last)."""

INTERRUPTION_BIT = 1 << 34
STATES_PER_VISIT = 16
PUBLICATION_BIT = 1 << 35
"""Numbers of a dossier's parts with random numbers of their own."""

MOST_INTERRUPTIONS = 500.0
"""Mean number in one task, at most."""

INTAKE, PUBLICATION = range(2)
RESEND = (0, FIRST_END)
"""Durations of both queues; those between are of the states: work, or an answer."""
FIRST_LENGTH = FIRST_END + 1
"""Durations from here on are lengths of interruptions."""

EVENTS = 0
"""Heap of events; those of the teams' queues follow."""

FAN_BITS = 2
FAN = 1 << FAN_BITS
"""Children of a node of a heap."""

ARRIVAL, INTAKE_TICK, PUBLICATION_TICK, FIRST_OPENING = range(4)
"""Handles of timers; those of calendars follow, then those of dossiers. Rows count below 0."""

MORE_NODES, MORE_EVENTS, MORE_VISITS, MORE_ROWS, BEYOND_CALENDAR = (1 << bit for bit in range(5))
"""What the kernel may want before it goes on; without the last it cannot."""
