"""What sizing says, for people and as an override file."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sim.metrics import TargetResult
from sim.results import written_whole
from sim.scenario.scenario import Scenario
from sim.sizing.knobs import Counts, Knob, cores_in_all, with_counts

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
            knob.key.removeprefix("portal."),
            str(answer.before[knob.key]),
            str(answer.counts[knob.key]),
        )
    targets = Table("target", "verdict", box=None, pad_edge=False)
    for result in answer.results:
        targets.add_row(_bound(result), f"{result.verdict.answer}: {result.verdict.reason}")
    return Group(_headline(answer), "", counts, "", targets, "", _cost(answer))


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
        "portal:",
    ]
    source = "# source: hoso size"
    blocks: dict[tuple[str, str], list[str]] = {}
    for knob in answer.knobs:
        _, block, part, field = knob.key.split(".")
        blocks.setdefault((block, part), []).append(f"{field}: {answer.counts[knob.key]}")
    for block in dict.fromkeys(block for block, _ in blocks):
        lines.append(f"  {block}:")
        lines += [
            f"    {part}: {{{', '.join(fields)}}}  {source}"
            for (of_block, part), fields in blocks.items()
            if of_block == block
        ]
    return "\n".join(lines) + "\n"


def _headline(answer: Sizing) -> str:
    if not answer.is_certified:
        return f"[bold red]No capacity found that is shown to meet the targets.[/] {answer.reason}"
    return (
        f"[bold green]This capacity meets all {len(answer.results)} targets[/] at "
        f"{answer.confidence:.0%} confidence, on {len(answer.confirmed_on)} fresh replications; "
        f"{len(answer.steps)} candidates simulated."
    )


def _cost(answer: Sizing) -> str:
    before, after = cores_in_all(answer.scenario), cores_in_all(answer.sized)
    text = f"processor cores: {before} as asked, {after} found"
    budget = answer.scenario.budget
    if budget is None:
        return text
    price = budget.core_vnd_per_month
    return f"{text}; {before * price:,.0f} → {after * price:,.0f} VND a month"


def _bound(result: TargetResult) -> str:
    target = result.target
    if target.at_most is not None:
        return f"{target.metric} ≤ {target.at_most:g}"
    return f"{target.metric} ≥ {target.at_least:g}"
