"""Around the portal: the window in time, faults, targets, budget, and how to execute."""

import datetime as dt
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from sim.scenario.base import Name, Share, Spec
from sim.scenario.quantities import Bytes, Seconds

Positive = Annotated[Seconds, Field(gt=0)]

FAULT_TARGETS = {
    "server_lost": "tiers",
    "tier_slow": "tiers",
    "gateway_slow": "gateways",
    "gateway_down": "gateways",
    "gateway_silent": "gateways",
    "link_slow": "links",
    "job_stopped": "jobs",
}
"""Kind of fault → block of the portal it strikes."""

_ISO_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[-+]\d{2}:\d{2})?)?"
)


def _local_time(value: Any) -> Any:
    """Read ISO 8601 only: a bare number is no time, although pydantic would take it for one."""
    if isinstance(value, dt.datetime):
        return value
    if not isinstance(value, str) or not _ISO_TIME.fullmatch(value):
        raise ValueError("must be a local date and time, such as 2024-11-25T08:00")
    return dt.datetime.fromisoformat(value)


_FIRST_YEAR = 1900
_LAST_YEAR = 2200
"""Far enough from the first and the last date there is for backlogs and terms of decades."""


class Window(Spec):
    """The stretch of time that is simulated, and the part of it that is judged."""

    start: Annotated[dt.datetime, BeforeValidator(_local_time)]
    """Local date and time of the start, such as ``2024-11-25T08:00``."""
    duration_s: Annotated[Seconds, Field(gt=0, le=400 * 86400)]
    """Length; sessions arrive until its end."""
    warm_up_s: Annotated[Seconds, Field(ge=0)] = 0.0
    """Part at the start that is not judged."""
    drain_s: Annotated[Seconds, Field(ge=0)] = 3600.0
    """How long after the end running sessions may go on; what is open then is abandoned."""

    @model_validator(mode="after")
    def _check_warm_up(self) -> "Window":
        if self.warm_up_s >= self.duration_s:
            raise ValueError(
                f"warm_up_s {self.warm_up_s:g} must be shorter than duration_s {self.duration_s:g}"
            )
        if self.start.tzinfo is not None:
            raise ValueError("start is local time: leave the time zone out")
        if not _FIRST_YEAR <= self.start.year <= _LAST_YEAR:
            raise ValueError(
                f"start {self.start:%Y-%m-%d} must lie in the years {_FIRST_YEAR} to {_LAST_YEAR}"
            )
        return self


class Fault(Spec):
    """Something breaks for a while."""

    kind: Literal[
        "server_lost",
        "tier_slow",
        "gateway_slow",
        "gateway_down",
        "gateway_silent",
        "link_slow",
        "job_stopped",
    ]
    """What happens; a silent gateway never answers, one that is down refuses at once."""
    target: Name
    """Which tier, gateway, link or job."""
    from_s: Annotated[Seconds, Field(ge=0)]
    """Start, s from the window's start."""
    to_s: Annotated[Seconds, Field(gt=0)]
    """End, s from the window's start."""
    factor: Annotated[float, Field(gt=1, le=1000)] | None = None
    """How many times slower; for the slow kinds."""
    servers: Annotated[int, Field(ge=1)] | None = None
    """How many servers are lost; for ``server_lost``."""

    @model_validator(mode="after")
    def _check_fields(self) -> "Fault":
        if self.to_s <= self.from_s:
            raise ValueError(f"to_s {self.to_s:g} must be later than from_s {self.from_s:g}")
        if self.kind.endswith("_slow") != (self.factor is not None):
            raise ValueError(
                "factor must be given for tier_slow, gateway_slow, link_slow, only there"
            )
        if (self.kind == "server_lost") != (self.servers is not None):
            raise ValueError("servers must be given for server_lost, and only there")
        return self


class Target(Spec):
    """What must hold: one bound on one metric."""

    metric: str
    """Metric, such as ``submit.response_s.p95``."""
    at_most: Seconds | None = None
    """Upper bound, in the metric's unit; a duration may have a unit (``500 ms``)."""
    at_least: Seconds | None = None
    """Lower bound, in the metric's unit; a duration may have a unit."""

    @model_validator(mode="after")
    def _check_bound(self) -> "Target":
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("give at_most or at_least, exactly one")
        return self


class AbortRule(Spec):
    """When a load test stops early; the simulator ignores it."""

    metric: str
    """Metric of requests, second by second, such as ``all.failed_share``."""
    above: Seconds | None = None
    """Stops when the metric stays above this, in its unit."""
    below: Seconds | None = None
    """Stops when the metric stays below this, in its unit."""
    for_s: Positive = 10.0
    """How long without interruption, s."""
    grace_s: Annotated[Seconds, Field(ge=0)] = 30.0
    """How long after the start nothing is judged, s."""

    @model_validator(mode="after")
    def _check_bound(self) -> "AbortRule":
        if (self.above is None) == (self.below is None):
            raise ValueError("give above or below, exactly one")
        return self


class Budget(Spec):
    """What the city may spend, and what capacity costs."""

    total_vnd_per_year: Annotated[float, Field(gt=0)]
    """Yearly budget of the digital programme, VND."""
    projects: Annotated[int, Field(ge=1)]
    """Projects it is spread over."""
    core_vnd_per_month: Annotated[float, Field(ge=0)]
    """Price of one processor core with its memory, VND a month."""
    officer_vnd_per_month: Annotated[float, Field(ge=0)] | None = None
    """Cost of one officer, VND a month; absent: not told."""


class Execution(Spec):
    """How often to repeat and when to stop."""

    replications: Annotated[int, Field(ge=1, le=10_000)] = 5
    """Replications at least."""
    max_replications: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Replications at most, when ``relative_half_width`` is not reached; absent: no more."""
    relative_half_width: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Stop once every target's interval is this narrow, relative to its value; absent: fixed."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """Confidence of every interval."""
    level_interval_s: Positive = 60.0
    """Length of the intervals over which utilisation and queues are averaged, s."""
    memory: Annotated[Bytes, Field(ge=64e6)] | None = None
    """Memory that all processes of a machine together may take, bytes, such as ``4 GB``; absent:
    half of the machine's. Replications that do not fit are simulated piece by piece, with the same
    records."""

    @model_validator(mode="after")
    def _check_replications(self) -> "Execution":
        if self.max_replications is not None and self.max_replications < self.replications:
            raise ValueError(
                f"max_replications {self.max_replications} must be at least "
                f"replications {self.replications}"
            )
        return self


class City(Spec):
    """The city the scenario speaks of; figures for the report."""

    name: str
    """Name of the city."""
    population: Annotated[int, Field(ge=1)] | None = None
    """Inhabitants."""
    one_stop_units: Annotated[int, Field(ge=1)] | None = None
    """One-stop units that receive dossiers."""
    full_process_dossier_share: Share | None = None
    """Share of dossiers filed fully online, as reported."""
