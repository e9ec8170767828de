"""The trace: every session and every request of one replication, as columns.

It is the common artefact: both simulator engines and the load test consume it, so prediction and
measurement are paired session by session. It says what clients want; what happens to it (retries,
skipped polls, sessions given up) is decided by whoever serves it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.results import ResultsError, written_whole

TRACE_VERSION = 1
"""Version of the columns; a trace of another version is refused."""

BITS_PER_BYTE = 8

TOGETHER = 1
"""Flag of a request: sent at the same moment as the request before it."""
WHILE_SYNCING = 2
"""Flag of a request: skipped once nothing of its session waits for synchronisation."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Sessions in order of arrival, and their requests in order of sending.

    Attributes
    ----------
    arrival_s : NDArray[float64], shape (n_sessions,)
        Arrival times in s from the window's start, sorted.
    journey, service, channel : NDArray[int32], shape (n_sessions,)
        Indices into ``journeys``, ``services``, ``channels``.
    first_request : NDArray[int64], shape (n_sessions + 1,)
        Requests of session ``i`` are ``first_request[i]`` up to ``first_request[i + 1]``.
    endpoint : NDArray[int16], shape (n_requests,)
        Index into ``endpoints``.
    think_s : NDArray[float64], shape (n_requests,)
        Time between the end of the previous group of requests and this one, s, >= 0. Zero where
        the request is sent together with the one before it.
    bytes_up : NDArray[int64], shape (n_requests,)
        Size of the upload, bytes.
    flags : NDArray[uint8], shape (n_requests,)
        ``TOGETHER`` and ``WHILE_SYNCING``.
    key : NDArray[uint64], shape (n_requests,)
        Key of the request's random draws (``sim.streams``).
    journeys, services, channels, endpoints : tuple of str
        Names behind the indices; services by code.
    seed, replication : int
        Where it was drawn.
    scenario_digest : str
        ``Scenario.digest()`` of the scenario it was drawn from.
    """

    arrival_s: NDArray[np.float64]
    journey: NDArray[np.int32]
    service: NDArray[np.int32]
    channel: NDArray[np.int32]
    first_request: NDArray[np.int64]
    endpoint: NDArray[np.int16]
    think_s: NDArray[np.float64]
    bytes_up: NDArray[np.int64]
    flags: NDArray[np.uint8]
    key: NDArray[np.uint64]
    journeys: tuple[str, ...]
    services: tuple[str, ...]
    channels: tuple[str, ...]
    endpoints: tuple[str, ...]
    seed: int
    replication: int
    scenario_digest: str

    @property
    def n_sessions(self) -> int:
        """Number of sessions."""
        return len(self.arrival_s)

    @property
    def n_requests(self) -> int:
        """Number of requests, polls that may be skipped included."""
        return len(self.endpoint)


_SESSIONS = pa.schema(
    [
        ("arrival_s", pa.float64()),
        ("journey", pa.int32()),
        ("service", pa.int32()),
        ("channel", pa.int32()),
        ("n_requests", pa.int64()),
    ]
)
_REQUESTS = pa.schema(
    [
        ("endpoint", pa.int16()),
        ("think_s", pa.float64()),
        ("bytes_up", pa.int64()),
        ("flags", pa.uint8()),
        ("key", pa.uint64()),
    ]
)
_META = ("journeys", "services", "channels", "endpoints", "seed", "replication", "scenario_digest")
_META_KEY = b"hoso"


def save_trace(trace: Trace, folder: Path) -> None:
    """Write a trace as ``sessions.parquet`` and ``requests.parquet`` in a folder of its own.

    The folder appears complete or not at all; an earlier trace there is replaced.

    Raises
    ------
    ResultsError
        When the folder holds anything but a trace: nothing of it is touched.
    """
    import pyarrow.parquet as pq

    _check_replaceable(folder)

    meta = {name: getattr(trace, name) for name in _META} | {"trace_version": TRACE_VERSION}
    text = json.dumps(meta, ensure_ascii=False)
    tables = {
        "sessions": (_SESSIONS, {"n_requests": np.diff(trace.first_request)}),
        "requests": (_REQUESTS, {}),
    }
    with written_whole(folder) as temporary:
        temporary.mkdir()
        for name, (schema, derived) in tables.items():
            columns = {
                column: derived[column] if column in derived else getattr(trace, column)
                for column in schema.names
            }
            table = pa.table(columns, schema=schema.with_metadata({_META_KEY: text}))
            pq.write_table(table, temporary / f"{name}.parquet", compression="zstd")


def _check_replaceable(folder: Path) -> None:
    """Refuse a folder with files that are not a trace's: they would be lost."""
    if folder.is_dir():
        others = {path.name for path in folder.iterdir()} - {"sessions.parquet", "requests.parquet"}
        if others:
            raise ResultsError(
                f"{folder}: exists and holds {min(others)}, which is no part of a trace; "
                "name another folder"
            )
    elif folder.exists():
        raise ResultsError(f"{folder}: exists and is no folder; name another")


def load_trace(folder: Path) -> Trace:
    """Read a trace back, the same arrays bit for bit.

    Raises
    ------
    ResultsError
        When the folder is no trace, is damaged, or was written by another version.
    """
    sessions, meta = _read(folder / "sessions.parquet", _SESSIONS)
    requests, other_meta = _read(folder / "requests.parquet", _REQUESTS)
    first = np.zeros(sessions.num_rows + 1, dtype=np.int64)
    np.cumsum(sessions["n_requests"].to_numpy(), out=first[1:])
    if meta != other_meta or first[-1] != requests.num_rows:
        raise ResultsError(f"{folder}: damaged: the sessions' and requests' files do not belong")
    return Trace(
        arrival_s=sessions["arrival_s"].to_numpy(),
        journey=sessions["journey"].to_numpy(),
        service=sessions["service"].to_numpy(),
        channel=sessions["channel"].to_numpy(),
        first_request=first,
        endpoint=requests["endpoint"].to_numpy(),
        think_s=requests["think_s"].to_numpy(),
        bytes_up=requests["bytes_up"].to_numpy(),
        flags=requests["flags"].to_numpy(),
        key=requests["key"].to_numpy(),
        journeys=tuple(meta["journeys"]),
        services=tuple(meta["services"]),
        channels=tuple(meta["channels"]),
        endpoints=tuple(meta["endpoints"]),
        seed=meta["seed"],
        replication=meta["replication"],
        scenario_digest=meta["scenario_digest"],
    )


def _read(path: Path, schema: pa.Schema) -> tuple[pa.Table, Mapping[str, Any]]:
    """Return a table of the expected columns, and what is said about the trace."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            meta = json.loads((file.schema_arrow.metadata or {}).get(_META_KEY, b"{}"))
            _check_version(path, meta.get("trace_version"))
            table = file.read()
    except FileNotFoundError as error:
        raise ResultsError(f"{path}: not found; is {path.parent} a trace folder?") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ResultsError(f"{path}: damaged, cannot be read as a trace: {error}") from error
    if not table.schema.equals(schema) or any(name not in meta for name in _META):
        raise ResultsError(f"{path}: damaged: not the columns of a trace")
    return table, meta


def _check_version(path: Path, version: int | None) -> None:
    if version is None:
        raise ResultsError(f"{path}: not written as part of a trace")
    if version != TRACE_VERSION:
        raise ResultsError(
            f"{path}: trace of version {version}, this hoso reads version {TRACE_VERSION}; "
            "draw the trace again"
        )
