"""Knobs: the counts that sizing may change, and what screening knows of them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sim.analytic import Prediction, predict, predict_offices
from sim.scenario.backoffice import Backoffice, Team
from sim.scenario.metric_names import BACKOFFICE
from sim.scenario.portal import Portal
from sim.scenario.scenario import Scenario

Counts = dict[str, int]
"""Value of every knob by its key."""

COMFORT = 0.85
"""Load over capacity from which screening starts the search; the simulation decides."""

OFFICERS = "officers_per_office"
"""Field of a team that sizing sets."""

_SPREAD = 4.0
"""Tokens above the mean number held where screening starts, in its square roots."""


@dataclass(frozen=True, slots=True)
class Knob:
    """One count to be sized.

    Attributes
    ----------
    key : str
        Place in the scenario, such as ``portal.tiers.app.servers``.
    kind : {"servers", "cores", "workers", "tokens", "officers"}
        What it counts; cores where a single server is scaled up, officers of a team in all offices
        of its group together.
    station : str
        Station whose utilisation it decides.
    cores : float
        Processor cores that one more of it costs.
    at_least : int
        Fewer are unstable under the mean load of the peak interval.
    start : int
        Where the search starts.
    """

    key: str
    kind: Literal["servers", "cores", "workers", "tokens", "officers"]
    station: str
    cores: float
    at_least: int
    start: int

    @property
    def tier(self) -> str:
        """Tier or pool it belongs to."""
        return self.key.split(".")[2]


def knobs_of(scenario: Scenario) -> list[Knob]:
    """Return the knobs of a scenario, the costliest first.

    Of a portal: tiers with autoscaling find their servers themselves and are left alone. A tier
    that is one server behind one queue is scaled up by cores, any other by servers. Worker and
    connection counts are per server where each server has its own. Officers are sized where the
    offices are fed straight from the demand: otherwise their number would change the portal's
    demand from candidate to candidate.
    """
    if not scenario.has_portal:
        return list(_officer_knobs(scenario))
    prediction = predict(scenario)
    processors = list(_processor_knobs(scenario, prediction))
    servers = {name: tier.servers for name, tier in scenario.portal.tiers.items()}
    servers |= {knob.tier: knob.start for knob in processors if knob.kind == "servers"}
    tokens = _token_knobs(scenario.portal, servers, prediction)
    return sorted([*processors, *tokens], key=lambda knob: -knob.cores)


def counts_of(scenario: Scenario, knobs: list[Knob]) -> Counts:
    """Return the present value of every knob."""
    return {knob.key: int(_at(scenario, knob.key)) for knob in knobs}


def with_counts(scenario: Scenario, counts: Mapping[str, int]) -> Scenario:
    """Return the scenario with other counts; sized teams have no changes of their roster."""
    data = scenario.model_dump(mode="json")
    for key, count in counts.items():
        *parents, last = key.split(".")
        block = data
        for parent in parents:
            block = block[parent]
        block[last] = count if last != OFFICERS else count / _per(scenario, key)
        if last == OFFICERS:
            block["roster"] = []
    return Scenario.model_validate(data)


def written(scenario: Scenario, counts: Mapping[str, int]) -> dict[str, str]:
    """Return by their places the values that state these counts in a scenario, as YAML."""
    values: dict[str, str] = {}
    for key, count in counts.items():
        if not key.endswith(OFFICERS):
            values[key] = str(count)
            continue
        values[key] = f"{count / _per(scenario, key):.10g}"
        if _team(scenario, key).roster:
            values[key.removesuffix(OFFICERS) + "roster"] = "[]"
    return values


def officers_in_all(scenario: Scenario) -> int:
    """Return the officers of a scenario's offices."""
    offices = scenario.backoffice
    if offices is None:
        return 0
    return sum(
        _officers(offices, group, team.officers_per_office) for group, _, team in offices.teams()
    )


def cores_in_all(scenario: Scenario) -> int:
    """Return the processor cores of a scenario's tiers."""
    return sum(tier.servers * tier.cores for tier in scenario.portal.tiers.values())


def _officer_knobs(scenario: Scenario) -> Iterator[Knob]:
    offices = scenario.backoffice
    assert offices is not None
    loads = {load.role: load for load in predict_offices(scenario).roles}
    for group, name, team in offices.teams():
        load = loads[f"{group}.{name}"]
        if not load.offered_s:
            continue
        needed = _officers(offices, group, team.officers_per_office) * load.utilisation
        # Each office has at least one, or its dossiers would never be done.
        yield Knob(
            key=f"backoffice.offices.{group}.teams.{name}.{OFFICERS}",
            kind="officers",
            station=f"{BACKOFFICE}.{group}.{name}",
            cores=0.0,
            at_least=max(load.offices, _whole(needed)),
            start=max(load.offices, _whole(needed / COMFORT)),
        )


def _officers(offices: Backoffice, group: str, per_office: float) -> int:
    """Return the officers of a team in all offices of its group, as they are spread."""
    return math.floor(per_office * offices.offices[group].count + 0.5)


def _processor_knobs(scenario: Scenario, prediction: Prediction) -> Iterator[Knob]:
    portal = scenario.portal
    offered = _offered(prediction, "processor")
    for name, tier in portal.tiers.items():
        station = f"{name}.cpu"
        if tier.autoscaling is not None or not offered.get(station):
            continue
        is_scaled_up = tier.servers == 1 and tier.balancing == "shared"
        unit = 1 if is_scaled_up else tier.cores
        # More servers than a fault takes away must exist, or the fault is another one.
        lost = 0 if is_scaled_up else _servers_lost(scenario, name)
        yield Knob(
            key=f"portal.tiers.{name}.{'cores' if is_scaled_up else 'servers'}",
            kind="cores" if is_scaled_up else "servers",
            station=station,
            cores=unit,
            at_least=max(lost, _whole(offered[station] / unit)),
            start=max(lost, _whole(offered[station] / unit / COMFORT)),
        )


def _servers_lost(scenario: Scenario, tier: str) -> int:
    """Return the most servers that one fault takes from a tier."""
    return max((fault.servers or 0 for fault in scenario.faults if fault.target == tier), default=0)


def _token_knobs(
    portal: Portal, servers: Mapping[str, int], prediction: Prediction
) -> Iterator[Knob]:
    workers, tokens = _offered(prediction, "workers"), _offered(prediction, "pool")
    for name, tier in portal.tiers.items():
        station = f"{name}.workers"
        if tier.workers is not None and workers.get(station):
            yield _token_knob(
                f"portal.tiers.{name}.workers", "workers", station, workers[station] / servers[name]
            )
    for name, pool in portal.pools.items():
        if tokens.get(name):
            pools = 1 if pool.per_server_of is None else servers[pool.per_server_of]
            yield _token_knob(f"portal.pools.{name}.capacity", "tokens", name, tokens[name] / pools)


def _token_knob(key: str, kind: Literal["workers", "tokens"], station: str, held: float) -> Knob:
    start = _whole(held + _SPREAD * math.sqrt(held))
    return Knob(key, kind, station, 0.0, _whole(held), start)


def _offered(prediction: Prediction, kind: str) -> dict[str, float]:
    return {load.name: load.offered_peak for load in prediction.stations if load.kind == kind}


def _whole(load: float) -> int:
    """Return the smallest whole capacity above a load, at least 1."""
    return max(1, math.floor(load) + 1)


def _at(scenario: Scenario, key: str) -> int:
    part: object = scenario
    for name in key.split("."):
        part = part[name] if isinstance(part, Mapping) else getattr(part, name)
    assert isinstance(part, int | float)
    return math.floor(part * _per(scenario, key) + 0.5)


def _team(scenario: Scenario, key: str) -> Team:
    assert scenario.backoffice is not None
    _, _, group, _, team, _ = key.split(".")
    return scenario.backoffice.offices[group].teams[team]


def _per(scenario: Scenario, key: str) -> int:
    """Return over how many offices a count is spread in a scenario; 1 for what is no office's."""
    if not key.endswith(OFFICERS):
        return 1
    assert scenario.backoffice is not None
    return scenario.backoffice.offices[key.split(".")[2]].count
