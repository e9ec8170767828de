"""Conservation behind the portal: what must hold exactly in every dossier's way."""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.metrics.office_samples import WITHDRAWN, is_within
from sim.metrics.sample import Flags, Floats, encoded, floats
from sim.results import FILED
from sim.scenario.metric_names import BACKOFFICE, STATE_STATION_PREFIX, STATES

OFFICE_DOSSIER_COLUMNS = (
    "filed",
    "session",
    "step",
    "attempt",
    "state",
    "submitted_s",
    "synced_s",
    "received_s",
    "decided_s",
    "closed_s",
    "waiting_officer_s",
    "working_s",
    "waiting_citizen_s",
    "waiting_agency_s",
    "waiting_system_s",
)

_SLACK = 1e-9
"""Relative rounding of sums of float64 times."""
_AREA_SLACK = 1e-6
"""Relative rounding of time integrals over all dossiers."""

_ENDS = tuple(map(STATES.index, ("returned", "refused_at_reception", "refused", "withdrawn")))
_DECIDED = (*(state for state in _ENDS if state != WITHDRAWN), STATES.index("releasing"))
_TIMES = ("waiting_officer_s", "working_s", "waiting_citizen_s", "waiting_agency_s")
_ORDER = ("submitted_s", "synced_s", "received_s", "decided_s", "closed_s")
_SPENT: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("receiving", "assigning", "examining", "approving", "signing", "releasing"): _TIMES[:2],
    ("supplementing_at_reception", "paying", "supplementing"): ("waiting_citizen_s",),
    ("consulting",): ("waiting_agency_s",),
}
"""States, and the times of dossiers that are spent in them."""


def office_flaws(dossiers: pa.Table, levels: pa.Table) -> Iterator[str]:
    """Yield what breaks in dossiers of every origin; nothing where no office is simulated.

    Parameters
    ----------
    dossiers : pyarrow.Table
        ``OFFICE_DOSSIER_COLUMNS`` of one replication.
    levels : pyarrow.Table
        Station, from_s, to_s, queue_mean, arrivals and departures of the same one.
    """
    names, codes = encoded(dossiers, "state")
    if len(codes) == 0 or (codes < 0).all():
        return
    yield from _broken("unknown way of filing", ~_known(dossiers, "filed", FILED))
    yield from _broken("unknown state", ~_known(dossiers, "state", STATES))
    yield from _broken("not sorted, or twice", _unsorted(dossiers))
    state = np.array([*(STATES.index(n) if n in STATES else -1 for n in names), -1])[codes]
    yield from _state_flaws(dossiers, state)
    yield from _order_flaws(dossiers)
    stations = _Stations(levels)
    yield from _life_flaws(dossiers, stations.end_s)
    yield from _level_flaws(dossiers, state, stations)


def _state_flaws(table: pa.Table, state: NDArray[np.int64]) -> Iterator[str]:
    """Filed is decided, withdrawn, refused or open: each state has the times that belong to it."""
    decided = ~np.isnan(floats(table, "decided_s"))
    closed = ~np.isnan(floats(table, "closed_s"))
    yield from _broken("state and closed_s disagree", closed != is_within(state, _ENDS))
    yield from _broken("state and decided_s disagree", decided != is_within(state, _DECIDED))


def _order_flaws(table: pa.Table) -> Iterator[str]:
    for (first, before), (second, after) in itertools.combinations(
        [(name, floats(table, name)) for name in _ORDER], 2
    ):
        yield from _broken(f"{second} before {first}", after < before - _slack(before))


def _life_flaws(table: pa.Table, end_s: float) -> Iterator[str]:
    closed_s = floats(table, "closed_s")
    until_s = np.where(np.isnan(closed_s), end_s, closed_s)
    life_s = until_s - np.maximum(floats(table, "submitted_s"), 0.0)
    spent_s = sum(floats(table, name) for name in (*_TIMES, "waiting_system_s"))
    yield from _broken("times do not sum to their life", np.abs(spent_s - life_s) > _slack(until_s))


class _Stations:
    """What the levels say of offices."""

    def __init__(self, levels: pa.Table) -> None:
        names, codes = encoded(levels, "station")
        wanted = [code for code, name in enumerate(names) if name.startswith(f"{BACKOFFICE}.")]
        self._rows = np.isin(codes, wanted)
        self._names, self._codes, self._levels = names, codes, levels
        to_s = floats(levels, "to_s")
        self.end_s = float(to_s[self._rows].max(initial=-np.inf))
        self._area = floats(levels, "queue_mean") * (to_s - floats(levels, "from_s"))

    def rows(self, state: str) -> NDArray[np.int64]:
        """Return the rows of a state's dossiers."""
        station = STATE_STATION_PREFIX + state
        code = self._names.index(station) if station in self._names else -1
        return np.flatnonzero(self._codes == code)

    def standing(self, state: str) -> int | None:
        """Return how many dossiers stand in a state at the end; None without its levels."""
        rows = self.rows(state)
        if len(rows) == 0:
            return None
        flows = [self._levels[name].to_numpy()[rows].sum() for name in ("arrivals", "departures")]
        return int(flows[0] - flows[1])

    def time_s(self, states: tuple[str, ...]) -> float:
        """Return the time that dossiers spent in some states together, s."""
        return float(sum(self._area[self.rows(state)].sum() for state in states))


def _level_flaws(table: pa.Table, state: NDArray[np.int64], stations: _Stations) -> Iterator[str]:
    counts = np.bincount(state[state >= 0], minlength=len(STATES))
    for code, name in enumerate(STATES):
        # What the portal has not handed over stands nowhere in the offices.
        n = stations.standing(name) if name != "synchronising" else None
        if n is not None and n != counts[code]:
            yield f"levels: {n} dossiers {name} at the end, but {counts[code]} rows of dossiers"
    if not len(stations.rows(STATES[1])):
        return
    for states, columns in _SPENT.items():
        spent_s = float(sum(floats(table, name).sum() for name in columns))
        if abs(stations.time_s(states) - spent_s) > _AREA_SLACK * max(spent_s, 1.0):
            yield (
                f"levels: {stations.time_s(states):.6g} s in {', '.join(states)}, but the "
                f"dossiers' {' and '.join(columns)} sum to {spent_s:.6g} s"
            )


def _unsorted(table: pa.Table) -> Flags:
    names, codes = encoded(table, "filed")
    filed = np.array([*(FILED.index(n) if n in FILED else -1 for n in names), -1])[codes]
    later = np.zeros(max(len(codes) - 1, 0), dtype=np.bool_)
    same = ~later
    for column in (filed, *(table[name].to_numpy() for name in ("session", "step", "attempt"))):
        step = np.diff(column.astype(np.int64))
        later |= same & (step > 0)
        same &= step == 0
    return ~later


def _known(table: pa.Table, column: str, allowed: tuple[str, ...]) -> Flags:
    names, codes = encoded(table, column)
    return np.isin(codes, [code for code, name in enumerate(names) if name in allowed])


def _broken(sentence: str, rows: Flags) -> Iterator[str]:
    n = int(np.count_nonzero(rows))
    if n:
        yield f"dossiers: {sentence} ({n} of {len(rows)})"


def _slack(times_s: Floats) -> Floats:
    return np.maximum(np.abs(times_s), 1.0) * _SLACK
