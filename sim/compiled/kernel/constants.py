"""Small integers with a meaning, of the kernel and of what prepares its memory."""

from sim.results import OUTCOMES

NONE = -1
"""Nobody, nowhere, nothing."""

OK, REJECTED, TIMED_OUT, FAILED, ABANDONED = range(len(OUTCOMES))
WAITS = -2
"""Not an outcome: the operation goes on at a later event."""

CONSTANT, EXPONENTIAL, UNIFORM, LOGNORMAL = range(4)
"""Families of durations."""

TAKE_WORKER, TAKE_TOKEN, RELEASE, COMPUTE, DELAY, CALL, TRANSFER, END = range(8)
"""Codes of operations."""

SHARED, ROUND_ROBIN, LEAST_CONNECTIONS = range(3)

SERVER_LOST, TIER_SLOW, GATEWAY_SLOW, GATEWAY_DOWN, GATEWAY_SILENT, LINK_SLOW, JOB_STOPPED = range(
    7
)

NO_QUEUE, OF_POOL, OF_PROCESSOR, OF_JOB = range(4)
"""Kinds of stations, by where the first of their queue is found."""

(
    FREE,
    FOLLOW,
    THOUGHT,
    ASK,
    GROUP_ANSWERED,
    GO_ON,
    PAUSED,
    SENT,
    RUN,
    ANSWERED,
    WORK,
    SERVED,
    BOOT,
    BOOTED,
    QUEUED,
    GRANTED,
    EXPIRED,
    COMPUTING,
    COMPUTED,
    DELAYED,
    UPLOADING,
    UPLOADED,
    CALLING,
) = range(23)
"""What a thread does when it goes on; from QUEUED on it is in the middle of an operation."""

MOMENTS, ARRIVAL, WATCH, STOP, FIRST_TIMER = range(5)
"""Handles of the timers that are always there; those of stations follow, then those of threads."""

BITS_OF_TIMER = 1
TIMERS_OF_THREAD = 1 << BITS_OF_TIMER
OWN, PATIENCE = range(TIMERS_OF_THREAD)

IDLE = -1
"""Handle of an event that does not count any more."""
NEVER_SET = 0
"""Stamp of a timer that will not fire."""
EARLY = 1
"""Stamp in the order of scheduling before everything else."""

START_STATION, START_THREAD, BREAK_OFF = range(3)
"""Kinds of urgent entries."""

MORE_THREADS, MORE_ITEMS, MORE_ROWS, MORE_DOSSIERS, MORE_LEVEL_ROWS, MORE_EVENTS, MORE_SESSIONS = (
    1 << bit for bit in range(7)
)
"""What the kernel may want before it goes on."""

ENDED, GIVEN_UP, UNDER_WAY = range(3)
"""How a session stands."""
