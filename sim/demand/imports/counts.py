"""Import of public counts: hourly visits in a CSV file, or a series at a fixed interval."""

import datetime as dt
import io
import math
import tarfile
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.reading import find_columns, open_table, parse_time
from sim.demand.imports.shapes import (
    HOURS_PER_DAY,
    Estimate,
    Shape,
    day_effect_cv,
    dispersion_after_hour_of_week,
    normalised,
    override_yaml,
    peak_to_mean,
    weekday_shape,
)
from sim.demand.imports.tables import ImportFileError, ImportReport, Line, refusals

BUSY_HOURS = (9, 17)
"""Burstiness is taken from these hours (from, to) of Monday to Friday: one even level of demand."""

BURST_WINDOWS_S = (1, 10, 60, 300)
"""Lengths of the windows burstiness is told for, s."""

COMPLETE_HOUR_SHARE = 0.99
"""An hour counts as covered where at least this share of it is."""

_HOUR_S = 3600
_ALIASES = {
    "time": ("time", "timestamp", "datetime", "time:timestamp", "date_time"),
    "date": ("date", "day", "ngày"),
    "hour": ("hour", "hour_et", "giờ"),
    "count": ("count", "visits", "requests", "sessions", "hits", "n", "value", "số lượt"),
}


@dataclass(frozen=True, slots=True)
class Burst:
    """How uneven counts are within busy hours, in windows of one length.

    Attributes
    ----------
    window_s : float
        Length of a window, s.
    mean : float
        Mean count of a window.
    dispersion : float
        Variance over mean; 1 for Poisson counts.
    p99_to_mean, max_to_mean : float
        99th percentile and maximum over the mean.
    """

    window_s: float
    mean: float
    dispersion: float
    p99_to_mean: float
    max_to_mean: float

    def text(self) -> str:
        """Return the burstiness for people."""
        return (
            f"mean {self.mean:.4g}, variance to mean {self.dispersion:.3g}, "
            f"p99 to mean {self.p99_to_mean:.3g}, max to mean {self.max_to_mean:.3g}"
        )


@dataclass(frozen=True, slots=True)
class CountsImport:
    """What public counts say about the shape of demand.

    Attributes
    ----------
    hour_shape : Shape
        24 shares of a day, midnight first.
    weekday_shape : Shape
        7 shares of a week, Monday first.
    dispersion : Estimate
        Index of dispersion of hourly counts after removing the hour of the week.
    day_effect_cv : Estimate
        Coefficient of variation of the gamma day effect.
    peak_day_to_mean : Estimate
        Greatest complete day over the mean one.
    bursts : tuple of Burst
        Burstiness below the hour; empty for hourly counts.
    override : str
        YAML lines of a scenario that ``extends`` another.
    report : ImportReport
        What was read and what was left out.
    """

    hour_shape: Shape
    weekday_shape: Shape
    dispersion: Estimate
    day_effect_cv: Estimate
    peak_day_to_mean: Estimate
    bursts: tuple[Burst, ...]
    override: str
    report: ImportReport


@dataclass(slots=True)
class HourlyCounts:
    """Counts by group, day and hour.

    Attributes
    ----------
    groups : dict
        Group name to day to 24 counts; NaN where nothing was said.
    has_hours : bool
        Whether the counts tell hours, or only days (kept in hour 0).
    n_read : int
        Counts read.
    refused : list of (row, reason)
        Rows left out.
    """

    groups: dict[str, dict[dt.date, list[float]]] = field(default_factory=lambda: defaultdict(dict))
    has_hours: bool = True
    n_read: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)

    def add(self, group: str, day: dt.date, hour: int, count: float) -> None:
        """Add a count to one hour."""
        hours = self.groups[group].setdefault(day, [math.nan] * HOURS_PER_DAY)
        hours[hour] = count if math.isnan(hours[hour]) else hours[hour] + count
        self.n_read += 1


def import_counts(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    keep: Mapping[str, Collection[str]] | None = None,
    each: str | None = None,
    start: dt.datetime | None = None,
    interval_s: float | None = None,
    until: dt.datetime | None = None,
    name: str = "imported",
) -> CountsImport:
    """Fit the shapes of demand to public counts.

    Two kinds of file. A CSV file has a time, or a date and an hour, and a count per row. A series
    holds nothing but whole numbers between blanks, one per interval (plain, gzip, bzip2, xz, or
    the one file of a tar archive); it needs ``start`` and ``interval_s``. Only complete days
    count: a day cut short would look like a quiet evening.

    Parameters
    ----------
    path : Path
        The file.
    columns : mapping, optional
        Of a CSV file: ``time``, ``date``, ``hour``, ``count`` to its own column names.
    keep : mapping, optional
        Of a CSV file: column name to the values of rows to keep; the others are left out.
    each : str, optional
        Of a CSV file: column whose values (agencies, say) each weigh the same in the hour shape;
        by default every visit weighs the same.
    start : datetime, optional
        Of a series: time of its first count, clock of the place.
    interval_s : float, optional
        Of a series: length of an interval, s, > 0 and a divisor of an hour.
    until : datetime, optional
        Of a series: nothing from here on is read.
    name : str
        Name of the hour shape in the override.

    Raises
    ------
    ImportFileError
        When the file cannot be read, a column is missing, or nothing can be told from it.
    """
    bursts: tuple[Burst, ...] = ()
    if start is not None or interval_s is not None:
        if start is None or interval_s is None:
            raise ImportFileError(f"{path}: a series needs both its start and its interval")
        if columns or keep or each:
            raise ImportFileError(f"{path}: a series has no columns to choose, keep or weigh")
        series = _read_series(path, start, interval_s, until)
        hourly = _hourly(series, start, interval_s)
        bursts = _bursts(series, start, interval_s)
    else:
        hourly = _read_csv(path, columns, keep or {}, each)
    return summarise(path.name, hourly, bursts, name)


def summarise(
    source: str, hourly: HourlyCounts, bursts: tuple[Burst, ...] = (), name: str = "imported"
) -> CountsImport:
    """Fit the shapes to hourly counts.

    Parameters
    ----------
    source : str
        Name of the file, for reports.
    hourly : HourlyCounts
        The counts.
    bursts : tuple of Burst
        Passed on.
    name : str
        Name of the hour shape in the override.

    Raises
    ------
    ImportFileError
        When there is no count at all.
    """
    if not hourly.n_read:
        why = "; ".join(sorted({reason for _, reason in hourly.refused})) or "it holds none"
        raise ImportFileError(f"{source}: no count could be read: {why}")
    days = sorted(set().union(*hourly.groups.values()))
    per_group = [
        _complete_days(by_day, days, hourly.has_hours) for by_day in hourly.groups.values()
    ]
    is_complete = ~np.isnan(per_group).any(axis=(0, 2))
    complete = [group[is_complete] for group in per_group]
    all_groups = np.sum(complete, axis=0)
    weekdays = np.array([day.weekday() for day in days], dtype=np.int64)[is_complete]
    totals = all_groups.sum(axis=1)
    hour_shape = _hour_shape(complete) if hourly.has_hours else Shape(None, "the counts are daily")
    week = weekday_shape(weekdays, totals)
    effect = day_effect_cv(weekdays, totals)
    dispersion = (
        dispersion_after_hour_of_week(weekdays, all_groups)
        if hourly.has_hours
        else Estimate(None, reason="the counts are daily")
    )
    peak = peak_to_mean(totals)
    period = f"{days[0]} to {days[-1]}"
    n_complete = int(is_complete.sum())
    origin = f"{source}, {hourly.n_read:,} counts, {period}, complete days: {n_complete}"
    report = ImportReport(
        source,
        taken=(
            Line("counts", hourly.n_read, period),
            Line("complete days", n_complete, f"of {len(days)}, {totals.sum():,.0f} in all"),
            Line("groups", len(hourly.groups), "together"),
            Line("hour shape", None, hour_shape.text()),
            Line("weekday shape", None, week.text()),
            Line("dispersion by hour", None, dispersion.text()),
            Line("day effect, cv", None, effect.text()),
            Line("peak day to mean", None, peak.text()),
            *(Line(f"bursts in {b.window_s:g} s", None, b.text()) for b in bursts),
        ),
        guessed=(),
        refused=refusals(hourly.refused) + _incomplete(len(days) - n_complete),
    )
    override = override_yaml(origin, {name: hour_shape}, week, effect)
    return CountsImport(hour_shape, week, dispersion, effect, peak, bursts, override, report)


def _incomplete(n_days: int) -> tuple[Line, ...]:
    return (Line("day", n_days, "not complete: some hours are missing"),) if n_days else ()


def _hour_shape(groups: list[NDArray[np.float64]]) -> Shape:
    """Return the mean of the groups' shapes."""
    if not len(groups[0]):
        return Shape(None, "no day is complete")
    sums = np.array([group.sum(axis=0) for group in groups])
    totals = sums.sum(axis=1)
    shapes = sums[totals > 0] / totals[totals > 0, np.newaxis]
    return normalised(shapes.sum(axis=0), "all counts are 0")


def _complete_days(
    by_day: Mapping[dt.date, list[float]], days: list[dt.date], has_hours: bool
) -> NDArray[np.float64]:
    """Return a group's counts, shape (n_days, 24), or (n_days, 1) for daily ones."""
    nothing = [math.nan] * HOURS_PER_DAY
    counts = np.array([by_day.get(day, nothing) for day in days])
    return counts if has_hours else counts[:, :1]


def _read_csv(
    path: Path,
    columns: Mapping[str, str] | None,
    keep: Mapping[str, Collection[str]],
    each: str | None,
) -> HourlyCounts:
    table = open_table(path)
    place_of = find_columns(table, _ALIASES, ("count",), columns)
    if "time" not in place_of and "date" not in place_of:
        has = ", ".join(table.header)
        raise ImportFileError(
            f"{path}: needed but not found: time ({' or '.join(_ALIASES['time'])}), or date and "
            f"hour; the file has: {has}. Say which column is which, as FIELD=COLUMN"
        )
    asked = [*keep, *([each] if each else [])]
    absent = [column for column in asked if column not in table.header]
    if absent:
        has = ", ".join(table.header)
        raise ImportFileError(f"{path}: no column {', '.join(absent)}; the file has: {has}")
    kept_at = {table.header.index(column): set(values) for column, values in keep.items()}
    group_at = None if each is None else table.header.index(each)
    hourly = HourlyCounts()
    entries = []
    for row, values in table.rows():
        try:
            if len(values) != len(table.header):
                raise ValueError("its number of values differs from the header's")
            if any(values[place] not in allowed for place, allowed in kept_at.items()):
                raise ValueError("not among the rows to keep")
            when, has_hour, count = _entry(values, place_of)
        except ValueError as reason:
            hourly.refused.append((row, str(reason)))
            continue
        entries.append((when, has_hour, count, "" if group_at is None else values[group_at]))
    hourly.has_hours = _tells_hours(entries)
    for when, _, count, group in entries:
        hourly.add(group, when.date(), when.hour, count)
    return hourly


def _entry(values: list[str], place_of: Mapping[str, int]) -> tuple[dt.datetime, bool, float]:
    """Return when, whether a column of its own says the hour, and how many."""
    when_column = "time" if "time" in place_of else "date"
    text = values[place_of[when_column]]
    try:
        when = parse_time(text)
    except ValueError:
        raise ValueError(f"the {when_column} is no time") from None
    has_hour = "hour" in place_of and when_column == "date"
    if has_hour:
        hour = values[place_of["hour"]]
        if not (hour.isdecimal() and int(hour) < HOURS_PER_DAY):
            raise ValueError(f"hour {hour!r} is not one of 0 to 23")
        when = when.replace(hour=int(hour))
    return when, has_hour, _count(values[place_of["count"]])


def _count(text: str) -> float:
    try:
        count = float(text)
    except ValueError:
        raise ValueError("the count is no number") from None
    if not math.isfinite(count):
        raise ValueError("the count is no number")
    if count < 0:
        raise ValueError("the count is negative")
    return count


def _tells_hours(entries: list[tuple[dt.datetime, bool, float, str]]) -> bool:
    """Tell hourly counts from daily ones: those are all written at midnight."""
    return any(has_hour or when.time() != dt.time() for when, has_hour, _, _ in entries)


def _read_series(
    path: Path, start: dt.datetime, interval_s: float, until: dt.datetime | None
) -> NDArray[np.int64]:
    if interval_s <= 0 or not math.isclose(_HOUR_S / interval_s, round(_HOUR_S / interval_s)):
        raise ImportFileError(
            f"{path}: interval {interval_s:g} s must be above 0 and divide an hour evenly"
        )
    most = -1
    if until is not None:
        most = max(0, math.ceil((until - start).total_seconds() / interval_s))
    texts = _unpacked(path).split(maxsplit=most)
    texts = texts[:most] if most >= 0 else texts
    try:
        series = np.array(texts, dtype=np.bytes_).astype(np.int64)
    except (ValueError, OverflowError) as error:
        raise _series_error(path, texts) from error
    if (series < 0).any():
        at = int(np.argmax(series < 0))
        raise ImportFileError(f"{path}: count {at + 1} is {series[at]}; it must be at least 0")
    if not len(series):
        raise ImportFileError(f"{path}: no count between start and end")
    return series


def _series_error(path: Path, texts: list[bytes]) -> ImportFileError:
    for at, text in enumerate(texts, start=1):
        try:
            int(text)
        except ValueError:
            shown = text[:20].decode(errors="replace")
            return ImportFileError(
                f"{path}: value {at}, {shown!r}, is no whole number; a series holds nothing else"
            )
    return ImportFileError(f"{path}: a count is too large")


def _unpacked(path: Path) -> bytes:
    """Return the content of a plain or packed file, or of the one file of an archive."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ImportFileError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            files = [member for member in archive if member.isfile()]
            if len(files) != 1:
                raise ImportFileError(f"{path}: holds {len(files)} files; one series is expected")
            content = archive.extractfile(files[0])
            return content.read() if content else b""
    except tarfile.ReadError:
        return _decompressed(raw, path)
    except (EOFError, OSError) as error:
        raise ImportFileError(f"{path}: damaged archive: {error}") from error


def _decompressed(raw: bytes, path: Path) -> bytes:
    import bz2
    import gzip
    import lzma

    openers = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ": lzma.decompress}
    for magic, decompress in openers.items():
        if raw.startswith(magic):
            try:
                return decompress(raw)
            except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
                raise ImportFileError(f"{path}: damaged: {error}") from error
    return raw


def _hourly(series: NDArray[np.int64], start: dt.datetime, interval_s: float) -> HourlyCounts:
    """Sum a series over hours; an hour hardly covered says nothing."""
    midnight = dt.datetime.combine(start.date(), dt.time())
    offset_s = (start - midnight).total_seconds()
    hour = ((offset_s + np.arange(len(series)) * interval_s) // _HOUR_S).astype(np.int64)
    sums = np.bincount(hour, series)
    is_covered = np.bincount(hour) * interval_s >= COMPLETE_HOUR_SHARE * _HOUR_S
    hourly = HourlyCounts()
    for index in range(int(hour[0]), len(sums)):
        day = midnight.date() + dt.timedelta(days=index // HOURS_PER_DAY)
        count = float(sums[index]) if is_covered[index] else math.nan
        hourly.add("", day, index % HOURS_PER_DAY, count)
    hourly.n_read = len(series)
    return hourly


def _bursts(series: NDArray[np.int64], start: dt.datetime, interval_s: float) -> tuple[Burst, ...]:
    """Return the burstiness of weekdays' busy hours, per window length."""
    midnight = dt.datetime.combine(start.date(), dt.time())
    times_s = (start - midnight).total_seconds() + np.arange(len(series)) * interval_s
    hour = times_s // _HOUR_S % HOURS_PER_DAY
    weekday = (times_s // (HOURS_PER_DAY * _HOUR_S) + start.weekday()) % 7
    is_busy = (hour >= BUSY_HOURS[0]) & (hour < BUSY_HOURS[1]) & (weekday < 5)
    busy = series[is_busy].astype(np.float64)
    bursts = []
    for window_s in BURST_WINDOWS_S:
        per_window = round(window_s / interval_s)
        if per_window < 1 or not math.isclose(per_window * interval_s, window_s):
            continue
        n_windows = len(busy) // per_window
        counts = busy[: n_windows * per_window].reshape(n_windows, per_window).sum(axis=1)
        if n_windows < 2 or counts.sum() == 0:
            continue
        mean = float(counts.mean())
        bursts.append(
            Burst(
                window_s,
                mean,
                float(counts.var(ddof=1)) / mean,
                float(np.quantile(counts, 0.99)) / mean,
                float(counts.max()) / mean,
            )
        )
    return tuple(bursts)
