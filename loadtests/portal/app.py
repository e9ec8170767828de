"""The portal as an ASGI application: routes, guards, and answers to everything that goes wrong."""

import importlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from loadtests.portal.conventions import (
    NO_CONTENT,
    WireError,
    bad_request,
    business_error,
)
from loadtests.portal.guards import FrontDoor, Guard
from loadtests.portal.settings import PortalSettings
from loadtests.portal.store.database import Database, open_database
from loadtests.portal.visits import World

if TYPE_CHECKING:
    from loadtests.portal.gateway_client import Gateways

logger = logging.getLogger(__name__)

ROUTES = (
    "catalogue",
    "dictionaries",
    "account",
    "sso",
    "home",
    "dossiers",
    "bulk",
    "files",
    "actions",
    "payments",
    "officers",
    "tracking",
    "lookups",
    "national",
    "national_filing",
    "audit",
    "monitor",
)
"""Modules of ``loadtests.portal.routes``; each has a ``router``."""


def make_app(
    settings: PortalSettings,
    database: Database | None = None,
    gateways: "Gateways | None" = None,
) -> FastAPI:
    """Return the application over a seeded database.

    Parameters
    ----------
    settings : PortalSettings
        What the portal was started with.
    database : Database, optional
        By default the settings' own is opened, and closed at the end.
    gateways : Gateways, optional
        By default the settings' own.

    Raises
    ------
    DatabaseUnavailableError
        When the database does not answer.
    """
    from loadtests.portal.gateway_client import Gateways

    opened = database or open_database(
        settings.database, settings.data, pool=settings.pool, wait_s=settings.pool_wait_s
    )
    asked = gateways or Gateways.connect(
        settings.scenario, settings.gateways, settings.secrets.monitor_key, settings.data
    )
    world = World(settings, opened, asked)
    app = FastAPI(
        title="Stand-in portal",
        description="OpenCPS dialect, synthetic data.",
        version="2",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(world, owns_database=database is None, owns_gateways=gateways is None),
    )
    app.state.world = world
    for name in ROUTES:
        app.include_router(importlib.import_module(f"loadtests.portal.routes.{name}").router)
    _answer_errors(app)
    app.add_middleware(Guard, settings=settings)
    if settings.waf:
        app.add_middleware(FrontDoor)
    return app


def _lifespan(
    world: World, *, owns_database: bool, owns_gateways: bool
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return what closes at the end what was opened here."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if owns_gateways:
            world.gateways.close()
        if owns_database:
            world.database.close()

    return lifespan


def _answer_errors(app: FastAPI) -> None:
    """Let every failure become an answer in the portal's own form."""

    @app.exception_handler(WireError)
    async def refused(_: Request, error: WireError) -> Response:
        return error.answer()

    @app.exception_handler(RequestValidationError)
    async def unreadable(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0] if error.errors() else {"loc": (), "msg": "unreadable"}
        place = ".".join(str(part) for part in first["loc"])
        return bad_request(f"{place}: {first['msg']}").answer()

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> Response:
        detail = str(error.detail)
        answer = WireError(error.status_code, error.status_code, detail, detail).answer()
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(PoolTimeoutError)
    async def no_connection(_: Request, __: PoolTimeoutError) -> Response:
        return WireError(504, 504, "Gateway Timeout.", "No database connection in time.").answer()

    @app.exception_handler(SQLAlchemyError)
    async def database_refused(_: Request, error: SQLAlchemyError) -> Response:
        return _of_database(error).answer()

    @app.exception_handler(sqlite3.OperationalError)
    async def locked(_: Request, __: sqlite3.OperationalError) -> Response:
        return _BUSY.answer()

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return WireError(500, 500, "Internal Server Error.", "The server failed.").answer()


_BUSY = WireError(503, 503, "Service Unavailable.", "The database is too busy.")


def _of_database(error: SQLAlchemyError) -> WireError:
    """Return what a database's refusal means to the client; texts of the database stay inside."""
    cause = getattr(error, "orig", None) or error.__cause__
    if isinstance(error, DataError) or isinstance(
        cause, OverflowError | UnicodeError | ValueError | sqlite3.InterfaceError
    ):
        return bad_request("A value is out of range.")
    if isinstance(error, IntegrityError):
        return business_error("DuplicateException: the record exists already")
    if isinstance(error, OperationalError):
        logger.warning("the database refused a transaction: %s", cause)
        return _BUSY
    logger.error("the database failed", exc_info=error)
    return WireError(500, 500, NO_CONTENT, "The database failed.")
