"""Queues and heaps of threads, linked through the threads themselves.

A thread waits at one place at a time, so its links serve them all. A pairing heap orders running
work by the value at which it ends, then by start.

References
----------
Fredman, Sedgewick, Sleator and Tarjan (1986), The pairing heap, Algorithmica 1.
"""

from sim.compiled.jit import inlined, kernel
from sim.compiled.kernel.constants import NONE
from sim.compiled.kernel.places import thread_of
from sim.compiled.structs import Pool, Processor, Thread, World

Queue = Pool | Processor


@kernel
def append(w: World, queue: Queue, thread: Thread) -> None:
    """Add a thread at the end of a queue."""
    thread.prev, thread.next = queue.tail, NONE
    if queue.tail == NONE:
        queue.head = thread.id
    else:
        thread_of(w, queue.tail).next = thread.id
    queue.tail = thread.id


@kernel
def take_out(w: World, queue: Queue, thread: Thread) -> None:
    """Take a thread out of a queue, from wherever it stands."""
    if thread.prev == NONE:
        queue.head = thread.next
    else:
        thread_of(w, thread.prev).next = thread.next
    if thread.next == NONE:
        queue.tail = thread.prev
    else:
        thread_of(w, thread.next).prev = thread.prev


@inlined
def insert(w: World, root: int, thread: Thread) -> int:
    """Add a thread to a heap; returns the new root."""
    thread.child = thread.next = thread.prev = NONE
    return thread.id if root == NONE else meld(w, root, thread.id)


@inlined
def remove(w: World, root: int, thread: Thread) -> int:
    """Take a thread out of a heap, from wherever it stands; returns the new root."""
    below = _merge_children(w, thread)
    if thread.id == root:
        return below
    # The previous of a first child is its parent.
    before = thread_of(w, thread.prev)
    if before.child == thread.id:
        before.child = thread.next
    else:
        before.next = thread.next
    if thread.next != NONE:
        thread_of(w, thread.next).prev = thread.prev
    return root if below == NONE else meld(w, root, below)


@inlined
def meld(w: World, one: int, other: int) -> int:
    """Merge two heaps by their roots; returns the root of both."""
    first, second = thread_of(w, one), thread_of(w, other)
    if second.value < first.value or (second.value == first.value and second.order < first.order):
        first, second = second, first
    second.prev, second.next = first.id, first.child
    if first.child != NONE:
        thread_of(w, first.child).prev = second.id
    first.child = second.id
    first.next = first.prev = NONE
    return first.id


@inlined
def _merge_children(w: World, thread: Thread) -> int:
    """Merge the children of a thread: in pairs from the left, then all from the right."""
    if thread.child == NONE:
        return NONE
    pairs = NONE  # merged pairs, linked back through ``prev``
    child = thread.child
    while child != NONE:
        one = child
        other = thread_of(w, one).next
        child = NONE if other == NONE else thread_of(w, other).next
        merged = one if other == NONE else meld(w, one, other)
        thread_of(w, merged).prev = pairs
        pairs = merged
    root = NONE
    while pairs != NONE:
        pair = thread_of(w, pairs)
        pairs = pair.prev
        pair.prev = pair.next = NONE
        root = pair.id if root == NONE else meld(w, root, pair.id)
    thread.child = NONE
    return root
