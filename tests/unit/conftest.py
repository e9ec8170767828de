"""A small stand-in portal on each kind of database."""

import base64
import hashlib
import hmac
import itertools
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():  # Starlette's client would rather have httpx's successor
    warnings.simplefilter("ignore")
    import starlette.testclient  # noqa: F401

POSTGRES = "HOSO_TEST_POSTGRES"
"""Environment variable: URL of a PostgreSQL server where tests may create databases."""

SECRET, CAPTCHA, MONITOR_KEY = "a secret for tests", "four letters", "a key for tests"

_KINDS = ("sqlite", "postgresql") if os.environ.get(POSTGRES) else ("sqlite",)

_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=_KINDS)
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Give the URL of an empty database: None for SQLite, or one of PostgreSQL's own."""
    if request.param == "sqlite":
        yield None
        return
    import psycopg

    server = os.environ[POSTGRES]
    name = f"hoso_test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield server.rpartition("/")[0] + f"/{name}"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def small_settings(
    scenario_dict: Callable[..., dict], one_endpoint: Callable[..., dict]
) -> Callable[..., Any]:
    """Return the builder of a small portal's settings: 10 services, 4 officers, 200 records."""
    from loadtests.portal.settings import PortalSettings, Secrets
    from sim.scenario.scenario import Scenario

    shared = {"data_sets": 5, "fields": 40, "records": 200}
    scenario = Scenario.model_validate(
        scenario_dict(one_endpoint([{"delay": 0.0}]), shared_data=shared)
    )
    secrets = Secrets(SECRET, CAPTCHA, MONITOR_KEY)

    def build(data: Path, **changes: Any) -> PortalSettings:
        small = {"officers": 4, "backlog_per_officer": 2, "index_lag_s": (0.0, 0.0)}
        own = {"scenario": scenario, "secrets": secrets}
        return PortalSettings(data=data, **(own | small | changes))

    return build


@pytest.fixture(scope="module")
def portal_app(
    database_url: str | None, small_settings: Callable[..., Any], tmp_path_factory: Any
) -> Iterator[Any]:
    """Give the application of a small portal, seeded."""
    from loadtests.portal.app import make_app
    from loadtests.portal.seed import seed
    from loadtests.portal.store import open_database

    settings = small_settings(tmp_path_factory.mktemp("portal"), database=database_url)
    database = open_database(settings.database, settings.data, pool=settings.pool)
    seed(settings, database)
    yield make_app(settings, database)
    database.close()


def signed_in(portal_app: Any, login: str) -> Any:
    """Return the browser of a synthetic user; its paths begin at the portal's root."""
    from starlette.testclient import TestClient

    password = hmac.new(SECRET.encode(), login.encode(), hashlib.sha256).hexdigest()
    pair = base64.b64encode(f"{login}:{password}".encode()).decode()
    client = TestClient(portal_app, headers={"Authorization": f"Basic {pair}"})
    assert client.get("/o/rest/v2/users/login").status_code == 200
    return client


@pytest.fixture
def citizen(portal_app: Any) -> Callable[..., Any]:
    """Return what gives the browser of a citizen nobody has met, or of one with this number."""
    return lambda number="": signed_in(
        portal_app, f"c{number or f'031090{930_000 + next(_numbers)}'}"
    )


@pytest.fixture
def officer(portal_app: Any) -> Callable[..., Any]:
    """Return what gives the browser of an officer."""
    return lambda number=0: signed_in(portal_app, f"o{number:04d}")


@pytest.fixture
def stranger(portal_app: Any) -> Any:
    """Give a browser in which nobody is signed in."""
    from starlette.testclient import TestClient

    return TestClient(portal_app)


@pytest.fixture
def portal_url(portal_app: Any) -> Iterator[str]:
    """Serve the small portal's data for real, so that requests run side by side; give its URL."""
    from loadtests.portal.app import make_app
    from loadtests.portal.asgi_server import AsgiServer
    from loadtests.portal.listening import listen, url_of

    world = portal_app.state.world
    ready, socket = threading.Event(), listen("127.0.0.1", 0)
    app = make_app(world.settings, world.database)
    server = AsgiServer(app, grace_s=1, on_ready=ready.set)
    thread = threading.Thread(target=server.serve_on, args=[socket])
    thread.start()
    assert ready.wait(30)
    yield url_of(socket)
    server.should_exit = True
    thread.join()
    socket.close()
