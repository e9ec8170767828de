"""What a dossier asks for and which offices it meets: drawn from its own key, whatever else comes.

Every number is that of (the dossier's key's child ``CHOICES``, 0, slot).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.backoffice.plan import NO_GROUP, NO_TEAM, Plan
from sim.demand import Catalogue
from sim.scenario import Scenario
from sim.scenario.backoffice import FILINGS, TASKS
from sim.streams import child_key, child_keys, uniform_array

CHOICES = 2**36
"""Child of a dossier's key for all that is chosen before it reaches an office."""

OFFICE_SLOT, ELSEWHERE_SLOT, RECEPTION_SLOT = 0, 1, 2
PROCEDURE_SLOT, FILING_SLOT, AGE_SLOT, RECEIVED_SLOT = 3, 4, 5, 6
"""Slots: which office decides; whether another one receives, and which; for dossiers that no
session files what is asked for and how; of the backlog how old it is and when it was received."""

ORIGIN = 2**33
"""Children of a replication's key, by origin, and of a request's key, by attempt."""

ONLINE, COUNTER = FILINGS.index("online"), FILINGS.index("counter")

Keys = NDArray[np.uint64]
Index = NDArray[np.int32]
Weights = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Choices:
    """How often each procedure is asked for, and by what offices are chosen.

    Attributes
    ----------
    plan : Plan
        The offices.
    weights : tuple of NDArray, each of shape (n_procedures,)
        How often each procedure is asked for online and at the counter, relative to the others;
        0 where no office of the city decides it.
    elsewhere_share : float
        Share of dossiers that another office receives.
    """

    plan: Plan
    weights: tuple[Weights, Weights]
    elsewhere_share: float

    @classmethod
    def of(cls, scenario: Scenario, plan: Plan, catalogue: Catalogue) -> "Choices":
        """Return the choices of a scenario.

        Online by the popularity of the services. At the counter every procedure counts, integrated
        or not: by the popularity of its domain, or where ``counter_weights`` are given evenly
        within each domain's.
        """
        decided = plan.procedures.group != NO_GROUP
        online = np.zeros(len(catalogue))
        online[catalogue.integrated] = catalogue.services.weight
        counter = _counter_weights(scenario, plan)
        return cls(plan, (online * decided, counter * decided), plan.spec.elsewhere_share)

    def procedures(self, keys: Keys, filing: int) -> Index:
        """Return the procedure of each dossier filed in one way, shape of ``keys``."""
        return chosen(self.weights[filing], numbers(keys, PROCEDURE_SLOT))

    def offices(self, keys: Keys, procedure: Index) -> Index:
        """Return the office that decides each dossier: of its procedure's group, by size."""
        group = self.plan.procedures.group[procedure]
        return self.offices_in(keys, group)

    def offices_in(self, keys: Keys, group: Index) -> Index:
        """Return an office of each group, by size."""
        first = np.searchsorted(self.plan.group, np.arange(len(self.plan.spec.offices) + 1))
        below = np.cumsum(self.plan.size)
        office = np.searchsorted(below, group + numbers(keys, OFFICE_SLOT), side="right")
        return np.clip(office, first[group], first[group + 1] - 1).astype(np.int32)

    def receptions(
        self, keys: Keys, procedure: Index, office: Index, filing: NDArray[np.int8]
    ) -> Index:
        """Return the office that receives each dossier: the one that decides it, or another.

        Another one is drawn by size, an average office of any group counting the same, among those
        that can receive dossiers of this domain filed in this way.
        """
        reception = office.copy()
        rows = np.flatnonzero(numbers(keys, ELSEWHERE_SLOT) < self.elsewhere_share)
        u = numbers(keys[rows], RECEPTION_SLOT)
        kind = self.plan.procedures.domain[procedure[rows]] * len(FILINGS) + filing[rows]
        for each in np.unique(kind):
            at = np.flatnonzero(kind == each)
            domain, way = divmod(int(each), len(FILINGS))
            reception[rows[at]] = self._others(domain, way, office[rows[at]], u[at])
        return reception

    def _others(self, domain: int, filing: int, office: Index, u: Weights) -> Index:
        """Return other offices than these that can receive; the same where there is none."""
        plan = self.plan
        per_group = np.bincount(plan.group)[plan.group]
        can = plan.team_of[:, TASKS.index("receive"), domain, filing] != NO_TEAM
        weight = np.where(can, plan.size * per_group, 0.0)
        below = np.concatenate([[0.0], np.cumsum(weight)])
        at = u * (below[-1] - weight[office])
        at += np.where(at >= below[office], weight[office], 0.0)
        last = int(np.flatnonzero(can)[-1]) if can.any() else 0
        other = np.minimum(np.searchsorted(below, at, side="right") - 1, last)
        is_alone = weight.sum() - weight[office] <= 0.0
        return np.where(is_alone, office, other).astype(np.int32)


def keys_of_origin(scenario: Scenario, replication: int, origin: int, n: int) -> Keys:
    """Return the keys of the first ``n`` dossiers of an origin that no request files."""
    root = child_key(child_key(scenario.seed, replication), ORIGIN + origin)
    return child_keys(np.array([root], dtype=np.uint64), np.arange(n, dtype=np.uint64))


def numbers(keys: Keys, slot: int, half: int = 0) -> Weights:
    """Return one number of each dossier's choices, in (0, 1)."""
    own = child_keys(keys, np.array([CHOICES], dtype=np.uint64))
    return uniform_array(own, 0, slot, half)


def chosen(weights: Weights, u: Weights) -> Index:
    """Return an index per number in (0, 1), with probability proportional to the weights."""
    below = np.cumsum(weights)
    return np.searchsorted(below / below[-1], u, side="right").astype(np.int32)


def _counter_weights(scenario: Scenario, plan: Plan) -> Weights:
    domains = scenario.catalogue.domains
    domain = plan.procedures.domain
    given = plan.spec.counter_weights
    if not given:
        popularity = [domains[d].weight if d in domains else 1.0 for d in plan.domains]
        return np.array(popularity)[domain]
    decided = plan.procedures.group != NO_GROUP
    sizes = np.bincount(domain[decided], minlength=len(plan.domains))
    return (
        np.array([given.get(d, 0.0) for d in plan.domains])[domain] / np.maximum(sizes, 1)[domain]
    )
