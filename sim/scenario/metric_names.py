"""Names of metrics, ``group.quantity.statistic``: one grammar for targets and estimators."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sim.scenario.backoffice import Backoffice
from sim.scenario.errors import advice
from sim.scenario.portal import Portal, Tier
from sim.scenario.scenario import Scenario

Kind = Literal[
    "requests",
    "journey",
    "station",
    "job",
    "dossiers",
    "offices",
    "role",
    "office",
    "state",
    "outbox",
]
"""What a group is a group of. Of the offices: dossiers of the city, of a group of offices or of a
domain; the officers of one role; one office; dossiers in one state; rows that wait to be sent."""

TIMES = ("mean", "p50", "p90", "p95", "p99", "max")
"""Statistics of a duration."""
LEVELS = ("mean", "max")
"""Statistics of a level over intervals."""
AGES = ("mean", "p50", "p90", "max")
"""Statistics of the age of what is open."""

_STATION: dict[str, tuple[str, ...]] = {"utilisation": LEVELS, "queue": LEVELS}

QUANTITIES: dict[Kind, dict[str, tuple[str, ...]]] = {
    "requests": {
        "response_s": TIMES,
        "wait_s": TIMES,
        "rate_per_s": (),
        "ok_share": (),
        "rejected_share": (),
        "timed_out_share": (),
        "failed_share": (),
        "abandoned_share": (),
    },
    "journey": {"duration_s": TIMES, "completed_share": (), "rate_per_s": ()},
    "station": _STATION,
    "job": _STATION | {"queue_age_s": ("max",)},
    "dossiers": {"sync_s": TIMES, "synced_share": (), "duplicate_share": (), "per_s": ()},
    "offices": {
        "on_time_share": (),
        "late_reception_share": (),
        "late_by_sync_share": (),
        "reception_s": TIMES,
        "lead_s": TIMES,
        "waiting_officer_s": TIMES,
        "working_s": TIMES,
        "waiting_citizen_s": TIMES,
        "waiting_agency_s": TIMES,
        "backlog_end": (),
        "overdue_end": (),
        "backlog_age_s": AGES,
        "supplement_share": (),
        "refused_share": (),
        "withdrawn_share": (),
        "apology_share": (),
        "notice_late_share": (),
        "decided_per_day": (),
    },
    "role": _STATION,
    "office": _STATION,
    "state": {"queue": LEVELS},
    "outbox": {"queue": LEVELS, "queue_age_s": ("max",)},
}
"""Quantities of each kind of group, and their statistics; a quantity without has none."""

ALL = "all"
"""Group of all requests."""
DOSSIERS = "dossiers"
"""Group of the dossiers."""
JOURNEY_PREFIX = "journey_"
"""Starts the group of a journey's sessions."""
BACKOFFICE = "backoffice"
"""Group of all dossiers in the offices."""
OFFICES_PREFIX = "backoffice_"
"""Starts the group of the dossiers of a group of offices."""
DOMAIN_PREFIX = "domain_"
"""Starts the group of the dossiers of a domain."""
STATE_STATION_PREFIX = "backoffice.state."
"""Starts the station of the dossiers in one state."""

_OUTBOXES = (f"{BACKOFFICE}.intake", f"{BACKOFFICE}.publication")

STATES = (
    "synchronising",
    "receiving",
    "supplementing_at_reception",
    "paying",
    "assigning",
    "examining",
    "supplementing",
    "consulting",
    "approving",
    "signing",
    "releasing",
    "returned",
    "refused_at_reception",
    "refused",
    "withdrawn",
)
"""States of a dossier, by the value of ``sim.backoffice.workflow.State``."""

_STATISTICS = {
    quantity: statistics
    for quantities in QUANTITIES.values()
    for quantity, statistics in quantities.items()
}


@dataclass(frozen=True, slots=True)
class MetricName:
    """A metric's name, taken apart.

    Attributes
    ----------
    group : str
        Endpoint, endpoint group, ``all``, ``journey_<name>``, station, job, ``dossiers``,
        ``backoffice``, ``backoffice_<group of offices>`` or ``domain_<name>``.
    quantity : str
        What is measured, unit included, such as ``response_s``.
    statistic : str or None
        ``mean``, ``p95``, ``max``, …; None for a quantity that is one number.
    """

    group: str
    quantity: str
    statistic: str | None = None

    def __str__(self) -> str:
        """Return the name as it is written in a target."""
        parts = (self.group, self.quantity, self.statistic)
        return ".".join(part for part in parts if part is not None)


def parse_metric(text: str) -> MetricName:
    """Take a metric's name apart.

    A station's name may hold dots itself (``app[0].workers.queue.max``), so the name is read
    from its end.

    Raises
    ------
    ValueError
        When the quantity or the statistic is unknown; the text says what is allowed.
    """
    *group, quantity = text.split(".")
    statistic = None
    if group and quantity not in _STATISTICS and group[-1] in _STATISTICS:
        *group, quantity, statistic = *group, quantity
    elif quantity not in _STATISTICS and len(group) >= 2 and _looks_like_statistic(quantity):
        quantity = group.pop()
    if quantity not in _STATISTICS:
        raise ValueError(f"unknown quantity {quantity!r}" + advice(quantity, _STATISTICS))
    if not all(group) or not group:
        raise ValueError("must be group.quantity or group.quantity.statistic")
    _check_statistic(quantity, statistic)
    return MetricName(".".join(group), quantity, statistic)


def metric_groups(scenario: Scenario) -> dict[str, Kind]:
    """Return every group a metric of this scenario may name, and of what kind it is.

    Where two parts share a name (a fault of the scenario) the later kind in the order requests,
    journeys, stations, jobs, dossiers, offices is returned.
    """
    return dict(named_groups(scenario))


def named_groups(scenario: Scenario) -> Iterator[tuple[str, Kind]]:
    """Yield group and kind one by one, collisions included."""
    if scenario.has_portal:
        yield from _portal_groups(scenario)
    if scenario.backoffice is not None:
        yield from _office_groups(scenario, scenario.backoffice)


def _portal_groups(scenario: Scenario) -> Iterator[tuple[str, Kind]]:
    portal = scenario.portal
    yield ALL, "requests"
    for name in portal.endpoints:
        yield name, "requests"
    for name in dict.fromkeys(endpoint.group for endpoint in portal.endpoints.values()):
        yield name, "requests"
    for name in scenario.journeys:
        yield JOURNEY_PREFIX + name, "journey"
    for name in station_names(portal):
        yield name, "station"
    for name in portal.jobs:
        yield name, "job"
    yield DOSSIERS, "dossiers"


def _office_groups(scenario: Scenario, offices: Backoffice) -> Iterator[tuple[str, Kind]]:
    yield BACKOFFICE, "offices"
    for name in offices.offices:
        yield OFFICES_PREFIX + name, "offices"
    for name in _domains(scenario, offices):
        yield DOMAIN_PREFIX + name, "offices"
    for group, team, _ in offices.teams():
        yield f"{BACKOFFICE}.{group}.{team}", "role"
    for name, _ in offices.office_names():
        yield f"{BACKOFFICE}.{name}", "office"
    for name in STATES:
        yield STATE_STATION_PREFIX + name, "state"
    if offices.intake is not None and offices.fed_by == "demand":
        yield _OUTBOXES[0], "outbox"
    if offices.publication is not None:
        yield _OUTBOXES[1], "outbox"


def _domains(scenario: Scenario, offices: Backoffice) -> Iterable[str]:
    """Return the domains that the scenario names; a catalogue file may have more."""
    names = dict.fromkeys([*scenario.catalogue.domains, *offices.workflow.by_domain])
    for group in offices.offices.values():
        names |= dict.fromkeys(group.domains or ())
        for team in group.teams.values():
            names |= dict.fromkeys(team.domains or ())
    return names


def station_names(portal: Portal) -> Iterator[str]:
    """Yield the stations of a portal as the records name them, except its jobs."""
    for name, tier in portal.tiers.items():
        for mark in _marks(tier):
            yield f"{name}{mark}.workers"
            yield f"{name}{mark}.cpu"
    for name, pool in portal.pools.items():
        owner = None if pool.per_server_of is None else portal.tiers.get(pool.per_server_of)
        yield from (f"{name}{mark}" for mark in (_marks(owner) if owner else ("",)))
    yield from portal.gateways
    yield from portal.links


def is_mean_only(station: str) -> bool:
    """Return whether only the mean of a station's queue is recorded: of officers and states."""
    return station.startswith(f"{BACKOFFICE}.") and station not in _OUTBOXES


def check_metric(metric: MetricName, groups: Mapping[str, Kind]) -> None:
    """Check that a scenario has a metric.

    Parameters
    ----------
    metric : MetricName
        The metric.
    groups : mapping of str to kind
        From :func:`metric_groups`.

    Raises
    ------
    ValueError
        When the group is unknown or has no such quantity; the text says what is allowed.
    """
    if metric.group not in groups and ALL not in groups:
        raise ValueError(
            f"unknown group {metric.group!r}: backoffice.fed_by is demand, so no portal is "
            f"simulated and only dossiers and offices are measured{advice(metric.group, groups)}"
        )
    if metric.group not in groups:
        raise ValueError(f"unknown group {metric.group!r}" + advice(metric.group, groups))
    quantities = QUANTITIES[groups[metric.group]]
    if metric.quantity not in quantities:
        raise ValueError(
            f"{metric.group!r} has no {metric.quantity}" + advice(metric.quantity, quantities)
        )


def _marks(tier: Tier) -> tuple[str, ...]:
    """Return what follows the names of a tier's stations: nothing for all, an index for each."""
    if tier.balancing == "shared":
        return ("",)
    most = tier.autoscaling.max_servers if tier.autoscaling else tier.servers
    return ("", *(f"[{index}]" for index in range(most)))


def _looks_like_statistic(word: str) -> bool:
    return word in TIMES or (word[:1] == "p" and word[1:].isdigit())


def _check_statistic(quantity: str, statistic: str | None) -> None:
    allowed = _STATISTICS[quantity]
    if statistic is None and allowed:
        raise ValueError(f"{quantity} needs a statistic: one of {', '.join(allowed)}")
    if statistic is not None and not allowed:
        raise ValueError(f"{quantity} is one number; leave .{statistic} out")
    if statistic is not None and statistic not in allowed:
        raise ValueError(
            f"unknown statistic {statistic!r} of {quantity}" + advice(statistic, allowed)
        )
