"""The question: a validated, frozen scenario read from YAML."""

from sim.scenario.errors import Flaw, ScenarioError
from sim.scenario.loader import dump_scenario, load_scenario, shipped_scenarios
from sim.scenario.scenario import Scenario
from sim.scenario.schema import scenario_schema

__all__ = [
    "Flaw",
    "Scenario",
    "ScenarioError",
    "dump_scenario",
    "load_scenario",
    "scenario_schema",
    "shipped_scenarios",
]
