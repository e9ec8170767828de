"""`make bench` of the offices: dossiers a second and memory, compiled beside SimPy."""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SIZES = (10_000, 100_000, 1_000_000, 2_330_000)
"""Dossiers; the last is a year of the merged city."""
SIMPY_SIZES = (10_000, 100_000)
LARGE = 1_000_000
"""From here on once, without repeats."""

Run = dict[str, float]


def bench_offices(arguments: argparse.Namespace) -> None:
    """The offices of `city-year` for longer and longer, round after round on both engines."""
    print("offices: 114 communes and eight departments of the merged city; drawing not counted")
    for size in SIZES:
        n = int(size * arguments.size)
        engines = ["compiled", "simpy"] if size in SIMPY_SIZES else ["compiled"]
        repeats = 1 if size >= LARGE else arguments.repeats
        rounds = [
            {engine: _run(engine, seed, n) for engine in engines} for seed in range(1, repeats + 1)
        ]
        for engine in engines:
            _print_row(engine, [runs[engine] for runs in rounds])
        if "simpy" in engines:
            ratio = statistics.median(_rate(r["compiled"]) / _rate(r["simpy"]) for r in rounds)
            print(f"    compiled is {ratio:.0f} × SimPy")
    print()


def _print_row(engine: str, runs: list[Run]) -> None:
    run = sorted(runs, key=_rate)[len(runs) // 2]
    kernel = f", kernel {run['kernel_s']:.2f} s" if run["kernel_s"] else ""
    print(
        f"  {engine:9}{run['n']:10,} dossiers, {run['tasks']:11,} tasks: {run['simulate_s']:7.2f} s"
        f"{kernel}, {_rate(run):9,.0f} dossiers/s, {run['rss_mib']:5.0f} MiB, drawn in "
        f"{run['draw_s']:.1f} s; on time {run['on_time_share']:.1%}"
    )


def _rate(run: Run) -> float:
    return run["n"] / run["simulate_s"]


def _run(engine: str, seed: int, n: int) -> Run:
    done = subprocess.run(
        [sys.executable, str(HERE / "dossiers.py"), str(seed), engine, str(n)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"bench: {engine} with {n:,} dossiers failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
