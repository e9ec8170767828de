"""What a stand-in portal says of itself while it is loaded: its queues and pools, as levels.

Pure: whoever polls hands over what was answered.
"""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.results import LEVELS, ResultsError, written_whole
from sim.scenario.metric_names import station_names
from sim.scenario.scenario import Scenario

PATH = "/o/hoso/monitor"
"""Where a stand-in portal answers."""
KEY_HEADER = "X-Hoso-Key"
KEY_VARIABLE = "HOSO_MONITOR_KEY"
"""Environment variable with the key; absent: the portal is not asked."""

FILE = "monitor.arrow"

_SCHEMA = pa.schema(
    [
        ("t_s", pa.float64()),
        ("station", pa.string()),
        ("capacity", pa.float64()),
        ("busy", pa.float64()),
        ("queue", pa.float64()),
        ("age_s", pa.float64()),
        ("arrivals", pa.float64()),
        ("departures", pa.float64()),
    ]
)
_POOLS = {"workers": "app.workers", "db_connections": "db_connections"}
"""Blocks of the answer that are pools of one size → station."""
_UNKNOWN = float("nan")


class MonitorLog:
    """Readings of a portal's monitor, about one a second.

    Parameters
    ----------
    scenario : Scenario
        Which jobs there are, and how many workers each has.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._workers = {name: job.workers for name, job in scenario.portal.jobs.items()}
        known = set(station_names(scenario.portal))
        self._pools = {block: name for block, name in _POOLS.items() if name in known}
        self._stations: list[str] = []
        self._rows = array("d")
        self._waiting = 0.0
        self._ages: dict[str, float] = {}

    @property
    def is_idle(self) -> bool:
        """Whether nothing waited for or was under synchronisation at the last reading."""
        return self._waiting == 0.0

    def add(self, t_s: float, reading: Mapping[str, Any]) -> None:
        """Take a reading.

        Parameters
        ----------
        t_s : float
            When, s from the epoch.
        reading : mapping
            The answer of the portal's monitor; what it does not say is left out, and no levels are
            kept of what the scenario does not have.
        """
        self._waiting = 0.0
        for name, job in _blocks(reading.get("jobs")):
            self._waiting += _number(job, "queue", 0.0) + _number(job, "busy", 0.0)
            self._ages[name] = _number(job, "age_s", 0.0)
            if name in self._workers:
                self._append(t_s, name, job, float(self._workers[name]))
        for block, station in self._pools.items():
            for _, pool in _blocks({block: reading.get(block)}):
                self._append(t_s, station, pool, _number(pool, "capacity", _UNKNOWN))

    def ages(self) -> dict[str, float]:
        """Return the age of the oldest item of each job at the last reading, s."""
        return dict(self._ages)

    def table(self) -> pa.Table:
        """Return the readings."""
        rows = np.array(self._rows).reshape(-1, len(_SCHEMA) - 1)
        columns = [rows[:, 0], self._stations, *rows[:, 1:].T]
        arrays = [
            pa.array(column, type=field.type)
            for column, field in zip(columns, _SCHEMA, strict=True)
        ]
        return pa.table(arrays, schema=_SCHEMA)

    def save(self, folder: Path) -> None:
        """Write the readings into a working folder."""
        with (
            written_whole(folder / FILE) as temporary,
            pa.OSFile(str(temporary), "wb") as sink,
            pa.ipc.new_file(sink, _SCHEMA) as writer,
        ):
            writer.write_table(self.table())

    def _append(self, t_s: float, name: str, block: Mapping[str, Any], capacity: float) -> None:
        self._stations.append(name)
        self._rows.extend(
            (
                t_s,
                capacity,
                _number(block, "busy", 0.0),
                _number(block, "queue", 0.0),
                _number(block, "age_s", 0.0),
                _number(block, "arrivals", _UNKNOWN),
                _number(block, "departures", _UNKNOWN),
            )
        )


def load_readings(folder: Path) -> pa.Table:
    """Read the readings of a working folder; an empty table where the portal was not asked.

    Raises
    ------
    ResultsError
        When the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return _SCHEMA.empty_table()
    try:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(f"{path}: damaged: {error}") from error


@dataclass(frozen=True, slots=True)
class _Station:
    """Readings of one station, in order."""

    t_s: NDArray[np.float64]
    capacity: NDArray[np.float64]
    busy: NDArray[np.float64]
    queue: NDArray[np.float64]
    age_s: NDArray[np.float64]
    arrivals: NDArray[np.float64]
    departures: NDArray[np.float64]


def levels_of(readings: pa.Table, interval_s: float, end_s: float, replication: int) -> pa.Table:
    """Return readings as a table of levels.

    A reading stands for the time until the next one. Where the portal counts no arrivals they are
    0, and so are the departures.

    Parameters
    ----------
    readings : pyarrow.Table
        As :func:`load_readings` returns them.
    interval_s : float
        Length of an interval, s, > 0.
    end_s : float
        End of the run, s, where the last interval ends.
    replication : int
        For the column of that name.
    """
    blocks: list[NDArray[np.float64]] = []
    names: list[str] = []
    stations = np.array(readings["station"].to_pylist(), dtype=object)
    for name in dict.fromkeys(stations):
        rows = np.flatnonzero(stations == name)
        columns = (readings[column].to_numpy()[rows] for column in _Station.__slots__)
        block = np.array(list(_intervals(_Station(*columns), interval_s, end_s)))
        if len(block):
            names.append(name)
            blocks.append(block)
    whole = np.concatenate([np.empty((0, 10)), *blocks])
    index = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    station = pa.DictionaryArray.from_arrays(
        pa.array(index.astype(np.int32)), pa.array(names, type=pa.string())
    )
    measured = [
        pa.array(column.astype(field.type.to_pandas_dtype()))
        for column, field in zip(whole.T, list(LEVELS)[2:], strict=True)
    ]
    return pa.table(
        [pa.array(np.full(len(whole), replication, np.int32)), station, *measured], schema=LEVELS
    )


def _intervals(station: _Station, interval_s: float, end_s: float) -> Iterator[tuple[float, ...]]:
    """Yield the columns of levels after the station's name, interval by interval."""
    edges = [*np.arange(0.0, end_s, interval_s).tolist(), end_s]
    bounds = np.searchsorted(station.t_s, edges)
    # What waited before the run came before it: it counts as an arrival of the run.
    done_in = float(np.nan_to_num(station.arrivals[0] - station.queue[0] - station.busy[0]))
    done_out = float(np.nan_to_num(station.departures[0]))
    for number, (low, high) in enumerate(pairwise(bounds.tolist())):
        rows = slice(max(low - 1, 0), max(high, 1))
        if edges[number + 1] <= edges[number] or station.t_s[rows].size == 0:
            continue
        times = np.clip([*station.t_s[rows], edges[number + 1]], edges[number], edges[number + 1])
        weight = np.diff(times) if np.ptp(times) > 0 else np.ones(len(times) - 1)
        capacity, busy, queue = (
            float(np.average(column[rows], weights=weight))
            for column in (station.capacity, station.busy, station.queue)
        )
        total_in, total_out = (
            float(np.nan_to_num(column[rows][-1]))
            for column in (station.arrivals, station.departures)
        )
        yield (
            edges[number],
            edges[number + 1],
            capacity,
            busy / capacity if capacity > 0 else _UNKNOWN,
            busy,
            queue,
            float(station.queue[rows].max()),
            float(station.age_s[rows].max()),
            total_in - done_in,
            total_out - done_out,
        )
        done_in, done_out = total_in, total_out


def _blocks(mapping: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(mapping, Mapping):
        for name, block in mapping.items():
            if isinstance(block, Mapping):
                yield str(name), block


def _number(block: Mapping[str, Any], name: str, default: float) -> float:
    value = block.get(name)
    return float(value) if isinstance(value, int | float) else default
