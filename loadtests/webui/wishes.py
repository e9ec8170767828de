"""What a person asks for in the start form, and the order that comes of it."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue, TypeAdapter

from loadtests.dialects import services_of
from loadtests.monitor import KEY_VARIABLE
from loadtests.ordering import Ask, make_order
from loadtests.work import LoadError, Order, Plan, remove_work
from sim.demand import catalogue_of
from sim.scenario.scenario import Scenario

FIELDS = ("scenario", "overrides", "replication", "max_time")
"""Options of the command line that are fields of the start form."""

_LISTED = 3


@dataclass(frozen=True, slots=True)
class Wish:
    """Which question is put to the portal.

    Attributes
    ----------
    scenario : str
        Name or file of a scenario.
    overrides : tuple of str
        Changes to it, ``key=value``.
    replication : int
        Which replication's demand, >= 0.
    max_time_s : float or None
        The test ends then, s; None: when the scenario does.
    """

    scenario: str
    overrides: tuple[str, ...] = ()
    replication: int = 0
    max_time_s: float | None = None

    @classmethod
    def of_order(cls, order: Order) -> "Wish":
        """Return what an order was made for."""
        plan, window = order.plan, order.scenario.window
        is_shorter = plan.max_time_s < window.duration_s + window.drain_s
        return cls(
            scenario=plan.scenario,
            overrides=plan.overrides,
            replication=plan.replication,
            max_time_s=plan.max_time_s if is_shorter else None,
        )

    @classmethod
    def from_json(cls, values: Mapping[str, JsonValue]) -> "Wish":
        """Return what ``dataclasses.asdict`` gave, after JSON."""
        return TypeAdapter(cls).validate_python(values)

    @classmethod
    def from_form(cls, form: Mapping[str, str], before: "Wish") -> "Wish":
        """Return what a form asks for; what it leaves out is as before.

        Raises
        ------
        LoadError
            When a field is filled in wrongly.
        """
        return cls(
            scenario=form.get("scenario", before.scenario).strip() or before.scenario,
            overrides=_words(form["overrides"]) if "overrides" in form else before.overrides,
            replication=_whole(form.get("replication", str(before.replication))),
            max_time_s=_seconds(form["max_time"]) if "max_time" in form else before.max_time_s,
        )


def order_of(wish: Wish, plan: Plan, known: Scenario, authorisation: str | None) -> Order:
    """Return the order of a wish, drawn and saved in a folder of its own.

    Parameters
    ----------
    wish : Wish
        What is asked for.
    plan : Plan
        What the load test was started with; whatever a wish does not say is taken from it.
    known : Scenario
        What a stand-in portal was started with.
    authorisation : str, optional
        File with the permission to load the host.

    Raises
    ------
    LoadError
        When the wish cannot be fulfilled; its text tells why.
    """
    order = make_order(
        Ask(
            scenario=wish.scenario,
            host=plan.host,
            overrides=wish.overrides,
            replication=wish.replication,
            dialect=plan.dialect,
            max_sessions=plan.max_sessions,
            max_requests=plan.max_requests,
            max_time_s=wish.max_time_s,
            smoke_journey=plan.smoke_journey,
            results=Path(plan.results),
            authorisation=Path(authorisation) if authorisation else None,
            collects=plan.collects,
            parent=plan.parent,
        )
    )
    if KEY_VARIABLE in os.environ:
        _check_catalogue(order, known)
    return order


def _check_catalogue(order: Order, known: Scenario) -> None:
    """Refuse what a stand-in portal, started with another catalogue, would answer with failures."""
    there = services_of(catalogue_of(known))
    wanted = services_of(catalogue_of(order.scenario))
    unknown = [code for code in order.trace.services if wanted.get(code) != there.get(code)]
    if unknown:
        remove_work(order.folder)
        listed = ", ".join(unknown[:_LISTED]) + (", …" if len(unknown) > _LISTED else "")
        raise LoadError(
            f"the stand-in portal was started with the catalogue of {known.name}; "
            f"{len(unknown):,} services of {order.scenario.name} are not in it or differ "
            f"({listed}). Start another load test: {_command(order)}"
        )


def _command(order: Order) -> str:
    changes = [text for change in order.plan.overrides for text in ("--set", change)]
    return shlex.join(["hoso", "load", order.plan.scenario, *changes, "--web"])


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise LoadError(f"overrides: {text}: {error}") from error


def _whole(text: str) -> int:
    if not text.strip().isdecimal():
        raise LoadError(f"replication: {text} must be a whole number, 0 or above")
    return int(text)


def _seconds(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        time_s = float(text)
    except ValueError:
        time_s = 0.0
    if not 0.0 < time_s < float("inf"):
        raise LoadError(f"max time: {text} must be a number of seconds above 0, or empty")
    return time_s
