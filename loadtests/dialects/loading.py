"""Choosing a dialect by name, and checking that it can send what a scenario asks for."""

import importlib
from collections.abc import Callable

from loadtests.dialects.base import Credentials, Dialect, DialectError
from sim.scenario import Scenario

DIALECTS = {
    "opencps": "loadtests.dialects.opencps:opencps_dialect",
    "national": "loadtests.dialects.national:national_dialect",
}
"""Shipped dialects: name and where its factory is."""

_MEMBERS = ("name", "endpoints", "visitor")

Factory = Callable[[Scenario, str, Credentials], Dialect]


def make_dialect(
    name: str, scenario: Scenario, run_reference: str, credentials: Credentials
) -> Dialect:
    """Return a dialect, shipped or a vendor's own.

    Parameters
    ----------
    name : str
        ``opencps``, ``national`` or ``module:factory``; the factory is called with the three
        other arguments and returns a :class:`Dialect`.
    scenario : Scenario
        The question of the run.
    run_reference : str
        ``hoso-<run id>``; every dossier of the run carries it.
    credentials : Credentials
        Secrets from the environment.

    Raises
    ------
    DialectError
        When there is no such dialect, or what the factory returns is none.
    """
    dialect = _factory(DIALECTS.get(name, name))(scenario, run_reference, credentials)
    missing = [member for member in _MEMBERS if not hasattr(dialect, member)]
    if missing:
        raise DialectError(
            f"dialect {name}: what it returns has no {', no '.join(missing)}; see docs/dialects.md"
        )
    return dialect


def check_endpoints(scenario: Scenario, dialect: Dialect) -> None:
    """Refuse a scenario whose journeys send what the dialect cannot.

    Raises
    ------
    DialectError
        Names every such endpoint and the journeys that send it.
    """
    senders: dict[str, list[str]] = {}
    for name, journey in scenario.journeys.items():
        for endpoint in {call for step in journey.steps for call in step.calls}:
            if endpoint not in dialect.endpoints:
                senders.setdefault(endpoint, []).append(name)
    if senders:
        listing = "; ".join(
            f"{endpoint} (sent by {', '.join(sorted(names))})"
            for endpoint, names in sorted(senders.items())
        )
        raise DialectError(
            f"dialect {dialect.name} cannot send: {listing}. "
            "Choose another dialect, or remove these calls from the journeys"
        )


def _factory(place: str) -> Factory:
    """Import ``module:factory``."""
    module_name, colon, factory_name = place.partition(":")
    if not colon or not module_name or not factory_name:
        raise DialectError(
            f"dialect {place}: is none of {', '.join(DIALECTS)} and no module:factory"
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise DialectError(
            f"dialect {place}: module {module_name} cannot be imported ({error}); "
            "install it, or name its folder in PYTHONPATH"
        ) from error
    factory: Factory | None = getattr(module, factory_name, None)
    if not callable(factory):
        raise DialectError(f"dialect {place}: {module_name} has no function {factory_name}")
    return factory
