"""Levels of every process of a portal, in a file they share in memory.

Each process writes its own slot many times a second; whoever answers the monitor reads them all.
"""

import mmap
import struct
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from loadtests.portal.visits import World

BOARD_FILE = "levels.board"


@dataclass(frozen=True, slots=True)
class ProcessLevel:
    """One process at one moment.

    Attributes
    ----------
    busy, queue, capacity : float
        Handler threads in use, requests waiting for one, threads.
    db_busy, db_queue, db_capacity : float
        Database connections in use, wanted, at most.
    requests, rejected : float
        Requests since the portal started, and those answered 503 at once.
    cpu_s : float
        Processor time since the portal started, s.
    """

    busy: float = 0.0
    queue: float = 0.0
    capacity: float = 0.0
    db_busy: float = 0.0
    db_queue: float = 0.0
    db_capacity: float = 0.0
    requests: float = 0.0
    rejected: float = 0.0
    cpu_s: float = 0.0

    def __add__(self, other: "ProcessLevel") -> "ProcessLevel":
        """Return the level of both processes together."""
        return ProcessLevel(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


_SLOT = struct.Struct(f"{len(fields(ProcessLevel))}d")


class Board:
    """The shared file, opened.

    Parameters
    ----------
    file : Path
        Made by :meth:`create`.
    """

    def __init__(self, file: Path) -> None:
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), 0)

    @classmethod
    def create(cls, file: Path, slots: int) -> Self:
        """Make a new board, all zero, and open it."""
        fresh = file.with_suffix(".new")
        fresh.write_bytes(bytes(_SLOT.size * slots))
        fresh.replace(file)  # processes of an earlier portal keep theirs
        return cls(file)

    def write(self, slot: int, level: ProcessLevel) -> None:
        """Write one process's level."""
        _SLOT.pack_into(self._memory, slot * _SLOT.size, *astuple(level))

    def read(self, slot: int) -> ProcessLevel:
        """Return one process's level."""
        return ProcessLevel(*_SLOT.unpack_from(self._memory, slot * _SLOT.size))

    def clear(self, slot: int) -> None:
        """Say that a process is gone: nothing is in use there, what it counted stays."""
        level = self.read(slot)
        counted = ProcessLevel(requests=level.requests, rejected=level.rejected, cpu_s=level.cpu_s)
        self.write(slot, counted)

    def read_all(self) -> list[ProcessLevel]:
        """Return the level of every process."""
        return [self.read(slot) for slot in range(len(self._memory) // _SLOT.size)]

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()


def level_of(world: "World") -> ProcessLevel:
    """Return the level of this process; to be called on its event loop."""
    threads, connections = world.workers.level(), world.database.level()
    return ProcessLevel(
        busy=threads.busy,
        queue=threads.queue,
        capacity=threads.capacity,
        db_busy=connections.busy,
        db_queue=connections.queue,
        db_capacity=connections.capacity,
        requests=threads.requests,
        rejected=threads.rejected,
        cpu_s=time.process_time(),
    )
