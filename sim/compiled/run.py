"""One replication on the compiled engine: a scenario and its trace become records."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.compiled.kernel import constants as codes
from sim.compiled.library import Kernel
from sim.compiled.memory import Memory
from sim.compiled.program import Blueprint, blueprint_of
from sim.compiled.stations import Table
from sim.demand.trace import Trace
from sim.results import Records, tables
from sim.scenario.scenario import Scenario


def run_whole(kernel: Kernel, scenario: Scenario, replication: int, trace: Trace) -> Records:
    """Simulate one replication whose trace lies in memory."""
    blueprint = blueprint_of(scenario)
    memory = Memory(blueprint, scenario.seed, replication)
    memory.load(trace, is_last=True)
    run_on(kernel, memory)
    leave(memory)
    sessions, requests = memory.table("sessions"), memory.table("requests")
    return Records(
        requests=tables.request_table(trace, attempts_of(requests, memory.table("rows"))),
        sessions=session_table(trace, sessions, memory.now),
        dossiers=dossier_table(trace.services, memory.table("dossiers"), trace.replication),
        levels=level_table(blueprint, memory, trace.replication),
    )


def run_on(kernel: Kernel, memory: Memory) -> bool:
    """Let the kernel go on until the run is over; return whether it is, or sessions are wanted."""
    while True:
        kernel(memory.world)
        if memory["is_over"]:
            return True
        is_out_of_sessions = memory["wants"] & codes.MORE_SESSIONS
        memory.provide()
        if is_out_of_sessions:
            return False


def leave(memory: Memory) -> None:
    """End the run: whoever still waits for an answer leaves without it."""
    threads = memory.table("threads")
    waiting = threads[threads["is_open"] == 1]
    is_queued = (waiting["state"] >= codes.QUEUED) & (waiting["state"] <= codes.EXPIRED)
    rows = np.zeros(len(waiting), memory.table("rows").dtype)
    rows["request"], rows["number"] = waiting["request"], waiting["number"]
    rows["outcome"], rows["sent_s"] = codes.ABANDONED, waiting["sent_s"]
    rows["wait_s"] = waiting["wait_s"] + np.where(is_queued, memory.now - waiting["since"], 0.0)
    rows["response_s"] = memory.now - waiting["sent_s"]
    sessions, requests = memory.table("sessions"), memory.table("requests")
    np.add.at(sessions["attempts"], waiting["session"], 1)
    first = rows[rows["number"] == 0]
    for name in ("sent_s", "wait_s", "response_s", "outcome"):
        requests[name][first["request"]] = first[name]
    memory.add_rows(rows[rows["number"] > 0])


def attempts_of(requests: Table, rows: Table) -> tables.Attempts:
    """Return all attempts: first ones from the requests, later ones from their rows.

    Rows must lie within the requests, and number them from 0.
    """
    first = np.flatnonzero(requests["outcome"] != codes.NONE)
    rows = rows[np.lexsort((rows["number"], rows["request"]))]
    # Each later attempt comes behind the first of its request and the later ones before it.
    later = np.searchsorted(first, rows["request"], side="right") + np.arange(len(rows))
    is_first = np.ones(len(first) + len(rows), dtype=bool)
    is_first[later] = False

    def merged(name: str, of_first: NDArray[Any], kind: type) -> NDArray[Any]:
        column: NDArray[Any] = np.empty(len(is_first), dtype=kind)
        column[is_first], column[later] = of_first, rows[name]
        return column

    sent_s = merged("sent_s", requests["sent_s"][first], float)
    return tables.Attempts(
        request=merged("request", first, np.int64),
        number=merged("number", np.zeros(len(first)), np.int64),
        due_s=sent_s,
        sent_s=sent_s,
        wait_s=merged("wait_s", requests["wait_s"][first], float),
        response_s=merged("response_s", requests["response_s"][first], float),
        outcome=merged("outcome", requests["outcome"][first], np.int64),
    )


def session_table(trace: Trace, sessions: Table, end_s: float) -> pa.Table:
    """Return the table of sessions; those under way end now, abandoned."""
    is_under_way = sessions["ending"] == codes.UNDER_WAY
    return tables.session_table(
        trace,
        np.where(is_under_way, end_s, sessions["end_s"]),
        sessions["attempts"],
        sessions["ending"] != codes.ENDED,
        sessions["number"],
    )


def dossier_table(services: Sequence[str], rows: Table, replication: int) -> pa.Table:
    """Return the table of dossiers."""
    names = ("session", "step", "number", "service", "submitted_s", "acknowledged_s", "synced_s")
    return tables.dossier_table(
        services, tables.Filings(**{name: rows[name] for name in names}), replication
    )


def level_table(blueprint: Blueprint, memory: Memory, replication: int) -> pa.Table:
    """Return the table of levels: the kernel writes interval after interval, level after level."""
    rows = memory.table("level_rows").view(np.float64)
    rows = rows.reshape(-1, memory["n_levels"], tables.LEVEL_FIELDS)
    stations = {
        station: [(name, rows[:, index]) for name, index in levels]
        for station, levels in blueprint.stations.items()
    }
    return tables.level_table(stations, replication)
