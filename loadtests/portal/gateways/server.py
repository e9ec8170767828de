"""Running the gateways as a process of their own."""

import socket
from collections.abc import Callable
from pathlib import Path

from loadtests.portal.gateways.app import GatewayServer
from loadtests.portal.gateways.ledger import LEDGER_FILE, Ledger
from sim.scenario.scenario import Scenario

GRACE_S = 2  # a silent gateway would keep its callers for ever


def run_gateways(
    scenario: Scenario,
    server: socket.socket,
    *,
    key: str,
    data: Path | None = None,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve the gateways until SIGTERM or Ctrl-C.

    Parameters
    ----------
    scenario : Scenario
        States how each gateway behaves.
    server : socket
        Listening socket.
    key : str
        What portal and gateways share; empty: control and audit are closed.
    data : Path, optional
        Folder where what was received is kept; by default in memory.
    on_ready : callable
        Called once calls are answered.
    """
    from loadtests.portal.asgi_server import AsgiServer

    ledger = Ledger(None if data is None else data / LEDGER_FILE)
    try:
        app = GatewayServer(scenario, key, ledger).app()
        AsgiServer(app, grace_s=GRACE_S, on_ready=on_ready).serve_on(server)
    finally:
        ledger.close()
