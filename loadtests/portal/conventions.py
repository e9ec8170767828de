"""How the OpenCPS dialect says things: errors, lists, dates, keys; the same on every route.

Statuses. 203 not signed in, or a wrong captcha or secret; 401 with body code 203 not allowed; 403
every other refusal by a rule, with the reason in ``description``; 404 no such address; 405 an
action that the dossier's step does not permit, and unknown methods; 400 what cannot be read as the
route's parameters at all (the published server answers such requests with an error page; a status
of its own lets a client tell a wrong request from a refused one); 413 too large; 414 too long a
path; 503 too busy; 504 no connection in time.
"""

import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import Path, Query, Response
from pydantic import AfterValidator, BaseModel, StringConstraints

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
DATE_FORMAT = "%d/%m/%Y %H:%M:%S"
NO_CONTENT = "No Content."
"""Message of every business error, as the published server words it."""

MAX_ID = 2**31 - 1  # PostgreSQL's integer
PAGE_ROWS = 15
"""Rows of one page of the front end."""

MAX_ROWS = 100_000
"""Rows of an answer at most; above every catalogue."""

Json = Mapping[str, Any] | Sequence[Any]


class ErrorBody(BaseModel):
    """Body of every refusal."""

    code: int
    message: str
    description: str


@dataclass(eq=False)  # not frozen: Python notes on an exception where it was raised
class WireError(Exception):
    """An answer that is not success; raised anywhere in a handler, undoes its transaction.

    Attributes
    ----------
    status, code : int
        HTTP status, and the code in the body.
    message, description : str
        What happened, for programs and for people.
    """

    status: int
    code: int
    message: str
    description: str

    def answer(self) -> Response:
        """Return the HTTP answer."""
        body = {"code": self.code, "message": self.message, "description": self.description}
        return json_answer(body, status=self.status)


def business_error(description: str) -> WireError:
    """Return a refusal by a rule: 403."""
    return WireError(403, 403, NO_CONTENT, description)


def not_found(what: str, key: object) -> WireError:
    """Return the refusal of something that is not there: 403, as the published server does."""
    return business_error(f"No{what}Exception: No {what} exists with the key {key}")


def not_signed_in(description: str = "Not logged in.") -> WireError:
    """Return 203: not signed in, or a wrong captcha, key or secret."""
    return WireError(203, 203, "Non-Authoritative Information.", description)


def not_allowed(description: str = "No permission.") -> WireError:
    """Return 401 with body code 203: signed in, but not allowed."""
    return WireError(401, 203, "Non-Authoritative Information.", description)


def action_refused(description: str) -> WireError:
    """Return 405: the action is not possible at the dossier's step."""
    return WireError(405, 405, "Method Not Allowed.", description)


def bad_request(description: str) -> WireError:
    """Return 400: the request cannot be read."""
    return WireError(400, 400, "Bad Request.", description)


def too_large(limit_bytes: int) -> WireError:
    """Return 413: the body is larger than allowed."""
    return WireError(
        413, 413, "Request Entity Too Large.", f"At most {limit_bytes} bytes are taken."
    )


def uri_too_long(limit: int) -> WireError:
    """Return 414: the path is longer than any route's."""
    return WireError(414, 414, "URI Too Long.", f"A path has at most {limit} characters.")


def gateway_failed(description: str) -> WireError:
    """Return 403: a service of somebody else did not answer well."""
    return business_error(description)


_ERROR_CONTENT = {"application/json": {"schema": ErrorBody.model_json_schema()}}

ERROR_ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"content": _ERROR_CONTENT, "description": text}
    for status, text in {
        203: "Not signed in, or a wrong captcha, key or secret",
        400: "Cannot be read",
        401: "Not allowed",
        403: "Refused by a rule",
        404: "Nothing at this address",
        405: "Not possible at this step",
        413: "Too large",
        414: "The path is too long",
        503: "Too busy",
        504: "No connection in time",
    }.items()
}
"""What every route may answer besides success, for the description of the interface."""


def json_answer(
    body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a JSON answer."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(
        text.encode("utf-8", "replace"), status, dict(headers or {}), "application/json"
    )


def text_answer(text: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return a plain text answer."""
    return Response(text, 200, dict(headers or {}), "text/plain")


def listing(total: int, rows: Sequence[Json], **more: Any) -> dict[str, Any]:
    """Return the body of a list; a single row arrives as a bare object, as on the real wire."""
    data: Any = rows[0] if len(rows) == 1 else list(rows)
    return {"total": total, "data": data, **more}


def page(start: int, end: int, *, zero_means_all: bool = True) -> tuple[int, int]:
    """Return offset and limit of a page: ``start`` inclusive, ``end`` exclusive.

    Parameters
    ----------
    start, end : int
        As sent, >= 0.
    zero_means_all : bool
        What ``end=0`` asks for: everything, or (``/dossiers``) rows 0 to 10.
    """
    if end == 0:
        return (0, MAX_ROWS) if zero_means_all else (0, 10)
    return start, min(max(end - start, 0), MAX_ROWS)


def local_time(at: float) -> dt.datetime:
    """Return an instant, s since 1970, as the clock in Viet Nam shows it."""
    return dt.datetime.fromtimestamp(at, ZONE)


def wire_date(at: float | None) -> str:
    """Return an instant, s since 1970, as the wire writes it; empty when there is none."""
    if at is None:
        return ""
    return local_time(at).strftime(DATE_FORMAT)


def instant_of(text: str) -> float | None:
    """Return the instant of a wire date, s since 1970; None when it is empty.

    Raises
    ------
    WireError
        When the text is neither ``dd/MM/yyyy HH:mm:ss`` nor ``dd/MM/yyyy`` nor epoch milliseconds.
    """
    text = text.strip()
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 15:
        return int(text) / 1000
    for form in (DATE_FORMAT, "%d/%m/%Y"):
        try:
            return dt.datetime.strptime(text, form).replace(tzinfo=ZONE).timestamp()
        except (ValueError, OverflowError):
            continue
    raise business_error(f"ParseException: Unparseable date: {text[:40]!r}")


def tracking_key(prefix: str, now_s: float) -> str:
    """Return the key of anonymous tracking: MD5 of the prefix and the current minute, epoch ms."""
    minute_ms = int(now_s // 60) * 60_000
    return hashlib.md5(f"{prefix}{minute_ms}".encode(), usedforsecurity=False).hexdigest()


def is_tracking_key(key: str, prefix: str, now_s: float) -> bool:
    """Return whether a tracking key is that of this minute."""
    return hmac.compare_digest(key.lower().encode(), tracking_key(prefix, now_s).encode())


def row_id(text: str) -> int | None:
    """Return a text as the number of a row, from 0 to ``MAX_ID``, or None when it is none."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_ID))
    return int(text) if is_number and int(text) <= MAX_ID else None


def checked_text(text: str) -> str:
    """Return a text that every database takes, or refuse it."""
    if "\x00" in text:
        raise ValueError("a NUL character is not text")
    text.encode("utf-8")  # a lone surrogate is no text either
    return text


RowId = Annotated[int, Path(ge=0, le=MAX_ID)]
"""A number of a row, in a path."""

Start = Annotated[int, Query(ge=0, le=MAX_ID)]
End = Annotated[int, Query(ge=0, le=MAX_ID)]

CodeText = Annotated[str, StringConstraints(max_length=120), AfterValidator(checked_text)]
"""A code, at most 120 characters."""

NameText = Annotated[str, StringConstraints(max_length=500), AfterValidator(checked_text)]
"""One line, at most 500 characters."""

LongText = Annotated[str, StringConstraints(max_length=1_000_000), AfterValidator(checked_text)]
"""A text of any sensible length."""
