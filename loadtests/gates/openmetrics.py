"""The gate's answer as OpenMetrics text, for monitoring systems.

Follows the OpenMetrics 1.0 text format: units are suffixes of the names, families stand together,
the text ends with ``# EOF``. What is not known is left out.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from loadtests.gates.verdict import EXIT_CODES, GateResult
from sim.metrics import TargetResult
from sim.report.verdict import ANSWERS
from sim.scenario.metric_names import parse_metric

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""How a server must call this text."""

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Family:
    name: str
    kind: str
    unit: str
    help: str


_SECONDS = _Family("hoso_metric_seconds", "gauge", "seconds", "Metrics of targets that are times.")
_RATIO = _Family("hoso_metric_ratio", "gauge", "ratio", "Metrics of targets that are shares.")
_RATE = _Family("hoso_metric_per_second", "gauge", "per_second", "Metrics that are rates.")
_COUNT = _Family("hoso_metric_items", "gauge", "items", "Metrics of targets that are counts.")
_ANSWER = _Family("hoso_target_answer", "stateset", "", "Answer to each target.")
_SLOWDOWN = _Family("hoso_slowdown_ratio", "gauge", "ratio", "Run over base run.")
_RUN = _Family("hoso_run", "info", "", "The run that was judged.")
_OUTCOME = _Family("hoso_gate_outcome", "stateset", "", "Answer of the gate.")
_FINISHED = _Family(
    "hoso_run_finished_timestamp_seconds", "gauge", "seconds", "When the run ended."
)


def to_openmetrics(result: GateResult) -> str:
    """Return the text."""
    return "".join(f"{line}\n" for line in _lines(result)) + "# EOF\n"


def _lines(result: GateResult) -> Iterator[str]:
    manifest = result.run.manifest
    common = {"scenario": result.run.scenario.name, "source": manifest.source}
    run = {"run": result.run.name, "version": manifest.hoso_version}
    yield from _family(_RUN, [({**common, **run}, 1.0)], suffix="_info")
    yield from _family(_FINISHED, [(common, manifest.finished.timestamp())])
    yield from _family(_OUTCOME, _states(_OUTCOME, common, EXIT_CODES, result.outcome))
    for family in (_SECONDS, _RATIO, _RATE, _COUNT):
        rows = [each for each in result.targets if _family_of(each.target.metric) is family]
        values = [pair for each in rows for pair in _values(each, common)]
        yield from _family(family, values)
    answers = [
        state
        for each in result.targets
        for state in _states(
            _ANSWER, {**common, **_bound_labels(each)}, ANSWERS, each.verdict.answer
        )
    ]
    yield from _family(_ANSWER, answers)
    yield from _family(_SLOWDOWN, _slowdowns(result, common))


def _family(
    family: _Family, samples: Iterable[tuple[Labels, float | None]], *, suffix: str = ""
) -> Iterator[str]:
    """Yield the lines of one family; none without a sample. Equal labels count once."""
    known = {
        f"{family.name}{suffix}{{{_labels(labels)}}}": value
        for labels, value in samples
        if value is not None and math.isfinite(value)
    }
    if not known:
        return
    yield f"# TYPE {family.name} {family.kind}"
    if family.unit:
        yield f"# UNIT {family.name} {family.unit}"
    yield f"# HELP {family.name} {_escaped(family.help)}"
    yield from (f"{sample} {value!r}" for sample, value in known.items())


def _family_of(metric: str) -> _Family:
    quantity = parse_metric(metric).quantity
    if quantity.endswith("per_s"):
        return _RATE
    if quantity.endswith("_s"):
        return _SECONDS
    if quantity.endswith("_share") or quantity == "utilisation":
        return _RATIO
    return _COUNT


def _values(result: TargetResult, common: Labels) -> Iterator[tuple[Labels, float | None]]:
    target, estimate = result.target, result.estimate
    figures = {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "at_most": target.at_most,
        "at_least": target.at_least,
    }
    for figure, value in figures.items():
        yield {**common, "metric": target.metric, "figure": figure}, value


def _bound_labels(result: TargetResult) -> Labels:
    target = result.target
    key, value = (
        ("at_most", target.at_most)
        if target.at_least is None
        else (
            "at_least",
            target.at_least,
        )
    )
    return {"metric": target.metric, key: f"{value:g}"}


def _slowdowns(result: GateResult, common: Labels) -> Iterator[tuple[Labels, float | None]]:
    for each in result.against.slowdowns if result.against else ():
        figures = {"value": each.ratio, "low": each.low, "high": each.high, "at_most": each.limit}
        for figure, value in figures.items():
            yield {**common, "metric": each.metric, "figure": figure}, value


def _states(
    family: _Family, labels: Labels, states: Iterable[str], actual: str
) -> Iterator[tuple[Labels, float | None]]:
    for state in states:
        yield {**labels, family.name: state}, float(state == actual)


def _labels(labels: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
