"""`hoso reconcile`: is everything that a portal acknowledged still there, exactly once?"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.exit_codes import MET, MISSED, RUN_FAILED

if TYPE_CHECKING:
    from rich.console import Group

    from loadtests.reconcile import Reconciliation
    from sim.results import Run

_ROWS = 50
"""So many differences are listed; the rest are counted."""


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--host", metavar="URL", help="Stand-in portal that runs on the data of the run.")
@click.option(
    "--portal-data",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Folder kept by `hoso load --keep-portal-data`: a portal is started on it.",
)
@click.option("--database", metavar="URL", help="Its database, where that is PostgreSQL.")
@click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder of the runs.",
)
def reconcile(
    run: str, host: str | None, portal_data: Path | None, database: str | None, results: Path
) -> None:
    """Compare what a stand-in portal acknowledged in a load test with what it has.

    Each acknowledged dossier must be on file exactly once, its attachments with the bytes that
    were sent, and each change of status synchronised or still waiting. The key of a portal that
    runs already comes from the environment: HOSO_MONITOR_KEY.

    Exit code 0: nothing lost; 1: something lost, doubled or damaged; 2: the command is wrong; 3:
    the portal cannot be asked.

    \b
    hoso load minute --keep-portal-data portal-data
    hoso reconcile minute --portal-data portal-data
    hoso reconcile minute --host http://127.0.0.1:8080
    """
    if (host is None) == (portal_data is None):
        raise click.UsageError("give --host of a running portal, or --portal-data to start one on")
    from loadtests.reconcile import ReconcileError
    from loadtests.work import LoadError
    from sim.cli.terminal import console
    from sim.results import open_run

    opened = open_run(run, results)
    try:
        found = _asked(opened, host, portal_data, database)
    except (ReconcileError, LoadError) as error:
        click.echo(f"hoso: {error}", err=True)
        sys.exit(RUN_FAILED)
    console().print(shown(found))
    sys.exit(MET if found.is_clean else MISSED)


def compared(run: "Run", url: str) -> "Reconciliation":
    """Ask the stand-in portal at a URL, and compare.

    Raises
    ------
    ReconcileError
        When it cannot be asked, or the run was simulated.
    """
    from loadtests.reconcile import ReconcileError, promises_of, stored_dossiers
    from loadtests.reconcile import reconcile as reconciled

    promises = promises_of(run)
    account = run.manifest.load
    if not isinstance(account, dict) or "reference" not in account:
        raise ReconcileError(f"{run.name}: its manifest names no reference; run the load again")
    return reconciled(promises, stored_dossiers(url, str(account["reference"]), promises))


def shown(found: "Reconciliation") -> "Group":
    """Return what a terminal shows: one line, and a table of differences."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    kept = (
        f"acknowledged: {found.dossiers:,} dossiers, {found.attachments:,} attachments, "
        f"{found.actions:,} changes of status; of all changes on file {found.synced:,} are "
        f"synchronised, {found.queued:,} still wait"
    )
    if found.unacknowledged:
        kept += f"; {found.unacknowledged:,} dossiers are on file whose answer no client got"
    if found.is_clean:
        return Group(Text(f"reconciled: nothing is lost; {kept}"))
    table = Table("difference", "dossier", "session", "request", "detail", box=None, pad_edge=False)
    for difference in found.differences[:_ROWS]:
        table.add_row(
            difference.what,
            difference.dossier,
            str(difference.session),
            str(difference.request),
            difference.detail,
        )
    count = len(found.differences)
    more = f" (the first {_ROWS} are listed)" if count > _ROWS else ""
    return Group(Text(f"reconciled: {count:,} promises not kept{more}; {kept}"), table)


def _asked(
    run: "Run", host: str | None, portal_data: Path | None, database: str | None
) -> "Reconciliation":
    if host is not None:
        return compared(run, host)
    assert portal_data is not None
    import tempfile

    from loadtests.launch import KEPT, StandIn, stand_in_portal
    from loadtests.work import LoadError
    from sim.scenario import dump_scenario

    try:
        filled = json.loads((portal_data / KEPT).read_text())
    except (OSError, ValueError) as error:
        raise LoadError(
            f"{portal_data}: no data kept by `hoso load --keep-portal-data`: {error}"
        ) from error
    stand_in = StandIn(database=database, data=portal_data, has_gateways=False, **filled)
    with tempfile.TemporaryDirectory() as folder:
        scenario = Path(folder) / "scenario.yaml"
        scenario.write_text(dump_scenario(run.scenario), encoding="utf-8")
        with stand_in_portal(stand_in, str(scenario), ()) as url:
            return compared(run, url)
