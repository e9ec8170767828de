"""How long clients wait and pause: the same numbers as in the simulation, drawn from the same keys.

Slot 0 of a request's key decides its patience, slot 1 the jitter of its back-off
(``docs/model.md``), so a load test and a simulation of one trace lose patience alike.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.demand import Trace
from sim.demand.variates import variate_of, variates_of
from sim.scenario.demand import Client
from sim.scenario.scenario import Scenario
from sim.streams import uniform, uniform_array

PATIENCE_SLOT = 0
JITTER_SLOT = 1


def clients_of(scenario: Scenario, trace: Trace) -> list[Client]:
    """Return the client of each journey of a trace."""
    return [scenario.clients[scenario.journeys[name].client] for name in trace.journeys]


def first_patience_s(trace: Trace, clients: Sequence[Client]) -> NDArray[np.float64]:
    """Return the patience of every request's first attempt, s; infinite for the patient.

    Parameters
    ----------
    trace : Trace
        The requests.
    clients : sequence of Client
        By journey.

    Returns
    -------
    NDArray, shape (n_requests,)
    """
    patience = np.full(trace.n_requests, np.inf)
    journey = np.repeat(trace.journey, np.diff(trace.first_request))
    for index, client in enumerate(clients):
        if client.patience is None:
            continue
        requests = np.flatnonzero(journey == index)
        if client.patience.is_random:
            first, second = (
                uniform_array(trace.key[requests], 0, PATIENCE_SLOT, half) for half in (0, 1)
            )
            patience[requests] = variates_of(client.patience, first, second)
        else:
            patience[requests] = client.patience.mean_s
    return patience


def patience_s(client: Client, key: int, attempt: int) -> float:
    """Return how long the client waits for this attempt's answer, s; infinite for the patient."""
    if client.patience is None:
        return float("inf")
    if not client.patience.is_random:
        return client.patience.mean_s
    first, second = (uniform(key, attempt, PATIENCE_SLOT, half) for half in (0, 1))
    return variate_of(client.patience, first, second)


def backoff_s(client: Client, key: int, attempt: int) -> float:
    """Return the pause after this attempt, s: exponential back-off with jitter."""
    pause_s = client.backoff_s * client.backoff_factor**attempt
    return pause_s * (1.0 - client.jitter * uniform(key, attempt, JITTER_SLOT))
