"""The order of events: a heap of timers, and two rings for what happens at the present moment.

As in SimPy: what starts or is broken off comes at once, in the order caused (*urgent*); then what is
due, in the order of scheduling. Whatever is scheduled for the present moment was scheduled after
all that the heap holds for it, so it goes to a ring (*due*) and never through the heap. A timer
that is set anew moves in the heap, one that is cancelled leaves it.
"""

from sim.compiled.jit import kernel
from sim.compiled.kernel.constants import (
    DUE,
    IDLE,
    MORE_DUE,
    TIMERS_OF_THREAD,
)
from sim.compiled.kernel.places import due_of, node_of, timer_of, urgent_of
from sim.compiled.structs import Thread, World

_FAN = 4
"""Children of a node of the heap; four lie in about one and a half lines of a cache."""

EARLY = 0
"""Place in the order of scheduling before everything else."""


@kernel
def handle_of(w: World, thread: Thread, which: int) -> int:
    """Return the handle of one of a thread's timers."""
    return w.n_fixed + TIMERS_OF_THREAD * thread.id + which


@kernel
def set_timer(w: World, handle: int, delay_s: float) -> None:
    """Let a timer fire after a delay; if it stands already, only then."""
    time = w.now + delay_s
    timer = timer_of(w, handle)
    if time <= w.now:
        fire_now(w, handle)
        return
    w.seq += 1
    if timer.position >= 0:
        _place(w, timer.position, time, w.seq, handle)
    else:
        w.heap_size += 1
        _rise(w, w.heap_size - 1, time, w.seq, handle)


@kernel
def set_early_timer(w: World, handle: int, at_s: float) -> None:
    """Let a timer fire at a time, not before now, ahead of all that is scheduled for it."""
    w.heap_size += 1
    _rise(w, w.heap_size - 1, at_s, EARLY, handle)


@kernel
def fire_now(w: World, handle: int) -> None:
    """Let a timer fire at this moment, after what is due already; not when it stood."""
    cancel(w, handle)
    timer = timer_of(w, handle)
    w.seq += 1
    timer.position, timer.stamp = DUE, w.seq
    place = w.due_head + w.due_count
    if place >= w.due_size:
        place -= w.due_size
    entry = due_of(w, place)
    entry.what, entry.stamp = handle, w.seq
    w.due_count += 1
    if w.due_count > w.due_limit:
        w.wants |= MORE_DUE


@kernel
def cancel(w: World, handle: int) -> None:
    """Let a timer not fire."""
    timer = timer_of(w, handle)
    position = timer.position
    timer.position = IDLE
    if position >= 0:
        w.heap_size -= 1
        last = node_of(w, w.heap_size)
        if position != w.heap_size:
            _place(w, position, last.time, last.seq, last.handle)


@kernel
def start(w: World, kind: int, index: int) -> None:
    """Let something start, or be broken off, right after what happens now."""
    place = w.urgent_head + w.urgent_count
    if place >= w.urgent_size:
        place -= w.urgent_size
    entry = urgent_of(w, place)
    entry.what, entry.index = kind, index
    w.urgent_count += 1
    if w.urgent_count > w.urgent_limit:
        w.wants |= MORE_DUE


@kernel
def first_time(w: World) -> float:
    """Return the time of the first event in the heap; it is never empty while the run lasts."""
    return node_of(w, 0).time


@kernel
def pop(w: World) -> int:
    """Take the first event from the heap; returns its handle."""
    handle = node_of(w, 0).handle
    cancel(w, handle)
    return handle


@kernel
def pop_due(w: World) -> int:
    """Take the first of what is due now; returns its handle, or IDLE if it was cancelled."""
    entry = due_of(w, w.due_head)
    w.due_head += 1
    if w.due_head == w.due_size:
        w.due_head = 0
    w.due_count -= 1
    timer = timer_of(w, entry.what)
    if timer.position != DUE or timer.stamp != entry.stamp:
        return IDLE
    timer.position = IDLE
    return entry.what


@kernel
def _place(w: World, place: int, time: float, seq: int, handle: int) -> None:
    """Put an event at a place of the heap that is free for it, and restore the order."""
    if place > 0:
        parent = node_of(w, (place - 1) // _FAN)
        if time < parent.time or (time == parent.time and seq < parent.seq):
            _rise(w, place, time, seq, handle)
            return
    _sink(w, place, time, seq, handle)


@kernel
def _rise(w: World, place: int, time: float, seq: int, handle: int) -> None:
    while place > 0:
        above = (place - 1) // _FAN
        parent = node_of(w, above)
        if parent.time < time or (parent.time == time and parent.seq < seq):
            break
        _put(w, place, parent.time, parent.seq, parent.handle)
        place = above
    _put(w, place, time, seq, handle)


@kernel
def _sink(w: World, place: int, time: float, seq: int, handle: int) -> None:
    size = w.heap_size
    while True:
        below = _FAN * place + 1
        if below >= size:
            break
        least = node_of(w, below)
        at = below
        for other in range(below + 1, min(below + _FAN, size)):
            node = node_of(w, other)
            if node.time < least.time or (node.time == least.time and node.seq < least.seq):
                least = node
                at = other
        if time < least.time or (time == least.time and seq < least.seq):
            break
        _put(w, place, least.time, least.seq, least.handle)
        place = at
    _put(w, place, time, seq, handle)


@kernel
def _put(w: World, place: int, time: float, seq: int, handle: int) -> None:
    node = node_of(w, place)
    node.time, node.seq, node.handle = time, seq, handle
    timer_of(w, handle).position = place
