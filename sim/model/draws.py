"""The random numbers of one attempt, all functions of the request's key.

Those of first attempts are drawn for the whole trace at once; those of retries and job
items one by one, the same function of (key, attempt, slot).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.trace import Trace
from sim.demand.variates import variate
from sim.scenario.base import Distribution
from sim.streams import uniform, uniform_array

PATIENCE_SLOT = 0
JITTER_SLOT = 1
FIRST_PROGRAM_SLOT = 2
LAST_SLOT = 63

COIN = "coin"
"""Family of a bare uniform number, for a yes-or-no decision."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One random number of a program.

    Attributes
    ----------
    number : int
        Slot of the key, ``FIRST_PROGRAM_SLOT`` to ``LAST_SLOT``.
    family : str
        Family of a ``Distribution``, or ``COIN``.
    mean, cv : float
        Its parameters; the mean in s.
    """

    number: int
    family: str
    mean: float = 0.0
    cv: float = 1.0

    @classmethod
    def of(cls, number: int, distribution: Distribution) -> "Slot":
        """Return the slot that draws from a distribution."""
        return cls(number, distribution.distribution, distribution.mean_s, distribution.cv)

    def draw(self, key: int, attempt: int) -> float:
        """Return the number of one attempt."""
        first = uniform(key, attempt, self.number)
        if self.family == COIN:
            return first
        return variate(
            self.family, self.mean, self.cv, first, uniform(key, attempt, self.number, 1)
        )

    def draw_all(self, keys: NDArray[np.uint64]) -> NDArray[np.float64]:
        """Return the numbers of many first attempts, shape of ``keys``."""
        first = uniform_array(keys, 0, self.number)
        if self.family == COIN:
            return first
        second = uniform_array(keys, 0, self.number, 1)
        # One by one, not by NumPy, whose last digits depend on the processor: the same bits as
        # those of later attempts and of the compiled engine.
        pairs = zip(first.tolist(), second.tolist(), strict=True)
        return np.array([variate(self.family, self.mean, self.cv, *pair) for pair in pairs])


class Draws:
    """The random numbers of one attempt, by position in its program's slots."""

    __slots__ = ("_base", "_values")

    def __init__(self, values: Sequence[float] | memoryview, base: int = 0) -> None:
        self._values = values
        self._base = base

    def __getitem__(self, position: int) -> float:
        """Return the number at a position."""
        return self._values[self._base + position]


@dataclass(frozen=True, slots=True)
class FirstDraws:
    """All random numbers of the first attempts of a trace.

    Attributes
    ----------
    values : memoryview of float64
        Request after request, slot after slot.
    first : memoryview of int64
        Where each request's numbers begin.
    """

    values: memoryview
    first: memoryview

    def of(self, request: int) -> Draws:
        """Return the numbers of one request's first attempt."""
        return Draws(self.values, self.first[request])


def draw_first(trace: Trace, slots: Sequence[Sequence[Slot]]) -> FirstDraws:
    """Draw every random number of the first attempts.

    Parameters
    ----------
    trace : Trace
        The requests.
    slots : sequence of sequences of Slot
        Slots of each endpoint's program, by endpoint index.
    """
    counts = np.array([len(of_endpoint) for of_endpoint in slots], dtype=np.int64)
    first = np.zeros(trace.n_requests + 1, dtype=np.int64)
    np.cumsum(counts[trace.endpoint], out=first[1:])
    values = np.empty(int(first[-1]))
    for endpoint, of_endpoint in enumerate(slots):
        requests = np.flatnonzero(trace.endpoint == endpoint)
        keys = trace.key[requests]
        for position, slot in enumerate(of_endpoint):
            values[first[requests] + position] = slot.draw_all(keys)
    return FirstDraws(values.data, first.data)
