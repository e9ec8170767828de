"""What stands before the routes: limits of path and body, NUL, an optional front door."""

import logging
import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loadtests.portal.conventions import WireError, bad_request, too_large, uri_too_long
from loadtests.portal.settings import PortalSettings
from loadtests.portal.uploads import DRAIN_FACTOR

logger = logging.getLogger(__name__)

MAX_PATH_LENGTH = 4000
"""Characters. # assumption: above every path; fewer digits than Python reads as a number, 4300."""

_UNREADABLE = re.compile(rb"%00", re.IGNORECASE)
_MULTIPART_ROOM_BYTES = 1_000_000
"""What the fields beside a file may take; files themselves are limited where they are read."""

REJECTED_PAGE = (
    "<html><head><title>Request Rejected</title></head><body>The requested URL was rejected. "
    "Please consult with your administrator.</body></html>"
)
FRONT_DOOR_COOKIE = "TS01hoso"
_PORTAL_PATHS = ("/o/", "/api/")
_BEHIND = "/o/hoso/"
"""Routes of the operators, who do not come through the front door."""


class Guard:
    """Refuse what no route should have to think about."""

    def __init__(self, app: ASGIApp, settings: PortalSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(Headers(scope=scope))
        try:
            _check_address(scope)
            limited = _Limited(receive, Headers(scope=scope), limit)
        except WireError as refusal:
            await refusal.answer()(scope, receive, send)
            return
        await self._app(scope, limited, send)

    def _limit(self, headers: Headers) -> int:
        """Return the largest body of this kind, bytes."""
        if headers.get("content-type", "").lower().startswith("multipart/"):
            return DRAIN_FACTOR * self._settings.max_upload_bytes + _MULTIPART_ROOM_BYTES
        return self._settings.max_form_bytes


def _check_address(scope: Scope) -> None:
    """Refuse a path that no route has, or a query that no database takes."""
    if len(scope["path"]) > MAX_PATH_LENGTH:
        raise uri_too_long(MAX_PATH_LENGTH)
    if _UNREADABLE.search(scope["query_string"]) or "\x00" in scope["path"]:
        raise bad_request("A NUL character is not text.")


class _Limited:
    """A body that ends the request when it grows beyond its limit."""

    def __init__(self, receive: Receive, headers: Headers, limit: int) -> None:
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length[:18]) > limit:
            raise too_large(limit)
        self._receive = receive
        self._limit = limit
        self._received = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._limit:
                raise HTTPException(413, f"At most {self._limit} bytes are taken.")
        return message


class FrontDoor:
    """A web-application firewall: programs without a browser's name or a page's cookie get HTML.

    It answers as such products do: an HTML page "Request Rejected" with status 200.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a browser's request on; give pages a cookie; reject the rest."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_page = not scope["path"].startswith(_PORTAL_PATHS)
        is_browser = headers.get("user-agent", "").startswith("Mozilla/")
        has_cookie = f"{FRONT_DOOR_COOKIE}=" in headers.get("cookie", "")
        if is_browser and is_page:
            await self._app(scope, receive, _with_cookie(send))
        elif (is_browser and has_cookie) or scope["path"].startswith(_BEHIND):
            await self._app(scope, receive, send)
        else:
            await _reject(send)


def _with_cookie(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            cookie = f"{FRONT_DOOR_COOKIE}={secrets.token_hex(8)}; Path=/; HttpOnly"
            MutableHeaders(scope=message).append("set-cookie", cookie)
        await send(message)

    return sending


async def _reject(send: Send) -> None:
    headers = [(b"content-type", b"text/html; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": REJECTED_PAGE.encode()})
