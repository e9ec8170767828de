"""Cross-checks: what the schema cannot see because it concerns several parts of a scenario."""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from sim.scenario.backoffice_checks import check_backoffice
from sim.scenario.errors import Path, advice
from sim.scenario.journey_checks import check_journeys
from sim.scenario.metric_names import (
    BACKOFFICE,
    DOMAIN_PREFIX,
    OFFICES_PREFIX,
    check_metric,
    metric_groups,
    named_groups,
    parse_metric,
)
from sim.scenario.program_checks import check_programs
from sim.scenario.run import FAULT_TARGETS, Fault
from sim.scenario.scenario import Scenario

Finding = tuple[Path, str]
"""A place in the scenario and what is wrong there."""

_TOLERANCE = 1e-6
"""Room for rounding in shares that sum to 1."""


def check_scenario(scenario: Scenario) -> Iterator[Finding]:
    """Yield every fault of a scenario that fits the schema, each with its place."""
    yield from check_demand(scenario)
    yield from check_channels(scenario)
    yield from check_journeys(scenario)
    yield from check_programs(scenario.portal)
    yield from check_names(scenario)
    yield from check_faults(scenario)
    yield from check_targets(scenario)
    yield from check_abort_rules(scenario)
    yield from check_backoffice(scenario)


def check_demand(scenario: Scenario) -> Iterator[Finding]:
    """Yield journeys and hour shapes that do not exist, and events outside the window."""
    demand = scenario.demand
    for name, made in demand.journeys.items():
        path: Path = ("demand", "journeys", name)
        if name not in scenario.journeys:
            yield path, f"{name!r} is no journey" + advice(name, scenario.journeys)
        if made.hours not in demand.hours:
            yield (
                (*path, "hours"),
                f"{made.hours!r} is no hour shape" + advice(made.hours, demand.hours),
            )
    for index, event in enumerate(demand.events):
        row: Path = ("demand", "events", index)
        for position, name in enumerate(event.journeys):
            if name not in scenario.journeys:
                known = advice(name, scenario.journeys)
                yield (*row, "journeys", position), f"{name!r} is no journey{known}"
        yield from _check_starts_inside(event.from_s, scenario, (*row, "from_s"))


def check_channels(scenario: Scenario) -> Iterator[Finding]:
    """Yield a fault when the channels' shares do not sum to 1."""
    total = sum(channel.share for channel in scenario.channels.values())
    if abs(total - 1) > _TOLERANCE:
        yield ("channels",), f"shares sum to {total:.6g}, they must sum to 1"


def check_names(scenario: Scenario) -> Iterator[Finding]:
    """Yield names that would make a program or a metric ambiguous."""
    portal = scenario.portal
    for name in portal.pools:
        if name in portal.tiers:
            yield ("portal", "pools", name), f"{name!r} is also a tier; programs could mean either"
    sizes = Counter(endpoint.group for endpoint in portal.endpoints.values())
    shared = {
        name
        for name, endpoint in portal.endpoints.items()
        if endpoint.group == name and sizes[name] == 1
    }
    times = Counter(name for name, _ in named_groups(scenario))
    for name, n_times in times.items():
        if n_times > 1 + (name in shared):
            bearers = _bearers(scenario, name)
            told = ", ".join(text for _, text in bearers)
            yield bearers[0][0], f"{name!r} names several groups of metrics: {told}; rename one"


def check_faults(scenario: Scenario) -> Iterator[Finding]:
    """Yield faults that strike nothing, strike twice at once, or begin after the end."""
    for index, fault in enumerate(scenario.faults):
        path: Path = ("faults", index)
        yield from _check_target(fault, scenario, path)
        yield from _check_starts_inside(fault.from_s, scenario, (*path, "from_s"))
    for (first, one), (second, other) in combinations(enumerate(scenario.faults), 2):
        is_same = (one.kind, one.target) == (other.kind, other.target)
        if is_same and one.from_s < other.to_s and other.from_s < one.to_s:
            yield (
                ("faults", second),
                f"{other.kind} of {other.target} from {other.from_s:g} s to {other.to_s:g} s "
                f"overlaps faults.{first}, from {one.from_s:g} s to {one.to_s:g} s; "
                "one at a time",
            )


def check_targets(scenario: Scenario) -> Iterator[Finding]:
    """Yield metrics that this scenario does not have."""
    groups = metric_groups(scenario)
    for index, target in enumerate(scenario.targets):
        try:
            check_metric(parse_metric(target.metric), groups)
        except ValueError as error:
            yield ("targets", index, "metric"), f"{target.metric!r}: {error}"


def check_abort_rules(scenario: Scenario) -> Iterator[Finding]:
    """Yield abort rules on what a second of a load test does not show, and impossible bounds."""
    groups = metric_groups(scenario)
    for index, rule in enumerate(scenario.abort):
        path: Path = ("abort", index)
        try:
            metric = parse_metric(rule.metric)
            check_metric(metric, groups)
        except ValueError as error:
            yield (*path, "metric"), f"{rule.metric!r}: {error}"
            continue
        is_share = metric.quantity.endswith("_share")
        if groups[metric.group] != "requests" or not (is_share or metric.quantity == "response_s"):
            yield (
                (*path, "metric"),
                f"{rule.metric!r} is not seen second by second; allowed: response_s and the "
                "shares of all, of an endpoint or of a group of endpoints",
            )
        for key, bound in (("above", rule.above), ("below", rule.below)):
            if bound is not None and not 0 <= bound <= (1 if is_share else math.inf):
                limit = "a share between 0 and 1" if is_share else "at least 0"
                yield (*path, key), f"{bound:g} must be {limit}"


def _check_target(fault: Fault, scenario: Scenario, path: Path) -> Iterator[Finding]:
    block = FAULT_TARGETS[fault.kind]
    known: dict[str, object] = dict(getattr(scenario.portal, block))
    if fault.target not in known:
        told = f"{fault.target!r} is not among portal.{block}, which {fault.kind} strikes"
        yield (*path, "target"), told + advice(fault.target, known)
        return
    if fault.servers is None:
        return
    tier = scenario.portal.tiers[fault.target]
    most = tier.autoscaling.max_servers if tier.autoscaling else tier.servers
    if fault.servers > most:
        yield (
            (*path, "servers"),
            f"{fault.servers} must be at most {most}, the servers of {fault.target!r}",
        )


def _check_starts_inside(from_s: float, scenario: Scenario, path: Path) -> Iterator[Finding]:
    duration_s = scenario.window.duration_s
    if from_s >= duration_s:
        yield path, f"{from_s:g} s must be less than window.duration_s {duration_s:g} s"


def _bearers(scenario: Scenario, name: str) -> list[tuple[Path, str]]:
    """Return the parts of a scenario that give a group of metrics this name."""
    portal = scenario.portal
    found: list[tuple[Path, str]] = [
        (("portal", block, name), f"portal.{block}.{name}")
        for block in ("endpoints", "pools", "gateways", "links", "jobs")
        if name in getattr(portal, block)
    ]
    found += [
        (("portal", "endpoints", endpoint, "group"), f"the group of endpoint {endpoint}")
        for endpoint, spec in portal.endpoints.items()
        if spec.group == name and endpoint != name
    ][:1]
    found += [
        (("journeys", journey), f"journey {journey}")
        for journey in scenario.journeys
        if f"journey_{journey}" == name
    ]
    found += _bearers_of_offices(scenario, name)
    return [*found, ((), "a group of every scenario")] if name in ("all", "dossiers") else found


def _bearers_of_offices(scenario: Scenario, name: str) -> list[tuple[Path, str]]:
    """Return the parts of the offices that give a group of metrics this name."""
    offices = scenario.backoffice
    if offices is None:
        return []
    groups: tuple[tuple[str, Path, str], ...] = (
        (BACKOFFICE, ("backoffice",), "the dossiers of all offices"),
        *(
            (OFFICES_PREFIX + group, ("backoffice", "offices", group), f"the dossiers of {group}")
            for group in offices.offices
        ),
        *(
            (DOMAIN_PREFIX + domain, ("catalogue", "domains", domain), f"the dossiers of {domain}")
            for domain in scenario.catalogue.domains
        ),
        *(
            (
                f"{BACKOFFICE}.{group}.{team}",
                ("backoffice", "offices", group, "teams", team),
                f"team {team} of {group}",
            )
            for group, team, _ in offices.teams()
        ),
        *(
            (f"{BACKOFFICE}.{office}", ("backoffice", "offices", group), f"office {office}")
            for office, group in offices.office_names()
        ),
    )
    return [(path, told) for group, path, told in groups if group == name]
