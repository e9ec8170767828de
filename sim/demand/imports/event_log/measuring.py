"""Measures of cases, drawn or real, and their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.event_log.log import HOUR_S
from sim.demand.imports.event_log.model import Events
from sim.demand.imports.event_log.phases import Phase, passage
from sim.demand.imports.event_log.week import WorkedWeek

_LIMITS = (0.025, 0.975)
_Z = 1.959964
"""Normal quantile of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its 95 % interval; NaN: cannot tell."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: NDArray[np.float64], value: float | None = None) -> "Interval":
        """Return the interval of samples around a value, or around their median.

        Parameters
        ----------
        samples : NDArray, shape (n,)
            Samples; NaN are left out.
        value : float, optional
            The value; absent: the median.
        """
        told = samples[np.isfinite(samples)]
        if not len(told):
            return cls(np.nan if value is None else value, np.nan, np.nan)
        low, middle, high = np.quantile(told, [_LIMITS[0], 0.5, _LIMITS[1]]).tolist()
        return cls(middle if value is None else value, low, high)


@dataclass(frozen=True, slots=True)
class CaseTable:
    """Measures of cases that had an event.

    Attributes
    ----------
    duration_h : NDArray, shape (n_cases, n_phases)
        Working hours in each phase; infinite: its end was not reached, NaN: never entered.
    n_events : NDArray of int, shape (n_cases,)
        Events.
    has_repeat : NDArray of bool, shape (n_cases,)
        Whether some activity was repeated.
    """

    duration_h: NDArray[np.float64]
    n_events: NDArray[np.int64]
    has_repeat: NDArray[np.bool_]

    def take(self, cases: NDArray[np.int64]) -> "CaseTable":
        """Return the table of some cases, which may stand in it more than once."""
        return CaseTable(self.duration_h[cases], self.n_events[cases], self.has_repeat[cases])

    def done_h(self, phase: int) -> NDArray[np.float64]:
        """Return the durations of the cases that reached a phase's end."""
        own = self.duration_h[:, phase]
        return own[np.isfinite(own)]

    def n_behind(self, within_h: float) -> list[int]:
        """Return how many cases stand behind each entry of a summary."""
        counts = []
        for own in self.duration_h.T:
            entered, done = int((~np.isnan(own)).sum()), int(np.isfinite(own).sum())
            counts += [entered, done, done, entered]
        return [*counts, len(self.n_events), len(self.n_events)]


def case_table(
    events: Events, phases: Sequence[Phase], activities: Sequence[str], week: WorkedWeek
) -> CaseTable:
    """Measure cases.

    Parameters
    ----------
    events : Events
        What happened.
    phases : sequence of Phase
        Phases to measure.
    activities : sequence of str
        Names of the activities.
    week : WorkedWeek
        The office's hours.
    """
    n_events = np.bincount(events.case, minlength=len(events.start_s))
    present = n_events > 0
    duration_h = np.full((len(n_events), len(phases)), np.nan)
    for j, phase in enumerate(phases):
        found = passage(phase, events, activities, week)
        hours = found.duration_s / HOUR_S
        duration_h[found.case, j] = np.where(np.isfinite(hours), hours, np.inf)
    pairs = np.unique(events.case * len(activities) + events.activity)
    n_different = np.bincount(pairs // len(activities), minlength=len(n_events))
    return CaseTable(duration_h[present], n_events[present], (n_events > n_different)[present])


def summary(table: CaseTable, within_h: float) -> NDArray[np.float64]:
    """Return the quantities of a table: four for each phase, two for whole cases.

    Share within the term, median, 90th percentile, share that reaches the end; events a case, share
    that repeats a step. NaN where no case tells.

    Parameters
    ----------
    table : CaseTable
        The cases.
    within_h : float
        The term, working hours.
    """
    values: list[float] = []
    for own in table.duration_h.T:
        entered = own[~np.isnan(own)]
        done = entered[np.isfinite(entered)]
        if not len(entered):
            values += [np.nan] * 4
            continue
        middle, high = np.quantile(done, [0.5, 0.9]).tolist() if len(done) else (np.nan, np.nan)
        values += [float((entered <= within_h).mean()), middle, high, len(done) / len(entered)]
    if not len(table.n_events):
        return np.array([*values, np.nan, np.nan])
    return np.array([*values, float(table.n_events.mean()), float(table.has_repeat.mean())])


def wilson(share: float, n: int) -> Interval:
    """Return the 95 % score interval of a share.

    Parameters
    ----------
    share : float
        Share seen.
    n : int
        Of how many.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    if n == 0:
        return Interval(np.nan, np.nan, np.nan)
    centre = share + _Z**2 / (2 * n)
    half = _Z * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    scale = 1 + _Z**2 / n
    return Interval(float(share), float((centre - half) / scale), float((centre + half) / scale))


def two_stage(
    n_from: int, n: int, rng: np.random.Generator, share: NDArray[np.float64] | None = None
) -> NDArray[np.int64]:
    """Return places of a sample from a sample: its luck, and that of what is known.

    Parameters
    ----------
    n_from : int
        Number known.
    n : int
        Number to draw.
    rng : Generator
        Source of luck.
    share : NDArray, shape (n_from,), optional
        What each counts; absent: all alike.
    """
    first = rng.integers(0, n_from, n_from)
    if share is None:
        return first[rng.integers(0, n_from, n)]
    chance = share[first]
    return first[rng.choice(n_from, n, p=chance / chance.sum())]


def crps(forecast_h: NDArray[np.float64], actual_h: NDArray[np.float64]) -> float:
    """Return the mean continuous ranked probability score of a forecast, on log(1 + hours).

    Parameters
    ----------
    forecast_h : NDArray, shape (n,)
        Sample of the forecast, h.
    actual_h : NDArray, shape (m,)
        What happened, h.

    References
    ----------
    Gneiting and Raftery (2007), Strictly proper scoring rules, eq. 21.
    """
    if not len(forecast_h) or not len(actual_h):
        return float("nan")
    sample, actual = np.sort(np.log1p(forecast_h)), np.log1p(actual_h)
    n = len(sample)
    upto = np.concatenate(([0.0], np.cumsum(sample)))
    k = np.searchsorted(sample, actual)
    from_actual = (actual * (2 * k - n) + upto[-1] - 2 * upto[k]) / n
    spread = 2.0 * float(((2 * np.arange(1, n + 1) - n - 1) * sample).sum()) / n**2
    return float(from_actual.mean()) - spread / 2
