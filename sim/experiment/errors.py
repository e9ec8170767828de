"""What can go wrong with an experiment, said to a planner."""

from concurrent.futures import BrokenExecutor

KEPT = "finished replications are kept: the same command goes on from there"


class ExperimentError(Exception):
    """A replication failed, a worker died, or the experiment was interrupted."""


class ClusterError(BrokenExecutor):
    """A cluster cannot be used, or does not answer any more; the message says what to do."""
