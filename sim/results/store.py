"""Runs on disk: ``results/<scenario>/<run>/``, complete or absent."""

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import pyarrow as pa
from pydantic import JsonValue, ValidationError

from sim.results.files import read_pieces, read_table, table_file
from sim.results.manifest import Manifest
from sim.results.records import RECORDS_VERSION, TABLES, NoSuchRunError, Records, ResultsError
from sim.scenario.scenario import Scenario

RESULTS = Path("results")
"""Where runs are stored unless somebody says otherwise."""
MANIFEST = "manifest.json"
SUMMARY = "summary.json"


class Run:
    """A finished run; its tables are read when they are asked for.

    Attributes
    ----------
    path : Path
        Its folder.
    manifest : Manifest
        What it answers, where and how it was made.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @property
    def name(self) -> str:
        """Scenario and run, such as ``peak/20241125T080000-1a2b3c``."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def replications(self) -> tuple[int, ...]:
        """Indices of the replications, sorted."""
        return self.manifest.replications

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario that was run, overrides included."""
        try:
            return Scenario.model_validate_json(json.dumps(self.manifest.scenario))
        except ValidationError as error:
            raise ResultsError(
                f"{self.path / MANIFEST}: its scenario is none of this hoso: {error}"
            ) from error

    @cached_property
    def requests(self) -> pa.Table:
        """All attempts of all requests."""
        return self.table("requests")

    @cached_property
    def sessions(self) -> pa.Table:
        """All sessions."""
        return self.table("sessions")

    @cached_property
    def dossiers(self) -> pa.Table:
        """All dossiers on file."""
        return self.table("dossiers")

    @cached_property
    def levels(self) -> pa.Table:
        """Utilisation and queues, interval by interval."""
        return self.table("levels")

    @cached_property
    def summary(self) -> dict[str, JsonValue]:
        """Contents of ``summary.json``."""
        summary = _read_json(self.path / SUMMARY)
        if not isinstance(summary, dict):
            raise ResultsError(f"{self.path / SUMMARY}: damaged: no mapping")
        return summary

    def table(
        self, name: str, columns: Sequence[str] | None = None, *, replication: int | None = None
    ) -> pa.Table:
        """Return columns of a table, of all replications or of one; only these are read.

        Parameters
        ----------
        name : str
            Name of a table of ``TABLES``.
        columns : sequence of str, optional
            Which columns; absent: all.
        replication : int, optional
            Which replication; absent: all.

        Raises
        ------
        ResultsError
            When the file is missing or damaged.
        """
        return read_table(self.path, name, columns, replication=replication)

    def pieces(self, name: str, columns: Sequence[str], *, replication: int) -> Iterator[pa.Table]:
        """Yield columns of one replication's table, one row group after the other."""
        return read_pieces(self.path, name, columns, replication=replication)

    def records(self, replication: int | None = None) -> Records:
        """Return the four tables, of all replications or of one."""
        return Records(**{name: self.table(name, replication=replication) for name in TABLES})


def open_run(run: Path | str, root: Path = RESULTS) -> Run:
    """Open a stored run.

    Parameters
    ----------
    run : Path or str
        Folder of a run, or ``scenario/run`` in the store, or a scenario (its folder or its name
        in the store), which stands for its latest run.
    root : Path
        The store.

    Raises
    ------
    ResultsError
        When there is no such run, or it is damaged or of another version.
    """
    candidates = [Path(run), root / run]
    for folder in candidates:
        if (folder / MANIFEST).is_file():
            return _open(folder)
    for folder in candidates:
        runs = runs_in(folder)
        if runs:
            return _open(runs[-1])
    known = ", ".join(scenarios_in(root)) or "none"
    raise NoSuchRunError(
        f"{run}: no run and no scenario with runs; scenarios with runs in {root}: {known}"
    )


def runs_in(folder: Path) -> list[Path]:
    """Return the folders of a scenario's runs, oldest first; none where there are none."""
    if not folder.is_dir():
        return []
    return sorted(
        run
        for run in folder.iterdir()
        if not run.name.startswith(".") and (run / MANIFEST).is_file()
    )


def scenarios_in(root: Path) -> list[str]:
    """Return the names of the scenarios that have runs in a store, sorted."""
    if not root.is_dir():
        return []
    return sorted(folder.name for folder in root.iterdir() if runs_in(folder))


def _open(folder: Path) -> Run:
    path = folder / MANIFEST
    content = _read_json(path)
    version = content.get("records_version") if isinstance(content, dict) else None
    if version != RECORDS_VERSION:
        raise ResultsError(
            f"{path}: records of version {version}, this hoso reads version {RECORDS_VERSION}; "
            "run the scenario again"
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise ResultsError(f"{path}: damaged, run the scenario again: {error}") from error
    missing = [name for name in TABLES if not table_file(folder, name).is_file()]
    if missing:
        raise ResultsError(
            f"{folder}: {', '.join(missing)} missing (.parquet); run the scenario again"
        )
    return Run(folder, manifest)


def _read_json(path: Path) -> JsonValue:
    try:
        content: JsonValue = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: cannot be read, run the scenario again: {error}") from error
    return content
