"""The compiled engine of the offices: the twin of ``sim.backoffice.office``, many times faster.

Numba and the kernel are imported when something is simulated, not before.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.backoffice.filings import Filings
    from sim.backoffice.outcomes import OfficeRun
    from sim.backoffice.plan import Plan
    from sim.scenario.scenario import Scenario

__all__ = ["compile_kernel", "simulate_offices"]


def compile_kernel(tell: Callable[[str], None] | None = None) -> None:
    """Load the compiled kernel of the offices, or compile it, which takes about half a minute.

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

    library.compile_kernel(tell, library.OFFICES)


def simulate_offices(plan: "Plan", filings: "Filings", scenario: "Scenario") -> "OfficeRun":
    """Simulate the offices of one replication; as ``sim.backoffice.office.simulate_offices``.

    Beside plan and filings, memory holds about 260 bytes for each dossier and 33 for each task.

    Parameters
    ----------
    plan : Plan
        The offices.
    filings : Filings
        Their dossiers.
    scenario : Scenario
        Whose jobs of the portal carry intake and publication, and whose faults stop them.

    Returns
    -------
    OfficeRun
        What became of each dossier, the tasks done, and what each station did.

    Raises
    ------
    CompiledEngineError
        When the compiled engine cannot run here.
    ValueError
        When a term or the end of a task lies beyond the plan's calendars.
    """
    from sim.compiled import library
    from sim.compiled.offices.run import run_offices

    return run_offices(library.load_kernel(library.OFFICES), plan, filings, scenario)
