"""What sizing says, for people and as an override file."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.metrics import TargetResult
from sim.results import written_whole
from sim.scenario.scenario import Scenario
from sim.sizing.knobs import (
    Counts,
    Knob,
    cores_in_all,
    officers_in_all,
    with_counts,
    written,
)

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, slots=True)
class Step:
    """One candidate that was simulated.

    Attributes
    ----------
    counts : Counts
        Its knobs.
    meets : bool
        Whether it was shown to meet every target.
    why : str
        What was being tried, and the first target that was not met.
    """

    counts: Counts
    meets: bool
    why: str


@dataclass(frozen=True, slots=True)
class Sizing:
    """The smallest capacity found, and how sure it is.

    Attributes
    ----------
    scenario : Scenario
        The question as asked.
    knobs : tuple of Knob
        What could be changed, the costliest first.
    before, counts : Counts
        Knobs as asked, and as found.
    is_certified : bool
        Whether fresh replications show that every target is met, all together at ``confidence``.
    confidence : float
        Confidence of the whole statement: Bonferroni over targets and confirmations.
    results : list of TargetResult
        Targets in the confirming replications (or in the best trial, if there were none).
    confirmed_on : tuple of int
        Replications of the confirmation; none of them was used in the search.
    steps : tuple of Step
        Every candidate simulated.
    reason : str
        Why there is no certified answer, else empty.
    """

    scenario: Scenario
    knobs: tuple[Knob, ...]
    before: Counts
    counts: Counts
    is_certified: bool
    confidence: float
    results: list[TargetResult]
    confirmed_on: tuple[int, ...]
    steps: tuple[Step, ...]
    reason: str

    @property
    def sized(self) -> Scenario:
        """The scenario with the counts found."""
        return with_counts(self.scenario, self.counts)


def render(answer: Sizing) -> "RenderableType":
    """Return the answer as tables for the terminal."""
    from rich.console import Group
    from rich.table import Table

    found = "smallest found" if answer.is_certified else "last tried"
    counts = Table("capacity", "as asked", found, box=None, pad_edge=False)
    for knob in answer.knobs:
        counts.add_row(
            short_key(knob.key),
            str(answer.before[knob.key]),
            str(answer.counts[knob.key]),
        )
    targets = Table("target", "verdict", box=None, pad_edge=False)
    for result in answer.results:
        targets.add_row(_bound(result), f"{result.verdict.answer}: {result.verdict.reason}")
    return Group(_headline(answer), "", counts, "", targets, "", _cost(answer))


def short_key(key: str) -> str:
    """Return a knob's key as people read it."""
    if key.startswith("portal."):
        return key.removeprefix("portal.")
    _, _, group, _, team, _ = key.split(".")
    return f"{group}.{team} officers"


def write_override(answer: Sizing, path: Path, parent: str, overrides: Sequence[str] = ()) -> Path:
    """Write the counts as a scenario that extends the one sized.

    Parameters
    ----------
    answer : Sizing
        What was found.
    path : Path
        YAML file to write.
    parent : str
        Scenario that was sized, as the user named it.
    overrides : sequence of str
        One-off changes that were in force; named in a comment, since they are part of the question.
    """
    with written_whole(path) as temporary:
        text = _override_text(answer, _parent_from(path, parent), overrides)
        temporary.write_text(text, encoding="utf-8")
    return path


def _parent_from(path: Path, parent: str) -> str:
    """Return the parent as the override names it: a file relative to the override's folder."""
    if not Path(parent).is_file():
        return parent
    return os.path.relpath(Path(parent).resolve(), path.resolve().parent)


def _override_text(answer: Sizing, parent: str, overrides: Sequence[str]) -> str:
    lines = [
        f"# Smallest capacity found for {answer.scenario.name}: all targets met at "
        f"{answer.confidence:.0%} confidence",
        f"# on {len(answer.confirmed_on)} replications that the search had not seen.",
        *(
            f"# Sized with --set {override}: give it again when you run this."
            for override in overrides
        ),
        f"extends: {json.dumps(parent, ensure_ascii=False)}",
        f"name: {answer.scenario.name}-sized",
    ]
    lines += _yaml(_nested(written(answer.scenario, answer.counts)))
    return "\n".join(lines) + "\n"


def _nested(values: dict[str, str]) -> dict[str, Any]:
    """Return values by their place in a scenario as blocks within blocks."""
    root: dict[str, Any] = {}
    for key, value in values.items():
        *blocks, field = key.split(".")
        block = root
        for name in blocks:
            block = block.setdefault(name, {})
        block[field] = value
    return root


def _yaml(block: dict[str, Any], depth: int = 0) -> Iterator[str]:
    """Yield the lines of a block; each value names its origin."""
    indent = "  " * depth
    for name, value in block.items():
        if isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from _yaml(value, depth + 1)
        else:
            yield f"{indent}{name}: {value}  # source: hoso size"


def _headline(answer: Sizing) -> str:
    if not answer.is_certified:
        return f"[bold red]No capacity found that is shown to meet the targets.[/] {answer.reason}"
    return (
        f"[bold green]This capacity meets all {len(answer.results)} targets[/] at "
        f"{answer.confidence:.0%} confidence, on {len(answer.confirmed_on)} fresh replications; "
        f"{len(answer.steps)} candidates simulated."
    )


def _cost(answer: Sizing) -> str:
    count, of, price = _what_costs(answer.scenario)
    before, after = count(answer.scenario), count(answer.sized)
    text = f"{of}: {before:,} as asked, {after:,} found"
    if price is None:
        return text
    return f"{text}; {before * price:,.0f} → {after * price:,.0f} VND a month"


def _what_costs(scenario: Scenario) -> tuple[Callable[[Scenario], int], str, float | None]:
    """Return how to count what was sized, its name, and its price in VND a month."""
    budget = scenario.budget
    if scenario.has_portal:
        return cores_in_all, "processor cores", budget.core_vnd_per_month if budget else None
    return officers_in_all, "officers", budget.officer_vnd_per_month if budget else None


def _bound(result: TargetResult) -> str:
    target = result.target
    if target.at_most is not None:
        return f"{target.metric} ≤ {target.at_most:g}"
    return f"{target.metric} ≥ {target.at_least:g}"
