"""Bodies of requests: forms, multipart forms with files, JSON; read on the event loop.

A body that cannot be read is answered 400 before it takes a thread. Files wait in the blob store's
incoming folder until the handler keeps them; whatever it does not keep is deleted afterwards.
"""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from loadtests.portal.conventions import MAX_ID, bad_request
from loadtests.portal.uploads import IncomingForm, UploadError, read_multipart
from loadtests.portal.visits import World

MAX_FIELDS = 1000
"""Most fields of one form. # assumption: ten times the largest of the front end"""

CODE_LENGTH, NAME_LENGTH, TEXT_LENGTH = 120, 500, 1_000_000
"""Longest code, line and text, characters; the columns' lengths."""


class Fields:
    """Text fields of a form by name; each is asked for as what it should be.

    Parameters
    ----------
    values : mapping of str to str
        As sent.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        """Tell whether the field was sent."""
        return name in self._values

    def code(self, name: str, default: str = "") -> str:
        """Return a code, at most ``CODE_LENGTH`` characters."""
        return self._text(name, default, CODE_LENGTH)

    def line(self, name: str, default: str = "") -> str:
        """Return one line, at most ``NAME_LENGTH`` characters."""
        return self._text(name, default, NAME_LENGTH)

    def text(self, name: str, default: str = "") -> str:
        """Return a text of any sensible length."""
        return self._text(name, default, TEXT_LENGTH)

    def required(self, name: str) -> str:
        """Return a code that must be there."""
        value = self.code(name).strip()
        if not value:
            raise bad_request(f"{name}: is required")
        return value

    def integer(self, name: str, default: int = 0, *, most: int = MAX_ID) -> int:
        """Return a whole number from 0 to ``most``."""
        value = self._text(name, "", CODE_LENGTH).strip()
        if not value:
            return default
        if not (value.isascii() and value.isdigit() and int(value) <= most):
            raise bad_request(f"{name}: must be a whole number from 0 to {most}")
        return int(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return ``true`` or ``1`` as True; anything else that was sent as False."""
        value = self._text(name, "", CODE_LENGTH).strip().lower()
        return default if not value else value in ("true", "1")

    def json(self, name: str) -> Any:
        """Return the JSON that a text field holds; None when it is empty."""
        text = self.text(name).strip()
        return None if not text else parsed_json(text, name)

    def items(self) -> Mapping[str, str]:
        """Return every field as sent."""
        return self._values

    def _text(self, name: str, default: str, limit: int) -> str:
        value = self._values.get(name, default)
        if len(value) > limit:
            raise bad_request(f"{name}: at most {limit} characters")
        return value


def parsed_json(text: str | bytes, name: str) -> Any:
    """Return parsed JSON.

    Raises
    ------
    WireError
        400, when it is none, is nested too deeply, or holds texts no database takes.
    """
    try:
        value = json.loads(text)
        if b"\x00" in json.dumps(value, ensure_ascii=False, allow_nan=False).encode():
            raise ValueError("NUL")
        is_clean = "\\u0000" not in json.dumps(value)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"{name}: is not valid JSON") from error
    if not is_clean:
        raise bad_request(f"{name}: a NUL character is not text")
    return value


async def _fields(request: Request) -> Fields:
    """Read the text fields of a form, whichever way it is encoded."""
    kind = request.headers.get("content-type", "").lower()
    if kind.startswith("multipart/"):
        form = await _multipart(request)
        form.discard()
        return Fields(form.fields)
    try:
        return parsed_fields(await request.body())
    except ClientDisconnect as error:
        raise bad_request("the body did not arrive") from error


def parsed_fields(body: bytes) -> Fields:
    """Return the fields of a url-encoded form.

    Raises
    ------
    WireError
        400, when it is none.
    """
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError as error:
        raise bad_request("the body is not a form in UTF-8 with at most 1000 fields") from error
    if any("\x00" in name or "\x00" in value for name, value in pairs):
        raise bad_request("a NUL character is not text")
    return Fields(dict(pairs))


async def _files(request: Request) -> AsyncIterator[IncomingForm]:
    """Read fields and files; delete afterwards the files that were not kept."""
    form = await _multipart(request)
    try:
        yield form
    finally:
        form.discard()


async def _multipart(request: Request) -> IncomingForm:
    world: World = request.app.state.world
    try:
        return await read_multipart(
            request.stream(),
            request.headers.get("content-type", ""),
            world.blobs,
            world.settings.max_upload_bytes,
        )
    except UploadError as error:
        raise bad_request(str(error)) from error
    except ClientDisconnect as error:
        raise bad_request("the body did not arrive") from error


async def _json_body(request: Request) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        value = parsed_json(await request.body(), "body")
    except ClientDisconnect as error:
        raise bad_request("the body did not arrive") from error
    if not isinstance(value, dict):
        raise bad_request("body: must be a JSON object")
    return value


FormBody = Annotated[Fields, Depends(_fields)]
"""Parameter of a handler: the text fields of its form."""

FilesBody = Annotated[IncomingForm, Depends(_files)]
"""Parameter of a handler: fields and files of its multipart form."""

JsonBody = Annotated[dict[str, Any], Depends(_json_body)]
"""Parameter of a handler: its JSON object."""


def form_schema(*names: str, multipart: bool = False, file: str = "") -> dict[str, Any]:
    """Describe a form for the interface's description (``openapi_extra``).

    Parameters
    ----------
    *names : str
        Text fields; a name that ends with ``!`` is required.
    multipart : bool
        Whether it is sent as multipart.
    file : str
        Name of the file field, where there is one.
    """
    properties: dict[str, Any] = {name.rstrip("!"): {"type": "string"} for name in names}
    if file:
        properties[file] = {"type": "string", "format": "binary"}
    schema = {
        "type": "object",
        "properties": properties,
        "required": [name[:-1] for name in names if name.endswith("!")],
    }
    kind = "multipart/form-data" if multipart or file else "application/x-www-form-urlencoded"
    return {"requestBody": {"content": {kind: {"schema": schema}}}}


def json_schema(**properties: str) -> dict[str, Any]:
    """Describe a JSON object for the interface's description: name and JSON type."""
    fields = {name: {"type": kind} for name, kind in properties.items()}
    schema = {"type": "object", "properties": fields}
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}
