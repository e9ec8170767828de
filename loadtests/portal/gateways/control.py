"""How a gateway behaves, and changing it while it runs."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from loadtests.portal.gateways.wire import Json
from sim.scenario.base import Distribution, Share, Spec
from sim.scenario.portal import Count
from sim.scenario.portal import Gateway as GatewaySpec
from sim.scenario.quantities import PerSecond

MAX_FACTOR = 1000.0
"""Slowest; as in a scenario's faults."""


class Behaviour(Spec):
    """How one gateway behaves now."""

    latency: Distribution = Distribution(mean_s=0.0)
    """Time until it answers, such as ``lognormal 400 ms cv 1``."""
    latency_factor: Annotated[float, Field(gt=0, le=MAX_FACTOR)] = 1.0
    """How many times longer it takes at the moment."""
    concurrency: Count | None = None
    """Calls worked on at once; more wait in turn. None: no limit."""
    rate_limit_per_s: Annotated[PerSecond, Field(gt=0)] | None = None
    """Calls accepted per second; more are answered 429. None: no limit."""
    burst: Count = 10
    """Calls accepted at once, before the rate limit holds."""
    error_share: Share = 0.0
    """Share of answers that are errors."""
    down: bool = False
    """Whether every call is answered 503 at once."""
    silent: bool = False
    """Whether no call is answered until this ends."""

    @classmethod
    def of(cls, spec: GatewaySpec | None) -> "Behaviour":
        """Return the behaviour a scenario states; without one, it answers at once."""
        if spec is None:
            return cls()
        return cls(
            latency=spec.latency,
            concurrency=spec.concurrency,
            rate_limit_per_s=spec.rate_limit_per_s,
            burst=spec.burst,
            error_share=spec.error_share,
        )


class ControlError(Exception):
    """A change is wrong; its text is one line per fault."""


def changed(behaviour: Behaviour, changes: Mapping[str, Json], name: str) -> Behaviour:
    """Return a behaviour with some of its fields changed.

    Parameters
    ----------
    behaviour : Behaviour
        As it is.
    changes : mapping
        New values by field name; texts with units are allowed where scenarios allow them.
    name : str
        Name of the gateway, for messages.

    Raises
    ------
    ControlError
        When a field is unknown or a value is not allowed; it names every fault.
    """
    fields = Behaviour.model_fields
    faults = [
        f"{name}.{field}: unknown; allowed: {', '.join(fields)}"
        for field in changes
        if field not in fields
    ]
    known = {field: value for field, value in changes.items() if field in fields}
    try:
        after = Behaviour.model_validate(behaviour.model_dump() | known, strict=True)
    except ValidationError as error:
        faults += [_fault(name, fault) for fault in error.errors()]
    if faults:
        raise ControlError("\n".join(dict.fromkeys(faults)))
    return after


def _fault(name: str, fault: ErrorDetails) -> str:
    message = fault["msg"].removeprefix("Value error, ").replace("Input should", "must", 1)
    return f"{name}.{fault['loc'][0]}: {fault['input']!r} {message}"
