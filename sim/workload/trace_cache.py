"""A cache of traces: each drawn once, then opened by the processes of a machine as mapped files.

Many candidates of one question meet the same demand. Mapped read-only in effect (pages are copied
where somebody writes), a trace takes memory once, whatever the number of processes, and is sent to
none of them.
"""

import contextlib
import functools
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from sim.demand.trace import Trace
from sim.scenario.scenario import Scenario
from sim.workload.drawing import SimulateOffices, draw_workload, has_officers

_KEPT = 4
"""Traces that a process keeps where there is no folder to share."""

_NAMES = "names.json"

_DIGEST_SHOWN = 16
"""Hex digits of a folder's name."""


@dataclass(frozen=True, slots=True, eq=False)
class TraceCache:
    """Traces of one demand, by replication; small enough to send with every task.

    Attributes
    ----------
    scenario : Scenario
        Where the demand comes from; other scenarios may share it, such as other capacities of the
        portal.
    simulate_offices : callable
        The offices of an engine, a function of a module; called where officers load the portal.
    folder : Path
        Where the traces lie. A process that does not see the folder, such as one of another
        machine, draws them itself and keeps the last few.
    """

    scenario: Scenario
    simulate_offices: SimulateOffices
    folder: Path
    _digest: str = field(init=False)

    def __post_init__(self) -> None:
        """Remember the scenario's digest: caches of one question are equal."""
        object.__setattr__(self, "_digest", self.scenario.digest())

    def __eq__(self, other: object) -> bool:
        """Return whether both give the same traces."""
        return isinstance(other, TraceCache) and self._digest == other._digest

    def __hash__(self) -> int:
        """Return the hash of the scenario's digest."""
        return hash(self._digest)

    @classmethod
    @contextmanager
    def temporary(
        cls, scenario: Scenario, simulate_offices: SimulateOffices
    ) -> Iterator["TraceCache"]:
        """Give a cache whose folder is removed at the end of the block."""
        with tempfile.TemporaryDirectory(prefix="hoso-traces-") as folder:
            yield cls(scenario, simulate_offices, Path(folder))

    def of(self, candidate: Scenario) -> "TraceCache":
        """Return where the traces of a candidate lie: other officers load the portal otherwise."""
        offices = candidate.backoffice
        if offices is None or not has_officers(candidate) or offices == self.scenario.backoffice:
            return self
        digest = hashlib.sha256(offices.model_dump_json().encode()).hexdigest()
        folder = self.folder / digest[:_DIGEST_SHOWN]
        if self.folder.is_dir():
            folder.mkdir(exist_ok=True)
        return TraceCache(candidate, self.simulate_offices, folder)

    def trace(self, replication: int) -> Trace:
        """Return the trace of a replication, drawn only if nobody has drawn it.

        Raises
        ------
        DemandError, CatalogueError, ScenarioError
            See :func:`sim.workload.draw_workload`.
        OSError
            When the disk does not take it.
        """
        if not self.folder.is_dir():
            return _kept(self, replication)
        place = self.folder / f"{replication}"
        if not place.is_dir():
            _save(draw_workload(self.scenario, replication, self.simulate_offices), place)
        return _mapped(place)


@functools.lru_cache(maxsize=_KEPT)
def _kept(cache: TraceCache, replication: int) -> Trace:
    return draw_workload(cache.scenario, replication, cache.simulate_offices)


def _save(trace: Trace, place: Path) -> None:
    """Write one file a column; when two processes do it, the first wins."""
    temporary = Path(tempfile.mkdtemp(prefix=".", dir=place.parent))
    names = {}
    for column in fields(trace):
        value = getattr(trace, column.name)
        if isinstance(value, np.ndarray):
            np.save(temporary / f"{column.name}.npy", value)
        else:
            names[column.name] = value
    (temporary / _NAMES).write_text(json.dumps(names), encoding="utf-8")
    with contextlib.suppress(OSError):
        temporary.rename(place)
    shutil.rmtree(temporary, ignore_errors=True)


def _mapped(place: Path) -> Trace:
    columns: dict[str, Any] = json.loads((place / _NAMES).read_text(encoding="utf-8"))
    for name, value in columns.items():
        if isinstance(value, list):
            columns[name] = tuple(value)
    for path in place.glob("*.npy"):
        columns[path.stem] = np.asarray(np.load(path, mmap_mode="c"))
    return Trace(**columns)
