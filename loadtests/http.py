"""A citizen's HTTP client: cookies and a few connections of its own, and nothing in between.

It speaks through geventhttpclient's parser (as Locust's fast client does), but resolves no name, so
the address that was checked is the one that gets the load; follows no redirect; and copies no
upload. It knows neither Locust nor the clock: whoever calls ends a request by a ``gevent.Timeout``.
"""

import errno
import socket as plain
import ssl
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from gevent import socket
from gevent import ssl as gevent_ssl
from gevent.lock import Semaphore
from geventhttpclient._parser import HTTPResponseParser

from loadtests.dialects.base import Answer, Call

CONNECTIONS = 6
"""Connections of one client at most. # source: browsers open six per host over HTTP/1.1."""

SMALL_BODY = 1 << 16
"""A body up to this size goes out in one write with its head, bytes; larger ones uncopied."""

_BLOCK = 1 << 16
_PORTS = {"http": 80, "https": 443}
_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))
_BODY_EXPECTED = frozenset(("POST", "PUT", "PATCH"))
_CLOSED_WHILE_SENDING = (errno.ECONNRESET, errno.EPIPE)


class ExchangeError(Exception):
    """No whole answer came: refused, broken off, or not HTTP; its text is one line for people."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go.

    Attributes
    ----------
    family : int
        Address family of the socket.
    address : tuple
        Socket address; no name is looked up afterwards.
    name : str
        Host name, for the certificate.
    prefix : str
        Path of the host's URL, without a slash at its end.
    fixed_head : str
        Header lines of every request.
    context : ssl.SSLContext, optional
        For ``https``.
    """

    family: int
    address: tuple[Any, ...]
    name: str
    prefix: str
    fixed_head: str
    context: ssl.SSLContext | None

    @classmethod
    def of(cls, url: str, address: str | None = None) -> "Target":
        """Return the target of a URL.

        Parameters
        ----------
        url : str
            Such as ``http://127.0.0.1:8080``.
        address : str, optional
            Numeric address that was checked; absent: the name is looked up once, now.

        Raises
        ------
        ExchangeError
            When the URL has no host or another scheme, or the name is not known.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ExchangeError(f"{url}: no http:// or https:// address of a host")
        port = parts.port or _PORTS[parts.scheme]
        try:
            found = plain.getaddrinfo(address or parts.hostname, port, type=plain.SOCK_STREAM)
        except OSError as error:
            raise ExchangeError(f"{url}: the host is not known ({error})") from error
        return cls(
            family=found[0][0],
            address=found[0][4],
            name=parts.hostname,
            prefix=parts.path.rstrip("/"),
            fixed_head=(
                f"Host: {parts.netloc.rpartition('@')[2]}\r\n"
                f"User-Agent: hoso/{version('hoso')} (load test)\r\n"
                "Accept-Encoding: gzip\r\n"
            ),
            context=gevent_ssl.create_default_context() if parts.scheme == "https" else None,
        )


class Browser:
    """The HTTP client of one session.

    Parameters
    ----------
    target : Target
        Where its requests go.
    """

    __slots__ = ("_closed", "_cookie_head", "_cookies", "_idle", "_room", "_target")

    def __init__(self, target: Target) -> None:
        self._target = target
        self._room = Semaphore(CONNECTIONS)
        self._idle: list[socket.socket] = []
        self._cookies: dict[str, str] = {}
        self._cookie_head = ""
        self._closed = False

    def send(self, call: Call) -> Answer:
        """Send a request and return the whole answer.

        What it stands for besides (``call.follows``) is sent one after the other, until one is
        answered by an error; the last answer counts.

        Raises
        ------
        ExchangeError
            When no whole answer comes.
        """
        answer = self._exchange(call)
        for following in call.follows:
            if answer.status >= 400:
                break
            answer = self.send(following)
        return answer

    def rest(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def close(self) -> None:
        """Close all connections; those in use when their answer ends."""
        self._closed = True
        self.rest()

    def _exchange(self, call: Call) -> Answer:
        head = self._head(call)
        with self._room:
            while True:
                connection, is_used = self._connection()
                try:
                    reply = _converse(connection, head, call)
                except BaseException as error:
                    connection.close()
                    if is_used and _may_repeat(error, call.method):
                        continue
                    if isinstance(error, (OSError, HTTPException)):
                        raise ExchangeError(_in_words(error)) from error
                    raise
                if reply.is_reusable() and not self._closed:
                    self._idle.append(connection)
                else:
                    connection.close()
                self._keep_cookies(reply.cookies)
                return Answer(reply.get_code(), reply.fields, reply.content())

    def _head(self, call: Call) -> bytes:
        target, body = self._target, call.body
        lines = "".join(f"{name}: {value}\r\n" for name, value in call.headers.items())
        if body or call.method in _BODY_EXPECTED:
            lines += f"Content-Length: {len(body or b'')}\r\n"
        head = f"{call.method} {target.prefix}{call.path} HTTP/1.1\r\n"
        return (head + target.fixed_head + self._cookie_head + lines + "\r\n").encode("latin-1")

    def _connection(self) -> tuple[socket.socket, bool]:
        """Return a connection, and whether it was used before."""
        while self._idle:
            connection = self._idle.pop()
            if _is_open(connection):
                return connection, True
            connection.close()
        try:
            return _connect(self._target), False
        except OSError as error:
            raise ExchangeError(_in_words(error)) from error

    def _keep_cookies(self, lines: list[str]) -> None:
        """Take over cookies; there is one host, and paths are not told apart."""
        if not lines:
            return
        for line in lines:
            pair, *attributes = (part.strip() for part in line.split(";"))
            name, _, value = pair.partition("=")
            if any(attribute.lower() in _DELETES for attribute in attributes):
                self._cookies.pop(name, None)
            else:
                self._cookies[name] = value
        pairs = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        self._cookie_head = f"Cookie: {pairs}\r\n" if pairs else ""


_DELETES = (
    "max-age=0",
    "expires=thu, 01 jan 1970 00:00:00 gmt",
    "expires=thu, 01-jan-1970 00:00:00 gmt",
    "expires=thu, 01-jan-1970 00:00:10 gmt",  # Tomcat's way
)


class _Reply(HTTPResponseParser):
    """One answer, put together as its bytes come."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.cookies: list[str] = []
        self.is_begun = False
        self.is_complete = False
        self.skips_body = False
        self._body: list[bytes] = []
        self._name = ""
        self._value: str | None = None

    def is_reusable(self) -> bool:
        """Whether the connection may carry another request."""
        return bool(self.is_complete and not self.parser_failed() and self.should_keep_alive())

    def content(self) -> bytes:
        """Return the body, unpacked."""
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if self.fields.get("content-encoding") == "gzip":
            try:
                return zlib.decompress(body, wbits=31)
            except zlib.error as error:
                raise ExchangeError(f"the packed answer is damaged: {error}") from error
        return body

    def _on_status(self, text: str) -> None:
        """Needed by the parser; the words beside the number say nothing."""

    def _on_message_begin(self) -> None:
        self.is_begun, self.is_complete = True, False

    def _on_header_field(self, text: str) -> None:
        if self._value is not None:
            self._end_field()
        self._name += text

    def _on_header_value(self, text: str) -> None:
        self._value = text if self._value is None else self._value + text

    def _end_field(self) -> None:
        name, value = self._name.lower(), self._value or ""
        if name == "set-cookie":
            self.cookies.append(value)
        else:
            self.fields[name] = value
        self._name, self._value = "", None

    def _on_headers_complete(self) -> bool:
        if self._name:
            self._end_field()
        return self.skips_body

    def _on_body(self, data: bytearray) -> None:
        self._body.append(bytes(data))

    def _on_message_complete(self) -> None:
        if self.get_code() >= 200:
            self.is_complete = True
        else:
            self.fields.clear()


def _converse(connection: socket.socket, head: bytes, call: Call) -> _Reply:
    """Send a request over a connection and read its answer."""
    reply = _Reply()
    reply.skips_body = call.method == "HEAD"
    try:
        _write(connection, head, call.body)
    except OSError as error:
        # An early refusal of a large body: the answer may be there although sending failed.
        if error.errno not in _CLOSED_WHILE_SENDING:
            raise
        if not _read(connection, reply):
            raise
        return reply
    if not _read(connection, reply):
        raise _ClosedError("the connection was closed without an answer")
    return reply


def _write(connection: socket.socket, head: bytes, body: bytes | None) -> None:
    if not body:
        connection.sendall(head)
    elif len(body) <= SMALL_BODY:
        connection.sendall(head + body)
    else:
        connection.sendall(head)
        connection.sendall(body)


def _read(connection: socket.socket, reply: _Reply) -> bool:
    """Read an answer to its end; returns whether anything came."""
    while not reply.is_complete:
        data = connection.recv(_BLOCK)
        if not data:
            return _end_of(reply)
        reply.feed(data)
    return True


def _end_of(reply: _Reply) -> bool:
    """Close an answer whose connection ended: some are as long as their connection."""
    if not reply.is_begun:
        return False
    reply.feed(b"")
    if not reply.is_complete:
        raise OSError(errno.ECONNRESET, "the connection was closed within the answer")
    return True


class _ClosedError(OSError):
    """A connection that ended before any byte of the answer."""


def _may_repeat(error: BaseException, method: str) -> bool:
    """Whether a kept connection had just been closed, and sending again can do no harm."""
    if isinstance(error, _ClosedError):
        return method in _IDEMPOTENT
    is_reset = isinstance(error, OSError) and error.errno in _CLOSED_WHILE_SENDING
    return is_reset and method in _IDEMPOTENT


def _connect(target: Target) -> socket.socket:
    connection = socket.socket(target.family, plain.SOCK_STREAM)
    try:
        connection.setsockopt(plain.IPPROTO_TCP, plain.TCP_NODELAY, 1)
        connection.connect(target.address)
        if target.context is not None:
            connection = target.context.wrap_socket(connection, server_hostname=target.name)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_open(connection: socket.socket) -> bool:
    """Whether an idle connection is open: one that can be read has been closed, or is confused."""
    try:
        connection._sock.recv(1, plain.MSG_PEEK | plain.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _in_words(error: BaseException) -> str:
    """Return an error without what differs from one request to the next."""
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return f"{error.strerror.lower()} ({errno.errorcode.get(error.errno, error.errno)})"
    return str(error) or type(error).__name__
