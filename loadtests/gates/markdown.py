"""The gate's answer as Markdown, for job summaries and comments on merge requests."""

import math
from collections.abc import Iterator

from loadtests.gates.slowdown import Against
from loadtests.gates.verdict import GateResult, Outcome
from sim.metrics.targets import Answer
from sim.report.verdict import ANSWERS, SYMBOLS
from sim.report.wording import NONE, bound, interval, metric_value, plural

_SYMBOLS: dict[Outcome, str] = {
    "met": SYMBOLS["met"],
    "missed": SYMBOLS["missed"],
    "cannot_tell": SYMBOLS["cannot_tell"],
    "interrupted": "!",
    "untrustworthy": "!",
}
_ESCAPED = "\\`*_[]<>|#&~"


def to_markdown(result: GateResult) -> str:
    """Return the summary: the answer, what it rests on, the targets, and the base run."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: GateResult) -> Iterator[str]:
    run = result.run
    yield f"## {_SYMBOLS[result.outcome]} {_plain(result.sentence)}"
    yield ""
    yield (
        f"{_plain(run.scenario.title or run.scenario.name)}: run `{run.name}`, "
        f"{run.manifest.source}, {plural(len(run.replications), 'replication')}."
    )
    if result.trust.reasons:
        yield ""
        yield from (f"- {_plain(reason)}" for reason in result.trust.reasons)
    if result.targets:
        yield ""
        yield from _targets(result)
    if result.against is not None:
        yield ""
        yield from _against(result.against)


def _targets(result: GateResult) -> Iterator[str]:
    confidence = result.run.scenario.execution.confidence
    yield from _head("", "metric", "value", f"{confidence:.0%} interval", "wanted", "why")
    for each in result.targets:
        metric = each.target.metric
        yield _row(
            _answer(each.verdict.answer),
            f"`{metric}`",
            metric_value(metric, each.estimate.value),
            interval(each.estimate),
            bound(each.target),
            _plain(each.verdict.reason) if each.verdict.answer == "cannot_tell" else "",
        )


def _against(against: Against) -> Iterator[str]:
    comparison = against.comparison
    yield f"### Against `{comparison.run_a}`, {comparison.pairing}"
    yield ""
    if against.slowdowns:
        yield from _head("", "metric", "times the base", "interval", "wanted", "why")
        for slowdown in against.slowdowns:
            ends = (slowdown.low, slowdown.high)
            yield _row(
                _answer(slowdown.verdict.answer),
                f"`{slowdown.metric}`",
                _number(slowdown.ratio),
                NONE if None in ends else " to ".join(map(_number, ends)),
                f"at most {slowdown.limit:g}",
                _plain(slowdown.verdict.reason) if slowdown.low is None else "",
            )
        yield ""
    confidence = f"{comparison.confidence:.0%} interval"
    yield from _head("metric", "base", "run", "run - base", confidence)
    for row in comparison.differences:
        if math.isfinite(row.difference):
            ends = (row.low, row.high)
            yield _row(
                f"`{row.metric}`",
                *map(_number, (row.value_a, row.value_b, row.difference)),
                NONE if None in ends else " to ".join(map(_number, ends)),
            )
    if comparison.warnings:
        yield ""
        yield from (f"- {_plain(warning)}" for warning in comparison.warnings)


def _head(*columns: str) -> Iterator[str]:
    yield _row(*columns)
    yield "|" + "---|" * len(columns)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _answer(answer: Answer) -> str:
    return f"{SYMBOLS[answer]} {ANSWERS[answer]}"


def _number(value: float | None) -> str:
    return NONE if value is None or not math.isfinite(value) else f"{value:.4g}"


def _plain(text: str) -> str:
    """Return a text that Markdown shows as it stands, on one line."""
    return "".join(f"\\{letter}" if letter in _ESCAPED else letter for letter in text).replace(
        "\n", " "
    )
