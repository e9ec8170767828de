"""Nothing acknowledged is lost when the portal, or its data base, is killed in mid-load."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pyarrow.parquet as pq
import pytest

from sim.results import open_run

ROOT = Path(__file__).parents[2]
POSTGRES = ROOT / ".ci" / "postgres"
KEYS = {"HOSO_MONITOR_KEY": "monitor", "HOSO_PORTAL_USER_SECRET": "users", "HOSO_CAPTCHA": "7"}
KILL_AFTER_S = 3.0
"""After the first dossier was filed: others are under way then."""

SCENARIO = f"""
name: crash
extends: {ROOT}/scenarios/peak-hour.yaml
window: {{duration_s: 20 s, warm_up_s: 1 s, drain_s: 60 s}}
demand:
  day_factor: 6
  think_factor: 0.01
  journeys:
    browse: {{per_dossier: 0.1}}
    track: {{per_dossier: 0.1}}
    pay: {{per_dossier: 0.1}}
    supplement: {{per_dossier: 0.1}}
    mistaken: {{per_dossier: 0}}
    officer: {{per_dossier: 0.2}}
# Patient enough to outlast the crash.
clients:
  citizen: {{patience: 60 s, retries: 12, backoff_s: 1 s, backoff_factor: 1.1}}
  officer: {{patience: 60 s, retries: 12, backoff_s: 1 s, backoff_factor: 1.1}}
portal:
  jobs:
    one_stop_sync: {{period_s: 2 s}}
    national_sync: {{period_s: 2 s}}
abort: [{{metric: all.ok_share, below: 0, for_s: 1000 s, grace_s: 0 s}}]
targets: [{{metric: all.ok_share, at_least: 0}}]
"""


def command(name: str, *options: object) -> list[str]:
    code = f"from loadtests.commands.{name} import {name}; {name}()"
    return [sys.executable, "-c", code, *map(str, options)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def until(condition: Callable[[], object], within_s: float = 120.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.1)


class Portal:
    """A portal on one port and one set of data, started again after each kill."""

    def __init__(self, folder: Path, scenario: Path, database: str | None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "portal.log"
        options = ["--scenario", scenario, "--data", folder / "data", "--port", self.port]
        options += ["--records", 500, "--officers", 30, "--gateways", "none"]
        options += ["--database", database] if database else []
        self._command = command("portal", *options)
        self._process: psutil.Popen | None = None

    def start(self) -> None:
        with self._log.open("a") as log:
            self._process = psutil.Popen(
                self._command, env=os.environ | KEYS, stdout=log, stderr=subprocess.STDOUT
            )
        until(self._answers)

    def kill(self) -> None:
        """Kill every process of it at once, as a lost machine would."""
        assert self._process is not None
        family = [self._process, *self._process.children(recursive=True)]
        for process in family:
            process.send_signal(signal.SIGKILL)
        self._process.wait()
        psutil.wait_procs(family, timeout=30)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            return httpx.get(f"{self.url}/o/rest/v2/ping", timeout=5).text == "ok"
        except httpx.HTTPError:
            return False


class Sqlite:
    """No server to kill: the data base dies with the portal."""

    url = None

    def crash(self) -> None:
        pass


class PostgreSql:
    """A server of its own, killed with all it runs."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.url = self._start()

    def crash(self) -> None:
        pid = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        server = psutil.Process(pid)
        family = [server, *server.children(recursive=True)]
        for process in family:
            process.kill()
        psutil.wait_procs(family, timeout=30)
        self._start()

    def stop(self) -> None:
        subprocess.run(["bash", POSTGRES, "stop", self._folder], check=True)

    def _start(self) -> str:
        started = subprocess.run(
            ["bash", POSTGRES, "start", self._folder, str(self._port)],
            check=True,
            capture_output=True,
            text=True,
        )
        return started.stdout.strip()


@contextmanager
def postgresql() -> Iterator[PostgreSql]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = PostgreSql(folder)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def sqlite() -> Iterator[Sqlite]:
    yield Sqlite()


has_postgresql = any(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "database",
    [
        sqlite,
        pytest.param(
            postgresql,
            marks=[
                pytest.mark.skipif(
                    not has_postgresql,
                    reason="PostgreSQL is not installed: bash .ci/postgres install",
                ),
            ],
        ),
    ],
)
def test_nothing_acknowledged_is_lost_when_all_is_killed_in_mid_load(database, tmp_path):
    scenario = tmp_path / "crash.yaml"
    scenario.write_text(SCENARIO)
    with database() as store:
        portal = Portal(tmp_path, scenario, store.url)
        portal.start()
        try:
            load = loaded(scenario, portal, store, tmp_path)
            run = open_run("crash", tmp_path / "results")
            assert run.manifest.source == "measured", load
            outcomes = run.requests["outcome"].to_pylist()
            assert outcomes.count("failed") > 0, "nobody noticed the crash"
            assert_promises_span_the_crash(run)
            found = subprocess.run(
                command(
                    "reconcile", "crash", "--host", portal.url, "--results", run.path.parents[1]
                ),
                env=os.environ | KEYS,
                capture_output=True,
                text=True,
            )
            assert found.returncode == 0, found.stdout + found.stderr
            assert "nothing is lost" in found.stdout
        finally:
            portal.kill()


def loaded(scenario: Path, portal: Portal, store: Sqlite | PostgreSql, folder: Path) -> str:
    """Load the portal, kill it and its data base on the way, and start both again."""
    log = folder / "load.log"
    with log.open("w") as output:
        process = psutil.Popen(
            command(
                *("load", scenario, "--host", portal.url, "--results", folder / "results"),
                *("--no-reconcile", "--no-report"),
            ),
            env=os.environ | KEYS | {"HOSO_OFFICERS": "30"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: filed(portal) or process.poll() is not None)
        time.sleep(KILL_AFTER_S)
        assert process.poll() is None, log.read_text()
        portal.kill()
        store.crash()
        portal.start()
        process.wait(180)
    finally:
        for member in [*process.children(recursive=True), process] if process.is_running() else []:
            member.kill()
        process.wait()
    return log.read_text()


def filed(portal: Portal) -> int:
    """Return how many changes of status the portal has queued."""
    header = {"X-Hoso-Key": KEYS["HOSO_MONITOR_KEY"]}
    try:
        answer = httpx.get(f"{portal.url}/o/hoso/monitor", headers=header, timeout=10)
    except httpx.HTTPError:
        return 0
    count: int = json.loads(answer.content)["jobs"]["one_stop_sync"]["arrivals"]
    return count


def assert_promises_span_the_crash(run) -> None:
    promises = pq.read_table(run.path / "acknowledged.parquet")
    kinds = promises["kind"].to_pylist()
    assert {"dossier", "attachment", "action"} <= set(kinds)
    failed_s = [
        due
        for due, outcome in zip(
            run.requests["due_s"].to_pylist(), run.requests["outcome"].to_pylist(), strict=True
        )
        if outcome == "failed"
    ]
    dossiers_s = [
        at
        for at, kind in zip(promises["at_s"].to_pylist(), kinds, strict=True)
        if kind == "dossier"
    ]
    assert min(dossiers_s) < min(failed_s) < max(dossiers_s)
