"""The time after a split, drawn many times from the model fitted before it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.event_log.arrivals import BUSINESS_DAYS, Arrivals, daily_counts
from sim.demand.imports.event_log.choosing import Progress
from sim.demand.imports.event_log.fitting import Lessons, refit
from sim.demand.imports.event_log.log import DAY_S, HOUR_S
from sim.demand.imports.event_log.measuring import CaseTable, case_table, summary
from sim.demand.imports.event_log.model import FittedModel, draw_cases
from sim.demand.imports.event_log.phases import Phase
from sim.demand.imports.event_log.week import WorkedWeek
from sim.streams import stream


@dataclass(frozen=True, slots=True)
class Periods:
    """Drawn periods.

    Attributes
    ----------
    summaries : NDArray, shape (n_periods, n_quantities)
        Their quantities, as :func:`measuring.summary` orders them.
    tables : list of CaseTable
        Their cases.
    per_day : NDArray, shape (n_periods,)
        Their mean cases a business day.
    """

    summaries: NDArray[np.float64]
    tables: list[CaseTable]
    per_day: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LaterTime:
    """What it takes to draw the time after the split.

    Attributes
    ----------
    lessons, model, weight : Lessons, FittedModel, NDArray of shape (n_cases,)
        What was learned from, the fit, and how much each case counts.
    phases : sequence of Phase
        Phases to measure.
    week : WorkedWeek
        The office's hours.
    fitted : Arrivals
        The earlier arrivals: their hours and day effect.
    unmet_start_s : NDArray, shape (n,)
        Starts of earlier cases that had no event by the split.
    split_s, end_s : float
        The time, s since 1970.
    within_s : float
        The term, working s.
    """

    lessons: Lessons
    model: FittedModel
    weight: NDArray[np.float64]
    phases: Sequence[Phase]
    week: WorkedWeek
    fitted: Arrivals
    unmet_start_s: NDArray[np.float64]
    split_s: float
    end_s: float
    within_s: float

    def draw(self, replications: int, seed: int, progress: Progress | None) -> Periods:
        """Draw it so many times, each with parameters of its own.

        Cases without an event by its end are unknown, as in a real log.
        """
        log = self.lessons.log
        # Cases of one week are handled together: weeks are resampled, not cases.
        _, week = np.unique(log.arrival_s() // (7 * DAY_S), return_inverse=True)
        n_weeks = int(week.max()) + 1
        tables, summaries, per_day = [], [], []
        for i in range(replications):
            luck = stream(seed, i, "event_log.hold_out")
            times = np.bincount(luck.integers(0, n_weeks, n_weeks), minlength=n_weeks)[week]
            model = refit(self.lessons, self.model, self.weight * times)
            start_s = self.arrivals(luck)
            channel = log.channel[luck.integers(0, len(log.cases), len(start_s))]
            events = draw_cases(model, start_s, channel, self.end_s, luck)
            table = case_table(events, self.phases, self.model.activities, self.week)
            tables.append(table)
            known_s = start_s[np.unique(events.case)]
            per_day.append(business_days(known_s, self.split_s, self.end_s).mean())
            summaries.append(summary(table, self.within_s / HOUR_S))
            if progress is not None:
                progress(i + 1, replications, "periods drawn")
        return Periods(np.array(summaries), tables, np.array(per_day))

    def arrivals(self, luck: np.random.Generator) -> NDArray[np.float64]:
        """Draw when cases begin: weekday means of resampled weeks, times a gamma day effect."""
        first = int(self.split_s // DAY_S)
        days = np.arange(first, int(self.end_s // DAY_S) + 1)
        earlier_s = np.sort(np.concatenate((self.lessons.log.arrival_s(), self.unmet_start_s)))
        mean = _resampled_means(earlier_s, luck)[(days + 3) % 7]
        cv = self.fitted.day_effect_cv.value or 0.0
        effect = luck.gamma(1 / cv**2, cv**2, len(days)) if cv > 0 else np.ones(len(days))
        counts = luck.poisson(mean * effect)
        start_s = np.repeat(days * float(DAY_S), counts)
        weights = self.fitted.hour_shape.weights
        if weights is not None:
            hours = luck.choice(24, len(start_s), p=weights)
            start_s = start_s + (hours + luck.random(len(start_s))) * HOUR_S
        return np.sort(start_s[start_s >= self.split_s])


def _resampled_means(
    arrival_s: NDArray[np.float64], luck: np.random.Generator
) -> NDArray[np.float64]:
    """Return the mean cases of each weekday in a sample of whole weeks, with replacement."""
    weekdays, totals = daily_counts(arrival_s)
    n_weeks = len(totals) // 7
    if n_weeks < 2:
        n_of = np.maximum(np.bincount(weekdays, minlength=7), 1)
        return np.bincount(weekdays, totals, 7) / n_of
    weeks = totals[: 7 * n_weeks].reshape(n_weeks, 7)[luck.integers(0, n_weeks, n_weeks)]
    means = np.zeros(7)
    means[weekdays[:7]] = weeks.mean(axis=0)
    return means


def business_days(
    arrival_s: NDArray[np.float64], from_s: float, to_s: float
) -> NDArray[np.float64]:
    """Return the number of cases of each business day of a period.

    Parameters
    ----------
    arrival_s : NDArray, shape (n_cases,)
        Arrivals within the period, s since 1970.
    from_s, to_s : float
        The period.
    """
    first = int(from_s // DAY_S)
    days = np.arange(first, int(to_s // DAY_S) + 1)
    counts = np.bincount((arrival_s // DAY_S).astype(np.int64) - first, minlength=len(days))
    result: NDArray[np.float64] = counts[: len(days)][(days + 3) % 7 < BUSINESS_DAYS].astype(float)
    return result
