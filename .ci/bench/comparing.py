"""`make bench` of the compiled engine: beside its peers on the same chains of stations, and alone.

Each round runs every peer once or more, one after the other; ratios are taken within a round, since
the machine's speed changes between rounds.
"""

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from chains import CHAINS, Chain
from environments import ASYNCFLOW_PYTHONS, SALABIM, asyncflow_python, salabim_python

HERE = Path(__file__).parent
CUSTOMERS = {"mm8": 1_000_000, "tandem": 300_000, "retry": 300_000}
TITLES = {
    "mm8": "M/M/8 at 80 % load",
    "tandem": "tandem of 16, 8 and 4 servers at 70, 80 and 60 % load",
    "retry": "the same tandem, patience 1 s on the whole, one immediate retry",
}
GROWTH = (10_000, 100_000, 1_000_000, 10_000_000)
SHORT = 1_000_000
"""Fewer requests take so little that three times as many runs are made."""
DAY_TIMES = 4.3
"""How many of the shipped peak days make ten million requests."""
PROCESSES = 2
MOST_ERRORS = 4.0
"""Standard errors by which a mean may miss; further off, the model is another one."""

HEADER = (
    f"  {'':34}{'customers':>10} {'customers/s':>12} {'× SimPy':>8} {'× C++':>8} {'MiB':>5}   "
    "mean response in s, its standard error (and how many it is off)\n"
    f"  {'':58} speed    time"
)

Run = Mapping[str, float]


@dataclass(frozen=True)
class Peer:
    """A program that simulates the chains."""

    label: str
    task: str
    size: float = 1.0
    """Part of the customers; time is proportional to them."""
    runs: int = 1
    """In a round; several where one is short."""
    chains: tuple[str, ...] = tuple(CHAINS)
    """Those it can express."""


CPP = Peer("C++17 event loop", "loop.cpp", runs=3)
SIMPY = Peer("SimPy, Resource", "simpy_resource", size=0.2)
CONSTANT = Peer("hoso, compiled, constant service", "hoso_constant", chains=("mm8", "tandem"))
ASYNCFLOW = Peer("AsyncFlow, constant service", "asyncflow", size=0.05, chains=("mm8", "tandem"))
SALABIM_PEER = Peer("salabim", "salabim", size=0.05)
SIMMER = Peer("simmer", "loop.R", size=0.2, chains=("mm8", "tandem"))
PEERS = (
    CPP,
    Peer("hoso, compiled, kernel alone", "hoso_kernel", runs=3),
    Peer("hoso, compiled", "hoso_compiled", runs=3),
    SIMPY,
    Peer("hoso, SimPy model", "hoso_simpy", size=0.2),
    Peer("Ciw", "ciw", size=0.2, chains=("mm8", "tandem")),
    SALABIM_PEER,
    SIMMER,
    ASYNCFLOW,
    CONSTANT,
)


def bench_compiled(arguments: argparse.Namespace) -> None:
    """The compiled engine beside its peers; the shipped portal, growth, and a large day."""
    with tempfile.TemporaryDirectory() as folder:
        commands = dict(_commands(Path(folder)))
        for name in CHAINS:
            _compare(name, commands, arguments)
    _peak_hour(arguments)
    _growth("longer", "one tier of 8 cores for longer", arguments)
    _growth("denser", "as many tiers in one as bring the requests into 250 s", arguments)
    _day(arguments)


def _commands(folder: Path) -> Iterator[tuple[Peer, list[str]]]:
    """Yield how each peer is started; say why one is skipped."""
    pythons = {ASYNCFLOW: asyncflow_python(), SALABIM_PEER: salabim_python()}
    reasons = {
        CPP: "needs g++: apt-get install g++",
        SIMMER: "needs R with simmer: apt-get install r-base-core, and r-cran-simmer where Debian "
        "has it, else install.packages('simmer') in R",
        ASYNCFLOW: f"needs one of {', '.join(ASYNCFLOW_PYTHONS)} on the PATH",
        SALABIM_PEER: f"{SALABIM} cannot be installed",
    }
    for peer in PEERS:
        if peer is CPP:
            command = _compiled_loop(folder)
        elif peer is SIMMER:
            command = _simmer()
        else:
            python = pythons.get(peer, sys.executable)
            command = [python, str(HERE / "chains.py")] if python else None
        if command is not None:
            yield peer, command
        else:
            print(f"  {peer.label} skipped: {reasons[peer]}")


def _compiled_loop(folder: Path) -> list[str] | None:
    """Compile the event loop in C++; None without a compiler."""
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    program = folder / "loop"
    source, options = str(HERE / "loop.cpp"), ["-O3", "-march=native", "-std=c++17"]
    subprocess.run([compiler, *options, source, "-o", str(program)], check=True)
    return [str(program)]


def _simmer() -> list[str] | None:
    """Return how the loop in R is started; None without R or simmer."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        return None
    done = subprocess.run([rscript, "-e", "library(simmer)"], capture_output=True, check=False)
    return [rscript, str(HERE / "loop.R")] if done.returncode == 0 else None


def _compare(name: str, commands: Mapping[Peer, list[str]], arguments: argparse.Namespace) -> None:
    """Run every peer that can express a chain, round after round, and print its row."""
    print(
        f"compiled: {TITLES[name]}, {int(CUSTOMERS[name] * arguments.size):,} customers\n{HEADER}"
    )
    runs: dict[Peer, list[list[Run]]] = {peer: [] for peer in commands if name in peer.chains}
    for number in range(arguments.repeats):
        for peer, of_peer in runs.items():
            n = int(CUSTOMERS[name] * arguments.size * peer.size)
            seeds = range(number * peer.runs + 1, (number + 1) * peer.runs + 1)
            of_peer.append([_run(_command(peer, commands[peer], name, seed, n)) for seed in seeds])
    for peer, rounds in runs.items():
        print(f"  {peer.label:34}{_row(name, peer, rounds, runs)}")
    print()


def _command(peer: Peer, program: list[str], name: str, seed: int, n: int) -> list[str]:
    """Return how a peer simulates a chain."""
    if peer not in (CPP, SIMMER):
        return [*program, str(seed), peer.task, name, str(n)]
    chain = CHAINS[name]
    patience = [] if peer is SIMMER else [0.0 if chain.is_patient else chain.patience_s]
    stations = [number for station in chain.stations for number in station]
    return [*program, *map(str, (seed, n, chain.rate_per_s, *patience, *stations))]


def _row(
    name: str, peer: Peer, rounds: list[list[Run]], runs: Mapping[Peer, list[list[Run]]]
) -> str:
    mean_s, error_s = _mean(rounds)
    reference_s, reference_error_s = _reference(name, peer, runs)
    off = (mean_s - reference_s) / (math.hypot(error_s, reference_error_s) or math.inf)
    found = f"{mean_s:.4f} ± {error_s:.4f} ({off:+.1f})"
    if abs(off) > MOST_ERRORS:
        return f" is another model: {found} beside {reference_s:.4f} s: its speed means nothing"
    middle = statistics.median(map(_cost_s, rounds))
    left = "" if CHAINS[name].is_patient else f", {_of(rounds, 'left_share'):.3%} left"
    return (
        f"{_of(rounds, 'n'):10,.0f} {1 / middle:12,.0f} {_ratio(runs.get(SIMPY), rounds):8.2f} "
        f"{_ratio(rounds, runs.get(CPP)):8.2f} {_of(rounds, 'rss_mib'):5.0f}   {found}{left}"
    )


def _reference(name: str, peer: Peer, runs: Mapping[Peer, list[list[Run]]]) -> tuple[float, float]:
    """Return the mean response a chain should have, and its standard error, s."""
    if peer in (ASYNCFLOW, CONSTANT):
        return _mean(runs[CONSTANT])
    if CHAINS[name].is_patient:
        return _exact_mean_s(CHAINS[name]), 0.0
    return _mean(runs.get(CPP, runs[SIMPY]))


def _exact_mean_s(chain: Chain) -> float:
    """Return the mean response of an open network of M/M/c stations, s (Erlang, Jackson)."""
    return sum(_mmc_mean_s(*station, chain.rate_per_s) for station in chain.stations)


def _mmc_mean_s(servers: int, service_s: float, rate_per_s: float) -> float:
    load = rate_per_s * service_s
    blocked = 1.0
    for busy in range(1, servers + 1):
        blocked = load * blocked / (busy + load * blocked)
    delayed = blocked / (1 - load / servers * (1 - blocked))
    return service_s + delayed * service_s / (servers - load)


def _mean(rounds: list[list[Run]]) -> tuple[float, float]:
    """Return the mean response of all runs and its standard error, s."""
    runs = [run for of_round in rounds for run in of_round]
    error_s = math.sqrt(sum(run["error_s"] ** 2 for run in runs)) / len(runs)
    return statistics.fmean(run["mean_s"] for run in runs), error_s


def _of(rounds: list[list[Run]], name: str) -> float:
    return statistics.fmean(run[name] for of_round in rounds for run in of_round)


def _cost_s(runs: list[Run]) -> float:
    """Return the CPU time of one customer in a round, s: the median of its runs."""
    return statistics.median(run["cpu_s"] / run["n"] for run in runs)


def _ratio(above: list[list[Run]] | None, below: list[list[Run]] | None) -> float:
    """Return how many times the time below goes into the one above: the median of the rounds."""
    if above is None or below is None:
        return math.nan
    pairs = zip(above, below, strict=True)
    return statistics.median(_cost_s(one) / _cost_s(other) for one, other in pairs)


def _peak_hour(arguments: argparse.Namespace) -> None:
    """The shipped peak hour: requests a second of one core, of the kernel and of everything."""
    runs = [_run(_parts("peak_hour", seed)) for seed in range(1, 3 * arguments.repeats + 1)]
    run = sorted(runs, key=lambda run: run["cpu_s"])[len(runs) // 2]
    n = run["n"]
    print(
        f"compiled: the shipped peak hour, {n:,} requests of about five stations each\n"
        f"  kernel alone {n / run['kernel_s']:11,.0f} requests/s\n"
        f"  with tables  {n / (run['kernel_s'] + run['tables_s']):11,.0f} requests/s\n"
        f"  with demand  {n / run['cpu_s']:11,.0f} requests/s, {run['rss_mib']:.0f} MiB peak\n"
    )


def _growth(task: str, title: str, arguments: argparse.Namespace) -> None:
    """Time and memory from 10⁴ to 10⁷ requests, beside n log n."""
    print(f"compiled, growth: sessions of five requests, patience 30 s; {title}")
    base: float | None = None
    for size in GROWTH:
        n = int(size * arguments.size)
        repeats = arguments.repeats * (3 if size < SHORT else 1)
        runs = [_run(_parts(task, seed, str(n))) for seed in range(1, repeats + 1)]
        run = sorted(runs, key=lambda run: run["kernel_s"])[len(runs) // 2]
        of_n_log_n = run["kernel_s"] / (run["n"] * math.log(run["n"]))
        base = of_n_log_n if base is None else base
        print(
            f"  {run['n']:10,} requests {run['kernel_s'] / run['n'] * 1e9:6.0f} ns each in the "
            f"kernel, {run['tables_s'] / run['n'] * 1e9:6.0f} ns besides, "
            f"{of_n_log_n / base:5.2f} × n log n, {run['rss_mib']:6.0f} MiB, "
            f"{run['rss_mib'] * 2**20 / run['n']:6.0f} bytes a request"
        )
    print()


def _day(arguments: argparse.Namespace) -> None:
    """A day of ten million requests, alone and on two processes, written to disk."""
    times = str(DAY_TIMES * arguments.size)
    one = _run(_parts("day", 1, times))
    print(
        f"compiled, a day of {one['n']:,} requests in one process: "
        f"{one['wall_s'] + one['write_s']:.1f} s wall\n"
        f"  trace {one['draw_s']:.1f} s, kernel {one['kernel_s']:.1f} s, tables "
        f"{one['tables_s']:.1f} s, writing {one['write_cpu_s']:.1f} s CPU; "
        f"{one['bytes'] / 1e6:.0f} MB on disk, {one['rss_mib']:.0f} MiB peak, "
        f"mean response {one['mean_s']:.3f} s, {one['ok_share']:.4%} answered well"
    )
    two = _run(_parts("experiment", 1, times, str(PROCESSES)))
    print(
        f"  {PROCESSES} such days on {PROCESSES} processes, {two['n']:,} requests: "
        f"{two['wall_s']:.1f} s wall, {two['cpu_s']:.1f} s CPU: replications "
        f"{two['replications_s']:.1f} s, bringing together and summary {two['finish_s']:.1f} s; "
        f"{two['worker_mib']:.0f} MiB a process\n"
    )


def _parts(task: str, seed: int, *sizes: str) -> list[str]:
    return [sys.executable, str(HERE / "parts.py"), str(seed), task, *sizes]


def _run(command: list[str]) -> Run:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"bench: {' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
