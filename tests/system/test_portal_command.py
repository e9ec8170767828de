"""The command `hoso portal`: what it says when it cannot run; that killing it loses nothing."""

import base64
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from loadtests.commands.portal import portal
from loadtests.portal.accounts import password_of
from loadtests.portal.seed import seed
from loadtests.portal.settings import PortalSettings
from loadtests.portal.store import open_database
from sim.scenario import load_scenario

SECRET = "a secret for tests"
SMALL = ("--records", "50", "--officers", "2", "--backlog", "1", "--threads", "4", "--pool", "2")
START = "from loadtests.commands.portal import portal; portal()"


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(portal, [*SMALL, "--port", "0", *arguments])


@contextmanager
def running(data: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a portal in a process of its own; gives the process and its URL."""
    environment = os.environ | {"HOSO_PORTAL_USER_SECRET": SECRET}
    process = subprocess.Popen(
        [sys.executable, "-c", START, *SMALL, "--port", "0", "--data", str(data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        url = next(line.split()[1] for line in lines if line.startswith("portal:"))
        yield process, url
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def register(url: str, serial: int) -> int:
    """Sign a new citizen in; return the account's number."""
    login = f"c0310859{serial:05d}"
    request = urllib.request.Request(f"{url}/o/rest/v2/login", method="POST", data=b"")
    pair = f"{login}:{password_of(SECRET, login)}"
    request.add_header("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
    with urllib.request.urlopen(request) as answer:
        return int(json.load(answer)["userId"])


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    with running(tmp_path) as (process, url):
        before = [register(url, serial) for serial in range(20)]
        process.send_signal(signal.SIGKILL)
        process.wait()

    with running(tmp_path) as (_, url):
        after = [register(url, serial) for serial in range(20)]

    assert after == before


def test_it_stops_well_when_it_is_told_to(tmp_path: Path) -> None:
    with running(tmp_path) as (process, url):
        register(url, 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        port = int(url.rpartition(":")[2])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 1)


def test_two_portals_do_not_share_a_folder(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused = invoke("--data", str(tmp_path))

    assert refused.exit_code == 3
    assert "another portal runs" in refused.output


def test_a_busy_port_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = invoke("--data", str(tmp_path / "data"), "--port", port)

    assert refused.exit_code == 3
    assert "is taken" in refused.output
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--scenario", "no-such"), 2, "no-such"),
        (("--gateways", "localhost:8081"), 2, "http://127.0.0.1:8081"),
        (("--database", "sqlite:///x"), 2, "postgresql://"),
        (("--database", "postgresql://nobody@127.0.0.1:1/x"), 3, "does not answer"),
        (("--index-lag", "2", "1"), 2, "the least delay comes first"),
        (("--bind", "203.0.113.7"), 3, "no address of this machine"),
        (("--data", "/dev/null/portal"), 2, "cannot be written"),
    ],
)
def test_what_cannot_run_is_said_in_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    refused = invoke("--data", str(tmp_path), *arguments)

    assert refused.exit_code == code, refused.output
    assert words in refused.output
    assert "Traceback" not in refused.output


def test_a_folder_with_another_scenarios_data_is_refused(tmp_path: Path) -> None:
    settings = PortalSettings(load_scenario("peak-hour"), tmp_path, records=40, officers=2)
    database = open_database(None, tmp_path)
    seed(settings, database)
    database.close()

    refused = invoke("--data", str(tmp_path))

    assert refused.exit_code == 2
    assert "records" in refused.output
