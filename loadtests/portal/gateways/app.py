"""The gateways as an ASGI application: services behind gates, their control, the audit.

``/<gateway>/<path>`` is what the portal calls. ``/control`` and ``/audit`` need the header
``X-Hoso-Key``.
"""

import asyncio
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from loadtests.portal.gateways.control import Behaviour, ControlError, changed
from loadtests.portal.gateways.gate import Gate
from loadtests.portal.gateways.ledger import AUDIT_LIMIT, Ledger
from loadtests.portal.gateways.services import GATEWAYS, make_services
from loadtests.portal.gateways.wire import (
    TROUBLE_STATUS,
    Callback,
    Fields,
    Json,
    Query,
    Service,
    Trouble,
)
from sim.scenario.scenario import Scenario
from sim.streams import stream

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1_000_000  # assumption: the largest dossier record is a few kB
CALLBACK_PATIENCE_S = 60.0  # source: OpenCPS, read timeout of payment
NOT_HEARD = "99"  # source: OpenCPS, what the portal answers to a report it does not take
CALLBACK_PAUSES_S = (1.0, 5.0, 15.0, 60.0)
"""Between attempts to tell the portal. # source: back-off of clients of the national portal."""


class GatewayServer:
    """All gateways of one server process.

    Parameters
    ----------
    scenario : Scenario
        States how each gateway behaves at first; seeds the draws.
    key : str
        What portal and gateways share; also opens control and audit.
    ledger : Ledger
        Remembers what was received.
    """

    def __init__(self, scenario: Scenario, key: str, ledger: Ledger) -> None:
        self._key = key
        self._ledger = ledger
        self._services: dict[str, Service] = make_services(ledger, key)
        self._behaviours = {
            name: Behaviour.of(scenario.portal.gateways.get(name)) for name in GATEWAYS
        }
        self._seed = scenario.seed
        self._gates: dict[str, Gate] = {}
        self._callbacks: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None

    def app(self) -> Starlette:
        """Return the application."""
        methods = ["GET", "POST"]
        return Starlette(
            routes=[
                Route("/ping", _ping),
                Route("/audit", self._audit),
                Route("/control", self._control_all),
                Route("/control/{gateway}", self._control, methods=["GET", "PUT"]),
                Route("/{gateway}/{path:path}", self._serve, methods=methods),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        import httpx

        self._gates = {
            name: Gate(behaviour, stream(self._seed, 0, f"gateways.{name}"), time.monotonic)
            for name, behaviour in self._behaviours.items()
        }
        async with httpx.AsyncClient(timeout=CALLBACK_PATIENCE_S, trust_env=False) as client:
            self._client = client
            yield
            for task in self._callbacks:
                task.cancel()
            await asyncio.gather(*self._callbacks, return_exceptions=True)

    async def _serve(self, request: Request) -> Response:
        name = request.path_params["gateway"]
        gate, service = self._gates.get(name), self._services.get(name)
        if gate is None or service is None:
            return _answer(404, {"error": f"no gateway {name[:40]}; there are {_list(GATEWAYS)}"})
        try:
            query = await _query(request, name)
        except _BadBodyError as error:
            return _answer(400, {"error": str(error)})
        except ClientDisconnect:
            return Response(status_code=400)
        try:
            trouble = await _unless_left(request, gate)
        except asyncio.CancelledError:
            return Response(status_code=400)  # nobody reads it
        if trouble is not None:
            return _answer(TROUBLE_STATUS[trouble], service.trouble(trouble))
        try:
            reply = service.answer(query)
        except UnicodeError:
            return _answer(400, {"error": "half of a character is no text"})
        if reply.callback is not None:
            self._call_back(reply.callback)
        return _answer(reply.status, reply.fields)

    def _call_back(self, callback: Callback) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(callback))
        self._callbacks.add(task)
        task.add_done_callback(self._callbacks.discard)

    async def _deliver(self, callback: Callback) -> None:
        """Tell the portal, again and again for a while, until it says that it heard."""
        import httpx

        assert self._client is not None
        for pause_s in (0.0, *CALLBACK_PAUSES_S):
            await asyncio.sleep(pause_s)
            with suppress(httpx.HTTPError):
                answer = await self._client.post(callback.url, json=callback.fields)
                if answer.status_code < 400 and answer.text.strip() != NOT_HEARD:
                    return
        logger.warning("payment %s: the portal could not be told", callback.fields["MaThamChieu"])

    async def _control_all(self, request: Request) -> Response:
        if not self._may_control(request):
            return _CLOSED
        return _answer(200, {name: gate.state() for name, gate in self._gates.items()})

    async def _control(self, request: Request) -> Response:
        if not self._may_control(request):
            return _CLOSED
        name = request.path_params["gateway"]
        gate = self._gates.get(name)
        if gate is None:
            fault = f"no gateway {name[:40]}; there are {_list(GATEWAYS)}"
            return _answer(404, {"faults": [fault]})
        if request.method == "PUT":
            try:
                changes = _json_object(await _body(request))
                gate.change(changed(gate.behaviour, changes, name))
            except (ControlError, _BadBodyError) as error:
                return _answer(422, {"faults": list(str(error).splitlines())})
            logger.info("gateway %s changed: %s", name, changes)
        return _answer(200, gate.state())

    async def _audit(self, request: Request) -> Response:
        if not self._may_control(request):
            return _CLOSED
        limit = request.query_params.get("limit", str(AUDIT_LIMIT))
        if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit[:9]) <= AUDIT_LIMIT):
            return _answer(422, {"faults": [f"limit must be 1 to {AUDIT_LIMIT}"]})
        after = request.query_params.get("after", "")
        return _answer(200, self._ledger.audit(after, int(limit)))

    def _may_control(self, request: Request) -> bool:
        given = request.headers.get("x-hoso-key", "")
        return bool(self._key) and hmac.compare_digest(given.encode(), self._key.encode())


class _BadBodyError(Exception):
    """A body that cannot be read; its text says why."""


async def _ping(_: Request) -> Response:
    return PlainTextResponse("ok")


async def _unless_left(request: Request, gate: Gate) -> Trouble | None:
    """Wait at the gate; a caller that closes its connection leaves its place at once.

    Raises
    ------
    asyncio.CancelledError
        When the caller left.
    """
    waiting = asyncio.ensure_future(gate.admit())
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
        return await waiting
    finally:
        waiting.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _query(request: Request, gateway: str) -> Query:
    body = await _body(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        fields: Fields = dict(_form(body))
    else:
        fields = _json_object(body) if body else {}
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return Query(
        path=request.path_params["path"].strip("/"),
        fields=fields,
        token=token.strip() if scheme.lower() == "bearer" else "",
        base_url=f"{str(request.base_url).rstrip('/')}/{gateway}",
        caller=request.client.host if request.client else "",
    )


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise _BadBodyError(f"the body is longer than {MAX_BODY_BYTES} bytes")
    return bytes(body)


def _form(body: bytes) -> list[tuple[str, str]]:
    from urllib.parse import parse_qsl

    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise _BadBodyError("the body is no form") from error


def _json_object(body: bytes) -> Fields:
    try:
        value: Json = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _BadBodyError("the body is no JSON") from error
    if not isinstance(value, dict):
        raise _BadBodyError("the body must be a JSON object")
    return value


def _answer(status: int, fields: Fields) -> Response:
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), status, media_type="application/json")


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names)


_CLOSED = _answer(401, {"faults": ["the header X-Hoso-Key is missing or wrong"]})
