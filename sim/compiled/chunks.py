"""One replication piece by piece: sessions come when wanted, and go when they have ended."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from sim.compiled.kernel import constants as codes
from sim.compiled.library import Kernel
from sim.compiled.memory import Memory, requests_of, sessions_of
from sim.compiled.program import Blueprint, blueprint_of
from sim.compiled.run import (
    attempts_of,
    dossier_table,
    leave,
    level_table,
    run_on,
    session_table,
)
from sim.demand.trace import Trace
from sim.results import DOSSIERS, LEVELS, Records, tables
from sim.scenario.scenario import Scenario

_SESSION_COLUMNS = ("arrival_s", "journey", "service", "channel")
_REQUEST_COLUMNS = ("endpoint", "think_s", "bytes_up", "flags", "key")

Sink = Callable[[Records], None]


def run_in_chunks(
    kernel: Kernel, scenario: Scenario, replication: int, chunks: Iterable[Trace], sink: Sink
) -> None:
    """See :func:`sim.compiled.simulate_in_chunks`."""
    blueprint = blueprint_of(scenario)
    memory = Memory(blueprint, scenario.seed, replication)
    window: Trace | None = None
    for chunk in chunks:
        if window is None:
            window = chunk
            sessions, requests = sessions_of(chunk, blueprint), requests_of(chunk, blueprint)
            memory.load(sessions, requests, first=(0, 0), is_last=False)
        else:
            n_ended = _hand_over(memory, window, sink)
            _load_after(memory, n_ended, chunk, blueprint)
            window = _joined(_part(window, slice(n_ended, None)), chunk)
        run_on(kernel, memory)
    if window is None:
        raise ValueError("no chunk: a trace without sessions is one empty chunk")
    memory["is_last"] = 1
    run_on(kernel, memory)
    leave(memory)
    sink(
        replace(
            _rows_of_first(memory, window, window.n_sessions),
            dossiers=dossier_table(window.services, memory, replication),
            levels=level_table(blueprint, memory, replication),
        )
    )


def _hand_over(memory: Memory, window: Trace, sink: Sink) -> int:
    """Hand over the rows of the first sessions that have ended; return how many there are."""
    sessions = memory.table("sessions")
    is_open = (sessions["ending"] == codes.UNDER_WAY) | (sessions["open"] > 0)
    n_ended = int(np.argmax(is_open)) if is_open.any() else len(sessions)
    if n_ended:
        sink(_rows_of_first(memory, window, n_ended))
    return n_ended


def _rows_of_first(memory: Memory, window: Trace, n_sessions: int) -> Records:
    """Return the rows of the first sessions in memory; forget those of their later attempts."""
    trace = _part(window, slice(0, n_sessions))
    first_session, first_request = memory["first_session"], memory["first_request"]
    rows = memory.table("rows")
    is_own = rows["request"] < first_request + trace.n_requests
    own = rows[is_own]
    own["request"] -= first_request
    memory.keep_rows(~is_own)
    attempts = attempts_of(memory.table("requests")[: trace.n_requests], own)
    sessions = memory.table("sessions")[:n_sessions]
    return Records(
        requests=tables.request_table(trace, attempts, first_session),
        sessions=session_table(trace, sessions, memory.now, first_session),
        dossiers=DOSSIERS.empty_table(),
        levels=LEVELS.empty_table(),
    )


def _load_after(memory: Memory, n_ended: int, chunk: Trace, blueprint: Blueprint) -> None:
    """Load a chunk behind the sessions in memory, without the first of them, which have ended."""
    sessions, requests = memory.table("sessions"), memory.table("requests")
    first_session, first_request = memory["first_session"], memory["first_request"]
    stop_request = first_request + len(requests)
    kept = sessions[n_ended:]["first_request"][:1]
    first_kept = int(kept[0]) if len(kept) else stop_request
    memory.load(
        np.concatenate([sessions[n_ended:], sessions_of(chunk, blueprint, stop_request)]),
        np.concatenate([requests[first_kept - first_request :], requests_of(chunk, blueprint)]),
        first=(first_session + n_ended, first_kept),
        is_last=False,
    )


def _part(trace: Trace, sessions: slice) -> Trace:
    """Return a run of the sessions of a trace."""
    bounds = trace.first_request[
        sessions.start : None if sessions.stop is None else sessions.stop + 1
    ]
    requests = slice(bounds[0], bounds[-1])
    columns: dict[str, Any] = {name: getattr(trace, name)[sessions] for name in _SESSION_COLUMNS}
    columns |= {name: getattr(trace, name)[requests] for name in _REQUEST_COLUMNS}
    return replace(trace, first_request=bounds - bounds[0], **columns)


def _joined(one: Trace, other: Trace) -> Trace:
    """Return two runs of sessions as one."""
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(one, name), getattr(other, name)])
        for name in _SESSION_COLUMNS + _REQUEST_COLUMNS
    }
    first_request = np.concatenate([one.first_request, other.first_request[1:] + one.n_requests])
    return replace(one, first_request=first_request, **columns)
