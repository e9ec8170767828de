"""Conservation: what must hold exactly in the records of every run."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.metrics.samples import Floats, encoded
from sim.results import OUTCOMES, Records, RecordSource

_SLACK = 1e-9
"""Relative rounding of sums of float64 times."""

_SESSION_OUTCOMES = ("completed", "abandoned")
_DOSSIER_OUTCOMES = ("acknowledged", "unacknowledged")
_ATTEMPT_BITS = 16
_STEP_BITS = 20
_LARGEST_STEP = 1 << _STEP_BITS


def check_conservation(source: RecordSource) -> list[str]:
    """Return every identity the records break, one sentence each; none when they are sound.

    Parameters
    ----------
    source : RecordSource
        Run or records; read one replication at a time.
    """
    flaws: list[str] = []
    for replication in source.replications:
        records = Records(
            **{
                name: source.table(name, replication=replication)
                for name in ("requests", "sessions", "dossiers", "levels")
            }
        )
        flaws += [f"replication {replication}: {flaw}" for flaw in _flaws(records)]
    return flaws


def _flaws(records: Records) -> Iterator[str]:
    yield from _request_flaws(records.requests)
    yield from _session_flaws(records.sessions, records.requests)
    yield from _dossier_flaws(records.dossiers, records.requests)
    yield from _level_flaws(records.levels)


def _request_flaws(table: pa.Table) -> Iterator[str]:
    due_s, sent_s, response_s = (_column(table, name) for name in ("due_s", "sent_s", "response_s"))
    yield from _unknown(table, "requests", OUTCOMES)
    yield from _broken("requests: not sorted, or twice", np.diff(_keys(table)) <= 0)
    yield from _broken("requests: sent before due", sent_s < due_s - _slack(due_s))
    yield from _broken("requests: response_s negative or unknown", ~(response_s >= 0))
    yield from _broken("requests: wait_s negative or unknown", ~(_column(table, "wait_s") >= 0))
    late_s = sent_s - due_s
    yield from _broken("requests: answered before sent", response_s < late_s - _slack(sent_s))


def _session_flaws(table: pa.Table, requests: pa.Table) -> Iterator[str]:
    arrival_s, end_s = _column(table, "arrival_s"), _column(table, "end_s")
    session, of_request = _integers(table, "session"), _integers(requests, "session")
    yield from _unknown(table, "sessions", _SESSION_OUTCOMES)
    yield from _broken("sessions: not sorted, or twice", np.diff(session) <= 0)
    yield from _broken("sessions: end before arrival", ~(end_s >= arrival_s - _slack(arrival_s)))
    size = 1 + max(int(session.max(initial=-1)), int(of_request.max(initial=-1)))
    counts = np.bincount(of_request, minlength=size)
    stated = np.zeros(size, dtype=np.int64)
    stated[session] = _integers(table, "requests")
    yield from _broken("sessions: requests differ from the rows of requests", counts != stated)
    arrived_s = np.full(size, np.inf)
    arrived_s[session] = arrival_s
    due_s = _column(requests, "due_s")
    early = due_s < arrived_s[of_request] - _slack(due_s)
    yield from _broken("requests: due before their session arrived", early)


def _dossier_flaws(table: pa.Table, requests: pa.Table) -> Iterator[str]:
    submitted_s = _column(table, "submitted_s")
    acknowledged_s, synced_s = _column(table, "acknowledged_s"), _column(table, "synced_s")
    before_s = submitted_s - _slack(submitted_s)
    yield from _unknown(table, "dossiers", _DOSSIER_OUTCOMES)
    yield from _broken("dossiers: acknowledged before submitted", acknowledged_s < before_s)
    yield from _broken("dossiers: synchronised before submitted", synced_s < before_s)
    names, codes = encoded(table, "outcome")
    acknowledged = _is_in(names, codes, ("acknowledged",))
    yield from _broken(
        "dossiers: outcome and acknowledged_s disagree", acknowledged == np.isnan(acknowledged_s)
    )
    names, codes = encoded(requests, "outcome")
    answered = np.sort(_keys(requests)[_is_in(names, codes, ("ok",))])
    keys = _keys(table)
    found = np.searchsorted(answered, keys, "right") > np.searchsorted(answered, keys, "left")
    unanswered = acknowledged & ~found
    yield from _broken("dossiers: acknowledged without a request answered well", unanswered)


def _level_flaws(table: pa.Table) -> Iterator[str]:
    codes = encoded(table, "station")[1]
    from_s, to_s = _column(table, "from_s"), _column(table, "to_s")
    order = np.lexsort((from_s, codes))
    same = codes[order[1:]] == codes[order[:-1]]
    step_s = from_s[order[1:]] - to_s[order[:-1]]
    yield from _broken("levels: interval of no length", ~(to_s > from_s))
    yield from _broken(
        "levels: gap or overlap between intervals",
        same & (np.abs(step_s) > _slack(to_s[order[1:]])),
    )
    queue_mean, queue_max = _column(table, "queue_mean"), _column(table, "queue_max")
    yield from _broken(
        "levels: queue_mean above queue_max", queue_mean > queue_max + _slack(queue_max)
    )
    busy = _column(table, "busy_mean")
    yield from _broken("levels: negative", (queue_mean < -_SLACK) | (busy < -_SLACK))
    yield from _broken("levels: more departures than arrivals", _in_debt(table, order, codes))


def _in_debt(
    table: pa.Table, order: NDArray[np.int64], codes: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Return where more has left a station, since the start, than has come."""
    net = (_integers(table, "arrivals") - _integers(table, "departures"))[order]
    total = np.cumsum(net)
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    before = np.repeat(total[starts] - net[starts], np.diff(starts, append=len(net)))
    in_debt: NDArray[np.bool_] = total < before
    return in_debt


def _unknown(table: pa.Table, name: str, allowed: tuple[str, ...]) -> Iterator[str]:
    names, codes = encoded(table, "outcome")
    yield from _broken(f"{name}: unknown outcome", ~_is_in(names, codes, allowed))


def _is_in(
    names: list[str], codes: NDArray[np.int32], wanted: tuple[str, ...]
) -> NDArray[np.bool_]:
    return np.isin(codes, [code for code, name in enumerate(names) if name in wanted])


def _broken(sentence: str, rows: NDArray[np.bool_]) -> Iterator[str]:
    n = int(np.count_nonzero(rows))
    if n:
        yield f"{sentence} ({n} of {len(rows)})"


def _keys(table: pa.Table) -> NDArray[np.int64]:
    """Return one number per (session, step, attempt), in their order."""
    session, step, attempt = (_integers(table, name) for name in ("session", "step", "attempt"))
    assert int(step.max(initial=0)) < _LARGEST_STEP
    return (((session << _STEP_BITS) | step) << _ATTEMPT_BITS) | attempt


def _slack(times_s: Floats) -> Floats:
    return np.maximum(np.abs(times_s), 1.0) * _SLACK


def _column(table: pa.Table, name: str) -> Floats:
    values: Floats = table[name].to_numpy()
    return values


def _integers(table: pa.Table, name: str) -> NDArray[np.int64]:
    values: NDArray[np.int64] = table[name].to_numpy().astype(np.int64)
    return values
