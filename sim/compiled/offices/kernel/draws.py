"""The random numbers of a dossier; all are functions of its key."""

import math

import numpy as np

from sim.compiled.jit import kernel
from sim.compiled.kernel.draws import child_key, uniform, variate
from sim.compiled.offices.kernel.constants import (
    COIN_SLOT,
    EXAMINING,
    INTERRUPTION_BIT,
    INTERRUPTION_SLOT,
    MOST_INTERRUPTIONS,
    STATES_PER_VISIT,
    WORK_SLOT,
)
from sim.compiled.offices.kernel.places import domain_of, duration_of, procedure_of
from sim.compiled.offices.structs import Dossier, Role, World

_HOUR_S = 3600.0


@kernel
def visit_of(dossier: Dossier) -> int:
    """Return how often a dossier was in its present state before."""
    return int(dossier.visits[dossier.state]) - 1


@kernel
def coin(dossier: Dossier) -> float:
    """Return the number that decides how the present state ends."""
    return uniform(dossier.key, visit_of(dossier), COIN_SLOT + dossier.state, 0)


@kernel
def duration_s(w: World, number: int, key: np.uint64, attempt: int, slot: int) -> float:
    """Return a duration of a distribution, s."""
    duration = duration_of(w, number)
    return variate(duration.family, duration.mean, duration.sigma, key, attempt, slot)


@kernel
def work_s(w: World, role: Role, dossier: Dossier) -> float:
    """Return the work of the present task, with its interruptions, s."""
    state, visit = dossier.state, visit_of(dossier)
    work = duration_s(w, state, dossier.key, visit, WORK_SLOT + state)
    if state == EXAMINING:
        work *= domain_of(w, procedure_of(w, dossier.procedure).domain).effort
    if visit > 0:
        work *= w.repeat_factor
    if role.interruptions_per_hour > 0.0:
        mean = min(role.interruptions_per_hour * (work / _HOUR_S), MOST_INTERRUPTIONS)
        number = poisson(mean, uniform(dossier.key, visit, INTERRUPTION_SLOT + state, 0))
        key = child_key(dossier.key, INTERRUPTION_BIT + STATES_PER_VISIT * visit + state)
        for index in range(number):
            work += duration_s(w, role.length, key, index, 0)
    return work


@kernel
def poisson(mean: float, u: float) -> int:
    """Return a Poisson number by inversion."""
    number, share = 0, math.exp(-mean)
    total = share
    while u > total and share > 0.0:
        number += 1
        share *= mean / number
        total += share
    return number
