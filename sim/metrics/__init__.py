"""Metrics ``group.quantity.statistic``: estimators with intervals, targets, and the summary."""

from sim.metrics.checks import check_conservation
from sim.metrics.estimates import Estimate, MetricReader, estimate, estimate_all
from sim.metrics.regimes import Regimes, mser5, split_regimes
from sim.metrics.summary import estimate_json, summarise
from sim.metrics.targets import TargetResult, Verdict, exit_code, judge, judge_all, judged

__all__ = [
    "Estimate",
    "MetricReader",
    "Regimes",
    "TargetResult",
    "Verdict",
    "check_conservation",
    "estimate",
    "estimate_all",
    "estimate_json",
    "exit_code",
    "judge",
    "judge_all",
    "judged",
    "mser5",
    "split_regimes",
    "summarise",
]
