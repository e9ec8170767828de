"""How much the offices will have to do, before anything is drawn."""

from pathlib import Path

import numpy as np

from sim.demand import Catalogue
from sim.demand.arrivals import day_effects, dossier_profile, session_profiles
from sim.demand.journeys import expected_dossiers_per_session
from sim.scenario.backoffice import TASKS, Backoffice
from sim.scenario.backoffice_checks import filing_journeys
from sim.scenario.scenario import Scenario


def expected_dossiers(scenario: Scenario, replication: int, catalogue: Catalogue) -> float:
    """Return the mean number of dossiers of one replication, given its days' effects.

    Parameters
    ----------
    scenario : Scenario
        The question; it has a block ``backoffice``.
    replication : int
        Which replication, >= 0.
    catalogue : Catalogue
        Its procedures.

    Returns
    -------
    float
        Filed online, at the counter, and open at the start. Retries that file twice do not count.
    """
    spec = scenario.backoffice
    assert spec is not None
    online = _online_from_demand if spec.fed_by == "demand" else _online_from_portal
    n = online(scenario, replication, catalogue) + _open_at_start(spec)
    if spec.counter_hours is not None:
        n += _at_counter(scenario, replication, spec.counter_hours)
    return n


def tasks_per_dossier(spec: Backoffice) -> float:
    """Return how many tasks a dossier takes that is neither refused nor withdrawn, at most.

    The straight way is one of each; papers asked for, another agency and sending back repeat some.
    """
    rules, domains = spec.workflow.rules, spec.workflow.by_domain.values()
    incomplete = max([rules.incomplete_share, *(d.incomplete_share or 0.0 for d in domains)])
    consult = max([rules.consult_share, *(d.consult_share or 0.0 for d in domains)])
    papers = spec.law.supplements_max
    asked_at_reception = _times(rules.incomplete_at_reception_share, papers)
    asked = _times(incomplete, papers)
    sent_back = _times(rules.sent_back_share, spec.workflow.sent_back_max)
    # Whoever is sent back is examined and approved again, and each examination may ask again.
    return len(TASKS) + asked_at_reception + asked + consult + 2.0 * sent_back


def _online_from_demand(scenario: Scenario, replication: int, catalogue: Catalogue) -> float:
    del catalogue
    spec, demand = scenario.backoffice, scenario.demand
    assert spec is not None
    journey = next(filing_journeys(scenario), None)
    hours = spec.online_hours or (demand.journeys[journey].hours if journey else None)
    if hours is None:
        return 0.0
    profile = dossier_profile(
        scenario,
        demand.online_share,
        hours,
        journey=journey,
        effects=day_effects(scenario, replication),
    )
    return float(profile.expected_counts.sum())


def _online_from_portal(scenario: Scenario, replication: int, catalogue: Catalogue) -> float:
    per_session = expected_dossiers_per_session(scenario, catalogue)
    profiles = session_profiles(scenario, day_effects(scenario, replication))
    counts = {name: float(profile.expected_counts.sum()) for name, profile in profiles.items()}
    return sum(n * per_session[name] for name, n in counts.items())


def _at_counter(scenario: Scenario, replication: int, hours: str) -> float:
    spec, demand = scenario.backoffice, scenario.demand
    assert spec is not None
    calendars = [group.hours.calendar(demand.calendar) for group in spec.offices.values()]
    profile = dossier_profile(
        scenario,
        1.0 - demand.online_share,
        hours,
        is_open=lambda day: any(calendar.hours_on(day) for calendar in calendars),
        effects=day_effects(scenario, replication),
    )
    return float(profile.expected_counts.sum())


def _open_at_start(spec: Backoffice) -> float:
    state = spec.initial_state
    if state.file is not None:
        return float(len(Path(state.file).read_bytes().splitlines()))
    return float(sum(sum(group.open.values()) for group in state.groups.values()))


def _times(share: float, most: int | None) -> float:
    """Return how often something happens on average that happens again with the same chance."""
    if most is not None:
        return float(np.sum(share ** np.arange(1.0, most + 1.0)))
    return share / (1.0 - share) if share < 1.0 else float("inf")
