"""`hoso portal`: fill and run the stand-in portal."""

import fcntl
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypedDict, Unpack
from urllib.parse import urlsplit

import click

from sim.exit_codes import RUN_FAILED, USAGE_WRONG

if TYPE_CHECKING:
    from loadtests.portal.settings import PortalSettings
    from sim.scenario.scenario import Scenario

DEFAULT_SCENARIO = "peak-hour"
DEFAULT_PORT = 8080
DEFAULT_DATA = Path("portal-data")
NO_GATEWAYS = "none"

# The same names as loadtests.portal.settings.SLOW_MODES, whose import would cost `hoso --help`.
_SLOW_MODES = ("service-counts", "todo-rows", "todo-counts")
_positive = click.IntRange(1, 10_000)


class Options(TypedDict):
    """What the command line says."""

    scenario: str
    overrides: tuple[str, ...]
    bind: str
    port: int
    data: Path
    database: str | None
    workers: int
    threads: int
    pool: int
    queue_limit: int
    gateways: str
    records: int | None
    officers: int
    backlog: int
    slow_modes: tuple[str, ...]
    index_lag: tuple[float, float]
    tracking: bool
    waf: bool


@click.command()
@click.option(
    "--scenario", default=DEFAULT_SCENARIO, show_default=True, help="States services and jobs."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one value.")
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: any."
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_DATA,
    show_default=True,
    help="Folder of the database and the attachments.",
)
@click.option("--database", metavar="URL", help="postgresql://user@host/name instead of SQLite.")
@click.option("--workers", type=_positive, default=1, show_default=True, help="Web processes.")
@click.option(
    "--threads", type=_positive, default=40, show_default=True, help="Of one web process."
)
@click.option(
    "--pool", type=_positive, default=20, show_default=True, help="Its database connections."
)
@click.option(
    "--queue-limit",
    type=click.IntRange(0, 100_000),
    default=100,
    show_default=True,
    help="Requests that may wait for a thread; one more is answered 503.",
)
@click.option(
    "--gateways",
    default=NO_GATEWAYS,
    show_default=True,
    metavar="URL",
    help="Where `hoso gateways` runs; none: answered within the portal, at once.",
)
@click.option(
    "--records",
    type=click.IntRange(0, 100_000_000),
    help="Shared-data records instead of the scenario's number.",
)
@click.option(
    "--officers",
    type=click.IntRange(1, 10_000),
    default=200,
    show_default=True,
    help="Officers, o0000 onwards.",
)
@click.option(
    "--backlog",
    type=click.IntRange(0, 1000),
    default=10,
    show_default=True,
    help="Received dossiers that wait for each officer.",
)
@click.option(
    "--slow-mode",
    "slow_modes",
    multiple=True,
    type=click.Choice(_SLOW_MODES),
    help="Known slowness of the published server; may be repeated.",
)
@click.option(
    "--index-lag",
    type=(click.FloatRange(0, 60), click.FloatRange(0, 60)),
    default=(0.3, 1.0),
    show_default=True,
    metavar="LEAST GREATEST",
    help="Seconds until search lists show a change.",
)
@click.option(
    "--tracking/--no-tracking",
    default=True,
    show_default=True,
    help="Write a row whenever services are read, as the published server does.",
)
@click.option("--waf", is_flag=True, help="A front door that refuses programs.")
def portal(**given: Unpack[Options]) -> None:
    """Run a stand-in portal: synthetic data, a real server, to practise load tests on.

    What it stored is there again when it is started on the same data, also after it was killed.
    Passwords of its users, the captcha's answer and the monitor's key come from the environment:
    HOSO_PORTAL_USER_SECRET, HOSO_CAPTCHA, HOSO_MONITOR_KEY.

    \b
    hoso portal --scenario peak-hour --port 8080
    hoso portal --records 1000 --data /tmp/small-portal
    hoso portal --database postgresql://hoso@localhost/portal --workers 2
    hoso portal --gateways http://127.0.0.1:8081 --slow-mode service-counts
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings = _settings(given)
    _check_port(settings)
    with _own_folder(settings.data):
        _fill(settings)
        _serve(settings)


def _settings(given: Options) -> "PortalSettings":
    """Return the settings of a command line."""
    from loadtests.portal.settings import PortalSettings, Secrets

    least_s, greatest_s = given["index_lag"]
    if least_s > greatest_s:
        _stop("--index-lag: the least delay comes first", USAGE_WRONG)
    return PortalSettings(
        scenario=_scenario(given["scenario"], given["overrides"]),
        data=given["data"],
        database=given["database"],
        host=given["bind"],
        port=given["port"],
        workers=given["workers"],
        threads=given["threads"],
        pool=given["pool"],
        queue_limit=given["queue_limit"],
        gateways=_gateways(given["gateways"]),
        records=given["records"],
        officers=given["officers"],
        backlog_per_officer=given["backlog"],
        slow_modes=frozenset(given["slow_modes"]),
        index_lag_s=given["index_lag"],
        tracks_reads=given["tracking"],
        waf=given["waf"],
        secrets=Secrets.from_environment(),
    )


def _scenario(name: str, overrides: Sequence[str]) -> "Scenario":
    from sim.demand import CatalogueError, catalogue_of
    from sim.scenario import ScenarioError, load_scenario

    try:
        scenario = load_scenario(name, overrides)
        catalogue_of(scenario)
    except (ScenarioError, CatalogueError) as error:
        _stop(str(error), USAGE_WRONG)
    return scenario


def _gateways(text: str) -> str | None:
    """Return the gateways' URL, or None for those within the portal."""
    if text == NO_GATEWAYS:
        return None
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        _stop(
            f"--gateways {text}: write a URL such as http://127.0.0.1:8081, or {NO_GATEWAYS}",
            USAGE_WRONG,
        )
    return text.rstrip("/")


def _check_port(settings: "PortalSettings") -> None:
    """Say at once that a port is taken, before the database is filled."""
    from loadtests.portal.listening import ListenError, is_loopback, listen

    try:
        listen(settings.host, settings.port).close()
    except ListenError as error:
        _stop(str(error), RUN_FAILED)
    if not is_loopback(settings.host):
        click.echo(f"warning: {settings.host} can be reached from other machines", err=True)


@contextmanager
def _own_folder(folder: Path) -> Iterator[None]:
    """Make the folder and keep it for this portal alone; a killed one lets go of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        _stop(f"the folder {folder} cannot be written: {error.strerror}", USAGE_WRONG)
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _stop(f"another portal runs on {folder}: stop it, or choose another --data", RUN_FAILED)
        yield


def _fill(settings: "PortalSettings") -> None:
    """Fill the database unless that was done before."""
    from loadtests.portal.seed import SeedMismatchError, seed
    from loadtests.portal.store import DatabaseUnavailableError, open_database
    from sim.cli.terminal import progress_bar

    try:
        database = open_database(settings.database, settings.data)
    except DatabaseUnavailableError as error:
        _stop(str(error), RUN_FAILED if error.is_right_url else USAGE_WRONG)
    try:
        with progress_bar("filling the database") as progress:
            seed(settings, database, progress)
    except SeedMismatchError as error:
        _stop(str(error), USAGE_WRONG)
    finally:
        database.close()


def _serve(settings: "PortalSettings") -> None:
    from loadtests.portal.listening import ListenError
    from loadtests.portal.serve import ServeError, serve
    from sim.demand import catalogue_of

    services = len(catalogue_of(settings.scenario).services)
    store = "PostgreSQL" if settings.database else str(settings.data)

    def announce(url: str) -> None:
        click.echo(f"{services:,} services of {settings.scenario.name}, stored in {store}")
        click.echo(f"portal: {url}")

    try:
        serve(settings, announce)
    except (ListenError, ServeError) as error:
        _stop(str(error), RUN_FAILED)


def _stop(message: str, code: int) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)
