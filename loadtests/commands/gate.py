"""`hoso gate`: may this run pass?"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.cli.terminal import console

if TYPE_CHECKING:
    from loadtests.gates import GateResult
    from loadtests.gates.slowdown import Against
    from sim.results import Run

_FILE = click.Path(dir_okay=False, path_type=Path)
_RESULTS = Path("results")
_USUAL_METRIC = "all.response_s.p50"


@click.command()
@click.argument("run", metavar="RUN")
@click.option(
    "--targets",
    "targets_file",
    type=_FILE,
    help="YAML file with a block `targets:`, instead of the scenario's.",
)
@click.option("--against", metavar="RUN", help="Base run: shows the differences to it.")
@click.option(
    "--max-slowdown",
    type=click.FloatRange(0, min_open=True),
    metavar="RATIO",
    help="Miss when the run is certainly more than so many times slower than the base.",
)
@click.option(
    "--slowdown-of",
    multiple=True,
    metavar="METRIC",
    help=f"What --max-slowdown judges; may be repeated. Default: {_USUAL_METRIC}.",
)
@click.option("--junit", type=_FILE, help="JUnit XML to write.")
@click.option("--markdown", type=_FILE, help="Markdown summary to write.")
@click.option("--json", "json_file", type=_FILE, help="JSON to write.")
@click.option("--openmetrics", type=_FILE, help="OpenMetrics text to write.")
@click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=_RESULTS,
    show_default=True,
    help="Folder of the runs.",
)
def gate(
    run: str,
    targets_file: Path | None,
    against: str | None,
    max_slowdown: float | None,
    slowdown_of: tuple[str, ...],
    junit: Path | None,
    markdown: Path | None,
    json_file: Path | None,
    openmetrics: Path | None,
    results: Path,
) -> None:
    """Judge a run, simulated or measured, and write the verdict for CI systems.

    RUN is the folder of a run, or the name of a scenario: its latest run.

    Exit code 0: all targets met; 1: one missed or undecided, or certainly slower than the base; 2:
    the command is wrong; 3: the run was interrupted or cannot be read; 4: the measurement cannot be
    trusted, whatever its targets say.

    \b
    hoso gate peak-hour
    hoso gate peak-hour --junit gate.xml --markdown gate.md --json gate.json
    hoso gate peak-hour --targets strict.yaml
    hoso gate head --against base --max-slowdown 1.05
    """
    if against is None and (max_slowdown is not None or slowdown_of):
        raise click.UsageError("--max-slowdown and --slowdown-of need --against RUN")
    if slowdown_of and max_slowdown is None:
        raise click.UsageError("--slowdown-of needs --max-slowdown RATIO")
    from loadtests.gates.document import to_json
    from loadtests.gates.junit import to_junit
    from loadtests.gates.markdown import to_markdown
    from loadtests.gates.openmetrics import to_openmetrics
    from loadtests.gates.terminal import shown

    files = [
        (junit, to_junit),
        (markdown, to_markdown),
        (json_file, to_json),
        (openmetrics, to_openmetrics),
    ]
    wanted = [(_writable(path), text_of) for path, text_of in files if path is not None]
    # A verdict of another run must not be taken for this one's, should this one fail.
    for path, _ in wanted:
        path.unlink(missing_ok=True)
    result = _judged(run, targets_file, against, max_slowdown, slowdown_of, results)
    console().print(shown(result))
    for path, text_of in wanted:
        _write(path, text_of, result)
    sys.exit(result.exit_code)


def _judged(
    name: str,
    targets_file: Path | None,
    against: str | None,
    max_slowdown: float | None,
    slowdown_of: tuple[str, ...],
    results: Path,
) -> "GateResult":
    from loadtests.gates import judge_run
    from loadtests.gates.targets import read_targets
    from sim.results import open_run

    run = open_run(name, results)
    targets = None if targets_file is None else read_targets(targets_file, run.scenario)
    if not (run.scenario.targets if targets is None else targets) and max_slowdown is None:
        raise click.UsageError(
            f"{run.name}: its scenario states no targets, so there is nothing to judge; "
            "give --targets FILE"
        )
    compared = (
        None if against is None else _compared(run, against, max_slowdown, slowdown_of, results)
    )
    return judge_run(run, targets, compared)


def _compared(
    run: "Run", against: str, limit: float | None, metrics: tuple[str, ...], results: Path
) -> "Against":
    from loadtests.gates.slowdown import compare_with
    from sim.results import open_run

    return compare_with(open_run(against, results), run, limit, metrics or (_USUAL_METRIC,))


def _writable(path: Path) -> Path:
    """Return the file behind a path; what is there already must be a file."""
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise click.UsageError(f"{path}: is no file that could be replaced")
    return target


def _write(path: Path, text_of: "Callable[[GateResult], str]", result: "GateResult") -> None:
    from sim.results import written_whole

    with written_whole(path) as temporary:
        temporary.write_text(text_of(result), encoding="utf-8")
    click.echo(f"written: {path}")
