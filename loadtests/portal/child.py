"""One process of a portal: ``python -m loadtests.portal.child``, started by the supervisor.

It reads what to do from its standard input, and ends at once when that closes: then the supervisor
is gone, however it ended.
"""

import asyncio
import logging
import os
import pickle
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, TYPE_CHECKING, Literal

from loadtests.portal.board import BOARD_FILE, Board, ProcessLevel, level_of

if TYPE_CHECKING:
    from loadtests.portal.settings import PortalSettings

PUBLISH_PERIOD_S = 0.05
"""How often a process writes its level: 20 times between two looks of a monitor."""

GRACE_S = 5
"""How long running requests may go on when the portal stops, s."""

_LENGTH = struct.Struct("!Q")


@dataclass(frozen=True, slots=True)
class Order:
    """What a process of the portal is to do.

    Attributes
    ----------
    role : str
        ``web`` or ``jobs``.
    slot : int
        Its place on the board.
    settings : PortalSettings
        What the portal was started with.
    started_s : float
        When, s since 1970.
    listening : int
        Descriptor of the listening socket, for ``web``.
    """

    role: Literal["web", "jobs"]
    slot: int
    settings: "PortalSettings"
    started_s: float
    listening: int

    def write(self, pipe: IO[bytes]) -> None:
        """Write it to a child's standard input, which stays open."""
        text = pickle.dumps(self)
        pipe.write(_LENGTH.pack(len(text)) + text)
        pipe.flush()


def main() -> None:
    """Do what the supervisor says, until it says stop or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to hear
    text = _read(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    order: Order = pickle.loads(text)  # imports much: only now that the parent is watched
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    board = Board(order.settings.data / BOARD_FILE)
    if order.role == "web":
        _serve(order, board)
    else:
        _work(order, board)


def _read(pipe: IO[bytes]) -> bytes:
    length = pipe.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        sys.exit(1)  # the supervisor is gone already
    return pipe.read(_LENGTH.unpack(length)[0])


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # unbuffered: a lock held here would stop the interpreter
    os._exit(1)


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def _serve(order: Order, board: Board) -> None:
    """Answer requests on the shared socket."""
    from loadtests.portal.app import make_app
    from loadtests.portal.asgi_server import AsgiServer
    from loadtests.portal.visits import World

    app = make_app(order.settings)
    world: World = app.state.world
    board_task: list[asyncio.Task[None]] = []

    def on_ready() -> None:
        publisher = _Publisher(board, order.slot, partial(level_of, world))
        board_task.append(asyncio.get_running_loop().create_task(publisher.run()))
        _say_ready()

    server = socket.socket(fileno=order.listening)
    AsgiServer(app, grace_s=GRACE_S, on_ready=on_ready).serve_on(server)


def _work(order: Order, board: Board) -> None:
    """Do the background work."""
    from loadtests.portal.jobs.process import run_jobs

    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    publisher = _Publisher(board, order.slot, _own_time)
    threading.Thread(target=publisher.run_in_thread, name="board", daemon=True).start()
    _say_ready()
    run_jobs(order.settings, order.started_s, stopping)


def _own_time() -> ProcessLevel:
    return ProcessLevel(cpu_s=time.process_time())


class _Publisher:
    """Writes a process's level to the board; goes on from what an earlier process counted."""

    def __init__(self, board: Board, slot: int, level: Callable[[], ProcessLevel]) -> None:
        self._board = board
        self._slot = slot
        self._level = level
        self._before = board.read(slot)

    async def run(self) -> None:
        """Publish for ever, on the event loop."""
        while True:
            self._publish()
            await asyncio.sleep(PUBLISH_PERIOD_S)

    def run_in_thread(self) -> None:
        """Publish for ever, in a thread."""
        while True:
            self._publish()
            time.sleep(PUBLISH_PERIOD_S)

    def _publish(self) -> None:
        level, before = self._level(), self._before
        self._board.write(
            self._slot,
            replace(
                level,
                requests=before.requests + level.requests,
                rejected=before.rejected + level.rejected,
                cpu_s=before.cpu_s + level.cpu_s,
            ),
        )


if __name__ == "__main__":
    # Pickle names the class by its module: this file runs as __main__.
    from loadtests.portal import child

    child.main()
