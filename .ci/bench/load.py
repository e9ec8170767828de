"""One measurement of the load driver in a process of its own: load.py TASK PORT [RATE].

Talks to `server.py` on this machine. Prints one JSON line.
"""

import json
import sys
import time
from pathlib import Path

import gevent

SECONDS = 6.0
STEPS = 5
THINK_S = 0.2
FAST_USERS = 50


def citizens(port: str, rate: str) -> dict[str, float]:
    """Sessions of five requests arrive at a rate; each is a fresh client that thinks between."""
    from tasks import _scenario, _trace

    from loadtests.crowd import Crowd, Share
    from loadtests.dialects import Service
    from loadtests.http import Target
    from loadtests.recorder import Recorder

    scenario = _scenario([{"take": "app"}], {"app": {}}, SECONDS, client={"patience": "30 s"})
    trace = _trace(1, int(float(rate) * SECONDS), STEPS, float(rate), THINK_S)
    log = Recorder(trace)
    target = Target.of(f"http://127.0.0.1:{port}")
    crowd = Crowd(scenario, trace, _Dialect(), [Service("any")], target, log, Share())
    crowd.set_epoch(time.perf_counter() + 0.1)
    gevent.spawn(_count_every_second, crowd, log)
    spent = _timed(crowd.run)
    requests = log.tables()["requests"]
    late_s = requests["sent_s"].to_numpy() - requests["due_s"].to_numpy()
    late_s.sort()
    ok = (requests["outcome"].to_numpy() == 0).sum()
    return spent | {"n": requests.num_rows, "ok": int(ok), "late_p99_s": _p99(late_s)}


def steady(port: str) -> dict[str, float]:
    """As many clients as Locust's below, without arrivals, asking without pause."""
    from loadtests.dialects import Call
    from loadtests.http import Browser, Target

    target, call = Target.of(f"http://127.0.0.1:{port}"), Call("GET", "/x")
    n = 0
    end = time.perf_counter() + SECONDS

    def ask() -> None:
        nonlocal n
        browser = Browser(target)
        while time.perf_counter() < end:
            browser.send(call)
            n += 1

    spent = _timed(lambda: gevent.joinall([gevent.spawn(ask) for _ in range(FAST_USERS)]))
    return spent | {"n": n}


def fast_user(port: str) -> dict[str, float]:
    """Locust's FastHttpUser, without pause."""
    from locust import FastHttpUser, constant, task
    from locust.env import Environment

    class Asking(FastHttpUser):
        host = f"http://127.0.0.1:{port}"
        wait_time = constant(0)

        @task
        def ask(self):
            self.client.get("/x")

    environment = Environment(user_classes=[Asking])
    runner = environment.create_local_runner()
    runner.start(FAST_USERS, spawn_rate=FAST_USERS)
    gevent.sleep(1.0)
    before = environment.stats.total.num_requests
    spent = _timed(lambda: gevent.sleep(SECONDS))
    n = environment.stats.total.num_requests - before
    runner.quit()
    return spent | {"n": n}


class _Dialect:
    name = "bench"
    endpoints = frozenset({"page"})

    def visitor(self, session, journey, service, key):
        return _Visitor()


class _Visitor:
    def call(self, endpoint, *, request, attempt, bytes_up, now_ms):
        from loadtests.dialects import Call

        return Call("GET", "/page")

    def read(self, endpoint, request, attempt, answer):
        from loadtests.dialects import Reading

        return Reading("ok" if answer.status == 200 else "failed")


def _count_every_second(crowd, log):
    """Do what a load test does besides."""
    while True:
        gevent.sleep(1.0)
        log.piece(0, crowd.now_s(), crowd.arrived(), crowd.active, 0.0)


def _timed(run) -> dict[str, float]:
    """Run; return CPU and wall time, and how long other programs had the processor instead."""
    waited, cpu, wall = _waited_s(), time.process_time(), time.perf_counter()
    run()
    return {
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "waited_s": _waited_s() - waited,
    }


def _waited_s() -> float:
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) * 1e-9
    except OSError:
        return float("nan")


def _p99(ordered) -> float:
    return float(ordered[int(0.99 * (len(ordered) - 1))]) if len(ordered) else 0.0


if __name__ == "__main__":
    tasks = {"citizens": citizens, "steady": steady, "fast_user": fast_user}
    if sys.argv[1] == "fast_user":
        import locust  # noqa: F401 - patches, before anything is opened
    print(json.dumps(tasks[sys.argv[1]](*sys.argv[2:])))
