"""Import of a process log: what it holds, and what it says about arrivals."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sim.demand.imports.event_log.arrivals import Arrivals, arrivals_of
from sim.demand.imports.event_log.log import EventLog, LogBuilder
from sim.demand.imports.event_log.reading_csv import Progress, read_csv_log
from sim.demand.imports.event_log.reading_xes import is_xes, read_xes_log
from sim.demand.imports.shapes import Estimate, Shape, override_yaml
from sim.demand.imports.tables import ImportFileError, ImportReport, Line


@dataclass(frozen=True, slots=True)
class EventLogImport:
    """A process log, and what it says about arrivals and about the officers' clock.

    Attributes
    ----------
    log : EventLog
        The events taken, as columns.
    arrivals : Arrivals
        When cases begin and officers work.
    override : str
        YAML lines of a scenario that ``extends`` another.
    report : ImportReport
        What was taken and what was left out.
    """

    log: EventLog
    arrivals: Arrivals
    override: str
    report: ImportReport

    @property
    def n_cases(self) -> int:
        """Number of cases taken."""
        return len(self.log.cases)

    @property
    def n_events(self) -> int:
        """Number of completed activities taken."""
        return len(self.log.case)

    @property
    def arrival_hour_shape(self) -> Shape:
        """24 shares of the cases' starts, midnight first."""
        return self.arrivals.hour_shape

    @property
    def weekday_shape(self) -> Shape:
        """Mean cases of each weekday, as shares of a week, Monday first."""
        return self.arrivals.weekday_shape

    @property
    def staff_hour_shape(self) -> Shape:
        """24 shares of all events."""
        return self.arrivals.staff_hour_shape

    @property
    def cases_per_business_day(self) -> Estimate:
        """Mean number of cases that start on a day of Monday to Friday."""
        return self.arrivals.cases_per_business_day

    @property
    def variance_to_mean(self) -> Estimate:
        """Over-dispersion of daily counts."""
        return self.arrivals.variance_to_mean

    @property
    def day_effect_cv(self) -> Estimate:
        """Coefficient of variation of the gamma day effect."""
        return self.arrivals.day_effect_cv

    @property
    def channel_shares(self) -> dict[str, float]:
        """Share of the cases by channel, greatest first."""
        return self.arrivals.channel_shares


def import_event_log(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    name: str = "imported",
    time_format: str | None = None,
    progress: Progress | None = None,
) -> EventLogImport:
    """Read a process log (CSV, or XES plain or gzip) as a stream.

    A case arrives at the start its rows state, else at its first event. Times are taken on the
    clock they are written in; offsets are dropped.

    Parameters
    ----------
    path : Path
        The log.
    columns : mapping, optional
        Fields ``case``, ``time``, and where they exist ``activity``, ``begun`` (start of the
        event), ``start`` (of the case), ``channel``, ``resource``, ``group``, ``lifecycle``,
        ``instance``, to the log's own column names or attribute keys.
    name : str
        Name of the arrivals' hour shape in the override.
    time_format : str, optional
        Format of times as ``datetime.strptime`` knows it, where it is neither ISO 8601 nor
        day/month/year.
    progress : callable, optional
        Is told bytes read, bytes in all and what was read.

    Raises
    ------
    ImportFileError
        When the file cannot be read, a needed column is missing, or no event can be taken.
    """
    builder = LogBuilder(time_format)
    read = read_xes_log if is_xes(path) else read_csv_log
    assumed = read(path, builder, columns, progress)
    log = builder.finish(path.name) if builder.n_added else None
    if log is None or not len(log.case):
        raise ImportFileError(_nothing_taken(path, builder))
    arrivals, n_business_days = arrivals_of(log)
    report = ImportReport(
        path.name,
        taken=(
            Line("events", len(log.case), _joined(builder)),
            Line("cases", len(log.cases), arrivals.period),
            Line("arrival of a case", None, _arrival_rule(log)),
            *arrivals.lines(n_business_days),
        ),
        guessed=tuple(Line(*line) for line in _guesses(log, builder, assumed)),
        refused=builder.refused.lines("event"),
    )
    origin = f"{path.name}, {len(log.cases):,} cases, {len(log.case):,} events, {arrivals.period}"
    hours = {name: arrivals.hour_shape, "staff": arrivals.staff_hour_shape}
    override = override_yaml(origin, hours, arrivals.weekday_shape, arrivals.day_effect_cv)
    n_of = {name: len(log.cases), "staff": len(log.case), "weekdays": len(log.cases)}
    override = _sourced(override, path.name, n_of | {"day_effect_cv": n_business_days})
    return EventLogImport(log, arrivals, override, report)


def _sourced(override: str, source: str, n_of: Mapping[str, int]) -> str:
    """Say beside each value where it comes from."""
    lines = []
    for line in override.splitlines():
        n = n_of.get(line.partition(":")[0].strip())
        if n is not None and line.startswith(" "):
            value, _, note = line.partition("  # ")
            line = f"{value}  # source: {source}, n = {n:,}" + (f"; {note}" if note else "")
        lines.append(line)
    return "\n".join(lines) + "\n"


def _nothing_taken(path: Path, builder: LogBuilder) -> str:
    why = builder.refused.reasons() or "it holds none"
    text = f"{path}: no event could be taken: {why}"
    if builder.example_time:
        text += f". Times look like {builder.example_time!r}: give their format, as --time-format"
    return text


def _joined(builder: LogBuilder) -> str:
    return f"{builder.n_joined:,} of them with the start they were begun at" * bool(
        builder.n_joined
    )


def _arrival_rule(log: EventLog) -> str:
    return "start it states" if log.has_starts else "first event"


def _guesses(
    log: EventLog, builder: LogBuilder, assumed: tuple[str, ...]
) -> list[tuple[str, int | None, str]]:
    lines: list[tuple[str, int | None, str]] = [("file", None, text) for text in assumed]
    if len(log.activities) == 1 and log.activities[0] == "event":
        lines.append(("activities", None, "no such column: all events are alike"))
    nobody = int((log.resource < 0).sum())
    if log.resources and nobody:
        lines.append(("resource", nobody, "not told: such events belong to nobody"))
    if builder.n_utc >= len(log.case):
        lines.append(("clock", builder.n_utc, "times are of UTC: hours and days are of UTC too"))
    firsts = log.is_first
    early = int((log.time_s[firsts] < log.start_s[log.case[firsts]]).sum())
    if early:
        lines.append(("case's start", early, "later than the first event: waits from it are 0"))
    return lines
