"""Queues of the teams, as heaps of dossiers, and the dossiers in officers' hands, as lists.

A pairing heap orders those who wait by rank, then by order of coming. A dossier is in one place at
a time, so its links serve both.

References
----------
Fredman, Sedgewick, Sleator and Tarjan (1986), The pairing heap, Algorithmica 1.
"""

from sim.compiled.jit import kernel
from sim.compiled.offices.kernel.constants import NONE
from sim.compiled.offices.kernel.places import place_of
from sim.compiled.offices.structs import Team, World


@kernel
def put(w: World, team: Team, number: int) -> None:
    """Let a dossier wait, in its place."""
    place = place_of(w, number)
    place.below = place.next = NONE
    team.root = number if team.root == NONE else _meld(w, team.root, number)


@kernel
def take_first(w: World, team: Team) -> int:
    """Take the first out of the queue."""
    first = team.root
    team.root = _merged(w, place_of(w, first).below)
    return first


@kernel
def hand_over(w: World, team: Team, number: int) -> None:
    """Put a dossier into officers' hands, the last that was begun."""
    place = place_of(w, number)
    place.next, place.below = team.last, NONE
    if team.last != NONE:
        place_of(w, team.last).below = number
    team.last = number


@kernel
def take_back(w: World, team: Team, number: int) -> None:
    """Take a dossier out of officers' hands."""
    place = place_of(w, number)
    if place.below == NONE:
        team.last = place.next
    else:
        place_of(w, place.below).next = place.next
    if place.next != NONE:
        place_of(w, place.next).below = place.below


@kernel
def _meld(w: World, one: int, other: int) -> int:
    """Merge two heaps by their roots; returns the root of both."""
    first, second = place_of(w, one), place_of(w, other)
    if second.rank < first.rank or (second.rank == first.rank and second.number < first.number):
        first.next, second.below = second.below, one
        return other
    second.next, first.below = first.below, other
    return one


@kernel
def _merged(w: World, child: int) -> int:
    """Merge siblings: in pairs from the left, then all from the right; returns the root."""
    pairs = NONE  # merged pairs, the last first
    while child != NONE:
        one = child
        other = place_of(w, one).next
        child = NONE if other == NONE else place_of(w, other).next
        merged = one if other == NONE else _meld(w, one, other)
        place_of(w, merged).next = pairs
        pairs = merged
    root = NONE
    while pairs != NONE:
        pair = pairs
        pairs = place_of(w, pair).next
        root = pair if root == NONE else _meld(w, root, pair)
    return root
