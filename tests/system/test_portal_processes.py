"""The processes of a stand-in portal: killed ones come back, none outlives its supervisor."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

KEYS = {"HOSO_MONITOR_KEY": "monitor", "HOSO_PORTAL_USER_SECRET": "users", "HOSO_CAPTCHA": "7"}
COMMAND = (
    "from loadtests.commands.portal import portal; portal()",
    *("--port", "0", "--records", "50", "--officers", "2", "--backlog", "0", "--workers", "2"),
)


@contextmanager
def portal_on(folder: Path, log: Path) -> Iterator[tuple[psutil.Popen, str]]:
    """Run a portal; give its supervisor and its URL."""
    with log.open("w") as output:
        process = psutil.Popen(
            [sys.executable, "-c", *COMMAND, "--data", str(folder)],
            env=os.environ | KEYS,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: "portal: http" in log.read_text() or process.poll() is not None)
        found = re.search(r"^portal: (\S+)$", log.read_text(), re.MULTILINE)
        assert found, log.read_text()
        yield process, found[1]
    finally:
        family = [process, *children(process)]
        for member in family:
            if member.is_running():
                member.kill()
        process.wait()


def children(process: psutil.Process) -> list[psutil.Process]:
    return process.children(recursive=True) if process.is_running() else []


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120.0
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.05)


def monitor(url: str) -> dict:
    header = {"X-Hoso-Key": "monitor"}
    return httpx.get(f"{url}/o/hoso/monitor", headers=header, timeout=60.0).json()


def test_killed_processes_come_back_and_a_killed_portal_leaves_none_behind(tmp_path: Path) -> None:
    log, data = tmp_path / "log", tmp_path / "data"
    with portal_on(data, log) as (supervisor, url):
        assert monitor(url)["workers"]["capacity"] == 80
        first = children(supervisor)
        assert len(first) == 3
        for process in first:
            process.kill()
        until(lambda: len({p.pid for p in children(supervisor)} - {p.pid for p in first}) == 3)
        text = log.read_text()
        for name in ("web process 1", "web process 2", "job process"):
            assert f"the {name} ended ({-signal.SIGKILL}); it is started again" in text
        until(lambda: monitor(url)["workers"]["capacity"] == 80)
        second = children(supervisor)
        supervisor.kill()
        supervisor.wait()
        until(lambda: not any(process.is_running() for process in second))

    # It starts on the data of the one that was killed, and ends cleanly when it is told to.
    with portal_on(data, log) as (supervisor, url):
        assert httpx.get(f"{url}/o/rest/v2/ping").text == "ok"
        third = children(supervisor)
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(60) == 0
        assert not any(process.is_running() for process in third)
