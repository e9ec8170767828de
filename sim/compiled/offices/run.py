"""One replication of the offices on the compiled engine."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.backoffice.filings import Filings
from sim.backoffice.outcomes import Cases, OfficeRun, StationLevels, Visits
from sim.backoffice.plan import Plan
from sim.backoffice.workflow import State
from sim.compiled.library import Kernel
from sim.compiled.offices.kernel import constants as codes
from sim.compiled.offices.memory import VISIT_COLUMNS, Memory, blocks
from sim.compiled.offices.tables import Built, interval_ends, tables_of
from sim.compiled.stations import Table
from sim.scenario.scenario import Scenario


def run_offices(kernel: Kernel, plan: Plan, filings: Filings, scenario: Scenario) -> OfficeRun:
    """Let the kernel go on until the run is over; return what became of the dossiers."""
    built = tables_of(plan, scenario)
    memory = Memory(built, plan, filings)
    while not memory["is_over"]:
        kernel(memory.world)
        if memory["wants"] & codes.BEYOND_CALENDAR:
            _refuse(memory, plan)
        memory.provide()
    columns = {name: memory.visit_column(name) for name in VISIT_COLUMNS}
    return OfficeRun(_cases(memory), Visits(**columns), tuple(_levels(memory, built, plan)))


def _refuse(memory: Memory, plan: Plan) -> None:
    """Raise what the calendar says of the time that lies beyond it."""
    working_time = plan.shifts[memory["failed_calendar"]].working_time
    from_s, work_s = (
        float(memory.world["failed_from_s"][0]),
        float(memory.world["failed_work_s"][0]),
    )
    if np.isinf(from_s):
        working_time.time(work_s)
    working_time.worked(from_s)
    working_time.next_day_opening(from_s)
    raise AssertionError(f"a calendar has {work_s} s after {from_s} s, and has not")


def _cases(memory: Memory) -> Cases:
    dossiers = memory.table("dossiers")
    columns = {
        name: np.empty(len(dossiers), column.dtype)
        for name, column in _columns(dossiers[:0]).items()
    }
    for part in blocks(len(dossiers)):
        for name, column in _columns(dossiers[part]).items():
            columns[name][part] = column
    for name in ("synced_s", "reception_due_s", "received_s", "decided_s", "closed_s"):
        columns[name] = memory.table(name)
    return Cases(**columns)


def _columns(dossiers: Table) -> dict[str, NDArray[Any]]:
    """Return what dossiers say of themselves, under the names of its columns."""
    waited, visits = dossiers["waited"], dossiers["visits"].astype(np.int32)
    return {
        "state": dossiers["state"].astype(np.int8),
        "due_s": np.where(dossiers["is_accepted"] == 1, dossiers["due_s"], np.nan),
        "waiting_officer_s": waited[:, codes.OFFICER],
        "working_s": waited[:, codes.IN_HAND],
        "waiting_citizen_s": waited[:, codes.CITIZEN],
        "waiting_agency_s": waited[:, codes.AGENCY],
        "waiting_system_s": waited[:, codes.SYSTEM],
        "supplements": visits[:, State.SUPPLEMENTING_AT_RECEPTION] + visits[:, State.SUPPLEMENTING],
        "notice_late": dossiers["notes"] & codes.LATE_NOTICE > 0,
        "apologised": dossiers["notes"] & codes.APOLOGISED > 0,
    }


def _levels(memory: Memory, built: Built, plan: Plan) -> list[StationLevels]:
    ends_s = interval_ends(plan.end_s, plan.spec.level_interval_s)
    from_s = np.append(0.0, ends_s[:-1])
    span_s = ends_s - from_s
    rows = memory.table("level_rows").reshape(len(built.stations), -1)
    is_served = memory.table("levels")["calendar"] != codes.NONE
    return [
        StationLevels(
            station=station,
            from_s=from_s,
            to_s=ends_s,
            capacity=own["capacity_area"] / span_s if served else np.full(len(ends_s), np.inf),
            busy=own["busy_area"] / span_s,
            queue=own["queue_area"] / span_s,
            queue_max=own["queue_max"].copy(),
            queue_age_max_s=own["age"].copy(),
            arrivals=own["arrivals"].copy(),
            departures=own["departures"].copy(),
        )
        for station, own, served in zip(built.stations, rows, is_served, strict=True)
    ]
