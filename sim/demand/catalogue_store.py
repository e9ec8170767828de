"""Catalogue files: CSV that people can edit, or Parquet; every fault is told at once."""

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from sim.demand.procedures import (
    COLUMNS,
    LEVELS,
    MAX_UPLOAD_SLOTS,
    ONLINE_LEVELS,
    Catalogue,
    CatalogueError,
)
from sim.results import written_whole

CATALOGUE_VERSION = 1
"""Version of the columns; a file of another version is refused."""

FAULTS_LISTED = 20
"""An error lists so many faults and counts the rest."""

WEIGHT_TOLERANCE = 1e-9
"""Weights that sum to 1 within this are taken as they are, others are scaled."""

_MARK = "# hoso catalogue"
_FIRST_ROW = {"csv": 3, "parquet": 1}  # a CSV file begins with the mark and the header

Cell = str | float | int | bool


@dataclass(frozen=True, slots=True)
class CatalogueFault:
    """One fault of a catalogue file.

    Attributes
    ----------
    place : str
        Row (as a spreadsheet counts) or part of the file.
    column : str
        Column, or empty where the fault concerns the row or the file.
    value : str
        What stands there.
    allowed : str
        What may.
    """

    place: str
    column: str
    value: str
    allowed: str

    def __str__(self) -> str:
        """Return the fault as one line."""
        where = f"{self.place}, {self.column}" if self.column else self.place
        return f"{where}: {self.value} {self.allowed}".replace("\n", " ")


def save_catalogue(catalogue: Catalogue, path: Path) -> None:
    """Write a catalogue as ``.csv`` (UTF-8) or ``.parquet``, whole or not at all.

    Raises
    ------
    CatalogueError
        When the name ends in neither.
    """
    kind = _kind(path)
    columns = {name: _plain(getattr(catalogue, name)) for name in COLUMNS}
    with written_whole(path) as temporary:
        if kind == "csv":
            temporary.write_text(_csv_text(columns), encoding="utf-8", newline="")
            return
        import pyarrow.parquet as pq

        meta = {"hoso": json.dumps({"catalogue_version": CATALOGUE_VERSION})}
        table = pa.table(columns).replace_schema_metadata(meta)
        pq.write_table(table, temporary, compression="zstd")


def load_catalogue(path: Path) -> Catalogue:
    """Read a catalogue back, the same values bit for bit; hand-edited weights are scaled to 1.

    Raises
    ------
    CatalogueError
        With all faults of the file: row, column, value and what is allowed.
    """
    kind = _kind(path)
    try:
        columns = _read_csv(path) if kind == "csv" else _read_parquet(path)
    except FileNotFoundError as error:
        raise CatalogueError(f"{path}: not found") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise CatalogueError(f"{path}: cannot be read: {error}") from error
    return _checked(columns, path, _FIRST_ROW[kind])


def _kind(path: Path) -> str:
    kind = path.suffix.lower().removeprefix(".")
    if kind not in _FIRST_ROW:
        raise CatalogueError(f"{path}: a catalogue file ends in .csv or .parquet")
    return kind


def _plain(column: tuple[str, ...] | np.ndarray) -> list[Cell]:
    return list(column) if isinstance(column, tuple) else column.tolist()


def _csv_text(columns: dict[str, list[Cell]]) -> str:
    text = io.StringIO()
    text.write(f"{_MARK} {CATALOGUE_VERSION}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(map(_csv_cell, column) for column in columns.values()), strict=True))
    return text.getvalue()


def _csv_cell(value: Cell) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and math.isnan(value):
        return ""
    return str(value)


def _read_csv(path: Path) -> dict[str, list[str]]:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{raw[error.start]:02x}"
        raise _error(path, [CatalogueFault(f"line {row}", "", found, "is not UTF-8")]) from error
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        rows = list(reader)
    except csv.Error as error:
        raise CatalogueError(f"{path}: line {reader.line_num}: {error}") from error
    _check_version(path, rows[0][0].removeprefix(_MARK).strip() if rows and rows[0] else "")
    header = rows[1] if len(rows) > 1 else []
    _check_columns(path, header)
    body = [row for row in rows[2:] if row]
    ragged = [
        CatalogueFault(f"row {i}", "", f"{len(row)} values", f"must be {len(header)}")
        for i, row in enumerate(rows[2:], start=_FIRST_ROW["csv"])
        if row and len(row) != len(header)
    ]
    if ragged:
        raise _error(path, ragged)
    return {name: [row[i] for row in body] for i, name in enumerate(header)}


def _read_parquet(path: Path) -> dict[str, list[str]]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    meta = json.loads((table.schema.metadata or {}).get(b"hoso", b"{}"))
    _check_version(path, str(meta.get("catalogue_version", "")))
    _check_columns(path, table.column_names)
    return {
        name: ["" if value is None else _csv_cell(value) for value in table[name].to_pylist()]
        for name in COLUMNS
    }


def _check_version(path: Path, version: str) -> None:
    if version != str(CATALOGUE_VERSION):
        raise CatalogueError(
            f"{path}: not a catalogue of version {CATALOGUE_VERSION} (a CSV file begins with the "
            f"line '{_MARK} {CATALOGUE_VERSION}'); turn a list from elsewhere into one with "
            "`hoso import catalogue`"
        )


def _check_columns(path: Path, header: Sequence[str]) -> None:
    faults = [
        CatalogueFault("header", name, "column", "is missing")
        for name in COLUMNS
        if name not in header
    ]
    faults += [
        CatalogueFault("header", name, "column", f"is unknown; allowed: {', '.join(COLUMNS)}")
        for name in header
        if name not in COLUMNS
    ]
    if len(set(header)) < len(header):
        faults.append(CatalogueFault("header", "", "columns", "must differ"))
    if faults:
        raise _error(path, faults)


def _checked(columns: dict[str, list[str]], path: Path, first_row: int) -> Catalogue:
    """Turn texts into a catalogue, or tell all that is wrong."""
    faults: list[CatalogueFault] = []
    values: dict[str, list[float]] = {}
    for name, (parse, allowed) in _NUMBERS.items():
        values[name] = [math.nan] * len(columns[name])
        for i, text in enumerate(columns[name]):
            try:
                values[name][i] = parse(text)
            except ValueError:
                faults.append(CatalogueFault(f"row {i + first_row}", name, repr(text), allowed))
    faults += _text_faults(columns, first_row)
    if not faults:
        faults += _contradictions(columns, values, first_row)
    if faults:
        raise _error(path, faults)
    weight = np.array(values["weight"])
    is_scaled = abs(weight.sum() - 1) > WEIGHT_TOLERANCE
    return Catalogue(
        **{name: tuple(columns[name]) for name in _TEXTS},
        integrated=np.array(values["integrated"], dtype=bool),
        limit_h=np.array(values["limit_h"], dtype=np.float64),
        fee_vnd=np.array(values["fee_vnd"], dtype=np.int64),
        upload_slots=np.array(values["upload_slots"], dtype=np.int64),
        e_form=np.array(values["e_form"], dtype=bool),
        weight=weight / weight.sum() if is_scaled else weight,
    )


def _number(least: float, most: float = math.inf) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not (least <= value <= most and math.isfinite(value)):
            raise ValueError
        return value

    return parse


def _whole(most: int) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = int(text)
        if not 0 <= value <= most:
            raise ValueError
        return value

    return parse


def _limit(text: str) -> float:
    if not text:
        return math.nan
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise ValueError
    return value


_MAX_FEE_VND = 10**12
"""Above any fee of a procedure, and within a double's whole numbers."""

_NUMBERS: dict[str, tuple[Callable[[str], float], str]] = {
    "integrated": (_whole(1), "must be 0 or 1"),
    "limit_h": (_limit, "must be working hours above 0, or empty where no limit is stated"),
    "fee_vnd": (_whole(_MAX_FEE_VND), f"must be a whole number of VND, 0 to {_MAX_FEE_VND:,}"),
    "upload_slots": (_whole(MAX_UPLOAD_SLOTS), f"must be a whole number, 0 to {MAX_UPLOAD_SLOTS}"),
    "e_form": (_whole(1), "must be 0 or 1"),
    "weight": (_number(0), "must be a finite number of at least 0"),
}
_TEXTS = tuple(name for name in COLUMNS if name not in _NUMBERS)
_CHOICES = {"level": LEVELS, "online_level": ONLINE_LEVELS}


def _text_faults(columns: dict[str, list[str]], first_row: int) -> list[CatalogueFault]:
    faults = []
    for name in _TEXTS:
        allowed = _CHOICES.get(name)
        for i, text in enumerate(columns[name]):
            place = f"row {i + first_row}"
            if not text.strip():
                faults.append(CatalogueFault(place, name, "''", "must not be empty"))
            elif allowed and text not in allowed:
                rule = f"must be one of {', '.join(allowed)}"
                faults.append(CatalogueFault(place, name, repr(text), rule))
    return faults + _duplicates(columns["code"], first_row)


def _duplicates(codes: list[str], first_row: int) -> list[CatalogueFault]:
    first_seen: dict[str, int] = {}
    faults = []
    for row, code in enumerate(codes, start=first_row):
        if first_seen.setdefault(code, row) != row and code:
            rule = f"must be unique; row {first_seen[code]} has it"
            faults.append(CatalogueFault(f"row {row}", "code", repr(code), rule))
    return faults


def _contradictions(
    columns: dict[str, list[str]], values: dict[str, list[float]], first_row: int
) -> list[CatalogueFault]:
    """Tell where columns that are right by themselves do not fit together."""
    faults = []
    rows = zip(
        values["integrated"], values["weight"], columns["online_level"], columns["level"],
        strict=True,
    )  # fmt: skip
    for row, (integrated, weight, online, level) in enumerate(rows, start=first_row):
        place = f"row {row}"
        if bool(integrated) == (online == "none"):
            rule = "must be full or partial where integrated is 1, none where it is 0"
            faults.append(CatalogueFault(place, "online_level", repr(online), rule))
        if weight > 0 and not integrated:
            faults.append(CatalogueFault(place, "weight", f"{weight:g}", "must be 0: not online"))
        if integrated and level == "ministry":
            rule = "is not offered by the city: integrated must be 0"
            faults.append(CatalogueFault(place, "level", repr(level), rule))
    if not any(values["integrated"]):
        faults.append(CatalogueFault("file", "integrated", "no row", "is integrated; one must be"))
    elif not sum(values["weight"]) > 0:
        faults.append(CatalogueFault("file", "weight", "all weights", "are 0; one must be above 0"))
    return faults


def _error(path: Path, faults: list[CatalogueFault]) -> CatalogueError:
    lines = [f"{path}: {fault}" for fault in faults[:FAULTS_LISTED]]
    if len(faults) > FAULTS_LISTED:
        lines.append(f"{path}: and {len(faults) - FAULTS_LISTED} more faults")
    return CatalogueError("\n".join(lines))
