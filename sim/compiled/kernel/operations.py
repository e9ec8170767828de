"""Operations: what a program's rows do; each ends in an outcome, now or at a later event."""

from sim.compiled.jit import inlined, kernel
from sim.compiled.kernel import gateway as gateways
from sim.compiled.kernel import link as links
from sim.compiled.kernel import pool as pools
from sim.compiled.kernel import processor as processors
from sim.compiled.kernel import tier as tiers
from sim.compiled.kernel.constants import (
    CALL,
    CALLING,
    COMPUTE,
    DELAY,
    DELAYED,
    EXPIRED,
    FAILED,
    GRANTED,
    NONE,
    OK,
    OWN,
    QUEUED,
    REJECTED,
    RELEASE,
    TAKE_TOKEN,
    TAKE_WORKER,
    TIMED_OUT,
    TRANSFER,
    WAITS,
)
from sim.compiled.kernel.draws import duration_s
from sim.compiled.kernel.events import cancel, handle_of, set_timer
from sim.compiled.kernel.places import (
    binding_of,
    gateway_of,
    holding_of,
    pool_of,
    server_of,
    tier_of,
)
from sim.compiled.structs import Op, Thread, World


@inlined
def perform(w: World, thread: Thread, op: Op) -> int:
    """Begin an operation; returns its outcome, or WAITS."""
    code = op.code
    if code == COMPUTE:
        return _compute(w, thread, op)
    if code == TAKE_WORKER:
        return _take_worker(w, thread, op)
    if code == TAKE_TOKEN:
        return _take(w, thread, op, op.station + _server_index(w, thread, op))
    if code == RELEASE:
        give_back(w, thread, op.holding)
        if op.binding != NONE:
            tiers.leave(w, thread, op.binding)
        return OK
    if code == DELAY:
        thread.state = DELAYED
        set_timer(w, handle_of(w, thread, OWN), duration_s(thread, op))
        return WAITS
    if code == CALL:
        return _unless_optional(op, gateways.call(w, thread, op))
    return _transfer(w, thread, op)


@inlined
def go_on(w: World, thread: Thread, op: Op) -> int:
    """Go on with an operation after its event; returns its outcome, or WAITS."""
    if thread.state == GRANTED or thread.state == EXPIRED:
        thread.wait_s += w.now - thread.since
    if op.code == CALL:
        return _unless_optional(op, gateways.go_on(w, thread, op))
    if thread.state == EXPIRED:
        return TIMED_OUT
    if thread.state == GRANTED:
        _hold(w, thread, op.holding, thread.station)
    elif op.code == COMPUTE and op.is_guest:
        tiers.leave(w, thread, op.binding)
    return OK


@kernel
def break_off(w: World, thread: Thread, op: Op) -> None:
    """Give up the operation in which a thread waits: its server is lost."""
    if QUEUED <= thread.state <= EXPIRED:
        pools.give_up_turn(w, thread)
        thread.wait_s += w.now - thread.since
    elif op.code == COMPUTE:
        processors.withdraw(w, thread)
    elif op.code == TRANSFER:
        links.withdraw(w, thread)
    elif thread.state == CALLING:
        pools.give_back(w, pool_of(w, gateway_of(w, op.station).pool))
    cancel(w, handle_of(w, thread, OWN))


@kernel
def give_back(w: World, thread: Thread, place: int) -> None:
    """Give back the token that a thread holds in a place, if any."""
    holding = holding_of(w, thread.id * w.holding_stride + place)
    if holding.pool != NONE:
        pools.give_back(w, pool_of(w, holding.pool))
        holding.pool = NONE


@inlined
def _take_worker(w: World, thread: Thread, op: Op) -> int:
    """Choose a server, then take a free worker or queue for one."""
    number = tiers.choose(w, tier_of(w, op.station))
    if number == NONE:
        return REJECTED
    tiers.enter(w, thread, op.binding, number)
    return _take(w, thread, op, server_of(w, number).pool)


@kernel
def _take(w: World, thread: Thread, op: Op, number: int) -> int:
    """Take a free token, or queue for one."""
    pool = pool_of(w, number)
    if pools.take_free(w, pool):
        _hold(w, thread, op.holding, number)
        return OK
    if pools.is_full(w, pool):
        return REJECTED
    pools.queue_at(w, number, thread, duration_s(thread, op))
    return WAITS


@kernel
def _hold(w: World, thread: Thread, place: int, number: int) -> None:
    holding_of(w, thread.id * w.holding_stride + place).pool = number


@kernel
def _server_index(w: World, thread: Thread, op: Op) -> int:
    """Return which pool of several is meant: that of the server held."""
    if op.binding == NONE:
        return 0
    return server_of(w, binding_of(w, thread.id * w.binding_stride + op.binding).server).index


@inlined
def _compute(w: World, thread: Thread, op: Op) -> int:
    """Use the processor of the server held, else of one chosen now."""
    if op.is_guest:
        number = tiers.choose(w, tier_of(w, op.station))
        if number == NONE:
            return FAILED
        tiers.enter(w, thread, op.binding, number)
    else:
        number = binding_of(w, thread.id * w.binding_stride + op.binding).server
    processors.compute(w, server_of(w, number).processor, thread, duration_s(thread, op))
    return WAITS


@kernel
def _transfer(w: World, thread: Thread, op: Op) -> int:
    if thread.bits_up <= 0.0:
        return OK
    links.send(w, op.station, thread)
    return WAITS


@kernel
def _unless_optional(op: Op, outcome: int) -> int:
    return OK if op.is_optional and outcome != WAITS else outcome
