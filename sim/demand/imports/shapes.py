"""Shapes of demand over hours and weekdays, and how much days differ beyond chance.

The day effect follows the scenario's own model: a day's count is Poisson with mean m·G, where m
depends on the weekday and G is gamma with mean 1 and the coefficient of variation sought.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.tables import ImportFileError
from sim.scenario.base import NAME_PATTERN

DAYS_PER_WEEK = 7
HOURS_PER_DAY = 24

MIN_DAY_FREEDOM = 7
"""Degrees of freedom below which the spread of days is not told: its error would exceed half."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its standard error, or the reason why the data cannot tell it.

    Attributes
    ----------
    value : float or None
        The number; None: cannot tell.
    standard_error : float or None
        Standard error; None where it is exact or cannot be told.
    reason : str
        Why it cannot be told; empty otherwise.
    """

    value: float | None
    standard_error: float | None = None
    reason: str = ""

    def text(self) -> str:
        """Return the number for people."""
        if self.value is None:
            return f"cannot tell: {self.reason}"
        error = (
            "" if self.standard_error is None else f" (standard error {self.standard_error:.2g})"
        )
        return f"{self.value:.4g}{error}"


@dataclass(frozen=True, slots=True)
class Shape:
    """Relative weights that sum to 1, or the reason why the data cannot tell them.

    Attributes
    ----------
    weights : tuple of float or None
        Midnight or Monday first; None: cannot tell.
    reason : str
        Why they cannot be told; empty otherwise.
    """

    weights: tuple[float, ...] | None
    reason: str = ""

    def text(self) -> str:
        """Return the weights for people, in percent."""
        if self.weights is None:
            return f"cannot tell: {self.reason}"
        return " ".join(f"{100 * weight:.1f}" for weight in self.weights) + " %"


def normalised(weights: NDArray[np.float64], empty_reason: str) -> Shape:
    """Return weights as shares of their sum; all zero: the reason given."""
    total = float(weights.sum())
    if total <= 0:
        return Shape(None, empty_reason)
    return Shape(tuple((weights / total).tolist()))


def weekday_shape(weekdays: NDArray[np.int64], totals: NDArray[np.float64]) -> Shape:
    """Return the mean day of each weekday, as shares of their sum.

    Parameters
    ----------
    weekdays : NDArray, shape (n_days,)
        0 Monday to 6 Sunday.
    totals : NDArray, shape (n_days,)
        Count of each day.
    """
    n_of = np.bincount(weekdays, minlength=DAYS_PER_WEEK)
    if (n_of == 0).any():
        n_present = int((n_of > 0).sum())
        return Shape(None, f"the complete days cover {n_present} of the 7 weekdays")
    return normalised(np.bincount(weekdays, totals, DAYS_PER_WEEK) / n_of, "all counts are 0")


def day_effect_cv(weekdays: NDArray[np.int64], totals: NDArray[np.float64]) -> Estimate:
    """Estimate the coefficient of variation of the day effect, by moments within weekdays.

    Within weekday w the variance of a day's count is m + cv² m². Summed over weekdays with
    weights n - 1, with the unbiased m² = mean² - s²/n, that gives cv². A negative estimate means
    days no more different than chance makes them: 0.

    Parameters
    ----------
    weekdays, totals : NDArray, shape (n_days,)
        As for :func:`weekday_shape`.

    Returns
    -------
    Estimate
        With its standard error by leaving out one day at a time (jackknife).
    """
    freedom = len(totals) - len(np.unique(weekdays))
    if freedom < MIN_DAY_FREEDOM:
        return Estimate(None, reason=f"too few complete days ({len(totals)}); two weeks are needed")
    powers = [totals**power for power in range(3)]
    sums = [np.bincount(weekdays, one, DAYS_PER_WEEK).astype(np.float64) for one in powers]
    excess, scale = _excess_and_scale(*sums)
    without = [total[weekdays] - one for total, one in zip(sums, powers, strict=True)]
    excess_without, scale_without = _excess_and_scale(*without)
    scales = scale.sum() - scale[weekdays] + scale_without
    if scale.sum() <= 0 or (scales <= 0).any():
        return Estimate(None, reason="nearly all counts are 0")
    squared = float(excess.sum() / scale.sum())
    left_out = (excess.sum() - excess[weekdays] + excess_without) / scales
    n = len(totals)
    error_of_square = math.sqrt((n - 1) / n * float(((left_out - left_out.mean()) ** 2).sum()))
    value = math.sqrt(max(squared, 0.0))
    # Delta method; where the estimate is 0 the root of the square's error bounds it.
    error = error_of_square / (2 * value) if value > 0 else math.sqrt(error_of_square)
    return Estimate(value, error)


def dispersion_after_hour_of_week(
    weekdays: NDArray[np.int64], hourly: NDArray[np.float64]
) -> Estimate:
    """Estimate the index of dispersion of hourly counts once the hour of the week is removed.

    It is Pearson's statistic over its degrees of freedom: 1 for Poisson counts.

    Parameters
    ----------
    weekdays : NDArray, shape (n_days,)
        0 Monday to 6 Sunday.
    hourly : NDArray, shape (n_days, 24)
        Counts of complete days.

    Returns
    -------
    Estimate
        With a standard error from the spread between days: hours of one day are not independent.
    """
    n_of = np.bincount(weekdays, minlength=DAYS_PER_WEEK)
    seen_twice = n_of[weekdays] >= 2
    if int(seen_twice.sum()) < MIN_DAY_FREEDOM:
        return Estimate(None, reason="fewer than two weeks of complete days")
    day, counts = weekdays[seen_twice], hourly[seen_twice]
    mean = np.zeros((DAYS_PER_WEEK, HOURS_PER_DAY))
    np.add.at(mean, day, counts)
    mean /= np.maximum(n_of, 1)[:, np.newaxis]
    expected = mean[day]
    if not (expected > 0).any():
        return Estimate(None, reason="all counts are 0")
    squares = np.divide(
        (counts - expected) ** 2, expected, out=np.zeros_like(counts), where=expected > 0
    )
    cells = int((mean[np.unique(day)] > 0).sum())
    freedom = int((expected > 0).sum()) - cells
    per_day = squares.sum(axis=1)
    error = math.sqrt(len(per_day)) * float(per_day.std(ddof=1)) / freedom
    return Estimate(float(per_day.sum()) / freedom, error)


def variance_to_mean(counts: NDArray[np.float64]) -> Estimate:
    """Estimate variance over mean of counts, with the delta method's standard error.

    Parameters
    ----------
    counts : NDArray, shape (n,)
        Independent counts.
    """
    n = len(counts)
    if n < MIN_DAY_FREEDOM:
        return Estimate(None, reason=f"too few days ({n}); two weeks are needed")
    mean, variance = float(counts.mean()), float(counts.var(ddof=1))
    if mean == 0:
        return Estimate(None, reason="all counts are 0")
    from_mean = counts - mean
    influence = (from_mean**2 - variance) / mean - variance / mean**2 * from_mean
    return Estimate(variance / mean, float(influence.std(ddof=1)) / math.sqrt(n))


def peak_to_mean(totals: NDArray[np.float64]) -> Estimate:
    """Return the greatest day over the mean day."""
    if len(totals) < DAYS_PER_WEEK:
        return Estimate(None, reason=f"too few complete days ({len(totals)}); a week is needed")
    if totals.sum() == 0:
        return Estimate(None, reason="all counts are 0")
    return Estimate(float(totals.max() / totals.mean()))


def override_yaml(
    origin: str, hours: Mapping[str, Shape], weekdays: Shape, day_effect: Estimate
) -> str:
    """Return what was found as the lines of a scenario that ``extends`` another.

    Parameters
    ----------
    origin : str
        Where the numbers come from: file, counts, period.
    hours : mapping
        Hour shapes by the name the scenario shall give them.
    weekdays : Shape
        Weekday shape.
    day_effect : Estimate
        Coefficient of variation of the day effect.

    Raises
    ------
    ImportFileError
        When a shape's name cannot stand in a scenario.
    """
    wrong = [name for name in hours if not re.match(NAME_PATTERN, name)]
    if wrong:
        raise ImportFileError(
            f"name of the hour shape: {wrong[0]!r} must be lower-case letters, digits, underscores"
        )
    lines = [f"# source: {' '.join(origin.split())}"]
    told = {name: shape for name, shape in hours.items() if shape.weights is not None}
    body = ["  hours:"] if told else []
    body += [f"    {name}: {_listed(shape)}" for name, shape in told.items()]
    untold = {f"hours.{name}": shape.reason for name, shape in hours.items() if name not in told}
    if weekdays.weights is None:
        untold["weekdays"] = weekdays.reason
    else:
        body.append(f"  weekdays: {_listed(weekdays)}")
    if day_effect.value is None:
        untold["day_effect_cv"] = day_effect.reason
    else:
        error = day_effect.standard_error
        note = "" if error is None else f"  # standard error {error:.2g}"
        body.append(f"  day_effect_cv: {day_effect.value:.4f}{note}")
    lines += [f"# {name}: cannot tell: {reason}" for name, reason in untold.items()]
    lines += ["demand:", *body] if body else ["{}"]
    return "\n".join(lines) + "\n"


def _listed(shape: Shape) -> str:
    return "[" + ", ".join(f"{weight:.5f}" for weight in shape.weights or ()) + "]"


def _excess_and_scale(
    n: NDArray[np.float64], total: NDArray[np.float64], squares: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (n - 1)(s² - mean) and (n - 1)(mean² - s²/n); 0 where a single day tells nothing."""
    n_or_2 = np.maximum(n, 2.0)
    mean = total / n_or_2
    variance = (squares - total * mean) / (n_or_2 - 1)
    freedom = np.where(n >= 2, n - 1, 0.0)
    return freedom * (variance - mean), freedom * (mean**2 - variance / n_or_2)
