"""Records whose sessions come in any order are stored sorted, and leave nothing else on disk."""

import contextlib
import errno
import functools
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from sim.compiled import simulate, simulate_in_chunks
from sim.demand import draw_trace_chunks
from sim.results import (
    TABLES,
    Records,
    ResultsError,
    RunWriter,
    replication_parts,
    write_replication,
)
from sim.scenario import Scenario, load_scenario


@functools.cache
def question() -> Scenario:
    return load_scenario("peak-hour", ["demand.dossiers_per_year=20000"])


@functools.cache
def whole() -> Records:
    return simulate(question(), 0)


def files(folder: Path) -> dict[str, bytes]:
    """Return what lies in a folder, by place."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def of_sessions(records: Records, which: np.ndarray) -> Records:
    """Return the rows of some sessions, the levels apart."""
    chosen = {
        name: table.filter(pa.array(np.isin(table["session"].to_numpy(), which)))
        for name in ("requests", "sessions", "dossiers")
        for table in [records.table(name)]
    }
    return Records(**chosen, levels=TABLES["levels"].empty_table())


@pytest.mark.parametrize("sessions_at_once", [1, 10, 100, 10**6])
def test_sessions_in_any_order_give_the_files_of_sorted_ones(
    tmp_path: Path, sessions_at_once: int
) -> None:
    records = whole()
    order = np.random.default_rng(0).permutation(records.sessions.num_rows)
    (tmp_path / "parts").mkdir()
    with replication_parts(tmp_path / "parts", 0, sessions_at_once=sessions_at_once) as append:
        for part in np.array_split(order, 12):
            append(of_sessions(records, part))
        append(replace(of_sessions(records, order[:0]), levels=records.levels))
    write_replication(tmp_path / "whole", 0, records)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_rows_that_cannot_be_put_together_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def store() -> None:
        with replication_parts(tmp_path, 0) as append:
            append(whole())
            assert list(tmp_path.glob(".spills-*"))

    monkeypatch.setattr("sim.results.spills.Spill.merged", full)
    with pytest.raises(ResultsError, match="the disk is full"):
        store()
    assert list(tmp_path.iterdir()) == []


def test_a_demand_that_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield from list(draw_trace_chunks(question(), 0, 20))[:5]
        raise ZeroDivisionError

    with contextlib.suppress(ZeroDivisionError), replication_parts(tmp_path, 0) as append:
        simulate_in_chunks(question(), 0, broken(), append)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from sim.compiled import simulate_in_chunks
from sim.demand import draw_trace_chunks
from sim.results import RunWriter, replication_parts
from sim.scenario import load_scenario

def chunks():
    for number, chunk in enumerate(draw_trace_chunks(scenario, 0, 20)):
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        yield chunk

scenario = load_scenario("peak-hour", ["demand.dossiers_per_year=20000"])
with RunWriter.resume_or_create(Path(sys.argv[1]), scenario, engine="compiled") as writer:
    with replication_parts(writer.folder, 0, sessions_at_once=20) as append:
        simulate_in_chunks(scenario, 0, chunks(), append)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no process is killed so here")
def test_a_killed_process_leaves_nothing_that_a_resumed_run_takes_for_finished(
    tmp_path: Path,
) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    [folder] = (tmp_path / question().name).iterdir()
    assert any(path.stat().st_size for path in folder.glob(".spills-*/*"))
    with RunWriter.resume_or_create(tmp_path, question(), engine="compiled") as writer:
        assert writer.folder == folder
        assert writer.replications == ()
        assert not list(folder.glob(".spills-*"))
        chunks = draw_trace_chunks(question(), 0, 20)
        with replication_parts(folder, 0, sessions_at_once=20) as append:
            simulate_in_chunks(question(), 0, chunks, append)
        run = writer.finish()
    assert run.requests.equals(whole().requests)
    assert [os.fspath(path) for path in run.path.parent.iterdir()] == [os.fspath(run.path)]
