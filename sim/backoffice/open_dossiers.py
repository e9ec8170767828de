"""A list of open dossiers (CSV), as an office's own system exports it; every fault told at once."""

import csv
import datetime as dt
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from sim.backoffice.plan import DAY_S, NO_GROUP, NO_TEAM, Plan
from sim.backoffice.workflow import State
from sim.scenario import Flaw, ScenarioError
from sim.scenario.backoffice import FILINGS, OpenState
from sim.scenario.errors import advice

COLUMNS = ("code", "domain", "office", "state", "filing", "filed_at", "received_at", "due_at")
"""Columns, in any order; ``state``, ``filed_at`` and one of ``code`` and ``domain`` are needed."""

FAULTS_LISTED = 20
"""An error lists so many faults of a file and counts the rest."""

UNKNOWN = -1
"""A code, office or way of filing that is not stated."""

_STATES = {name: int(State[name.upper()]) for name in get_args(OpenState)}
_FILINGS: dict[str, int] = {name: number for number, name in enumerate(FILINGS)}
_EXAMPLE = "such as 2026-02-13 or 2026-02-13 14:30"

Report = Callable[[str], None]
"""Takes what is wrong with the row at hand."""


@dataclass(frozen=True, slots=True)
class ListedDossiers:
    """Open dossiers as a file states them; what it leaves open is drawn.

    Attributes
    ----------
    procedure, domain, group, office : NDArray[int32], shape (n,)
        Indices; ``UNKNOWN`` where not stated. The group is that of the office, or of the procedure.
    filing, state : NDArray[int8], shape (n,)
        How it was filed (or ``UNKNOWN``) and where it stands.
    filed_s, received_s, due_s : NDArray[float64], shape (n,)
        Times, s from the window's start; the last two NaN where not stated.
    """

    procedure: NDArray[np.int32]
    domain: NDArray[np.int32]
    group: NDArray[np.int32]
    office: NDArray[np.int32]
    filing: NDArray[np.int8]
    state: NDArray[np.int8]
    filed_s: NDArray[np.float64]
    received_s: NDArray[np.float64]
    due_s: NDArray[np.float64]


def read_open_dossiers(path: Path, plan: Plan, start: dt.datetime) -> ListedDossiers:
    """Read a list of open dossiers.

    Parameters
    ----------
    path : Path
        The file: UTF-8, comma or semicolon between values, column names in the first line.
    plan : Plan
        The offices and procedures it speaks of.
    start : datetime
        The window's start, local time; everything filed or received was so before it.

    Raises
    ------
    ScenarioError
        With all faults of the file, each with its line, or the first ``FAULTS_LISTED`` of them.
    """
    lines = _lines(path)
    header = [name.strip().lower() for name in lines[0][1]] if lines else []
    _raise(path, _header_faults(header))
    reader = _RowReader.of(plan, start)
    rows, faults = [], []
    for number, values in lines[1:]:
        told: list[str] = []
        if len(values) != len(header):
            told.append(f"{len(values)} values, must be {len(header)}")
        else:
            row = dict(zip(header, (value.strip() for value in values), strict=True))
            rows.append(reader.read(row, told.append))
        faults += [(number, text) for text in told]
    _raise(path, faults)
    return _columns(rows)


@dataclass(frozen=True, slots=True)
class _Row:
    procedure: int
    domain: int
    group: int
    office: int
    filing: int
    state: int
    filed_s: float
    received_s: float
    due_s: float


@dataclass(frozen=True, slots=True)
class _RowReader:
    """Turns texts into numbers, and tells what is wrong with them."""

    plan: Plan
    start: dt.datetime
    codes: dict[str, int]
    domains: dict[str, int]
    offices: dict[str, int]
    first_s: float
    last_s: float

    @classmethod
    def of(cls, plan: Plan, start: dt.datetime) -> "_RowReader":
        """Return the reader of a plan."""
        times = [shifts.working_time for shifts in plan.shifts]
        return cls(
            plan=plan,
            start=start,
            codes={code: i for i, code in enumerate(plan.procedures.code)},
            domains={name: i for i, name in enumerate(plan.domains)},
            offices={name: i for i, name in enumerate(plan.offices)},
            first_s=max(time.from_s for time in times) + DAY_S,
            last_s=min(time.to_s for time in times) - DAY_S,
        )

    def read(self, row: dict[str, str], report: Report) -> _Row:
        """Return a row, faulty values as if they were not stated."""
        procedure, domain = self._asked(row, report)
        office = _choice(row, "office", self.offices, "office", report)
        filing = _choice(row, "filing", _FILINGS, "way to file", report)
        self._check_somebody(office, domain, filing, report)
        for column in ("state", "filed_at"):
            if not row[column]:
                report(f"{column}: must not be empty")
        filed_s = self._past(row, "filed_at", report)
        received_s = self._past(row, "received_at", report)
        if received_s < filed_s:
            report(f"received_at: {row['received_at']!r} must not be before filed_at")
        return _Row(
            procedure=procedure,
            domain=domain,
            group=self._group(row, procedure, domain, office, report),
            office=office,
            filing=filing,
            state=_choice(row, "state", _STATES, "state of an open dossier", report),
            filed_s=filed_s,
            received_s=received_s,
            due_s=self._term(row, report),
        )

    def _asked(self, row: dict[str, str], report: Report) -> tuple[int, int]:
        """Return the procedure, if it is stated, and its domain."""
        procedure = _choice(row, "code", self.codes, "code of the catalogue", report)
        domain = _choice(row, "domain", self.domains, "domain of the catalogue", report)
        if not row.get("code") and not row.get("domain"):
            report("neither code nor domain is stated, one must be")
        if procedure == UNKNOWN:
            return procedure, domain
        own = int(self.plan.procedures.domain[procedure])
        if domain not in (UNKNOWN, own):
            report(f"domain: {row['domain']!r} must be that of the code, {self.plan.domains[own]}")
        return procedure, own

    def _group(
        self, row: dict[str, str], procedure: int, domain: int, office: int, report: Report
    ) -> int:
        """Return the group that decides, if the office or the procedure tells."""
        decided = self.plan.procedures
        if office != UNKNOWN:
            return int(self.plan.group[office])
        if procedure != UNKNOWN:
            group = int(decided.group[procedure])
            if group == NO_GROUP:
                report(f"code: {row['code']!r} is decided by a ministry, not in the city")
            return group
        of_domain = decided.group[(decided.domain == domain) & (decided.group != NO_GROUP)]
        if domain != UNKNOWN and not len(of_domain):
            report(f"domain: {row['domain']!r} is decided by ministries, not in the city")
        return UNKNOWN

    def _check_somebody(self, office: int, domain: int, filing: int, report: Report) -> None:
        """Tell of an office that has nobody for such a dossier."""
        if office == UNKNOWN or domain == UNKNOWN:
            return
        either = FILINGS if self.plan.spec.counter_hours is not None else FILINGS[:1]
        ways = list(range(len(either))) if filing == UNKNOWN else [filing]
        if (self.plan.team_of[office, :, domain, ways] == NO_TEAM).any():
            told = f"{self.plan.offices[office]!r} has nobody for every task"
            report(f"office: {told} on dossiers of {self.plan.domains[domain]}")

    def _past(self, row: dict[str, str], column: str, report: Report) -> float:
        """Return a time before the window, s; NaN if empty or faulty."""
        time_s = self._time(row, column, report)
        if time_s > 0:
            report(f"{column}: {row[column]!r} must not be after the start, {self._said(0.0)}")
        elif time_s < self.first_s:
            report(
                f"{column}: {row[column]!r} is too long ago; at least {self._said(self.first_s)}"
            )
        return time_s

    def _term(self, row: dict[str, str], report: Report) -> float:
        """Return when the dossier is due, s; NaN if empty or faulty."""
        due_s = self._time(row, "due_at", report)
        if due_s > self.last_s:
            report(f"due_at: {row['due_at']!r} is too far off; at most {self._said(self.last_s)}")
        elif due_s < self.first_s:
            report(
                f"due_at: {row['due_at']!r} is too long ago; at least {self._said(self.first_s)}"
            )
        return due_s

    def _time(self, row: dict[str, str], column: str, report: Report) -> float:
        """Return a local time, s from the window's start; NaN if empty or faulty."""
        text = row.get(column, "")
        if not text:
            return math.nan
        try:
            time = dt.datetime.fromisoformat(text)
        except ValueError:
            report(f"{column}: {text!r} must be a local date and time, {_EXAMPLE}")
            return math.nan
        if time.tzinfo is not None:
            report(f"{column}: {text!r} must be local time; leave the time zone out")
            return math.nan
        time_s = (time - self.start).total_seconds()
        if time_s < self.first_s:
            report(f"{column}: {text!r} is too long ago; at least {self._said(self.first_s)}")
        return time_s

    def _said(self, time_s: float) -> str:
        return f"{self.start + dt.timedelta(seconds=time_s):%Y-%m-%d %H:%M}"


def _choice(
    row: dict[str, str],
    column: str,
    known: dict[str, int],
    what: str,
    report: Report,
) -> int:
    """Return the number of a name; ``UNKNOWN`` if empty or faulty."""
    text = row.get(column, "")
    if text in known:
        return known[text]
    if text:
        report(f"{column}: {text!r} is no {what}" + advice(text, known))
    return UNKNOWN


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the file's rows with the number of their last line, empty ones left out."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScenarioError([Flaw(str(path), f"not UTF-8 (byte {error.start})")]) from error
    except OSError as error:
        raise ScenarioError([Flaw(str(path), f"cannot be read: {error.strerror}")]) from error
    first = text.partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if first.count(";") > first.count(",") else ","
    )
    try:
        return [(reader.line_num, row) for row in reader if any(value.strip() for value in row)]
    except csv.Error as error:
        raise ScenarioError([Flaw(f"{path}:{reader.line_num}", str(error))]) from error


def _header_faults(header: Sequence[str]) -> list[tuple[int, str]]:
    told = [
        f"column {name!r} is unknown" + advice(name, COLUMNS)
        for name in header
        if name not in COLUMNS
    ]
    told += [f"column {name!r} is missing" for name in ("state", "filed_at") if name not in header]
    if not {"code", "domain"} & set(header):
        told.append("a column 'code' or 'domain' is missing")
    told += [f"column {n!r} stands twice" for n in dict.fromkeys(header) if header.count(n) > 1]
    return [(1, text) for text in told]


def _raise(path: Path, faults: Sequence[tuple[int, str]]) -> None:
    """Raise what was found wrong, if anything."""
    if not faults:
        return
    flaws = [Flaw(f"{path}:{line}", text) for line, text in faults[:FAULTS_LISTED]]
    if len(faults) > FAULTS_LISTED:
        flaws.append(Flaw(str(path), f"and {len(faults) - FAULTS_LISTED} more faults"))
    raise ScenarioError(flaws)


def _columns(rows: Iterable[_Row]) -> ListedDossiers:
    whole = list(rows)

    def numbers(name: str) -> list[float]:
        return [getattr(row, name) for row in whole]

    return ListedDossiers(
        procedure=np.array(numbers("procedure"), dtype=np.int32),
        domain=np.array(numbers("domain"), dtype=np.int32),
        group=np.array(numbers("group"), dtype=np.int32),
        office=np.array(numbers("office"), dtype=np.int32),
        filing=np.array(numbers("filing"), dtype=np.int8),
        state=np.array(numbers("state"), dtype=np.int8),
        filed_s=np.array(numbers("filed_s"), dtype=np.float64),
        received_s=np.array(numbers("received_s"), dtype=np.float64),
        due_s=np.array(numbers("due_s"), dtype=np.float64),
    )
