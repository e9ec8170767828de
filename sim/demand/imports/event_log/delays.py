"""Working time between two steps, as mixtures of log-normals fitted to many kinds at once.

Steps done in one sitting follow each other in seconds, others wait for days: one log-normal fits
neither. What had not ended when the log did is right-censored, not left out: leaving it out would
make long waits rare.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COMPONENTS = 3
"""Log-normals of a mixture at most; how many is decided by BIC."""

MIN_DELAYS = 30
"""A kind of step with fewer delays takes the mixture of a wider kind."""

SHORTEST_S = 1.0
"""Logs are written to the second."""

_STEPS = 25
_STEPS_AGAIN = 6
_LEAST_SD = 0.1
_LEAST_WEIGHT = 1e-9


@dataclass(frozen=True, slots=True)
class Mixtures:
    """Mixtures of log-normals, one row per kind of step.

    Attributes
    ----------
    weight, mean, sd : NDArray, shape (n_kinds, COMPONENTS)
        Of the logarithm of the delay in s; weights of a row sum to 1.
    """

    weight: NDArray[np.float64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]

    def draw_s(self, kind: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw a delay for each kind of step, s."""
        upto = np.cumsum(self.weight, axis=1)[kind]
        part = (rng.random(len(kind))[:, np.newaxis] > upto).sum(axis=1)
        part = np.minimum(part, COMPONENTS - 1)
        normal = rng.standard_normal(len(kind))
        result: NDArray[np.float64] = np.exp(self.mean[kind, part] + self.sd[kind, part] * normal)
        return result

    def survival(
        self, kind: NDArray[np.int64], delay_s: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the chance of a longer delay."""
        from scipy.special import ndtr

        log = np.log(np.maximum(delay_s, SHORTEST_S))
        z = (log[:, np.newaxis] - self.mean[kind]) / self.sd[kind]
        result: NDArray[np.float64] = (self.weight[kind] * ndtr(-z)).sum(axis=1)
        return result

    def mean_s(self) -> NDArray[np.float64]:
        """Return the mean delay of each kind, s."""
        result: NDArray[np.float64] = (self.weight * np.exp(self.mean + self.sd**2 / 2)).sum(axis=1)
        return result


@dataclass(frozen=True, slots=True)
class Delays:
    """Delays to fit: seen ones, and lower bounds of such as had not ended.

    Attributes
    ----------
    log : NDArray, shape (n,)
        Logarithm of the delay or of its lower bound, in s.
    kind : NDArray of int, shape (n,)
        Kind of step.
    weight : NDArray, shape (n,)
        How much each counts, >= 0.
    is_censored : NDArray of bool, shape (n,)
        Whether it is a lower bound.
    """

    log: NDArray[np.float64]
    kind: NDArray[np.int64]
    weight: NDArray[np.float64]
    is_censored: NDArray[np.bool_]


def fit_mixtures(delays: Delays, n_kinds: int) -> Mixtures:
    """Fit a mixture for each kind; the number of its parts is the one with the least BIC."""
    best = _fit(delays, n_kinds, 1)
    least = _bic(delays, best, n_kinds, 1)
    for parts in range(2, COMPONENTS + 1):
        other = _fit(delays, n_kinds, parts)
        bic = _bic(delays, other, n_kinds, parts)
        take = (bic < least)[:, np.newaxis]
        best = Mixtures(
            np.where(take, other.weight, best.weight),
            np.where(take, other.mean, best.mean),
            np.where(take, other.sd, best.sd),
        )
        least = np.minimum(bic, least)
    return best


def refit_mixtures(delays: Delays, start: Mixtures, steps: int = _STEPS_AGAIN) -> Mixtures:
    """Improve mixtures for other delays or weights; their numbers of parts stay."""
    mixtures = start
    for _ in range(steps):
        mixtures = _improved(delays, mixtures)
    return mixtures


def _fit(delays: Delays, n_kinds: int, parts: int) -> Mixtures:
    """Return the fit with so many parts, begun at equal slices of the sorted delays."""
    order = np.lexsort((delays.log, delays.kind))
    kind = delays.kind[order]
    n_of = np.bincount(kind, minlength=n_kinds)
    rank = np.arange(len(kind)) - (np.cumsum(n_of) - n_of)[kind]
    part = np.minimum(rank * parts // np.maximum(n_of[kind], 1), COMPONENTS - 1)
    cell = kind * COMPONENTS + part
    shape = (n_kinds, COMPONENTS)
    size = n_kinds * COMPONENTS
    counts = np.bincount(cell, minlength=size).reshape(shape)
    sums = np.bincount(cell, delays.log[order], size).reshape(shape)
    weight = np.where(np.arange(COMPONENTS) < parts, 1.0 / parts, 0.0) * np.ones((n_kinds, 1))
    start = Mixtures(weight, sums / np.maximum(counts, 1), np.full(shape, 1.0))
    return refit_mixtures(delays, start, _STEPS)


def _improved(delays: Delays, old: Mixtures) -> Mixtures:
    """Return one step of expectation and maximisation; kinds without delays stay."""
    from scipy.special import log_ndtr

    kind, log = delays.kind, delays.log[:, np.newaxis]
    mean, sd = old.mean[kind], old.sd[kind]
    z = (log - mean) / sd
    density = -0.5 * z**2 - np.log(sd)
    first, spread = np.broadcast_to(log, z.shape).copy(), np.zeros(z.shape)
    if delays.is_censored.any():
        # Of a censored delay the expected logarithm and its square given that it is longer.
        own = delays.is_censored
        tail = log_ndtr(-z[own])
        hazard = np.exp(-0.5 * z[own] ** 2 - 0.5 * np.log(2 * np.pi) - tail)
        density[own] = tail
        first[own] = mean[own] + sd[own] * hazard
        spread[own] = sd[own] ** 2 * np.maximum(1 + z[own] * hazard - hazard**2, 0.0)
    with np.errstate(divide="ignore"):
        joint = np.log(old.weight)[kind] + density
    joint -= joint.max(axis=1, keepdims=True)
    share = np.exp(joint)
    share *= (delays.weight / share.sum(axis=1))[:, np.newaxis]
    n_kinds = len(old.weight)
    total = _sums(kind, share, n_kinds)
    safe = np.maximum(total, _LEAST_WEIGHT)
    new_mean = _sums(kind, share * first, n_kinds) / safe
    new_square = _sums(kind, share * ((first - new_mean[kind]) ** 2 + spread), n_kinds) / safe
    of_kind = total.sum(axis=1, keepdims=True)
    is_known = (total > _LEAST_WEIGHT) & (of_kind > _LEAST_WEIGHT)
    weight = np.where(
        of_kind > _LEAST_WEIGHT, total / np.maximum(of_kind, _LEAST_WEIGHT), old.weight
    )
    return Mixtures(
        weight,
        np.where(is_known, new_mean, old.mean),
        np.where(is_known, np.maximum(np.sqrt(new_square), _LEAST_SD), old.sd),
    )


def _sums(
    kind: NDArray[np.int64], values: NDArray[np.float64], n_kinds: int
) -> NDArray[np.float64]:
    columns = [np.bincount(kind, values[:, i], n_kinds) for i in range(COMPONENTS)]
    return np.stack(columns, axis=1)


def _bic(delays: Delays, mixtures: Mixtures, n_kinds: int, parts: int) -> NDArray[np.float64]:
    from scipy.special import log_ndtr

    log = delays.log[:, np.newaxis]
    mean, sd = mixtures.mean[delays.kind], mixtures.sd[delays.kind]
    z = (log - mean) / sd
    seen = -0.5 * z**2 - np.log(sd) - 0.5 * np.log(2 * np.pi)
    one = np.where(delays.is_censored[:, np.newaxis], log_ndtr(-z), seen)
    likelihood = (mixtures.weight[delays.kind] * np.exp(one)).sum(axis=1)
    gained = delays.weight * np.log(np.maximum(likelihood, 1e-300))
    n_of = np.bincount(delays.kind, delays.weight, n_kinds)
    free = 3 * parts - 1
    result: NDArray[np.float64] = free * np.log(np.maximum(n_of, 1.0)) - 2 * np.bincount(
        delays.kind, gained, n_kinds
    )
    return result
