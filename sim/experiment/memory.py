"""Memory: what a replication takes, and how to cut one that does not fit."""

import os
from dataclasses import dataclass
from pathlib import Path

from sim.backoffice.workflow import State
from sim.demand import catalogue_of
from sim.demand.drawing import MAX_REQUESTS, SESSION_BYTES
from sim.experiment.engines import EngineName
from sim.experiment.errors import ExperimentError
from sim.results.records import ROWS_AT_ONCE
from sim.scenario.scenario import Scenario
from sim.workload import expected_workload
from sim.workload.expectations import expected_dossiers

DEFAULT_SHARE = 0.5
"""Part of the machine's memory taken where the scenario says nothing."""

_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where Linux says what a container may take, version 2 and version 1."""

PROCESS_BYTES: dict[EngineName, float] = {
    "simpy": 180e6,  # source: measured, NumPy, PyArrow and the model loaded
    "compiled": 300e6,  # source: measured, Numba and the kernel besides
}
"""Memory of a process before its first request."""

REQUEST_BYTES: dict[EngineName, float] = {
    "simpy": 380.0,  # source: measured on peak-hour, 345 from 62 to 288 thousand requests
    "compiled": 330.0,  # source: measured there, 293 from 0.29 to 2.2 million requests
}
"""Memory of a request while its replication is simulated whole and stored."""

DOSSIER_BYTES: dict[EngineName, float] = {
    "simpy": 1600.0,  # source: measured, 1,560 of those that are open, 310 of a year's
    "compiled": 700.0,  # source: measured, 535 from 0.1 to 2.3 million, 670 where it is judged
}
"""Memory of a dossier while the offices work on it and its row is stored."""

OFFICE_LEVEL_BYTES = 400.0  # source: measured there, 390
"""Memory of a row of the offices' levels while it is kept and stored."""

PIECE_REQUEST_BYTES = 170.0  # source: measured on peak-day, 150 from 0.8 to 8 million at once
"""Memory of a request that is there while its replication is simulated in pieces, and stored."""

STORED_ROW_BYTES = 290.0  # source: measured on peak-day, 255 MB for the first million rows
"""Memory of a row while the pieces are put together, of ``ROWS_AT_ONCE`` rows at most."""

FEWEST_SESSIONS = 10_000
"""Sessions that must fit at once: half of them a piece, half those that go on from earlier ones."""


def memory_in_all(scenario: Scenario) -> float:
    """Return the memory that the processes of this machine may take together, bytes."""
    if scenario.execution.memory is not None:
        return scenario.execution.memory
    return DEFAULT_SHARE * machine_memory()


def machine_memory() -> float:
    """Return the memory of this machine, or of the container it is, bytes."""
    physical = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min([physical, *filter(None, map(_limit, _CGROUP_LIMITS))])


def _limit(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None


def sessions_at_once(
    engine: EngineName, scenario: Scenario, replication: int, memory_bytes: float
) -> int | None:
    """Return how many sessions of a replication to simulate at a time; None for all of them.

    Half of what fits: the other half is for sessions that go on from earlier pieces.

    Raises
    ------
    ExperimentError
        When it does not fit even piece by piece.
    """
    size = _Size.of(engine, scenario, replication)
    if size.whole_bytes <= memory_bytes and (engine == "simpy" or size.requests <= MAX_REQUESTS):
        return None
    if not size.sessions:
        raise ExperimentError(
            _too_little(
                f"of about {_count(size.dossiers)} dossiers", size.whole_bytes, memory_bytes
            )
        )
    fixed = size.fixed_bytes
    per_session = size.requests / size.sessions * PIECE_REQUEST_BYTES
    needed = fixed + per_session * min(FEWEST_SESSIONS, size.sessions)
    how = "even piece by piece"
    if engine == "simpy":
        needed, how = size.whole_bytes, "which SimPy needs whole"
    if needed > memory_bytes:
        raise ExperimentError(
            _too_little(f"of about {_count(size.requests)} requests, {how},", needed, memory_bytes)
        )
    return max(int((memory_bytes - fixed) / per_session / 2), 1)


def processes_that_fit(engine: EngineName, scenario: Scenario, processes: int) -> int:
    """Return how many of these processes may each simulate a whole replication at a time.

    Raises
    ------
    ExperimentError
        When one does not fit.
    """
    memory_bytes, needed = memory_in_all(scenario), _Size.of(engine, scenario, 0).whole_bytes
    if needed > memory_bytes:
        why = "as sizing needs it" if scenario.has_portal else "as offices need it"
        raise ExperimentError(
            f"a replication takes {needed / 1e9:.1f} GB whole, {why}, there are "
            f"{memory_bytes / 1e9:.1f} GB: give more execution.memory, or a shorter window"
        )
    return min(processes, int(memory_bytes // needed))


def _count(n: float) -> str:
    return f"{n / 1e6:,.1f} million"


def _too_little(what: str, needed: float, memory_bytes: float) -> str:
    return (
        f"a replication {what} takes {needed / 1e9:.2f} GB, there are {memory_bytes / 1e9:.2f} GB "
        "for each process: give more execution.memory, fewer --processes, or a shorter window"
    )


@dataclass(frozen=True, slots=True)
class _Size:
    """What one replication is about to take."""

    engine: EngineName
    sessions: float
    requests: float
    dossiers: float  # that offices work on
    levels: float  # rows of the offices' levels

    @classmethod
    def of(cls, engine: EngineName, scenario: Scenario, replication: int) -> "_Size":
        """Return the size of a replication, on average."""
        catalogue = catalogue_of(scenario)
        size = expected_workload(scenario, replication, catalogue)
        dossiers = levels = 0.0
        if scenario.backoffice is not None:
            dossiers = expected_dossiers(scenario, replication, catalogue)
            levels = _office_levels(scenario)
        return cls(engine, size.sessions, size.requests, dossiers, levels)

    @property
    def fixed_bytes(self) -> float:
        """Memory that is needed however the requests are cut."""
        stored = min(self.requests, ROWS_AT_ONCE) * STORED_ROW_BYTES
        return self._rest_bytes + self.dossiers * DOSSIER_BYTES[self.engine] + stored

    @property
    def whole_bytes(self) -> float:
        """Memory of a replication that is not cut."""
        portal = self.requests * REQUEST_BYTES[self.engine]
        offices = self.dossiers * DOSSIER_BYTES[self.engine]
        return self._rest_bytes + portal + offices

    @property
    def _rest_bytes(self) -> float:
        return (
            PROCESS_BYTES[self.engine]
            + self.sessions * SESSION_BYTES
            + self.levels * OFFICE_LEVEL_BYTES
        )


def _office_levels(scenario: Scenario) -> float:
    """Return how many rows the offices' stations have: a row an interval, office, role, state."""
    spec, window = scenario.backoffice, scenario.window
    assert spec is not None
    stations = sum(group.count for group in spec.offices.values())
    stations += sum(1 for _ in spec.teams()) + len(State)
    stations += (spec.intake is not None) + (spec.publication is not None)
    return stations * (window.duration_s + window.drain_s) / spec.level_interval_s
