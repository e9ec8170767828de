"""The web UI of the load test, in a headless browser against a tiny portal."""

import io
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from loadtests.commands.load import load
from loadtests.ordering import Ask, make_order
from loadtests.prediction import PREDICTION
from loadtests.work import Order
from sim.exit_codes import USAGE_WRONG

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
WAIT_MS = 60_000
BASE_PATH = "/load"
USER, PASSWORD = "planner", "Hải Phòng"

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
                size = b"Content-Length: %d\\r\\n\\r\\n" % len(body)
                writer.write(b"HTTP/1.1 200 OK\\r\\n" + size + body)
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
    """End a process, whatever happens; none of those it has started may be left."""
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


@contextmanager
def portal(folder: Path) -> Iterator[str]:
    """Run a portal that answers everything in 20 ms; gives its URL."""
    script = folder / "portal.py"
    script.write_text(textwrap.dedent(PORTAL))
    command = [sys.executable, str(script)]
    with ended(
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    ) as process:
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
    """Run Locust with its web UI below a path; gives its URL."""
    port = free_port()
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--web-port", str(port)]
    command += ["--web-base-path", BASE_PATH]
    environment = {"PYTHONPATH": str(folder)} | variables
    with (folder / "locust.log").open("w") as log:
        process = subprocess.Popen(
            [*command, *options],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    with ended(process):
        url = f"http://127.0.0.1:{port}{BASE_PATH}"
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


@dataclass
class Seen:
    """What a planner saw, in order."""

    without_login: int
    after_wrong_password: str
    choices: list[str]
    other_catalogue: str
    early_download: tuple[int, str]
    while_running: str
    prediction: str
    trust: str
    lines: dict[str, int]
    trust_afterwards: str
    charts_afterwards: str
    archive: bytes
    report: str
    second_trust: str


@pytest.fixture(scope="module")
def seen(
    tmp_path_factory: pytest.TempPathFactory, scenario_dict: Callable[..., dict[str, Any]]
) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("web-ui")
    (folder / "tiny_dialect.py").write_text(textwrap.dedent(DIALECT))
    with pytest.MonkeyPatch.context() as patch, portal(folder) as host:
        patch.syspath_prepend(folder)
        made = order(small(scenario_dict, folder), host)
        variables = {
            "HOSO_WEB_USER": USER,
            "HOSO_WEB_PASSWORD": PASSWORD,
            "HOSO_MONITOR_KEY": "any",
        }
        options = ("--hoso-work", str(made.folder), "--web-login")
        with web_ui(folder, *options, **variables) as url, browser() as chromium:
            page = chromium.new_context(viewport={"width": 1400, "height": 900}).new_page()
            page.set_default_timeout(WAIT_MS)
            yield planner(page, url)


def planner(page: Any, url: str) -> Seen:
    """Log in, start a test, watch it, stop it, fetch its run, start another."""
    return Seen(
        **before(page, url),
        **during(page, url),
        **afterwards(page, url),
        second_trust=second(page),
    )


def before(page: Any, url: str) -> dict[str, Any]:
    closed = httpx.get(f"{url}/hoso/series.json", trust_env=False)
    page.goto(f"{url}/")
    log_in(page, "guess")
    alert = page.get_by_role("alert").inner_text()
    log_in(page, PASSWORD)
    page.get_by_text("Custom parameters").click()
    choices = page.get_by_label("Scenario").locator("option").all_inner_texts()
    page.get_by_label("Overrides").fill("catalogue.procedures=20")
    page.get_by_role("button", name="Start").click()
    other_catalogue = page.get_by_role("alert").inner_text()
    page.get_by_label("Overrides").fill("")
    early = page.request.get(f"{url}/hoso/run.zip")
    return {
        "without_login": closed.status_code,
        "after_wrong_password": alert,
        "choices": choices,
        "other_catalogue": other_catalogue,
        "early_download": (early.status, early.text()),
    }


def during(page: Any, url: str) -> dict[str, Any]:
    page.get_by_role("button", name="Start").click()
    page.get_by_role("tab", name="Prediction").click()
    page.get_by_role("cell", name="100.0%").wait_for()
    prediction = page.inner_text("table")
    page.get_by_role("tab", name="Trust").click()
    trust = page.inner_text("table")
    again = page.request.post(f"{url}/swarm", form={"user_count": "1", "spawn_rate": "1"})
    charts = page.context.new_page()
    charts.goto(f"{url}/hoso/charts")
    charts.locator("#times path").first.wait_for(state="attached")
    lines = {name: charts.locator(f"#{name} path").count() for name in ("rates", "times", "ages")}
    charts.close()
    return {
        "prediction": prediction,
        "trust": trust,
        "while_running": again.json()["message"],
        "lines": lines,
    }


def afterwards(page: Any, url: str) -> dict[str, Any]:
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="New").wait_for()
    trust = page.inner_text("table")
    charts = page.context.new_page()
    charts.goto(f"{url}/hoso/charts")
    charts.get_by_text("Stored in").wait_for()
    told = charts.inner_text("body")
    charts.close()
    return {
        "trust_afterwards": trust,
        "charts_afterwards": told,
        "archive": page.request.get(f"{url}/hoso/run.zip").body(),
        "report": page.request.get(f"{url}/hoso/report", timeout=WAIT_MS).text(),
    }


def second(page: Any) -> str:
    page.get_by_role("button", name="New").click()
    page.get_by_text("Custom parameters").click()
    page.get_by_label("Overrides").fill("window.duration_s=2")
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Stop").wait_for()
    page.get_by_role("button", name="New").wait_for()
    return str(page.inner_text("table"))


def log_in(page: Any, password: str) -> None:
    page.get_by_label("Username").fill(USER)
    page.get_by_role("textbox", name="Password").fill(password)
    page.get_by_role("button", name="Login").click()


def stored_in(table: str) -> str:
    return table.partition("stored in")[2].split()[0]


def test_nothing_is_shown_without_the_login(seen: Seen) -> None:
    assert seen.without_login == httpx.codes.FOUND


def test_a_wrong_password_is_told(seen: Seen) -> None:
    assert "wrong" in seen.after_wrong_password


def test_the_form_offers_the_given_and_the_shipped_scenarios(seen: Seen) -> None:
    assert seen.choices[0].endswith("small.yaml")
    assert "peak-hour" in seen.choices


def test_a_catalogue_the_stand_in_does_not_know_is_refused(seen: Seen) -> None:
    assert "started with the catalogue of small" in seen.other_catalogue


def test_there_is_nothing_to_download_before_a_run(seen: Seen) -> None:
    status, text = seen.early_download
    assert status == httpx.codes.NOT_FOUND
    assert "No run is stored yet" in text


def test_measured_is_shown_beside_simulated(seen: Seen) -> None:
    (row,) = (line for line in seen.prediction.splitlines() if line.startswith("page"))
    cells = row.split("\t")
    assert int(cells[1]) > 0
    assert cells[2] == "600"
    assert (cells[5], cells[7], cells[8]) == ("21 ms", "22 ms", "500 ms")


def test_trust_is_shown_while_it_runs(seen: Seen) -> None:
    assert "trustworthy" in seen.trust
    assert "lateness of sending" in seen.trust


def test_a_running_test_cannot_be_changed(seen: Seen) -> None:
    assert "stop it first" in seen.while_running


def test_the_charts_are_drawn(seen: Seen) -> None:
    assert seen.lines == {"rates": 2, "times": 3, "ages": 1}


def test_a_stopped_test_says_what_it_is_worth_and_where_it_is(seen: Seen) -> None:
    assert "the answer" in seen.trust_afterwards
    assert stored_in(seen.trust_afterwards) in seen.charts_afterwards


def test_the_download_is_the_whole_run(seen: Seen) -> None:
    with zipfile.ZipFile(io.BytesIO(seen.archive)) as archive:
        assert archive.testzip() is None
        names = {Path(name).name: name for name in archive.namelist()}
        manifest = json.loads(archive.read(names["manifest.json"]))
        assert "requests.parquet" in names
    assert manifest["source"] == "measured"
    assert manifest["status"] == "interrupted"


def test_the_report_is_one_link_away(seen: Seen) -> None:
    assert "A small portal" in seen.report


def test_another_question_is_drawn_and_stored_by_itself(seen: Seen) -> None:
    first, second = stored_in(seen.trust_afterwards), stored_in(seen.second_trust)
    assert first != second
    manifest = json.loads((Path(second) / "manifest.json").read_text())
    assert manifest["overrides"] == ["window.duration_s=2"]
    assert manifest["status"] == "complete"


def test_a_web_ui_open_to_others_needs_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOSO_WEB_USER", raising=False)
    for options in (["--web-host", "0.0.0.0"], ["--web-login"]):
        result = CliRunner().invoke(load, ["peak-hour", "--web", *options])
        assert result.exit_code == USAGE_WRONG
        assert "HOSO_WEB_USER" in result.output
