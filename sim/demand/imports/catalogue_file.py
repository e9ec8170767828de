"""Import of a published list of procedures as a catalogue; what the list lacks is guessed by rule.

A list is what people publish, not what a model needs: limits are missing, fees lack their
thousands, papers are counted over all variants. Each rule used is in the report, with its count.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.reading import CsvTable, find_columns, open_table
from sim.demand.imports.tables import ImportFileError, ImportReport, Line, refusals
from sim.demand.procedures import (
    MAX_UPLOAD_SLOTS,
    WORKING_DAY_H,
    Catalogue,
    archetypes_of,
    popularity,
)
from sim.streams import stream

ACTIVE_SHARE = 0.27
"""Share of online services with any load. # source: a province's portal, 516 of 1,884 in 2026"""

WORKING_PER_CALENDAR_DAY = 5 / 7
"""Working days in a calendar day."""

LIMIT_UNITS_H = {
    "ngày làm việc": WORKING_DAY_H,
    "working days": WORKING_DAY_H,
    "ngày": WORKING_DAY_H * WORKING_PER_CALENDAR_DAY,
    "days": WORKING_DAY_H * WORKING_PER_CALENDAR_DAY,
    "giờ": 1.0,
    "hours": 1.0,
    "tháng": 30 * WORKING_DAY_H * WORKING_PER_CALENDAR_DAY,
    "months": 30 * WORKING_DAY_H * WORKING_PER_CALENDAR_DAY,
}
"""Units of a limit and their working hours."""

MIN_LIMITS_PER_DOMAIN = 5
"""A domain with fewer stated limits takes the whole list's median."""

FEE_LACKS_THOUSANDS_BELOW_VND = 1000
"""No fee is below 1,000 VND: a smaller number is in thousands."""

DEFAULT_PAPERS = 3
"""Papers where the list counts none. # source: median of published lists of procedures"""

_ALIASES = {
    "code": ("code", "procedure_code", "ma_tthc", "ma", "mã", "mã thủ tục", "mã tthc"),
    "name": ("name", "title", "ten_tthc", "ten", "tên", "tên thủ tục", "tên tthc"),
    "domain": ("domain", "linh_vuc", "lĩnh vực"),
    "level": ("level", "cap_thuc_hien", "cấp thực hiện"),
    "agency": ("agency", "executing_body", "co_quan_thuc_hien", "cơ quan thực hiện"),
    "online": ("ch_online", "online", "trực tuyến"),
    "online_level": ("online_level", "muc_do", "mức độ"),
    "limit_h": ("limit_h", "term_working_hours"),
    "limit_value": ("limit_value", "term_value"),
    "limit_unit": ("limit_unit", "term_unit"),
    "same_day": ("same_day", "same_day_text"),
    "fee_free": ("fee_free",),
    "fee": ("fee_vnd", "fee_max_vnd", "fee", "phi", "phí"),
    "papers": ("upload_slots", "n_documents", "papers"),
    "e_form": ("e_form",),
}
_NEEDED = ("code", "name", "domain")

_ONLINE_WORDS = {
    "full": ("full", "toàn trình", "4"),
    "partial": ("partial", "một phần", "3"),
    "none": ("none", "0", "1", "2", "không", ""),
}
_TRUE = ("1", "true", "yes", "có", "x")
_FALSE = ("0", "false", "no", "không", "")
_NO_AGENCY = ("", "không có thông tin")
_THOUSANDS = re.compile(r"^\d{1,3}(?:[.,]\d{3})+$")
_AGENCY_OF_LEVEL = {
    "commune": "Ủy ban nhân dân cấp xã",
    "province": "Ủy ban nhân dân cấp tỉnh",
    "ministry": "Bộ, cơ quan trung ương",
}


@dataclass(frozen=True, slots=True)
class ImportedCatalogue:
    """A catalogue made of a published list, and the account of how.

    Attributes
    ----------
    catalogue : Catalogue
        The procedures, in the list's order.
    report : ImportReport
        What was taken, guessed and refused.
    """

    catalogue: Catalogue
    report: ImportReport


def import_catalogue(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    seed: int = 1,
    active_share: float = ACTIVE_SHARE,
    zipf_exponent: float = 1.0,
) -> ImportedCatalogue:
    """Read a published list of procedures (CSV).

    Procedures that only a ministry decides are kept and never integrated: the city does not
    receive them. Where several levels decide, the lowest counts: citizens go to the nearest.
    Popularity is not in any list: which services carry the load is drawn with the seed.

    Parameters
    ----------
    path : Path
        The list.
    columns : mapping, optional
        Field to the list's own column name, where it has an unusual one.
    seed : int
        Seed of the popularity, >= 0.
    active_share : float
        Share of the integrated services that carry all load.
    zipf_exponent : float
        Exponent of popularity over rank.

    Raises
    ------
    ImportFileError
        When the file cannot be read, a needed column is missing, or no procedure is integrated.
    """
    table = open_table(path)
    place_of = find_columns(table, _ALIASES, _NEEDED, columns)
    reader = _Reader(place_of)
    for row, values in table.rows():
        reader.read(row, values, len(table.header))
    kept = reader.kept
    integrated = np.array([one.online != "none" for one in kept], dtype=bool)
    if not integrated.any():
        raise ImportFileError(
            f"{path}: none of {len(kept)} procedures taken ({len(reader.refused)} refused) is "
            "online at province or commune level; is the column of the level or the channel right?"
        )
    catalogue = _catalogue(reader, integrated, seed, active_share, zipf_exponent)
    return ImportedCatalogue(catalogue, _report(table, reader, catalogue))


@dataclass(slots=True)
class _Procedure:
    """One row as the list says it; NaN where it says nothing."""

    code: str
    name: str
    domain: str
    agency: str
    level: str
    online: str
    limit_h: float
    fee_vnd: int
    papers: float
    e_form: bool


@dataclass(slots=True)
class _Reader:
    """Rows taken and refused, and the guesses made on the way, by rule."""

    place_of: Mapping[str, int]
    kept: list[_Procedure] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    guesses: Counter[tuple[str, str]] = field(default_factory=Counter)
    codes: set[str] = field(default_factory=set)

    def read(self, row: int, values: Sequence[str], n_columns: int) -> None:
        """Take one row, or refuse it with the reason."""
        before = self.guesses.copy()
        try:
            if len(values) != n_columns:
                raise _RefusedError("its number of values differs from the header's")
            procedure = self._procedure(values)
        except _RefusedError as reason:
            self.refused.append((row, str(reason)))
            self.guesses = before
            return
        self.codes.add(procedure.code)
        self.kept.append(procedure)

    def _procedure(self, values: Sequence[str]) -> _Procedure:
        cell = {name: values[place] for name, place in self.place_of.items()}
        code = cell["code"]
        if not code or not cell["name"]:
            raise _RefusedError("no code" if not code else "no name")
        if code in self.codes:
            raise _RefusedError("code seen before")
        level = self._level(cell.get("level"))
        online = self._online(cell, level)
        return _Procedure(
            code=code,
            name=self._clean(cell["name"]),
            domain=self._domain(cell["domain"]),
            agency=self._agency(cell.get("agency", ""), level),
            level=level,
            online=online,
            limit_h=self._limit_h(cell),
            fee_vnd=self._fee_vnd(cell),
            papers=_amount(cell.get("papers", ""), "number of papers"),
            e_form=self._e_form(cell.get("e_form"), online),
        )

    def guess(self, what: str, rule: str) -> None:
        self.guesses[what, rule] += 1

    def _clean(self, name: str) -> str:
        if "\ufffd" in name:
            self.guess("name", "letters lost before this file was written: kept as they are")
        return " ".join(name.split())

    def _domain(self, text: str) -> str:
        if text:
            return " ".join(text.split())
        self.guess("domain", "none stated: 'Chưa phân loại'")
        return "Chưa phân loại"

    def _agency(self, text: str, level: str) -> str:
        if text.casefold() not in _NO_AGENCY:
            return " ".join(text.split())
        self.guess("agency", "none stated: the level's general one")
        return _AGENCY_OF_LEVEL[level]

    def _level(self, text: str | None) -> str:
        levels = (text or "").casefold()
        if not levels:
            self.guess("level", "none stated: province")
            return "province"
        if "xã" in levels or "commune" in levels:
            return "commune"
        if "tỉnh" in levels or "province" in levels:
            return "province"
        if "huyện" in levels or "district" in levels:
            self.guess("level", "district, abolished in July 2025: commune")
            return "commune"
        return "ministry"

    def _online(self, cell: Mapping[str, str], level: str) -> str:
        """Return the online level on the city's portal."""
        if level == "ministry":
            return "none"
        if "online_level" in cell:
            return _online_word(cell["online_level"])
        if "online" not in cell:
            self.guess("online level", "no such column: full")
            return "full"
        if not _flag(cell["online"], "online channel"):
            return "none"
        self.guess("online level", "online, full or partial not stated: full")
        return "full"

    def _limit_h(self, cell: Mapping[str, str]) -> float:
        """Return the limit stated, NaN where there is none."""
        limit_h = _amount(cell.get("limit_h", ""), "limit")
        if limit_h > 0:
            return limit_h
        value = _amount(cell.get("limit_value", ""), "limit")
        unit = cell.get("limit_unit", "").casefold()
        if value > 0 and unit in LIMIT_UNITS_H:
            if LIMIT_UNITS_H[unit] not in (1.0, WORKING_DAY_H):
                self.guess("limit", "calendar days or months: 5 of 7 days are working days of 8 h")
            return value * LIMIT_UNITS_H[unit]
        if _flag(cell.get("same_day", ""), "same day"):
            self.guess("limit", "'the same day' in words: one working day, 8 h")
            return WORKING_DAY_H
        return math.nan

    def _fee_vnd(self, cell: Mapping[str, str]) -> int:
        fee = _fee(cell.get("fee", ""))
        if math.isnan(fee):
            if not _flag(cell.get("fee_free", ""), "free of charge"):
                self.guess("fee", "not stated: none")
            return 0
        if 0 < fee < FEE_LACKS_THOUSANDS_BELOW_VND:
            self.guess("fee", "below 1,000 VND: thousands")
            fee *= 1000
        return round(fee)

    def _e_form(self, text: str | None, online: str) -> bool:
        if text is not None:
            return _flag(text, "e-form")
        self.guess("e-form", "no such column: yes where online")
        return online != "none"


class _RefusedError(Exception):
    """A row that cannot be taken; the text is the reason."""


def _amount(text: str, what: str) -> float:
    """Return a number of at least 0, NaN for an empty text."""
    if not text:
        return math.nan
    try:
        value = float(text.replace(",", ".") if text.count(",") == 1 else text)
    except ValueError:
        raise _RefusedError(f"{what} is no number") from None
    if not math.isfinite(value):
        raise _RefusedError(f"{what} is no number")
    if value < 0:
        raise _RefusedError(f"{what} is negative")
    return value


def _fee(text: str) -> float:
    """Return a fee, VND; 135.000 is written with a separator of thousands."""
    if _THOUSANDS.match(text):
        return float(re.sub("[.,]", "", text))
    return _amount(text, "fee")


def _flag(text: str, what: str) -> bool:
    lower = text.casefold()
    if lower in _TRUE:
        return True
    if lower in _FALSE:
        return False
    raise _RefusedError(f"{what} is neither 0 nor 1")


def _online_word(text: str) -> str:
    lower = text.casefold()
    for level, words in _ONLINE_WORDS.items():
        if lower in words:
            return level
    raise _RefusedError("online level is neither full, partial nor none")


def _catalogue(
    reader: _Reader,
    integrated: NDArray[np.bool_],
    seed: int,
    active_share: float,
    zipf_exponent: float,
) -> Catalogue:
    kept = reader.kept
    limit_h = _limits(reader)
    names = tuple(one.name for one in kept)
    domains = tuple(one.domain for one in kept)
    return Catalogue(
        code=tuple(one.code for one in kept),
        name=names,
        domain=domains,
        agency=tuple(one.agency for one in kept),
        level=tuple(one.level for one in kept),
        online_level=tuple(one.online for one in kept),
        integrated=integrated,
        limit_h=limit_h,
        fee_vnd=np.array([one.fee_vnd for one in kept], dtype=np.int64),
        upload_slots=_upload_slots(reader),
        e_form=np.array([one.e_form for one in kept], dtype=bool),
        weight=popularity(
            stream(seed, 0, "demand.catalogue.popularity").random(len(kept)),
            integrated,
            np.ones(len(kept)),
            active_share,
            zipf_exponent,
        ),
        archetype=archetypes_of(names, domains, limit_h),
    )


def _limits(reader: _Reader) -> NDArray[np.float64]:
    """Return the limits, working hours, those not stated guessed from the domain's median."""
    limit_h = np.array([one.limit_h for one in reader.kept])
    domains = np.array([one.domain for one in reader.kept])
    is_stated = ~np.isnan(limit_h)
    if not is_stated.any():
        return limit_h
    guessed = limit_h.copy()
    for domain in np.unique(domains[~is_stated]):
        stated = limit_h[is_stated & (domains == domain)]
        is_enough = len(stated) >= MIN_LIMITS_PER_DOMAIN
        rule = f"none stated: median of its {'domain' if is_enough else 'list'}"
        missing = ~is_stated & (domains == domain)
        guessed[missing] = np.median(stated if is_enough else limit_h[is_stated])
        reader.guesses["limit", rule] += int(missing.sum())
    return guessed


def _upload_slots(reader: _Reader) -> NDArray[np.int64]:
    """Return papers to upload: the list counts all variants, so more than its quartile is cut."""
    papers = np.array([one.papers for one in reader.kept])
    is_stated = ~np.isnan(papers)
    if not is_stated.all():
        rule = f"not counted: {DEFAULT_PAPERS}, the median of published lists"
        reader.guesses["papers", rule] += int((~is_stated).sum())
    if is_stated.any():
        most = min(math.floor(np.quantile(papers[is_stated], 0.75)), MAX_UPLOAD_SLOTS)
        is_cut = is_stated & (papers > most)
        rule = f"lists count all variants' papers: cut to the upper quartile, {most}"
        reader.guesses["papers", rule] += int(is_cut.sum())
        papers[is_cut] = most
    papers[~is_stated] = DEFAULT_PAPERS
    slots: NDArray[np.int64] = np.floor(papers).astype(np.int64)
    return slots


def _report(table: CsvTable, reader: _Reader, catalogue: Catalogue) -> ImportReport:
    n_of_level = Counter(catalogue.level)
    services = catalogue.services
    n_stated = sum(not math.isnan(one.limit_h) for one in reader.kept)
    taken = (
        Line("procedures", len(catalogue), f"of {len(catalogue) + len(reader.refused):,} rows"),
        Line("levels", None, ", ".join(f"{k} {n:,}" for k, n in sorted(n_of_level.items()))),
        Line("integrated", len(services), "online at province or commune level"),
        Line("ministry only", n_of_level["ministry"], "kept, never integrated"),
        Line("domains", len(set(catalogue.domain)), ""),
        Line("limits stated", n_stated, f"median {np.nanmedian(catalogue.limit_h):g} working h")
        if n_stated
        else Line("limits stated", 0, "the limit stays unknown"),
        Line("with a fee", int((catalogue.fee_vnd > 0).sum()), "the highest where it varies"),
    )
    guessed = [
        Line(what, count, rule) for (what, rule), count in reader.guesses.items() if count > 0
    ]
    guessed.append(
        Line(
            "popularity",
            int((catalogue.weight > 0).sum()),
            "in no list: Zipf over a random rank among the integrated, the rest carries nothing",
        )
    )
    if table.is_encoding_guessed:
        guessed.append(Line("encoding", None, f"not UTF-8: read as {table.encoding}"))
    return ImportReport(table.path.name, taken, tuple(guessed), refusals(reader.refused))
