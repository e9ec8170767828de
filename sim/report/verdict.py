"""The answer in one sentence, from the verdicts on the targets."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from sim.metrics.targets import Answer, TargetResult
from sim.report.wording import bound, metric_value, plural

SYMBOLS: dict[Answer, str] = {"met": "✓", "missed": "✗", "cannot_tell": "?"}
"""Mark of each answer; colour alone must not tell them apart."""
ANSWERS: dict[Answer, str] = {"met": "met", "missed": "missed", "cannot_tell": "cannot tell"}
"""Each answer in words."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The answer to a scenario's question.

    Attributes
    ----------
    answer : Answer
        Missed as soon as one target is missed; met only when all are.
    text : str
        One sentence.
    """

    answer: Answer
    text: str


def distrust(trust: JsonValue) -> list[str]:
    """Return why a measurement cannot be trusted, from its manifest; empty where it can."""
    if not isinstance(trust, dict) or trust.get("verdict") != "untrustworthy":
        return []
    reasons = trust.get("reasons")
    return [str(reason) for reason in reasons] if isinstance(reasons, list) else []


def headline(results: Sequence[TargetResult], trust: JsonValue = None) -> Headline:
    """Return the answer to the question, in words; a measurement nobody can trust has none."""
    if isinstance(trust, dict) and trust.get("verdict") == "untrustworthy":
        return Headline("cannot_tell", "Not judged: the measurement cannot be trusted.")
    if not results:
        return Headline("cannot_tell", "Not judged: the scenario states no targets.")
    missed = [result for result in results if result.verdict.answer == "missed"]
    open_ones = [result for result in results if result.verdict.answer == "cannot_tell"]
    total = plural(len(results), "target")
    if missed:
        listed = "; ".join(
            f"{result.target.metric} is {_value(result)}, {bound(result.target)} is wanted"
            for result in missed
        )
        return Headline("missed", f"Does not hold: {len(missed)} of {total} missed. {listed}.")
    if open_ones:
        listed = ", ".join(result.target.metric for result in open_ones)
        return Headline(
            "cannot_tell", f"Cannot tell: {len(open_ones)} of {total} undecided ({listed})."
        )
    met = "the only target is" if len(results) == 1 else f"all {total} are"
    return Headline("met", f"Holds: {met} met.")


def _value(result: TargetResult) -> str:
    return metric_value(result.target.metric, result.estimate.value)
