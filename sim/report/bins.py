"""Stretches of time that figures average over."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NICE_S = (
    *(1.0, 2.0, 5.0, 10.0, 20.0, 30.0),
    *(60.0, 120.0, 300.0, 600.0, 900.0, 1800.0),
    *(3600.0, 7200.0, 10800.0, 21600.0, 43200.0, 86400.0),
)
"""Lengths people read easily; beyond them whole days."""

HEAT_COLUMN_S = 600.0
"""Column of a heat map over a short window."""
SHORT_S = 3 * 3600.0
"""A window shorter than this has columns of ``HEAT_COLUMN_S``."""


@dataclass(frozen=True, slots=True)
class Bins:
    """Equal stretches from 0 on; the last may be cut off.

    Attributes
    ----------
    length_s : float
        Length of one, s, > 0.
    end_s : float
        End of the last, s.
    """

    length_s: float
    end_s: float

    @property
    def n(self) -> int:
        """Number of bins."""
        return max(1, math.ceil(self.end_s / self.length_s - 1e-9))

    @property
    def edges_s(self) -> NDArray[np.float64]:
        """Where they begin and the last one ends, s, shape (n + 1,)."""
        edges: NDArray[np.float64] = np.minimum(np.arange(self.n + 1) * self.length_s, self.end_s)
        return edges

    @property
    def lengths_s(self) -> NDArray[np.float64]:
        """Length of each, s, shape (n,)."""
        return np.diff(self.edges_s)

    def index(self, at_s: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the bin of each time; times outside count to the nearest."""
        return np.clip((at_s / self.length_s).astype(np.int64), 0, self.n - 1)


def bins_for(end_s: float, at_most: int, *, multiple_of_s: float = 0.0) -> Bins:
    """Return bins of a length that reads easily, not more than so many.

    Parameters
    ----------
    end_s : float
        End of the last, s, > 0.
    at_most : int
        Number of bins at most.
    multiple_of_s : float
        Lengths are whole multiples of it; 0 for any.
    """
    least_s = end_s / at_most
    length_s = next((nice for nice in _NICE_S if nice >= least_s), 0.0)
    length_s = length_s or math.ceil(least_s / _NICE_S[-1]) * _NICE_S[-1]
    if multiple_of_s > 0:
        length_s = math.ceil(length_s / multiple_of_s - 1e-9) * multiple_of_s
    return Bins(length_s, end_s)


def heat_bins(end_s: float) -> Bins:
    """Return the columns of a heat map: ten minutes, hours, or days."""
    if end_s < SHORT_S:
        return Bins(HEAT_COLUMN_S, end_s)
    return bins_for(end_s, 48, multiple_of_s=3600.0)
