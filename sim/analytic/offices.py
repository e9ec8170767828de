"""Work of officers before anything runs: mean dossiers, visits and minutes against their hours."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.analytic.office_visits import Visits, expected_visits
from sim.backoffice.choices import Choices
from sim.backoffice.plan import NO_GROUP, NO_TEAM, Plan, plan_of
from sim.demand.arrivals import dossier_profile, session_profiles
from sim.demand.catalogue import Catalogue, catalogue_of
from sim.demand.journeys import expected_dossiers_per_session
from sim.scenario.backoffice import FILINGS, TASKS, Backoffice, Team
from sim.scenario.backoffice_checks import filing_journeys
from sim.scenario.scenario import Scenario

OFFICE_NOTE = (
    "Officers' loads are mean work over mean hours, without queueing: a load near 100 % means long "
    "waits, above 100 % a backlog that grows."
)
"""What a reader of the prediction must know."""

HOUR_S = 3600.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RoleLoad:
    """Work of the officers of one role: the same team in every office of a group.

    Attributes
    ----------
    role : str
        ``<group>.<team>``.
    offices : int
        Offices of the group.
    officers : float
        Officers present on a working day, in all offices together, on average.
    offered_s, capacity_s : float
        Mean work that comes in the window, and officers' hours in it, s.
    busiest_office : str
        The office in which this role has most to do.
    busiest : float
        Its work over its hours; above 1: it never finishes.
    """

    role: str
    offices: int
    officers: float
    offered_s: float
    capacity_s: float
    busiest_office: str
    busiest: float

    @property
    def utilisation(self) -> float:
        """Work over hours; above 1 when these officers are too few."""
        return _ratio(self.offered_s, self.capacity_s)


@dataclass(frozen=True, slots=True)
class OfficePrediction:
    """What arithmetic says of the offices.

    Attributes
    ----------
    online, counter, backlog : float
        Expected dossiers filed online and over the counter in the window, and open at its start
        (those of a file are not counted).
    officers : float
        Officers present on a working day, on average.
    work_s : float
        Mean officers' work on a dossier that is filed in the window, s.
    roles : tuple of RoleLoad
        Most used first.
    """

    online: float
    counter: float
    backlog: float
    officers: float
    work_s: float
    roles: tuple[RoleLoad, ...]


def predict_offices(scenario: Scenario, catalogue: Catalogue | None = None) -> OfficePrediction:
    """Predict how much of the officers' hours the dossiers of the window take.

    Parameters
    ----------
    scenario : Scenario
        The question; it has a block ``backoffice``. Its faults are ignored.
    catalogue : Catalogue, optional
        Its procedures; by default those of the scenario.

    Raises
    ------
    ScenarioError
        When nobody decides some procedure, or nobody does some task.
    """
    procedures = catalogue_of(scenario) if catalogue is None else catalogue
    plan = plan_of(scenario, 0, procedures)
    online, counter = _filed(scenario, plan.spec, procedures)
    works = _Works(plan, Choices.of(scenario, plan, procedures))
    work_s = works.of_filed((online, counter))
    filed = online + counter
    per_dossier_s = float(work_s.sum()) / filed if filed > 0 else math.nan
    officers = _officers(plan, scenario.window.duration_s)
    capacity_s = _capacity_s(plan, scenario.window.duration_s)
    backlog = plan.spec.initial_state.groups
    return OfficePrediction(
        online=online,
        counter=counter,
        backlog=float(sum(sum(group.open.values()) for group in backlog.values())),
        officers=float(officers.sum()),
        work_s=per_dossier_s,
        roles=tuple(_roles(plan, work_s + works.of_backlog(), capacity_s, officers)),
    )


def _filed(scenario: Scenario, spec: Backoffice, catalogue: Catalogue) -> tuple[float, float]:
    """Return the expected dossiers filed online and over the counter."""
    demand = scenario.demand
    counter = 0.0
    if spec.counter_hours is not None:
        calendars = [group.hours.calendar(demand.calendar) for group in spec.offices.values()]
        profile = dossier_profile(
            scenario,
            1.0 - demand.online_share,
            spec.counter_hours,
            is_open=lambda day: any(calendar.hours_on(day) for calendar in calendars),
        )
        counter = float(profile.expected_counts.sum())
    if spec.fed_by == "portal":
        per_session = expected_dossiers_per_session(scenario, catalogue)
        profiles = session_profiles(scenario).items()
        filed = [float(rate.expected_counts.sum()) * per_session[name] for name, rate in profiles]
        return sum(filed), counter
    journey = next(filing_journeys(scenario), None)
    hours = spec.online_hours or (demand.journeys[journey].hours if journey else None)
    if hours is None:
        return 0.0, counter
    profile = dossier_profile(scenario, demand.online_share, hours, journey=journey)
    return float(profile.expected_counts.sum()), counter


class _Works:
    """Mean work that dossiers bring to each team."""

    def __init__(self, plan: Plan, choices: Choices) -> None:
        self._plan, self._choices = plan, choices
        self._visits: dict[tuple[str, bool, str], Visits] = {}
        self._teams = [team for _, _, team in plan.spec.teams()]

    def of_filed(self, counts: tuple[float, float]) -> Floats:
        """Return the work of dossiers filed online and over the counter by team, s."""
        work_s = np.zeros(len(self._plan.team_office))
        for filing, count in enumerate(counts):
            for group, domain, has_fee, share in self._kinds(filing):
                visits = self._of(domain, has_fee, "receiving")
                self._add(work_s, count * share, group, domain, filing, visits)
        return work_s

    def of_backlog(self) -> Floats:
        """Return the work that the dossiers open at the start still need by team, s."""
        work_s = np.zeros(len(self._plan.team_office))
        spec = self._plan.spec
        online = FILINGS.index("online")
        for name, backlog in spec.initial_state.groups.items():
            number = list(spec.offices).index(name)
            kinds = [kind for kind in self._kinds(online) if kind[0] == number]
            total = sum(share for *_, share in kinds)
            for state, count in backlog.open.items():
                for group, domain, has_fee, share in kinds:
                    visits = self._of(domain, has_fee, state)
                    self._add(work_s, count * share / total, group, domain, online, visits)
        return work_s

    def _kinds(self, filing: int) -> Iterator[tuple[int, int, bool, float]]:
        """Yield group, domain, fee and share of the dossiers that are filed in one way."""
        procedures, weights = self._plan.procedures, self._choices.weights[filing]
        total = weights.sum()
        if total == 0:
            return
        n_domains = len(self._plan.domains)
        decided = procedures.group != NO_GROUP
        kind = (procedures.group * n_domains + procedures.domain) * 2 + procedures.has_fee
        shares = np.bincount(kind[decided], weights=weights[decided] / total)
        for code in np.flatnonzero(shares).tolist():
            rest, has_fee = divmod(code, 2)
            group, domain = divmod(rest, n_domains)
            yield group, domain, bool(has_fee), float(shares[code])

    def _of(self, domain: int, has_fee: bool, state: str) -> Visits:
        key = (self._plan.domains[domain], has_fee, state)
        if key not in self._visits:
            self._visits[key] = expected_visits(
                self._plan.spec, key[0], has_fee=has_fee, state=state
            )
        return self._visits[key]

    def _add(
        self, work_s: Floats, count: float, group: int, domain: int, filing: int, visits: Visits
    ) -> None:
        """Add the work of so many dossiers of a kind."""
        plan, spec = self._plan, self._plan.spec
        here = np.where(plan.group == group, plan.size, 0.0) * count
        for number, task in enumerate(TASKS):
            teams = plan.team_of[:, number, domain, filing]
            offices = self._received(here, teams) if task == "receive" else here
            work = spec.workflow.work[task].mean_s
            own = spec.workflow.by_domain.get(plan.domains[domain])
            if task == "examine" and own is not None:
                work *= own.effort
            work *= visits.first[task] + spec.workflow.repeat_factor * visits.again[task]
            able = teams != NO_TEAM
            longer = np.array([_interrupted(self._teams[role]) for role in plan.team_role])
            np.add.at(work_s, teams[able], offices[able] * work * longer[teams[able]])

    def _received(self, here: Floats, teams: NDArray[np.int32]) -> Floats:
        """Return how many each office receives: some are handed in elsewhere."""
        plan, share = self._plan, self._choices.elsewhere_share
        if share == 0:
            return here
        per_group = np.bincount(plan.group)[plan.group]
        weight = np.where(teams != NO_TEAM, plan.size * per_group, 0.0)
        received: Floats = here * (1 - share) + here.sum() * share * weight / weight.sum()
        return received


def _interrupted(team: Team) -> float:
    """Return how much longer a team's work takes by interruptions."""
    if team.interruptions is None:
        return 1.0
    return 1 + team.interruptions.per_hour * team.interruptions.length.mean_s / HOUR_S


def _open_s(plan: Plan, duration_s: float) -> Floats:
    """Return the open time of each calendar on each day of the window, s."""
    n_days = plan.present.shape[1]
    rows = []
    for shifts in plan.shifts:
        spans = shifts.working_time
        closes_s = spans.closes_s[np.searchsorted(spans.closes_s, shifts.opening_s, side="right")]
        length_s = np.maximum(np.minimum(closes_s, duration_s) - shifts.opening_s, 0.0)
        rows.append(np.bincount(shifts.opening_day, weights=length_s, minlength=n_days))
    return np.array(rows)


def _capacity_s(plan: Plan, duration_s: float) -> Floats:
    """Return the officers' hours of each team in the window, s."""
    open_s = _open_s(plan, duration_s)[plan.calendar[plan.team_office]]
    capacity_s: Floats = (plan.present * open_s).sum(axis=1)
    return capacity_s


def _officers(plan: Plan, duration_s: float) -> Floats:
    """Return how many officers of each team are present on average over open time."""
    open_s = _open_s(plan, duration_s).sum(axis=1)[plan.calendar[plan.team_office]]
    officers: Floats = _capacity_s(plan, duration_s) / np.where(open_s > 0, open_s, 1.0)
    return officers


def _roles(plan: Plan, work_s: Floats, capacity_s: Floats, officers: Floats) -> list[RoleLoad]:
    loads = []
    for number, role in enumerate(plan.roles):
        teams = np.flatnonzero(plan.team_role == number)
        used = np.array([_ratio(work_s[team], capacity_s[team]) for team in teams])
        busiest = int(np.argmax(used))
        loads.append(
            RoleLoad(
                role=role,
                offices=len(teams),
                officers=float(officers[teams].sum()),
                offered_s=float(work_s[teams].sum()),
                capacity_s=float(capacity_s[teams].sum()),
                busiest_office=plan.offices[int(plan.team_office[teams[busiest]])],
                busiest=float(used[busiest]),
            )
        )
    return sorted(loads, key=lambda load: (-load.utilisation, load.role))


def _ratio(work_s: float, capacity_s: float) -> float:
    if capacity_s > 0:
        return float(work_s / capacity_s)
    return math.inf if work_s > 0 else 0.0
