"""Writing a run: each replication at once into a hidden folder, all of them together at the end."""

import contextlib
import datetime as dt
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from sim.results.files import (
    check_files,
    checked,
    read_notes,
    read_pieces,
    read_table,
    save_concatenated,
    save_table,
    saving,
    writing,
)
from sim.results.manifest import Manifest, hoso_version, software_versions, this_host
from sim.results.records import (
    RECORDS_VERSION,
    TABLES,
    Records,
    ResultsError,
    written_whole,
)
from sim.results.spills import SORTED_BY, Spill
from sim.results.store import MANIFEST, SUMMARY, Run
from sim.scenario.scenario import Scenario

Source = Literal["simulated", "measured"]

_USUAL_ENGINE = {"simulated": "simpy", "measured": "locust"}
_DIGEST_SHOWN = 6
"""Hex digits of the scenario's digest in a run's name."""
_LOCK = "lock"
_REPLICATION = "replication-"
_SPILLS = ".spills-"
_SESSIONS_AT_ONCE = 2**16
"""Sessions whose rows are sorted at a time; of the shipped city about a million rows."""


class _Origin(BaseModel):
    """What two parts of a run must have in common; stored beside the finished replications."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    records_version: int
    hoso_version: str
    source: Source
    engine: str
    scenario_digest: str
    versions: dict[str, str]


class _Begun(BaseModel):
    """Contents of the manifest of a run that is not finished."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    origin: _Origin
    started: dt.datetime


class RunWriter:
    """Collects the replications of one run.

    A finished replication is stored at once, whole, in a hidden folder beside the runs; whatever
    ends the process, the next writer of the same question goes on from there. Use it in a
    ``with`` block: its end frees the folder for others, and keeps it.

    Attributes
    ----------
    folder : Path
        The hidden folder; :func:`write_replication` may write into it from any process.
    """

    def __init__(
        self, folder: Path, scenario: Scenario, overrides: Sequence[str], begun: _Begun, lock: int
    ) -> None:
        self.folder = folder
        self._scenario = scenario
        self._overrides = tuple(overrides)
        self._begun = begun
        self._lock: int | None = lock

    @classmethod
    def resume_or_create(
        cls,
        root: Path,
        scenario: Scenario,
        *,
        overrides: Sequence[str] = (),
        source: Source = "simulated",
        engine: str | None = None,
        resume: bool = True,
    ) -> "RunWriter":
        """Go on with an interrupted run of the same question, or begin one.

        The same question: the same digest (and thereby seed), by the same engine and versions. A
        folder another living process writes into is left alone.

        Parameters
        ----------
        root : Path
            The store.
        scenario : Scenario
            The question.
        overrides : sequence of str
            ``--set`` texts that were applied, for the manifest.
        source : {"simulated", "measured"}
            Where the records come from.
        engine : str, optional
            What makes them, one of ``ENGINES``; absent: SimPy simulates, Locust measures.
        resume : bool
            Whether to look for an interrupted run; its damaged replications are dropped.

        Raises
        ------
        ResultsError
            When the store cannot be written.
        """
        maker = engine or _USUAL_ENGINE[source]
        origin = _Origin(
            records_version=RECORDS_VERSION,
            hoso_version=hoso_version(),
            source=source,
            engine=maker,
            scenario_digest=scenario.digest(),
            versions=software_versions(maker),
        )
        home = root / scenario.name
        with writing(home):
            home.mkdir(parents=True, exist_ok=True)
            found = _resumable(home, origin) if resume else None
            folder, begun, lock = found or _begin(home, origin)
        writer = cls(folder, scenario, overrides, begun, lock)
        writer._drop_damaged()
        for spills in folder.glob(f"{_SPILLS}*"):
            shutil.rmtree(spills, ignore_errors=True)
        return writer

    def __enter__(self) -> "RunWriter":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Free the folder for other writers, and keep it."""
        self._unlock()

    @property
    def replications(self) -> tuple[int, ...]:
        """Indices of the replications stored so far, sorted."""
        return tuple(_replications(self.folder))

    def table(
        self, name: str, columns: Sequence[str] | None = None, *, replication: int | None = None
    ) -> pa.Table:
        """Return columns of a table, of all stored replications or of one (see ``Run.table``)."""
        wanted = self.replications if replication is None else (replication,)
        parts = [_part(self.folder, index) for index in wanted]
        return pa.concat_tables([read_table(part, name, columns) for part in parts])

    def pieces(self, name: str, columns: Sequence[str], *, replication: int) -> Iterator[pa.Table]:
        """Yield columns of a stored replication's table, one row group after the other."""
        part = _part(self.folder, replication)
        return read_pieces(part, name, columns, replication=replication)

    def has(self, replication: int) -> bool:
        """Return whether a replication is stored."""
        return _part(self.folder, replication).is_dir()

    def add(self, replication: int, records: Records) -> None:
        """Store one finished replication (see :func:`write_replication`)."""
        write_replication(self.folder, replication, records)

    def finish(
        self,
        *,
        replications: Iterable[int] | None = None,
        summarise: Callable[[Run], Mapping[str, JsonValue]] | None = None,
        status: Literal["complete", "interrupted"] = "complete",
        trust: JsonValue = None,
        load: JsonValue = None,
        extra: Mapping[str, pa.Table] | None = None,
    ) -> Run:
        """Write the run whole and remove the hidden folder.

        Parameters
        ----------
        replications : iterable of int, optional
            Which of the stored replications; absent: all.
        summarise : callable, optional
            Gives the contents of ``summary.json`` from the run; absent: an empty one.
        status : {"complete", "interrupted"}
            Whether everything planned was done.
        trust : JSON value
            Verdict on the measurement.
        load : JSON value
            How the load of a measurement went.
        extra : mapping of str to pyarrow.Table, optional
            Further tables, by the name of their file.

        Returns
        -------
        Run
            The run in its final folder. Its tables do not depend on the order in which
            replications came.

        Raises
        ------
        ResultsError
            When a stored replication is damaged, or the disk does not take the run. The stored
            replications stay.
        """
        chosen = self.replications if replications is None else tuple(sorted(replications))
        target = self.folder.parent / self.folder.name.removeprefix(".").removesuffix(".partial")
        manifest = self._manifest(chosen, status, trust, load)
        parts = [_part(self.folder, index) for index in chosen]
        with writing(target), written_whole(target) as temporary:
            temporary.mkdir()
            save_concatenated(parts, temporary)
            for name, table in (extra or {}).items():
                save_table(table, temporary, name)
            _write_json(temporary / MANIFEST, manifest.model_dump(mode="json"))
            summary = summarise(Run(temporary, manifest)) if summarise else {}
            _write_json(temporary / SUMMARY, dict(summary))
        self.discard()
        return Run(target, manifest)

    def discard(self) -> None:
        """Remove the hidden folder with what is stored in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._unlock()

    def _manifest(
        self,
        replications: tuple[int, ...],
        status: Literal["complete", "interrupted"],
        trust: JsonValue,
        load: JsonValue,
    ) -> Manifest:
        finished = _now()
        begun = self._begun
        return Manifest(
            **dict(begun.origin),
            scenario=self._scenario.model_dump(mode="json"),
            overrides=self._overrides,
            seed=self._scenario.seed,
            replications=replications,
            host=this_host(),
            started=begun.started,
            finished=finished,
            duration_s=(finished - begun.started).total_seconds(),
            notes={n: notes for n in replications if (notes := read_notes(_part(self.folder, n)))},
            status=status,
            trust=trust,
            load=load,
        )

    def _drop_damaged(self) -> None:
        for index in _replications(self.folder):
            part = _part(self.folder, index)
            try:
                check_files(part)
            except ResultsError:
                shutil.rmtree(part)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def write_replication(folder: Path, replication: int, records: Records) -> None:
    """Store one finished replication in a writer's folder, from whatever process.

    Parameters
    ----------
    folder : Path
        ``RunWriter.folder``.
    replication : int
        Its index, >= 0; what was stored under it before is replaced.
    records : Records
        Its tables; they hold no other replication.

    Raises
    ------
    ResultsError
        When the tables are not of this version or of another replication, or the disk is full;
        nothing half-written stays.
    """
    _check_replication(replication, records)
    with saving(_part(folder, replication)) as writer:
        writer.append(records)


@contextlib.contextmanager
def replication_parts(
    folder: Path, replication: int, *, sessions_at_once: int = _SESSIONS_AT_ONCE
) -> Iterator[Callable[[Records], None]]:
    """Store one replication part by part, for records that memory does not hold at once.

    Rows that belong to sessions are put aside in the folder, and sorted in the end.

    Parameters
    ----------
    folder : Path
        ``RunWriter.folder``.
    replication : int
        Its index, >= 0; what was stored under it before is replaced.
    sessions_at_once : int
        How many consecutive sessions have rows that memory holds, >= 1.

    Yields
    ------
    callable
        Takes some rows of each table: those of sessions in any order, of other tables the next.
        The replication is stored when the block succeeds; otherwise nothing of it stays. However
        it is cut, the files are those of :func:`write_replication`.

    Raises
    ------
    ResultsError
        See :func:`write_replication`.
    """

    def append(records: Records) -> None:
        _check_replication(replication, records)
        writer.append_notes(records.notes)
        for name in TABLES:
            rows = checked(name, records.table(name))
            if name in spills:
                spills[name].append(rows)
            else:
                writer.append_rows(name, rows)

    with (
        saving(_part(folder, replication)) as writer,
        tempfile.TemporaryDirectory(dir=folder, prefix=f"{_SPILLS}{replication:05d}-") as aside,
    ):
        spills = {
            name: Spill(Path(aside), name, sessions_at_once)
            for name, schema in TABLES.items()
            if SORTED_BY[0] in schema.names
        }
        yield append
        for name, spill in spills.items():
            for rows in spill.merged():
                writer.append_rows(name, rows)


def _check_replication(replication: int, records: Records) -> None:
    if not set(records.replications) <= {replication}:
        raise ResultsError(
            f"records of replication {replication} hold rows of {records.replications}"
        )


def _part(folder: Path, replication: int) -> Path:
    return folder / f"{_REPLICATION}{replication:05d}"


def _replications(folder: Path) -> list[int]:
    paths = folder.glob(f"{_REPLICATION}[0-9]*")
    return sorted(int(path.name.removeprefix(_REPLICATION)) for path in paths)


def _resumable(home: Path, origin: _Origin) -> tuple[Path, _Begun, int] | None:
    """Return the newest interrupted run of the same origin that nobody else has locked."""
    for folder in sorted(home.glob(".*.partial"), reverse=True):
        begun = _begun(folder)
        if begun is None or begun.origin != origin:
            continue
        lock = _try_lock(folder)
        if lock is not None:
            return folder, begun, lock
    return None


def _begun(folder: Path) -> _Begun | None:
    try:
        return _Begun.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None


def _begin(home: Path, origin: _Origin) -> tuple[Path, _Begun, int]:
    begun = _Begun(origin=origin, started=_now())
    folder = _reserve(
        home, f"{begun.started:%Y%m%dT%H%M%S}-{origin.scenario_digest[:_DIGEST_SHOWN]}"
    )
    lock = _try_lock(folder)
    assert lock is not None
    with written_whole(folder / MANIFEST) as temporary:
        _write_json(temporary, begun.model_dump(mode="json"))
    return folder, begun, lock


def _reserve(home: Path, name: str) -> Path:
    """Make the hidden folder of a new run; a second run of one second gets a number."""
    number = 1
    while True:
        run = name if number == 1 else f"{name}-{number}"
        folder = home / f".{run}.partial"
        if not (home / run).exists():
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
        number += 1


def _try_lock(folder: Path) -> int | None:
    """Return an open file that locks the folder until it is closed, or None if another has it."""
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT)
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
    return lock


def _write_json(path: Path, content: JsonValue) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
