"""Record tables: one schema for simulated and measured runs; ``results/README.md`` documents it."""

import contextlib
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from pydantic import JsonValue

RECORDS_VERSION = 2
"""Version of the tables; a run of another version is refused."""

ROWS_AT_ONCE = 1 << 20
"""Rows of a row group, and of a piece, at most; a group never holds two replications."""

OUTCOMES = ("ok", "rejected", "timed_out", "failed", "abandoned")
"""How a request ended. Rejected: refused at a full queue. Timed out: a limit on the server's side.
Failed: an error answer. Abandoned: the client's patience, or the run, ended before the answer."""

FILED = ("portal", "online", "counter", "backlog")
"""How a dossier came: by a request to the portal, online straight from the demand, over the
counter, or it was open when the window began."""

_TEXT = pa.dictionary(pa.int32(), pa.string())

REQUESTS = pa.schema(
    [
        ("replication", pa.int32()),
        ("session", pa.int32()),
        ("step", pa.int32()),
        ("attempt", pa.int16()),
        ("endpoint", _TEXT),
        ("service", _TEXT),
        ("channel", _TEXT),
        ("due_s", pa.float64()),
        ("sent_s", pa.float64()),
        ("wait_s", pa.float64()),
        ("response_s", pa.float64()),
        ("outcome", _TEXT),
        ("bytes_up", pa.int64()),
    ]
)
SESSIONS = pa.schema(
    [
        ("replication", pa.int32()),
        ("session", pa.int32()),
        ("journey", _TEXT),
        ("service", _TEXT),
        ("channel", _TEXT),
        ("arrival_s", pa.float64()),
        ("end_s", pa.float64()),
        ("requests", pa.int32()),
        ("outcome", _TEXT),
    ]
)
DOSSIERS = pa.schema(
    [
        ("replication", pa.int32()),
        ("session", pa.int32()),
        ("step", pa.int32()),
        ("attempt", pa.int16()),
        ("service", _TEXT),
        ("submitted_s", pa.float64()),
        ("acknowledged_s", pa.float64()),
        ("received_s", pa.float64()),
        ("synced_s", pa.float64()),
        ("decided_s", pa.float64()),
        ("due_s", pa.float64()),
        ("outcome", _TEXT),
        ("filed", _TEXT),
        ("domain", _TEXT),
        ("office", _TEXT),
        ("reception_office", _TEXT),
        ("state", _TEXT),
        ("reception_due_s", pa.float64()),
        ("closed_s", pa.float64()),
        ("waiting_officer_s", pa.float64()),
        ("working_s", pa.float64()),
        ("waiting_citizen_s", pa.float64()),
        ("waiting_agency_s", pa.float64()),
        ("waiting_system_s", pa.float64()),
        ("supplements", pa.int32()),
        ("notice_late", pa.bool_()),
        ("apologised", pa.bool_()),
    ]
)
LEVELS = pa.schema(
    [
        ("replication", pa.int32()),
        ("station", _TEXT),
        ("from_s", pa.float64()),
        ("to_s", pa.float64()),
        ("capacity", pa.float64()),
        ("utilisation", pa.float64()),
        ("busy_mean", pa.float64()),
        ("queue_mean", pa.float64()),
        ("queue_max", pa.float64()),
        ("queue_age_max_s", pa.float64()),
        ("arrivals", pa.int64()),
        ("departures", pa.int64()),
    ]
)
TABLES = {"requests": REQUESTS, "sessions": SESSIONS, "dossiers": DOSSIERS, "levels": LEVELS}
"""Schemas of the record tables by name."""


class ResultsError(Exception):
    """A run or a trace is missing, damaged, of another version, or cannot be written."""


class NoSuchRunError(ResultsError):
    """No run and no scenario has this name."""


class RecordSource(Protocol):
    """Whatever record tables can be read from, one replication at a time."""

    @property
    def replications(self) -> tuple[int, ...]:
        """Indices of the replications, sorted."""

    def table(
        self, name: str, columns: Sequence[str] | None = None, *, replication: int | None = None
    ) -> pa.Table:
        """Return columns of a table of ``TABLES``, of all replications or of one."""

    def pieces(self, name: str, columns: Sequence[str], *, replication: int) -> Iterator[pa.Table]:
        """Yield columns of one replication's table, some rows after the other."""


@dataclass(frozen=True, slots=True)
class Records:
    """What happened in one replication (or in several, told apart by ``replication``).

    Attributes
    ----------
    requests, sessions, dossiers, levels : pyarrow.Table
        Tables with the schemas of ``TABLES``.
    notes : mapping of str to JSON value
        What no table has room for; it goes into the manifest.
    """

    requests: pa.Table
    sessions: pa.Table
    dossiers: pa.Table
    levels: pa.Table
    notes: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def replications(self) -> tuple[int, ...]:
        """Indices of the replications that left any row, sorted."""
        found: set[int] = set()
        for name in TABLES:
            found.update(self.table(name)["replication"].unique().to_pylist())
        return tuple(sorted(found))

    def table(
        self, name: str, columns: Sequence[str] | None = None, *, replication: int | None = None
    ) -> pa.Table:
        """Return columns of a table, of all replications or of one.

        Parameters
        ----------
        name : str
            Name of a table of ``TABLES``.
        columns : sequence of str, optional
            Which columns; absent: all.
        replication : int, optional
            Which replication; absent: all.
        """
        table: pa.Table = {
            "requests": self.requests,
            "sessions": self.sessions,
            "dossiers": self.dossiers,
            "levels": self.levels,
        }[name]
        if replication is not None:
            table = rows_of(table, replication)
        return table if columns is None else table.select(list(columns))

    def pieces(self, name: str, columns: Sequence[str], *, replication: int) -> Iterator[pa.Table]:
        """Yield columns of one replication's table, ``ROWS_AT_ONCE`` rows after the other."""
        table = self.table(name, columns, replication=replication)
        for start in range(0, table.num_rows, ROWS_AT_ONCE):
            yield table.slice(start, ROWS_AT_ONCE)


def no_rows() -> Records:
    """Return records without any row."""
    return Records(**{name: schema.empty_table() for name, schema in TABLES.items()})


def rows_of(table: pa.Table, replication: int) -> pa.Table:
    """Return the rows of one replication; the table itself when it holds no other."""
    is_wanted = table["replication"].to_numpy() == replication
    return table if is_wanted.all() else table.filter(pa.array(is_wanted))


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Give a temporary path beside the target; rename it to the target when the block succeeds.

    The target is complete or absent, whatever interrupts the block; a previous file or folder of
    that name is replaced at the end.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        if target.is_dir() and temporary.is_dir():
            _remove(target)
        temporary.replace(target)
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
