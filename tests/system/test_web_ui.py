"""The web UI of the load test, in a headless browser against a tiny portal."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from loadtests.ordering import Ask, make_order
from loadtests.prediction import PREDICTION
from loadtests.work import Order

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: no browser can be driven"
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

LOCUSTFILE = Path(__file__).parents[2] / "loadtests" / "locustfile.py"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 20_000

PORTAL = """
    import asyncio, json

    QUEUE = {"queue": 0, "busy": 0, "age_s": 1.5, "arrivals": 3, "departures": 3}
    LEVELS = json.dumps({"jobs": {"one_stop_sync": QUEUE}}).encode()


    async def answer(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\\r\\n\\r\\n")
                await asyncio.sleep(0.02)
                body = LEVELS if head.startswith(b"GET /o/hoso/monitor") else b"ok"
                writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


    asyncio.run(main())
"""

DIALECT = """
    from loadtests.dialects import Call, Reading


    class Visitor:
        def call(self, endpoint, *, request, attempt, bytes_up, now_ms):
            return Call("GET", "/" + endpoint)

        def read(self, endpoint, request, attempt, answer):
            return Reading("ok" if answer.status == 200 else "failed")


    class Tiny:
        name = "tiny"
        endpoints = frozenset({"page"})

        def visitor(self, session, journey, service, key):
            return Visitor()


    def tiny(scenario, run_reference, credentials):
        return Tiny()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """End a process with its children, whatever happens."""
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise


@contextmanager
def portal(folder: Path) -> Iterator[str]:
    """Run a portal that answers everything in 20 ms; gives its URL."""
    script = folder / "portal.py"
    script.write_text(textwrap.dedent(PORTAL))
    command = [sys.executable, str(script)]
    with ended(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"


def small(scenario_dict: Callable[..., dict[str, Any]], folder: Path) -> Path:
    """Write a scenario of about 20 visits a second, 30 s long."""
    endpoints = {"page": {"group": "browse", "program": []}}
    whole = scenario_dict(
        {"tiers": {"spare": {}}, "endpoints": endpoints},
        duration_s=30.0,
        title="A small portal",
        targets=[{"metric": "browse.response_s.p95", "at_most": 0.5}],
    )
    whole["demand"] |= {"dossiers_per_year": 20.0 * 86_400 * 366, "online_share": 1.0}
    path = folder / "small.yaml"
    path.write_text(json.dumps(whole))
    return path


def order(scenario: Path, host: str) -> Order:
    """Return a prepared load test whose simulation has ended already."""
    made = make_order(
        Ask(
            scenario=str(scenario),
            host=host,
            dialect="tiny_dialect:tiny",
            results=scenario.parent / "results",
            collects=True,
        )
    )
    values = {"requests": 600, "ok_share": 1.0, "p50_s": 0.021, "p95_s": 0.022, "p99_s": 0.023}
    (made.folder / PREDICTION).write_text(json.dumps({"page": values}))
    return made


@contextmanager
def web_ui(folder: Path, *options: str, **variables: str) -> Iterator[str]:
    """Run Locust with its web UI; gives its URL."""
    port = free_port()
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--web-port", str(port)]
    environment = {"PYTHONPATH": str(folder)} | variables
    process = subprocess.Popen(
        [*command, *options],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=open("/tmp/wx/err.log", "w"),
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    with ended(process):
        url = f"http://127.0.0.1:{port}"
        await_answer(url, process)
        yield url


def await_answer(url: str, process: subprocess.Popen[str]) -> None:
    """Return when a URL answers."""
    until = time.monotonic() + 30.0
    while True:
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


@contextmanager
def browser() -> Iterator[Any]:
    """Run a headless browser."""
    with (
        playwright.sync_playwright() as driver,
        driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as chromium,
    ):
        yield chromium
