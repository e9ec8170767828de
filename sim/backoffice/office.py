"""One run of the offices: a plan and its filings become an ``OfficeRun``."""

from collections.abc import Sequence

import numpy as np
from simpy import Environment
from simpy.events import ProcessGenerator

from sim.backoffice.clock import OfficeClock
from sim.backoffice.dossier import dossiers_of
from sim.backoffice.draws import WorkOfTeam
from sim.backoffice.filings import Filings
from sim.backoffice.life import Workflow
from sim.backoffice.outcomes import OfficeRun
from sim.backoffice.plan import Plan
from sim.backoffice.recorder import Recorder
from sim.backoffice.stations import Stations
from sim.backoffice.sync import RowQueue, Stops
from sim.backoffice.team import Team
from sim.backoffice.terms import reception_terms
from sim.scenario.scenario import Scenario


def simulate_offices(plan: Plan, filings: Filings, scenario: Scenario) -> OfficeRun:
    """Simulate the offices of one replication.

    Parameters
    ----------
    plan : Plan
        The offices.
    filings : Filings
        Their dossiers.
    scenario : Scenario
        Whose jobs of the portal carry intake and publication, and whose faults stop them.

    Returns
    -------
    OfficeRun
        What became of each dossier, the tasks done, and what each station did.

    Raises
    ------
    ValueError
        When a term or the end of a task lies beyond the plan's calendars.
    """
    env = Environment()
    clocks = [OfficeClock(shifts.working_time) for shifts in plan.shifts]
    stations = Stations(plan, clocks)
    log = Recorder(filings, reception_terms(plan, filings))
    teams = _teams(env, plan, clocks, stations, log)
    for number in range(len(plan.shifts)):
        env.process(_open(env, plan, number, teams))
    intake, publication = (
        _row_queue(env, name, stations, plan, scenario) for name in ("intake", "publication")
    )
    workflow = Workflow(
        env, plan, teams, stations.states, log, intake=intake, publication=publication
    )
    env.process(_arrive(env, plan, filings, workflow, log))
    env.run(until=plan.end_s)
    workflow.end()
    return log.run(stations.close())


def _teams(
    env: Environment, plan: Plan, clocks: Sequence[OfficeClock], stations: Stations, log: Recorder
) -> list[Team]:
    work = [
        WorkOfTeam.of(plan.spec.workflow, team.interruptions) for _, _, team in plan.spec.teams()
    ]
    places = zip(plan.team_office.tolist(), plan.team_role.tolist(), strict=True)
    return [
        Team(
            env,
            number,
            clocks[plan.calendar[office]],
            work[role],
            stations.teams[number],
            log,
            is_due_first=plan.role_order[role] == "due_first",
        )
        for number, (office, role) in enumerate(places)
    ]


def _open(env: Environment, plan: Plan, calendar: int, teams: Sequence[Team]) -> ProcessGenerator:
    """Let the officers of a calendar's offices come at every opening."""
    shifts = plan.shifts[calendar]
    numbers = np.flatnonzero(plan.calendar[plan.team_office] == calendar).tolist()
    openings = zip(shifts.opening_s.tolist(), shifts.opening_day.tolist(), strict=True)
    for at_s, day in openings:
        yield env.timeout(at_s - env.now)
        for number, present in zip(numbers, plan.present[numbers, day].tolist(), strict=True):
            teams[number].open(present)


def _row_queue(
    env: Environment, name: str, stations: Stations, plan: Plan, scenario: Scenario
) -> RowQueue | None:
    """Let a queue of rows begin, if the offices have it."""
    spec = plan.spec.intake if name == "intake" else plan.spec.publication
    if spec is None:
        return None
    stops = Stops.of(spec.job, scenario.faults)
    level = stations.row_level(name)
    queue = RowQueue(env, spec, scenario.portal.jobs[spec.job], stops, level)
    env.process(queue.tick())
    return queue


def _arrive(
    env: Environment, plan: Plan, filings: Filings, workflow: Workflow, log: Recorder
) -> ProcessGenerator:
    """Let every dossier begin at its time."""
    for at_s, dossier in dossiers_of(plan, filings, log.reception_due_s):
        delay_s = at_s - env.now
        if delay_s > 0.0:
            yield env.timeout(delay_s)
        env.process(workflow.live(dossier))
