"""The gate's answer for the terminal."""

from typing import TYPE_CHECKING

from loadtests.gates.slowdown import Slowdown
from loadtests.gates.verdict import GateResult, Outcome
from sim.comparison import render
from sim.explain import target_table
from sim.report.verdict import ANSWERS, SYMBOLS

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES: dict[Outcome, str] = {
    "met": "bold green",
    "missed": "bold red",
    "cannot_tell": "bold yellow",
    "interrupted": "bold red",
    "untrustworthy": "bold red",
}


def shown(result: GateResult) -> "RenderableType":
    """Return what ``rich`` prints: trust first, then the targets, then the base run."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(result.sentence, _STYLES[result.outcome])]
    parts += [Text(f"- {reason}", "red") for reason in result.trust.reasons]
    if result.targets:
        parts.append(target_table(result.targets))
    parts += [
        Text(f"{each.target.metric}: {each.verdict.reason}", "yellow")
        for each in result.targets
        if each.verdict.answer == "cannot_tell"
    ]
    if result.against is not None:
        parts.append(render(result.against.comparison))
        parts += [Text(_sentence(each)) for each in result.against.slowdowns]
    return Group(*parts)


def _sentence(slowdown: Slowdown) -> str:
    answer = slowdown.verdict.answer
    return (
        f"{SYMBOLS[answer]} {slowdown.metric}, run over base at most {slowdown.limit:g}: "
        f"{ANSWERS[answer]}, {slowdown.verdict.reason}"
    )
