"""Parquet files of the record tables: written with checksums, read by replication."""

import contextlib
import errno
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue

from sim.results.records import (
    ROWS_AT_ONCE,
    TABLES,
    Records,
    ResultsError,
    rows_of,
    written_whole,
)

_NOTES = "notes.json"

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def table_file(folder: Path, name: str) -> Path:
    """Return the file of a table in a run's folder."""
    return folder / f"{name}.parquet"


class RecordsWriter:
    """Writes the tables of one replication part by part, in bounded memory.

    However the rows are cut into parts, the files are the same.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._notes: dict[str, JsonValue] = {}
        self._tables = {
            name: _TableWriter(table_file(folder, name), schema) for name, schema in TABLES.items()
        }

    def append(self, records: Records) -> None:
        """Append the next rows of each table; they follow, in order, those appended before.

        Raises
        ------
        ResultsError
            When a table has another schema.
        """
        for name in self._tables:
            self.append_rows(name, records.table(name))
        self.append_notes(records.notes)

    def append_rows(self, name: str, rows: pa.Table) -> None:
        """Append the next rows of one table (see :meth:`append`)."""
        self._tables[name].append(checked(name, rows))

    def append_notes(self, notes: Mapping[str, JsonValue]) -> None:
        """Add to what is noted."""
        self._notes.update(notes)

    def finish(self) -> None:
        """Write what is still in memory, and the files' ends."""
        for writer in self._tables.values():
            writer.finish()
        if self._notes:
            (self._folder / _NOTES).write_text(json.dumps(self._notes, allow_nan=False))

    def close(self) -> None:
        """Close the files, finished or not."""
        for writer in self._tables.values():
            writer.close()


def save_table(table: pa.Table, folder: Path, name: str) -> None:
    """Write a table of any schema into an existing folder."""
    pq.write_table(table, table_file(folder, name), compression="zstd", write_page_checksum=True)


@contextlib.contextmanager
def saving(folder: Path) -> Iterator[RecordsWriter]:
    """Give a writer into a folder that appears complete when the block succeeds, or not at all.

    Raises
    ------
    ResultsError
        When the disk does not take it.
    """
    with writing(folder), written_whole(folder) as temporary:
        temporary.mkdir()
        writer = RecordsWriter(temporary)
        try:
            yield writer
            writer.finish()
        finally:
            writer.close()


def read_notes(folder: Path) -> dict[str, JsonValue]:
    """Return what was noted beside the tables of one replication, mostly nothing."""
    path = folder / _NOTES
    notes: dict[str, JsonValue] = json.loads(path.read_text()) if path.exists() else {}
    return notes


def check_files(folder: Path) -> None:
    """Read what :func:`saving` wrote, verifying every page; memory holds one row group at a time.

    Raises
    ------
    ResultsError
        When a file is missing or damaged.
    """
    for name in TABLES:
        for _ in _groups_of(folder, name):
            pass


def save_concatenated(parts: Sequence[Path], folder: Path) -> None:
    """Write the tables of several folders, in the order given, into one existing folder.

    Memory holds one row group at a time.
    """
    for name, schema in TABLES.items():
        with contextlib.closing(_TableWriter(table_file(folder, name), schema)) as writer:
            for part in parts:
                for group in _groups_of(part, name):
                    writer.append(group)
                writer.finish()


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
    wanted = list(TABLES[name].names if columns is None else columns)
    read = wanted if replication is None else [*dict.fromkeys([*wanted, "replication"])]
    with _opened(folder, name) as file:
        table = file.read_row_groups(_row_groups(file, replication), columns=read)
    if replication is not None:
        table = rows_of(table, replication)
    return table.select(wanted)


def read_pieces(
    folder: Path, name: str, columns: Sequence[str], *, replication: int
) -> Iterator[pa.Table]:
    """Yield what :func:`read_table` returns, one row group after the other."""
    wanted = list(columns)
    with _opened(folder, name) as file:
        for group in _row_groups(file, replication):
            table = file.read_row_group(group, columns=[*dict.fromkeys([*wanted, "replication"])])
            yield rows_of(table, replication).select(wanted)


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


class _TableWriter:
    """Writes row groups of one size, whatever the size of the pieces it is given."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._file = pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True)
        self._waiting: list[pa.Table] = []
        self._n_waiting = 0

    def append(self, table: pa.Table) -> None:
        """Take rows; whole groups are written at once."""
        self._waiting.append(table)
        self._n_waiting += table.num_rows
        while self._n_waiting >= ROWS_AT_ONCE:
            self._write(ROWS_AT_ONCE)

    def finish(self) -> None:
        """Write the last, shorter group; what follows begins a new one."""
        if self._n_waiting:
            self._write(self._n_waiting)

    def close(self) -> None:
        self._file.close()

    def _write(self, n: int) -> None:
        self._file.write_table(self._taken(n), row_group_size=ROWS_AT_ONCE)

    def _taken(self, n: int) -> pa.Table:
        """Take the first rows that wait, in one piece."""
        rows = pa.concat_tables(self._waiting).unify_dictionaries()
        self._waiting = [rows.slice(n)]
        self._n_waiting -= n
        return rows.slice(0, n).combine_chunks()


def checked(name: str, table: pa.Table) -> pa.Table:
    """Return a table, if it has the schema of this name."""
    if not table.schema.equals(TABLES[name]):
        raise ResultsError(f"table {name}: columns {table.schema.names}, not of this version")
    return table


@contextlib.contextmanager
def _opened(folder: Path, name: str) -> Iterator[pq.ParquetFile]:
    """Open a table's file; what is wrong with it, now or when it is read, is a ResultsError."""
    path = table_file(folder, name)
    try:
        with pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file:
            _check_schema(path, name, file.schema_arrow)
            yield file
    except FileNotFoundError as error:
        raise ResultsError(f"{path}: not found; the run is not whole: run it again") from error
    except (pa.ArrowException, OSError) as error:
        raise ResultsError(f"{path}: damaged, run it again: {error}") from error


def _groups_of(folder: Path, name: str) -> Iterator[pa.Table]:
    """Yield the row groups of a table."""
    with _opened(folder, name) as file:
        for group in range(file.metadata.num_row_groups):
            yield file.read_row_group(group)


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
