"""Threads, and the portal's work on one: the program from operation to operation."""

from sim.compiled.jit import inlined, kernel
from sim.compiled.kernel import operations
from sim.compiled.kernel import tier as tiers
from sim.compiled.kernel.constants import (
    ANSWERED,
    END,
    EXPIRED,
    FAILED,
    FREE,
    MORE_THREADS,
    NONE,
    OK,
    QUEUED,
    SERVED,
    WAITS,
)
from sim.compiled.kernel.places import op_of, program_of, thread_of
from sim.compiled.structs import Thread, World


@kernel
def new_thread(w: World, state: int) -> Thread:
    """Return a thread that will do something when it goes on."""
    thread = thread_of(w, w.first_free)
    w.first_free = thread.next
    w.n_free -= 1
    if w.n_free < w.least_free:
        w.wants |= MORE_THREADS
    thread.state = state
    thread.group = thread.job = NONE
    thread.number = 0
    return thread


@kernel
def end_thread(w: World, thread: Thread) -> None:
    """End a thread; another may take its place."""
    thread.state, thread.next = FREE, w.first_free
    w.first_free = thread.id
    w.n_free += 1


@inlined
def begin_program(w: World, thread: Thread) -> None:
    """Get ready to run the thread's program from its start."""
    thread.op = program_of(w, thread.program).first_op
    thread.wait_s = 0.0


@inlined
def run(w: World, thread: Thread) -> bool:
    """Run the program as far as it goes; return whether it has ended."""
    outcome = OK
    if thread.state >= QUEUED:
        outcome = operations.go_on(w, thread, op_of(w, thread.op))
        if outcome == OK:
            thread.op += 1
    while outcome == OK:
        op = op_of(w, thread.op)
        if op.code == END:
            break
        outcome = operations.perform(w, thread, op)
        if outcome == OK:
            thread.op += 1
    if outcome == WAITS:
        return False
    _end_program(w, thread, outcome)
    return True


@kernel
def break_off(w: World, thread: Thread) -> None:
    """The server died: the program fails now."""
    operations.break_off(w, thread, op_of(w, thread.op))
    _end_program(w, thread, FAILED)


@kernel
def waited_s(w: World, thread: Thread) -> float:
    """Return the time spent in queues until now, s."""
    if QUEUED <= thread.state <= EXPIRED:
        return thread.wait_s + w.now - thread.since
    return thread.wait_s


@inlined
def _end_program(w: World, thread: Thread, outcome: int) -> None:
    """Return every token and server, the last taken first."""
    thread.outcome = outcome
    thread.state = ANSWERED if thread.job == NONE else SERVED
    program = program_of(w, thread.program)
    for place in range(program.n_holdings - 1, -1, -1):
        operations.give_back(w, thread, place)
    for place in range(program.n_bindings):
        tiers.leave(w, thread, place)
