"""Reading a multipart request piece by piece: files go to disk while they arrive.

Memory holds one piece of a file, never the file. Too large a file is read to its end and thrown
away, so that the client gets to see the refusal instead of a broken connection.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from loadtests.portal.blobs import BlobStore, IncomingBlob

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD_LIMIT_BYTES = 1 << 20
"""Longest text field; the longest e-form is 30 kB. # assumption"""
FIELDS_LIMIT_BYTES = 2_000_000
"""Text of all fields of one request together. # source: Tomcat, maxPostSize default of 2 MB"""
MAX_PARTS = 200
"""Most fields and files of one request: 50 papers with a few fields each. # assumption"""
DRAIN_FACTOR = 2
"""Of a refused request at most so many times the limit is read before the connection is left."""


class UploadError(Exception):
    """A request body that cannot be read as multipart; its text says why."""


@dataclass(slots=True)
class IncomingFile:
    """A file of a request.

    Attributes
    ----------
    field_name : str
        Name of the form field.
    file_name : str
        What the client calls it, without folders.
    blob : IncomingBlob
        Its content, on disk and hashed, not yet kept.
    too_large : bool
        It exceeded the limit; its content is not complete.
    """

    field_name: str
    file_name: str
    blob: IncomingBlob
    too_large: bool = False


@dataclass(slots=True)
class IncomingForm:
    """Fields and files of a multipart request.

    Attributes
    ----------
    fields : dict
        Text fields; of several with one name the last counts.
    files : list of IncomingFile
        Files in their order.
    """

    fields: dict[str, str] = field(default_factory=dict)
    files: list[IncomingFile] = field(default_factory=list)

    def discard(self) -> None:
        """Forget the files that were not kept."""
        for file in self.files:
            file.blob.discard()


def base_name(file_name: str) -> str:
    """Return a file name without folders, control characters and leading dots."""
    last = file_name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable()).strip().lstrip(".")


class FormReader:
    """Parser of one multipart body.

    Parameters
    ----------
    content_type : str
        Header of the request.
    store : BlobStore
        Where files arrive.
    file_limit_bytes : int
        Longest file that is stored.

    Raises
    ------
    UploadError
        When the header names no boundary, or too long a one.
    """

    def __init__(self, content_type: str, store: BlobStore, file_limit_bytes: int) -> None:
        self.form = IncomingForm()
        self._store = store
        self._file_limit_bytes = file_limit_bytes
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._parts = 0
        self._file: IncomingFile | None = None
        self._name = ""
        self._text = bytearray()
        self._text_bytes = 0
        self._is_complete = False
        try:
            self._parser = MultipartParser(_boundary(content_type), self._callbacks())
        except FormParserError as error:
            raise UploadError("the boundary of the multipart body is too long") from error

    def feed(self, data: bytes) -> None:
        """Take the next piece of the body.

        Raises
        ------
        UploadError
            When it is not multipart, or too many or too long fields.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise UploadError("the body is not valid multipart/form-data") from error

    def finish(self) -> IncomingForm:
        """Return the form.

        Raises
        ------
        UploadError
            When the body ended before its last boundary: nothing of it may be stored.
        """
        if not self._is_complete:
            raise UploadError("the multipart body ends before its last boundary")
        return self.form

    def _callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_header_field": self._field,
            "on_header_value": self._value,
            "on_header_end": self._header,
            "on_headers_finished": self._headers,
            "on_end": self._complete,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise UploadError(f"more than {MAX_PARTS} parts")
        self._disposition = b""
        self._file = None
        self._text = bytearray()

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise UploadError("a part has no name")
        self._name = _text(options[b"name"])
        if options.get(b"filename"):
            name = base_name(_text(options[b"filename"]))
            self._file = IncomingFile(self._name, name, self._store.incoming())
            self.form.files.append(self._file)

    def _data(self, data: bytes, start: int, end: int) -> None:
        piece = data[start:end]
        if self._file is None:
            self._take_text(piece)
        elif self._file.blob.size_bytes + len(piece) > self._file_limit_bytes:
            self._file.too_large = True
        elif not self._file.too_large:
            self._file.blob.write(piece)

    def _take_text(self, piece: bytes) -> None:
        self._text_bytes += len(piece)
        if self._text_bytes > FIELDS_LIMIT_BYTES:
            raise UploadError(f"the fields are longer than {FIELDS_LIMIT_BYTES} bytes together")
        if len(self._text) + len(piece) > FIELD_LIMIT_BYTES:
            raise UploadError(f"field {self._name} is longer than {FIELD_LIMIT_BYTES} bytes")
        self._text += piece

    def _end(self) -> None:
        if self._file is None:
            self.form.fields[self._name] = _text(bytes(self._text))
        else:
            self._file.blob.close()

    def _complete(self) -> None:
        self._is_complete = True


async def read_multipart(
    body: AsyncIterator[bytes], content_type: str, store: BlobStore, file_limit_bytes: int
) -> IncomingForm:
    """Read a multipart body.

    Parameters
    ----------
    body : async iterator of bytes
        The request's stream.
    content_type : str
        Its header.
    store : BlobStore
        Where files arrive.
    file_limit_bytes : int
        Longest file that is stored, bytes; a longer one is marked ``too_large``.

    Returns
    -------
    IncomingForm
        Its files are the caller's to keep or discard.

    Raises
    ------
    UploadError
        When the body is not whole, valid multipart; nothing of it is left on disk.
    """
    reader = None
    try:
        reader = FormReader(content_type, store, file_limit_bytes)
        async for piece in body:
            reader.feed(piece)
        return reader.finish()
    except BaseException as error:
        if reader is not None:
            reader.form.discard()
        if isinstance(error, UploadError):
            await _drain(body, DRAIN_FACTOR * file_limit_bytes)
        raise


async def _drain(body: AsyncIterator[bytes], limit_bytes: int) -> None:
    """Read the rest and throw it away, so that the client sees the answer."""
    async for piece in body:
        limit_bytes -= len(piece)
        if limit_bytes < 0:
            return


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise UploadError("expected multipart/form-data with a boundary")
    return boundary


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace").replace("\0", "")


def extension(file_name: str) -> str:
    """Return the extension of a file name in lower case, without its dot."""
    return PurePosixPath(file_name).suffix.lstrip(".").lower()
