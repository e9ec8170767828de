"""Reading foreign CSV files: encodings, separators, columns under other names, dates."""

import codecs
import csv
import datetime as dt
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sim.demand.imports.tables import ImportFileError

_CHUNK_BYTES = 1 << 20
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_SEPARATORS = ",;\t|"
_VIETNAMESE = re.compile("[\u1ea0-\u1ef9\u01a0\u01a1\u01af\u01b0\u0110\u0111]")
_TIME_FORMATS = ("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y")


@dataclass(frozen=True, slots=True)
class CsvTable:
    """A CSV file whose header has been read.

    Attributes
    ----------
    path : Path
        The file.
    header : tuple of str
        Names of its columns.
    encoding : str
        Encoding, found or guessed.
    is_encoding_guessed : bool
        Whether nothing but the letters tell the encoding.
    separator : str
        Character between values.
    """

    path: Path
    header: tuple[str, ...]
    encoding: str
    is_encoding_guessed: bool
    separator: str

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (row, values) after the header, as a stream; the header is row 1.

        Empty lines are passed over, letters are composed (Unicode NFC).

        Raises
        ------
        ImportFileError
            When the text cannot be decoded or is no CSV.
        """
        records = _records(self.path, self.encoding, self.separator)
        for row, record in enumerate(records, start=1):
            if row > 1 and record:
                yield row, [unicodedata.normalize("NFC", value).strip() for value in record]


def open_table(path: Path) -> CsvTable:
    """Find out how a CSV file is written, and read its header.

    Raises
    ------
    ImportFileError
        When the file is missing, empty or no text.
    """
    encoding, is_guessed = _find_encoding(path)
    with path.open(encoding=encoding, newline="") as stream:
        first_line = stream.readline()
    if "\0" in first_line:
        raise ImportFileError(f"{path}: not a text file; a CSV file with a header is needed")
    separator = max(_SEPARATORS, key=first_line.count)
    header = next(_records(path, encoding, separator), [])
    names = tuple(unicodedata.normalize("NFC", name).strip() for name in header)
    if not any(names):
        raise ImportFileError(f"{path}: empty; a CSV file with a header is needed")
    return CsvTable(path, names, encoding, is_guessed, separator)


def find_columns(
    table: CsvTable,
    aliases: Mapping[str, Sequence[str]],
    needed: Sequence[str],
    chosen: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """Return the position of each field the file has.

    Parameters
    ----------
    table : CsvTable
        The file.
    aliases : mapping
        Field to the column names it may have, lower case, best first.
    needed : sequence of str
        Fields that must be found.
    chosen : mapping, optional
        Field to the file's own column name; takes precedence.

    Raises
    ------
    ImportFileError
        Naming the fields that are missing and the columns the file has.
    """
    wanted = dict(chosen or {})
    has = ", ".join(table.header)
    unknown = [field for field in wanted if field not in aliases]
    if unknown:
        raise ImportFileError(
            f"{table.path}: no field {', '.join(unknown)}; allowed: {', '.join(aliases)}"
        )
    absent = [column for column in wanted.values() if column not in table.header]
    if absent:
        raise ImportFileError(f"{table.path}: no column {', '.join(absent)}; the file has: {has}")
    lower = [name.casefold() for name in table.header]
    found = {}
    for field, names in aliases.items():
        if field in wanted:
            found[field] = table.header.index(wanted[field])
        else:
            position = next((lower.index(name) for name in names if name in lower), None)
            if position is not None:
                found[field] = position
    missing = [f"{field} ({' or '.join(aliases[field])})" for field in needed if field not in found]
    if missing:
        raise ImportFileError(
            f"{table.path}: needed but not found: {'; '.join(missing)}; the file has: {has}. "
            "Say which column is which, as FIELD=COLUMN"
        )
    return found


def parse_time(text: str) -> dt.datetime:
    """Return a time on the clock of the place it was written at: an offset is dropped.

    ISO 8601 and the Vietnamese order of day, month, year are read.

    Raises
    ------
    ValueError
        When it is neither.
    """
    try:
        return dt.datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        pass
    for pattern in _TIME_FORMATS:
        try:
            return dt.datetime.strptime(text, pattern)  # noqa: DTZ007 - clock of the place
        except ValueError:
            continue
    raise ValueError(f"{text!r} is no time: write 2024-11-20 08:30:00 or 20/11/2024 08:30")


def _records(path: Path, encoding: str, separator: str) -> Iterator[list[str]]:
    """Yield the records of a CSV file as they stand."""
    with path.open(encoding=encoding, newline="") as stream:
        reader = csv.reader(stream, delimiter=separator)
        try:
            yield from reader
        except csv.Error as error:
            raise ImportFileError(f"{path}: line {reader.line_num}: {error}") from error
        except UnicodeError as error:
            place = f"{path}: after line {reader.line_num}"
            raise ImportFileError(f"{place}: cannot be decoded as {encoding}") from error


def _find_encoding(path: Path) -> tuple[str, bool]:
    """Return the encoding of a text file and whether it is a guess."""
    try:
        with path.open("rb") as stream:
            start = stream.read(_CHUNK_BYTES)
            for bom, encoding in _BOMS.items():
                if start.startswith(bom):
                    return encoding, False
            if _is_utf8(start, stream):
                return "utf-8", False
    except OSError as error:
        raise ImportFileError(f"{path}: cannot be read: {error.strerror}") from error
    return _guess_code_page(start), True


def _is_utf8(start: bytes, stream: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        chunk = start
        while chunk:
            decoder.decode(chunk)
            chunk = stream.read(_CHUNK_BYTES)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _guess_code_page(sample: bytes) -> str:
    """Return cp1258 where its tone marks make Vietnamese letters, else a Latin code page."""
    vietnamese = unicodedata.normalize("NFC", sample.decode("cp1258", errors="replace"))
    has_stray_marks = any(unicodedata.combining(letter) for letter in vietnamese)
    if _VIETNAMESE.search(vietnamese) and not has_stray_marks:
        return "cp1258"
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"
