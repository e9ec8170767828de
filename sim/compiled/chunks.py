"""One replication piece by piece: sessions come when wanted, and go when they have ended."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.compiled.library import Kernel
from sim.compiled.memory import Memory
from sim.compiled.program import blueprint_of
from sim.compiled.run import (
    attempts_of,
    dossier_table,
    leave,
    level_table,
    run_on,
    session_table,
)
from sim.demand.trace import Trace
from sim.results import Records, no_rows, tables
from sim.scenario.scenario import Scenario

REQUESTS_AT_ONCE = 2**16
"""Requests whose rows are made at a time, besides those of one session that has more."""

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
        memory.load(chunk, is_last=False)
        window = chunk if window is None else _joined(window, chunk)
        del chunk  # or it would stay until the next has been drawn
        run_on(kernel, memory)
        has_ended = memory.has_ended()
        _hand_over(memory, window, has_ended, sink)
        memory.forget(has_ended)
        window = _chosen(window, np.flatnonzero(~has_ended))
    if window is None:
        raise ValueError("no chunk: a trace without sessions is one empty chunk")
    memory["is_last"] = 1
    run_on(kernel, memory)
    leave(memory)
    _hand_over(memory, window, np.ones(window.n_sessions, dtype=bool), sink)
    dossiers = dossier_table(window.services, memory.table("dossiers"), replication)
    levels = level_table(blueprint, memory, replication)
    sink(replace(no_rows(), dossiers=dossiers, levels=levels))


def _hand_over(memory: Memory, window: Trace, is_over: NDArray[np.bool_], sink: Sink) -> None:
    """Hand over the rows of sessions in memory, and the dossiers that are settled."""
    for block in _blocks(window.first_request):
        sessions = np.flatnonzero(is_over[block]) + block.start
        if len(sessions):
            sink(_rows_of(memory, window, sessions))
    settled = memory.take_settled_dossiers()
    if len(settled):
        dossiers = dossier_table(window.services, settled, window.replication)
        sink(replace(no_rows(), dossiers=dossiers))


def _blocks(first_request: NDArray[np.int64]) -> Iterator[slice]:
    """Cut sessions into stretches of at most ``REQUESTS_AT_ONCE`` requests, or of one session."""
    start, end = 0, len(first_request) - 1
    while start < end:
        limit = first_request[start] + REQUESTS_AT_ONCE
        stop = int(np.searchsorted(first_request, limit, side="right")) - 1
        stop = min(max(start + 1, stop), end)
        yield slice(start, stop)
        start = stop


def _rows_of(memory: Memory, window: Trace, sessions: NDArray[np.int64]) -> Records:
    """Return the rows of some sessions in memory."""
    trace = _chosen(window, sessions)
    requests = _requests_of(window, sessions)
    rows = memory.table("rows")
    own = rows[np.isin(rows["request"], requests)]
    own["request"] = np.searchsorted(requests, own["request"])
    attempts = attempts_of(memory.table("requests")[requests], own)
    states = memory.table("sessions")[sessions]
    return replace(
        no_rows(),
        requests=tables.request_table(trace, attempts, states["number"]),
        sessions=session_table(trace, states, memory.now),
    )


def _requests_of(trace: Trace, sessions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the requests of some sessions of a trace, sorted as these are."""
    first = trace.first_request[sessions]
    size = trace.first_request[sessions + 1] - first
    before = np.cumsum(size) - size
    requests: NDArray[np.int64] = np.repeat(first - before, size) + np.arange(size.sum())
    return requests


def _chosen(trace: Trace, sessions: NDArray[np.int64]) -> Trace:
    """Return some of the sessions of a trace."""
    requests = _requests_of(trace, sessions)
    columns: dict[str, Any] = {name: getattr(trace, name)[sessions] for name in _SESSION_COLUMNS}
    columns |= {name: getattr(trace, name)[requests] for name in _REQUEST_COLUMNS}
    size = np.diff(trace.first_request)[sessions]
    first_request = np.concatenate([[0], np.cumsum(size)])
    return replace(trace, first_request=first_request, **columns)


def _joined(one: Trace, other: Trace) -> Trace:
    """Return two runs of sessions as one."""
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(one, name), getattr(other, name)])
        for name in _SESSION_COLUMNS + _REQUEST_COLUMNS
    }
    first_request = np.concatenate([one.first_request, other.first_request[1:] + one.n_requests])
    return replace(one, first_request=first_request, **columns)
