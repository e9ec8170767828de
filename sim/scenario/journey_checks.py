"""Checks of journeys: what they refer to, that every step is reached, and that all of them end."""

from collections.abc import Iterator, Mapping, Sequence

from sim.scenario.demand import Journey, Step
from sim.scenario.errors import Path, advice
from sim.scenario.scenario import Scenario

_TOLERANCE = 1e-9
"""Room for rounding in a sum of probabilities."""

_END = ""
"""Where a session leaves; no step has this name."""


def check_journeys(scenario: Scenario) -> Iterator[tuple[Path, str]]:
    """Yield the faults of every journey."""
    for name, journey in scenario.journeys.items():
        path: Path = ("journeys", name)
        yield from _unknown(journey.client, scenario.clients, "client", (*path, "client"))
        if journey.channel is not None:
            yield from _unknown(journey.channel, scenario.channels, "channel", (*path, "channel"))
        for index, step in enumerate(journey.steps):
            row: Path = (*path, "steps", index)
            for endpoint in step.calls:
                endpoints = scenario.portal.endpoints
                yield from _unknown(endpoint, endpoints, "endpoint", (*row, "calls", endpoint))
            yield from _check_next(step, journey, row)
        yield from _check_flow(journey, (*path, "steps"))


def _unknown(
    name: str, known: Mapping[str, object], kind: str, path: Path
) -> Iterator[tuple[Path, str]]:
    if name not in known:
        yield path, f"{name!r} is no {kind}" + advice(name, known)


def _check_next(step: Step, journey: Journey, row: Path) -> Iterator[tuple[Path, str]]:
    if step.next is None:
        return
    names = dict.fromkeys(each.step for each in journey.steps)
    for name in step.next:
        if name not in names:
            yield (*row, "next", name), f"{name!r} is no step of this journey" + advice(name, names)
    total = sum(step.next.values())
    if total > 1 + _TOLERANCE:
        yield (*row, "next"), f"probabilities sum to {total:.6g}, at most 1; the rest leaves"


def _check_flow(journey: Journey, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield steps that stand twice, are never reached, or cannot be left for good."""
    names = [step.step for step in journey.steps]
    twice = [index for index, name in enumerate(names) if names.index(name) < index]
    for index in twice:
        first = names.index(names[index])
        yield (*path, index, "step"), f"{names[index]!r} stands twice, first in row {first}"
    if twice:
        return
    follows = _follows(journey.steps)
    reached = _closure({names[0]}, follows)
    ends = _closure({_END}, _reversed(follows))
    for index, name in enumerate(names):
        if name not in reached:
            yield (*path, index), f"step {name!r} is never reached from the first step {names[0]!r}"
        elif name not in ends:
            yield (
                (*path, index),
                f"from step {name!r} no session can ever leave; "
                "let probabilities of `next` sum to less than 1 somewhere on the way",
            )


def _follows(steps: Sequence[Step]) -> dict[str, set[str]]:
    """Return which steps (or the end) follow each step with positive probability."""
    follows: dict[str, set[str]] = {}
    for index, step in enumerate(steps):
        if step.next is None:
            after = {steps[index + 1].step if index + 1 < len(steps) else _END}
        else:
            after = {name for name, probability in step.next.items() if probability > 0}
            if sum(step.next.values()) < 1 - _TOLERANCE:
                after.add(_END)
        follows[step.step] = after
    return follows


def _reversed(follows: Mapping[str, set[str]]) -> dict[str, set[str]]:
    precedes: dict[str, set[str]] = {}
    for name, after in follows.items():
        for each in after:
            precedes.setdefault(each, set()).add(name)
    return precedes


def _closure(start: set[str], follows: Mapping[str, set[str]]) -> set[str]:
    """Return everything that is reached from a start, itself included."""
    reached: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(follows.get(name, ()))
    return reached
