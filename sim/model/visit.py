"""A visit: one attempt of a request (or one item of a job) while the portal works on it."""

from collections.abc import Iterable
from typing import Protocol

from simpy import Environment, Interrupt, Process
from simpy.events import ProcessGenerator

from sim.model.draws import Draws
from sim.model.outcome import FAILED, OK
from sim.model.pool import Pool
from sim.model.tier import Server


class Operation(Protocol):
    """One row of a program."""

    def perform(self, visit: "Visit") -> ProcessGenerator:
        """Do it for one visit; the value is an outcome, OK to go on."""
        ...


class Visit:
    """What the portal knows of one attempt: its draws, what it holds, how long it queued.

    Attributes
    ----------
    wait_s : float
        Time spent in queues so far, s.
    """

    __slots__ = (
        "bits_up",
        "draws",
        "env",
        "held",
        "is_done",
        "process",
        "queued_since",
        "servers",
        "uplink_bit_per_s",
        "wait_s",
    )

    def __init__(self, env: Environment, draws: Draws) -> None:
        self.env = env
        self.draws = draws
        self.bits_up = 0.0
        self.uplink_bit_per_s = 1.0
        self.process: Process | None = None
        self.held: dict[str, Pool] = {}
        self.servers: dict[str, Server] = {}
        self.wait_s = 0.0
        self.queued_since = -1.0
        self.is_done = False

    def run(self, operations: Iterable[Operation]) -> ProcessGenerator:
        """Do operations one after the other; its value is an outcome.

        Whatever happens, everything held is given back at the end, the last taken first.
        """
        outcome = OK
        self.process = self.env.active_process
        try:
            for operation in operations:
                outcome = yield from operation.perform(self)
                if outcome != OK:
                    break
        except Interrupt:
            outcome = FAILED
        self.is_done = True
        self.give_back_all()
        return outcome

    def wait_for(self, pool: Pool, wait_limit_s: float | None) -> ProcessGenerator:
        """Queue at a pool; the value is whether the token was granted."""
        turn = pool.join(wait_limit_s)
        self.queued_since = turn.since
        try:
            granted = yield turn
        except Interrupt:
            pool.leave(turn)
            raise
        finally:
            self.wait_s += self.env.now - turn.since
            self.queued_since = -1.0
        return granted

    def waited_s(self) -> float:
        """Return the time spent in queues until now, s."""
        if self.queued_since < 0.0:
            return self.wait_s
        return self.wait_s + self.env.now - self.queued_since

    def enter(self, tier: str, server: Server) -> None:
        """Bind the visit to a server: it is lost with it."""
        self.servers[tier] = server
        server.visits[self] = None

    def exit(self, tier: str) -> None:
        """Let go of a server."""
        server = self.servers.pop(tier, None)
        if server is not None:
            server.visits.pop(self, None)

    def give_back_all(self) -> None:
        """Return every token and server, the last taken first."""
        for pool in reversed(self.held.values()):
            pool.give_back()
        self.held.clear()
        for tier in list(self.servers):
            self.exit(tier)

    def lose_server(self) -> None:
        """The server died: the visit fails now."""
        if self.process is not None and self.process.is_alive and not self.is_done:
            self.is_done = True
            self.process.interrupt()
