"""Records, the manifest, and the store of runs: one schema for simulated and measured."""

from sim.results.records import (
    DOSSIERS,
    FILED,
    LEVELS,
    OUTCOMES,
    RECORDS_VERSION,
    REQUESTS,
    SESSIONS,
    TABLES,
    NoSuchRunError,
    Records,
    RecordSource,
    ResultsError,
    no_rows,
    written_whole,
)
from sim.results.store import Run, open_run, runs_in, scenarios_in
from sim.results.writer import RunWriter, replication_parts, write_replication

__all__ = [
    "DOSSIERS",
    "FILED",
    "LEVELS",
    "OUTCOMES",
    "RECORDS_VERSION",
    "REQUESTS",
    "SESSIONS",
    "TABLES",
    "NoSuchRunError",
    "RecordSource",
    "Records",
    "ResultsError",
    "Run",
    "RunWriter",
    "no_rows",
    "open_run",
    "replication_parts",
    "runs_in",
    "scenarios_in",
    "write_replication",
    "written_whole",
]
