"""What commands share: the scenario they are given, the terminal, the report they write."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from rich.console import Console

    from sim.experiment import EngineName, Progress
    from sim.results import Run
    from sim.scenario.scenario import Scenario


def load(scenario: str, overrides: Sequence[str]) -> "Scenario":
    """Load a scenario with its overrides; files it names are read to see that they are sound."""
    from sim.scenario import load_scenario

    question = load_scenario(scenario, overrides)
    if question.catalogue.file is not None:
        from sim.demand import catalogue_of

        catalogue_of(question)
    if question.backoffice is not None:
        _check_offices(question, question.backoffice.initial_state.file)
    return question


def _check_offices(question: "Scenario", open_dossiers: str | None) -> None:
    """Refuse now what otherwise the first replication would refuse."""
    from sim.backoffice.open_dossiers import read_open_dossiers
    from sim.backoffice.plan import plan_of

    plan = plan_of(question, 0)
    if open_dossiers is not None:
        read_open_dossiers(Path(open_dossiers), plan, question.window.start)


def console() -> "Console":
    """Return the terminal."""
    from rich.console import Console

    return Console(highlight=False)


@contextmanager
def progress_bar(label: str) -> "Iterator[Progress]":
    """Show a progress bar on the terminal; gives the function that moves it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None, detail="")

        def move(done: int, total: int, label: str) -> None:
            bar.update(task, completed=done, total=total, detail=label)

        yield move


def say(text: str) -> None:
    """Say what is waited for, beside the answer."""
    click.echo(f"hoso: {text}", err=True)


@contextmanager
def executor_at(
    cluster: str | None, engine: "EngineName", question: "Scenario"
) -> "Iterator[Executor | None]":
    """Give the executor of a cluster; without one, make the engine ready here and give None."""
    from sim.experiment import connected, make_ready

    if cluster is None:
        make_ready(engine, question, say)
        yield None
    else:
        with connected(cluster, engine, say) as executor:
            yield executor


def save_report(runs: "Sequence[Run]", path: Path) -> None:
    """Write the report and say where it is."""
    from sim.report import write_report

    click.echo(f"report: {write_report(runs, path)}")
