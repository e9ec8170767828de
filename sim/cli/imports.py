"""`hoso import …`: real lists, counts and logs become a catalogue or shapes of demand."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim.cli.terminal import console

if TYPE_CHECKING:
    from sim.demand.imports import ImportReport

_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.group("import")
def import_group() -> None:
    """Turn real lists, counts and logs into a catalogue or shapes of demand.

    Every importer says what it took, what it guessed and what it refused.
    """


def _column_option(fields: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--column",
        "columns",
        multiple=True,
        metavar="FIELD=COLUMN",
        help=f"Where the file names a column unusually. Fields: {fields}.",
    )


def _output_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help=text)


@import_group.command()
@_file
@_output_option("Catalogue to write, .csv or .parquet; default: catalogue.csv.")
@_column_option("code, name, domain, level, online, limit and so on")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
def catalogue(file: Path, output: Path | None, columns: tuple[str, ...], seed: int) -> None:
    """Read a published list of procedures (CSV) as a catalogue.

    Use it in a scenario with `catalogue: {file: catalogue.csv}`.

    \b
    hoso import catalogue procedures.csv
    """
    from sim.demand import save_catalogue
    from sim.demand.imports import import_catalogue

    imported = import_catalogue(file, columns=_mapping(columns), seed=seed)
    _show(imported.report)
    path = output or Path("catalogue.csv")
    save_catalogue(imported.catalogue, path)
    click.echo(f"written: {path}")


@import_group.command()
@_file
@_output_option("YAML file for the shapes; default: on the terminal.")
@_column_option("time, date, hour, count")
@click.option(
    "--keep", multiple=True, metavar="COLUMN=VALUE", help="Only rows with this value; repeatable."
)
@click.option("--each", metavar="COLUMN", help="Column whose values each weigh the same.")
@click.option("--start", type=click.DateTime(), help="Of a bare series: time of the first count.")
@click.option("--interval", help="Of a bare series: time between counts, such as '1 s'.")
@click.option("--until", type=click.DateTime(), help="Of a bare series: read nothing after this.")
@click.option("--name", default="imported", show_default=True, help="Name of the hour shape.")
def counts(
    file: Path,
    output: Path | None,
    columns: tuple[str, ...],
    keep: tuple[str, ...],
    each: str | None,
    start: dt.datetime | None,
    interval: str | None,
    until: dt.datetime | None,
    name: str,
) -> None:
    """Fit hour and weekday shapes and the day effect to public counts.

    \b
    hoso import counts visits.csv --each agency
    hoso import counts requests.tbz2 --start 1995-07-01T00:00:01 --interval "1 s"
    """
    from sim.demand.imports import import_counts

    imported = import_counts(
        file,
        columns=_mapping(columns),
        keep=_several(keep),
        each=each,
        start=start,
        interval_s=_seconds(interval),
        until=until,
        name=name,
    )
    _finish(imported.report, imported.override, output)


@import_group.command("event-log")
@_file
@_output_option("YAML file for the override; default: on the terminal.")
@_column_option("case, time, activity, begun, start, channel, resource, group, lifecycle, instance")
@click.option("--name", default="imported", show_default=True, help="Name of the hour shape.")
@click.option("--time-format", metavar="FORMAT", help="Of unusual times, such as '%d-%b-%Y %H.%M'.")
@click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="TASK=ACTIVITY",
    help="Which activities are a task of `backoffice`: receive, assign, examine, approve, sign, "
    "release; repeatable.",
)
@click.option(
    "--share",
    "shares",
    multiple=True,
    metavar="SHARE=ACTIVITY",
    help="Which activities show a share of `backoffice.workflow.rules`; repeatable.",
)
@click.option(
    "--offices", metavar="NAME", help="Group of `backoffice.offices` that gets the hours."
)
@click.option(
    "--model", type=click.Path(dir_okay=False, path_type=Path), help="JSON file for the model."
)
@click.option(
    "--pictures", type=click.Path(file_okay=False, path_type=Path), help="Folder for pictures."
)
@click.option(
    "--split",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]),
    help="Fit to what was known before this day, predict the cases that began after it, compare.",
)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]),
    help="With --split: do not fit to cases that began before this day.",
)
@click.option("--within", default="8 working hours", show_default=True, help="Term to judge by.")
@click.option(
    "--phase",
    "phases",
    multiple=True,
    metavar="NAME=FROM..TO",
    help="Stretch between two activities (or start, first, last); repeatable. Default: "
    "reception=first..last and, where cases state a start, wait=start..first.",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option(
    "--replications",
    type=click.IntRange(min=40),
    default=400,
    show_default=True,
    help="Times the later period is drawn.",
)
def event_log(
    file: Path,
    output: Path | None,
    columns: tuple[str, ...],
    name: str,
    time_format: str | None,
    tasks: tuple[str, ...],
    shares: tuple[str, ...],
    offices: str | None,
    model: Path | None,
    pictures: Path | None,
    split: dt.datetime | None,
    since: dt.datetime | None,
    within: str,
    phases: tuple[str, ...],
    seed: int,
    replications: int,
) -> None:
    """Learn arrivals, routing, times and hours from a process log (CSV, XES, XES.GZ).

    With --split the learned model is judged on cases it had not seen.

    \b
    hoso import event-log receipt.csv --output shapes.yaml --model model.json
    hoso import event-log receipt.xes.gz --split 2011-07-01 --within "8 working hours"
    """
    from sim.cli.event_log import LogQuestion, answer
    from sim.cli.terminal import progress_bar
    from sim.demand.imports import import_event_log

    if since is not None and (split is None or since >= split):
        raise click.UsageError("--since needs a later --split")
    question = LogQuestion(
        tasks=_several(tasks),
        shares=_several(shares),
        offices=offices,
        model=model,
        pictures=pictures,
        split=split,
        since=since,
        within_h=_working_hours(within),
        phases=phases,
        seed=seed,
        replications=replications,
    )
    with progress_bar("reading") as progress:
        imported = import_event_log(
            file, columns=_mapping(columns), name=name, time_format=time_format, progress=progress
        )
    override = answer(imported, question, lambda: _show(imported.report))
    _write(override, output)


@import_group.command("access-log")
@_file
@_output_option("YAML file for the shapes; default: on the terminal.")
@click.option("--name", default="imported", show_default=True, help="Name of the hour shape.")
def access_log(file: Path, output: Path | None, name: str) -> None:
    """Fit hour and weekday shapes to a web server's log (Common or Combined Log Format).

    \b
    hoso import access-log access.log.gz
    """
    from sim.demand.imports import import_access_log

    imported = import_access_log(file, name=name)
    _finish(imported.counts.report, imported.counts.override, output)


def _finish(report: "ImportReport", override: str, output: Path | None) -> None:
    """Show the report; write or print the YAML."""
    _show(report)
    _write(override, output)


def _write(override: str, output: Path | None) -> None:
    """Write or print the YAML."""
    from sim.results import written_whole

    if output is None:
        click.echo(override)
        return
    with written_whole(output) as temporary:
        temporary.write_text(override, encoding="utf-8")
    click.echo(f"written: {output}")


def _show(report: "ImportReport") -> None:
    from sim.demand.imports import render_import_report

    console().print(render_import_report(report))


def _mapping(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return KEY=VALUE texts as a mapping."""
    return {key: values[-1] for key, values in _several(pairs).items()}


def _several(pairs: tuple[str, ...]) -> dict[str, list[str]]:
    """Return KEY=VALUE texts as a mapping to all values of a key."""
    values: dict[str, list[str]] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{pair!r} must be KEY=VALUE")
        values.setdefault(key, []).append(value)
    return values


def _seconds(text: str | None) -> float | None:
    """Return a duration with a unit in seconds."""
    if text is None:
        return None
    from sim.scenario.quantities import SECONDS, parse_quantity

    try:
        return float(parse_quantity(text, SECONDS))
    except ValueError as reason:
        raise click.BadParameter(str(reason), param_hint="--interval") from reason


def _working_hours(text: str) -> float:
    """Return a term in working hours."""
    from sim.scenario.quantities import WORKING_HOURS, parse_quantity

    try:
        hours = float(parse_quantity(text, WORKING_HOURS))
    except ValueError as reason:
        raise click.BadParameter(str(reason), param_hint="--within") from reason
    if hours <= 0:
        raise click.BadParameter(f"{text!r} must be more than 0", param_hint="--within")
    return hours
