"""Reading a process log from CSV, one row per event."""

from collections.abc import Callable, Mapping
from pathlib import Path

from sim.demand.imports.event_log.log import ALIASES, NEEDED, LogBuilder
from sim.demand.imports.reading import find_columns, open_table

Progress = Callable[[int, int, str], None]
"""Is told bytes done, bytes in all, and what is done."""

_ROWS_PER_MOVE = 20_000


def read_csv_log(
    path: Path, builder: LogBuilder, columns: Mapping[str, str] | None, progress: Progress | None
) -> tuple[str, ...]:
    """Add the events of a CSV file to a log.

    Parameters
    ----------
    path : Path
        The file.
    builder : LogBuilder
        Takes the events; row 1 is the header.
    columns : mapping, optional
        Field to the file's own column name.
    progress : callable, optional
        Moves a progress bar.

    Returns
    -------
    tuple of str
        What had to be assumed.

    Raises
    ------
    ImportFileError
        When the file is no CSV or a needed column is missing.
    """
    table = open_table(path)
    place_of = list(find_columns(table, ALIASES, NEEDED, columns).items())
    n_values = len(table.header)
    n_bytes, mean_row_bytes = path.stat().st_size, 0.0
    n_rows = 0
    for row, values in table.rows():
        n_rows += 1
        mean_row_bytes += (sum(map(len, values)) + len(values) - mean_row_bytes) / n_rows
        if len(values) != n_values:
            builder.refused.add(row, "its number of values differs from the header's")
        else:
            builder.add(row, {field: values[place] for field, place in place_of})
        if progress is not None and n_rows % _ROWS_PER_MOVE == 0:
            progress(min(int(n_rows * mean_row_bytes), n_bytes), n_bytes, f"{n_rows:,} rows")
    if progress is not None:
        progress(n_bytes, n_bytes, f"{n_rows:,} rows")
    if table.is_encoding_guessed:
        return (f"encoding not told and not UTF-8: read as {table.encoding}",)
    if table.encoding == "utf-16":
        return ("encoding UTF-16, by its byte order mark",)
    return ()
