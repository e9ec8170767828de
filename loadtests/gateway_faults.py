"""Gateways that break during a load test, at the times the scenario states."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.gateway_control import Fields, RemoteError, RemoteGateways
from sim.scenario.run import Fault
from sim.scenario.scenario import Scenario

GATEWAYS_VARIABLE = "HOSO_GATEWAYS_URL"
"""Environment variable with the URL of ``hoso gateways``; absent: no gateway can be broken."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Moment:
    """A change of one gateway at one time.

    Attributes
    ----------
    at_s : float
        s from the window's start.
    gateway : str
        Name.
    changes : dict
        New values of its behaviour.
    """

    at_s: float
    gateway: str
    changes: Fields


def fault_moments(faults: Sequence[Fault]) -> list[Moment]:
    """Return when gateways break and are mended, in order; at one time mending comes first."""
    moments = []
    for fault in faults:
        if fault.kind not in ("gateway_slow", "gateway_down", "gateway_silent"):
            continue
        broken, mended = _changes(fault)
        moments.append((fault.from_s, True, Moment(fault.from_s, fault.target, broken)))
        moments.append((fault.to_s, False, Moment(fault.to_s, fault.target, mended)))
    return [moment for *_, moment in sorted(moments, key=lambda entry: entry[:2])]


class FaultClock:
    """A thread that breaks and mends gateways by the clock.

    Parameters
    ----------
    moments : sequence of Moment
        What happens, in order.
    gateways : RemoteGateways
        Whom it happens to; closed at the end.
    epoch_s : float
        Start of the window, s since 1970.

    Attributes
    ----------
    problems : list of str
        What could not be changed: then the run did not have the faults it states.
    """

    def __init__(self, moments: Sequence[Moment], gateways: RemoteGateways, epoch_s: float) -> None:
        self.problems: list[str] = []
        self._moments = moments
        self._gateways = gateways
        self._epoch_s = epoch_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gateway faults", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let nothing more break; what is broken now is mended."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        broken: dict[str, Fields] = {}
        for moment in self._moments:
            if self._stopped.wait(max(0.0, self._epoch_s + moment.at_s - time.time())):
                break
            self._change(moment.gateway, moment.changes)
            broken.setdefault(moment.gateway, {}).update(moment.changes)
        for gateway, fields in broken.items():
            mended: Fields = {field: _NORMAL[field] for field in fields}
            if mended != fields:
                self._change(gateway, mended)
        self._gateways.close()

    def _change(self, gateway: str, changes: Fields) -> None:
        try:
            self._gateways.change(gateway, changes)
        except RemoteError as error:
            self.problems.append(f"{gateway} {changes}: {error}")
            logger.error("gateway %s could not be changed: %s", gateway, error)
            return
        logger.info("gateway %s: %s", gateway, changes)


def apply_faults(scenario: Scenario, gateways_url: str, epoch_s: float, key: str) -> FaultClock:
    """Let the scenario's gateways break while a load test runs.

    Parameters
    ----------
    scenario : Scenario
        Its faults of the kinds ``gateway_slow``, ``gateway_down`` and ``gateway_silent``.
    gateways_url : str
        Base URL of ``hoso gateways``.
    epoch_s : float
        Start of the window, s since 1970.
    key : str
        The shared key, ``HOSO_MONITOR_KEY``.

    Returns
    -------
    FaultClock
        Running; the caller stops it at the end.
    """
    gateways = RemoteGateways(gateways_url, key)
    return FaultClock(fault_moments(scenario.faults), gateways, epoch_s)


_NORMAL: Fields = {"latency_factor": 1.0, "down": False, "silent": False}


def _changes(fault: Fault) -> tuple[Fields, Fields]:
    """Return what breaks a gateway, and what mends it."""
    if fault.kind == "gateway_slow":
        return {"latency_factor": fault.factor}, {"latency_factor": 1.0}
    field = "down" if fault.kind == "gateway_down" else "silent"
    return {field: True}, {field: False}
