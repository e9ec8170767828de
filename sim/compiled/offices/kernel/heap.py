"""Heaps of what is ahead: of events by time, and of waiting dossiers by rank.

All lie in one array of nodes, each in a stretch of its own; one that is full moves to a stretch
twice as long at the array's end. A node has four children, which lie in one line of the cache.
"""

from sim.compiled.jit import kernel
from sim.compiled.offices.kernel.constants import FAN, FAN_BITS
from sim.compiled.offices.kernel.places import heap_of, node_of
from sim.compiled.offices.structs import Heap, Node, World


@kernel
def push(w: World, number: int, key: float, order: int, what: int) -> None:
    """Add a node to a heap; among equal keys the order decides."""
    heap = heap_of(w, number)
    if heap.size == heap.room:
        _move(w, heap)
    heap.size += 1
    _rise(w, heap.first, heap.size - 1, key, order, what)


@kernel
def first_of(w: World, heap: Heap) -> Node:
    """Return the first node of a heap that is not empty."""
    return node_of(w, heap.first)


@kernel
def drop_first(w: World, heap: Heap) -> None:
    """Take out the first node."""
    heap.size -= 1
    if heap.size:
        last = node_of(w, heap.first + heap.size)
        _sink(w, heap.first, heap.size, last.key, last.order, last.what)


@kernel
def _move(w: World, heap: Heap) -> None:
    """Give a heap twice the room."""
    room = 2 * heap.room
    first = w.nodes_end + FAN - 1  # the children of each node begin at a multiple of their number
    for place in range(heap.size):
        node = node_of(w, heap.first + place)
        _put(w, first + place, node.key, node.order, node.what)
    heap.first, heap.room = first, room
    w.nodes_end += room + FAN


@kernel
def _rise(w: World, first: int, place: int, key: float, order: int, what: int) -> None:
    while place > 0:
        above = (place - 1) >> FAN_BITS
        parent = node_of(w, first + above)
        if parent.key < key or (parent.key == key and parent.order < order):
            break
        _put(w, first + place, parent.key, parent.order, parent.what)
        place = above
    _put(w, first + place, key, order, what)


@kernel
def _sink(w: World, first: int, size: int, key: float, order: int, what: int) -> None:
    """Fill the first place with a node, and let it sink to where it belongs."""
    place = 0
    while True:
        below = (place << FAN_BITS) + 1
        if below + FAN <= size:
            left = _earlier(w, first, below, below + 1)
            below = _earlier(w, first, left, _earlier(w, first, below + 2, below + 3))
        elif below < size:
            for other in range(below + 1, size):
                below = _earlier(w, first, below, other)
        else:
            break
        least = node_of(w, first + below)
        if key < least.key or (key == least.key and order < least.order):
            break
        _put(w, first + place, least.key, least.order, least.what)
        place = below
    _put(w, first + place, key, order, what)


@kernel
def _earlier(w: World, first: int, one: int, other: int) -> int:
    """Return which of two places comes earlier; without a branch, as either is likely."""
    here, there = node_of(w, first + one), node_of(w, first + other)
    is_other = (there.key < here.key) | ((there.key == here.key) & (there.order < here.order))
    return one + (other - one) * is_other


@kernel
def _put(w: World, place: int, key: float, order: int, what: int) -> None:
    node = node_of(w, place)
    node.key, node.order, node.what = key, order, what
