"""Conservation: what must hold exactly in the records of every run."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.metrics.office_checks import OFFICE_DOSSIER_COLUMNS, office_flaws
from sim.metrics.sample import Flags, Floats, encoded
from sim.results import OUTCOMES, RecordSource
from sim.scenario.metric_names import is_mean_only

_SLACK = 1e-9
"""Relative rounding of sums of float64 times."""

_SESSION_OUTCOMES = ("completed", "abandoned")
_DOSSIER_OUTCOMES = ("acknowledged", "unacknowledged")
_ATTEMPT_BITS = 16
_STEP_BITS = 20
_LARGEST_STEP = 1 << _STEP_BITS


_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
_SESSION_COLUMNS = ("session", "arrival_s", "end_s", "requests", "outcome")
_REQUEST_COLUMNS = (
    "session",
    "step",
    "attempt",
    "due_s",
    "sent_s",
    "wait_s",
    "response_s",
    "outcome",
)
_DOSSIER_COLUMNS = tuple(
    dict.fromkeys([*OFFICE_DOSSIER_COLUMNS, "submitted_s", "acknowledged_s", "synced_s", "outcome"])
)
_LEVEL_COLUMNS = (
    "station",
    "from_s",
    "to_s",
    "busy_mean",
    "queue_mean",
    "queue_max",
    "arrivals",
    "departures",
)


def check_conservation(source: RecordSource) -> list[str]:
    """Return every identity the records break, one sentence each; none when they are sound.

    Parameters
    ----------
    source : RecordSource
        Run or records; read one replication at a time, its requests some rows at a time.
    """
    return [
        f"replication {replication}: {flaw}"
        for replication in source.replications
        for flaw in _flaws(source, replication)
    ]


def _flaws(source: RecordSource, replication: int) -> Iterator[str]:
    sessions = source.table("sessions", _SESSION_COLUMNS, replication=replication)
    dossiers = source.table("dossiers", _DOSSIER_COLUMNS, replication=replication)
    attempts = _Attempts(sessions, _of_portal(dossiers))
    for piece in source.pieces("requests", _REQUEST_COLUMNS, replication=replication):
        attempts.add(piece)
    yield from attempts.flaws()
    yield from _session_flaws(sessions, attempts)
    yield from _dossier_flaws(dossiers, attempts)
    levels = source.table("levels", _LEVEL_COLUMNS, replication=replication)
    yield from _level_flaws(levels)
    yield from office_flaws(dossiers, levels)


def _of_portal(dossiers: pa.Table) -> pa.Table:
    """Return the dossiers that requests filed."""
    names, codes = encoded(dossiers, "filed")
    return dossiers.filter(pa.array(_is_in(names, codes, ("portal",))))


class _Attempts:
    """What the rows of requests, seen piece by piece, say of themselves and of others."""

    def __init__(self, sessions: pa.Table, dossiers: pa.Table) -> None:
        session = _integers(sessions, "session")
        self._arrived_s = np.full(1 + int(session.max(initial=-1)), np.inf)
        self._arrived_s[session] = _column(sessions, "arrival_s")
        self._per_session = np.zeros(len(self._arrived_s), dtype=np.int64)
        self._dossiers = _keys(dossiers)
        self._is_answered = np.zeros(len(self._dossiers), dtype=np.bool_)
        self._last_key = np.empty(0, dtype=np.int64)
        self._broken: dict[str, int] = {}
        self._n = 0

    def add(self, piece: pa.Table) -> None:
        """Look at the next rows."""
        self._n += piece.num_rows
        keys, session = _keys(piece), _integers(piece, "session")
        names, codes = encoded(piece, "outcome")
        is_ok = _is_in(names, codes, ("ok",))
        answered = np.sort(keys[is_ok], kind="stable")  # fast, as it is sorted unless broken
        left, right = (np.searchsorted(answered, self._dossiers, side) for side in _SIDES)
        self._is_answered |= right > left
        self._count(session)
        for flaw, rows in self._of(piece, session).items():
            self._note(f"requests: {flaw}", rows)
        self._note("requests: unknown outcome", ~_is_in(names, codes, OUTCOMES))
        self._note("requests: not sorted, or twice", np.diff(keys, prepend=self._last_key) <= 0)
        self._last_key = keys[-1:]

    def flaws(self) -> Iterator[str]:
        """Yield what is wrong with the rows by themselves."""
        for sentence, n in self._broken.items():
            yield f"{sentence} ({n} of {self._n})"

    def differ_from(self, session: NDArray[np.int64], stated: NDArray[np.int64]) -> Flags:
        """Return which sessions have another number of rows than is stated of them."""
        said = np.zeros(len(self._per_session), dtype=np.int64)
        said[session] = stated
        return np.not_equal(said, self._per_session)

    def without_answer(self, acknowledged: Flags) -> Flags:
        """Return which acknowledged dossiers have no request that was answered well."""
        return acknowledged & ~self._is_answered

    def _of(self, piece: pa.Table, session: NDArray[np.int64]) -> dict[str, Flags]:
        due_s, sent_s, wait_s, response_s = (
            _column(piece, name) for name in ("due_s", "sent_s", "wait_s", "response_s")
        )
        return {
            "sent before due": sent_s < due_s - _slack(due_s),
            "response_s negative or unknown": ~(response_s >= 0),
            # A load test sees no queue from outside: there it is unknown throughout.
            "wait_s negative or unknown": ~(wait_s >= 0) & ~np.isnan(wait_s).all(),
            "answered before sent": response_s < sent_s - due_s - _slack(sent_s),
            "due before their session arrived": due_s < self._arrived_s[session] - _slack(due_s),
        }

    def _count(self, session: NDArray[np.int64]) -> None:
        """Count the rows of each session; one that no row of sessions states counts too."""
        counts = np.bincount(session, minlength=len(self._per_session))
        counts[: len(self._per_session)] += self._per_session
        self._per_session = counts
        missing = len(counts) - len(self._arrived_s)
        self._arrived_s = np.append(self._arrived_s, np.full(missing, np.inf))

    def _note(self, sentence: str, rows: Flags) -> None:
        n = int(np.count_nonzero(rows))
        if n:
            self._broken[sentence] = self._broken.get(sentence, 0) + n


def _session_flaws(table: pa.Table, attempts: _Attempts) -> Iterator[str]:
    arrival_s, end_s = _column(table, "arrival_s"), _column(table, "end_s")
    session = _integers(table, "session")
    yield from _unknown(table, "sessions", _SESSION_OUTCOMES)
    yield from _broken("sessions: not sorted, or twice", np.diff(session) <= 0)
    yield from _broken("sessions: end before arrival", ~(end_s >= arrival_s - _slack(arrival_s)))
    yield from _broken(
        "sessions: requests differ from the rows of requests",
        attempts.differ_from(session, _integers(table, "requests")),
    )


def _dossier_flaws(table: pa.Table, attempts: _Attempts) -> Iterator[str]:
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
    filed, how = encoded(table, "filed")
    yield from _broken(
        "dossiers: acknowledged without a request answered well",
        attempts.without_answer(acknowledged[_is_in(filed, how, ("portal",))]),
    )


def _level_flaws(table: pa.Table) -> Iterator[str]:
    names, codes = encoded(table, "station")
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
        "levels: queue_mean above queue_max",
        (queue_mean > queue_max + _slack(queue_max)) & ~_without_maxima(names, codes),
    )
    busy = _column(table, "busy_mean")
    yield from _broken("levels: negative", (queue_mean < -_SLACK) | (busy < -_SLACK))
    yield from _broken("levels: more departures than arrivals", _in_debt(table, order, codes))


def _without_maxima(names: list[str], codes: NDArray[np.int32]) -> Flags:
    """Return which rows are of officers or states, of which only the mean is known."""
    return _is_in(names, codes, tuple(name for name in names if is_mean_only(name)))


def _in_debt(table: pa.Table, order: NDArray[np.int64], codes: NDArray[np.int32]) -> Flags:
    """Return where more has left a station, since the start, than has come."""
    net = (_integers(table, "arrivals") - _integers(table, "departures"))[order]
    total = np.cumsum(net)
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    before = np.repeat(total[starts] - net[starts], np.diff(starts, append=len(net)))
    in_debt: Flags = total < before
    return in_debt


def _unknown(table: pa.Table, name: str, allowed: tuple[str, ...]) -> Iterator[str]:
    names, codes = encoded(table, "outcome")
    yield from _broken(f"{name}: unknown outcome", ~_is_in(names, codes, allowed))


def _is_in(names: list[str], codes: NDArray[np.int32], wanted: tuple[str, ...]) -> Flags:
    return np.isin(codes, [code for code, name in enumerate(names) if name in wanted])


def _broken(sentence: str, rows: Flags) -> Iterator[str]:
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
