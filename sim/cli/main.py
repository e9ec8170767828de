"""The commands of `hoso`: parse, call, print; each imports what it needs.

Other packages add sub-commands through the entry-point group ``hoso.commands``: each entry names a
``click.Command``. Exit codes are those of :mod:`sim.exit_codes`.
"""

import errno
import sys
from importlib.metadata import entry_points
from pathlib import Path

import click

from sim.cli.imports import import_group
from sim.cli.options import Execution, execution_options, results_option, scenario_arguments
from sim.cli.terminal import console, executor_at, load, progress_bar, save_report
from sim.exit_codes import MET, MISSED, RUN_FAILED, USAGE_WRONG

_settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Commands(click.Group):
    """The built-in commands and those of the entry-point group ``hoso.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        extra = [entry.name for entry in entry_points(group="hoso.commands")]
        return [*self.commands, *extra]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        for entry in entry_points(group="hoso.commands", name=cmd_name):
            command: click.Command = entry.load()
            return command
        return None


@click.group(cls=_Commands, context_settings=_settings)
@click.version_option(package_name="hoso")
def hoso() -> None:
    """Will the public-service portal hold, and what is the cheapest capacity that does?

    \b
    hoso scenarios                          what is shipped
    hoso explain peak-hour                  what a scenario means, before anything runs
    hoso run peak-hour                      simulate, judge, write the report
    hoso run peak-hour --set portal.tiers.app.servers=2
    hoso compare peak-hour gateway-slow     paired differences of two runs
    hoso size peak-hour                     the smallest capacity that meets the targets

    SCENARIO is the name of a shipped scenario or the path of a YAML file.
    """


@hoso.command()
def scenarios() -> None:
    """List the shipped scenarios."""
    from rich.table import Table

    from sim.scenario import load_scenario, shipped_scenarios

    table = Table("scenario", "question", box=None, pad_edge=False)
    for name in shipped_scenarios():
        table.add_row(name, load_scenario(name).title)
    console().print(table)


@hoso.command()
@scenario_arguments
def explain(scenario: str, overrides: tuple[str, ...]) -> None:
    """Say what a scenario means, before anything runs.

    Demand, offered load per station, bottleneck, latency without queueing, headroom, cost.

    \b
    hoso explain peak-hour
    hoso explain peak-hour --set demand.day_factor=4.5
    """
    from sim.explain import explain as explained

    console().print(explained(load(scenario, overrides)))


@hoso.command()
@scenario_arguments
@execution_options
@results_option
@click.option("--report/--no-report", default=True, help="Write report.html beside the records.")
@click.option("--fresh", is_flag=True, help="Do not resume an interrupted run.")
def run(
    scenario: str,
    overrides: tuple[str, ...],
    execution: Execution,
    results: Path,
    report: bool,
    fresh: bool,
) -> None:
    """Simulate a scenario, judge its targets and write the report.

    Exit code 0: all targets met; 1: one missed or undecided; 2: the scenario is wrong; 3: the run
    failed. A run that was interrupted goes on where it stopped when the same command is given.

    \b
    hoso run peak-hour
    hoso run peak-hour --replications 20
    hoso run my-city.yaml --set portal.tiers.app.servers=6 --no-report
    hoso run peak-day --memory "4 GB" --processes 8
    hoso run peak-hour --engine simpy
    hoso run peak-day --replications 100 --cluster tcp://scheduler:8786
    """
    from sim.experiment import run_experiment
    from sim.explain import answer
    from sim.metrics import exit_code, judge_all

    overrides = (*overrides, *execution.overrides)
    question = load(scenario, overrides)
    with (
        executor_at(execution.cluster, execution.engine, question) as executor,
        progress_bar("simulating") as progress,
    ):
        finished = run_experiment(
            question,
            results_root=results,
            overrides=overrides,
            executor=executor,
            processes=execution.processes,
            replications=execution.replications,
            progress=progress,
            resume=not fresh,
            engine=execution.engine,
        )
    console().print(answer(finished))
    if report:
        save_report([finished], finished.path / "report.html")
    click.echo(f"records: {finished.path}")
    sys.exit(exit_code(result.verdict for result in judge_all(finished, question)))


@hoso.command()
@click.argument("a", metavar="RUN_A")
@click.argument("b", metavar="RUN_B")
@results_option
def compare(a: str, b: str, results: Path) -> None:
    """Show the differences between two runs, paired where they share their demand.

    A RUN is the folder of a run, or the name of a scenario: its latest run.

    \b
    hoso compare peak-hour gateway-slow
    hoso compare results/peak-hour/20241125T080000-1a2b3c results/peak-hour/20241125T081500-4d5e6f
    """
    from sim.comparison import compare as compared
    from sim.comparison import render
    from sim.results import open_run

    console().print(render(compared(open_run(a, results), open_run(b, results))))


@hoso.command()
@scenario_arguments
@execution_options
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Override file to write; default: SCENARIO-sized.yaml in the working folder.",
)
def size(
    scenario: str,
    overrides: tuple[str, ...],
    execution: Execution,
    output: Path | None,
) -> None:
    """Find the smallest servers, workers and connections that meet the targets.

    Screens by queueing formulas, then simulates candidates on the same demand (common random
    numbers), then confirms the answer on fresh replications at the scenario's confidence. Writes a
    few lines of YAML that `extends` the scenario.

    \b
    hoso size peak-hour
    hoso size peak-hour --set demand.day_factor=4 --output big-day.yaml
    hoso size peak-day --cluster tcp://scheduler:8786
    """
    from sim.sizing import render, write_override
    from sim.sizing import size as sized

    question = load(scenario, (*overrides, *execution.overrides))
    with (
        executor_at(execution.cluster, execution.engine, question) as executor,
        progress_bar("sizing") as progress,
    ):
        answer = sized(
            question,
            processes=execution.processes,
            replications=execution.replications,
            progress=progress,
            executor=executor,
            engine=execution.engine,
        )
    console().print(render(answer))
    if answer.is_certified:
        path = output or Path(f"{question.name}-sized.yaml")
        write_override(answer, path, scenario, overrides)
        click.echo(f"written: {path}")
    sys.exit(MET if answer.is_certified else MISSED)


@hoso.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="HTML file to write; default: report.html in the first run's folder.",
)
@results_option
def report_command(runs: tuple[str, ...], output: Path | None, results: Path) -> None:
    """Write the report of one run, or of several side by side, as one HTML file.

    \b
    hoso report peak-hour
    hoso report peak-hour gateway-slow --output both.html
    """
    from sim.results import open_run

    opened = [open_run(run, results) for run in runs]
    save_report(opened, output or opened[0].path / "report.html")


@hoso.command()
@scenario_arguments
@click.option("--replication", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write; default: SCENARIO-trace-REPLICATION.",
)
def trace(scenario: str, overrides: tuple[str, ...], replication: int, output: Path | None) -> None:
    """Draw the demand of one replication and save it as Parquet, for other tools to replay.

    \b
    hoso trace peak-hour --replication 3 --output demand-3
    """
    from sim.demand.trace import save_trace
    from sim.experiment import DEFAULT_ENGINE, offices_of
    from sim.workload import draw_workload

    question = load(scenario, overrides)
    if not question.has_portal:
        raise click.UsageError(
            f"{question.name}: no portal is simulated (backoffice.fed_by is demand), so there are "
            "no sessions to draw"
        )
    drawn = draw_workload(question, replication, offices_of(DEFAULT_ENGINE))
    folder = output or Path(f"{question.name}-trace-{replication}")
    save_trace(drawn, folder)
    click.echo(f"{drawn.n_sessions:,} sessions, {drawn.n_requests:,} requests: {folder}")


hoso.add_command(import_group)


@hoso.command()
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors and other programs."""
    import json

    from sim.scenario import scenario_schema

    click.echo(json.dumps(scenario_schema(), indent=2, ensure_ascii=False))


def main() -> None:
    """Run the command; every expected failure becomes a message and an exit code."""
    try:
        hoso(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE_WRONG)
    except (click.Abort, KeyboardInterrupt):
        click.echo("hoso: stopped", err=True)
        sys.exit(RUN_FAILED)
    except Exception as error:
        code = _code_of(error)
        if code is None:
            raise
        click.echo(f"hoso: {_message(error)}", err=True)
        sys.exit(code)


def _message(error: Exception) -> str:
    """Return what to tell the planner."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return (
            f"the disk is full; nothing half-written is left. Free space and try again. ({error})"
        )
    return str(error)


def _code_of(error: Exception) -> int | None:
    """Return the exit code of a failure that has a message for the planner."""
    from sim.demand import CatalogueError, DemandError
    from sim.demand.imports import ImportFileError
    from sim.experiment import ClusterError, ExperimentError
    from sim.results import NoSuchRunError, ResultsError
    from sim.scenario import ScenarioError

    usage = ScenarioError | DemandError | CatalogueError | ImportFileError | NoSuchRunError
    if isinstance(error, usage):
        return USAGE_WRONG
    if isinstance(error, ExperimentError | ClusterError | ResultsError | OSError):
        return RUN_FAILED
    return None
