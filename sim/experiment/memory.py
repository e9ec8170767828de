"""Memory: what a replication takes, and how to cut one that does not fit."""

import os
from pathlib import Path

from sim.demand import expected_size
from sim.demand.drawing import MAX_REQUESTS, SESSION_BYTES
from sim.experiment.engines import EngineName
from sim.experiment.errors import ExperimentError
from sim.scenario.scenario import Scenario

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

FEWEST_SESSIONS = 10_000
"""Sessions that must fit at once: those of a piece, and those that go on from earlier ones."""


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
    """Return how many sessions of a replication memory holds at once; None for all of them.

    Raises
    ------
    ExperimentError
        When it does not fit even piece by piece.
    """
    size = expected_size(scenario, replication)
    fits = _whole_bytes(engine, scenario, replication) <= memory_bytes
    if fits and (engine == "simpy" or size.requests <= MAX_REQUESTS):
        return None
    fixed = PROCESS_BYTES[engine] + size.sessions * SESSION_BYTES
    per_session = size.requests / size.sessions * REQUEST_BYTES[engine]
    fewest = min(FEWEST_SESSIONS, size.sessions)
    needed = fixed + per_session * (size.sessions if engine == "simpy" else fewest)
    if needed > memory_bytes:
        how = "which SimPy needs whole" if engine == "simpy" else "even piece by piece"
        raise ExperimentError(
            f"a replication of about {size.requests / 1e6:,.1f} million requests, {how}, takes "
            f"{needed / 1e9:.1f} GB, there are {memory_bytes / 1e9:.1f} GB for each process: give "
            "more execution.memory, fewer --processes, or a shorter window"
        )
    return max(int((memory_bytes - fixed) / per_session), 1)


def processes_that_fit(engine: EngineName, scenario: Scenario, processes: int) -> int:
    """Return how many of these processes may each simulate a whole replication at a time.

    Raises
    ------
    ExperimentError
        When one does not fit.
    """
    memory_bytes, needed = memory_in_all(scenario), _whole_bytes(engine, scenario, 0)
    if needed > memory_bytes:
        raise ExperimentError(
            f"a replication takes {needed / 1e9:.1f} GB whole, as sizing needs it, there are "
            f"{memory_bytes / 1e9:.1f} GB: give more execution.memory, or a shorter window"
        )
    return min(processes, int(memory_bytes // needed))


def _whole_bytes(engine: EngineName, scenario: Scenario, replication: int) -> float:
    size = expected_size(scenario, replication)
    return (
        PROCESS_BYTES[engine]
        + size.sessions * SESSION_BYTES
        + size.requests * REQUEST_BYTES[engine]
    )
