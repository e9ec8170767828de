"""The recorder against an independent client: two clocks, one server of known delay."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sim.results import open_run

DELAY_S = 0.05
RATE_PER_S = 100.0
DURATION_S = 30.0

SERVER = f"""
import asyncio

async def answer(reader, writer):
    try:
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            await asyncio.sleep({DELAY_S})
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""

CLIENT = f"""
import asyncio, json, random, sys, time

async def ask(port, due, found):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\\r\\nHost: probe\\r\\n\\r\\n")
    await reader.readuntil(b"ok")
    found.append(time.perf_counter() - due)
    writer.close()

async def main(port):
    found, tasks, due = [], [], time.perf_counter() + 0.5
    end = due + {DURATION_S}
    rng = random.Random(7)
    while due < end:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(ask(port, due, found)))
        due += rng.expovariate({RATE_PER_S})
    await asyncio.gather(*tasks)
    print(json.dumps(found))

asyncio.run(main(int(sys.argv[1])))
"""

DIALECT = """
from loadtests.dialects import Call, Reading

class Visitor:
    def call(self, endpoint, *, request, attempt, bytes_up, now_ms):
        return Call("GET", "/")

    def read(self, endpoint, request, attempt, answer):
        return Reading("ok" if answer.body == b"ok" else "failed")

class Plain:
    name = "plain"
    endpoints = frozenset({"e"})

    def visitor(self, session, journey, service, key):
        return Visitor()

def plain(scenario, run_reference, credentials):
    return Plain()
"""


@pytest.fixture
def port() -> Iterator[int]:
    """A server in a process of its own that answers after exactly the delay."""
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@pytest.mark.slow
def test_recorder_and_independent_client_see_the_same_quantiles(
    port: int, tmp_path: Path, scenario_dict: Callable[..., dict], one_endpoint: Callable[..., dict]
) -> None:
    (tmp_path / "plain_dialect.py").write_text(textwrap.dedent(DIALECT))
    delay = {"delay": {"distribution": "constant", "mean_s": DELAY_S}}
    question = scenario_dict(one_endpoint([delay]), DURATION_S)
    question["window"]["drain_s"] = 10.0
    # 0.9 of them are filed online, and 2024 has 366 days.
    question["demand"]["dossiers_per_year"] = RATE_PER_S * 86400 * 366 / 0.9
    (tmp_path / "plain.json").write_text(json.dumps(question))
    command = "from loadtests.commands.load import load; load()"
    options = ["--host", f"http://127.0.0.1:{port}", "--dialect", "plain_dialect:plain"]
    options += ["--no-report", "--no-predict", "--results", str(tmp_path / "results")]
    load = subprocess.run(
        [sys.executable, "-c", command, str(tmp_path / "plain.json"), *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    probe = subprocess.run(
        [sys.executable, "-c", CLIENT, str(port)], check=True, capture_output=True, text=True
    )
    run = open_run(question["name"], tmp_path / "results")
    measured = run.requests["response_s"].to_numpy()
    truth = np.array(json.loads(probe.stdout))
    assert len(measured) > 0.8 * RATE_PER_S * DURATION_S, load.stdout + load.stderr
    for share in (0.5, 0.95, 0.99):
        assert np.quantile(measured, share) == pytest.approx(np.quantile(truth, share), rel=0.05)
