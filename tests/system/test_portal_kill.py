"""Every process of the stand-in portal killed in the middle of its work: no promise is broken."""

import base64
import hashlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from loadtests.portal.accounts import password_of

SECRET, KEY = "a secret for tests", "a key for tests"
MAIN = "/o/rest/v2"
SMALL = ("--records", "50", "--officers", "2", "--backlog", "1", "--threads", "8", "--pool", "4")
START = "from loadtests.commands.portal import portal; portal()"
CLIENTS, PROMISES = 4, 12
"""Clients that file side by side; kept promises after which the portal is killed."""


@contextmanager
def running(data: Path) -> Iterator[tuple[psutil.Process, str]]:
    """Run a portal in processes of its own; gives the first of them and the URL."""
    secrets = {"HOSO_PORTAL_USER_SECRET": SECRET, "HOSO_MONITOR_KEY": KEY}
    process = subprocess.Popen(
        [sys.executable, "-c", START, *SMALL, "--port", "0", "--data", str(data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | secrets,
    )
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        yield (
            psutil.Process(process.pid),
            next(line.split()[1] for line in lines if line.startswith("portal:")),
        )
    finally:
        process.terminate()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@dataclass
class Promised:
    """What the portal acknowledged to all clients."""

    papers: dict[str, tuple[int, str]] = field(default_factory=dict)
    sent: set[int] = field(default_factory=set)
    is_enough: threading.Event = field(default_factory=threading.Event)


def browser(url: str, serial: int) -> httpx.Client:
    """Return the browser of one citizen."""
    login = f"c0310859{serial:05d}"
    pair = base64.b64encode(f"{login}:{password_of(SECRET, login)}".encode()).decode()
    return httpx.Client(base_url=url, headers={"Authorization": f"Basic {pair}"}, timeout=30)


def file_until_killed(url: str, client: int, promised: Promised) -> None:
    """File dossier after dossier with one paper each, until nobody answers."""
    with browser(url, client) as me:
        offered = me.get(f"{MAIN}/serviceconfigs?start=0&end=50").json()["data"]
        for number in itertools.count():
            try:
                file_one(me, offered[number % len(offered)], client, promised)
            except httpx.HTTPError:
                return


def file_one(me: httpx.Client, offer: dict[str, str], client: int, promised: Promised) -> None:
    draft = me.post(f"{MAIN}/dossiers", data={"serviceCode": offer["serviceCode"]}).json()
    here = f"{MAIN}/dossiers/{draft['dossierId']}"
    me.put(here, data={"applicantNote": f"hoso-kill/{client}/{draft['dossierId']}"})
    content = os.urandom(200_000)
    paper = me.post(
        f"{here}/files", data={"dossierPartNo": "TP01"}, files={"file": ("a.pdf", content)}
    )
    if paper.status_code == 200:
        sha256 = hashlib.sha256(content).hexdigest()
        promised.papers[paper.json()["referenceUid"]] = (draft["dossierId"], sha256)
    for code in ("1100", "1300"):
        done = me.post(f"{here}/actions", data={"actionCode": code})
        if code == "1300" and done.status_code == 200:
            promised.sent.add(draft["dossierId"])
    if len(promised.sent) >= PROMISES:
        promised.is_enough.set()


def kill_all(process: psutil.Process) -> None:
    """Kill a process and its children, without a word of warning."""
    family = [process, *process.children(recursive=True)]
    for member in family:
        member.send_signal(signal.SIGKILL)
    psutil.wait_procs(family, timeout=30)


def test_killed_while_citizens_file_it_keeps_every_promise(tmp_path: Path) -> None:
    promised = Promised()
    with running(tmp_path) as (process, url):
        clients = [
            threading.Thread(target=file_until_killed, args=(url, client, promised))
            for client in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        assert promised.is_enough.wait(120)
        kill_all(process)
        for client in clients:
            client.join()

    with running(tmp_path) as (_, url), httpx.Client(base_url=url, timeout=60) as auditor:
        rows = auditor.get(
            "/o/hoso/audit/dossiers",
            params={"reference": "hoso-kill"},
            headers={"X-Hoso-Key": KEY},
        ).json()["data"]

    files = {
        file["referenceUid"]: (row["dossierId"], file) for row in rows for file in row["files"]
    }
    kept = {uid: (number, files[uid][1]["sha256"]) for uid, (number, _) in promised.papers.items()}
    assert kept == promised.papers
    assert all(file["stored"] for _, file in files.values())
    codes = {row["dossierId"]: [action["code"] for action in row["actions"]] for row in rows}
    assert all(codes[number] == ["1100", "1300"] for number in promised.sent)
    told = {row["dossierId"]: row["actions"][-1]["sync"] for row in rows if row["actions"]}
    assert all(told[number] in ("queued", "done") for number in promised.sent)
