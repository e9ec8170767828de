"""The compiled engine: the twin of the SimPy model, the same records many times faster.

Numba and the kernel are imported when something is simulated, not before.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from sim.compiled.errors import CompiledEngineError
from sim.compiled.offices import simulate_offices

if TYPE_CHECKING:
    from sim.demand.trace import Trace
    from sim.results import Records
    from sim.scenario.scenario import Scenario

__all__ = [
    "CompiledEngineError",
    "compile_kernel",
    "simulate",
    "simulate_in_chunks",
    "simulate_portal",
]


def compile_kernel(tell: Callable[[str], None] | None = None) -> None:
    """Load the compiled kernel, or compile it, which takes about half a minute.

    Parameters
    ----------
    tell : callable, optional
        Told once what is waited for, if the kernel has to be compiled.

    Raises
    ------
    CompiledEngineError
        When the compiled engine cannot run here.
    """
    from sim.compiled import library

    library.compile_kernel(tell)


def simulate(scenario: "Scenario", replication: int, trace: "Trace | None" = None) -> "Records":
    """Simulate one replication; the same as ``sim.engine.simulate``.

    Parameters
    ----------
    scenario : Scenario
        The question.
    replication : int
        Which replication, >= 0; any one is reached directly.
    trace : Trace, optional
        Its demand; drawn when absent. Offices that get their dossiers without a portal need none.

    Returns
    -------
    Records
        Tables sorted by (session, step, attempt), dossiers first by how they were filed; times in s
        from the window's start. The portal's run goes on until every session has ended and nothing
        waits to be synchronised, at most ``window.drain_s`` beyond the window; the offices' to that
        end.

    Raises
    ------
    CompiledEngineError
        When the compiled engine cannot run here.
    """
    from sim.workload.offices import simulate_both

    return simulate_both(scenario, replication, trace, simulate_portal, simulate_offices)


def simulate_portal(scenario: "Scenario", trace: "Trace") -> "Records":
    """Simulate the portal alone: what requests meet, until dossiers are synchronised.

    Raises
    ------
    CompiledEngineError
        When the compiled engine cannot run here.
    """
    from sim.compiled.library import load_kernel
    from sim.compiled.run import run_whole

    return run_whole(load_kernel(), scenario, trace.replication, trace)


def simulate_in_chunks(
    scenario: "Scenario",
    replication: int,
    chunks: "Iterable[Trace]",
    sink: "Callable[[Records], None]",
) -> None:
    """Simulate one replication whose trace memory does not hold at once; the same records.

    Memory holds the sessions given last and those that go on from before: 64 bytes for each of
    them and 64 for each of their requests, beside the trace's own columns; 40 for each attempt of
    theirs after the first. Besides, about 700 bytes for each client that is thinking or waits, each
    left request that is still worked on and each worker, at the busiest moment; 48 for each dossier
    that waits to be synchronised; 72 for each level and interval of the whole run. Where there are
    offices, all their dossiers besides.

    Parameters
    ----------
    scenario : Scenario
        The question.
    replication : int
        Which replication, >= 0.
    chunks : iterable of Trace
        Its demand: consecutive sessions of one trace. The next is asked for when the last session
        of the one before has arrived.
    sink : callable
        Given rows of the tables. Whenever the last session of a piece has arrived: of the sessions
        that have ended meanwhile, in their order, some at a time, and of the dossiers that nothing
        will change any more. In the end the levels, and all dossiers where there are offices.

    Raises
    ------
    CompiledEngineError
        When the compiled engine cannot run here.
    """
    from sim.compiled.chunks import run_in_chunks
    from sim.compiled.library import load_kernel
    from sim.workload.offices import put_aside

    with put_aside(scenario, replication, chunks, sink, simulate_offices) as (watched, aside):
        run_in_chunks(load_kernel(), scenario, replication, watched, aside)
