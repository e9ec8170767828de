"""Rows of the web UI's tables, and the series behind its charts. Pure."""

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from pydantic import JsonValue, TypeAdapter

from loadtests.live import EndpointFigures, LiveView
from loadtests.prediction import Predicted
from loadtests.trust import MAX_CPU_SHARE, MAX_LATENESS_P99_S
from sim.metrics.estimates import BEYOND_QUANTILE
from sim.scenario.metric_names import ALL
from sim.scenario.scenario import Scenario

Row = dict[str, str | int | float]

UNKNOWN = "-"
"""Shown where the data cannot carry a number; headless browsers lack finer glyphs."""

SERIES_POINTS = 3600
"""So many seconds of charts are kept; an older second is dropped."""

_LEAST_S = 0.5
"""Rates over less than this would be noise: the last piece of a test covers a moment only."""

_MS = 1000.0
_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Bound:
    """A target on one endpoint's 95th percentile: its metric and value, s."""

    metric: str
    at_most_s: float


def bounds_of(scenario: Scenario) -> dict[str, Bound]:
    """Return the tightest bound on the response p95 of each endpoint, where there is one.

    A target on a group of endpoints, or on all, is shown against each of them: none of them needs
    to meet it alone, but whoever is above it is where to look.
    """
    limits = {
        target.metric: target.at_most
        for target in scenario.targets
        if target.metric.endswith(".response_s.p95") and target.at_most is not None
    }
    bounds: dict[str, Bound] = {}
    for name, endpoint in scenario.portal.endpoints.items():
        metrics = [f"{group}.response_s.p95" for group in (name, endpoint.group, ALL)]
        found = [Bound(metric, limits[metric]) for metric in metrics if metric in limits]
        if found:
            bounds[name] = min(found, key=lambda bound: bound.at_most_s)
    return bounds


def prediction_rows(
    live: LiveView, predicted: Mapping[str, Predicted], bounds: Mapping[str, Bound]
) -> list[Row]:
    """Return one row per endpoint: measured beside simulated, target and headroom.

    Parameters
    ----------
    live : LiveView
        What has been measured so far.
    predicted : mapping of str to Predicted
        The simulation of the same requests; empty while it still runs.
    bounds : mapping of str to Bound
        Targets by endpoint.
    """
    measured = {figures.endpoint: figures for figures in live.endpoint_figures()}
    names = [name for name in live.endpoints if name in measured or name in predicted]
    return [
        _prediction_row(name, measured.get(name), predicted.get(name), bounds.get(name))
        for name in names
    ]


def _prediction_row(
    name: str, measured: EndpointFigures | None, simulated: Predicted | None, bound: Bound | None
) -> Row:
    n = sum(measured.outcomes.values()) if measured else 0
    p50_s = measured.p50_s if measured else math.nan
    p95_s = measured.p95_s if measured and _carries(n, 0.95) else math.nan
    return {
        "endpoint": name,
        "requests": n,
        "of": simulated.requests if simulated else UNKNOWN,
        "ok": _share(measured.outcomes["ok"] / n if measured and n else math.nan),
        "measured_p50": _ms(p50_s),
        "simulated_p50": _ms(simulated.p50_s if simulated else math.nan),
        "measured_p95": _ms(p95_s),
        "simulated_p95": _ms(simulated.p95_s if simulated else math.nan),
        "target_p95": _ms(bound.at_most_s) if bound else UNKNOWN,
        "headroom": _share(1.0 - p95_s / bound.at_most_s) if bound else UNKNOWN,
        "verdict": _verdict(p95_s, bound),
    }


def _verdict(p95_s: float, bound: Bound | None) -> str:
    if bound is None:
        return UNKNOWN
    if math.isnan(p95_s):
        return "cannot tell yet"
    return "within" if p95_s <= bound.at_most_s else "above"


def _carries(n: int, share: float) -> bool:
    """Whether so many requests can carry a quantile."""
    return n * (1.0 - share) >= BEYOND_QUANTILE - 1e-9


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a test that has ended.

    Attributes
    ----------
    path : str
        Folder of the run.
    is_trustworthy : bool
        Whether its measurement can be trusted.
    reasons : tuple of str
        Why not; empty otherwise.
    answer : str
        Whether its targets are met, in one sentence.
    """

    path: str
    is_trustworthy: bool
    reasons: tuple[str, ...]
    answer: str

    @classmethod
    def from_json(cls, values: Mapping[str, JsonValue]) -> "Stored":
        """Return it from JSON."""
        return TypeAdapter(cls).validate_python(values)


def stored_rows(stored: Stored) -> list[Row]:
    """Return where a run is stored, and what it says."""
    verdict = "trustworthy" if stored.is_trustworthy else "untrustworthy"
    told = [
        *(("why", why) for why in stored.reasons),
        ("the answer", stored.answer),
        ("stored in", stored.path),
    ]
    return [
        _trust_row("the measurement", verdict, "", stored.is_trustworthy),
        *(_told_row(figure, value) for figure, value in told),
    ]


def trust_rows(live: LiveView, lost: Sequence[str] = ()) -> list[Row]:
    """Return what makes the measurement trustworthy so far, figure by figure.

    Parameters
    ----------
    live : LiveView
        What has been measured so far.
    lost : sequence of str
        Workers that have disappeared.
    """
    totals = live.totals()
    rows = [
        _trust_row(
            "busiest generator, share of its core",
            _share(totals.cpu_share),
            f"at most {MAX_CPU_SHARE:.0%}",
            totals.cpu_share <= MAX_CPU_SHARE,
        ),
        _trust_row(
            "lateness of sending, p99",
            _ms(totals.late_p99_s),
            f"at most {MAX_LATENESS_P99_S * _MS:.0f} ms",
            not totals.late_p99_s > MAX_LATENESS_P99_S,
        ),
        _trust_row("sessions dropped", totals.dropped, "none", totals.dropped == 0),
        _trust_row("workers lost", ", ".join(lost) or 0, "none", not lost),
    ]
    if totals.requests == 0:
        return [_told_row("the measurement", "nothing measured yet"), *rows]
    is_good = all(row["verdict"] == "good" for row in rows)
    verdict = "trustworthy so far" if is_good else "untrustworthy"
    return [_trust_row("the measurement", verdict, "", is_good), *rows]


def _told_row(figure: str, value: str) -> Row:
    return {"figure": figure, "value": value, "limit": "", "verdict": ""}


def _trust_row(figure: str, value: str | int, limit: str, is_good: bool) -> Row:
    return {
        "figure": figure,
        "value": value,
        "limit": limit,
        "verdict": "good" if is_good else "bad",
    }


@dataclass(frozen=True, slots=True)
class Point:
    """One second of the charts; totals are differences to the second before.

    Attributes
    ----------
    t_s : float
        s from the epoch.
    due_per_s, sent_per_s : float
        Sessions due, attempts ended, a second.
    active : int
        Sessions under way.
    p50_s, p95_s, p99_s : float
        Response lately, s; NaN without any answer.
    queue_age_s : dict of str to float
        Age of the oldest item by job, s.
    """

    t_s: float
    due_per_s: float
    sent_per_s: float
    active: int
    p50_s: float
    p95_s: float
    p99_s: float
    queue_age_s: dict[str, float]


class Series:
    """The charts' points, second by second."""

    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=SERIES_POINTS)
        self._before = (0.0, 0, 0)

    def add(self, live: LiveView, queue_age_s: Mapping[str, float]) -> None:
        """Take the state of this second; without a second's worth of news it is left out."""
        totals = live.totals()
        t_s, arrived, requests = self._before
        span_s = totals.t_s - t_s
        if span_s < _LEAST_S:
            return
        p50_s, p95_s, p99_s = live.recent_quantiles_s((0.5, 0.95, 0.99))
        self._points.append(
            Point(
                t_s=totals.t_s,
                due_per_s=(totals.arrived - arrived) / span_s,
                sent_per_s=(totals.requests - requests) / span_s,
                active=totals.active,
                p50_s=p50_s,
                p95_s=p95_s,
                p99_s=p99_s,
                queue_age_s=dict(queue_age_s),
            )
        )
        self._before = (totals.t_s, totals.arrived, totals.requests)

    def to_json(self, after_s: float = -math.inf) -> dict[str, list[float | None]]:
        """Return the columns of the points after a moment; ages as ``age <job>``.

        Whoever watches asks for what is new: an hour of points takes the time of several requests,
        in the process that sends them.

        Parameters
        ----------
        after_s : float
            Moment, s from the epoch; absent: all points.

        Returns
        -------
        dict of str to list
            Columns of equal length, unknown values as null.
        """
        newest_first = takewhile(
            lambda point: round(point.t_s, _DECIMALS) > after_s, reversed(self._points)
        )
        points = list(newest_first)[::-1]
        columns: dict[str, list[float | None]] = {
            name: [_number(getattr(point, name)) for point in points]
            for name in ("t_s", "due_per_s", "sent_per_s", "active", "p50_s", "p95_s", "p99_s")
        }
        for job in _jobs(points):
            columns[f"age {job}"] = [_number(p.queue_age_s.get(job, math.nan)) for p in points]
        return columns


def _jobs(points: Sequence[Point]) -> Iterator[str]:
    yield from sorted({job for point in points for job in point.queue_age_s})


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, _DECIMALS)


def _ms(time_s: float) -> str:
    return UNKNOWN if math.isnan(time_s) else f"{time_s * _MS:,.4g} ms"


def _share(share: float) -> str:
    return UNKNOWN if math.isnan(share) else f"{share:.1%}"
