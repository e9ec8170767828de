"""One replication: a scenario and its trace become records, of the portal and of its offices."""

from simpy import Environment
from simpy.events import ProcessGenerator

from sim.backoffice.office import simulate_offices
from sim.demand.trace import Trace
from sim.model.client import Crowd
from sim.model.faults import schedule_faults
from sim.model.portal import PortalModel
from sim.model.recorder import Recorder
from sim.results import Records
from sim.scenario.scenario import Scenario
from sim.workload.offices import simulate_both

_WATCH_S = 1.0
"""How often the end of the run is looked for, s; the run ends at a multiple of it."""


def simulate(scenario: Scenario, replication: int, trace: Trace | None = None) -> Records:
    """Simulate one replication.

    Parameters
    ----------
    scenario : Scenario
        The question.
    replication : int
        Which replication, >= 0; any one is reached directly.
    trace : Trace, optional
        Its demand; drawn when absent. Offices that get their dossiers without a portal need none.

    Returns
    -------
    Records
        Tables sorted by (session, step, attempt), dossiers first by how they were filed; times in s
        from the window's start. The portal's run goes on until every session has ended and nothing
        waits to be synchronised, at most ``window.drain_s`` beyond the window; the offices' to that
        end.
    """
    return simulate_both(scenario, replication, trace, simulate_portal, simulate_offices)


def simulate_portal(scenario: Scenario, trace: Trace) -> Records:
    """Simulate the portal alone: what requests meet, until dossiers are synchronised."""
    env = Environment()
    portal = PortalModel(env, scenario, trace.replication)
    log = Recorder(trace)
    crowd = Crowd(env, scenario, trace, portal, log)
    schedule_faults(portal, scenario.faults)
    portal.start()
    env.process(crowd.arrive())
    window = scenario.window
    env.run(until=env.process(_end(env, crowd, portal, window.duration_s, window.drain_s)))
    for levels in portal.stations.values():
        for level in levels:
            level.close(env.now)
    crowd.leave()
    return log.records(portal.stations, env.now)


def _end(
    env: Environment, crowd: Crowd, portal: PortalModel, duration_s: float, drain_s: float
) -> ProcessGenerator:
    """Wait until the window is over and everything begun in it has ended, or for the drain."""
    yield env.timeout(duration_s)
    while env.now < duration_s + drain_s and not (crowd.is_gone and portal.is_idle):
        yield env.timeout(min(_WATCH_S, duration_s + drain_s - env.now))
