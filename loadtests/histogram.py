"""Counts of response times in the bins of an HdrHistogram, as plain arrays.

The layout is that of an HdrHistogram over microseconds with two significant digits, so counts can
be handed on in its standard form; but whole arrays are binned at once and quantiles are one
cumulative sum, where the library does one Python step per value and per bin.
"""

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

LONGEST_S = 3600.0
"""Longer times count as this long."""

_UNIT_S = 1e-6
_DIGITS = 2
_HALF_BITS = 7  # 2^8 values of single resolution hold two significant digits
_HALF = 1 << _HALF_BITS
_LONGEST = round(LONGEST_S / _UNIT_S)


def bins_of(time_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each time.

    Parameters
    ----------
    time_s : NDArray, shape (n,)
        Times, s, >= 0; finite.

    Returns
    -------
    NDArray, shape (n,)
        Indices into counts of :data:`N_BINS` bins.
    """
    ticks = np.clip(np.rint(time_s / _UNIT_S), 0, _LONGEST)
    bucket = np.maximum(np.frexp(ticks)[1] - (_HALF_BITS + 1), 0).astype(np.int64)
    within = ticks.astype(np.int64) >> bucket
    bins: NDArray[np.int64] = (bucket << _HALF_BITS) + within
    return bins


N_BINS = int(bins_of(np.array([LONGEST_S]))[0]) + 1
"""Number of bins."""


def _upper_ends() -> NDArray[np.float64]:
    index = np.arange(N_BINS)
    bucket = np.maximum((index >> _HALF_BITS) - 1, 0)
    within = index - (bucket << _HALF_BITS)
    ends: NDArray[np.float64] = (((within + 1) << bucket) - 1) * _UNIT_S
    return ends


VALUES_S = _upper_ends()
"""Largest time of each bin, s, shape (N_BINS,); at most 1 % above its smallest."""


def quantile_s(counts: Counts, share: float) -> float:
    """Return the time that this share of the counted times does not exceed, s; NaN without any."""
    reached = np.cumsum(counts)
    if reached[-1] == 0:
        return float("nan")
    wanted = max(1, int(np.ceil(share * reached[-1])))
    return float(VALUES_S[np.searchsorted(reached, wanted)])


def hdr_bytes(counts: Counts) -> bytes:
    """Return counts as a compressed HdrHistogram (V2, base64), in microseconds.

    ``hdrh.histogram.HdrHistogram.decode`` and every other implementation reads and merges it.
    """
    from hdrh.histogram import HdrHistogram

    histogram = HdrHistogram(1, _LONGEST, _DIGITS)
    for index in np.flatnonzero(counts).tolist():
        value = round(float(VALUES_S[index]) / _UNIT_S)
        histogram.record_value(value, int(counts[index]))
    encoded: bytes = histogram.encode()
    return encoded
