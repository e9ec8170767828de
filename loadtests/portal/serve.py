"""The supervisor: web processes and the job process of one portal, kept alive, ended together."""

import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import IO

from loadtests.portal.board import BOARD_FILE, Board
from loadtests.portal.child import GRACE_S, Order
from loadtests.portal.listening import listen, url_of
from loadtests.portal.settings import PortalSettings

logger = logging.getLogger(__name__)

STOP_S = GRACE_S + 5.0
"""How long processes may take to end before they are killed, s."""

STILLBIRTHS = 3
"""A process that ends so often in a row without getting ready cannot work: the portal gives up."""

_LOOK_S = 0.1


class ServeError(Exception):
    """The portal cannot run; its text says what to do."""


def serve(settings: PortalSettings, on_ready: Callable[[str], None] = lambda _: None) -> None:
    """Run a seeded portal until SIGTERM or Ctrl-C.

    A process that dies is started again; when this one is killed, its children end by themselves.

    Parameters
    ----------
    settings : PortalSettings
        What it is started with; its database is seeded.
    on_ready : callable
        Called with the portal's URL once every web process answers.

    Raises
    ------
    ListenError
        When the port cannot be used.
    ServeError
        When a process ends again and again.
    """
    server = listen(settings.host, settings.port)
    settings = replace(settings, port=server.getsockname()[1])
    with server, _until_told() as stopping:
        _Supervisor(settings, server, stopping).run(lambda: on_ready(url_of(server)))


class _Child:
    """One place of a process: the process in it changes when it dies."""

    def __init__(self, order: Order, board: Board) -> None:
        self.name = f"web process {order.slot + 1}" if order.role == "web" else "job process"
        self._order = order
        self._board = board
        self._stillbirths = 0
        self._start()

    @property
    def is_hopeless(self) -> bool:
        """Whether it never gets ready."""
        return self._stillbirths >= STILLBIRTHS

    def revive(self) -> None:
        """Start the process again if it is dead."""
        status = self._process.poll()
        if status is None:
            return
        self._stillbirths = 0 if self.is_ready.is_set() else self._stillbirths + 1
        self._board.clear(self._order.slot)
        logger.warning("the %s ended (%d); it is started again", self.name, status)
        self._forget()
        if not self.is_hopeless:
            self._start()

    def tell_to_end(self) -> None:
        """Ask it to end."""
        if self._process.poll() is None:
            self._process.terminate()

    def end(self, deadline_s: float) -> None:
        """Wait for its end, and kill it when that takes too long."""
        try:
            self._process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.warning("the %s does not end; it is killed", self.name)
            self._process.kill()
            self._process.wait()
        self._forget()

    def _start(self) -> None:
        self.is_ready = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtests.portal.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[self._order.listening],
            process_group=0,  # Ctrl-C of the terminal is for the supervisor alone
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # then it is dead already, and will be found so
            self._order.write(self._process.stdin)
        arguments = (self._process.stdout, self.is_ready)
        threading.Thread(target=_listen, args=arguments, daemon=True).start()

    def _forget(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()


def _listen(pipe: IO[bytes], is_ready: threading.Event) -> None:
    """Read what a child says, until it ends."""
    with pipe:
        for line in pipe:
            if line == b"ready\n":
                is_ready.set()


class _Supervisor:
    """Starts all processes, looks after them, ends them."""

    def __init__(
        self, settings: PortalSettings, server: socket.socket, stopping: threading.Event
    ) -> None:
        self._stopping = stopping
        started_s = time.time()
        self._board = Board.create(settings.data / BOARD_FILE, settings.workers + 1)
        self._children: list[_Child] = []
        self._plan: list[Order] = [
            Order("web", slot, settings, started_s, server.fileno())
            for slot in range(settings.workers)
        ]
        self._plan.append(Order("jobs", settings.workers, settings, started_s, server.fileno()))

    def run(self, on_ready: Callable[[], None]) -> None:
        """Run until told to stop."""
        try:
            for order in self._plan:
                self._children.append(_Child(order, self._board))
            is_announced = False
            while not self._stopping.wait(_LOOK_S):
                if not is_announced and all(child.is_ready.is_set() for child in self._children):
                    on_ready()
                    is_announced = True
                self._revive()
        finally:
            self._end()

    def _revive(self) -> None:
        for child in self._children:
            child.revive()
            if child.is_hopeless:
                raise ServeError(f"the {child.name} ends again and again; the lines above say why")

    def _end(self) -> None:
        for child in self._children:
            child.tell_to_end()
        deadline_s = time.monotonic() + STOP_S
        for child in self._children:
            child.end(deadline_s)
        self._board.close()


@contextmanager
def _until_told() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and Ctrl-C set."""
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    before = {
        number: signal.signal(number, lambda *_: stopping.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
