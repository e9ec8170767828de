"""The engines: two implementations of one model that give the same records."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING, Literal, Protocol

from sim.demand.trace import Trace
from sim.experiment.errors import ExperimentError
from sim.results import Records
from sim.results.manifest import hoso_version, software_versions
from sim.scenario.scenario import Scenario

if TYPE_CHECKING:
    from sim.workload import SimulateOffices

EngineName = Literal["compiled", "simpy"]

DEFAULT_ENGINE: EngineName = "compiled"
"""SimPy's model is the readable reference; the compiled one is its fast twin."""

Tell = Callable[[str], None]
"""Takes a sentence for whoever waits."""


class Simulate(Protocol):
    """One replication, on a trace or on the one it draws."""

    def __call__(
        self, scenario: Scenario, replication: int, trace: Trace | None = None, /
    ) -> Records:
        """Return the records."""


def simulator(engine: EngineName, scenario: Scenario) -> Simulate:
    """Return an engine's function for a scenario; imports only that engine.

    Raises
    ------
    ExperimentError
        When the compiled engine cannot run here.
    """
    if engine == "simpy":
        from sim.engine import simulate

        return simulate
    make_ready(engine, scenario)
    from sim.compiled import simulate as compiled

    return compiled


def offices_of(engine: EngineName) -> "SimulateOffices":
    """Return an engine's offices; imports only that engine."""
    if engine == "simpy":
        from sim.backoffice.office import simulate_offices

        return simulate_offices
    from sim.compiled.offices import simulate_offices as compiled

    return compiled


def make_ready(engine: EngineName, scenario: Scenario, tell: Tell | None = None) -> None:
    """Compile the kernels, or load them where that was done before; SimPy needs nothing.

    Parameters
    ----------
    engine : {"compiled", "simpy"}
        Which engine.
    scenario : Scenario
        The question: whether it takes the portal's kernel, that of the offices, or both.
    tell : callable, optional
        Told what is waited for, if it takes long.

    Raises
    ------
    ExperimentError
        When the compiled engine cannot run here.
    """
    if engine == "simpy":
        return
    from sim.compiled import compile_kernel
    from sim.compiled.errors import CompiledEngineError
    from sim.compiled.offices import compile_kernel as compile_offices

    try:
        if scenario.has_portal:
            compile_kernel(tell)
        if scenario.backoffice is not None:
            compile_offices(tell)
    except CompiledEngineError as error:
        hint = "" if "--engine simpy" in str(error) else "; --engine simpy runs without it"
        raise ExperimentError(f"the compiled engine cannot run: {error}{hint}") from error


def versions_for(engine: EngineName) -> dict[str, str]:
    """Return the versions that decide an engine's records, hoso's own among them.

    Raises
    ------
    ExperimentError
        When a package is missing.
    """
    try:
        return {"hoso": hoso_version()} | software_versions(engine)
    except PackageNotFoundError as error:
        raise ExperimentError(f"{error.name} is not installed: install hoso again") from error
