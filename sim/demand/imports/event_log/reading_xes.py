"""Reading a process log from XES (IEEE 1849), plain or gzip, as a stream.

Expat's own events are used, so no tree is built and memory does not grow with the file. A document
type that defines entities is refused: expanding them could exhaust memory or read other files.

References
----------
IEEE Std 1849-2016, eXtensible Event Stream.
"""

import gzip
import unicodedata
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from sim.demand.imports.event_log.log import ALIASES, LogBuilder
from sim.demand.imports.event_log.reading_csv import Progress
from sim.demand.imports.tables import ImportFileError

_CHUNK_BYTES = 1 << 18
_GZIP = b"\x1f\x8b"
_XML_STARTS = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<\0", b"\xfe\xff\0<")
_LOG, _TRACE, _EVENT = 1, 2, 3
"""Depth of these elements."""


def is_xes(path: Path) -> bool:
    """Return whether a file is XML or gzip by its first bytes.

    Raises
    ------
    ImportFileError
        When it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(64)
    except OSError as error:
        raise ImportFileError(f"{path}: cannot be read: {error.strerror}") from error
    return start.startswith(_GZIP) or start.lstrip(b" \t\r\n").startswith(_XML_STARTS)


def read_xes_log(
    path: Path, builder: LogBuilder, columns: Mapping[str, str] | None, progress: Progress | None
) -> tuple[str, ...]:
    """Add the events of an XES file to a log; rows are the events' ordinal numbers.

    Attributes of a trace are found as ``case:<key>``. A file that breaks off is taken up to there
    and the break is counted.

    Parameters
    ----------
    path : Path
        The file.
    builder : LogBuilder
        Takes the events.
    columns : mapping, optional
        Field to the file's own attribute key.
    progress : callable, optional
        Moves a progress bar.

    Returns
    -------
    tuple of str
        What had to be assumed.

    Raises
    ------
    ImportFileError
        When the file is no XES or defines entities.
    """
    handler = _Handler(path, builder, _fields(path, columns))
    try:
        _feed(path, handler, progress)
    except (expat.ExpatError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        if not builder.n_added:
            raise ImportFileError(f"{path}: not a readable XES file: {error}") from error
        handler.broken(str(error))
    if not handler.is_log:
        raise ImportFileError(f"{path}: XML, but its first element is no <log>: not an XES file")
    return handler.assumed()


def _fields(path: Path, columns: Mapping[str, str] | None) -> dict[str, tuple[str, int]]:
    """Return key to field and rank; the lowest rank of an event's keys for one field wins."""
    fields = {name: (field, rank) for field, names in ALIASES.items()
              for rank, name in reversed(list(enumerate(names)))}  # fmt: skip
    for field, key in (columns or {}).items():
        if field not in ALIASES:
            allowed = ", ".join(ALIASES)
            raise ImportFileError(f"{path}: no field {field}; allowed: {allowed}")
        fields[key.casefold()] = (field, -1)
    return fields


def _feed(path: Path, handler: "_Handler", progress: Progress | None) -> None:
    n_bytes = path.stat().st_size
    with path.open("rb") as file:
        is_packed = file.read(2) == _GZIP
        file.seek(0)
        stream: BinaryIO = gzip.GzipFile(fileobj=file) if is_packed else file  # type: ignore[assignment]
        while chunk := stream.read(_CHUNK_BYTES):
            _parse(path, handler, chunk)
            if progress is not None:
                progress(file.tell(), n_bytes, f"{handler.n_events:,} events")
        handler.parser.Parse(b"", True)


def _parse(path: Path, handler: "_Handler", chunk: bytes) -> None:
    try:
        handler.parser.Parse(chunk, False)
    except (LookupError, ValueError) as error:
        # What the parser says of the encoding a file states; anything else is not its fault.
        if "encoding" not in str(error):
            raise
        raise ImportFileError(
            f"{path}: its XML declaration states an encoding that cannot be read ({error}); "
            "save the file as UTF-8"
        ) from error


class _Handler:
    """Turns a parser's calls into events."""

    def __init__(self, path: Path, builder: LogBuilder, fields: dict[str, tuple[str, int]]) -> None:
        self.is_log = False
        self.n_events = 0
        self._path, self._builder, self._fields = path, builder, fields
        self._depth = self._n_traces = self._n_unnamed = 0
        self._encoding = ""
        self._inside = self._in_trace = ""
        self._trace: dict[str, tuple[int, str]] = {}
        self._event: dict[str, tuple[int, str]] = {}
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.XmlDeclHandler = self._declared
        self.parser.EntityDeclHandler = self._entity

    def broken(self, why: str) -> None:
        """Count what a break in the file costs."""
        event = self.n_events + (self._inside == "event")
        self._builder.refused.add(
            event or 1,
            f"the file breaks off at line {self.parser.CurrentLineNumber} ({why}): what follows is "
            f"lost, and case {self._case_name()!r} may lack its last events",
        )

    def assumed(self) -> tuple[str, ...]:
        """Return what had to be assumed."""
        lines = [f"{self._n_unnamed:,} traces without concept:name: numbered"] * bool(
            self._n_unnamed
        )
        if self._encoding and self._encoding.casefold() not in ("utf-8", "utf8"):
            lines.append(f"the file declares the encoding {self._encoding}")
        return tuple(lines)

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        self._encoding = encoding or ""

    def _entity(self, name: str, *_: object) -> None:
        raise ImportFileError(
            f"{self._path}: line {self.parser.CurrentLineNumber}: the document type defines the "
            f"entity {name!r}; XES needs none and they are not expanded. Remove the DOCTYPE"
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == _EVENT + 1 and self._inside == "event":
            self._keep(self._event, attributes, "")
        elif self._depth == _EVENT and self._in_trace:
            if tag.rpartition(":")[2] == "event":
                self._inside, self._event = "event", {}
            else:
                self._keep(self._trace, attributes, "case:")
        elif self._depth == _TRACE and tag.rpartition(":")[2] == "trace":
            self._in_trace, self._trace = "trace", {}
            self._n_traces += 1
        elif self._depth == _LOG:
            self.is_log = tag.rpartition(":")[2] == "log"

    def _end(self, _tag: str) -> None:
        if self._depth == _EVENT and self._inside:
            self._inside = ""
            self.n_events += 1
            cell = {"case": self._case_name()}
            for kept in (self._trace, self._event):
                cell.update({field: text for field, (_, text) in kept.items()})
            self._builder.add(self.n_events, cell)
        elif self._depth == _TRACE and self._in_trace:
            self._n_unnamed += "case" not in self._trace
            self._in_trace = ""
        self._depth -= 1

    def _keep(
        self, kept: dict[str, tuple[int, str]], attributes: dict[str, str], prefix: str
    ) -> None:
        key = prefix + attributes.get("key", "").casefold()
        found = self._fields.get(key)
        if found is not None:
            field, rank = found
            if field not in kept or rank < kept[field][0]:
                text = unicodedata.normalize("NFC", attributes.get("value", "")).strip()
                kept[field] = (rank, text)

    def _case_name(self) -> str:
        named = self._trace.get("case")
        return named[1] if named and named[1] else f"trace {self._n_traces}"
