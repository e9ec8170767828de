"""`hoso load` against a tiny portal: every request of the trace is sent, and the truth is told."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from loadtests.commands.load import load
from sim.comparison import compare
from sim.demand import draw_trace
from sim.engine import simulate
from sim.exit_codes import RUN_FAILED, UNTRUSTWORTHY, USAGE_WRONG
from sim.metrics import check_conservation, summarise
from sim.results import Run, RunWriter, open_run
from sim.scenario import load_scenario

LOCUSTFILE = Path(__file__).parents[2] / "loadtests" / "locustfile.py"
WAIT_S = 240.0
OUTPUT = "output.txt"
FREEZE_S = (2.0, 3.0)
"""When the freezing portal stands still, s from its first request."""

DIALECT = """
    from loadtests.dialects import Acknowledgement, Call, Reading


    class Visitor:
        def __init__(self, session, journey):
            self.place = f"/{session}/{journey}"

        def call(self, endpoint, *, request, attempt, bytes_up, now_ms):
            body = b"x" * bytes_up
            return Call("POST" if body else "GET", f"{self.place}/{endpoint}/{request}", {}, body)

        def read(self, endpoint, request, attempt, answer):
            if answer.status != 200:
                return Reading("failed", f"answer {answer.status}")
            if endpoint != "file":
                return Reading("ok")
            return Reading("ok", acknowledged=Acknowledgement("dossier", "7", "hoso-1/2/3"))


    class Tiny:
        name = "tiny"
        endpoints = frozenset({"page", "part", "file"})

        def visitor(self, session, journey, service, key):
            return Visitor(session, journey)


    def tiny(scenario, run_reference, credentials):
        return Tiny()


    def poor(scenario, run_reference, credentials):
        dialect = Tiny()
        dialect.endpoints = frozenset({"page"})
        return dialect
"""


@dataclass
class Portal:
    """A portal in a thread of this process; it remembers every path it was asked for."""

    status: int = 200
    delay_s: float = 0.005
    frozen_s: tuple[float, float] = (0.0, 0.0)
    asked: Counter = field(default_factory=Counter)
    first_at: float = 0.0
    url: str = ""

    def start(self) -> "Portal":
        """Listen on a free port."""
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=[ready])
        self._thread.start()
        ready.wait()
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(ready))
        self._loop.close()

    async def _serve(self, ready: threading.Event) -> None:
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await self._stopped.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                _, found, rest = head.lower().partition(b"content-length:")
                await reader.readexactly(int(rest.split(b"\r\n")[0]) if found else 0)
                self.asked[head.split(b" ", 2)[1].decode()] += 1
                await self._pause()
                writer.write(b"HTTP/1.1 %d Any\r\nContent-Length: 2\r\n\r\nok" % self.status)
        writer.close()

    async def _pause(self) -> None:
        now = time.monotonic()
        self.first_at = self.first_at or now
        start, end = self.frozen_s
        is_frozen = start <= now - self.first_at < end
        await asyncio.sleep(self.first_at + end - now if is_frozen else self.delay_s)


@dataclass
class Load:
    """One load test under way."""

    portal: Portal
    process: subprocess.Popen
    folder: Path

    def wait(self) -> int:
        """Wait until it has ended; returns its exit code."""
        return self.process.wait(timeout=WAIT_S)

    @property
    def output(self) -> str:
        """What it said so far."""
        return (self.folder / OUTPUT).read_text()

    def run(self) -> Run:
        """Return the run it stored."""
        try:
            return open_run("small", self.folder / "results")
        except Exception as error:
            raise AssertionError(f"no run; it said:\n{self.output}") from error

    def await_requests(self, n: int) -> None:
        """Wait until the portal has been asked so often."""
        until = time.monotonic() + WAIT_S
        while self.portal.asked.total() < n:
            assert time.monotonic() < until, "no load"
            assert self.process.poll() is None, self.output
            time.sleep(0.05)


@pytest.fixture(scope="module", name="place")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the dialect."""
    folder = tmp_path_factory.mktemp("load")
    (folder / "tiny_dialect.py").write_text(textwrap.dedent(DIALECT))
    return folder


def scenario_of(scenario_dict: Callable[..., dict], duration_s: float, **blocks: object) -> dict:
    """Return a scenario of about 20 visits a second: two parts at once, then a paper, or a look."""
    program = [{"take": "app"}, {"cpu": "app", "work": "5 ms"}]
    endpoints = {name: {"group": "all_of_them", "program": program} for name in ("page", "part")}
    endpoints["file"] = {"group": "filing", "program": program, "files_dossier": True}
    portal = {"tiers": {"app": {"cores": 4}}, "endpoints": endpoints}
    visit = [
        {"step": "open", "calls": {"page": 1, "part": 2}, "together": 3},
        {
            "step": "file",
            "calls": {"file": 1},
            "think": "200 ms",
            "upload": {"mean_bytes": "200 kB", "cv": 0},
        },
    ]
    look = [{"step": "look", "calls": {"page": 1}, "think": "exponential 100 ms", "repeat": 2}]
    journeys = {
        "visit": {"client": "person", "steps": visit},
        "look": {"client": "person", "steps": look},
    }
    shares = {"per_dossier": 1.0, "hours": "flat"}
    demand = scenario_dict(portal)["demand"]
    demand |= {"dossiers_per_year": 4e8, "journeys": {"visit": shares, "look": shares}}
    whole = scenario_dict(portal, duration_s, journeys=journeys, demand=demand)
    whole["window"] |= {"drain_s": 5.0}
    return whole | {"clients": {"person": {"patience": "10 s"}}} | blocks


def begin(
    place: Path,
    name: str,
    scenario: dict,
    portal: Portal,
    *options: str,
    command: Sequence[str] = (),
) -> Load:
    """Start a load test in the background."""
    folder = place / name
    folder.mkdir()
    (folder / "small.yaml").write_text(json.dumps(scenario))
    usual = [sys.executable, "-c", "from loadtests.commands.load import load; load()", "small.yaml"]
    usual += ["--no-report"]
    with (folder / OUTPUT).open("w") as output:
        process = subprocess.Popen(
            [*(command or usual), "--dialect", "tiny_dialect:tiny", "--host", portal.url, *options],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(place)},
            stdout=output,
            stderr=output,
        )
    return Load(portal, process, folder)


LOCUST = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
PLAIN = [*LOCUST, "--scenario", "small.yaml"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module", name="loads")
def _loads(place: Path, scenario_dict: Callable[..., dict]) -> Iterator[dict[str, Load]]:
    """All load tests at once: each spends most of its time waiting."""
    short = scenario_of(scenario_dict, 4.0)
    rules = [{"metric": "all.ok_share", "below": 0.5, "for_s": 1.0, "grace_s": 1.0}]
    remote = f"--expect-workers=1 --bind-port={free_port()}".split()
    loads = {}

    def start(name: str, scenario: dict, portal: Portal, *options: str, **more: object) -> None:
        loads[name] = begin(place, name, scenario, portal.start(), *options, **more)

    try:
        start("alone", short, Portal())
        start("two", short, Portal(), "--processes", "2")
        start("frozen", scenario_of(scenario_dict, 6.0), Portal(frozen_s=FREEZE_S))
        start("killed", scenario_of(scenario_dict, 9.0), Portal(), "--processes", "2")
        start("interrupted", scenario_of(scenario_dict, 60.0), Portal())
        start("refused", scenario_of(scenario_dict, 60.0, abort=rules), Portal(status=500))
        start("remote", short, Portal(), *remote)
        start(
            "capped", scenario_of(scenario_dict, 60.0), Portal(), "--max-requests=60", command=PLAIN
        )
        worker = [*LOCUST, "--worker", "--no-shared-folder", "--master-port", remote[1][12:]]
        loads["worker"] = begin(place, "worker", short, loads["remote"].portal, command=worker)
        loads["killed"].await_requests(50)
        (locust,) = psutil.Process(loads["killed"].process.pid).children()
        locust.children()[0].kill()
        loads["interrupted"].await_requests(50)
        loads["interrupted"].process.send_signal(signal.SIGINT)
        yield loads
    finally:
        for load_test in loads.values():
            load_test.portal.stop()
            if load_test.process.poll() is None:
                load_test.process.kill()
                load_test.process.wait()


def planned(load_test: Load) -> Counter:
    """Return the paths that the trace of a load test asks for."""
    scenario = load_scenario(str(load_test.folder / "small.yaml"))
    trace = draw_trace(scenario, 0)
    sessions = np.repeat(np.arange(trace.n_sessions), np.diff(trace.first_request))
    return Counter(
        f"/{session}/{trace.journeys[trace.journey[session]]}/{trace.endpoints[endpoint]}/"
        f"{request - trace.first_request[session]}"
        for request, (session, endpoint) in enumerate(
            zip(sessions.tolist(), trace.endpoint.tolist(), strict=True)
        )
    )


@pytest.mark.parametrize("name", ["alone", "two", "remote"])
def test_exactly_the_requests_of_the_trace_are_sent_and_recorded(loads, name: str) -> None:
    code = loads[name].wait()
    run = loads[name].run()
    assert loads[name].portal.asked == planned(loads[name])
    requests = run.requests.to_pylist()
    recorded = Counter((row["session"], row["step"]) for row in requests)
    assert len(recorded) == len(requests) == loads[name].portal.asked.total()
    assert {row["outcome"] for row in requests} == {"ok"}
    assert list(check_conservation(run)) == []
    assert run.manifest.status == "complete"
    assert run.manifest.trust["figures"]["lateness_p99_s"] > 0.0
    is_trusted = run.manifest.trust["verdict"] == "trustworthy"
    assert (code == UNTRUSTWORTHY) == (not is_trusted), loads[name].output


def test_workers_share_the_sessions(loads) -> None:
    loads["two"].wait()
    assert loads["two"].run().manifest.load["workers"] == 2


def test_dossiers_are_on_record_with_what_was_promised(loads) -> None:
    loads["alone"].wait()
    run = loads["alone"].run()
    filed = sum("/file/" in path for path in loads["alone"].portal.asked)
    assert run.dossiers.num_rows == filed > 0
    promises = pq.read_table(run.path / "acknowledged.parquet")
    assert promises.num_rows == filed
    assert promises["reference"].to_pylist()[0] == "hoso-1/2/3"


def test_a_load_test_is_compared_with_a_simulation_session_by_session(loads, place: Path) -> None:
    loads["alone"].wait()
    measured = loads["alone"].run()
    with RunWriter.resume_or_create(place / "simulated", measured.scenario) as writer:
        writer.add(0, simulate(measured.scenario, 0))
        simulated = writer.finish(summarise=summarise)
    comparison = compare(simulated, measured)
    assert comparison.requests is not None
    is_judged = measured.requests["due_s"].to_numpy() < measured.scenario.window.duration_s
    assert 0.9 * is_judged.sum() < comparison.requests.n <= is_judged.sum()


def test_a_portal_that_stands_still_is_reported_truthfully(loads) -> None:
    """Open arrivals go on while it stands still; closed users would wait and hide it."""
    loads["frozen"].wait()
    run = loads["frozen"].run()
    assert loads["frozen"].portal.asked == planned(loads["frozen"])
    response_s = run.requests["response_s"].to_numpy()
    assert np.quantile(response_s, 0.99) > 0.8
    due_s = run.requests["due_s"].to_numpy()
    slow = due_s[response_s > 0.5]
    assert len(slow) > 10, "whoever came in the first half of the freeze waited longer than half"


def test_a_killed_worker_is_said_and_the_run_not_trusted(loads) -> None:
    assert loads["killed"].wait() == UNTRUSTWORTHY
    trust = loads["killed"].run().manifest.trust
    assert any(reason.startswith("missing: worker") for reason in trust["reasons"])
    assert "is lost" in loads["killed"].output


def test_ctrl_c_leaves_a_complete_run_marked_interrupted(loads) -> None:
    assert loads["interrupted"].wait() in (RUN_FAILED, UNTRUSTWORTHY)
    run = loads["interrupted"].run()
    assert run.manifest.status == "interrupted"
    assert "by hand" in run.manifest.load["stopped"]
    assert run.requests.num_rows >= 50
    assert list(check_conservation(run)) == []


def test_a_portal_that_only_fails_stops_the_load(loads) -> None:
    assert loads["refused"].wait() in (RUN_FAILED, UNTRUSTWORTHY)
    run = loads["refused"].run()
    assert "all.ok_share" in run.manifest.load["stopped"]
    assert {row["problem"] for row in run.manifest.load["problems"]} == {"answer 500"}


def test_no_more_requests_are_sent_than_allowed(loads) -> None:
    """And Locust's own command line runs the same load test."""
    loads["capped"].wait()
    assert loads["capped"].portal.asked.total() == 60
    run = loads["capped"].run()
    assert run.requests.num_rows == 60
    assert "60 requests" in run.manifest.load["stopped"]


def test_no_process_and_no_working_folder_is_left(loads, place: Path) -> None:
    for load_test in loads.values():
        load_test.wait() if load_test.process.poll() is None else None
    left = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline"])
        if str(place) in " ".join(process.info["cmdline"] or ())
    ]
    assert left == []
    assert list(place.glob("*/results/*/.*")) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "http://127.0.0.1:1", "--dialect", "no.such:thing"], "no.such"),
        (["--host", "http://127.0.0.1:1", "--dialect", "tiny_dialect:poor"], "cannot send"),
        (["--host", "http://192.0.2.1"], "--authorisation"),
        (["--host", "http://127.0.0.1:1", "--smoke", "nothing"], "no such journey"),
        (["--processes", "2", "--expect-workers", "2"], "--expect-workers"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_sent(
    place: Path, scenario_dict, monkeypatch, options: list[str], words: str
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    (place / "small.yaml").write_text(json.dumps(scenario_of(scenario_dict, 4.0)))
    usual = ["small.yaml", "--dialect", "tiny_dialect:tiny"]
    done = CliRunner().invoke(load, [*usual, *options])
    assert done.exit_code == USAGE_WRONG
    assert words in done.output


def test_a_scenario_without_a_portal_is_refused_before_one_is_started(
    place: Path, city_dict, monkeypatch
) -> None:
    monkeypatch.chdir(place)
    without = {"fed_by": "demand", "officer_journey": None}
    (place / "offices.yaml").write_text(json.dumps(city_dict(offices=without)))
    done = CliRunner().invoke(load, ["offices.yaml"])
    assert done.exit_code == USAGE_WRONG
    assert "no sessions to load a portal with" in done.output
    assert "starting" not in done.output


def test_help_shows_how_it_is_called() -> None:
    done = CliRunner().invoke(load, ["--help"])
    assert done.exit_code == 0
    assert "hoso load peak-hour --smoke" in done.output
