"""A process log as columns: which case did what, when, by whom."""

import datetime as dt
from array import array
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.reading import parse_time
from sim.demand.imports.tables import ROWS_LISTED, Line

DAY_S = 86400
HOUR_S = 3600

EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - clock of the place the log was written at

ALIASES = {
    "case": ("case:concept:name", "case_id", "case", "caseid", "dossier", "mã hồ sơ"),
    "activity": ("concept:name", "activity", "event", "task", "bước"),
    "time": ("time:timestamp", "timestamp", "time", "end_timestamp", "completed", "thời điểm"),
    "begun": ("start_timestamp", "time:start", "begun", "bắt đầu"),
    "start": (
        "case:startdate",
        "case:start",
        "case_start",
        "case:reg_date",
        "submitted",
        "ngày nộp",
    ),
    "channel": ("case:channel", "channel", "kênh"),
    "resource": ("org:resource", "resource", "officer", "user", "cán bộ"),
    "group": ("org:group", "org:role", "group", "role", "bộ phận"),
    "lifecycle": ("lifecycle:transition", "lifecycle", "transition"),
    "instance": ("concept:instance", "instance"),
}
"""Fields of an event, and the names columns or attributes have for them, lower case, best first."""

NEEDED = ("case", "time")

_COMPLETE, _START = 0, 1
_PLACES_AT_ONCE = 50_000
"""Events turned into Python's numbers at a time, which need five times the memory."""
_LIFECYCLE = {"": _COMPLETE, "complete": _COMPLETE, "start": _START}
_NOBODY = {"", "empty", "none", "null", "nan"}
_UTC_ENDS = ("Z", "+00:00", "+0000")


@dataclass(frozen=True, slots=True)
class EventLog:
    """Completed activities, sorted by case and time.

    Attributes
    ----------
    source : str
        Name of the file.
    case, activity, resource, group : NDArray of int32, shape (n_events,)
        Places in ``cases``, ``activities``, ``resources``, ``groups``; -1: the log does not say.
    time_s, begun_s : NDArray, shape (n_events,)
        Completion and begin, s since 1970 on the clock of the place; begin NaN: not told.
    start_s : NDArray, shape (n_cases,)
        Start each case states, NaN: none.
    channel : NDArray of int32, shape (n_cases,)
        Place in ``channels``, -1: none.
    cases, activities, resources, groups, channels : tuple of str
        Names.
    """

    source: str
    case: NDArray[np.int32]
    activity: NDArray[np.int32]
    resource: NDArray[np.int32]
    group: NDArray[np.int32]
    time_s: NDArray[np.float64]
    begun_s: NDArray[np.float64]
    start_s: NDArray[np.float64]
    channel: NDArray[np.int32]
    cases: tuple[str, ...]
    activities: tuple[str, ...]
    resources: tuple[str, ...]
    groups: tuple[str, ...]
    channels: tuple[str, ...]

    @property
    def is_first(self) -> NDArray[np.bool_]:
        """Whether each event is the first of its case."""
        return np.concatenate(([True], self.case[1:] != self.case[:-1]))

    @property
    def has_starts(self) -> bool:
        """Whether most cases state when they began."""
        return bool(np.isfinite(self.start_s).mean() > 0.5)

    def arrival_s(self) -> NDArray[np.float64]:
        """Return when each case arrived: at its stated start, else at its first event."""
        first_s = np.full(len(self.cases), np.nan)
        firsts = self.is_first
        first_s[self.case[firsts]] = self.time_s[firsts]
        return np.where(np.isfinite(self.start_s), self.start_s, first_s)

    def only(self, cases: NDArray[np.bool_], before_s: float = np.inf) -> "EventLog":
        """Return the log of some cases, without the events from a moment on.

        Parameters
        ----------
        cases : NDArray of bool, shape (n_cases,)
            Which to keep; those without an event left are dropped.
        before_s : float
            Moment from which events are unknown.
        """
        kept = cases[self.case] & (self.time_s < before_s)
        present, case = np.unique(self.case[kept], return_inverse=True)
        return EventLog(
            self.source,
            case.astype(np.int32),
            self.activity[kept],
            self.resource[kept],
            self.group[kept],
            self.time_s[kept],
            self.begun_s[kept],
            self.start_s[present],
            self.channel[present],
            tuple(self.cases[i] for i in present.tolist()),
            self.activities,
            self.resources,
            self.groups,
            self.channels,
        )


class Refusals:
    """Rows left out, counted by reason; the first rows of each are kept."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        self._rows: dict[str, list[int]] = {}

    def add(self, row: int, reason: str) -> None:
        """Count one row."""
        rows = self._rows.setdefault(reason, [])
        if len(rows) < ROWS_LISTED:
            rows.append(row)
        self._count[reason] = self._count.get(reason, 0) + 1

    def reasons(self) -> str:
        """Return the reasons, for a message."""
        return "; ".join(sorted(self._count))

    def lines(self, what: str) -> tuple[Line, ...]:
        """Return a report's lines."""
        return tuple(
            Line(what, count, reason, tuple(self._rows[reason]))
            for reason, count in self._count.items()
        )


@dataclass(slots=True)
class _Column:
    """Names of one field and the codes of its rows."""

    codes: array = field(default_factory=lambda: array("i"))  # type: ignore[type-arg]
    place_of: dict[str, int] = field(default_factory=dict)

    def code(self, name: str) -> int:
        return self.place_of.setdefault(name, len(self.place_of))

    def array(self) -> NDArray[np.int32]:
        return np.frombuffer(self.codes, np.int32).copy() if self.codes else np.zeros(0, np.int32)


class LogBuilder:
    """Collects a log event by event; what cannot be taken is counted with its reason.

    Parameters
    ----------
    time_format : str, optional
        Format of times as ``datetime.strptime`` knows it; without it ISO 8601 and day/month/year.
    """

    def __init__(self, time_format: str | None = None) -> None:
        self.refused = Refusals()
        self.n_utc = 0
        self.n_joined = 0
        self.example_time = ""
        self._format = time_format
        self._case, self._activity = _Column(), _Column()
        self._resource, self._group, self._channel = _Column(), _Column(), _Column()
        self._lifecycle = array("b")
        self._time_s, self._begun_s = array("d"), array("d")
        self._instance, self._row = array("q"), array("q")
        self._start_s: dict[int, float] = {}
        self._channel_of: dict[int, int] = {}

    @property
    def n_added(self) -> int:
        """Number of events taken so far."""
        return len(self._row)

    def add(self, row: int, cell: Mapping[str, str]) -> None:
        """Add one event, or count why not.

        Parameters
        ----------
        row : int
            Its place in the file.
        cell : mapping
            Field to text; see ``ALIASES``.
        """
        try:
            self._add(row, cell)
        except ValueError as reason:
            self.refused.add(row, str(reason))

    def _add(self, row: int, cell: Mapping[str, str]) -> None:
        get = cell.get
        name = get("case")
        if not name:
            raise ValueError("no case")
        lifecycle = get("lifecycle", "").casefold()
        kind = _LIFECYCLE.get(lifecycle)
        if kind is None:
            raise ValueError(f"lifecycle {lifecycle!r}: neither start nor complete")
        time_s = self._seconds(get("time", ""), "time")
        begun = get("begun")
        begun_s = self._seconds(begun, "event's start") if begun else np.nan
        if begun_s > time_s:
            raise ValueError("its duration is negative")
        start = get("start")
        start_s = self._seconds(start, "case's start") if start else None
        case = self._case.code(name)
        if start_s is not None:
            self._start_s[case] = min(start_s, self._start_s.get(case, start_s))
        channel = get("channel")
        if channel:
            self._channel_of.setdefault(case, self._channel.code(channel))
        self._case.codes.append(case)
        self._activity.codes.append(self._activity.code(get("activity") or "event"))
        self._append_who(self._resource, get("resource", ""))
        self._append_who(self._group, get("group", ""))
        self._lifecycle.append(kind)
        self._time_s.append(time_s)
        self._begun_s.append(begun_s)
        self._instance.append(hash(get("instance", "")))
        self._row.append(row)

    @staticmethod
    def _append_who(column: _Column, name: str) -> None:
        column.codes.append(-1 if name.casefold() in _NOBODY else column.code(name))

    def _seconds(self, text: str, what: str) -> float:
        if not text:
            raise ValueError(f"no {what}")
        try:
            if self._format is None:
                moment = parse_time(text)
            else:
                zoned = dt.datetime.strptime(text, self._format)  # noqa: DTZ007 - clock of the place
                moment = zoned.replace(tzinfo=None)
        except ValueError:
            self.example_time = self.example_time or text
            raise ValueError(f"the {what} is no time") from None
        self.n_utc += text.endswith(_UTC_ENDS)
        return (moment - EPOCH).total_seconds()

    def finish(self, source: str) -> EventLog:
        """Return the log: duplicates dropped, starts joined to completions, sorted.

        Parameters
        ----------
        source : str
            Name of the file.
        """
        raw = _Raw(
            row=np.array(self._row, np.int64),
            case=self._case.array(),
            activity=self._activity.array(),
            resource=self._resource.array(),
            group=self._group.array(),
            instance=np.array(self._instance, np.int64),
            lifecycle=np.array(self._lifecycle, np.int8),
            time_s=np.array(self._time_s),
            begun_s=np.array(self._begun_s),
        )
        order = raw.by_case_and_time(raw.without_copies(self.refused))
        if (raw.lifecycle[order] == _START).any():
            order, self.n_joined = raw.joined(order, self.refused)
        start_s = np.full(len(self._case.place_of), np.nan)
        start_s[list(self._start_s)] = list(self._start_s.values())
        channel = np.full(len(start_s), -1, np.int32)
        channel[list(self._channel_of)] = list(self._channel_of.values())
        present, codes = np.unique(raw.case[order], return_inverse=True)
        names = tuple(self._case.place_of)
        return EventLog(
            source,
            codes.astype(np.int32),
            raw.activity[order],
            raw.resource[order],
            raw.group[order],
            raw.time_s[order],
            raw.begun_s[order],
            start_s[present],
            channel[present],
            tuple(names[i] for i in present.tolist()),
            tuple(self._activity.place_of),
            tuple(self._resource.place_of),
            tuple(self._group.place_of),
            tuple(self._channel.place_of),
        )


@dataclass(slots=True)
class _Raw:
    """Events as they stand in the file; rows are told by their place in the columns."""

    row: NDArray[np.int64]
    case: NDArray[np.int32]
    activity: NDArray[np.int32]
    resource: NDArray[np.int32]
    group: NDArray[np.int32]
    instance: NDArray[np.int64]
    lifecycle: NDArray[np.int8]
    time_s: NDArray[np.float64]
    begun_s: NDArray[np.float64]

    def without_copies(self, refused: Refusals) -> NDArray[np.int64]:
        """Return the places of events that do not repeat an earlier one."""
        told = (
            self.instance, self.resource, self.lifecycle, self.activity, self.time_s, self.case
        )  # fmt: skip
        order = np.lexsort((self.row, *told))
        same = [column[order][1:] == column[order][:-1] for column in told]
        is_copy = np.zeros(len(order), bool)
        is_copy[1:] = np.logical_and.reduce(same)
        for row in np.sort(self.row[order[is_copy]]).tolist():
            refused.add(row, "the same event stands in the log before")
        return order[~is_copy]

    def by_case_and_time(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Sort; of one moment the file's order holds, but a start precedes completions."""
        is_complete = self.lifecycle[places] == _COMPLETE
        keys = (self.row[places], is_complete, self.time_s[places], self.case[places])
        return places[np.lexsort(keys)]

    def joined(self, order: NDArray[np.int64], refused: Refusals) -> tuple[NDArray[np.int64], int]:
        """Give completions the oldest open start of their activity; return what is complete."""
        waiting: dict[tuple[int, int, int], deque[int]] = {}
        n_joined = 0
        for first in range(0, len(order), _PLACES_AT_ONCE):
            part = order[first : first + _PLACES_AT_ONCE]
            columns = (self.case, self.activity, self.instance, self.lifecycle)
            rows = zip(part.tolist(), *(column[part].tolist() for column in columns), strict=True)
            for place, case, activity, instance, lifecycle in rows:
                key = (case, activity, instance)
                if lifecycle == _START:
                    waiting.setdefault(key, deque()).append(place)
                elif (begun := waiting.get(key)) and np.isnan(self.begun_s[place]):
                    self.begun_s[place] = self.time_s[begun.popleft()]
                    n_joined += 1
                    if not begun:
                        del waiting[key]
        for row in sorted(int(self.row[place]) for open_ in waiting.values() for place in open_):
            refused.add(row, "begun but never completed")
        return order[self.lifecycle[order] == _COMPLETE], n_joined
