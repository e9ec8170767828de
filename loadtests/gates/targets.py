"""Targets of a file of their own, to judge a run by others than its scenario's."""

import json
from pathlib import Path

from pydantic import ValidationError

from sim.scenario.base import Spec
from sim.scenario.document import Node, place, read_document
from sim.scenario.errors import Flaw, ScenarioError
from sim.scenario.metric_names import check_metric, metric_groups, parse_metric
from sim.scenario.run import Target
from sim.scenario.scenario import Scenario
from sim.scenario.wording import schema_flaws

_KEY = "targets"


class _File(Spec):
    """A file of targets."""

    targets: tuple[Target, ...]
    """What must hold."""


def read_targets(path: Path, scenario: Scenario) -> tuple[Target, ...]:
    """Return the targets of a YAML file: a block ``targets`` as in a scenario.

    Parameters
    ----------
    path : Path
        The file.
    scenario : Scenario
        The scenario they are to judge; its metrics are known.

    Raises
    ------
    ScenarioError
        With everything that is wrong with the file.
    """
    flaws: list[Flaw] = []
    root = read_document(path, str(path), flaws)
    if root is None or flaws:
        raise ScenarioError(flaws)
    try:
        # Through JSON, as scenarios are: it turns lists into tuples and nothing else.
        targets = _File.model_validate_json(json.dumps(root.plain()), strict=True).targets
    except ValidationError as error:
        raise ScenarioError(schema_flaws(error.errors(include_url=False), root)) from None
    flaws += _unknown_metrics(targets, scenario, root)
    if not targets:
        flaws.append(Flaw(place(root.origin, (_KEY,)), "must have at least one row"))
    if flaws:
        raise ScenarioError(flaws)
    return targets


def _unknown_metrics(targets: tuple[Target, ...], scenario: Scenario, root: Node) -> list[Flaw]:
    groups = metric_groups(scenario)
    flaws = []
    for index, target in enumerate(targets):
        where = (_KEY, index, "metric")
        try:
            check_metric(parse_metric(target.metric), groups)
        except ValueError as error:
            message = f"{target.metric!r}: {error}"
            flaws.append(Flaw(place(root.nearest(where).origin, where), message))
    return flaws
