"""Rows that come in any order of sessions: put aside on disk, and read back sorted.

Part after part is written to a file of its own, cut where a new stretch of sessions begins; a
stretch is then read from all files and sorted. So memory holds one part, or one stretch.

References
----------
Knuth (1998), The Art of Computer Programming 3, section 5.4: external sorting.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.results.records import FILED

_STRETCHES_AT_MOST = 2**32
"""Stretches of one way of filing are fewer: sessions are numbered in 31 bits."""

SORTED_BY = ("session", "step", "attempt")
"""Columns that rows are sorted by; a table has the first of them, and perhaps the others."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows of one stretch of sessions in one file."""

    path: Path
    index: int

    def read(self) -> pa.Table:
        with pa.memory_map(str(self.path)) as source, pa.ipc.open_file(source) as file:
            return pa.Table.from_batches([file.get_batch(self.index)])


class Spill:
    """Rows of one table, on disk until all are there.

    Parameters
    ----------
    folder : Path
        An existing folder; whoever made it removes it.
    name : str
        Name of the table.
    sessions_at_once : int
        Sessions of a stretch, >= 1.
    """

    def __init__(self, folder: Path, name: str, sessions_at_once: int) -> None:
        self._folder = folder
        self._name = name
        self._sessions_at_once = sessions_at_once
        self._stretches: defaultdict[int, list[_Batch]] = defaultdict(list)
        self._n_files = 0

    def append(self, table: pa.Table) -> None:
        """Put rows aside; the better they are sorted, the fewer batches they make."""
        if not table.num_rows:
            return
        path = self._folder / f"{self._name}-{self._n_files}.arrow"
        self._n_files += 1
        stretch = self._stretches_of(table)
        bounds = [0, *(np.flatnonzero(np.diff(stretch)) + 1).tolist(), table.num_rows]
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(str(path), table.schema, options=options) as file:
            rows = table.combine_chunks()
            for index, (start, stop) in enumerate(pairwise(bounds)):
                file.write_table(rows.slice(start, stop - start))
                self._stretches[int(stretch[start])].append(_Batch(path, index))

    def _stretches_of(self, table: pa.Table) -> NDArray[np.int64]:
        """Return the stretch of each row; dossiers come by how they were filed first."""
        stretch: NDArray[np.int64] = table["session"].to_numpy() // self._sessions_at_once
        if "filed" not in table.column_names:
            return stretch
        filed = table["filed"].unify_dictionaries().combine_chunks()
        rank = np.array([FILED.index(name) for name in filed.dictionary.to_pylist()])
        first: NDArray[np.int64] = rank[filed.indices.to_numpy()] * _STRETCHES_AT_MOST
        return stretch + first

    def merged(self) -> Iterator[pa.Table]:
        """Yield all rows in their final order, one stretch of sessions after the other."""
        for _, batches in sorted(self._stretches.items()):
            rows = pa.concat_tables([batch.read() for batch in batches]).unify_dictionaries()
            keys = [rows[name].to_numpy() for name in SORTED_BY if name in rows.column_names]
            yield rows.take(np.lexsort(keys[::-1]))
