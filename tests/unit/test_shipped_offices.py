"""The shipped offices: enough officers for their work, and not many more."""

from functools import cache

import numpy as np
import pytest

from sim.backoffice.choices import Choices
from sim.backoffice.plan import Plan, plan_of
from sim.demand import Catalogue, catalogue_of
from sim.scenario import Scenario, load_scenario
from sim.scenario.backoffice import FILINGS, TASKS, Task

YEAR_S = 365 * 86400.0


@cache
def city() -> tuple[Scenario, Catalogue, Plan]:
    scenario = load_scenario("city-year")
    catalogue = catalogue_of(scenario)
    return scenario, catalogue, plan_of(scenario, 0, catalogue, end_s=YEAR_S)


def visits(scenario: Scenario, domain: str) -> dict[Task, float]:
    """Return how often a dossier of a domain meets each task, a repeated one by its work."""
    assert scenario.backoffice is not None
    workflow, rules = scenario.backoffice.workflow, scenario.backoffice.workflow.rules
    own = workflow.by_domain.get(domain)
    stated = {} if own is None else own.model_dump(exclude_none=True)
    again = sum(
        stated.get(name, getattr(rules, name)) for name in ("incomplete_share", "consult_share")
    )
    accepted = 1 - rules.refused_at_reception_share
    decided = accepted * (1 - rules.refused_share)
    factor = workflow.repeat_factor
    return {
        "receive": 1 + factor * rules.incomplete_at_reception_share,
        "assign": accepted,
        "examine": stated.get("effort", 1.0)
        * accepted
        * (1 + factor * (again + rules.sent_back_share)),
        "approve": decided * (1 + factor * rules.sent_back_share),
        "sign": decided,
        "release": decided,
    }


def work_by_role(scenario: Scenario, catalogue: Catalogue, plan: Plan) -> np.ndarray:
    """Return the work of a year for the officers of each role, s."""
    offices, demand = scenario.backoffice, scenario.demand
    assert offices is not None
    shares = (demand.online_share, 1 - demand.online_share)
    choices = Choices.of(scenario, plan, catalogue)
    work_s = np.zeros(len(plan.roles))
    teams = [team for _, _, team in offices.teams()]
    first_office = np.searchsorted(plan.group, np.arange(len(offices.offices)))
    for filing in range(len(FILINGS)):
        weights = choices.weights[filing] / choices.weights[filing].sum()
        dossiers = weights * shares[filing] * demand.dossiers_per_year
        for row in np.flatnonzero(dossiers).tolist():
            domain = int(plan.procedures.domain[row])
            office = first_office[plan.procedures.group[row]]
            for task, times in visits(scenario, plan.domains[domain]).items():
                team = plan.team_of[office, TASKS.index(task), domain, filing]
                role = plan.team_role[team]
                stops = teams[role].interruptions
                longer = 0.0 if stops is None else stops.per_hour / 3600 * stops.length.mean_s
                mean_s = offices.workflow.work[task].mean_s * (1 + longer)
                work_s[role] += dossiers[row] * times * mean_s
    return work_s


def test_the_city_has_about_as_many_officers_as_it_says() -> None:
    scenario, _, _ = city()
    assert scenario.backoffice is not None
    groups = scenario.backoffice.offices
    officers = sum(
        groups[group].officers(team.officers_per_office)
        for group, _, team in scenario.backoffice.teams()
    )
    assert 2850 < officers < 2950
    assert "some 2,900 officers" in scenario.description
    assert groups["communes"].count == scenario.city.one_stop_units == 114


def test_every_role_is_busy_but_not_overrun() -> None:
    scenario, catalogue, plan = city()
    assert scenario.backoffice is not None
    open_s = plan.shifts[0].working_time.between(0.0, YEAR_S)
    groups = scenario.backoffice.offices
    capacity_s = [
        groups[group].officers(team.officers_per_office) * (1 - team.leave_share) * open_s
        for group, _, team in scenario.backoffice.teams()
    ]
    utilisation = work_by_role(scenario, catalogue, plan) / capacity_s
    told = dict(zip(plan.roles, utilisation.round(2).tolist(), strict=True))
    assert utilisation.min() > 0.45, told
    assert utilisation.max() < 0.85, told


@pytest.mark.parametrize("name", ["city-year", "sync-outage", "tet-backlog", "office-day"])
def test_shipped_offices_have_somebody_for_everything(name: str) -> None:
    plan = plan_of(load_scenario(name), 0)
    own = plan.team_of[:114, :, plan.domains.index("civil_status")]
    assert (own >= 0).all()


def test_the_outage_stops_the_job_that_takes_dossiers_in() -> None:
    scenario = load_scenario("sync-outage")
    assert scenario.backoffice is not None
    assert scenario.backoffice.intake is not None
    (fault,) = scenario.faults
    assert (fault.kind, fault.target) == ("job_stopped", scenario.backoffice.intake.job)
    assert fault.to_s - fault.from_s == 2 * 86400
