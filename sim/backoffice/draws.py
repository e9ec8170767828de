"""The random numbers of a dossier: all are functions of its key, its visit and a slot."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from sim.backoffice.workflow import STATES, State
from sim.demand.variates import lognormal_parameters, variate
from sim.scenario.backoffice import Interruptions, Workflow
from sim.scenario.base import Distribution
from sim.streams import GAMMA, SLOTS_PER_ATTEMPT, mix

COIN_SLOT = 16
"""Slot, with the state added: which event ends the state."""
ANSWER_SLOT = 32
"""Slot, with the state added: how long a citizen or an agency takes; a row given up lies."""
INTERRUPTIONS_SLOT = 48
"""Slot, with the state added: how many interruptions; work has the state alone for slot."""
FEE_SLOT = 60
"""Slot: whether the fee is still to be paid."""

INTERRUPTION = 2**34
"""Children of a dossier's key, by visit and state, for its interruptions."""
CHANGE = 2**35
"""Children of a dossier's key, by number, for the rows of its changes."""
STATES_PER_VISIT = 16

MOST_INTERRUPTIONS = 500.0
"""Mean number in one task, at most: beyond it the inversion's first term would be 0."""

HOUR_S = 3600.0

_MASK = 2**64 - 1
_UNIT = 2.0**-52

Sampler = Callable[[int, int, int], float]
"""A distribution as a function of key, attempt and slot."""


def sampler(distribution: Distribution) -> Sampler:
    """Return a distribution as a function of key, attempt and slot, s."""
    family, mean_s = distribution.distribution, distribution.mean_s
    if not distribution.is_random:
        return lambda key, attempt, slot: mean_s
    if family == "lognormal":
        return _lognormal(mean_s, distribution.cv)
    return lambda key, attempt, slot: variate(family, mean_s, 1.0, number(key, attempt, slot), 0.0)


def number(key: int, attempt: int, slot: int, half: int = 0) -> float:
    """Return ``sim.streams.uniform``, written out: a run asks for some fifty million."""
    z = (key + (attempt * SLOTS_PER_ATTEMPT + 2 * slot + half + 1) * GAMMA) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return (((z ^ (z >> 31)) >> 12) + 0.5) * _UNIT


@cache
def _salt(index: int) -> int:
    return mix(index * GAMMA + 1)


def child(key: int, index: int) -> int:
    """Return ``sim.streams.child_key``; what is the same for all keys is found once."""
    return mix(key ^ _salt(index))


def coin(key: int, state: State, visit: int) -> float:
    """Return the number that decides how a state ends, in (0, 1)."""
    return number(key, visit, COIN_SLOT + state)


def poisson(mean: float, u: float) -> int:
    """Return a Poisson number by inversion.

    Parameters
    ----------
    mean : float
        Its mean, >= 0, at most ``MOST_INTERRUPTIONS``.
    u : float
        In (0, 1).
    """
    count, share = 0, math.exp(-mean)
    total = share
    while u > total and share > 0.0:
        count += 1
        share *= mean / count
        total += share
    return count


@dataclass(frozen=True, slots=True)
class WorkOfTeam:
    """How much work a task is, for the officers of one team.

    Attributes
    ----------
    work : tuple of Sampler or None, by state
        The work of the task that ends a state, without interruptions.
    repeat_factor : float
        Work of a later visit over the first one's.
    per_hour : float
        Mean number of interruptions in an hour of work.
    length : Sampler or None
        Length of an interruption.
    """

    work: tuple[Sampler | None, ...]
    repeat_factor: float
    per_hour: float = 0.0
    length: Sampler | None = None

    @classmethod
    def of(cls, workflow: Workflow, interruptions: Interruptions | None) -> "WorkOfTeam":
        """Return what a team's tasks take."""
        named = {str(task): sampler(work) for task, work in workflow.work.items()}
        work = tuple(named.get(STATES[state].task or "") for state in State)
        if interruptions is None or interruptions.per_hour == 0.0:
            return cls(work, workflow.repeat_factor)
        length = sampler(interruptions.length)
        return cls(work, workflow.repeat_factor, interruptions.per_hour, length)

    def draw(self, key: int, state: State, visit: int, effort: float) -> float:
        """Return the work of one task with its interruptions, working s.

        Parameters
        ----------
        key : int
            The dossier's.
        state : State
            Whose task it is.
        visit : int
            How often the dossier was in that state before.
        effort : float
            Work of an examination over the ordinary one, > 0.
        """
        sample = self.work[state]
        assert sample is not None, f"no work is stated for {state.name}"
        work_s = sample(key, visit, state)
        if state == State.EXAMINING:
            work_s *= effort
        if visit > 0:
            work_s *= self.repeat_factor
        if self.length is None:
            return work_s
        mean = min(self.per_hour * (work_s / HOUR_S), MOST_INTERRUPTIONS)
        times = poisson(mean, number(key, visit, INTERRUPTIONS_SLOT + state))
        if times:
            own = child(key, INTERRUPTION + STATES_PER_VISIT * visit + state)
            for index in range(times):
                work_s += self.length(own, index, 0)
        return work_s


def _lognormal(mean_s: float, cv: float) -> Sampler:
    """Return the variate of ``sim.demand.variates``, whose parameters need not be found anew."""
    mu, sigma = lognormal_parameters(mean_s, cv)

    def sample(key: int, attempt: int, slot: int) -> float:
        radius = math.sqrt(-2.0 * math.log(number(key, attempt, slot)))
        normal = radius * math.cos(2.0 * math.pi * number(key, attempt, slot, 1))
        return math.exp(mu + sigma * normal)

    return sample
