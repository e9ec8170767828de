"""What the workers recorded becomes a run: a simulation's tables, and a trust verdict."""

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import JsonValue

from loadtests.monitor import levels_of, load_readings
from loadtests.recorder import TABLES, Part, load_parts
from loadtests.trust import Figures, judge_trust, too_few_requests, worst_cpu_shares
from loadtests.work import Conduct, LoadError, Order, load_conduct, load_order
from sim.demand import Trace
from sim.exit_codes import RUN_FAILED
from sim.metrics import summarise
from sim.results import (
    DOSSIERS,
    OUTCOMES,
    REQUESTS,
    SESSIONS,
    Records,
    ResultsError,
    Run,
    RunWriter,
)
from sim.results.tables import without_offices
from sim.scenario.scenario import Scenario

_SESSION_OUTCOMES = ("completed", "abandoned")
_ACKNOWLEDGED = "acknowledged"
_ATTEMPT_BITS = 16


def acknowledged_in(folder: Path) -> pa.Table:
    """Return what the portal acknowledged to any worker of a working folder."""
    tables = [part.tables[_ACKNOWLEDGED] for part in load_parts(folder)]
    return pa.concat_tables([TABLES[_ACKNOWLEDGED].empty_table(), *tables])


@dataclass(frozen=True, slots=True)
class Measured:
    """The parts of all workers, put together.

    Attributes
    ----------
    trace : Trace
        What was replayed.
    tables : mapping of str to pyarrow.Table
        The parts' tables of one name, one after the other.
    usage : sequence of pyarrow.Table
        Each worker's usage.
    end_s : float
        End of the run, s from the epoch.
    """

    trace: Trace
    tables: Mapping[str, pa.Table]
    usage: Sequence[pa.Table]
    end_s: float

    @classmethod
    def of(cls, trace: Trace, parts: Sequence[Part], end_s: float) -> "Measured":
        """Put parts together; the run ends no earlier than anything recorded."""
        tables = {
            name: pa.concat_tables([schema.empty_table(), *(part.tables[name] for part in parts)])
            for name, schema in TABLES.items()
        }
        ends = [end_s, *tables["sessions"]["end_s"].to_pylist()]
        return cls(trace, tables, [part.tables["usage"] for part in parts], max(ends))

    def column(self, table: str, name: str) -> NDArray[Any]:
        """Return a column as an array."""
        values: NDArray[Any] = self.tables[table][name].to_numpy()
        return values


def collect(
    folder: Path, results: Path | None = None, synced_at: Mapping[str, float] | None = None
) -> Run:
    """Turn a working folder into a stored run.

    Parameters
    ----------
    folder : Path
        The working folder; it is left as it is.
    results : Path, optional
        The store; absent: the plan's.
    synced_at : mapping of str to float, optional
        When the portal says that each dossier (by its id) was synchronised, s since 1970 UTC by
        this machine's clock; absent: when its own session saw it.

    Returns
    -------
    Run
        Its manifest holds the trust verdict (``trust``) and how the load went (``load``). It is
        marked interrupted when not all sessions could end.

    Raises
    ------
    LoadError
        When the load could not be begun, or nothing was recorded.
    ResultsError
        When a part is damaged, or the store cannot be written.
    """
    order, conduct = load_order(folder), load_conduct(folder)
    if conduct.failure:
        raise LoadError(conduct.failure)
    parts = load_parts(folder)
    if not parts:
        raise LoadError(f"{folder}: no worker delivered what it recorded; see the messages above")
    measured = Measured.of(order.trace, parts, conduct.ended_s)
    levels = levels_of(
        load_readings(folder),
        order.scenario.execution.level_interval_s,
        measured.end_s,
        order.trace.replication,
    )
    trust = judge_trust(figures_of(measured, order.scenario, conduct))
    synced_s = _since(conduct, synced_at)
    with RunWriter.resume_or_create(
        results or Path(order.plan.results),
        order.scenario,
        overrides=order.plan.overrides,
        source="measured",
        resume=False,
    ) as writer:
        writer.add(order.trace.replication, records_of(measured, order.scenario, levels, synced_s))
        return writer.finish(
            summarise=summarise,
            status="interrupted" if conduct.stopped else "complete",
            trust=trust.to_json(),
            load=_account(order, conduct, measured),
            extra=extra_tables(measured),
        )


def records_of(
    measured: Measured,
    scenario: Scenario,
    levels: pa.Table,
    synced_s: Mapping[str, float] | None = None,
) -> Records:
    """Return the record tables of a load test, sorted as a simulation's.

    Parameters
    ----------
    measured : Measured
        What the workers recorded.
    scenario : Scenario
        The question.
    levels : pyarrow.Table
        Levels of the portal's stations.
    synced_s : mapping of str to float, optional
        When each dossier was synchronised, s from the epoch, by the portal's id; absent: when its
        own session saw it.
    """
    requests = _Requests.of(measured)
    return Records(
        requests=_request_table(measured, requests),
        sessions=_session_table(measured, requests),
        dossiers=_dossier_table(measured, requests, scenario, synced_s),
        levels=levels,
    )


def figures_of(measured: Measured, scenario: Scenario, conduct: Conduct) -> Figures:
    """Return what the trust verdict depends on, from the judged window."""
    window = scenario.window
    requests = _Requests.of(measured)
    judged = (requests.due_s >= window.warm_up_s) & (requests.due_s < window.duration_s)
    late_s = (requests.sent_s - requests.due_s)[judged]
    counts = np.bincount(
        measured.trace.endpoint[requests.request[judged]], minlength=len(measured.trace.endpoints)
    )
    by_endpoint = dict(zip(measured.trace.endpoints, counts.tolist(), strict=True))
    cpu = [(_numbers(table, "t_s"), _numbers(table, "cpu_share")) for table in measured.usage]
    mean, peak = worst_cpu_shares(cpu)
    waits = [(_numbers(table, "t_s"), _numbers(table, "waiting_share")) for table in measured.usage]
    p50, p99 = np.quantile(late_s, (0.5, 0.99)) if len(late_s) else (math.nan, math.nan)
    return Figures(
        cpu_share_mean=mean,
        cpu_share_max=peak,
        waiting_share=worst_cpu_shares(waits)[0],
        lateness_p50_s=float(p50),
        lateness_p99_s=float(p99),
        lateness_max_s=float(late_s.max(initial=0.0)) if len(late_s) else math.nan,
        requests=int(judged.sum()),
        dropped=measured.tables["dropped"].num_rows,
        faults_missed=conduct.faults_missed,
        missing_workers=tuple(
            f"worker {worker.index} ({worker.name})"
            for worker in conduct.workers
            if not worker.delivered
        ),
        too_few=too_few_requests(scenario, measured.trace.endpoints, by_endpoint),
    )


def extra_tables(measured: Measured) -> dict[str, pa.Table]:
    """Return what a load test leaves besides the records, by the name of its file."""
    replication = measured.trace.replication
    return {
        _ACKNOWLEDGED: _with_replication(measured.tables[_ACKNOWLEDGED], replication),
        "dropped": _with_replication(measured.tables["dropped"], replication),
        "problems": measured.tables["problems"],
    }


@dataclass(frozen=True, slots=True)
class _Requests:
    """Attempts of all workers, sorted by request and attempt."""

    request: NDArray[np.int64]
    session: NDArray[np.int64]
    attempt: NDArray[np.int64]
    due_s: NDArray[np.float64]
    sent_s: NDArray[np.float64]
    response_s: NDArray[np.float64]
    outcome: NDArray[np.int64]

    @classmethod
    def of(cls, measured: Measured) -> "_Requests":
        request = measured.column("requests", "request").astype(np.int64)
        attempt = measured.column("requests", "attempt").astype(np.int64)
        order = np.lexsort((attempt, request))
        due_s, sent_s, response_s = (
            measured.column("requests", name)[order] for name in ("due_s", "sent_s", "response_s")
        )
        session = np.searchsorted(measured.trace.first_request, request[order], side="right") - 1
        outcome = measured.column("requests", "outcome").astype(np.int64)[order]
        return cls(request[order], session, attempt[order], due_s, sent_s, response_s, outcome)


def _request_table(measured: Measured, rows: _Requests) -> pa.Table:
    trace = measured.trace
    columns = {
        "session": rows.session,
        "step": rows.request - trace.first_request[rows.session],
        "attempt": rows.attempt,
        "endpoint": _names(trace.endpoints, trace.endpoint[rows.request]),
        "service": _names(trace.services, trace.service[rows.session]),
        "channel": _names(trace.channels, trace.channel[rows.session]),
        "due_s": rows.due_s,
        "sent_s": rows.sent_s,
        "wait_s": np.full(len(rows.request), np.nan),
        "response_s": rows.response_s,
        "outcome": _names(OUTCOMES, rows.outcome),
        "bytes_up": trace.bytes_up[rows.request],
    }
    return _table(columns, REQUESTS, trace.replication)


def _session_table(measured: Measured, requests: _Requests) -> pa.Table:
    """Return the sessions that came: those that ended, and those that were dropped."""
    trace = measured.trace
    ended = measured.column("sessions", "session").astype(np.int64)
    dropped = measured.column("dropped", "session").astype(np.int64)
    session = np.concatenate([ended, dropped])
    end_s = np.concatenate(
        [measured.column("sessions", "end_s"), measured.column("dropped", "at_s")]
    )
    abandoned = np.concatenate(
        [
            measured.tables["sessions"]["abandoned"].to_numpy(zero_copy_only=False),
            np.ones(len(dropped), dtype=bool),
        ]
    )
    order = np.argsort(session)
    session = session[order]
    counts = np.bincount(requests.session, minlength=trace.n_sessions)
    columns = {
        "session": session,
        "journey": _names(trace.journeys, trace.journey[session]),
        "service": _names(trace.services, trace.service[session]),
        "channel": _names(trace.channels, trace.channel[session]),
        "arrival_s": trace.arrival_s[session],
        "end_s": np.maximum(end_s[order], trace.arrival_s[session]),
        "requests": counts[session],
        "outcome": _names(_SESSION_OUTCOMES, abandoned[order]),
    }
    return _table(columns, SESSIONS, trace.replication)


def _dossier_table(
    measured: Measured,
    requests: _Requests,
    scenario: Scenario,
    synced_s: Mapping[str, float] | None,
) -> pa.Table:
    """Return the dossiers that clients know to be on file, one per acknowledgement."""
    trace = measured.trace
    promises = measured.tables[_ACKNOWLEDGED]
    session = _numbers(promises, "session").astype(np.int64)
    step = _numbers(promises, "request").astype(np.int64)
    attempt = _numbers(promises, "attempt").astype(np.int64)
    request = trace.first_request[session] + step
    is_filed = _is(promises, "kind", "dossier") & _files(scenario, trace)[trace.endpoint[request]]
    rows = np.flatnonzero(is_filed)
    rows = rows[np.lexsort((attempt[rows], request[rows]))]
    at = np.searchsorted(
        _key(requests.request, requests.attempt), _key(request[rows], attempt[rows])
    )
    acknowledged_s = _numbers(promises, "at_s")[rows]
    if synced_s is None:
        synced = _synced_s(measured, session[rows], acknowledged_s)
    else:
        numbers = promises["dossier"].take(pa.array(rows)).to_pylist()
        synced = np.array([synced_s.get(number, math.nan) for number in numbers], dtype=np.float64)
    columns = without_offices(len(rows)) | {
        "session": session[rows],
        "step": step[rows],
        "attempt": attempt[rows],
        "service": _names(trace.services, trace.service[session[rows]]),
        "submitted_s": requests.sent_s[at],
        "acknowledged_s": acknowledged_s,
        "synced_s": synced,
        "outcome": _names((_ACKNOWLEDGED,), np.zeros(len(rows), dtype=np.int32)),
    }
    return _table(columns, DOSSIERS, trace.replication)


def _synced_s(
    measured: Measured, session: NDArray[np.int64], since_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return when each dossier was first seen synchronised by its own session; NaN if never."""
    seen: dict[int, list[float]] = {}
    for of_session, at_s in zip(
        measured.column("synced", "session").tolist(),
        measured.column("synced", "at_s").tolist(),
        strict=True,
    ):
        seen.setdefault(of_session, []).append(at_s)
    return np.array(
        [
            min((t for t in seen.get(number, ()) if t >= since), default=math.nan)
            for number, since in zip(session.tolist(), since_s.tolist(), strict=True)
        ],
        dtype=np.float64,
    )


def _since(conduct: Conduct, at_unix_s: Mapping[str, float] | None) -> dict[str, float] | None:
    """Return times of the day as s from the epoch."""
    if at_unix_s is None or conduct.started is None:
        return None
    epoch = conduct.started.timestamp()
    return {number: time_s - epoch for number, time_s in at_unix_s.items()}


def _files(scenario: Scenario, trace: Trace) -> NDArray[np.bool_]:
    """Return which endpoints of the trace put a dossier on file."""
    endpoints = scenario.portal.endpoints
    return np.array(
        [name in endpoints and endpoints[name].files_dossier for name in trace.endpoints]
    )


def _account(order: Order, conduct: Conduct, measured: Measured) -> JsonValue:
    """Return how the load went, for the manifest."""
    return {
        "reference": order.plan.reference,
        "host": order.plan.host,
        "dialect": order.plan.dialect,
        "started": conduct.started.isoformat() if conduct.started else None,
        "ended_s": measured.end_s,
        "stopped": conduct.stopped,
        "workers": len(conduct.workers),
        "problems": [
            {"endpoint": row["endpoint"], "problem": row["problem"], "count": row["count"]}
            for row in commonest_problems(measured.tables["problems"])
        ],
    }


def commonest_problems(problems: pa.Table, most: int = 10) -> list[dict[str, Any]]:
    """Return the commonest problems of all workers together, most frequent first."""
    if problems.num_rows == 0:
        return []
    total = problems.group_by(["endpoint", "problem"]).aggregate([("count", "sum")])
    total = total.rename_columns(["endpoint", "problem", "count"])
    rows: list[dict[str, Any]] = total.to_pylist()
    return sorted(rows, key=lambda row: (-row["count"], row["endpoint"], row["problem"]))[:most]


def _key(request: NDArray[np.int64], attempt: NDArray[np.int64]) -> NDArray[np.int64]:
    return (request << _ATTEMPT_BITS) | attempt


def _is(table: pa.Table, column: str, value: str) -> NDArray[np.bool_]:
    return np.array([text == value for text in table[column].to_pylist()], dtype=bool)


def _numbers(table: pa.Table, column: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = table[column].to_numpy()
    return values


def _names(names: Iterable[str], indices: NDArray[Any]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(
        pa.array(indices.astype(np.int32)), pa.array(list(names), type=pa.string())
    )


def _with_replication(table: pa.Table, replication: int) -> pa.Table:
    column = pa.array(np.full(table.num_rows, replication, dtype=np.int32))
    return table.add_column(0, "replication", column)


def _table(columns: Mapping[str, Any], schema: pa.Schema, replication: int) -> pa.Table:
    n = len(next(iter(columns.values())))
    whole = {"replication": np.full(n, replication), **columns}
    arrays = [_column(whole[field.name], field.type) for field in schema]
    return pa.table(arrays, schema=schema)


def _column(values: NDArray[Any] | pa.DictionaryArray, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.DictionaryArray):
        return values
    return pa.array(values.astype(kind.to_pandas_dtype()), type=kind)


def main() -> int:
    """Collect the working folder named on the command line; prints where the run is."""
    try:
        run = collect(Path(sys.argv[1]))
    except (LoadError, ResultsError) as error:
        sys.stderr.write(f"{error}\n")
        return RUN_FAILED
    sys.stdout.write(f"{run.path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
