"""One request: who asks, its database session, the thread it runs in.

Handlers are plain functions. ``PortalRouter`` runs each in one of a bounded number of threads,
commits its transaction before the answer is sent, and undoes it when the handler raises. Requests
beyond threads and queue are answered 503 at once. A body is received before its request waits for
a thread, as behind a proxy that buffers uploads.
"""

import functools
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from sqlalchemy.orm import Session

from loadtests.portal.accounts import Accounts, SignedIn
from loadtests.portal.blobs import BlobStore
from loadtests.portal.conventions import (
    ERROR_ANSWERS,
    WireError,
    json_answer,
    not_allowed,
    not_signed_in,
    text_answer,
)
from loadtests.portal.dictionary_cache import DictionaryCache
from loadtests.portal.settings import PortalSettings
from loadtests.portal.store.database import Database
from loadtests.portal.transitions import Rules, rules_of

if TYPE_CHECKING:
    from loadtests.portal.gateway_client import Gateways

READS = ("GET", "HEAD")

LEFT_BEHIND_S = 3600.0
"""A file that arrives for longer was left by a killed process. # assumption"""


@dataclass(frozen=True, slots=True)
class WorkersLevel:
    """Handler threads of one process at one moment, and requests since its start."""

    busy: int
    queue: int
    capacity: int
    requests: int
    rejected: int


class Workers:
    """A bounded number of handler threads with a bounded queue before them."""

    def __init__(self, threads: int, queue_limit: int) -> None:
        self._threads = threads
        self._queue_limit = queue_limit
        self._limiter: anyio.CapacityLimiter | None = None
        self._requests = 0
        self._rejected = 0

    async def run(self, call: Callable[[], Response]) -> Response:
        """Run a handler in a thread; first come, first served.

        Raises
        ------
        WireError
            503, when all threads are busy and the queue is full.
        """
        limiter = self._limiter
        if limiter is None:  # needs the running event loop
            limiter = self._limiter = anyio.CapacityLimiter(self._threads)
        self._requests += 1
        if limiter.available_tokens <= 0:
            waiting = limiter.statistics().tasks_waiting
            if waiting >= self._queue_limit:
                self._rejected += 1
                raise WireError(503, 503, "Service Unavailable.", "The server is too busy.")
        return await anyio.to_thread.run_sync(call, limiter=limiter)

    def level(self) -> WorkersLevel:
        """Return the level; to be called on the event loop."""
        busy = queue = 0
        if self._limiter is not None:
            busy = int(self._limiter.borrowed_tokens)
            queue = self._limiter.statistics().tasks_waiting
        return WorkersLevel(busy, queue, self._threads, self._requests, self._rejected)


class World:
    """What all requests of one process share.

    Attributes
    ----------
    settings : PortalSettings
    database : Database
    gateways : Gateways
    workers : Workers
    accounts : Accounts
    blobs : BlobStore
        Attachments on disk.
    rules : Rules
        Calendar and delays that dossiers follow.
    """

    blobs: BlobStore
    rules: Rules

    def __init__(self, settings: PortalSettings, database: Database, gateways: "Gateways") -> None:
        self.settings = settings
        self.database = database
        self.gateways = gateways
        self.workers = Workers(settings.threads, settings.queue_limit)
        self.accounts = Accounts(settings, database)
        self.dictionaries = DictionaryCache(database)
        self.blobs = BlobStore(settings.blobs)
        self.blobs.clear_incoming(LEFT_BEHIND_S, time.time())
        self.rules = rules_of(settings)


class Visit:
    """One request, as its handler sees it.

    The session ``db`` begins a transaction at its first statement; reads (GET) and writes (other
    methods) begin differently. A handler that calls a gateway calls :meth:`commit` before: nobody
    may hold the database while waiting for somebody else.
    """

    def __init__(self, request: Request, world: World) -> None:
        self.request = request
        self.world = world
        self.settings = world.settings
        self.gateways = world.gateways
        self.now = time.time()
        self._writes = request.method not in READS
        self._db: Session | None = None
        self._user: SignedIn | None = None
        self._is_known = False

    @property
    def db(self) -> Session:
        """The request's session."""
        if self._db is None:
            self._db = self.world.database.session(writes=self._writes)
        return self._db

    def begin_writing(self) -> None:
        """Let a GET write from here on: what was read so far is read again."""
        if not self._writes:
            self.close()
            self._writes = True

    def begin_reading(self) -> None:
        """Let a POST only read from here on: it takes no writer's turn."""
        self.close()
        self._writes = False

    def commit(self) -> None:
        """Commit what was written and give the connection back."""
        if self._db is not None:
            self._db.commit()

    def close(self) -> None:
        """Undo what was not committed and give the connection back."""
        if self._db is not None:
            self._db.close()
            self._db = None

    @property
    def user(self) -> SignedIn | None:
        """Who is signed in, or None."""
        if not self._is_known:
            self._user = self.world.accounts.who_asks(self.request, self.now)
            self._is_known = True
        return self._user

    def signed_in(self) -> SignedIn:
        """Return who is signed in, or answer 203."""
        if self.user is None:
            raise not_signed_in()
        return self.user

    def officer(self) -> SignedIn:
        """Return the officer who is signed in, or answer 203 or 401."""
        user = self.signed_in()
        if not user.is_officer:
            raise not_allowed("Only officers may do this.")
        return user

    def check_captcha(self, answer: str) -> None:
        """Answer 203 unless this is the fixed answer."""
        if not self.world.accounts.is_captcha(answer):
            raise not_signed_in("Captcha incorrect.")


def visit_of(request: Request) -> Visit:
    """Return the visit of a request."""
    return Visit(request, request.app.state.world)


async def _visit_of(request: Request) -> Visit:
    """Make the visit on the event loop: it costs nothing."""
    return visit_of(request)


CurrentVisit = Annotated[Visit, Depends(_visit_of)]
"""The parameter that every handler has: ``visit: CurrentVisit``."""

Handler = Callable[..., Any]


class PortalRouter(APIRouter):
    """A router whose plain handlers run in the bounded threads, each in one transaction.

    A handler may return a Response, a text (text/plain), or anything JSON; it has a parameter
    ``visit: CurrentVisit``. Coroutine handlers run on the event loop as they are.
    """

    def __init__(self, **options: Any) -> None:
        options.setdefault("responses", ERROR_ANSWERS)
        super().__init__(**options)

    def add_api_route(self, path: str, endpoint: Handler, **options: Any) -> None:
        """Add a route; a plain function gets its thread and transaction."""
        if not inspect.iscoroutinefunction(endpoint):
            if inspect.signature(endpoint, eval_str=True).return_annotation is str:
                options["response_class"] = PlainTextResponse
            endpoint = _in_thread(endpoint)
            options["response_model"] = None
        super().add_api_route(path, endpoint, **options)


def _in_thread(endpoint: Handler) -> Handler:
    """Return the coroutine that runs a handler in a thread, within its transaction."""
    signature = inspect.signature(endpoint, eval_str=True)
    if "visit" not in signature.parameters:
        raise TypeError(f"{endpoint.__qualname__} needs a parameter `visit: CurrentVisit`")

    async def handler(**arguments: Any) -> Response:
        visit: Visit = arguments["visit"]
        return await visit.world.workers.run(
            functools.partial(_transaction, visit, endpoint, arguments)
        )

    handler.__name__ = endpoint.__name__
    handler.__doc__ = endpoint.__doc__
    handler.__module__ = endpoint.__module__
    handler.__signature__ = signature.replace(  # type: ignore[attr-defined]
        return_annotation=inspect.Signature.empty
    )
    return handler


def _transaction(visit: Visit, endpoint: Handler, arguments: dict[str, Any]) -> Response:
    """Run a handler; commit before anything is answered, undo when it raises."""
    try:
        answer = endpoint(**arguments)
        visit.commit()
    finally:
        visit.close()
    if isinstance(answer, Response):
        return answer
    return text_answer(answer) if isinstance(answer, str) else json_answer(answer)


__all__ = ["CurrentVisit", "PortalRouter", "Visit", "Workers", "WorkersLevel", "World"]
