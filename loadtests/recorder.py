"""The recorder of one worker: facts as they happen, a piece of them every second, files at the end.

Pure: it knows no network and no clock. Rows are appended as numbers; everything that is counted
for the live view is counted from whole stretches of rows at once, so recording costs next to
nothing while the load runs.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from loadtests.dialects.base import Acknowledgement
from loadtests.histogram import N_BINS, Counts, bins_of, hdr_bytes
from loadtests.live import Piece, sparse
from sim.demand import Trace
from sim.results import OUTCOMES, ResultsError, written_whole

OK, REJECTED, TIMED_OUT, FAILED, ABANDONED = range(len(OUTCOMES))

_REQUEST_FIELDS = 6
_SESSION_FIELDS = 3
_USAGE_FIELDS = 5
_MOST_PROBLEMS = 1000
"""So many different problems are told apart; the rest are counted together."""
_OTHER_PROBLEMS = "other problems"

REQUESTS = pa.schema(
    [
        ("request", pa.int64()),
        ("attempt", pa.int16()),
        ("due_s", pa.float64()),
        ("sent_s", pa.float64()),
        ("response_s", pa.float64()),
        ("outcome", pa.int8()),
    ]
)
SESSIONS = pa.schema([("session", pa.int64()), ("end_s", pa.float64()), ("abandoned", pa.bool_())])
ACKNOWLEDGED = pa.schema(
    [
        ("session", pa.int64()),
        ("request", pa.int64()),
        ("attempt", pa.int16()),
        ("at_s", pa.float64()),
        ("kind", pa.string()),
        ("dossier", pa.string()),
        ("reference", pa.string()),
        ("detail", pa.string()),
        ("bytes", pa.int64()),
    ]
)
SYNCED = pa.schema([("session", pa.int64()), ("at_s", pa.float64())])
DROPPED = pa.schema([("session", pa.int64()), ("at_s", pa.float64())])
USAGE = pa.schema(
    [
        ("t_s", pa.float64()),
        ("cpu_share", pa.float64()),
        ("waiting_share", pa.float64()),
        ("memory_bytes", pa.float64()),
        ("active", pa.float64()),
    ]
)
PROBLEMS = pa.schema([("endpoint", pa.string()), ("problem", pa.string()), ("count", pa.int64())])
TABLES = {
    "requests": REQUESTS,
    "sessions": SESSIONS,
    "acknowledged": ACKNOWLEDGED,
    "synced": SYNCED,
    "dropped": DROPPED,
    "usage": USAGE,
    "problems": PROBLEMS,
}
"""Tables of a part, one Arrow IPC file each. ``request`` counts through the whole trace in
``requests``, within its session in ``acknowledged``; times in s from the epoch."""


class Recorder:
    """Rows of one worker, appended while the load runs.

    A request's row is six float64 in one flat array: 48 bytes.

    Parameters
    ----------
    trace : Trace
        What is replayed.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._requests = array("d")
        self._sessions = array("d")
        self._usage = array("d")
        self._synced: list[tuple[int, float]] = []
        self._dropped: list[tuple[int, float]] = []
        self._acknowledged: list[tuple[Any, ...]] = []
        self._problems: Counter[tuple[str, str]] = Counter()
        self._counted = 0
        self._times = np.zeros((len(trace.endpoints), N_BINS), dtype=np.int64)

    def request(
        self,
        request: int,
        attempt: int,
        due_s: float,
        sent_s: float,
        response_s: float,
        outcome: int,
    ) -> None:
        """An attempt ended.

        Parameters
        ----------
        request : int
            Index in the trace.
        attempt : int
            0 for the first.
        due_s, sent_s : float
            When it was meant to be sent, and was, s from the epoch.
        response_s : float
            From ``due_s`` to the end of the answer, or until it was given up, s.
        outcome : int
            Index into ``sim.results.OUTCOMES``.
        """
        self._requests.extend((request, attempt, due_s, sent_s, response_s, outcome))

    def session(self, session: int, end_s: float, abandoned: bool) -> None:
        """A session ended; abandoned when its last request was not answered well."""
        self._sessions.extend((session, end_s, abandoned))

    def dropped(self, session: int, at_s: float) -> None:
        """A session was not started: too many were there at once."""
        self._dropped.append((session, at_s))

    def acknowledged(
        self, promise: Acknowledgement, session: int, request: int, attempt: int, at_s: float
    ) -> None:
        """The portal promised to keep something; ``request`` counts within the session."""
        self._acknowledged.append(
            (
                session,
                request,
                attempt,
                at_s,
                promise.kind,
                promise.dossier,
                promise.reference,
                promise.detail,
                promise.bytes,
            )
        )

    def synced(self, session: int, at_s: float) -> None:
        """A session saw that its dossier has been synchronised."""
        self._synced.append((session, at_s))

    def problem(self, endpoint: str, text: str) -> None:
        """An answer was not good, in words."""
        key = (endpoint, text)
        if key not in self._problems and len(self._problems) >= _MOST_PROBLEMS:
            key = (endpoint, _OTHER_PROBLEMS)
        self._problems[key] += 1

    def usage(
        self, t_s: float, cpu_share: float, waiting_share: float, memory_bytes: float, active: int
    ) -> None:
        """What this worker's process used since the last call.

        Parameters
        ----------
        t_s : float
            Now, s from the epoch.
        cpu_share : float
            Use of one core.
        waiting_share : float
            Share of the time in which it could have worked but other processes had the
            processors; NaN where the system does not say.
        memory_bytes : float
            Its memory now.
        active : int
            Sessions under way now.
        """
        self._usage.extend((t_s, cpu_share, waiting_share, memory_bytes, active))

    @property
    def n_requests(self) -> int:
        """Attempts ended so far."""
        return len(self._requests) // _REQUEST_FIELDS

    @property
    def n_dropped(self) -> int:
        """Sessions dropped so far."""
        return len(self._dropped)

    def piece(self, worker: int, t_s: float, arrived: int, active: int, cpu_share: float) -> Piece:
        """Return what has ended since the last call, for the live view.

        Parameters
        ----------
        worker : int
            Index of this worker.
        t_s : float
            Now, s from the epoch.
        arrived : int
            Sessions that were due so far.
        active : int
            Sessions under way.
        cpu_share : float
            Use of one core since the last call.
        """
        rows = self._rows()[self._counted :]
        self._counted += len(rows)
        request = rows[:, 0].astype(np.int64)
        outcome = rows[:, 5].astype(np.int64)
        endpoint = self._trace.endpoint[request].astype(np.int64)
        service = self._trace.service[self._session_of(request)].astype(np.int64)
        elapsed = np.isin(outcome, (OK, TIMED_OUT, ABANDONED))
        bins = bins_of(rows[elapsed, 4])
        np.add.at(self._times, (endpoint[elapsed], bins), 1)
        return Piece(
            worker=worker,
            t_s=t_s,
            arrived=arrived,
            sent=self.n_requests,
            active=active,
            dropped=self.n_dropped,
            cpu_share=cpu_share,
            outcomes=sparse(endpoint, outcome),
            times=sparse(endpoint[elapsed], bins),
            late=sparse(np.zeros(len(rows), np.int64), bins_of(np.maximum(_lateness(rows), 0.0))),
            services=sparse(service, (outcome != OK).astype(np.int64)),
        )

    def snapshot(self) -> dict[str, bytes]:
        """Return the response times counted so far, one compressed HdrHistogram per endpoint."""
        return {
            name: hdr_bytes(self._times[index])
            for index, name in enumerate(self._trace.endpoints)
            if self._times[index].any()
        }

    def times_of(self, endpoint: int) -> Counts:
        """Return the counts of one endpoint's response times, shape (N_BINS,)."""
        counts: Counts = self._times[endpoint]
        return counts

    def save(self, folder: Path) -> None:
        """Write everything as a part: a folder that appears complete or not at all."""
        tables = self.tables()
        with written_whole(folder) as temporary:
            temporary.mkdir()
            for name, table in tables.items():
                _write(table, temporary / f"{name}.arrow")

    def tables(self) -> dict[str, pa.Table]:
        """Return the tables of the part, by the names of ``TABLES``."""
        requests = self._rows()
        sessions = _matrix(self._sessions, _SESSION_FIELDS)
        usage = _matrix(self._usage, _USAGE_FIELDS)
        problems = [(*key, count) for key, count in self._problems.most_common()]
        columns: dict[str, Any] = {
            "requests": requests.T,
            "sessions": sessions.T,
            "usage": usage.T,
            "acknowledged": _transposed(self._acknowledged, ACKNOWLEDGED),
            "synced": _transposed(self._synced, SYNCED),
            "dropped": _transposed(self._dropped, DROPPED),
            "problems": _transposed(problems, PROBLEMS),
        }
        return {name: _table(columns[name], schema) for name, schema in TABLES.items()}

    def _rows(self) -> NDArray[np.float64]:
        """Return the rows of requests; a copy, for the array cannot grow under a view."""
        return _matrix(self._requests, _REQUEST_FIELDS)

    def _session_of(self, request: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self._trace.first_request, request, side="right") - 1


@dataclass(frozen=True, slots=True)
class Part:
    """What one worker recorded, read back.

    Attributes
    ----------
    worker : int
        Index of the worker.
    tables : dict of str to pyarrow.Table
        With the schemas of ``TABLES``.
    """

    worker: int
    tables: dict[str, pa.Table]

    @classmethod
    def load(cls, folder: Path) -> "Part":
        """Read a part; its folder is named ``part-<worker>``.

        Raises
        ------
        ResultsError
            When a table is missing or damaged.
        """
        worker = int(folder.name.removeprefix(PART))
        return cls(worker, {name: _read(folder / f"{name}.arrow", name) for name in TABLES})


PART = "part-"
"""A part's folder is named so, and by the number of its worker."""


def part_folder(folder: Path, worker: int) -> Path:
    """Return where the part of a worker belongs."""
    return folder / f"{PART}{worker}"


def load_parts(folder: Path) -> list[Part]:
    """Read all parts of a run's working folder, by worker."""
    parts = [Part.load(path) for path in folder.glob(f"{PART}[0-9]*")]
    return sorted(parts, key=lambda part: part.worker)


def _lateness(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    lateness: NDArray[np.float64] = rows[:, 3] - rows[:, 2]
    return lateness


def _matrix(values: "array[float]", fields: int) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64).reshape(-1, fields)


def _transposed(rows: Iterable[Sequence[Any]], schema: pa.Schema) -> list[list[Any]]:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in schema]


def _table(columns: Sequence[Any], schema: pa.Schema) -> pa.Table:
    arrays = [
        pa.array(_typed(column, field.type), type=field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.table(arrays, schema=schema)


def _typed(column: Any, kind: pa.DataType) -> Any:
    return column.astype(kind.to_pandas_dtype()) if isinstance(column, np.ndarray) else column


def _write(table: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _read(path: Path, name: str) -> pa.Table:
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(f"{path}: missing or damaged part of a load test: {error}") from error
    if not table.schema.equals(TABLES[name]):
        raise ResultsError(f"{path}: not the columns of this version")
    return table
