"""The order of events: what is far ahead, what is soon, and what happens at the present moment.

As in SimPy: what starts or is broken off comes at once, in the order caused (*urgent*); then what
is due, in the order of scheduling. Whatever is scheduled for the present moment was scheduled after
all that is scheduled for it already, so it goes to a ring (*due*). Of the rest only what falls into
the present slot of time lies in a heap; later slots are lists, and a slot is poured into the heap
when its time has come. So the heap stays small, and a timer that is cancelled, as most patience is,
never gets there: an event counts only while it is the last that its timer was set to.

References
----------
Brown (1988), Calendar queues, Communications of the ACM 31.
"""

from sim.compiled.jit import inlined, kernel
from sim.compiled.kernel.constants import (
    BITS_OF_TIMER,
    EARLY,
    IDLE,
    MORE_EVENTS,
    NEVER_SET,
    NONE,
)
from sim.compiled.kernel.places import (
    due_of,
    event_of,
    node_of,
    slot_of,
    timer_of,
    urgent_of,
)
from sim.compiled.structs import Thread, World

_FAN = 4
"""Children of a node of the heap; four lie in about one and a half lines of a cache."""
_FAN_BITS = 2


@kernel
def handle_of(w: World, thread: Thread, which: int) -> int:
    """Return the handle of one of a thread's timers."""
    return w.n_fixed + (thread.id << BITS_OF_TIMER) + which


@kernel
def set_timer(w: World, handle: int, delay_s: float) -> None:
    """Let a timer fire after a delay; if it stands already, only then."""
    time = w.now + delay_s
    if time <= w.now:
        fire_now(w, handle)
        return
    w.seq += 1
    timer_of(w, handle).stamp = w.seq
    _schedule(w, time, w.seq, handle)


@kernel
def set_early_timer(w: World, handle: int, at_s: float) -> None:
    """Let a timer fire at a time, not before now, ahead of all that is scheduled for it."""
    timer_of(w, handle).stamp = EARLY
    _schedule(w, at_s, EARLY, handle)


@inlined
def fire_now(w: World, handle: int) -> None:
    """Let a timer fire at this moment, after what is due already; not when it stood."""
    w.seq += 1
    timer_of(w, handle).stamp = w.seq
    place = w.due_head + w.due_count
    if place >= w.due_size:
        place -= w.due_size
    entry = due_of(w, place)
    entry.what, entry.stamp = handle, w.seq
    w.due_count += 1
    if w.due_count > w.due_limit:
        w.wants |= MORE_EVENTS


@kernel
def cancel(w: World, handle: int) -> None:
    """Let a timer not fire."""
    timer_of(w, handle).stamp = NEVER_SET


@kernel
def stands(w: World, handle: int) -> bool:
    """Return whether a timer will fire."""
    return timer_of(w, handle).stamp != NEVER_SET


@kernel
def start(w: World, kind: int, index: int) -> None:
    """Let something start, or be broken off, right after what happens now."""
    place = w.urgent_head + w.urgent_count
    if place >= w.urgent_size:
        place -= w.urgent_size
    entry = urgent_of(w, place)
    entry.what, entry.stamp = kind, index
    w.urgent_count += 1
    if w.urgent_count > w.urgent_limit:
        w.wants |= MORE_EVENTS


@inlined
def next_time(w: World) -> float:
    """Return the time of the next event; while the run lasts there is one."""
    poured = 0
    while w.heap_size == 0:
        if poured == w.n_slots:
            _leap(w)
        _pour(w)
        poured += 1
    return node_of(w, 0).time


@kernel
def is_soon(w: World) -> bool:
    """Return whether an event of the heap is due at this moment."""
    return w.heap_size > 0 and node_of(w, 0).time == w.now


@inlined
def pop(w: World) -> int:
    """Take the next event; returns whose timer fires, or IDLE if it does not count any more."""
    first = node_of(w, 0)
    handle, seq = first.handle, first.seq
    w.n_events -= 1
    w.heap_size -= 1
    if w.heap_size:
        last = node_of(w, w.heap_size)
        _sink(w, 0, last.time, last.seq, last.handle)
    return _fired(w, handle, seq)


@inlined
def pop_due(w: World) -> int:
    """Take the first of what is due now; returns as :func:`pop`."""
    entry = due_of(w, w.due_head)
    w.due_head += 1
    if w.due_head == w.due_size:
        w.due_head = 0
    w.due_count -= 1
    return _fired(w, entry.what, entry.stamp)


@kernel
def _fired(w: World, handle: int, stamp: int) -> int:
    timer = timer_of(w, handle)
    if timer.stamp != stamp:
        return IDLE
    timer.stamp = NEVER_SET
    return handle


@inlined
def _schedule(w: World, time: float, seq: int, handle: int) -> None:
    """Add an event."""
    w.n_events += 1
    if w.n_events > w.event_limit:
        w.wants |= MORE_EVENTS
    _file(w, time, seq, handle)


@inlined
def _file(w: World, time: float, seq: int, handle: int) -> None:
    """Put an event into the heap, or into the list of its slot."""
    ahead = time * w.slots_per_s - w.slot
    if ahead < 1.0:
        w.heap_size += 1
        _rise(w, w.heap_size - 1, time, seq, handle)
        return
    # What lies beyond the last slot waits there, and is put where it belongs from there.
    slots = int(ahead) if ahead < w.n_slots else w.n_slots - 1
    at = w.first_free_event
    event, slot = event_of(w, at), slot_of(w, (w.slot + slots) & (w.n_slots - 1))
    w.first_free_event = event.next
    event.time, event.seq, event.handle, event.next = time, seq, handle, slot.value
    slot.value = at


@inlined
def _pour(w: World) -> None:
    """Go on to the next slot: what still counts of its list goes into the heap."""
    w.slot += 1
    _file_anew(w, _take_list(w, w.slot & (w.n_slots - 1), NONE))


@kernel
def _leap(w: World) -> None:
    """Go on to the slot before the next event, when all are far away."""
    all_events = NONE
    for number in range(w.n_slots):
        all_events = _take_list(w, number, all_events)
    at, soonest = all_events, event_of(w, all_events).time
    while at != NONE:
        soonest = min(soonest, event_of(w, at).time)
        at = event_of(w, at).next
    w.slot = int(soonest * w.slots_per_s) - 1
    _file_anew(w, all_events)


@inlined
def _take_list(w: World, number: int, others: int) -> int:
    """Empty the list of a slot; returns it with a list of others behind."""
    slot = slot_of(w, number)
    first = slot.value
    slot.value = NONE
    if first == NONE:
        return others
    last = event_of(w, first)
    while last.next != NONE:
        last = event_of(w, last.next)
    last.next = others
    return first


@inlined
def _file_anew(w: World, first: int) -> None:
    """Put the events of a list where they belong now, those that count."""
    at = first
    while at != NONE:
        event = event_of(w, at)
        following = event.next
        time, seq, handle = event.time, event.seq, event.handle
        event.next, w.first_free_event = w.first_free_event, at
        if timer_of(w, handle).stamp == seq:
            _file(w, time, seq, handle)
        else:
            w.n_events -= 1
        at = following


@kernel
def _rise(w: World, place: int, time: float, seq: int, handle: int) -> None:
    while place > 0:
        above = (place - 1) >> _FAN_BITS
        parent = node_of(w, above)
        if parent.time < time or (parent.time == time and parent.seq < seq):
            break
        _put(w, place, parent.time, parent.seq, parent.handle)
        place = above
    _put(w, place, time, seq, handle)


@inlined
def _sink(w: World, place: int, time: float, seq: int, handle: int) -> None:
    size = w.heap_size
    while True:
        below = (place << _FAN_BITS) + 1
        if below + _FAN <= size:
            left, right = _earlier(w, below, below + 1), _earlier(w, below + 2, below + 3)
            below = _earlier(w, left, right)
        elif below < size:
            for other in range(below + 1, size):
                below = _earlier(w, below, other)
        else:
            break
        least = node_of(w, below)
        if time < least.time or (time == least.time and seq < least.seq):
            break
        _put(w, place, least.time, least.seq, least.handle)
        place = below
    _put(w, place, time, seq, handle)


@kernel
def _earlier(w: World, one: int, other: int) -> int:
    """Return which of two places has the earlier event; without a branch, as either is likely."""
    first, second = node_of(w, one), node_of(w, other)
    is_other = (second.time < first.time) | ((second.time == first.time) & (second.seq < first.seq))
    return one + (other - one) * is_other


@kernel
def _put(w: World, place: int, time: float, seq: int, handle: int) -> None:
    node = node_of(w, place)
    node.time, node.seq, node.handle = time, seq, handle
