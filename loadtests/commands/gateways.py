"""`hoso gateways`: run the services of others, or change how running ones behave."""

import json
import logging
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from sim.exit_codes import RUN_FAILED, USAGE_WRONG

if TYPE_CHECKING:
    from loadtests.gateway_control import Fields, Json, RemoteGateways

KEY_VARIABLE = "HOSO_MONITOR_KEY"
DEFAULT_SCENARIO = "peak-hour"
DEFAULT_PORT = 8081


@click.command()
@click.option("--scenario", default=DEFAULT_SCENARIO, show_default=True, help="States delays.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one value.")
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: any."
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder where what was received is kept; by default in memory.",
)
@click.option("--url", help="Do not start any: show or change those that run here.")
@click.option(
    "--change", "changes", multiple=True, metavar="GATEWAY.FIELD=VALUE", help="With --url."
)
def gateways(
    scenario: str,
    overrides: tuple[str, ...],
    bind: str,
    port: int,
    data: Path | None,
    url: str | None,
    changes: tuple[str, ...],
) -> None:
    """Run single sign-on, population data base, payment, national portal, shared data and SMS.

    Their delays, limits and errors are those of a scenario; they can be changed while they run.
    The environment variable HOSO_MONITOR_KEY is the key they share with the portal.

    \b
    hoso gateways --scenario peak-hour --port 8081
    hoso gateways --url http://127.0.0.1:8081
    hoso gateways --url http://127.0.0.1:8081 --change payment.latency_factor=10
    hoso gateways --url http://127.0.0.1:8081 --change sso.down=true --change sms.error_share=0.2
    hoso gateways --url http://127.0.0.1:8081 --change "shared_data.latency=lognormal 2 s cv 1"
    """
    key = os.environ.get(KEY_VARIABLE, "")
    if url is not None:
        _change(url, key, changes)
        return
    if changes:
        _stop("--change needs --url, the address of gateways that run", USAGE_WRONG)
    _run(scenario, overrides, _listen(bind, port), key, data)


def _listen(bind: str, port: int) -> socket.socket:
    from loadtests.portal.listening import ListenError, is_loopback, listen

    try:
        server = listen(bind, port)
    except ListenError as error:
        _stop(str(error), RUN_FAILED)
    if not is_loopback(bind):
        click.echo(f"warning: {bind} can be reached from other machines", err=True)
    return server


def _run(
    name: str, overrides: Sequence[str], server: socket.socket, key: str, data: Path | None
) -> None:
    from loadtests.portal.gateways.server import run_gateways
    from loadtests.portal.listening import url_of
    from sim.scenario import ScenarioError, load_scenario

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        scenario = load_scenario(name, overrides)
    except ScenarioError as error:
        _stop(str(error), USAGE_WRONG)
    if not key:
        click.echo(f"{KEY_VARIABLE} is not set: control and audit are closed", err=True)
    if data is not None:
        _make_folder(data)
    run_gateways(
        scenario,
        server,
        key=key,
        data=data,
        on_ready=lambda: click.echo(f"gateways: {url_of(server)}"),
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _stop(f"the folder {folder} cannot be made: {error.strerror}", USAGE_WRONG)
    if not os.access(folder, os.W_OK):
        _stop(f"the folder {folder} cannot be written: choose another --data", USAGE_WRONG)


def _change(url: str, key: str, changes: Sequence[str]) -> None:
    from loadtests.gateway_control import RemoteError, RemoteGateways

    remote = RemoteGateways(url, key)
    try:
        for gateway, fields in _parsed(changes).items():
            remote.change(gateway, fields)
        _show(remote)
    except RemoteError as error:
        _stop(str(error), USAGE_WRONG)
    finally:
        remote.close()


def _parsed(changes: Sequence[str]) -> "dict[str, Fields]":
    """Return the changes by gateway; a value is JSON, or else a text."""
    by_gateway: dict[str, Fields] = {}
    for change in changes:
        target, equals, text = change.partition("=")
        gateway, dot, field = target.strip().partition(".")
        if not (equals and dot and gateway and field):
            _stop(
                f"--change {change}: write GATEWAY.FIELD=VALUE, such as sso.down=true", USAGE_WRONG
            )
        by_gateway.setdefault(gateway, {})[field] = _value(text.strip())
    return by_gateway


def _value(text: str) -> "Json":
    try:
        value: Json = json.loads(text)
    except ValueError:
        return text
    return value


def _show(remote: "RemoteGateways") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("gateway")
    table.add_column("behaviour")
    for name in ("calls", "busy", "queue", "errors", "limited", "down", "left"):
        table.add_column(name, justify="right")
    for name, state in remote.states().items():
        assert isinstance(state, dict)
        behaviour, counts = state["behaviour"], state["counts"]
        assert isinstance(behaviour, dict)
        assert isinstance(counts, dict)
        shown = (counts[column.header] for column in table.columns[2:])  # type: ignore[index]
        table.add_row(name, _in_words(behaviour), *map(str, shown))
    Console(highlight=False).print(table)


def _in_words(behaviour: "Fields") -> str:
    """Return a behaviour in short: the delay, and whatever is not as usual."""
    latency = behaviour["latency"]
    assert isinstance(latency, dict)
    words = [f"{latency['distribution']} {latency['mean_s']:g} s"]
    if behaviour["latency_factor"] != 1:
        words.append(f"× {behaviour['latency_factor']:g}")
    limits = ("concurrency", "rate_limit_per_s", "error_share")
    words += [f"{name} {behaviour[name]:g}" for name in limits if behaviour[name]]
    words += [name for name in ("down", "silent") if behaviour[name]]
    return ", ".join(words)


def _stop(message: str, code: int) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)
