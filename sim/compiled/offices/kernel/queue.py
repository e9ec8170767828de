"""A team's dossiers: those that wait, as a heap, and those in officers' hands, as a list."""

from sim.compiled.jit import kernel
from sim.compiled.offices.kernel.constants import NONE
from sim.compiled.offices.kernel.heap import drop_first, first_of, push
from sim.compiled.offices.kernel.places import heap_of, place_of
from sim.compiled.offices.structs import Team, World


@kernel
def waits(w: World, team: Team) -> bool:
    """Return whether a dossier waits."""
    return heap_of(w, team.queue).size > 0


@kernel
def put(w: World, team: Team, number: int) -> None:
    """Let a dossier wait, in its place."""
    place = place_of(w, number)
    push(w, team.queue, place.rank, place.number, number)


@kernel
def take_first(w: World, team: Team) -> int:
    """Take the first out of the queue."""
    queue = heap_of(w, team.queue)
    number = first_of(w, queue).what
    drop_first(w, queue)
    return number


@kernel
def hand_over(w: World, team: Team, number: int) -> None:
    """Put a dossier into officers' hands, the last that was begun."""
    place = place_of(w, number)
    place.before, place.after = team.last, NONE
    if team.last != NONE:
        place_of(w, team.last).after = number
    team.last = number


@kernel
def take_back(w: World, team: Team, number: int) -> None:
    """Take a dossier out of officers' hands."""
    place = place_of(w, number)
    if place.after == NONE:
        team.last = place.before
    else:
        place_of(w, place.after).before = place.before
    if place.before != NONE:
        place_of(w, place.before).after = place.after
