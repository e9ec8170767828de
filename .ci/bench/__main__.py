"""`make bench`: speed and memory of hoso beside its peers, on the same model in the same run.

Every measurement is a process of its own; CPU seconds, not wall time; the median of the repeats.
Ratios are what counts: absolute figures belong to the machine they were taken on.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from comparing import bench_compiled
from environments import ASYNCFLOW_PYTHONS, asyncflow_python
from loading import bench_load
from offices import bench_offices

HERE = Path(__file__).parent


def main() -> None:
    """Run the benches asked for and print their tables."""
    benches = {
        "peers": bench_peers,
        "growth": bench_growth,
        "trace": bench_trace,
        "peak-hour": bench_peak_hour,
        "help": bench_help,
        "compiled": bench_compiled,
        "load": bench_load,
        "offices": bench_offices,
    }
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"{', '.join(benches)}; default: all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--customers", type=int, default=50_000, help="per run of `peers`")
    parser.add_argument(
        "--size", type=float, default=1.0, help="of `compiled`, `offices`, for a short look"
    )
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}; CPU s, median of repeats\n")
    for name in arguments.names or benches:
        benches[name](arguments)


def bench_peers(arguments: argparse.Namespace) -> None:
    """M/D/8 at 80 % load: customers per CPU second, relative to raw SimPy."""
    n = str(arguments.customers)
    pythons = {
        "SimPy, Resource": sys.executable,
        "hoso, SimPy model": sys.executable,
        "Ciw": sys.executable,
        "AsyncFlow": asyncflow_python(),
    }
    tasks = {
        "SimPy, Resource": ("raw_simpy", n),
        "hoso, SimPy model": ("hoso", n),
        "Ciw": ("ciw", n),
        "AsyncFlow": ("asyncflow", n),
    }
    print(f"peers: one station, 8 cores, constant service, load 0.8, {int(n):,} customers")
    rate = {}
    for name, task in tasks.items():
        if pythons[name] is None:
            print(f"  {name:20} skipped: needs one of {', '.join(ASYNCFLOW_PYTHONS)} on the PATH")
            continue
        run = measure(task, arguments.repeats, pythons[name])
        rate[name] = run["n"] / run["cpu_s"]
        print(
            f"  {name:20} {run['cpu_s']:7.2f} s {rate[name]:10,.0f} customers/s "
            f"{rate[name] / rate['SimPy, Resource']:6.2f} × SimPy {run['rss_mib']:6.0f} MiB   "
            f"mean response {run['mean_s']:.4f} s"
        )
    print()


def bench_growth(arguments: argparse.Namespace) -> None:
    """Time and memory of the SimPy model from 10⁴ to 10⁶ requests."""
    print("growth: sessions of five requests to one tier (worker, processor), patience 30 s")
    base = measure(("nothing",), 1)["rss_mib"]
    for n in (10_000, 100_000, 1_000_000):
        run = measure(("sessions", str(n)), 1 if n > 100_000 else arguments.repeats)
        grown = (run["rss_mib"] - base) * 2**20 / run["n"]
        print(
            f"  {run['n']:9,} requests {run['cpu_s']:7.2f} s {run['n'] / run['cpu_s']:9,.0f} /s "
            f"{run['rss_mib']:6.0f} MiB ({grown:5.0f} bytes each above the empty program)"
        )
    print()


def bench_trace(_: argparse.Namespace) -> None:
    """Draw a trace of ten million requests."""
    run = measure(("trace", "10000000"), 1)
    print(
        f"trace: {run['n']:,} requests drawn in {run['cpu_s']:.2f} s, "
        f"{run['rss_mib']:.0f} MiB peak\n"
    )


def bench_peak_hour(arguments: argparse.Namespace) -> None:
    """One replication of the shipped peak hour, demand and records included."""
    run = measure(("peak_hour",), arguments.repeats)
    print(
        f"peak-hour: {run['n']:,} requests simulated in {run['cpu_s']:.2f} s, "
        f"{run['n'] / run['cpu_s']:,.0f} /s, {run['rss_mib']:.0f} MiB peak\n"
    )


def bench_help(arguments: argparse.Namespace) -> None:
    """Start-up: `hoso --help` against an empty Python program."""
    command = [str(Path(sys.executable).with_name("hoso")), "--help"]
    spent = [child_cpu_s(command) for _ in range(arguments.repeats + 2)]
    empty = [child_cpu_s([sys.executable, "-c", ""]) for _ in range(arguments.repeats + 2)]
    print(f"help: {min(spent):.2f} s CPU, an empty program {min(empty):.2f} s\n")


def measure(task: tuple[str, ...], repeats: int, python: str | None = None) -> dict[str, float]:
    """Run a task in processes of its own; return the run of median CPU time."""
    runs = []
    for seed in range(1, repeats + 1):
        done = subprocess.run(
            [python or sys.executable, str(HERE / "tasks.py"), str(seed), *task],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            sys.exit(f"bench: {' '.join(task)} failed:\n{done.stderr}")
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    median = statistics.median_low([run["cpu_s"] for run in runs])
    return next(run for run in runs if run["cpu_s"] == median)


def child_cpu_s(command: list[str]) -> float:
    """Return the CPU time of a command, s."""
    before = os.times()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )


if __name__ == "__main__":
    main()
