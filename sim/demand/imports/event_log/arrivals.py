"""What a process log says about arrivals and the officers' clock."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.event_log.log import DAY_S, EPOCH, HOUR_S, EventLog
from sim.demand.imports.shapes import (
    HOURS_PER_DAY,
    Estimate,
    Shape,
    day_effect_cv,
    normalised,
    variance_to_mean,
    weekday_shape,
)
from sim.demand.imports.tables import Line

BUSINESS_DAYS = 5
"""Monday to Friday."""

CLOCKLESS_SHARE = 0.5
"""Times carry no clock where more than this share falls on the two commonest seconds of the day.

Two, not one: dates written in one zone and read in another shift with summer time."""

_THURSDAY = 3
"""Weekday of 1 January 1970."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When cases begin, and when officers work.

    Attributes
    ----------
    period : str
        First and last day on which a case began.
    hour_shape : Shape
        24 shares of the cases' starts, midnight first.
    weekday_shape : Shape
        Mean cases of each weekday, as shares of a week, Monday first.
    staff_hour_shape : Shape
        24 shares of all events.
    cases_per_day : tuple of float
        Mean cases of each weekday, Monday first; NaN where the log has no such day.
    cases_per_business_day : Estimate
        Mean number of cases that start on a day of Monday to Friday, empty days included.
    variance_to_mean : Estimate
        Over-dispersion of these daily counts; 1 for Poisson counts.
    day_effect_cv : Estimate
        Coefficient of variation of the gamma day effect, Monday to Friday.
    channel_shares : dict
        Share of the cases by channel, greatest first; empty where the log has no such column.
    """

    period: str
    hour_shape: Shape
    weekday_shape: Shape
    staff_hour_shape: Shape
    cases_per_day: tuple[float, ...]
    cases_per_business_day: Estimate
    variance_to_mean: Estimate
    day_effect_cv: Estimate
    channel_shares: dict[str, float]

    def lines(self, n_business_days: int) -> tuple[Line, ...]:
        """Return a report's lines."""
        return (
            Line("arrivals by hour", None, self.hour_shape.text()),
            Line("arrivals by weekday", None, self.weekday_shape.text()),
            Line("cases a business day", n_business_days, self.cases_per_business_day.text()),
            Line("variance to mean", None, self.variance_to_mean.text()),
            Line("day effect, cv", None, self.day_effect_cv.text()),
            Line("staff events by hour", None, self.staff_hour_shape.text()),
            Line(
                "channels", len(self.channel_shares),
                _percents(self.channel_shares) or "no such column",
            ),
        )  # fmt: skip


def arrivals_of(log: EventLog) -> tuple[Arrivals, int]:
    """Return what a log says about arrivals, and of how many business days.

    Parameters
    ----------
    log : EventLog
        The log; at least one case.
    """
    arrival_s = np.sort(log.arrival_s())
    weekdays, totals = daily_counts(arrival_s)
    is_business = weekdays < BUSINESS_DAYS
    business_days, business = weekdays[is_business], totals[is_business]
    n_of = np.bincount(weekdays, minlength=7)
    with np.errstate(invalid="ignore"):
        per_day = np.bincount(weekdays, totals, 7) / n_of
    channels = Counter(log.channels[i] for i in log.channel.tolist() if i >= 0)
    arrivals = Arrivals(
        period=f"{day_text(arrival_s[0])} to {day_text(arrival_s[-1])}",
        hour_shape=_hour_shape(arrival_s),
        weekday_shape=weekday_shape(weekdays, totals),
        staff_hour_shape=_hour_shape(log.time_s),
        cases_per_day=tuple(per_day.tolist()),
        cases_per_business_day=_mean(business),
        variance_to_mean=variance_to_mean(business),
        day_effect_cv=day_effect_cv(business_days, business),
        channel_shares=_shares(channels.elements()),
    )
    return arrivals, len(business)


def day_text(at_s: float) -> str:
    """Return the day of a moment, s since 1970."""
    return str(np.datetime64(EPOCH, "s") + np.timedelta64(int(at_s // 1), "s"))[:10]


def daily_counts(
    arrival_s: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return weekday and count of every day from the first arrival to the last.

    Parameters
    ----------
    arrival_s : NDArray, shape (n_cases,)
        Sorted arrivals, s since 1970.
    """
    days = (arrival_s // DAY_S).astype(np.int64)
    totals = np.bincount(days - days[0]).astype(np.float64)
    weekdays = (days[0] + _THURSDAY + np.arange(len(totals))) % 7
    return weekdays.astype(np.int64), totals


def clockless_reason(at_s: NDArray[np.float64]) -> str:
    """Return why moments are dates without a clock; empty: they have one.

    Parameters
    ----------
    at_s : NDArray, shape (n,)
        Moments, s since 1970.
    """
    seconds = np.bincount((at_s % DAY_S).astype(np.int64), minlength=DAY_S)
    first, second = np.sort(seconds)[[-1, -2]].tolist()
    share = (first + second) / len(at_s)
    if first <= 1 or share <= CLOCKLESS_SHARE:
        return ""
    return f"dates without a clock: {share:.0%} fall on two seconds of the day"


def _hour_shape(at_s: NDArray[np.float64]) -> Shape:
    clockless = clockless_reason(at_s)
    if clockless:
        return Shape(None, clockless)
    hours = (at_s % DAY_S // HOUR_S).astype(np.int64)
    return normalised(np.bincount(hours, minlength=HOURS_PER_DAY).astype(float), "no events")


def _mean(counts: NDArray[np.float64]) -> Estimate:
    if len(counts) < 2:
        return Estimate(None, reason="fewer than two business days")
    return Estimate(float(counts.mean()), float(counts.std(ddof=1)) / len(counts) ** 0.5)


def _shares(values: Iterable[str]) -> dict[str, float]:
    counts = Counter(values)
    return {value: count / counts.total() for value, count in counts.most_common()}


def _percents(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
