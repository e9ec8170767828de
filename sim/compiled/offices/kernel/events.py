"""The order of events: a heap of what is ahead, and a ring of dossiers that go on now.

Whatever is scheduled for the present moment was scheduled after all that the heap has for it, so
the ring comes after. An event of a dossier counts only while it is the last that was scheduled.
"""

from sim.compiled.jit import kernel
from sim.compiled.offices.kernel.constants import EVENTS, FIRST_OPENING
from sim.compiled.offices.kernel.heap import push
from sim.compiled.offices.kernel.places import dossier_of, entry_of
from sim.compiled.offices.structs import World


@kernel
def handle_of(w: World, number: int) -> int:
    """Return the handle of a dossier's timer."""
    return FIRST_OPENING + w.n_calendars + number


@kernel
def schedule(w: World, handle: int, delay_s: float) -> int:
    """Let a timer fire after a delay; returns the order of scheduling."""
    w.seq += 1
    push(w, EVENTS, w.now + delay_s, w.seq, handle)
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
