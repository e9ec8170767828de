"""Gateways: services of somebody else, with latency, limits and failures."""

from sim.compiled.jit import kernel
from sim.compiled.kernel import pool as pools
from sim.compiled.kernel.constants import CALLING, FAILED, GRANTED, OK, OWN, TIMED_OUT, WAITS
from sim.compiled.kernel.draws import duration_s, is_error
from sim.compiled.kernel.events import handle_of, set_timer
from sim.compiled.kernel.places import gateway_of, pool_of
from sim.compiled.structs import Gateway, Op, Thread, World

INFINITE = float("inf")


@kernel
def call(w: World, thread: Thread, op: Op) -> int:
    """Begin a call; returns an outcome if it ends at once."""
    gateway = gateway_of(w, op.station)
    if gateway.is_down or not _accepts(w, gateway):
        return FAILED
    thread.deadline = w.now + gateway.timeout_s
    if pools.take_free(w, pool_of(w, gateway.pool)):
        return _await_answer(w, gateway, thread, op)
    pools.queue_at(w, gateway.pool, thread, gateway.timeout_s)
    return WAITS


@kernel
def go_on(w: World, thread: Thread, op: Op) -> int:
    """Go on with a call; returns its outcome, or WAITS."""
    gateway = gateway_of(w, op.station)
    if thread.state == CALLING:
        pools.give_back(w, pool_of(w, gateway.pool))
        return thread.outcome
    if thread.state == GRANTED:
        return _await_answer(w, gateway, thread, op)
    return TIMED_OUT


@kernel
def _await_answer(w: World, gateway: Gateway, thread: Thread, op: Op) -> int:
    latency_s = duration_s(thread, op)
    answer_s = max(0.0, gateway.silent_until - w.now) + latency_s * gateway.slowness
    left_s = thread.deadline - w.now
    thread.state = CALLING
    if answer_s > left_s:
        thread.outcome, answer_s = TIMED_OUT, left_s
    else:
        thread.outcome = FAILED if is_error(thread, op) else OK
    set_timer(w, handle_of(w, thread, OWN), answer_s)
    return WAITS


@kernel
def _accepts(w: World, gateway: Gateway) -> bool:
    """Return whether the rate limit lets one more call through: a token bucket."""
    if gateway.rate_limit_per_s == INFINITE:
        return True
    filled = gateway.tokens + (w.now - gateway.filled_at) * gateway.rate_limit_per_s
    gateway.tokens = min(float(gateway.burst), filled)
    gateway.filled_at = w.now
    if gateway.tokens < 1.0:
        return False
    gateway.tokens -= 1.0
    return True
