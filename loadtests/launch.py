"""Starts what a load test needs: the stand-in portal with its gateways, and Locust."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.children import Children, await_line, kill
from loadtests.gateway_faults import GATEWAYS_VARIABLE
from loadtests.monitor import KEY_VARIABLE
from loadtests.work import LoadError, Order
from sim.results import written_whole

SECRETS = ("HOSO_PORTAL_USER_SECRET", "HOSO_CAPTCHA", KEY_VARIABLE)
"""Environment variables that the stand-in portal and its generator share."""
OFFICERS_VARIABLE = "HOSO_OFFICERS"
KEPT = "stand-in.json"
"""File in a kept folder: what the stand-in there was filled with."""

_FILL_S = 900.0
"""A stand-in portal that is not filled by then is given up, s."""
_GATEWAYS_S = 60.0
_LOCUSTFILE = Path(__file__).with_name("locustfile.py")


@dataclass(frozen=True, slots=True)
class StandIn:
    """The portal that a load test starts for itself; ``hoso portal --help`` says what it means.

    Attributes
    ----------
    database : str or None
        ``postgresql://…``; None: SQLite.
    workers, threads, pool, queue_limit : int
        Web processes; threads, connections and places to wait of each.
    officers : int
        Officers with a work list.
    records : int or None
        Shared-data records; None: the scenario's number.
    has_gateways : bool
        Whether other authorities' services run as a process of their own.
    data : Path or None
        Folder that is kept; None: a temporary one.
    """

    database: str | None = None
    workers: int = 1
    threads: int = 40
    pool: int = 20
    queue_limit: int = 100
    officers: int = 200
    records: int | None = None
    has_gateways: bool = True
    data: Path | None = None


@dataclass(frozen=True, slots=True)
class Generator:
    """How Locust runs.

    Attributes
    ----------
    processes : int
        Worker processes on this machine; 1 means no master.
    expected : int
        Workers that others start, on this or other machines; 0 for none.
    bind_host, bind_port : str, int
        Where a master listens to such workers.
    web_port : int or None
        Port of the web UI; None: none.
    web_host : str
        Where the web UI listens.
    has_web_login : bool
        Whether it asks for a login.
    """

    processes: int = 1
    expected: int = 0
    bind_host: str = "127.0.0.1"
    bind_port: int = 5557
    web_port: int | None = None
    web_host: str = "127.0.0.1"
    has_web_login: bool = False


def share_secrets() -> None:
    """Put secrets into this process's environment, for the portal and its generator alike."""
    for name in SECRETS:
        os.environ.setdefault(name, secrets.token_hex(8))


@contextmanager
def stand_in_portal(stand_in: StandIn, scenario: str, overrides: Sequence[str]) -> Iterator[str]:
    """Run a stand-in portal with its gateways; gives its URL.

    Raises
    ------
    LoadError
        When one of them does not start; with its last words.
    """
    share_secrets()
    os.environ[OFFICERS_VARIABLE] = str(stand_in.officers)
    with _folder(stand_in.data) as folder, Children() as children:
        filled = {"officers": stand_in.officers, "records": stand_in.records}
        with written_whole(folder / KEPT) as temporary:
            temporary.write_text(json.dumps(filled))
        question = ["--scenario", scenario]
        for override in overrides:
            question += ["--set", override]
        gateways = "none"
        if stand_in.has_gateways:
            log = folder / "gateways.log"
            command = [*_hoso("gateways"), *question, "--port", "0"]
            process = children.start(command, log=log, is_read=True)
            gateways = await_line(process, "gateways: ", _GATEWAYS_S, "the gateways", log)
            os.environ[GATEWAYS_VARIABLE] = gateways
        log = folder / "portal.log"
        command = [*_hoso("portal"), *question, "--port", "0", "--gateways", gateways]
        command += ["--data", str(folder / "data"), *_portal_options(stand_in)]
        process = children.start(command, log=log, is_read=True)
        yield await_line(process, "portal: ", _FILL_S, "the stand-in portal", log)


def run_locust(order: Order, generator: Generator) -> None:
    """Run the order to its end.

    Ctrl-C ends it cleanly; a second one at once.

    Raises
    ------
    LoadError
        When a second Ctrl-C came, or the port of the web UI is busy.
    """
    if generator.web_port is not None:
        _check_port(generator.web_port)
    with Children() as children:
        process = children.start(locust_command(order, generator))
        try:
            process.wait()
        except KeyboardInterrupt:
            _end(process)


def locust_command(order: Order, generator: Generator) -> list[str]:
    """Return the command line of Locust."""
    command = [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE)]
    command += ["--hoso-work", str(order.folder), "--host", order.plan.host]
    command += ["--loglevel", "WARNING", "--only-summary"]
    if generator.web_port is None:
        command += ["--headless"]
    else:
        command += ["--web-host", generator.web_host, "--web-port", str(generator.web_port)]
        command += ["--web-login"] if generator.has_web_login else []
    if generator.expected:
        command += ["--master", "--expect-workers", str(generator.expected)]
        command += ["--master-bind-host", generator.bind_host]
        command += ["--master-bind-port", str(generator.bind_port)]
    elif generator.processes > 1:
        port = str(_free_port())
        command += ["--processes", str(generator.processes)]
        command += ["--master-bind-host", "127.0.0.1", "--master-bind-port", port]
        command += ["--master-host", "127.0.0.1", "--master-port", port]
    return command


def worker_command(generator: Generator) -> str:
    """Return what to type on another machine."""
    return (
        "locust -f loadtests/locustfile.py --worker "
        f"--master-host {socket.gethostname()} --master-port {generator.bind_port}"
    )


def _end(process: "subprocess.Popen[str]") -> None:
    """Ask Locust to end and wait; kill it when asked a second time."""
    sys.stderr.write("\nstopping; what was measured is stored (Ctrl-C again: at once)\n")
    process.send_signal(signal.SIGINT)
    try:
        process.wait()
    except KeyboardInterrupt:
        kill(process)
        raise LoadError("stopped at once; nothing is stored") from None


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """Give the folder of the portal's data; a temporary one goes at the end."""
    folder = Path(tempfile.mkdtemp(prefix="hoso-portal-")) if kept is None else kept
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    finally:
        if kept is None:
            shutil.rmtree(folder, ignore_errors=True)


def _hoso(command: str) -> list[str]:
    """Return how one of our own commands is started, installed or not."""
    code = f"from loadtests.commands.{command} import {command}; {command}()"
    return [sys.executable, "-c", code]


def _portal_options(stand_in: StandIn) -> list[str]:
    options: Mapping[str, int | str | None] = {
        "--database": stand_in.database,
        "--workers": stand_in.workers,
        "--threads": stand_in.threads,
        "--pool": stand_in.pool,
        "--queue-limit": stand_in.queue_limit,
        "--officers": stand_in.officers,
        "--records": stand_in.records,
    }
    return [
        text for name, value in options.items() if value is not None for text in (name, str(value))
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _check_port(port: int) -> None:
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LoadError(
                f"port {port} is taken ({error.strerror}); choose another --web-port"
            ) from error
