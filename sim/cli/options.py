"""Options that commands share."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sim.experiment import EngineName

RESULTS = Path("results")

ENGINES = ("compiled", "simpy")


@dataclass(frozen=True, slots=True)
class Execution:
    """How and where replications run.

    Attributes
    ----------
    engine : {"compiled", "simpy"}
        What simulates.
    replications, processes : int or None
        How many; None: as the scenario says, one per core.
    cluster : str or None
        Address of a Dask scheduler.
    overrides : tuple of str
        ``--set`` texts the options stand for.
    """

    engine: "EngineName"
    replications: int | None
    processes: int | None
    cluster: str | None
    overrides: tuple[str, ...]


def scenario_arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the scenario and its overrides to a command."""
    command = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change one value, such as demand.online_share=0.95; may be repeated.",
    )(command)
    return click.argument("scenario")(command)


def results_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the folder of the runs to a command."""
    return click.option(
        "--results",
        type=click.Path(file_okay=False, path_type=Path),
        default=RESULTS,
        show_default=True,
        help="Folder of the runs.",
    )(command)


def execution_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add to a command how and where replications run: its argument ``execution``."""

    @functools.wraps(command)
    def with_execution(
        *args: object,
        engine: "EngineName",
        replications: int | None,
        processes: int | None,
        cluster: str | None,
        memory: str | None,
        **kwargs: object,
    ) -> object:
        if cluster is not None and processes is not None:
            raise click.UsageError("give --processes or --cluster: a cluster has its own workers")
        overrides = () if memory is None else (f"execution.memory={memory}",)
        execution = Execution(engine, replications, processes, cluster, overrides)
        return command(*args, execution=execution, **kwargs)

    for option in reversed(_EXECUTION_OPTIONS):
        with_execution = option(with_execution)
    return with_execution


_EXECUTION_OPTIONS = (
    click.option(
        "--replications", type=click.IntRange(1, 10_000), help="Instead of the scenario's number."
    ),
    click.option(
        "--processes", type=click.IntRange(1, 1024), help="Worker processes; default: all cores."
    ),
    click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default="compiled",
        show_default=True,
        help="The compiled kernel, or the SimPy model it is the twin of: the same records.",
    ),
    click.option(
        "--memory",
        metavar="BYTES",
        help="Memory of all processes together, such as '4 GB'; default: half of the machine's.",
    ),
    click.option(
        "--cluster",
        metavar="ADDRESS",
        help="Run on the workers of a Dask scheduler, such as tcp://scheduler:8786.",
    ),
)
