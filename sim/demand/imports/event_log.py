"""Import of a process log (one row per event of a case) as the shape of arrivals and of work."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.reading import CsvTable, find_columns, open_table, parse_time
from sim.demand.imports.shapes import (
    HOURS_PER_DAY,
    Estimate,
    Shape,
    day_effect_cv,
    normalised,
    override_yaml,
    variance_to_mean,
    weekday_shape,
)
from sim.demand.imports.tables import ImportFileError, ImportReport, Line, refusals

BUSINESS_DAYS = 5
"""Monday to Friday."""

CLOCKLESS_SHARE = 0.5
"""Times carry no clock where more than this share falls on the two commonest seconds of the day.

Two, not one: dates written in one zone and read in another shift with summer time."""

_ALIASES = {
    "case": ("case:concept:name", "case_id", "case", "caseid", "dossier", "mã hồ sơ"),
    "activity": ("concept:name", "activity", "event", "task", "bước"),
    "time": ("time:timestamp", "timestamp", "time", "end_timestamp", "completed", "thời điểm"),
    "begun": ("start_timestamp", "time:start", "begun"),
    "start": ("case:startdate", "case:start", "case_start", "submitted", "ngày nộp"),
    "channel": ("case:channel", "channel", "kênh"),
}
_NEEDED = ("case", "time")


@dataclass(frozen=True, slots=True)
class EventLogImport:
    """What a process log says about arrivals and about the officers' clock.

    Attributes
    ----------
    n_cases, n_events : int
        Cases and events taken.
    arrival_hour_shape : Shape
        24 shares of the cases' starts, midnight first.
    weekday_shape : Shape
        Mean cases of each weekday, as shares of a week, Monday first.
    staff_hour_shape : Shape
        24 shares of all events.
    cases_per_business_day : Estimate
        Mean number of cases that start on a day of Monday to Friday, empty days included.
    variance_to_mean : Estimate
        Over-dispersion of these daily counts; 1 for Poisson counts.
    day_effect_cv : Estimate
        Coefficient of variation of the gamma day effect, Monday to Friday.
    channel_shares : dict
        Share of the cases by channel, greatest first; empty where the log has no such column.
    override : str
        YAML lines of a scenario that ``extends`` another.
    report : ImportReport
        What was taken and what was left out.
    """

    n_cases: int
    n_events: int
    arrival_hour_shape: Shape
    weekday_shape: Shape
    staff_hour_shape: Shape
    cases_per_business_day: Estimate
    variance_to_mean: Estimate
    day_effect_cv: Estimate
    channel_shares: dict[str, float]
    override: str
    report: ImportReport


def import_event_log(
    path: Path, *, columns: Mapping[str, str] | None = None, name: str = "imported"
) -> EventLogImport:
    """Read a process log (CSV), row by row.

    A case arrives at the start its rows state, else at its first event. Times are taken on the
    clock they are written in; offsets are dropped.

    Parameters
    ----------
    path : Path
        The log.
    columns : mapping, optional
        ``case``, ``time``, and where they exist ``activity``, ``begun`` (start of the event),
        ``start`` (of the case), ``channel``, to the log's own column names.
    name : str
        Name of the arrivals' hour shape in the override.

    Raises
    ------
    ImportFileError
        When the file cannot be read, a needed column is missing, or no event can be taken.
    """
    table = open_table(path)
    place_of = find_columns(table, _ALIASES, _NEEDED, columns)
    log = _Log()
    for row, values in table.rows():
        try:
            if len(values) != len(table.header):
                raise ValueError("its number of values differs from the header's")
            log.add({field_: values[place] for field_, place in place_of.items()})
        except ValueError as reason:
            log.refused.append((row, str(reason)))
    if not log.first_event_of:
        why = "; ".join(sorted({reason for _, reason in log.refused})) or "it holds none"
        raise ImportFileError(f"{path}: no event could be taken: {why}")
    return _summarise(table, log, name, "start" in place_of)


@dataclass(slots=True)
class _Log:
    """What is kept of a log: two times per case, and how often each second of the day occurs."""

    start_of: dict[str, dt.datetime] = field(default_factory=dict)
    first_event_of: dict[str, dt.datetime] = field(default_factory=dict)
    channel_of: dict[str, str] = field(default_factory=dict)
    clock: Counter[dt.time] = field(default_factory=Counter)
    refused: list[tuple[int, str]] = field(default_factory=list)

    def add(self, cell: Mapping[str, str]) -> None:
        """Add one event.

        Raises
        ------
        ValueError
            With the reason why the row cannot be taken.
        """
        case = cell["case"]
        if not case:
            raise ValueError("no case")
        time = _time(cell["time"], "time")
        if cell.get("begun") and _time(cell["begun"], "event's start") > time:
            raise ValueError("its duration is negative")
        if cell.get("start"):
            _keep_earliest(self.start_of, case, _time(cell["start"], "case's start"))
        _keep_earliest(self.first_event_of, case, time)
        self.clock[_second(time)] += 1
        if cell.get("channel"):
            self.channel_of.setdefault(case, cell["channel"])

    def arrivals(self) -> list[dt.datetime]:
        """Return when each case arrived, sorted: at its stated start, else its first event."""
        return sorted((self.first_event_of | self.start_of).values())


def _keep_earliest(moment_of: dict[str, dt.datetime], case: str, moment: dt.datetime) -> None:
    known = moment_of.get(case)
    if known is None or moment < known:
        moment_of[case] = moment


def _time(text: str, what: str) -> dt.datetime:
    if not text:
        raise ValueError(f"no {what}")
    try:
        return parse_time(text)
    except ValueError:
        raise ValueError(f"the {what} is no time") from None


def _second(time: dt.datetime) -> dt.time:
    return time.time().replace(microsecond=0)


def _summarise(table: CsvTable, log: _Log, name: str, has_start: bool) -> EventLogImport:
    arrivals = log.arrivals()
    weekdays, totals = _daily_counts(arrivals)
    is_business = weekdays < BUSINESS_DAYS
    business_days, business = weekdays[is_business], totals[is_business]
    arrival_hours = _hour_shape(Counter(map(_second, arrivals)))
    staff_hours = _hour_shape(log.clock)
    week = weekday_shape(weekdays, totals)
    per_day = _mean(business)
    spread = variance_to_mean(business)
    effect = day_effect_cv(business_days, business)
    channels = _shares(log.channel_of.values())
    n_cases, n_events = len(arrivals), log.clock.total()
    period = f"{arrivals[0]:%Y-%m-%d} to {arrivals[-1]:%Y-%m-%d}"
    origin = f"{table.path.name}, {n_cases:,} cases, {n_events:,} events, {period}"
    report = ImportReport(
        table.path.name,
        taken=(
            Line("events", n_events, ""),
            Line("cases", n_cases, period),
            Line("arrival of a case", None, "start it states" if has_start else "first event"),
            Line("arrivals by hour", None, arrival_hours.text()),
            Line("arrivals by weekday", None, week.text()),
            Line("cases a business day", len(business), per_day.text()),
            Line("variance to mean", None, spread.text()),
            Line("day effect, cv", None, effect.text()),
            Line("staff events by hour", None, staff_hours.text()),
            Line("channels", len(channels), _percents(channels) or "no such column"),
        ),
        guessed=(Line("encoding", None, f"not UTF-8: read as {table.encoding}"),)
        if table.is_encoding_guessed
        else (),
        refused=refusals(log.refused, "event"),
    )
    override = override_yaml(origin, {name: arrival_hours, "staff": staff_hours}, week, effect)
    return EventLogImport(
        n_cases, n_events, arrival_hours, week, staff_hours, per_day, spread, effect, channels,
        override, report,
    )  # fmt: skip


def _daily_counts(
    arrivals: list[dt.datetime],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return weekday and count of every day from the first arrival to the last."""
    ordinals = np.array([moment.toordinal() for moment in arrivals], dtype=np.int64)
    totals = np.bincount(ordinals - ordinals[0]).astype(np.float64)
    weekdays = (arrivals[0].weekday() + np.arange(len(totals))) % 7
    return weekdays.astype(np.int64), totals


def _hour_shape(clock: Counter[dt.time]) -> Shape:
    commonest = clock.most_common(2)
    at_two = sum(count for _, count in commonest)
    if commonest[0][1] > 1 and at_two > CLOCKLESS_SHARE * clock.total():
        share = at_two / clock.total()
        return Shape(None, f"dates without a clock: {share:.0%} fall on two seconds of the day")
    hours = np.zeros(HOURS_PER_DAY)
    for time, count in clock.items():
        hours[time.hour] += count
    return normalised(hours, "no events")


def _mean(counts: NDArray[np.float64]) -> Estimate:
    if len(counts) < 2:
        return Estimate(None, reason="fewer than two business days")
    return Estimate(float(counts.mean()), float(counts.std(ddof=1)) / len(counts) ** 0.5)


def _shares(values: Iterable[str]) -> dict[str, float]:
    counts = Counter(values)
    return {value: count / counts.total() for value, count in counts.most_common()}


def _percents(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
