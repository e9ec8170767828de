"""Mean visits of one dossier to each task of an office: the workflow as a Markov chain."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sim.demand.variates import lognormal_parameters
from sim.scenario.backoffice import TASKS, Backoffice, Task
from sim.scenario.base import Distribution

_NEGLIGIBLE = 1e-12
"""Share of dossiers that is no longer followed."""
_MOST_STEPS = 100_000
"""Steps after which a loop is taken to have no end worth following."""

_CITIZEN = {
    "supplementing_at_reception": "receiving",
    "supplementing": "examining",
    "paying": "assigning",
}
"""States that wait for a citizen, and what follows an answer."""
_TASK_OF: dict[str, Task] = {
    "receiving": "receive",
    "assigning": "assign",
    "examining": "examine",
    "approving": "approve",
    "signing": "sign",
    "releasing": "release",
}


@dataclass(frozen=True, slots=True)
class Visits:
    """Mean visits of a dossier to each task.

    Attributes
    ----------
    first, again : dict of str to float
        Share of dossiers that meet the task at all, and further visits of a dossier, by task.
    """

    first: dict[Task, float]
    again: dict[Task, float]

    def __getitem__(self, task: Task) -> float:
        """Return all visits to a task."""
        return self.first[task] + self.again[task]


@dataclass(frozen=True, slots=True, order=True)
class _Place:
    """A state, and what decides how it goes on: how often what has been before."""

    state: str
    supplements: int = 0
    consulted: bool = False
    sent_back: int = 0
    is_first: bool = True


def expected_visits(
    offices: Backoffice, domain: str, *, has_fee: bool, state: str = "receiving"
) -> Visits:
    """Return the mean visits of a dossier to each task.

    Parameters
    ----------
    offices : Backoffice
        Shares, limits and how often something may be repeated.
    domain : str
        The dossier's.
    has_fee : bool
        Whether its procedure charges a fee.
    state : str
        Where it begins; of a dossier further on what has been before is not known, and taken to
        be nothing.
    """
    chain = _Chain(offices, domain, has_fee)
    first, again = dict.fromkeys(TASKS, 0.0), dict.fromkeys(TASKS, 0.0)
    mass = {_Place("receiving" if state == "synchronising" else state): 1.0}
    for _ in range(_MOST_STEPS):
        following: dict[_Place, float] = {}
        for place, share in mass.items():
            task = _TASK_OF.get(place.state)
            if task is not None:
                (first if place.is_first else again)[task] += share
            for goal, chance in chain.following(place):
                following[goal] = following.get(goal, 0.0) + share * chance
        mass = {place: share for place, share in following.items() if share > _NEGLIGIBLE}
        if not mass:
            break
    return Visits(first, again)


def below(distribution: Distribution, limit_s: float) -> float:
    """Return the chance that a random duration is at most a limit.

    Parameters
    ----------
    distribution : Distribution
        The duration.
    limit_s : float
        The limit, s, > 0.
    """
    mean = distribution.mean_s
    if mean == 0 or not distribution.is_random:
        return float(mean <= limit_s)
    if distribution.distribution == "exponential":
        return -math.expm1(-limit_s / mean)
    if distribution.distribution == "uniform":
        return min(1.0, limit_s / (2 * mean))
    if distribution.cv == 0:
        return float(mean <= limit_s)
    mu, sigma = lognormal_parameters(mean, distribution.cv)
    return (1 + math.erf((math.log(limit_s) - mu) / (sigma * math.sqrt(2)))) / 2


class _Chain:
    """Which places follow a place, and how often; dossiers that end are not followed."""

    def __init__(self, offices: Backoffice, domain: str, has_fee: bool) -> None:
        rules = offices.workflow.rules
        own = offices.workflow.by_domain.get(domain)
        shares = ("incomplete_share", "consult_share", "refused_share")
        self._examination: Mapping[str, float] = {
            name: getattr(rules, name)
            if own is None or getattr(own, name) is None
            else getattr(own, name)
            for name in shares
        }
        self._rules = rules
        self._fee_due = rules.unpaid_share if has_fee else 0.0
        workflow = offices.workflow
        in_time = below(workflow.citizen_answer, workflow.citizen_limit_s)
        self._answered = (1 - rules.withdrawn_share) * in_time
        self._papers_max = offices.law.supplements_max
        self._sent_back_max = workflow.sent_back_max

    def following(self, place: _Place) -> Iterator[tuple[_Place, float]]:
        """Yield the places that follow, with their chances."""
        state = place.state
        if state in _CITIZEN:
            first = state == "paying"
            yield _moved(place, _CITIZEN[state], is_first=first), self._answered
        elif state == "receiving":
            yield from self._received(place)
        elif state == "examining":
            yield from self._examined(place)
        elif state == "approving":
            yield from self._approved(place)
        elif state in _NEXT:
            yield _moved(place, _NEXT[state], is_first=state != "consulting"), 1.0

    def _may_ask(self, place: _Place) -> bool:
        return self._papers_max is None or place.supplements < self._papers_max

    def _asked(self, place: _Place, state: str) -> _Place:
        # Without a maximum it does not matter how often papers were asked for.
        more = 0 if self._papers_max is None else 1
        return _Place(
            state, place.supplements + more, place.consulted, place.sent_back, place.is_first
        )

    def _received(self, place: _Place) -> Iterator[tuple[_Place, float]]:
        incomplete = self._rules.incomplete_at_reception_share if self._may_ask(place) else 0.0
        accepted = max(0.0, 1 - self._rules.refused_at_reception_share - incomplete)
        yield self._asked(place, "supplementing_at_reception"), incomplete
        yield _moved(place, "paying"), accepted * self._fee_due
        yield _moved(place, "assigning"), accepted * (1 - self._fee_due)

    def _examined(self, place: _Place) -> Iterator[tuple[_Place, float]]:
        shares = self._examination
        incomplete = shares["incomplete_share"] if self._may_ask(place) else 0.0
        consult = 0.0 if place.consulted else shares["consult_share"]
        yield self._asked(place, "supplementing"), incomplete
        yield _Place("consulting", place.supplements, True, place.sent_back), consult
        done = max(0.0, 1 - shares["refused_share"] - incomplete - consult)
        yield _moved(place, "approving", is_first=place.sent_back == 0), done

    def _approved(self, place: _Place) -> Iterator[tuple[_Place, float]]:
        back = self._rules.sent_back_share if place.sent_back < self._sent_back_max else 0.0
        again = _Place("examining", place.supplements, place.consulted, place.sent_back + 1, False)
        yield again, back
        yield _moved(place, "signing"), 1 - back


_NEXT = {"assigning": "examining", "consulting": "examining", "signing": "releasing"}


def _moved(place: _Place, state: str, *, is_first: bool = True) -> _Place:
    return _Place(state, place.supplements, place.consulted, place.sent_back, is_first)
