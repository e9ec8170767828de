"""What the simulation says about the very requests that a load test replays.

A process of its own (``python -m loadtests.prediction FOLDER [PARENT]``): the load generator must
not share its processor time or its patched sockets with a simulation.
"""

import json
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sim.results import Records, written_whole

PREDICTION = "prediction.json"
"""File in the working folder of a load test."""

_ANSWERED = ("ok", "timed_out", "abandoned")
"""Outcomes whose elapsed time counts as response, as in the metrics of a run."""

_NICENESS = 15
_PARENT_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Predicted:
    """One endpoint, simulated.

    Attributes
    ----------
    requests : int
        Attempts.
    ok_share : float
        Share of them answered well.
    p50_s, p95_s, p99_s : float
        Quantiles of the response, s; NaN without any answer.
    """

    requests: int
    ok_share: float
    p50_s: float
    p95_s: float
    p99_s: float


def predicted(records: Records) -> dict[str, Predicted]:
    """Return what was simulated, by endpoint, for those that were asked."""
    table = records.requests
    endpoint = np.asarray(table["endpoint"].cast("string").to_pylist(), dtype=object)
    outcome = np.asarray(table["outcome"].cast("string").to_pylist(), dtype=object)
    response_s = table["response_s"].to_numpy()
    is_answered = np.isin(outcome, _ANSWERED)
    found = {}
    for name in sorted(set(endpoint.tolist())):
        at = endpoint == name
        times_s = response_s[at & is_answered]
        quantiles = np.quantile(times_s, (0.5, 0.95, 0.99)) if len(times_s) else (np.nan,) * 3
        found[name] = Predicted(
            int(at.sum()), float((outcome[at] == "ok").mean()), *map(float, quantiles)
        )
    return found


def write_prediction(folder: Path) -> None:
    """Simulate the trace in a load test's working folder and leave ``prediction.json`` there."""
    from sim.compiled import simulate_portal
    from sim.demand import load_trace
    from sim.scenario.scenario import Scenario

    scenario = Scenario.model_validate_json((folder / "scenario.json").read_text())
    trace = load_trace(folder / "trace")
    endpoints = predicted(simulate_portal(scenario, trace))
    content = {name: asdict(values) for name, values in endpoints.items()}
    with written_whole(folder / PREDICTION) as temporary:
        temporary.write_text(json.dumps(content))


def load_prediction(folder: Path) -> dict[str, Predicted]:
    """Return the prediction in a working folder; empty while there is none."""
    try:
        content = json.loads((folder / PREDICTION).read_text())
    except FileNotFoundError:
        return {}
    return {name: Predicted(**values) for name, values in content.items()}


def main(folder: str, parent: str | None = None) -> None:
    """Predict at low priority; with the process number of a parent, end when that is gone."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    if parent is not None:
        threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    write_prediction(Path(folder))


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_EVERY_S)
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
