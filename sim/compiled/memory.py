"""The memory of one run: the world and its arrays, which grow when the kernel asks for it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.compiled import structs
from sim.compiled.kernel import constants as codes
from sim.compiled.kernel.constants import EARLY, NONE
from sim.compiled.program import Blueprint
from sim.compiled.stations import Table
from sim.compiled.structs import Struct, World, dtype_of
from sim.demand.trace import BITS_PER_BYTE, TOGETHER, Trace
from sim.streams import child_key, child_keys

_SIZES = {"rows": "n_rows", "dossiers": "n_dossiers", "level_rows": "n_level_rows"}
"""Fields that say how many rows of an array are in use; of others all are."""

_FEW = 64
"""Rows that an array which grows has at first."""

_SLOTS = 1024
"""Slots of time that events are sorted into beforehand; a power of 2."""
_REQUESTS_PER_SLOT = 4.0
"""With about ten events each, that makes a heap of three or four levels."""
_SLOTS_PER_S = (1e-3, 1e6)


class Memory:
    """The world of one run.

    Attributes
    ----------
    world : NDArray, shape (1,)
        What the kernel is given.
    """

    def __init__(self, blueprint: Blueprint, seed: int, replication: int) -> None:
        self.world = np.zeros(1, dtype_of(World))
        self._blueprint = blueprint
        self._arrays: dict[str, Table] = {}
        self._n_loaded = 0
        for name, size in blueprint.sizes.items():
            self[name] = size
        for name, table in blueprint.tables.items():
            self._place(name, table.copy())
        self["running"] = NONE
        self["seq"] = EARLY
        for kind in ("", "_item", "_event"):
            self["first_free" + kind] = NONE
        self["n_slots"] = _SLOTS
        self._place("slots", _rows(structs.Cell, _SLOTS))["value"] = NONE
        self["least_free"] = blueprint.most_workers + 2
        self["least_free_items"] = len(blueprint.backlog) + 1
        self._place("due", _rows(structs.Entry, 0))
        self._place("urgent", _rows(structs.Entry, 0))
        self._place("sessions", _rows(structs.Session, 0))
        self._place("requests", _rows(structs.Request, 0))
        self._add_threads()
        self._queue_backlog(child_key(seed, replication))
        self._add_items()
        self._more("rows", structs.Row, "most_rows")
        self._more("dossiers", structs.Dossier, "most_dossiers")
        self._more("level_rows", structs.LevelRow, "most_level_rows")

    def __getitem__(self, name: str) -> int:
        """Return a field of the world that counts something."""
        return int(self.world[name][0])

    def __setitem__(self, name: str, value: float) -> None:
        """Set a field of the world."""
        self.world[name] = value

    @property
    def now(self) -> float:
        """The clock, s."""
        return float(self.world["now"][0])

    def table(self, name: str) -> Table:
        """Return the rows of an array that are in use."""
        array = self._arrays[name]
        return array[: self[_SIZES[name]]] if name in _SIZES else array

    def load(self, trace: Trace, *, is_last: bool) -> None:
        """Let the sessions of a trace, or of the next part of it, follow those in memory."""
        n_sessions, n_requests = len(self.table("sessions")), len(self.table("requests"))
        sessions = self._resize("sessions", structs.Session, n_sessions + trace.n_sessions)
        requests = self._resize("requests", structs.Request, n_requests + trace.n_requests)
        new = sessions[n_sessions:]
        _fill_sessions(new, trace, self._blueprint)
        new["first_request"] += n_requests
        new["stop_request"] += n_requests
        new["number"] = np.arange(self._n_loaded, self._n_loaded + trace.n_sessions)
        _fill_requests(requests[n_requests:], trace, self._blueprint)
        self._n_loaded += trace.n_sessions
        self["n_sessions"], self["is_last"] = len(sessions), is_last
        if not self.world["slots_per_s"][0]:
            self["slots_per_s"] = _slots_per_s(trace)
        self["least_free"] = max(self["least_free"], _longest_group(trace) + 2)
        self._add_threads()

    def has_ended(self) -> NDArray[np.bool_]:
        """Return which sessions in memory are over, also for the portal."""
        sessions = self.table("sessions")
        over: NDArray[np.bool_] = (sessions["ending"] != codes.UNDER_WAY) & (sessions["open"] == 0)
        return over

    def forget(self, is_forgotten: NDArray[np.bool_]) -> None:
        """Take sessions that have ended out of memory, once all have arrived; the rest move up."""
        sessions, is_kept = self.table("sessions"), ~is_forgotten
        first = sessions["first_request"]
        size = sessions["stop_request"] - first
        shift = np.append(np.cumsum(size * is_kept) - size * is_kept - first, 0)
        place = np.append(np.where(is_kept, np.cumsum(is_kept) - 1, NONE), NONE)

        rows = self.table("rows")
        of_row = np.searchsorted(first, rows["request"], side="right") - 1
        rows["request"] += shift[of_row]
        self._keep("rows", is_kept[of_row])
        # Threads that are free or work for nobody have any session, or none; it does not matter.
        threads, items = self.table("threads"), self.table("items")
        threads["request"] += shift[threads["session"]]
        threads["session"] = place[threads["session"]]
        items["session"] = place[items["session"]]

        sessions["first_request"] += shift[:-1]
        sessions["stop_request"] += shift[:-1]
        self._place("sessions", sessions[is_kept])
        self._place("requests", self.table("requests")[np.repeat(is_kept, size)])
        self["next_session"] = self["n_sessions"] = int(is_kept.sum())

    def take_settled_dossiers(self) -> Table:
        """Take out of memory, and return, the dossiers that no item will change any more."""
        dossiers, items = self.table("dossiers"), self.table("items")
        is_awaited = np.zeros(len(dossiers) + 1, dtype=bool)
        is_awaited[items["dossier"]] = True
        is_awaited[NONE] = False
        place = np.where(is_awaited, np.cumsum(is_awaited) - 1, NONE)
        items["dossier"] = place[items["dossier"]]
        settled: Table = dossiers[~is_awaited[:-1]]
        self._keep("dossiers", is_awaited[:-1])
        return settled

    def add_rows(self, rows: Table) -> None:
        """Append rows of later attempts."""
        while self["n_rows"] + len(rows) > self["most_rows"]:
            self._more("rows", structs.Row, "most_rows")
        first = self["n_rows"]
        self._arrays["rows"][first : first + len(rows)] = rows
        self["n_rows"] = first + len(rows)

    def provide(self) -> None:
        """Provide what the kernel wants, but for sessions."""
        wants = self["wants"]
        if wants & codes.MORE_THREADS:
            self._add_threads(grow=True)
        elif wants & codes.MORE_EVENTS:
            self._add_handles(len(self._arrays["timers"]))
        if wants & codes.MORE_ITEMS:
            self._add_items()
        if wants & codes.MORE_ROWS:
            self._more("rows", structs.Row, "most_rows")
        if wants & codes.MORE_DOSSIERS:
            self._more("dossiers", structs.Dossier, "most_dossiers")
        if wants & codes.MORE_LEVEL_ROWS:
            self._more("level_rows", structs.LevelRow, "most_level_rows")
        self["wants"] = 0

    def _keep(self, name: str, is_kept: NDArray[np.bool_]) -> None:
        """Keep some of the rows in use of an array."""
        kept = self.table(name)[is_kept]
        self._arrays[name][: len(kept)] = kept
        self[_SIZES[name]] = len(kept)

    def _place(self, name: str, array: Table) -> Table:
        self._arrays[name] = array
        self[name] = array.ctypes.data
        return array

    def _resize(self, name: str, struct: type[Struct], size: int) -> Table:
        """Let an array have so many rows; new ones are 0."""
        grown = _rows(struct, size)
        old = self._arrays.get(name)
        if old is not None:
            grown[: len(old)] = old
        return self._place(name, grown)

    def _more(self, name: str, struct: type[Struct], most: str) -> None:
        least = 2 * self["n_levels"] if name == "level_rows" else 0
        self[most] = max(2 * self[most], _FEW, least)
        self._resize(name, struct, self[most])

    def _queue_backlog(self, base: int) -> None:
        """Queue the items that wait at the start."""
        counts = self._blueprint.backlog
        self._place("items", _backlog(counts, base))
        first = 0
        for job, count in zip(self._arrays["jobs"], counts, strict=True):
            if count:
                job["head"], job["tail"], job["queued"] = first, first + count - 1, count
                level = self._arrays["levels"][job["level"]]
                level["queue"] = level["queue_max"] = level["arrivals"] = count
            first += count

    def _add_threads(self, *, grow: bool = False) -> None:
        """Have at least as many free threads as one event may need; or twice as many at all."""
        if not grow and self["n_free"] > self["least_free"]:
            return
        old = len(self._arrays.get("threads", ()))
        new = max(2 * old, old + 2 * self["least_free"], _FEW)
        threads = self._resize("threads", structs.Thread, new)
        _link_free(threads[old:], old, self["first_free"])
        threads["id"][old:] = np.arange(old, new)
        self["first_free"] = old
        self["n_free"] = self["n_free"] + new - old
        for name, struct, key in (
            ("holdings", structs.Holding, "pool"),
            ("bindings", structs.Binding, "server"),
        ):
            stride = self["holding_stride" if name == "holdings" else "binding_stride"]
            self._resize(name, struct, new * stride)[key][old * stride :] = NONE
        self._add_handles(self["n_fixed"] + codes.TIMERS_OF_THREAD * new)

    def _add_handles(self, handles: int) -> None:
        """Make room for the events of so many timers, beside those that there are."""
        self._resize("timers", structs.Timer, handles)
        old = len(self._arrays.get("events", ()))
        new = max(old, self["n_events"]) + 2 * handles
        self["event_limit"] = new - handles
        self._resize("nodes", structs.Node, new)
        _link_free(self._resize("events", structs.Event, new)[old:], old, self["first_free_event"])
        self["first_free_event"] = old
        for ring in ("due", "urgent"):
            head, count = self[f"{ring}_head"], self[f"{ring}_count"]
            entries = np.roll(self._arrays[ring], -head)[:count]
            self._place(ring, _rows(structs.Entry, count + 2 * handles))
            self._arrays[ring][:count] = entries
            self[f"{ring}_head"], self[f"{ring}_size"] = 0, count + 2 * handles
            self[f"{ring}_limit"] = count + handles

    def _add_items(self) -> None:
        old = len(self._arrays["items"])
        new = max(2 * old, old + 2 * self["least_free_items"], _FEW)
        items = self._resize("items", structs.Item, new)
        items["session"][old:] = items["dossier"][old:] = NONE
        _link_free(items[old:], old, self["first_free_item"])
        self["first_free_item"] = old
        self["n_free_items"] = self["n_free_items"] + new - old


def _fill_sessions(sessions: Table, trace: Trace, blueprint: Blueprint) -> None:
    """Write a trace's sessions for the kernel; their requests are numbered from 0."""
    sessions["arrival_s"] = trace.arrival_s
    sessions["first_request"] = trace.first_request[:-1]
    sessions["stop_request"] = trace.first_request[1:]
    sessions["service"] = trace.service
    sessions["client"] = _mapped(blueprint.client_of_journey, trace.journeys, trace.journey)
    sessions["channel"] = _mapped(blueprint.channels, trace.channels, trace.channel)
    sessions["ending"] = codes.UNDER_WAY


def _fill_requests(requests: Table, trace: Trace, blueprint: Blueprint) -> None:
    """Write a trace's requests for the kernel."""
    requests["key"] = trace.key
    requests["think_s"] = trace.think_s
    requests["bits_up"] = trace.bytes_up * BITS_PER_BYTE
    requests["program"] = _mapped(blueprint.programs, trace.endpoints, trace.endpoint)
    requests["flags"] = trace.flags
    requests["outcome"] = NONE


def _mapped(
    index_of: Mapping[str, int], names: Sequence[str], values: NDArray[Any]
) -> NDArray[np.int32]:
    """Return indices of the blueprint for indices of a trace."""
    indices = np.array([index_of[name] for name in names], dtype=np.int32)
    mapped: NDArray[np.int32] = indices[values]
    return mapped


def _slots_per_s(trace: Trace) -> float:
    """Return how finely to sort events by time; any number gives the same order of events."""
    arrival_s = trace.arrival_s
    span_s = float(arrival_s[-1] - arrival_s[0]) if len(arrival_s) else 0.0
    wanted = trace.n_requests / _REQUESTS_PER_SLOT / span_s if span_s > 0.0 else 1.0
    return float(np.clip(wanted, *_SLOTS_PER_S))


def _longest_group(trace: Trace) -> int:
    """Return how many requests are sent together at most."""
    alone = np.flatnonzero(trace.flags & TOGETHER == 0)
    return int(np.diff(alone, append=trace.n_requests).max(initial=1))


def _link_free(rows: Table, first: int, following: int) -> None:
    """Link new rows from this index on into the list of free ones, before ``following``."""
    rows["next"] = np.arange(first + 1, first + len(rows) + 1)
    rows["next"][-1] = following


def _backlog(counts: Sequence[int], base: int) -> Table:
    """Return the items that wait at the start, linked job by job."""
    items = _rows(structs.Item, sum(counts))
    first = 0
    for job, count in enumerate(counts):
        own = items[first : first + count]
        keys = child_keys(np.full(count, base, dtype=np.uint64), np.arange(count, dtype=np.uint64))
        own["key"] = child_keys(keys, np.full(count, job, dtype=np.uint64))
        own["next"] = np.arange(first + 1, first + count + 1)
        own["next"][-1:] = NONE
        own["session"] = own["dossier"] = NONE
        first += count
    return items


def _rows(struct: type[Struct], size: int) -> Table:
    return np.zeros(size, dtype_of(struct))
