"""Random variates as functions of uniform numbers, one by one and whole arrays at once.

Both forms compute the same formula, so a variate drawn alone equals the one drawn with many.
"""

import math

import numpy as np
from numpy.typing import NDArray

from sim.scenario.base import Distribution


def variate(family: str, mean: float, cv: float, u0: float, u1: float) -> float:
    """Return one variate.

    Parameters
    ----------
    family : str
        ``constant``, ``exponential``, ``lognormal`` or ``uniform`` (0 to twice the mean).
    mean : float
        Mean, in any unit, >= 0; at 0 the variate is 0.
    cv : float
        Coefficient of variation of ``lognormal``, >= 0; others ignore it.
    u0, u1 : float
        Independent uniform numbers in (0, 1); only ``lognormal`` uses the second.

    Raises
    ------
    ValueError
        When the family is unknown.

    References
    ----------
    Box and Muller (1958), A note on the generation of random normal deviates.
    """
    if family == "constant":
        return mean
    if family == "exponential":
        return -mean * math.log(u0)
    if family == "uniform":
        return 2.0 * mean * u0
    if family == "lognormal":
        if mean == 0.0:
            return 0.0
        mu, sigma = lognormal_parameters(mean, cv)
        normal = math.sqrt(-2.0 * math.log(u0)) * math.cos(2.0 * math.pi * u1)
        return math.exp(mu + sigma * normal)
    raise ValueError(_unknown(family))


def variates(
    family: str, mean: float, cv: float, u0: NDArray[np.float64], u1: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return :func:`variate` element by element, shape of ``u0``, equal within rounding.

    Raises
    ------
    ValueError
        When the family is unknown.
    """
    if family == "constant":
        return np.full(u0.shape, mean)
    if family == "exponential":
        return -mean * np.log(u0)
    if family == "uniform":
        return 2.0 * mean * u0
    if family == "lognormal":
        if mean == 0.0:
            return np.zeros(u0.shape)
        mu, sigma = lognormal_parameters(mean, cv)
        normal = np.sqrt(-2.0 * np.log(u0)) * np.cos(2.0 * np.pi * u1)
        return np.exp(mu + sigma * normal)
    raise ValueError(_unknown(family))


def lognormal_parameters(mean: float, cv: float) -> tuple[float, float]:
    """Return mu and sigma of the log of a variate with this mean (> 0) and this cv (>= 0)."""
    sigma = math.sqrt(math.log1p(cv * cv))
    return math.log(mean) - sigma * sigma / 2.0, sigma


def variate_of(distribution: Distribution, u0: float, u1: float) -> float:
    """Return one variate of a scenario's distribution, s."""
    return variate(distribution.distribution, distribution.mean_s, distribution.cv, u0, u1)


def variates_of(
    distribution: Distribution, u0: NDArray[np.float64], u1: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return many variates of a scenario's distribution, s, shape of ``u0``."""
    return variates(distribution.distribution, distribution.mean_s, distribution.cv, u0, u1)


def _unknown(family: str) -> str:
    return f"unknown family {family!r}; known: constant, exponential, lognormal, uniform"
