"""Who carries a load: this process alone, or workers of a Locust master, on this or other machines.

The master hands every worker the order and its share, learns how far its clock is off, and names a
common beginning in each worker's own time. What a worker recorded is written into the common
folder where it sees it, and travels as messages in pieces where it does not.
"""

from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner

import logging
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import gevent
import pyarrow as pa
from gevent.event import Event

from loadtests.carrier import Carrier
from loadtests.crowd import Heard
from loadtests.live import Piece
from loadtests.recorder import part_folder
from loadtests.work import (
    LoadError,
    Order,
    Plan,
    WorkerReport,
    demand_of,
    load_order,
    trace_digest,
)
from sim.scenario.scenario import Scenario

LOCAL_DELAY_S = 0.2
REMOTE_DELAY_S = 2.0
"""From the order to begin until second 0, s."""

_PREPARE_S = 600.0
"""A worker that has not drawn its demand by then is given up, s."""
_DELIVER_S = 60.0
"""A worker that sends nothing more of its part for so long is given up, s."""
_CLOCK_READINGS = 5
_CLOCK_S = 5.0
_PIECE_BYTES = 1 << 20

_ORDER, _READY, _CLOCK, _BEGIN, _PIECE, _END, _PART, _DONE = (
    f"hoso_{name}" for name in ("order", "ready", "clock", "begin", "piece", "end", "part", "done")
)
"""Names of the messages."""

log = logging.getLogger(__name__)


class Crew(Protocol):
    """Carries a load; gives a piece a second to whoever watches."""

    def prepare(self, order: Order) -> None:
        """Hand out the shares; raises :class:`LoadError` when somebody cannot carry one."""

    def begin(self) -> float:
        """Name the beginning; returns second 0 by this machine's clock, s since 1970 UTC."""

    def tick(self) -> None:
        """Called once a second while the load runs."""

    @property
    def is_over(self) -> bool:
        """Whether all sessions of all workers that are still there have ended."""

    @property
    def is_capped(self) -> bool:
        """Whether some worker has used up its part of the allowed requests."""

    @property
    def is_deserted(self) -> bool:
        """Whether nobody is left to carry the load."""

    def lost(self) -> list[str]:
        """Return the names of the workers that have disappeared."""

    def end(self) -> None:
        """End the load and wait until everybody has delivered."""

    def reports(self) -> tuple[WorkerReport, ...]:
        """Return who was to carry the load, and who delivered."""


class Alone:
    """This process carries everything."""

    def __init__(
        self, take: Callable[[Piece], None], hear: Callable[[Heard], None] | None = None
    ) -> None:
        self._take = take
        self._hear = hear
        self._carrier: Carrier | None = None
        self._folder = Path()
        self._delivered = False

    def prepare(self, order: Order) -> None:
        """Make the carrier."""
        self._delivered = False
        self._folder = order.folder
        self._carrier = Carrier(order, 0, 1, self._hear)

    def begin(self) -> float:
        """Begin shortly."""
        at_unix_s = time.time() + LOCAL_DELAY_S
        self._there.begin(at_unix_s)
        return at_unix_s

    def tick(self) -> None:
        """Hand on a piece."""
        self._take(self._there.piece())

    @property
    def is_over(self) -> bool:
        """Whether all sessions have ended."""
        return self._there.is_over

    @property
    def is_capped(self) -> bool:
        """Whether the allowed requests are used up."""
        return self._there.is_capped

    @property
    def is_deserted(self) -> bool:
        """Whether nobody is left: never, who asks is there."""
        return False

    def lost(self) -> list[str]:
        """Return nobody: who asks is there."""
        return []

    def end(self) -> None:
        """End the load and save what was recorded."""
        if not self._delivered:
            self._there.end()
            self.tick()
            self._there.recorder.save(part_folder(self._folder, 0))
            self._delivered = True

    def reports(self) -> tuple[WorkerReport, ...]:
        """Return this process."""
        return (WorkerReport(index=0, name=socket.gethostname(), delivered=self._delivered),)

    @property
    def _there(self) -> Carrier:
        assert self._carrier is not None
        return self._carrier


class _Member:
    """One worker, as the master knows it."""

    def __init__(self, client: str, index: int) -> None:
        self.client = client
        self.index = index
        self.name = client.rpartition("_")[0]
        self.ready = Event()
        self.problem = ""
        self.clock_answer = Event()
        self.clock_off_s = 0.0
        self.clock_doubt_s = float("inf")
        self.is_over = False
        self.is_capped = False
        self.is_done = False
        self.delivered = False
        self.heard_at = time.monotonic()


class Workers:
    """The workers of a Locust master carry the load."""

    def __init__(self, runner: MasterRunner, take: Callable[[Piece], None]) -> None:
        self._runner = runner
        self._take = take
        self._folder = Path()
        self._members: dict[str, _Member] = {}
        for message, listener in (
            (_READY, self._on_ready),
            (_CLOCK, self._on_clock),
            (_PIECE, self._on_piece),
            (_PART, self._on_part),
            (_DONE, self._on_done),
        ):
            runner.register_message(message, _of_member(self._members, listener))

    def prepare(self, order: Order) -> None:
        """Send the order to all workers that are there, and wait until each has its demand."""
        clients = self._runner.clients
        present = sorted(
            (client.id for client in (*clients.ready, *clients.spawning, *clients.running)),
            key=self._runner.get_worker_index,
        )
        if not present:
            raise LoadError("no worker has connected: start some, or leave --master out")
        self._folder = order.folder
        self._members.clear()
        self._members.update({name: _Member(name, index) for index, name in enumerate(present)})
        digest = trace_digest(order.trace)
        for member in self._members.values():
            self._send(
                member,
                _ORDER,
                {
                    "plan": order.plan.model_dump_json(),
                    "scenario": order.scenario.model_dump_json(),
                    "folder": str(order.folder.absolute()),
                    "digest": digest,
                    "index": member.index,
                    "workers": len(present),
                },
            )
        for member in self._members.values():
            self._await_ready(member)
            self._compare_clocks(member)

    def begin(self) -> float:
        """Name the beginning to each worker in its own time."""
        at_unix_s = time.time() + REMOTE_DELAY_S
        for member in self._members.values():
            self._send(member, _BEGIN, {"at": at_unix_s + member.clock_off_s})
        return at_unix_s

    def tick(self) -> None:
        """Do nothing: the workers send their pieces by themselves."""

    @property
    def is_over(self) -> bool:
        """Whether every worker is through, or lost."""
        return all(m.is_over or m.is_done or self._is_lost(m) for m in self._members.values())

    @property
    def is_capped(self) -> bool:
        """Whether some worker has used up its part of the allowed requests."""
        return any(member.is_capped for member in self._members.values())

    @property
    def is_deserted(self) -> bool:
        """Whether all workers have disappeared."""
        return all(self._is_lost(member) for member in self._members.values())

    def lost(self) -> list[str]:
        """Return the names of the workers that have disappeared."""
        return [
            f"worker {member.index} ({member.name})"
            for member in self._members.values()
            if self._is_lost(member)
        ]

    def end(self) -> None:
        """Tell all workers to end, and wait until they have delivered or are lost."""
        for member in self._members.values():
            member.heard_at = time.monotonic()
            if not member.is_done and not self._is_lost(member):
                self._send(member, _END, None)
        for member in self._members.values():
            while not member.is_done and not self._is_lost(member):
                if time.monotonic() - member.heard_at > _DELIVER_S:
                    log.warning("worker %d (%s) delivers nothing", member.index, member.name)
                    break
                gevent.sleep(0.05)

    def reports(self) -> tuple[WorkerReport, ...]:
        """Return who was to carry the load, and who delivered."""
        return tuple(
            WorkerReport(index=member.index, name=member.name, delivered=member.delivered)
            for member in self._members.values()
        )

    def _send(self, member: _Member, message: str, data: Mapping[str, Any] | None) -> None:
        self._runner.send_message(message, dict(data) if data is not None else None, member.client)

    def _is_lost(self, member: _Member) -> bool:
        if member.is_done:
            return False
        client = self._runner.clients.get(member.client)
        return client is None or client.state == STATE_MISSING

    def _await_ready(self, member: _Member) -> None:
        until = time.monotonic() + _PREPARE_S
        while not member.ready.wait(timeout=1.0):
            if self._is_lost(member):
                raise LoadError(f"worker {member.index} ({member.name}) is lost before the start")
            if time.monotonic() > until:
                raise LoadError(f"worker {member.index} ({member.name}) does not get ready")
        if member.problem:
            raise LoadError(f"worker {member.index} ({member.name}): {member.problem}")

    def _compare_clocks(self, member: _Member) -> None:
        """Ask for the worker's time a few times; the quickest answer tells most."""
        for _ in range(_CLOCK_READINGS):
            member.clock_answer.clear()
            self._send(member, _CLOCK, {"sent": time.time()})
            member.clock_answer.wait(timeout=_CLOCK_S)

    def _on_ready(self, member: _Member, data: Mapping[str, Any]) -> None:
        member.problem = data["problem"]
        member.ready.set()

    def _on_clock(self, member: _Member, data: Mapping[str, Any]) -> None:
        now = time.time()
        doubt_s = (now - data["sent"]) / 2.0
        if doubt_s < member.clock_doubt_s:
            member.clock_doubt_s = doubt_s
            member.clock_off_s = data["there"] - (now + data["sent"]) / 2.0
        member.clock_answer.set()

    def _on_piece(self, member: _Member, data: Mapping[str, Any]) -> None:
        member.is_over, member.is_capped = data["over"], data["capped"]
        self._take(Piece.from_message(data["piece"]))

    def _on_part(self, member: _Member, data: Mapping[str, Any]) -> None:
        """Append a piece of a file of a part."""
        incoming = self._incoming(member)
        incoming.mkdir(parents=True, exist_ok=True)
        with (incoming / f"{data['name']}.arrow").open("ab") as file:
            file.write(data["data"])

    def _on_done(self, member: _Member, data: Mapping[str, Any]) -> None:
        """Take a part as delivered when it is whole."""
        if data["problem"]:
            log.error("worker %d (%s): %s", member.index, member.name, data["problem"])
        elif data["sizes"] is None:
            member.delivered = part_folder(self._folder, member.index).is_dir()
        else:
            incoming = self._incoming(member)
            found = {path.stem: path.stat().st_size for path in incoming.glob("*.arrow")}
            if found == data["sizes"]:
                incoming.rename(part_folder(self._folder, member.index))
                member.delivered = True
        member.is_done = True

    def _incoming(self, member: _Member) -> Path:
        return self._folder / f".incoming-{member.index}"


def _of_member(
    members: Mapping[str, _Member], listener: Callable[[_Member, Mapping[str, Any]], None]
) -> Callable[..., None]:
    """Return a message listener that knows which worker speaks; strangers are not heard."""

    def hear(msg: Any, **_: object) -> None:
        member = members.get(msg.node_id)
        if member is not None:
            member.heard_at = time.monotonic()
            listener(member, msg.data)

    return hear


class Worker:
    """The worker's end of :class:`Workers`."""

    def __init__(
        self,
        runner: WorkerRunner,
        hear: Callable[[Heard], None] | None = None,
        *,
        may_share: bool = True,
    ) -> None:
        self._runner = runner
        self._may_share = may_share
        self._hear = hear
        self._carrier: Carrier | None = None
        self._folder: Path | None = None
        self._pieces: gevent.Greenlet | None = None
        self._through = Event()
        self._through.set()
        runner.register_message(_ORDER, self._on_order, concurrent=True)
        runner.register_message(_CLOCK, self._on_clock)
        runner.register_message(_BEGIN, self._on_begin)
        runner.register_message(_END, self._on_end, concurrent=True)

    def end(self) -> None:
        """End the load and deliver what was recorded, once; returns when that is done."""
        carrier, self._carrier = self._carrier, None
        if carrier is None:
            self._through.wait(timeout=_DELIVER_S)
            return
        problem, sizes = "", None
        try:
            carrier.end()
            if self._pieces is not None:
                self._pieces.kill()
            if self._folder is not None:
                carrier.recorder.save(part_folder(self._folder, carrier.index))
            else:
                sizes = self._send_part(carrier.recorder.tables())
        except OSError as error:
            problem = f"cannot deliver what was recorded: {error}"
        self._runner.send_message(_DONE, {"sizes": sizes, "problem": problem})
        self._through.set()

    def wait(self) -> None:
        """Return when what was recorded is delivered."""
        self._through.wait()

    def _on_order(self, msg: Any, **_: object) -> None:
        problem = ""
        try:
            # In a thread: the heartbeat to the master goes on while the demand is drawn.
            order, is_shared = gevent.get_hub().threadpool.spawn(_order_of, msg.data).get()
            self._folder = order.folder if is_shared and self._may_share else None
            self._through.clear()
            self._carrier = Carrier(order, msg.data["index"], msg.data["workers"], self._hear)
        except Exception as error:  # whatever it is, the master must hear of it
            problem = str(error) or type(error).__name__
        self._runner.send_message(_READY, {"problem": problem})

    def _on_clock(self, msg: Any, **_: object) -> None:
        self._runner.send_message(_CLOCK, {"sent": msg.data["sent"], "there": time.time()})

    def _on_begin(self, msg: Any, **_: object) -> None:
        if self._carrier is not None:
            self._carrier.begin(msg.data["at"])
            self._pieces = gevent.spawn(self._send_pieces, self._carrier)

    def _on_end(self, **_: object) -> None:
        self.end()

    def _send_pieces(self, carrier: Carrier) -> None:
        while True:
            gevent.sleep(1.0 - carrier.now_s() % 1.0)
            over, capped = carrier.is_over, carrier.is_capped
            piece = carrier.piece().to_message()
            self._runner.send_message(_PIECE, {"piece": piece, "over": over, "capped": capped})

    def _send_part(self, tables: Mapping[str, pa.Table]) -> dict[str, int]:
        """Send tables as files in pieces; returns their sizes."""
        sizes = {}
        for name, table in tables.items():
            sink = pa.BufferOutputStream()
            with pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
            content = memoryview(sink.getvalue())
            sizes[name] = len(content)
            for start in range(0, len(content), _PIECE_BYTES):
                data = bytes(content[start : start + _PIECE_BYTES])
                self._runner.send_message(_PART, {"name": name, "data": data})
                gevent.sleep(0)
        return sizes


def _order_of(data: Mapping[str, Any]) -> tuple[Order, bool]:
    """Return the order of a message, and whether this machine sees the master's folder with it."""
    folder, plan = Path(data["folder"]), Plan.model_validate_json(data["plan"])
    try:
        order = load_order(folder)
        is_shared = order.plan == plan
    except LoadError:
        is_shared = False
    if not is_shared:
        scenario = Scenario.model_validate_json(data["scenario"])
        order = Order(folder, plan, scenario, demand_of(plan, scenario))
    if trace_digest(order.trace) != data["digest"]:
        raise LoadError(
            "draws another demand than the master: install the same version of hoso and NumPy"
        )
    return order, is_shared
