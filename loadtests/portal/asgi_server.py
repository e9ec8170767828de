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

KEEP_ALIVE_S = 75  # source: default of nginx; longer than clients here keep connections


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
