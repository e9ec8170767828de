"""How calls reach the gateways: over HTTP with a time-out and a limit, or within this process."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from loadtests.portal.gateways.wire import Fields, Query, Reply
from sim.scenario.scenario import Scenario

if TYPE_CHECKING:
    import httpx

Kind = Literal["timed_out", "refused", "error"]
"""How a call fails: no answer in time; not accepted (outage, rate limit); an error as answer."""

TIMEOUTS_S: Mapping[str, float] = {
    "sso": 60.0,  # source: OpenCPS, read timeout of single sign-on
    "payment": 60.0,  # source: OpenCPS, read timeout of payment
    "national_portal": 6.0,  # source: OpenCPS adapter of the national portal, read timeout
    "population_db": 60.0,  # assumption: as for single sign-on
    "shared_data": 60.0,  # assumption: as for single sign-on
    "sms": 30.0,  # assumption
}
"""How long the portal waits for each gateway, s, where the scenario does not say."""

KEPT_CONNECTIONS = 100  # assumption: idle connections of one process; as many as its threads
KEPT_S = 30.0  # shorter than the server keeps them, so that no call meets a closed one

_FORM_GATEWAYS = frozenset({"sso"})  # OpenID Connect takes forms; the others take JSON


class GatewayError(Exception):
    """A call of a gateway failed.

    Parameters
    ----------
    kind : str
        ``timed_out``, ``refused`` or ``error``.
    gateway : str
        Which gateway.
    detail : str
        What it said, for the log.

    Attributes
    ----------
    kind, gateway, detail
        The same.
    """

    def __init__(self, kind: Kind, gateway: str, detail: str = "") -> None:
        self.kind = kind
        self.gateway = gateway
        self.detail = detail
        super().__init__(f"gateway {gateway}: {kind}" + (f": {detail}" if detail else ""))


class Transport(Protocol):
    """How a call reaches a gateway."""

    def call(self, gateway: str, query: Query) -> Reply:
        """Return what the gateway answers; raise GatewayError when there is no answer."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How one gateway is called.

    Attributes
    ----------
    timeout_s : float
        How long the caller waits for the answer, waiting for its turn included, s.
    concurrency : int or None
        Calls of this process open at once; None: no limit.
    """

    timeout_s: float
    concurrency: int | None


def limits_of(scenario: Scenario) -> dict[str, Limits]:
    """Return how each gateway is called, as the scenario states it."""
    limits = {}
    for name, default_s in TIMEOUTS_S.items():
        spec = scenario.portal.gateways.get(name)
        timeout_s = (spec.timeout_s if spec else None) or default_s
        limits[name] = Limits(timeout_s, spec.concurrency if spec else None)
    return limits


class HttpTransport:
    """Calls over HTTP with kept connections.

    Parameters
    ----------
    url : str
        Base URL of ``hoso gateways``.
    limits : mapping
        How each gateway is called, by name.
    """

    def __init__(self, url: str, limits: Mapping[str, Limits]) -> None:
        import httpx

        self._url = url.rstrip("/")
        self._limits = limits
        self._turns = {
            name: threading.BoundedSemaphore(limit.concurrency)
            for name, limit in limits.items()
            if limit.concurrency
        }
        pool = httpx.Limits(
            max_connections=None,
            max_keepalive_connections=KEPT_CONNECTIONS,
            keepalive_expiry=KEPT_S,
        )
        # The environment's proxies are for the Internet; these calls stay on this network.
        self._client = httpx.Client(limits=pool, trust_env=False)

    def call(self, gateway: str, query: Query) -> Reply:
        """Return the answer; waiting for a turn counts against the time-out."""
        limit = self._limits[gateway]
        deadline_s = time.monotonic() + limit.timeout_s
        turn = self._turns.get(gateway)
        if turn is None:
            return self._send(gateway, query, deadline_s)
        if not turn.acquire(timeout=limit.timeout_s):
            raise GatewayError("timed_out", gateway, "no free connection")
        try:
            return self._send(gateway, query, deadline_s)
        finally:
            turn.release()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _send(self, gateway: str, query: Query, deadline_s: float) -> Reply:
        import httpx

        remaining_s = deadline_s - time.monotonic()
        if remaining_s <= 0:
            raise GatewayError("timed_out", gateway, "no free connection in time")
        try:
            answer = self._client.post(
                f"{self._url}/{gateway}/{query.path}",
                json=None if gateway in _FORM_GATEWAYS else query.fields,
                data=query.fields if gateway in _FORM_GATEWAYS else None,
                headers={"Authorization": f"Bearer {query.token}"} if query.token else None,
                timeout=remaining_s,
            )
        except httpx.TimeoutException as error:
            raise GatewayError("timed_out", gateway) from error
        except httpx.ConnectError as error:
            raise GatewayError("refused", gateway, str(error)) from error
        except httpx.HTTPError as error:
            raise GatewayError("error", gateway, str(error)) from error
        return Reply(answer.status_code, _object(answer))


class LocalTransport:
    """Answers at once within this process: for small tests and for a portal without gateways.

    Parameters
    ----------
    key : str
        What portal and gateways share.
    folder : Path, optional
        Where what was received is kept; by default in memory.
    """

    def __init__(self, key: str = "", folder: Path | None = None) -> None:
        from loadtests.portal.gateways.ledger import LEDGER_FILE, Ledger
        from loadtests.portal.gateways.services import make_services

        self._ledger = Ledger(None if folder is None else folder / LEDGER_FILE)
        self._services = make_services(self._ledger, key)
        self._lock = threading.Lock()

    def call(self, gateway: str, query: Query) -> Reply:
        """Return the answer; nobody is called back."""
        with self._lock:
            return self._services[gateway].answer(query)

    def close(self) -> None:
        """Forget everything received."""
        self._ledger.close()


def _object(answer: "httpx.Response") -> Fields:
    """Return the JSON object of an answer; anything else becomes one that holds its text."""
    try:
        value = answer.json()
    except ValueError:
        return {"text": answer.text[:200]}
    return value if isinstance(value, dict) else {"value": value}
