"""What a run answered: one sentence, verdicts, what the offices did, and what to mind."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from sim.explain.layout import empty_table, plain
from sim.explain.offices import office_answer
from sim.metrics.targets import Answer, TargetResult, judge_all
from sim.report.verdict import SYMBOLS, headline
from sim.report.wording import bound, interval, metric_value
from sim.results import Run

if TYPE_CHECKING:
    from rich.console import RenderableType

_ANSWER_STYLES: dict[Answer, str] = {"met": "green", "missed": "red", "cannot_tell": "yellow"}


def answer(run: Run) -> "RenderableType":
    """Say what a run answered: one sentence, the verdict on each target, and what to mind."""
    from rich.console import Group
    from rich.text import Text

    results = judge_all(run, run.scenario)
    head = headline(results, run.manifest.trust)
    sentence = Text(head.text, f"bold {_ANSWER_STYLES[head.answer]}")
    parts: list[RenderableType] = [sentence, target_table(results)] if results else [sentence]
    parts += office_answer(run)
    return Group(*parts, *(plain(text, "yellow") for text in _to_mind(run, results)))


def target_table(results: Iterable[TargetResult]) -> "RenderableType":
    """Return the verdict on each target as a table: value, interval, what is wanted."""
    from rich.text import Text

    shown = empty_table("<", "metric", ">value", ">interval", "<wanted")
    for result in results:
        verdict = result.verdict
        shown.add_row(
            Text(SYMBOLS[verdict.answer], _ANSWER_STYLES[verdict.answer]),
            result.target.metric,
            metric_value(result.target.metric, result.estimate.value),
            interval(result.estimate),
            bound(result.target).replace("at most", "≤").replace("at least", "≥"),
        )
    return shown


def _to_mind(run: Run, results: Iterable[TargetResult]) -> Iterator[str]:
    """Yield why a target is undecided, regimes that were not averaged, and broken records."""
    for result in results:
        if result.verdict.answer == "cannot_tell":
            yield f"{result.target.metric}: {result.verdict.reason}"
    for key, text in (("regimes", "Two regimes"), ("conservation", "The records are broken")):
        found = run.summary.get(key)
        if isinstance(found, list):
            yield from (f"{text}: {sentence}" for sentence in found)
