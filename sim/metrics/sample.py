"""The numbers behind one metric in one replication, and columns of records as arrays."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Values = NDArray[np.float64] | NDArray[np.bool_] | NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Sample:
    """The numbers of one group and quantity in one replication.

    Attributes
    ----------
    at_s : NDArray, shape (n,), or None
        When each belongs to, s from the window's start, in [warm_up_s, duration_s); None where
        nobody asked, and of what is only known at the end.
    values : NDArray, shape (n,)
        The numbers; of a rate only how many there are counts.
    weights : NDArray, shape (n,), or None
        Weights in their mean; None for equal ones.
    is_known : bool
        False where the records cannot tell: no rate then, and not a rate of 0.
    """

    at_s: Floats | None
    values: Values
    weights: Floats | None = None
    is_known: bool = True


def encoded(table: pa.Table, column: str) -> tuple[list[str], NDArray[np.int32]]:
    """Return the names and the codes of a dictionary column; null is -1."""
    array = table[column].unify_dictionaries()
    if array.num_chunks == 0:
        return [], np.empty(0, dtype=np.int32)
    codes = np.concatenate([chunk.indices.fill_null(-1).to_numpy() for chunk in array.chunks])
    return array.chunk(0).dictionary.to_pylist(), codes


def floats(table: pa.Table, column: str) -> Floats:
    """Return a column of numbers."""
    values: Floats = table[column].to_numpy()
    return values
