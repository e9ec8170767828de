"""`make bench` of the load driver: its largest rate, and its cost beside Locust's fast client."""

import argparse
import contextlib
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
RATES = (50, 100, 200, 300, 400, 600, 800)
"""Citizens a second; each asks five times."""
STEPS = 5
LATE_S = 0.005
"""What `loadtests.trust` allows one request in a hundred to be sent late, s."""


def bench_load(arguments: argparse.Namespace) -> None:
    """Citizens of five steps against a server that does nothing, and Locust's FastHttpUser."""
    priority = realtime()
    note = "before all other programs" if priority else "at the mercy of other programs"
    print(f"load: generator and a bare server on this machine, {note}")
    with bare_server(priority) as port:
        own = _median(arguments.repeats, priority, "steady", port)
        locust = _median(arguments.repeats, priority, "fast_user", port)
        print(f"  Locust FastHttpUser {_cost_us(locust):6.0f} µs CPU a request")
        ratio = _cost_us(own) / _cost_us(locust)
        print(
            f"  own HTTP client     {_cost_us(own):6.0f} µs CPU a request, {ratio:.2f} × Locust's"
        )
        for rate in RATES:
            run = _median(arguments.repeats, priority, "citizens", port, str(rate))
            ratio = _cost_us(run) / _cost_us(locust)
            print(
                f"  {rate:4} citizens/s {run['n'] / run['wall_s']:6,.0f} requests/s "
                f"{run['cpu_s'] / run['wall_s']:5.0%} of a core, {_cost_us(run):4.0f} µs a request "
                f"({ratio:.2f} × Locust's), late p99 {run['late_p99_s'] * 1e3:6.2f} ms, "
                f"kept waiting {run['waited_s'] / run['wall_s']:4.0%}"
            )
            if run["late_p99_s"] > LATE_S:
                print(f"  late beyond {LATE_S * 1e3:.0f} ms: trusted up to the rate before")
                break
    print(f"  recorder: {recorder_bytes():.0f} bytes a request\n")


def recorder_bytes() -> float:
    """Return the memory of one recorded attempt."""
    code = (
        "import tracemalloc; from tasks import _trace; from loadtests.recorder import Recorder\n"
        "log = Recorder(_trace(1, 10, 5, 1.0, 0.0)); tracemalloc.start()\n"
        "for i in range(1000000): log.request(i % 50, 0, 1.0, 1.0, 0.1, 0)\n"
        "print(tracemalloc.get_traced_memory()[0] / 1e6)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


@contextlib.contextmanager
def bare_server(priority: list[str]) -> Iterator[str]:
    """Run `server.py`; gives its port."""
    command = [*priority, sys.executable, str(HERE / "server.py"), "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.communicate()


def realtime() -> list[str]:
    """Return what gives a command the processor before other programs, where that is allowed."""
    command = [shutil.which("chrt") or "", "-r", "1"]
    if not command[0]:
        return []
    done = subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if done.returncode == 0 else []


def _median(repeats: int, priority: list[str], *task: str) -> dict[str, float]:
    runs = [_run(priority, *task) for _ in range(repeats)]
    middle = statistics.median_low([_cost_us(run) for run in runs])
    return next(run for run in runs if _cost_us(run) == middle)


def _run(priority: list[str], *task: str) -> dict[str, float]:
    done = subprocess.run(
        [*priority, sys.executable, str(HERE / "load.py"), *task],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"bench: {' '.join(task)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _cost_us(run: dict[str, float]) -> float:
    return run["cpu_s"] / run["n"] * 1e6
