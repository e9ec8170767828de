"""Parquet files of the record tables: written with checksums, read by replication."""

import contextlib
import errno
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sim.results.records import TABLES, Records, ResultsError, rows_of, written_whole

_ROWS_PER_GROUP = 1 << 20
"""Rows of a row group at most; a group never holds two replications."""

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def table_file(folder: Path, name: str) -> Path:
    """Return the file of a table in a run's folder."""
    return folder / f"{name}.parquet"


def save_records(records: Records, folder: Path) -> None:
    """Write the records of one replication as a folder that appears complete or not at all.

    Raises
    ------
    ResultsError
        When a table has another schema, or the disk does not take it.
    """
    with writing(folder), written_whole(folder) as temporary:
        temporary.mkdir()
        for name, schema in TABLES.items():
            with _writer(table_file(temporary, name), schema) as writer:
                _append(writer, name, records.table(name))


def load_records(folder: Path) -> Records:
    """Read what :func:`save_records` wrote, verifying every page.

    Raises
    ------
    ResultsError
        When a file is missing or damaged.
    """
    return Records(**{name: read_table(folder, name) for name in TABLES})


def save_concatenated(parts: Sequence[Path], folder: Path) -> None:
    """Write the tables of several folders, in the order given, into one existing folder.

    Memory holds one table of one part at a time.
    """
    for name, schema in TABLES.items():
        with _writer(table_file(folder, name), schema) as writer:
            for part in parts:
                _append(writer, name, read_table(part, name))


def read_table(
    folder: Path,
    name: str,
    columns: Sequence[str] | None = None,
    *,
    replication: int | None = None,
) -> pa.Table:
    """Read columns of a table, of all replications or of one.

    Parameters
    ----------
    folder : Path
        Folder of a run.
    name : str
        Name of a table of ``TABLES``.
    columns : sequence of str, optional
        Which columns, in this order; absent: all. Only these are read.
    replication : int, optional
        Which replication; absent: all. Only its row groups are read.

    Raises
    ------
    ResultsError
        When the file is missing or damaged, or is no table of this kind.
    """
    path = table_file(folder, name)
    wanted = list(TABLES[name].names if columns is None else columns)
    read = wanted if replication is None else [*dict.fromkeys([*wanted, "replication"])]
    try:
        with pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file:
            _check_schema(path, name, file.schema_arrow)
            table = file.read_row_groups(_row_groups(file, replication), columns=read)
    except FileNotFoundError as error:
        raise ResultsError(f"{path}: not found; the run is not whole: run it again") from error
    except (pa.ArrowException, OSError) as error:
        raise ResultsError(f"{path}: damaged, run it again: {error}") from error
    if replication is not None:
        table = rows_of(table, replication)
    return table.select(wanted)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the operating system says against writing into a ``ResultsError``."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise ResultsError(
                f"{path}: the disk is full; free some space and give the same command again: "
                "finished replications are kept"
            ) from error
        raise ResultsError(f"{path}: cannot be written: {error}") from error


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True)


def _append(writer: pq.ParquetWriter, name: str, table: pa.Table) -> None:
    if not table.schema.equals(TABLES[name]):
        raise ResultsError(f"table {name}: columns {table.schema.names}, not of this version")
    if table.num_rows:
        writer.write_table(table, row_group_size=_ROWS_PER_GROUP)


def _check_schema(path: Path, name: str, schema: pa.Schema) -> None:
    missing = set(TABLES[name].names) - set(schema.names)
    if missing:
        raise ResultsError(f"{path}: no table of {name}: without {', '.join(sorted(missing))}")
    if not schema.equals(TABLES[name]):
        raise ResultsError(f"{path}: columns of another kind than this hoso writes")


def _row_groups(file: pq.ParquetFile, replication: int | None) -> Iterable[int]:
    """Return the row groups that may hold a replication."""
    groups = range(file.metadata.num_row_groups)
    if replication is None:
        return groups
    column = file.schema_arrow.get_field_index("replication")
    bounds = [file.metadata.row_group(group).column(column).statistics for group in groups]
    return [
        group
        for group, bound in zip(groups, bounds, strict=True)
        if bound is None or not bound.has_min_max or bound.min <= replication <= bound.max
    ]
