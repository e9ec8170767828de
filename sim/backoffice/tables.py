"""Record tables of the offices: dossiers joined with what became of them, and levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.backoffice.filings import ORIGINS, Filings
from sim.backoffice.outcomes import Cases, StationLevels
from sim.backoffice.plan import Plan
from sim.backoffice.workflow import State
from sim.results import DOSSIERS, FILED
from sim.results.tables import (
    DOSSIER_OUTCOMES,
    OFFICE_TIMES,
    level_table,
    names_column,
    record_table,
)

STATE_NAMES = tuple(state.name.lower() for state in State)
"""Names of states in the records, by value."""

_STEP_BITS = 20
_ATTEMPT_BITS = 16
_HOUR_S = 3600.0
_PORTAL = ORIGINS.index("portal")

Columns = dict[str, NDArray[Any]]

assert ORIGINS == FILED


def office_dossier_table(
    plan: Plan,
    filings: Filings,
    cases: Cases,
    replication: int,
    portal: pa.Table | None = None,
) -> pa.Table:
    """Return the dossiers of one replication with what the offices did with them.

    Parameters
    ----------
    plan : Plan
        The offices.
    filings : Filings
        The dossiers that reached them.
    cases : Cases
        What became of these, row by row.
    replication : int
        Which replication.
    portal : pyarrow.Table, optional
        The dossiers on the portal's file, sorted as the portal's tables are; absent: no portal was
        simulated. Those that never reached the offices stand in ``synchronising``.

    Returns
    -------
    pyarrow.Table
        Schema ``DOSSIERS``, sorted by how they were filed, session, step and attempt.
    """
    order = np.lexsort((filings.attempt, filings.step, filings.session, filings.origin))
    columns = _filed(plan, filings, cases, order)
    if portal is not None:
        columns = _with_portal(plan, columns, portal)
    texts = {
        "service": plan.procedures.code,
        "outcome": DOSSIER_OUTCOMES,
        "filed": FILED,
        "domain": plan.domains,
        "office": plan.offices,
        "reception_office": plan.offices,
        "state": STATE_NAMES,
    }
    named = {name: names_column(names, columns[name]) for name, names in texts.items()}
    return record_table(columns | named, DOSSIERS, replication)


def office_level_table(levels: Sequence[StationLevels], replication: int) -> pa.Table:
    """Return the rows that the offices' stations add to the table of levels."""
    blocks = {level.station: [(level.station, _block(level))] for level in levels}
    return level_table(blocks, replication)


def _filed(plan: Plan, filings: Filings, cases: Cases, order: NDArray[np.int64]) -> Columns:
    """Return the columns of the dossiers that reached the offices."""
    procedure, submitted_s = filings.procedure[order], filings.submitted_s[order]
    columns: Columns = {
        "session": filings.session[order],
        "step": filings.step[order],
        "attempt": filings.attempt[order],
        "service": procedure,
        "submitted_s": submitted_s,
        "acknowledged_s": submitted_s,  # whoever files without a portal knows at once
        "received_s": _first_known(cases.received_s[order], filings.received_s[order]),
        "synced_s": cases.synced_s[order],
        "decided_s": cases.decided_s[order],
        "due_s": _first_known(cases.due_s[order], filings.due_s[order]),
        "outcome": np.zeros(len(order), dtype=np.int32),
        "filed": filings.origin[order],
        "domain": plan.procedures.domain[procedure],
        "office": filings.office[order],
        "reception_office": filings.reception[order],
        "state": cases.state[order],
        "supplements": cases.supplements[order],
        "notice_late": cases.notice_late[order],
        "apologised": cases.apologised[order],
    }
    columns |= {name: getattr(cases, name)[order] for name in OFFICE_TIMES}
    # The offices' time begins when a dossier reaches them; until then the system had it.
    columns["waiting_system_s"] = columns["waiting_system_s"] + (
        filings.arrival_s[order] - np.maximum(submitted_s, 0.0)
    )
    return columns


def _with_portal(plan: Plan, columns: Columns, portal: pa.Table) -> Columns:
    """Return the columns with what the portal knows, and with what never left it."""
    known = _PortalRows.of(portal)
    n = int(np.searchsorted(columns["filed"], _PORTAL, side="right"))
    keys = _keys(columns["session"][:n], columns["step"][:n], columns["attempt"][:n])
    at = np.searchsorted(known.keys, keys)
    assert np.array_equal(known.keys[at], keys)
    never = np.ones(len(known.keys), dtype=np.bool_)
    never[at] = False
    rest = _unsynchronised(plan, known, np.flatnonzero(never))
    whole = {name: np.concatenate([values[:n], rest[name]]) for name, values in columns.items()}
    keys = _keys(whole["session"], whole["step"], whole["attempt"])
    order = np.argsort(keys, kind="stable")
    whole = {name: values[order] for name, values in whole.items()} | known.columns
    return {name: np.concatenate([whole[name], columns[name][n:]]) for name in columns}


@dataclass(frozen=True, slots=True)
class _PortalRows:
    """What the portal says of its dossiers, sorted by key."""

    keys: NDArray[np.int64]
    columns: Columns
    services: tuple[str, ...]
    service: NDArray[np.int32]

    @classmethod
    def of(cls, table: pa.Table) -> "_PortalRows":
        numbers = [table[name].to_numpy() for name in ("session", "step", "attempt")]
        times = ("submitted_s", "acknowledged_s", "synced_s")
        columns: Columns = {name: table[name].to_numpy() for name in times}
        columns["outcome"] = np.isnan(columns["acknowledged_s"]).astype(np.int32)
        service = table["service"].unify_dictionaries().combine_chunks()
        names = tuple(service.dictionary.to_pylist())
        return cls(_keys(*numbers), columns, names, service.indices.to_numpy())


def _unsynchronised(plan: Plan, portal: _PortalRows, rows: NDArray[np.int64]) -> Columns:
    """Return the columns of dossiers that stayed on the portal."""
    index = {code: number for number, code in enumerate(plan.procedures.code)}
    code = np.array([index.get(name, -1) for name in portal.services], dtype=np.int32)
    procedure = code[portal.service[rows]]
    submitted_s = portal.columns["submitted_s"][rows]
    n = len(rows)
    nothing, unknown = np.full(n, -1), np.full(n, np.nan)
    keys = portal.keys[rows]
    columns: Columns = {
        "session": keys >> (_STEP_BITS + _ATTEMPT_BITS),
        "step": keys >> _ATTEMPT_BITS & ((1 << _STEP_BITS) - 1),
        "attempt": keys & ((1 << _ATTEMPT_BITS) - 1),
        "service": procedure,
        "filed": np.full(n, _PORTAL),
        "domain": np.where(procedure < 0, -1, plan.procedures.domain[procedure]),
        "office": nothing,
        "reception_office": nothing,
        "state": np.full(n, State.SYNCHRONISING),
        "supplements": np.zeros(n, dtype=np.int32),
        "notice_late": np.zeros(n, dtype=np.bool_),
        "apologised": np.zeros(n, dtype=np.bool_),
        "received_s": unknown,
        "decided_s": unknown,
        "due_s": unknown,
        "reception_due_s": _reception_due_s(plan, submitted_s),
        "closed_s": unknown,
        "waiting_system_s": np.maximum(plan.end_s - submitted_s, 0.0),
    }
    others = ("waiting_officer_s", "working_s", "waiting_citizen_s", "waiting_agency_s")
    columns |= dict.fromkeys(others, np.zeros(n))
    return columns | {name: values[rows] for name, values in portal.columns.items()}


def _reception_due_s(plan: Plan, submitted_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return until when each was to be received, by the first office's calendar; it has none."""
    working_time = plan.shifts[int(plan.calendar[0])].working_time
    limit_s = plan.spec.law.reception_limit_h * _HOUR_S
    return np.array([working_time.add(time_s, limit_s) for time_s in submitted_s.tolist()])


def _keys(session: NDArray[Any], step: NDArray[Any], attempt: NDArray[Any]) -> NDArray[np.int64]:
    """Return one number per (session, step, attempt), in their order."""
    wide = session.astype(np.int64)
    keys: NDArray[np.int64] = (((wide << _STEP_BITS) | step) << _ATTEMPT_BITS) | attempt
    return keys


def _first_known(values: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(values), others, values)


def _block(level: StationLevels) -> NDArray[np.float64]:
    """Return a station's rows as ``level_table`` takes them: areas instead of averages."""
    span_s = level.to_s - level.from_s
    return np.column_stack(
        [
            level.from_s,
            level.to_s,
            level.capacity * span_s,
            level.busy * span_s,
            level.queue * span_s,
            level.queue_max,
            level.queue_age_max_s,
            level.arrivals,
            level.departures,
        ]
    )
