"""Import of a web server's log (Common or Combined Log Format) as counts by path and hour."""

import datetime as dt
import gzip
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sim.demand.imports.counts import CountsImport, HourlyCounts, summarise
from sim.demand.imports.shapes import HOURS_PER_DAY
from sim.demand.imports.tables import ImportFileError

_LINE = re.compile(
    rb"^\S+ \S+ .*?\[(?P<time>\d{2}/[A-Za-z]{3}/\d{4}:\d{2}:\d{2}:\d{2}) [+-]\d{4}\] "
    rb'"(?P<method>[A-Z]+) (?P<target>\S+)[^"]*" \d{3} '
)
_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun",
         b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), start=1)
}  # fmt: skip
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class AccessLogImport:
    """What a web server's log says.

    Attributes
    ----------
    counts : CountsImport
        Shapes of all requests together.
    by_path : dict
        Path (without its query) to 24 counts, midnight first; the busiest first.
    """

    counts: CountsImport
    by_path: dict[str, tuple[int, ...]]


def import_access_log(path: Path, *, name: str = "imported") -> AccessLogImport:
    """Read an access log, plain or gzip, line by line; times stay on the server's clock.

    An hour without a request between the first and the last counts as 0: a log is complete.

    Parameters
    ----------
    path : Path
        The log.
    name : str
        Name of the hour shape in the override.

    Raises
    ------
    ImportFileError
        When the file cannot be read or has no line of the format.
    """
    per_hour: Counter[dt.datetime] = Counter()
    by_path: defaultdict[str, list[int]] = defaultdict(lambda: [0] * HOURS_PER_DAY)
    hourly = HourlyCounts()
    for number, line in enumerate(_lines(path), start=1):
        match = _LINE.match(line)
        hour = None if match is None else _hour(match["time"])
        if match is None or hour is None:
            hourly.refused.append((number, "not a line of the Combined Log Format"))
            continue
        per_hour[hour] += 1
        target = match["target"].partition(b"?")[0].decode("utf-8", errors="replace")
        by_path[target][hour.hour] += 1
    _fill(hourly, per_hour)
    busiest = sorted(by_path.items(), key=lambda item: (-sum(item[1]), item[0]))
    counts = summarise(path.name, hourly, name=name)
    return AccessLogImport(counts, {target: tuple(hours) for target, hours in busiest})


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as plain:
            is_packed = plain.read(2) == _GZIP_MAGIC
        with closing(gzip.open(path) if is_packed else path.open("rb")) as stream:
            yield from stream
    except (OSError, EOFError) as error:
        raise ImportFileError(f"{path}: cannot be read: {error}") from error


def _hour(text: bytes) -> dt.datetime | None:
    """Return the hour of ``20/Nov/2024:08:30:00``, None where there is no such time."""
    day, month, year = text[:2], text[3:6], text[7:11]
    try:
        return dt.datetime(int(year), _MONTHS[month.title()], int(day), int(text[12:14]))  # noqa: DTZ001
    except (ValueError, KeyError):
        return None


def _fill(hourly: HourlyCounts, per_hour: Counter[dt.datetime]) -> None:
    """Add every hour from the first request to the last."""
    if not per_hour:
        return
    hour, last = min(per_hour), max(per_hour)
    while hour <= last:
        hourly.add("", hour.date(), hour.hour, float(per_hour[hour]))
        hour += dt.timedelta(hours=1)
    hourly.n_read = per_hour.total()
