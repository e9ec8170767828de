"""The memory of one run of the offices: the world and its arrays, which grow when it is wanted."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.backoffice.filings import Filings
from sim.backoffice.plan import Plan
from sim.backoffice.workflow import State
from sim.compiled.offices import structs
from sim.compiled.offices.kernel import constants as codes
from sim.compiled.offices.kernel.constants import FAN, NONE
from sim.compiled.offices.structs import World
from sim.compiled.offices.tables import Built
from sim.compiled.stations import Table
from sim.compiled.structs import Struct, dtype_of

_LINE = 64
"""Bytes of a line of the processor's cache."""
_BLOCK = 4096
"""Dossiers laid out, or read, at a time."""
_FEW = 64
"""Rows that an array which grows has at first."""
_FEW_NODES = 16
"""Room of a heap at first."""
_VISITS_PER_DOSSIER = 8
"""Room for so many tasks at first; what is not used takes no memory."""
_MORE_AT_ONCE = 8
"""Events that a moment may bring beside those of the officers who come then, or of a tick."""
_HOUR_S = 3600.0

TIMES = ("synced_s", "received_s", "accepted_s", "decided_s", "closed_s")
"""Moments of dossiers, NaN until they come."""

VISIT_COLUMNS: Mapping[str, type[np.generic]] = {
    "dossier": np.int32,
    "state": np.int8,
    "team": np.int32,
    "ready_s": np.float64,
    "started_s": np.float64,
    "ended_s": np.float64,
}
"""Columns of the tasks done."""

_BEFORE_ACCEPTANCE = (State.SYNCHRONISING, State.RECEIVING, State.SUPPLEMENTING_AT_RECEPTION)


class Memory:
    """The world of one run.

    Attributes
    ----------
    world : NDArray, shape (1,)
        What the kernel is given.
    """

    def __init__(self, built: Built, plan: Plan, filings: Filings) -> None:
        self.world = np.zeros(1, dtype_of(World))
        self._arrays: dict[str, NDArray[Any]] = {}
        for name, value in built.numbers.items():
            self[name] = value
        for name, table in built.tables.items():
            self._place(name, table)
        self["most_at_once"] = self["most_at_once"] + _MORE_AT_ONCE
        self["end_s"] = plan.end_s
        self["first_free_row"] = NONE
        self._load(plan, filings)
        self._add_heaps(1 + len(plan.team_office))
        self._place("ring", np.zeros(0, dtype_of(structs.Entry)))
        self._add_events()
        self._add_visits(_VISITS_PER_DOSSIER * len(filings))
        self._add_rows()

    def __getitem__(self, name: str) -> int:
        """Return a field of the world that counts something."""
        return int(self.world[name][0])

    def __setitem__(self, name: str, value: float) -> None:
        """Set a field of the world."""
        self.world[name] = value

    def table(self, name: str) -> NDArray[Any]:
        """Return an array of the world."""
        return self._arrays[name]

    def provide(self) -> None:
        """Provide what the kernel wants before it goes on."""
        wants, self["wants"] = self["wants"], 0
        if wants & codes.MORE_NODES:
            self._add_nodes()
        if wants & codes.MORE_EVENTS:
            self._add_events()
        if wants & codes.MORE_VISITS:
            self._add_visits(2 * self["most_visits"])
        if wants & codes.MORE_ROWS:
            self._add_rows()

    def visit_column(self, name: str) -> NDArray[Any]:
        """Return a column of the tasks done."""
        return self._arrays[f"visit_{name}"][: self["n_visits"]]

    def _load(self, plan: Plan, filings: Filings) -> None:
        """Lay out the dossiers."""
        n = len(filings)
        self["n_dossiers"] = n
        self._place("arrivals", np.ascontiguousarray(filings.arrival_s))
        self._place("places", np.empty(n, dtype_of(structs.Place)))
        for name in TIMES:
            self._place(name, np.full(n, np.nan))
        self._arrays["received_s"][:] = filings.received_s
        is_before = np.isin(filings.state, _BEFORE_ACCEPTANCE)
        np.copyto(self._arrays["accepted_s"], filings.received_s, where=~is_before)
        self._arrays["reception_due_s"] = reception_due_s(plan, filings, is_before)
        names = ("key", "reception", "office", "procedure", "filing", "state")
        columns = {name: getattr(filings, name) for name in names}
        columns["is_accepted"] = ~is_before
        columns["due_s"] = np.where(is_before, self._arrays["reception_due_s"], filings.due_s)
        dossiers = self._place("dossiers", _in_lines(structs.Dossier, n))
        for part in blocks(n):
            own = dossiers[part]
            for name, column in columns.items():
                own[name] = column[part]

    def _place(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        """Let an array be one of the world's."""
        self._arrays[name] = array
        self[name] = array.ctypes.data
        return array

    def _add_heaps(self, n: int) -> None:
        """Lay out empty heaps; the children of each node begin at a multiple of their number."""
        heaps = self._place("heaps", np.zeros(n, dtype_of(structs.Heap)))
        heaps["room"] = _FEW_NODES
        heaps["first"] = np.arange(n) * (_FEW_NODES + FAN) + FAN - 1
        self["nodes_end"] = n * (_FEW_NODES + FAN)
        self._arrays["nodes"] = _in_lines(structs.Node, 0)
        self._add_nodes()

    def _add_nodes(self) -> None:
        old = self._arrays["nodes"]
        self["most_nodes"] = 6 * self["nodes_end"] + 8 * self["most_at_once"]
        nodes = self._place("nodes", _in_lines(structs.Node, self["most_nodes"]))
        nodes[: len(old)] = old

    def _add_events(self) -> None:
        room = 2 * self["most_at_once"] + _FEW
        head, count = self["ring_head"], self["ring_count"]
        waiting = np.roll(self._arrays["ring"], -head)[:count]
        self["ring_head"], self["ring_size"] = 0, 2 * count + room
        ring = self._place("ring", np.empty(self["ring_size"], dtype_of(structs.Entry)))
        ring[:count] = waiting

    def _add_visits(self, wanted: int) -> None:
        self["most_visits"] = wanted + 2 * self["most_at_once"]
        for name, kind in VISIT_COLUMNS.items():
            self._grow(f"visit_{name}", np.dtype(kind), self["n_visits"], self["most_visits"])

    def _add_rows(self) -> None:
        old = len(self._arrays.get("rows", ()))
        new = 2 * old + _FEW
        self._grow("rows", dtype_of(structs.Row), old, new)
        rows = self._arrays["rows"][old:]
        rows["next"] = np.arange(old + 1, new + 1)
        rows["next"][-1] = self["first_free_row"]
        self["first_free_row"] = old
        self["n_free_rows"] = self["n_free_rows"] + new - old

    def _grow(self, name: str, kind: np.dtype[Any], used: int, size: int) -> None:
        """Give an array more rows; those in use stay."""
        grown = np.empty(size, kind)
        if used:
            grown[:used] = self._arrays[name][:used]
        self._place(name, grown)


def blocks(n: int) -> Iterator[slice]:
    """Yield so few rows after the other that the processor's cache holds them."""
    for start in range(0, n, _BLOCK):
        yield slice(start, min(start + _BLOCK, n))


def reception_due_s(
    plan: Plan, filings: Filings, is_before: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return when each dossier that is not accepted yet is to be received, s; else NaN."""
    due_s = np.full(len(filings), np.nan)
    calendar = plan.calendar[filings.reception]
    for number, shifts in enumerate(plan.shifts):
        rows = np.flatnonzero((calendar == number) & is_before)
        limit_s = np.full(len(rows), plan.spec.law.reception_limit_h * _HOUR_S)
        due_s[rows] = shifts.working_time.add_each(filings.submitted_s[rows], limit_s)
    return due_s


def _in_lines(struct: type[Struct], size: int) -> Table:
    """Return zeroed rows, each from the beginning of a line of the cache on."""
    kind = dtype_of(struct)
    raw = np.zeros(size * kind.itemsize + _LINE, np.uint8)
    first = -raw.ctypes.data % _LINE
    return raw[first : first + size * kind.itemsize].view(kind)
