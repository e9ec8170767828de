"""The compiled engine by itself, in a process of its own: parts.py SEED TASK [SIZE …].

Prints one JSON line: n (requests, later attempts included), rss_mib, and where the CPU seconds
went: the trace, the kernel, and the tables with what else Python does.
"""

import json
import math
import resource
import sys
import tempfile
import time
from pathlib import Path


class TimedKernel:
    """The compiled kernel, which counts the CPU seconds it takes."""

    def __init__(self) -> None:
        from sim.compiled.library import load_kernel

        self._kernel = load_kernel()
        self.cpu_s = 0.0

    def __call__(self, world) -> None:
        """Go on with a world."""
        start = time.process_time()
        self._kernel(world)
        self.cpu_s += time.process_time() - start


def peak_hour(seed: int) -> dict[str, float]:
    """One replication of the shipped peak hour."""
    return _parts_of(_scenario("peak-hour", seed))


def longer(seed: int, n: str) -> dict[str, float]:
    """A tier asked n times, in sessions of five: the more, the longer it takes."""
    return _growth(seed, int(n), 1)


def denser(seed: int, n: str) -> dict[str, float]:
    """The same number within 250 s, asked of as many tiers in one as that needs."""
    return _growth(seed, int(n), max(int(n) // 10_000, 1))


def day(seed: int, times: str) -> dict[str, float]:
    """A peak day so many times over, on as many portals in one; its tables are written."""
    from sim.results import write_replication

    scenario = day_scenario(seed, float(times))
    records = None

    def keep(made) -> None:
        nonlocal records
        records = made

    spent = _parts_of(scenario, keep)
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = time.process_time(), time.perf_counter()
        write_replication(Path(folder), 0, records)
        spent["write_cpu_s"] = time.process_time() - cpu
        spent["write_s"] = time.perf_counter() - wall
        spent["bytes"] = sum(file.stat().st_size for file in Path(folder).rglob("*.parquet"))
    return spent


def experiment(seed: int, times: str, processes: str) -> dict[str, float]:
    """As many such days as processes, as `hoso run` does them; wall time."""
    from sim.experiment import run_experiment

    scenario = day_scenario(seed, float(times))
    finished_at = 0.0

    def look(done: int, total: int, label: str) -> None:
        nonlocal finished_at
        finished_at = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run = run_experiment(
            scenario,
            results_root=Path(folder),
            processes=int(processes),
            replications=int(processes),
            progress=look,
        )
        end = time.perf_counter()
        n = sum(
            run.table("requests", ["step"], replication=index).num_rows
            for index in run.replications
        )
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "n": n,
        "wall_s": end - start,
        "replications_s": finished_at - start,
        "finish_s": end - finished_at,
        "cpu_s": time.process_time() + children.ru_utime + children.ru_stime,
        "worker_mib": children.ru_maxrss / 1024,
    }


def day_scenario(seed: int, times: float):
    """Return the shipped peak day so many times over, on as many portals in one."""
    from sim.scenario import load_scenario

    one, factor = load_scenario("peak-day"), math.ceil(times)
    portal = one.portal
    sizes = {
        f"portal.tiers.{name}.servers": tier.servers * factor for name, tier in portal.tiers.items()
    }
    sizes |= {
        f"portal.pools.{name}.capacity": pool.capacity * factor
        for name, pool in portal.pools.items()
    }
    sizes |= {
        f"portal.gateways.{name}.concurrency": gateway.concurrency * factor
        for name, gateway in portal.gateways.items()
        if gateway.concurrency is not None
    }
    sizes |= {
        f"portal.links.{name}.bandwidth_bit_per_s": link.bandwidth_bit_per_s * factor
        for name, link in portal.links.items()
    }
    for name, job in portal.jobs.items():
        sizes[f"portal.jobs.{name}.batch"] = job.batch * factor
        sizes[f"portal.jobs.{name}.workers"] = job.workers * factor
    sizes["demand.day_factor"] = one.demand.day_factor * times
    return _scenario("peak-day", seed, *(f"{name}={value}" for name, value in sizes.items()))


def _growth(seed: int, n: int, portals: int) -> dict[str, float]:
    from tasks import sessions_of

    scenario, trace = sessions_of(seed, n, portals)
    return _parts_of(scenario, trace=trace)


def _scenario(name: str, seed: int, *overrides: str):
    from sim.scenario import load_scenario

    return load_scenario(name, [f"seed={seed}", *overrides])


def _parts_of(scenario, keep=lambda records: None, trace=None) -> dict[str, float]:
    """Simulate one replication; return what each part took."""
    from chains import warm

    from sim.compiled.run import run_whole
    from sim.demand import draw_trace

    warm()
    kernel = TimedKernel()
    wall, start = time.perf_counter(), time.process_time()
    if trace is None:
        trace = draw_trace(scenario, 0)
    drawn = time.process_time()
    records = run_whole(kernel, scenario, 0, trace)
    cpu_s = time.process_time() - start
    keep(records)
    response_s = records.requests["response_s"].to_numpy()
    return {
        "n": records.requests.num_rows,
        "cpu_s": cpu_s,
        "wall_s": time.perf_counter() - wall,
        "draw_s": drawn - start,
        "kernel_s": kernel.cpu_s,
        "tables_s": cpu_s - (drawn - start) - kernel.cpu_s,
        "mean_s": float(response_s.mean()),
        "ok_share": _ok_share(records),
    }


def _ok_share(records) -> float:
    outcomes = records.requests["outcome"].value_counts().to_pylist()
    return sum(row["counts"] for row in outcomes if row["values"] == "ok") / sum(
        row["counts"] for row in outcomes
    )


TASKS = {task.__name__: task for task in (peak_hour, longer, denser, day, experiment)}


if __name__ == "__main__":
    spent = TASKS[sys.argv[2]](int(sys.argv[1]), *sys.argv[3:])
    spent["rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(spent))
