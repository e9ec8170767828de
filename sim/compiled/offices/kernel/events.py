"""The order of events: a heap of what is ahead, and a ring of dossiers that go on now.

Whatever is scheduled for the present moment was scheduled after all that the heap has for it, so
the ring comes after. An event of a dossier counts only while it is the last that was scheduled.
"""

from sim.compiled.jit import kernel
from sim.compiled.offices.kernel.constants import FIRST_OPENING
from sim.compiled.offices.kernel.places import dossier_of, entry_of, node_of
from sim.compiled.offices.structs import World

_FAN_BITS = 2
_FAN = 1 << _FAN_BITS
"""Children of a node of the heap; four lie in about one and a half lines of a cache."""


@kernel
def handle_of(w: World, number: int) -> int:
    """Return the handle of a dossier's timer."""
    return FIRST_OPENING + w.n_calendars + number


@kernel
def schedule(w: World, handle: int, delay_s: float) -> int:
    """Let a timer fire after a delay; returns the order of scheduling."""
    w.seq += 1
    w.heap_size += 1
    _rise(w, w.heap_size - 1, w.now + delay_s, w.seq, handle)
    return w.seq


@kernel
def set_timer(w: World, number: int, event: int, delay_s: float) -> None:
    """Let an event of a dossier happen after a delay, and nothing else of it."""
    dossier = dossier_of(w, number)
    dossier.event = event
    dossier.stamp = schedule(w, handle_of(w, number), delay_s)


@kernel
def go_on_now(w: World, number: int, event: int) -> None:
    """Let an event of a dossier happen at this moment, after what is due already."""
    dossier = dossier_of(w, number)
    w.seq += 1
    dossier.event, dossier.stamp = event, w.seq
    place = w.ring_head + w.ring_count
    if place >= w.ring_size:
        place -= w.ring_size
    entry_of(w, place).dossier = number
    w.ring_count += 1


@kernel
def pop_ring(w: World) -> int:
    """Take the first dossier that goes on now."""
    number = entry_of(w, w.ring_head).dossier
    w.ring_head += 1
    if w.ring_head == w.ring_size:
        w.ring_head = 0
    w.ring_count -= 1
    return number


@kernel
def drop_first(w: World) -> None:
    """Take the first event out of the heap."""
    w.heap_size -= 1
    if w.heap_size:
        last = node_of(w, w.heap_size)
        _sink(w, 0, last.time, last.seq, last.handle)


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


@kernel
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
