"""Experiments: replications on processes or a cluster, until the answer is precise enough."""

from sim.experiment.cluster import ClusterExecutor, connected
from sim.experiment.engines import (
    DEFAULT_ENGINE,
    EngineName,
    Simulate,
    Tell,
    make_ready,
    offices_of,
    simulator,
)
from sim.experiment.errors import ClusterError, ExperimentError
from sim.experiment.memory import processes_that_fit
from sim.experiment.pools import processes_of, workers
from sim.experiment.replications import Progress, run_experiment

__all__ = [
    "DEFAULT_ENGINE",
    "ClusterError",
    "ClusterExecutor",
    "EngineName",
    "ExperimentError",
    "Progress",
    "Simulate",
    "Tell",
    "connected",
    "make_ready",
    "offices_of",
    "processes_of",
    "processes_that_fit",
    "run_experiment",
    "simulator",
    "workers",
]
