"""Bodies and paths as OpenCPS wants them, and lists as it answers them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

FORM_TYPE = "application/x-www-form-urlencoded"
JSON_TYPE = "application/json"

Fields = Mapping[str, str | int]
Json = dict[str, object]


class WrongContentError(Exception):
    """An answer whose status is good and whose content is not; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a multipart body.

    Attributes
    ----------
    field, name, media_type : str
        Name of the form field, of the file, and its type.
    chunks : sequence of bytes-like
        The content in pieces; joined once, with the rest of the body.
    """

    field: str
    name: str
    media_type: str
    chunks: Sequence[bytes | memoryview]


def with_query(path: str, query: Fields) -> str:
    """Return a path with its query."""
    return f"{path}?{urlencode(query)}"


def in_path(text: str) -> str:
    """Return a text as one segment of a path."""
    return quote(text, safe="")


def form(fields: Fields) -> bytes:
    """Return a form-urlencoded body."""
    return urlencode(fields).encode("ascii")


def multipart_type(boundary: str) -> str:
    """Return the content type of a multipart body."""
    return f"multipart/form-data; boundary={boundary}"


def multipart(boundary: str, fields: Fields, uploads: Sequence[Upload] = ()) -> bytes:
    """Return a multipart body; the content of the files is copied once.

    Parameters
    ----------
    boundary : str
        A text that does not occur in any part.
    fields : mapping
        Text fields in order; names and values without line breaks in names.
    uploads : sequence of Upload
        Files, after the fields.
    """
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    pieces: list[bytes | memoryview] = []
    for upload in uploads:
        head += (
            f"--{boundary}\r\nContent-Disposition: form-data; "
            f'name="{upload.field}"; filename="{upload.name}"\r\n'
            f"Content-Type: {upload.media_type}\r\n\r\n"
        )
        pieces.append(head.encode())
        pieces.extend(upload.chunks)
        head = "\r\n"
    pieces.append(f"{head}--{boundary}--\r\n".encode())
    return b"".join(pieces)


def json_body(value: object) -> bytes:
    """Return a JSON body."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def json_object(body: bytes) -> Json:
    """Read a JSON object.

    Raises
    ------
    WrongContentError
        When the body is something else.
    """
    value = _json(body)
    if not isinstance(value, dict):
        raise WrongContentError(f"a JSON object expected, got {excerpt(body)}")
    return value


def listing(body: bytes) -> tuple[int, list[Json]]:
    """Read a list ``{total, data}``; a single element may stand without its brackets.

    Raises
    ------
    WrongContentError
        When ``total`` or ``data`` is missing or does not fit.
    """
    answer = json_object(body)
    total = answer.get("total")
    if not isinstance(total, int) or isinstance(total, bool) or total < 0:
        raise WrongContentError("total missing")
    data = answer.get("data", [] if total == 0 else None)
    rows = [data] if isinstance(data, dict) else data
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise WrongContentError("data missing")
    if len(rows) > total:
        raise WrongContentError(f"{len(rows)} rows of a total of {total}")
    return total, rows


_TOTAL = re.compile(rb'"total"\s*:\s*(\d+)')


def glance(body: bytes, field: str = "") -> int:
    """Return the total of a list without reading its rows.

    Parameters
    ----------
    body : bytes
        A list ``{total, data}``.
    field : str
        Name that its rows have, if there are any.

    Raises
    ------
    WrongContentError
        When ``total`` is missing, the rows have no such field, or the end is missing.
    """
    found = _TOTAL.search(body)
    if found is None:
        raise WrongContentError(f"total missing: {excerpt(body)}")
    total = int(found[1])
    if not body.rstrip().endswith(b"}"):
        raise WrongContentError("the list has no end")
    if total and b'"data"' not in body:
        raise WrongContentError("data missing")
    if total and field and f'"{field}"'.encode() not in body:
        raise WrongContentError(f"no rows with {field}")
    return total


def says(body: bytes, field: str, value: str) -> bool:
    """Return whether a JSON body gives a field this text somewhere, without reading it."""
    name, text = f'"{field}"', f'"{value}"'
    return f"{name}:{text}".encode() in body or f"{name}: {text}".encode() in body


def array(body: bytes) -> list[Json]:
    """Read a bare JSON list of objects; a single element may stand without its brackets.

    Raises
    ------
    WrongContentError
        When the body is something else.
    """
    value = _json(body)
    rows = [value] if isinstance(value, dict) else value
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise WrongContentError(f"a list expected, got {excerpt(body)}")
    return rows


def text_of(value: object) -> str:
    """Return a JSON value as text; absent ones as the empty text."""
    return "" if value is None else str(value)


def excerpt(body: bytes, limit: int = 80) -> str:
    """Return the beginning of a body on one line, for people."""
    text = body[:limit].decode("utf-8", "replace")
    return " ".join(text.split()) or "nothing"


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        raise WrongContentError(f"JSON expected, got {excerpt(body)}") from None
