"""The gate's answer as JSON, for programs."""

import json
import math

from pydantic import JsonValue

from loadtests.gates.slowdown import Against, Slowdown
from loadtests.gates.verdict import GateResult
from sim.comparison import Difference
from sim.metrics import TargetResult, estimate_json

VERSION = 1
"""Version of the document; fields may be added within it, never changed."""


def to_json(result: GateResult) -> str:
    """Return the document: verdict, trust, every target with its interval, the base run."""
    content: dict[str, JsonValue] = {
        "version": VERSION,
        "outcome": result.outcome,
        "exit_code": result.exit_code,
        "sentence": result.sentence,
        "run": _run(result),
        "trust": {
            "verdict": "trustworthy" if result.trust.is_given else "untrustworthy",
            "reasons": list(result.trust.reasons),
            "figures": dict(result.trust.figures),
        },
        "targets": [_target(each) for each in result.targets],
        "against": None if result.against is None else _against(result.against),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _run(result: GateResult) -> JsonValue:
    manifest = result.run.manifest
    return {
        "name": result.run.name,
        "scenario": result.run.scenario.name,
        "scenario_digest": manifest.scenario_digest,
        "source": manifest.source,
        "status": manifest.status,
        "hoso_version": manifest.hoso_version,
        "seed": manifest.seed,
        "replications": list(manifest.replications),
        "started": manifest.started.isoformat(),
        "finished": manifest.finished.isoformat(),
        "confidence": result.run.scenario.execution.confidence,
    }


def _target(result: TargetResult) -> JsonValue:
    return {
        "metric": result.target.metric,
        "at_most": result.target.at_most,
        "at_least": result.target.at_least,
        "estimate": estimate_json(result.estimate),
        "answer": result.verdict.answer,
        "reason": result.verdict.reason,
    }


def _against(against: Against) -> JsonValue:
    comparison = against.comparison
    return {
        "base": comparison.run_a,
        "pairing": comparison.pairing,
        "confidence": comparison.confidence,
        "warnings": list(comparison.warnings),
        "slowdowns": [_slowdown(each) for each in against.slowdowns],
        "differences": [_difference(each) for each in comparison.differences],
    }


def _slowdown(slowdown: Slowdown) -> JsonValue:
    return {
        "metric": slowdown.metric,
        "at_most": slowdown.limit,
        "ratio": _finite(slowdown.ratio),
        "low": _finite(slowdown.low),
        "high": _finite(slowdown.high),
        "answer": slowdown.verdict.answer,
        "reason": slowdown.verdict.reason,
    }


def _difference(difference: Difference) -> JsonValue:
    return {
        "metric": difference.metric,
        "base": _finite(difference.value_a),
        "run": _finite(difference.value_b),
        "difference": _finite(difference.difference),
        "low": _finite(difference.low),
        "high": _finite(difference.high),
        "reason": difference.reason,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
