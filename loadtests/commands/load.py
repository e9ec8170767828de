"""`hoso load`: put a scenario's demand on a portal, and judge what came back."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypedDict, Unpack

import click

from sim.cli.terminal import console
from sim.exit_codes import MET, MISSED, RUN_FAILED, USAGE_WRONG

if TYPE_CHECKING:
    from rich.console import Group

    from loadtests.launch import Generator, StandIn
    from loadtests.ordering import Ask
    from loadtests.work import Order
    from sim.results import Run
    from sim.scenario.scenario import Scenario

_MAX_SESSIONS = 20_000  # as in loadtests.work, whose import would cost `hoso --help`
_WEB_PORT = 8089
_MASTER_PORT = 5557
_positive = click.IntRange(1)


class Options(TypedDict):
    """What the command line says."""

    scenario: str
    overrides: tuple[str, ...]
    host: str | None
    authorisation: Path | None
    dialect: str
    replication: int
    smoke: str | None
    processes: int
    expect_workers: int | None
    bind_host: str
    bind_port: int
    max_sessions: int
    max_requests: int | None
    max_time: float | None
    web: bool
    web_host: str
    web_port: int
    web_login: bool
    database: str | None
    portal_workers: int
    portal_threads: int
    portal_pool: int
    portal_queue_limit: int
    officers: int
    records: int | None
    gateways: bool
    keep_portal_data: Path | None
    reconcile: bool
    predict: bool
    report: bool
    results: Path


@click.command()
@click.argument("scenario")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one value.")
@click.option("--host", metavar="URL", help="Portal to load; default: a stand-in started for it.")
@click.option(
    "--authorisation",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Permission to load a host that is not this machine.",
)
@click.option(
    "--dialect",
    default="opencps",
    show_default=True,
    help="What the portal speaks: opencps, national, or module:factory.",
)
@click.option("--replication", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--smoke",
    is_flag=False,
    flag_value="",
    metavar="[JOURNEY]",
    help="Every service once, gently, instead of the scenario's demand.",
)
@click.option(
    "--processes", type=_positive, default=1, show_default=True, help="Load generators here."
)
@click.option("--expect-workers", type=_positive, help="Wait for workers of other machines.")
@click.option("--bind-host", default="127.0.0.1", show_default=True, help="Where workers connect.")
@click.option("--bind-port", type=_positive, default=_MASTER_PORT, show_default=True)
@click.option(
    "--max-sessions",
    type=_positive,
    default=_MAX_SESSIONS,
    show_default=True,
    help="Sessions at once; further arrivals are dropped and counted.",
)
@click.option("--max-requests", type=_positive, help="Stop after so many requests.")
@click.option("--max-time", type=click.FloatRange(0, min_open=True), help="Stop after seconds.")
@click.option("--web", is_flag=True, help="Start and watch it in a browser.")
@click.option("--web-host", default="127.0.0.1", show_default=True, help="Where --web listens.")
@click.option("--web-port", type=_positive, default=_WEB_PORT, show_default=True)
@click.option(
    "--web-login",
    is_flag=True,
    help="Open it only to HOSO_WEB_USER with HOSO_WEB_PASSWORD, both from the environment.",
)
@click.option("--database", metavar="URL", help="Of the stand-in: postgresql://user@host/name.")
@click.option("--portal-workers", type=_positive, default=1, show_default=True)
@click.option("--portal-threads", type=_positive, default=40, show_default=True)
@click.option("--portal-pool", type=_positive, default=20, show_default=True)
@click.option("--portal-queue-limit", type=click.IntRange(0), default=100, show_default=True)
@click.option("--officers", type=_positive, default=200, show_default=True)
@click.option("--records", type=click.IntRange(0), help="Shared-data records of the stand-in.")
@click.option(
    "--gateways/--no-gateways",
    default=True,
    show_default=True,
    help="Whether other authorities' services run with the scenario's delays.",
)
@click.option(
    "--keep-portal-data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the stand-in's data; default: a temporary one.",
)
@click.option(
    "--reconcile/--no-reconcile",
    default=True,
    show_default=True,
    help="Compare what the stand-in acknowledged with what it has.",
)
@click.option(
    "--predict/--no-predict",
    default=True,
    show_default=True,
    help="Simulate the same sessions first, and show both (of replication 0).",
)
@click.option("--report/--no-report", default=True, help="Write report.html beside the records.")
@click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder of the runs.",
)
def load(**given: Unpack[Options]) -> None:
    """Put the demand of a scenario on a portal, request by request, and judge its targets.

    The sessions, their requests and their times are those a simulation of the same scenario and
    replication sees, so both can be compared (`hoso compare`). Without --host a stand-in portal is
    started on this machine. Other hosts than this machine need an authorisation file.

    Passwords and the captcha's answer come from the environment: HOSO_PORTAL_USER_SECRET,
    HOSO_CAPTCHA; the stand-in's are made up when they are not set.

    Exit code 0: all targets met; 1: one missed or undecided, or a dossier lost; 2: the command or
    the scenario is wrong; 3: the run failed or was interrupted; 4: the measurement cannot be
    trusted.

    \b
    hoso load peak-hour --set window.duration_s=600 --set window.warm_up_s=120
    hoso load peak-hour --smoke
    hoso load peak-hour --processes 4 --web
    hoso load peak-hour --host https://test.example.vn --authorisation permit.yaml
    hoso load flash-crowd --expect-workers 8 --bind-host 10.0.0.1
    """
    if given["expect_workers"] and given["processes"] > 1:
        raise click.UsageError("give --processes or --expect-workers: the others bring their own")
    from loadtests.work import LoadError

    with _ended_by_signal():
        try:
            code = _load(given)
        except LoadError as error:
            _stop(str(error), RUN_FAILED)
    sys.exit(code)


def _load(given: Options) -> int:
    """Run the load; returns the exit code."""
    from loadtests.launch import share_secrets, stand_in_portal
    from sim.cli.terminal import load as load_scenario

    _check(given, load_scenario(given["scenario"], given["overrides"]))
    if given["host"] is not None:
        return _load_host(given, given["host"], is_ours=False)
    share_secrets()
    click.echo("starting the stand-in portal", err=True)
    with stand_in_portal(_stand_in(given), given["scenario"], given["overrides"]) as url:
        return _load_host(given, url, is_ours=True)


def _check(given: Options, question: "Scenario") -> None:
    """Refuse what cannot be done before a portal is started for it."""
    import os

    from loadtests.webui.account import account_for
    from loadtests.work import LoadError, check_portal

    try:
        check_portal(question)
        if given["web"]:
            account_for(given["web_host"], os.environ, has_login=given["web_login"])
    except LoadError as error:
        _stop(str(error), USAGE_WRONG)


def _load_host(given: Options, url: str, *, is_ours: bool) -> int:
    """Load a portal that is there; returns the exit code."""
    from loadtests.launch import run_locust, worker_command
    from loadtests.ordering import make_order
    from loadtests.work import LoadError, remove_work

    try:
        order = make_order(_ask(given, url))
    except LoadError as error:
        _stop(str(error), USAGE_WRONG)
    generator = _generator(given)
    _announce(order)
    if generator.expected:
        click.echo(f"start each worker by: {worker_command(generator)}", err=True)
    if generator.web_port is not None:
        click.echo(
            f"web UI: http://{generator.web_host}:{generator.web_port} (Ctrl-C ends)", err=True
        )
    simulated = _simulated(order, given) if _is_predicted(given) else None
    try:
        run_locust(order, generator)
    except LoadError:
        remove_work(order.folder)
        raise
    if generator.web_port is not None:
        return 0
    audit = _audited(order, url) if is_ours and given["reconcile"] else None
    run = _collected(order, None if audit is None else audit.synced_at)
    code = _answered(run, simulated, report=given["report"])
    if audit is None:
        return code
    console().print(audit.text)
    return code if audit.is_clean or code != MET else MISSED


def _announce(order: "Order") -> None:
    trace = order.trace
    click.echo(
        f"{trace.n_sessions:,} sessions, {trace.n_requests:,} requests at most, "
        f"to {order.plan.host}",
        err=True,
    )


def _is_predicted(given: Options) -> bool:
    """Whether the sessions are simulated, too; the web UI does that for itself."""
    return (
        given["predict"]
        and not given["web"]
        and given["smoke"] is None
        and given["replication"] == 0
    )


def _simulated(order: "Order", given: Options) -> "Run":
    """Simulate the sessions before they are sent: the measured run stays the scenario's latest."""
    from sim.experiment import run_experiment

    return run_experiment(
        order.scenario,
        results_root=given["results"],
        overrides=given["overrides"],
        processes=1,
        replications=1,
        tell=lambda text: click.echo(text, err=True),
    )


@dataclass(frozen=True, slots=True)
class _Audit:
    """What the stand-in portal has of what it acknowledged."""

    is_clean: bool
    text: "Group | str"
    synced_at: dict[str, float] | None = None


def _audited(order: "Order", url: str) -> _Audit:
    """Compare what was acknowledged with what the stand-in portal has."""
    from loadtests.collect import acknowledged_in
    from loadtests.commands.reconcile import shown
    from loadtests.reconcile import (
        ReconcileError,
        promises_in,
        reconcile,
        stored_dossiers,
        synced_at,
    )

    promises = promises_in(acknowledged_in(order.folder))
    try:
        stored = stored_dossiers(url, order.plan.reference, promises)
    except ReconcileError as error:
        return _Audit(is_clean=False, text=f"not reconciled: {error}")
    found = reconcile(promises, stored)
    return _Audit(found.is_clean, shown(found), synced_at(stored))


def _collected(order: "Order", synced_at: dict[str, float] | None) -> "Run":
    """Store what was recorded; the working folder goes when that is done."""
    from loadtests.collect import collect
    from loadtests.recorder import load_parts
    from loadtests.work import LoadError, remove_work

    try:
        run = collect(order.folder, synced_at=synced_at)
    except LoadError:
        if not load_parts(order.folder):
            remove_work(order.folder)
        raise
    remove_work(order.folder)
    return run


def _answered(run: "Run", simulated: "Run | None", *, report: bool) -> int:
    """Print the verdict, the simulation beside it, and where the records are; returns the code."""
    from loadtests.gates import judge_run
    from loadtests.gates.terminal import shown
    from sim.cli.terminal import save_report
    from sim.comparison import compare, render

    result = judge_run(run)
    console().print(shown(result))
    account = run.manifest.load
    if isinstance(account, dict):
        if account.get("stopped"):
            click.echo(f"stopped: {account['stopped']}")
        for problem in _problems(account.get("problems")):
            click.echo(problem)
    if simulated is not None:
        click.echo("\nsimulated (A) beside measured (B):")
        console().print(render(compare(simulated, run)))
    if report:
        runs = [run] if simulated is None else [run, simulated]
        save_report(runs, run.path / "report.html")
    click.echo(f"records: {run.path}")
    return result.exit_code


def _problems(listed: object) -> Iterator[str]:
    """Yield the commonest problems of a run, one line each."""
    for row in listed if isinstance(listed, list) else ():
        yield f"{row['count']:,} × {row['endpoint']}: {row['problem']}"


def _ask(given: Options, url: str) -> "Ask":
    import os

    from loadtests.ordering import Ask

    return Ask(
        scenario=given["scenario"],
        host=url,
        overrides=given["overrides"],
        replication=given["replication"],
        dialect=given["dialect"],
        max_sessions=given["max_sessions"],
        max_requests=given["max_requests"],
        max_time_s=given["max_time"],
        smoke_journey=given["smoke"],
        results=given["results"],
        authorisation=given["authorisation"],
        collects=given["web"],
        parent=os.getpid(),
    )


def _generator(given: Options) -> "Generator":
    from loadtests.launch import Generator

    return Generator(
        processes=given["processes"],
        expected=given["expect_workers"] or 0,
        bind_host=given["bind_host"],
        bind_port=given["bind_port"],
        web_port=given["web_port"] if given["web"] else None,
        web_host=given["web_host"],
        has_web_login=given["web_login"],
    )


def _stand_in(given: Options) -> "StandIn":
    from loadtests.launch import StandIn

    return StandIn(
        database=given["database"],
        workers=given["portal_workers"],
        threads=given["portal_threads"],
        pool=given["portal_pool"],
        queue_limit=given["portal_queue_limit"],
        officers=given["officers"],
        records=given["records"],
        has_gateways=given["gateways"],
        data=given["keep_portal_data"],
    )


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: the load ends, and what was measured is stored."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(message: str, code: int) -> NoReturn:
    click.echo(f"hoso: {message}", err=True)
    sys.exit(code)
