"""One measurement of the offices in a process of its own: dossiers.py SEED ENGINE N.

The offices of the shipped `city-year` work for as long as it takes to file about N dossiers, 2.33
million in a year. Prints one JSON line: n (dossiers), tasks, officers, where the CPU seconds went
(draw_s, kernel_s, simulate_s), rss_mib, and on_time_share.
"""

import datetime as dt
import json
import resource
import sys
import time

DOSSIERS_PER_YEAR = 2_330_000
DAYS_PER_YEAR = 365
FIRST_DAY = dt.datetime.fromisoformat("2026-03-02T00:00")
"""A Monday after Tết."""
FEW = 5_000
"""Dossiers of a first run, which loads the engine: about a day."""


def compiled(plan, filings, scenario):
    """Simulate on the compiled engine; returns the run and the CPU seconds of its kernel."""
    from sim.compiled.library import OFFICES, load_kernel
    from sim.compiled.offices.run import run_offices

    kernel = load_kernel(OFFICES)
    spent = 0.0

    def timed(world) -> None:
        nonlocal spent
        start = time.process_time()
        kernel(world)
        spent += time.process_time() - start

    return run_offices(timed, plan, filings, scenario), lambda: spent


def simpy(plan, filings, scenario):
    """Simulate on SimPy."""
    from sim.backoffice.office import simulate_offices

    return simulate_offices(plan, filings, scenario), lambda: 0.0


def city(seed: int, n: int):
    """Return the shipped year of the merged city, shorter or longer, from empty offices on."""
    from sim.scenario import load_scenario
    from sim.scenario.backoffice import InitialState

    year = load_scenario("city-year", [f"seed={seed}"])
    duration_s = 86400.0 * DAYS_PER_YEAR * n / DOSSIERS_PER_YEAR
    times = {"start": FIRST_DAY, "duration_s": duration_s, "warm_up_s": 0.0}
    return year.model_copy(
        update={
            "backoffice": year.backoffice.model_copy(update={"initial_state": InitialState()}),
            "window": year.window.model_copy(update=times),
        }
    )


def measure(engine, seed: int, n: int) -> dict[str, float]:
    """Return what one run took."""
    import numpy as np

    from sim.backoffice.filings import demand_filings
    from sim.backoffice.plan import plan_of

    warm(engine)
    scenario = city(seed, n)
    start = time.process_time()
    plan = plan_of(scenario, 0)
    filings = demand_filings(scenario, 0, plan)
    drawn = time.process_time()
    run, kernel_s = engine(plan, filings, scenario)
    simulated = time.process_time()
    is_judged = run.cases.due_s < plan.end_s
    return {
        "n": len(filings),
        "tasks": len(run.visits.dossier),
        "officers": int(plan.present.max(axis=1).sum()),
        "draw_s": drawn - start,
        "kernel_s": kernel_s(),
        "simulate_s": simulated - drawn,
        "on_time_share": float(np.mean((run.cases.decided_s <= run.cases.due_s)[is_judged])),
    }


def warm(engine) -> None:
    """Let an engine load what it loads at its first run."""
    from sim.backoffice.filings import demand_filings
    from sim.backoffice.plan import plan_of

    scenario = city(1, FEW)
    plan = plan_of(scenario, 0)
    engine(plan, demand_filings(scenario, 0, plan), scenario)


ENGINES = {engine.__name__: engine for engine in (compiled, simpy)}


if __name__ == "__main__":
    spent = measure(ENGINES[sys.argv[2]], int(sys.argv[1]), int(sys.argv[3]))
    spent["rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(spent))
