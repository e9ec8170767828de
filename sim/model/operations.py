"""Operations: what a program's rows do, each a short process that ends in an outcome."""

from collections.abc import Sequence

from simpy import Interrupt
from simpy.events import ProcessGenerator

from sim.model.draws import FIRST_PROGRAM_SLOT, LAST_SLOT, Slot
from sim.model.gateway import Gateway
from sim.model.link import Link
from sim.model.outcome import FAILED, OK, REJECTED, TIMED_OUT
from sim.model.pool import Pool
from sim.model.tier import Tier
from sim.model.visit import Operation, Visit
from sim.scenario.base import Distribution


class Duration:
    """A duration of a program: a constant, or the position of its draw."""

    __slots__ = ("constant_s", "position")

    def __init__(self, constant_s: float, position: int = -1) -> None:
        self.constant_s = constant_s
        self.position = position

    def of(self, visit: Visit) -> float:
        """Return its value for one visit, s."""
        return self.constant_s if self.position < 0 else visit.draws[self.position]


class SlotCounter:
    """Hands out the slots of one program, in the order of its rows."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self._next = FIRST_PROGRAM_SLOT

    def duration(self, distribution: Distribution) -> Duration:
        """Return the duration of a distribution; a random one takes a slot."""
        if not distribution.is_random:
            return Duration(distribution.mean_s)
        return Duration(distribution.mean_s, self.add(distribution))

    def add(self, distribution: Distribution) -> int:
        """Take a slot for a distribution; returns its position."""
        return self._add(Slot.of(self._number(), distribution))

    def coin(self, family: str) -> int:
        """Take a slot for a bare uniform number; returns its position."""
        return self._add(Slot(self._number(), family))

    def _number(self) -> int:
        number, self._next = self._next, self._next + 1
        if number > LAST_SLOT:
            raise ValueError(f"a program may draw at most {LAST_SLOT - 1} random numbers")
        return number

    def _add(self, slot: Slot) -> int:
        self.slots.append(slot)
        return len(self.slots) - 1


class Program:
    """The operations of an endpoint or a job item.

    Attributes
    ----------
    operations : tuple of Operation
        In order.
    slots : tuple of Slot
        Its random numbers, by position.
    queues : tuple of str
        Jobs that get an item when the program has ended well.
    files_dossier : bool
        Whether a dossier is on file when it has ended well.
    """

    __slots__ = ("files_dossier", "operations", "queues", "slots")

    def __init__(
        self,
        operations: Sequence[Operation],
        slots: Sequence[Slot],
        queues: Sequence[str],
        files_dossier: bool = False,
    ) -> None:
        self.operations = tuple(operations)
        self.slots = tuple(slots)
        self.queues = tuple(queues)
        self.files_dossier = files_dossier


class TakePool:
    """Take a token of a pool; the tier's server decides which, where every server has its own."""

    def __init__(self, name: str, pools: Sequence[Pool], tier: str | None, limit: Duration | None):
        self._name = name
        self._pools = pools
        self._tier = tier
        self._limit = limit

    def perform(self, visit: Visit) -> ProcessGenerator:
        """Take a free token, or queue for one."""
        pool = self._pools[0 if self._tier is None else visit.servers[self._tier].index]
        outcome = OK
        if not pool.take_free():
            outcome = yield from _queue(visit, pool, self._limit)
        if outcome == OK:
            visit.held[self._name] = pool
        return outcome


class TakeWorker:
    """Take a worker of the server that the tier's balancing chooses."""

    def __init__(self, tier: Tier, limit: Duration | None) -> None:
        self._tier = tier
        self._limit = limit

    def perform(self, visit: Visit) -> ProcessGenerator:
        """Choose a server, then take a free worker or queue for one."""
        name, server = self._tier.name, self._tier.choose()
        if server is None:
            return REJECTED
        visit.enter(name, server)
        pool, outcome = server.workers, OK
        if not pool.take_free():
            outcome = yield from _queue(visit, pool, self._limit)
        if outcome == OK:
            visit.held[name] = pool
        return outcome


def _queue(visit: Visit, pool: Pool, limit: Duration | None) -> ProcessGenerator:
    """Queue for a token; the value is an outcome."""
    if pool.is_full():
        return REJECTED
    granted = yield from visit.wait_for(pool, None if limit is None else limit.of(visit))
    return OK if granted else TIMED_OUT


class GiveBack:
    """Return a token or a worker."""

    def __init__(self, name: str) -> None:
        self._name = name

    def perform(self, visit: Visit) -> ProcessGenerator:
        """Give it back now."""
        visit.held.pop(self._name).give_back()
        visit.exit(self._name)
        return OK
        yield


class Compute:
    """Use a processor: of the server held, else of one chosen now."""

    def __init__(self, tier: Tier, work: Duration) -> None:
        self._tier = tier
        self._work = work

    def perform(self, visit: Visit) -> ProcessGenerator:
        """Wait until the work is done."""
        name = self._tier.name
        server = visit.servers.get(name)
        is_guest = server is None
        if server is None:
            server = self._tier.choose()
            if server is None:
                return FAILED
            visit.enter(name, server)
        work = server.processor.run(self._work.of(visit))
        try:
            yield work
        except Interrupt:
            server.processor.withdraw(work)
            raise
        if is_guest:
            visit.exit(name)
        return OK


class Wait:
    """Let time pass."""

    def __init__(self, delay: Duration) -> None:
        self._delay = delay

    def perform(self, visit: Visit) -> ProcessGenerator:
        """Wait for the delay."""
        yield visit.env.timeout(self._delay.of(visit))
        return OK


class Call:
    """Call a gateway."""

    def __init__(
        self, gateway: Gateway, latency: Duration, error: int, error_share: float, *, optional: bool
    ) -> None:
        self._gateway = gateway
        self._latency = latency
        self._error = error
        self._error_share = error_share
        self._optional = optional

    def perform(self, visit: Visit) -> ProcessGenerator:
        """Wait for the answer; a failed call fails the request unless it is optional."""
        fails = self._error >= 0 and visit.draws[self._error] < self._error_share
        outcome = yield from self._gateway.call(visit, self._latency.of(visit), fails)
        return OK if self._optional else outcome


class Transfer:
    """Move the upload over a link."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def perform(self, visit: Visit) -> ProcessGenerator:
        """Wait until the last bit is through."""
        if visit.bits_up <= 0.0:
            return OK
        cap = visit.uplink_bit_per_s
        upload = self._link.send(visit.bits_up, cap)
        try:
            yield upload
        except Interrupt:
            self._link.withdraw(upload, cap)
            raise
        return OK
