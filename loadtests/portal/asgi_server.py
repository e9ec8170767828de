"""An ASGI server that says when it is ready and ends quietly when it is told to.

Imports uvicorn: import this module where a server is started, not before.
"""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

KEEP_ALIVE_S = 75  # source: default of nginx; longer than clients here keep connections

MAX_HEAD_BYTES = 65_536
"""Longest head of a request. # assumption: 8 times Tomcat's maxHttpHeaderSize default."""


class BoundedHeads(HttpToolsProtocol):
    """HTTP whose memory is bounded: the parser itself takes headers and trailers of any length."""

    _silent_bytes = 0
    _is_heard = False

    def data_received(self, data: bytes) -> None:
        """Take bytes; refuse a client that sends many without ever completing anything."""
        self._is_heard = False
        super().data_received(data)
        self._silent_bytes = 0 if self._is_heard else self._silent_bytes + len(data)
        if self._silent_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_headers_complete(self) -> None:
        """Begin the request."""
        self._is_heard = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._is_heard = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        self._is_heard = True
        super().on_message_complete()


class AsgiServer(uvicorn.Server):
    """A server on a socket that is bound already.

    Parameters
    ----------
    app : ASGI application
        What it serves.
    grace_s : int
        How long running requests may go on after SIGTERM or Ctrl-C, s.
    on_ready : callable
        Called once requests are answered.
    """

    def __init__(
        self, app: ASGIApp, *, grace_s: int, on_ready: Callable[[], None] = lambda: None
    ) -> None:
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=grace_s,
            server_header=False,
            http=BoundedHeads,
        )
        super().__init__(config)
        self._on_ready = on_ready

    def serve_on(self, server: socket.socket) -> None:
        """Serve until told to end."""
        self.run(sockets=[server])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at SIGTERM and SIGINT, without raising them again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
