"""A smoke test: every service of the catalogue once, gently, before a real load.

The sessions walk the commonest journey row by row, each row once, without thinking; they are due
at a bounded rate.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sim.demand import Trace, catalogue_of
from sim.demand.procedures import Catalogue
from sim.demand.trace import TOGETHER
from sim.scenario.demand import Calls, Journey, Step
from sim.scenario.run import Target
from sim.scenario.scenario import Scenario
from sim.streams import child_keys, stream

RATE_PER_S = 100.0
"""Requests a second. # assumption: a portal that cannot take this is not worth loading."""

UPLOAD_BYTES = 50_000
"""Size of each upload; the largest allowed one where that is smaller."""

DRAIN_S = 300.0
"""How long after the last arrival sessions may go on, s."""


def smoke_scenario(scenario: Scenario, trace: Trace) -> Scenario:
    """Return the question a smoke test answers: is every request answered well?"""
    duration_s = float(np.ceil(trace.arrival_s[-1] + 1.0)) if trace.n_sessions else 1.0
    window = scenario.window.model_copy(
        update={"duration_s": duration_s, "warm_up_s": 0.0, "drain_s": DRAIN_S}
    )
    targets = (Target(metric="all.ok_share", at_least=1.0),)
    name = f"{scenario.name}-smoke"
    return scenario.model_copy(update={"name": name, "window": window, "targets": targets})


def smoke_trace(scenario: Scenario, journey: str | None = None) -> Trace:
    """Return one session per service.

    Parameters
    ----------
    scenario : Scenario
        The question.
    journey : str, optional
        What the sessions do; absent: the journey made most often.

    Returns
    -------
    Trace
        Due at ``RATE_PER_S`` requests a second in the mean; its digest is the scenario's, and its
        replication 0.
    """
    services = catalogue_of(scenario).services
    name = journey or _commonest(scenario)
    endpoints = list(scenario.portal.endpoints)
    rows = [list(_requests(scenario.journeys[name], services, i)) for i in range(len(services))]
    lengths = np.array([len(of_service) for of_service in rows], dtype=np.int64)
    first = np.zeros(len(services) + 1, dtype=np.int64)
    np.cumsum(lengths, out=first[1:])
    flat = [row for of_service in rows for row in of_service]
    n, total = len(services), int(first[-1])
    base = stream(scenario.seed, 0, "smoke.keys").integers(0, 2**63, dtype=np.uint64)
    return Trace(
        arrival_s=first[:-1] / RATE_PER_S,
        journey=np.full(n, list(scenario.journeys).index(name), dtype=np.int32),
        service=np.arange(n, dtype=np.int32),
        channel=np.zeros(n, dtype=np.int32),
        first_request=first,
        endpoint=np.array([endpoints.index(endpoint) for endpoint, _, _ in flat], dtype=np.int16),
        think_s=np.zeros(total),
        bytes_up=np.array([size for _, size, _ in flat], dtype=np.int64),
        flags=np.array([flag for _, _, flag in flat], dtype=np.uint8),
        key=_keys(base, total),
        journeys=tuple(scenario.journeys),
        services=services.code,
        channels=tuple(scenario.channels),
        endpoints=tuple(endpoints),
        seed=scenario.seed,
        replication=0,
        scenario_digest=scenario.digest(),
    )


def _commonest(scenario: Scenario) -> str:
    journeys = scenario.demand.journeys
    return max(journeys, key=lambda name: journeys[name].per_dossier)


def _requests(
    journey: Journey, services: Catalogue, service: int
) -> Iterator[tuple[str, int, int]]:
    """Yield endpoint, upload size and flags of each request for one service."""
    for step in journey.steps:
        if step.while_syncing or (step.only_with_fee and not services.fee_vnd[service]):
            continue
        calls = [
            endpoint
            for endpoint, count in step.calls.items()
            for _ in range(_count(count, services, service))
        ]
        for position, endpoint in enumerate(calls):
            yield endpoint, _size(step), TOGETHER if position % step.together else 0


def _count(calls: Calls, services: Catalogue, service: int) -> int:
    if calls == "upload_slots":
        return int(services.upload_slots[service])
    if calls == "e_forms":
        return int(services.e_form[service])
    assert isinstance(calls, int)
    return calls


def _size(step: Step) -> int:
    return 0 if step.upload is None else min(UPLOAD_BYTES, int(step.upload.max_bytes))


def _keys(base: np.uint64, n: int) -> NDArray[np.uint64]:
    return child_keys(np.full(n, base), np.arange(n, dtype=np.uint64))
