"""Numbers and names in words: three significant digits, a unit people use, no exponents."""

import datetime as dt
import math

from sim.metrics.estimates import Estimate
from sim.scenario.metric_names import parse_metric
from sim.scenario.run import Target
from sim.scenario.scenario import Scenario

NONE = "–"
"""Shown where there is no number."""

_DIGITS = 3
_DURATIONS = ((86400.0, " days"), (3600.0, " h"), (60.0, " min"), (1.0, " s"), (1e-3, " ms"))
_TWICE = 2.0
"""A duration is told in minutes or longer units from twice the unit on: 90 s, but 2 min."""
_RATES = ((1.0, "/s"), (1 / 60, "/min"), (1 / 3600, "/h"), (1 / 86400, "/day"))
_MONEY = ((1e9, " billion VND"), (1e6, " million VND"), (1.0, " VND"))
_BITS = ((1e9, " Gbit/s"), (1e6, " Mbit/s"), (1e3, " kbit/s"), (1.0, " bit/s"))
_NEARLY_ALL = 0.01
"""Below so much missing to 1, the digits that matter are those of what is missing."""
_TOPOLOGIES = {
    "own_portal": "the city's own portal",
    "national_front": "the national front end before the city's back end",
    "ministry_system": "a ministry's system",
}


def number(value: float) -> str:
    """Return a number with three significant digits, thousands separated."""
    if not math.isfinite(value):
        return NONE if math.isnan(value) else "∞"
    if value == 0:
        return "0"
    decimals = max(0, _DIGITS - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(seconds: float) -> str:
    """Return a duration in ms, s, min, h or days."""
    if seconds == 0 or not math.isfinite(seconds):
        return f"{number(seconds)} s" if seconds == 0 else number(seconds)
    size = abs(seconds)
    for length, unit in _DURATIONS:
        if size >= length * (_TWICE if length > 1 else 1):
            return number(seconds / length) + unit
    return number(seconds * 1e3) + " ms"


def rate(per_s: float) -> str:
    """Return a rate per second, minute, hour or day: the first that gives 1 or more."""
    return _scaled(per_s, _RATES)


def share(value: float) -> str:
    """Return a share in per cent; near 1 as many digits as tell it from 1."""
    if not math.isfinite(value):
        return number(value)
    missing = 1 - value
    if 0 < missing < _NEARLY_ALL:
        decimals = 1 - math.floor(math.log10(missing)) - len("99")
        text = f"{100 * value:.{decimals}f}".rstrip("0").rstrip(".")
    else:
        text = number(100 * value)
    return f"{text} %"


def money(vnd: float) -> str:
    """Return an amount in VND."""
    return _scaled(vnd, _MONEY)


def bit_rate(bit_per_s: float) -> str:
    """Return a bit rate."""
    return _scaled(bit_per_s, _BITS)


def metric_value(metric: str, value: float) -> str:
    """Return a metric's value with its unit, as its quantity demands."""
    quantity = parse_metric(metric).quantity
    if quantity.endswith("per_s"):
        return rate(value)
    if quantity.endswith("_s"):
        return duration(value)
    if quantity.endswith("_share") or quantity == "utilisation":
        return share(value)
    return number(value)


def interval(estimate: Estimate) -> str:
    """Return an estimate's confidence interval; a dash where it has none."""
    if estimate.low is None or estimate.high is None:
        return NONE
    low, high = (metric_value(estimate.metric, end) for end in (estimate.low, estimate.high))
    return f"{low} to {high}"


def bound(target: Target) -> str:
    """Return a target's bound, such as ``at most 2.5 s``."""
    if target.at_most is not None:
        return f"at most {metric_value(target.metric, target.at_most)}"
    assert target.at_least is not None
    return f"at least {metric_value(target.metric, target.at_least)}"


def topology(scenario: Scenario) -> str:
    """Return who owns the front end, in words."""
    return _TOPOLOGIES[scenario.topology]


def clock(scenario: Scenario, at_s: float) -> str:
    """Return the local time of a moment, with the date where the window spans days."""
    moment = scenario.window.start + dt.timedelta(seconds=at_s)
    first, last = scenario.window.start, scenario.window.duration_s
    is_one_day = (first + dt.timedelta(seconds=last - 1)).date() == first.date()
    return f"{moment:%H:%M}" if is_one_day else f"{moment:%d %b %H:%M}"


def window(scenario: Scenario) -> str:
    """Return the window in words."""
    span = scenario.window
    end = span.start + dt.timedelta(seconds=span.duration_s)
    day = f"{span.start:%A} {span.start.day} {span.start:%B %Y}"
    until = f"{end:%H:%M}" if end.date() == span.start.date() else f"{end:%d %B %H:%M}"
    text = f"{day}, {span.start:%H:%M} to {until}"
    if span.warm_up_s:
        text += f", judged from {clock(scenario, span.warm_up_s)}"
    return text


def plural(n: int, noun: str) -> str:
    """Return a count and its noun: ``1 target``, ``6 targets``."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def words(name: str) -> str:
    """Return a scenario's name of a part as plain words."""
    return name.replace("_", " ")


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    if value == 0 or not math.isfinite(value):
        return number(value) + (units[-1][1] if units is _MONEY else units[0][1])
    for size, unit in units:
        if abs(value) >= size:
            return number(value / size) + unit
    size, unit = units[-1]
    return number(value / size) + unit
