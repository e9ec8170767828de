"""Arrivals of sessions as non-homogeneous Poisson processes.

A year of dossiers is spread over days (month, weekday, holiday), hours, and events; the profile
that results is the one definition of when sessions start.
"""

import datetime as dt
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.calendars import day_kind, days_of, days_touched
from sim.demand.errors import DemandError
from sim.scenario.demand import Demand, Event
from sim.scenario.scenario import Scenario
from sim.streams import stream

DAY_S = 86400.0
HOUR_S = 3600.0
MONDAY = 0

_ROUNDING = 1e-9  # intervals; a remainder this small is an artefact of division, not an interval


@dataclass(frozen=True, slots=True)
class RateProfile:
    """Piecewise-constant arrival rate λ(t) over a window [0, duration_s).

    Attributes
    ----------
    rates_per_s : NDArray, shape (n_intervals,)
        λ in each interval, sessions/s, >= 0.
    interval_s : float
        Length of an interval, s, > 0; the last one ends with the window and may be shorter.
    duration_s : float
        Length of the window, s, > 0.
    """

    rates_per_s: NDArray[np.float64]
    interval_s: float
    duration_s: float

    @property
    def edges_s(self) -> NDArray[np.float64]:
        """Where intervals begin and the last one ends, s, shape (n_intervals + 1,)."""
        return _interval_edges(self.duration_s, self.interval_s)

    @property
    def expected_counts(self) -> NDArray[np.float64]:
        """Mean number of arrivals in each interval, shape (n_intervals,)."""
        return self.rates_per_s * np.diff(self.edges_s)

    def rate(self, t_s: float) -> float:
        """Return λ(t) in sessions/s; zero outside the window."""
        if not 0 <= t_s < self.duration_s:
            return 0.0
        last = len(self.rates_per_s) - 1
        return float(self.rates_per_s[min(int(t_s // self.interval_s), last)])


def arrival_times(profile: RateProfile, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the arrival times of one replication.

    Draws a Poisson count per interval, then places that many uniform times in it: given its
    count, the arrivals of a Poisson process are independent and uniform.

    Parameters
    ----------
    profile : RateProfile
        The arrival rate.
    rng : Generator
        The stream of this process.

    Returns
    -------
    NDArray, shape (n_arrivals,)
        Absolute times in s, sorted, in [0, profile.duration_s). Never gaps: a consumer of gaps
        loses time at every interval boundary.
    """
    edges = profile.edges_s
    counts = rng.poisson(profile.expected_counts)
    times = np.repeat(edges[:-1], counts)
    times += rng.random(len(times)) * np.repeat(np.diff(edges), counts)
    times.sort()
    return np.minimum(times, math.nextafter(profile.duration_s, 0.0), out=times)


def day_weight(demand: Demand, day: dt.date) -> float:
    """Return the relative demand of a day: month times weekday, less on holidays.

    A weekend day that is worked in exchange for another counts as a Monday.
    """
    kind = day_kind(day, demand.calendar.holidays, demand.calendar.working_weekends)
    is_exchanged = kind == "working_day" and day in demand.calendar.working_weekends
    weekday = MONDAY if is_exchanged else day.weekday()
    weight = demand.months[day.month - 1] * demand.weekdays[weekday]
    return weight * demand.holiday_factor if kind == "holiday" else weight


def day_shares(
    demand: Demand, year: int, is_open: Callable[[dt.date], bool] = lambda day: True
) -> dict[dt.date, float]:
    """Return the share of a calendar year's dossiers that is filed on each of its days; sums to 1.

    Parameters
    ----------
    demand : Demand
        The demand.
    year : int
        The calendar year.
    is_open : callable
        Says of a day whether dossiers can be filed at all; absent: on every day.

    Raises
    ------
    DemandError
        When every day of the year weighs nothing.
    """
    weights = {day: day_weight(demand, day) * is_open(day) for day in days_of(year)}
    total = math.fsum(weights.values())
    if total <= 0:
        raise DemandError(f"demand: no day of {year} has a weight above 0")
    return {day: weight / total for day, weight in weights.items()}


def day_effects(scenario: Scenario, replication: int) -> dict[dt.date, float]:
    """Draw the random effect of every day of the window: gamma, mean 1.

    Each day has a stream of its own, so its effect does not depend on where the window starts.

    Parameters
    ----------
    scenario : Scenario
        The question.
    replication : int
        Which replication, >= 0.

    Returns
    -------
    dict of date to float
        Factors > 0, all 1 when ``demand.day_effect_cv`` is 0.
    """
    days = days_touched(scenario.window.start, scenario.window.duration_s)
    variance = scenario.demand.day_effect_cv**2
    if variance == 0:
        return dict.fromkeys(days, 1.0)
    draws = {
        day: stream(scenario.seed, replication, f"demand.day_effect.{day.isoformat()}")
        for day in days
    }
    return {day: rng.gamma(1 / variance, variance) for day, rng in draws.items()}


def session_profiles(
    scenario: Scenario, effects: Mapping[dt.date, float] | None = None
) -> dict[str, RateProfile]:
    """Return when the sessions of each journey start.

    The rate is averaged over each interval of ``demand.interval_s`` from the window's start:
    exactly where at most one event changes at a time, else with the product of their averages.

    Parameters
    ----------
    scenario : Scenario
        The question.
    effects : mapping of date to float, optional
        Factor of each day (:func:`day_effects`); absent: the mean, 1.

    Returns
    -------
    dict of str to RateProfile
        By journey, in the order of ``demand.journeys``.
    """
    demand = scenario.demand
    pieces = _pieces(scenario)
    online = _dossiers_by_day(scenario, demand.online_share, effects)
    return {
        name: _profile(scenario, pieces, online * journey.per_dossier, journey.hours, name)
        for name, journey in demand.journeys.items()
    }


def dossier_profile(
    scenario: Scenario,
    share: float,
    hours: str,
    *,
    journey: str | None = None,
    is_open: Callable[[dt.date], bool] = lambda day: True,
    effects: Mapping[dt.date, float] | None = None,
) -> RateProfile:
    """Return when dossiers themselves are filed, without sessions.

    Parameters
    ----------
    scenario : Scenario
        The question.
    share : float
        Share of the year's dossiers that are filed in this way, 0 to 1.
    hours : str
        Hour shape.
    journey : str, optional
        Journey whose events count besides those that concern all journeys.
    is_open : callable
        Says of a day whether dossiers can be filed in this way; the year's are spread over these.
    effects : mapping of date to float, optional
        Factor of each day (:func:`day_effects`); absent: the mean, 1.
    """
    by_day = _dossiers_by_day(scenario, share, effects, is_open)
    return _profile(scenario, _pieces(scenario), by_day, hours, journey)


@dataclass(frozen=True, slots=True)
class _Pieces:
    """The window cut wherever an interval, an hour, or a part of an event begins or ends."""

    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    day: NDArray[np.int64]
    hour: NDArray[np.int64]
    interval: NDArray[np.int64]

    @property
    def length_s(self) -> NDArray[np.float64]:
        return self.end_s - self.start_s


def _dossiers_by_day(
    scenario: Scenario,
    share: float,
    effects: Mapping[dt.date, float] | None,
    is_open: Callable[[dt.date], bool] = lambda day: True,
) -> NDArray[np.float64]:
    """Return how many of a share of the year's dossiers are filed on each day of the window."""
    demand, window = scenario.demand, scenario.window
    days = days_touched(window.start, window.duration_s)
    shares = {year: day_shares(demand, year, is_open) for year in {day.year for day in days}}
    a_year = demand.dossiers_per_year * share * demand.day_factor
    dossiers = np.array([a_year * shares[day.year][day] for day in days])
    if effects is not None:
        dossiers *= np.array([effects[day] for day in days])
    return dossiers


def _profile(
    scenario: Scenario,
    pieces: _Pieces,
    by_day: NDArray[np.float64],
    hours: str,
    journey: str | None,
) -> RateProfile:
    """Return the rate of what comes so often on each day, at these hours, in a journey's events."""
    demand, window = scenario.demand, scenario.window
    weights = np.array(demand.hours[hours]) / math.fsum(demand.hours[hours])
    counts = by_day[pieces.day] * weights[pieces.hour] / HOUR_S * pieces.length_s
    for event in demand.events:
        if not event.journeys or journey in event.journeys:
            counts *= _mean_factor(event, pieces)
    edges = _interval_edges(window.duration_s, demand.interval_s)
    by_interval = np.bincount(pieces.interval, weights=counts, minlength=len(edges) - 1)
    return RateProfile(by_interval / np.diff(edges), demand.interval_s, window.duration_s)


def _pieces(scenario: Scenario) -> _Pieces:
    window, demand = scenario.window, scenario.demand
    midnight = dt.datetime.combine(window.start.date(), dt.time())
    since_midnight_s = (window.start - midnight).total_seconds()
    intervals = _interval_edges(window.duration_s, demand.interval_s)
    hours = np.arange(HOUR_S - since_midnight_s % HOUR_S, window.duration_s, HOUR_S)
    changes = [t for event in demand.events for t in _changes_s(event) if t < window.duration_s]
    edges = np.unique(np.concatenate([intervals, hours, np.array(changes)]))
    middle = (edges[:-1] + edges[1:]) / 2
    clock = middle + since_midnight_s
    return _Pieces(
        start_s=edges[:-1],
        end_s=edges[1:],
        day=(clock // DAY_S).astype(np.int64),
        hour=(clock % DAY_S // HOUR_S).astype(np.int64),
        interval=np.searchsorted(intervals, middle, side="right") - 1,
    )


def _interval_edges(duration_s: float, interval_s: float) -> NDArray[np.float64]:
    n = max(1, math.ceil(duration_s / interval_s - _ROUNDING))
    edges = np.arange(n + 1, dtype=np.float64)
    edges *= interval_s
    edges[-1] = duration_s
    return edges


def _changes_s(event: Event) -> tuple[float, ...]:
    """Return where an event's factor jumps or bends."""
    if event.kind == "flash_crowd":
        return (event.from_s, event.from_s + event.rise_s, event.to_s)
    return (event.from_s, event.to_s)


def _mean_factor(event: Event, pieces: _Pieces) -> NDArray[np.float64]:
    """Return the average of an event's factor over each piece."""
    excess = _excess_until(event, pieces.end_s) - _excess_until(event, pieces.start_s)
    return np.maximum(1.0 + excess / pieces.length_s, 0.0)


def _excess_until(event: Event, t_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the integral from 0 to t of an event's factor less 1, s."""
    peak, scale_s = event.factor - 1.0, event.scale_s
    since_s = np.clip(t_s, event.from_s, event.to_s) - event.from_s
    if event.kind == "surge":
        return peak * since_s
    if event.kind == "ramp":
        return peak * since_s**2 / (2.0 * (event.to_s - event.from_s))
    if event.kind == "deadline":
        length_s = event.to_s - event.from_s
        growth = np.exp((since_s - length_s) / scale_s) - math.exp(-length_s / scale_s)
        return peak * scale_s * growth
    rising_s = np.minimum(since_s, event.rise_s)
    decay = -np.expm1((rising_s - since_s) / scale_s)
    rise = rising_s**2 / (2.0 * event.rise_s) if event.rise_s > 0 else rising_s
    return peak * (rise + scale_s * decay)
