"""A small stand-in portal for rough handling: 10 services, 2 agencies' officers, 100 records."""

import base64
import hashlib
import hmac
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from secrets import token_bytes
from socket import create_connection, socket
from typing import Any
from urllib.parse import quote

import httpx
import pytest

USER_SECRET, CAPTCHA, MONITOR_KEY = "a secret for tests", "four letters", "a key for tests"

MAIN = "/o/rest/v2"
PDF = b"%PDF-1.4\n" + b"x" * 1000
FILE_LIMIT, FORM_LIMIT = 200_000, 400_000
THREADS, QUEUE = 4, 4
"""Limits of the portal that is attacked; small, so that attacks are."""

PATIENCE_S = 30.0
"""How long a test waits for an answer before it says that none came."""

_numbers = count(900_100)


def credentials(login: str, password: str | None = None) -> dict[str, str]:
    """Return the header by which a synthetic user signs in."""
    if password is None:
        password = hmac.new(USER_SECRET.encode(), login.encode(), hashlib.sha256).hexdigest()
    pair = base64.b64encode(f"{login}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


@pytest.fixture(scope="session", name="credentials")
def _credentials() -> Callable[..., dict[str, str]]:
    return credentials


@pytest.fixture(scope="session")
def rough_portal(
    scenario_dict: Callable[..., dict], one_endpoint: Callable[..., dict]
) -> Callable[..., Any]:
    """Return what opens the application of a small portal, seeded, in an empty folder."""
    from loadtests.portal.app import make_app
    from loadtests.portal.seed import seed
    from loadtests.portal.settings import PortalSettings, Secrets
    from loadtests.portal.store import open_database
    from sim.scenario.scenario import Scenario

    shared = {"data_sets": 5, "fields": 40, "records": 100}
    whole = scenario_dict(one_endpoint([{"delay": 0.0}]), shared_data=shared)
    domain = {"share": 0.5, "limit_median_days": 5.0}
    whole["catalogue"]["domains"] = {"land": domain, "justice": domain}
    scenario = Scenario.model_validate(whole)
    secrets = Secrets(USER_SECRET, CAPTCHA, MONITOR_KEY)

    @contextmanager
    def opened(data: Path, **changes: Any) -> Iterator[Any]:
        small = {"officers": 8, "backlog_per_officer": 2, "index_lag_s": (0.0, 0.0)}
        settings = PortalSettings(scenario, data, secrets=secrets, **(small | changes))
        database = open_database(None, data)
        with closing(database):
            seed(settings, database)
            yield make_app(settings, database)

    return opened


@dataclass
class Portal:
    """A running portal."""

    app: Any
    url: str
    clients: ExitStack

    @property
    def world(self) -> Any:
        return self.app.state.world

    @property
    def operations(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Method, path and description of everything the portal offers."""
        paths = self.app.openapi()["paths"].items()
        return [(method.upper(), path, each) for path, own in paths for method, each in own.items()]

    def client(self, headers: dict[str, str] | None = None) -> httpx.Client:
        client = httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S)
        return self.clients.enter_context(client)

    def signed_in(self, login: str, password: str | None = None) -> httpx.Client:
        """Return the browser of a user, whose password may be a wrong one."""
        return self.client(credentials(login, password))

    def new_login(self) -> str:
        """Return the user name of a citizen whom nobody has met."""
        return f"c031090{next(_numbers):06d}"

    def citizen(self) -> httpx.Client:
        return self.signed_in(self.new_login())

    def officer(self, number: int = 0) -> httpx.Client:
        return self.signed_in(f"o{number:04d}")

    def files_on_disk(self) -> dict[Path, int]:
        folder = self.world.settings.blobs
        return {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}

    def rows(self) -> dict[str, int]:
        """Return how many rows each table has."""
        from sqlalchemy import func, select

        from loadtests.portal.store.models import Base

        with self.world.database.reading() as db:
            return {
                table.name: db.scalar(select(func.count()).select_from(table))
                for table in Base.metadata.sorted_tables
            }

    def connection(self) -> socket:
        port = int(self.url.rpartition(":")[2])
        return create_connection(("127.0.0.1", port), PATIENCE_S)

    def draft(self, client: httpx.Client | None = None) -> "Draft":
        """Begin a dossier that takes papers and costs a fee."""
        from sqlalchemy import select

        from loadtests.portal.store.models import Service

        client = client or self.citizen()
        with self.world.database.reading() as db:
            query = select(Service.code).where(Service.upload_slots > 0, Service.fee_vnd > 0)
            code = db.scalars(query).first()
        answer = client.post(f"{MAIN}/dossiers", data={"serviceCode": code}).json()
        template = client.get(f"{MAIN}/dossiertemplates/{answer['dossierTemplateNo']}").json()
        paper = next(part for part in template["dossierParts"] if part["eForm"] == "false")
        return Draft(client, f"{MAIN}/dossiers/{answer['dossierId']}", paper["partNo"])


@dataclass
class Draft:
    """A citizen's unsent dossier that takes papers."""

    client: httpx.Client
    here: str
    part_no: str

    def upload(self, name: str = "scan.pdf", content: bytes = PDF, **more: str) -> httpx.Response:
        fields = {"dossierPartNo": self.part_no} | more
        return self.client.post(f"{self.here}/files", data=fields, files={"file": (name, content)})

    def post(self, body: Any, kind: str = "multipart/form-data; boundary=B") -> httpx.Response:
        """Send a body as it is to where papers are uploaded."""
        headers = {"Content-Type": kind}
        return self.client.post(f"{self.here}/files", content=body, headers=headers)


def filled(operation: dict[str, Any], text: str, known: dict[str, object]) -> dict[str, Any]:
    """Return a call with this text in every text field, and what is known where it is asked for."""
    query: dict[str, object] = {}
    headers: dict[str, str] = {}
    path: dict[str, object] = {}
    for parameter in operation.get("parameters", ()):
        kind = parameter["schema"].get("type", "string")
        value = known.get(parameter["name"], text if kind == "string" else 1)
        if parameter["in"] == "path":
            path[parameter["name"]] = value
        elif parameter["in"] == "query":
            query[parameter["name"]] = value
        elif parameter["name"].lower() != "authorization":
            headers[parameter["name"]] = str(value)
    return {"path": path, "params": query, "headers": headers} | _body(operation, text, known)


def _body(operation: dict[str, Any], text: str, known: dict[str, object]) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {})
    for kind, described in content.items():
        properties = described["schema"].get("properties", {})
        values = {name: known.get(name, text) for name in properties}
        if kind == "application/json":
            return {"json": values}
        files = {
            name: ("a.pdf", token_bytes(20))
            for name, each in properties.items()
            if each.get("format") == "binary"
        }
        fields = {name: str(value) for name, value in values.items() if name not in files}
        return {"data": fields, "files": files} if "multipart" in kind else {"data": fields}
    return {}


def ask(
    client: httpx.Client,
    method: str,
    path: str,
    operation: dict[str, Any],
    text: str,
    known: dict[str, object],
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """Call an operation with everything it takes, as ``filled`` says."""
    call = filled(operation, text, known)
    call["headers"] |= headers or {}
    values = {name: quote(str(value), safe="") for name, value in call.pop("path").items()}
    return client.request(method, path.format(**values), **call)


@pytest.fixture(scope="session", name="ask")
def _ask() -> Callable[..., httpx.Response]:
    return ask


@pytest.fixture(scope="module")
def portal(rough_portal: Callable[..., Any], tmp_path_factory: Any) -> Iterator[Portal]:
    """Run a portal with small limits on a free port, in a thread."""
    from loadtests.portal.asgi_server import AsgiServer
    from loadtests.portal.listening import listen, url_of

    ready = threading.Event()
    limits = {"max_upload_bytes": FILE_LIMIT, "max_form_bytes": FORM_LIMIT}
    size = {"threads": THREADS, "pool": THREADS, "queue_limit": QUEUE}
    with rough_portal(tmp_path_factory.mktemp("attacked"), **limits, **size) as app:
        server = AsgiServer(app, grace_s=1, on_ready=ready.set)
        with listen("127.0.0.1", 0) as listening, ExitStack() as clients:
            thread = threading.Thread(target=server.serve_on, args=(listening,))
            thread.start()
            try:
                assert ready.wait(PATIENCE_S)
                yield Portal(app, url_of(listening), clients)
            finally:
                clients.close()
                server.should_exit = True
                thread.join()


@pytest.fixture
def draft(portal: Portal) -> Draft:
    """Give a new citizen's unsent dossier."""
    return portal.draft()
