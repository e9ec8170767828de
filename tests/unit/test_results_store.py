"""The store of runs: complete or absent, resumable, readable by others."""

import contextlib
import errno
import functools
import hashlib
import itertools
import json
import re
import resource
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from sim.results import (
    OUTCOMES,
    TABLES,
    Records,
    ResultsError,
    RunWriter,
    open_run,
    replication_parts,
    runs_in,
    scenarios_in,
    write_replication,
)
from sim.results.files import writing
from sim.results.manifest import Manifest
from sim.scenario import Scenario, load_scenario

README = Path(__file__).parents[2] / "results" / "README.md"


@functools.cache
def scenario(*overrides: str) -> Scenario:
    return load_scenario("peak-hour", overrides)


def table(name: str, replication: int, columns: dict[str, object]) -> pa.Table:
    n = len(next(iter(columns.values())))  # type: ignore[arg-type]
    columns = {"replication": np.full(n, replication)} | columns
    schema = TABLES[name]
    return pa.table(
        [
            pa.array(columns[f.name], pa.string()).cast(f.type)
            if pa.types.is_dictionary(f.type)
            else pa.array(np.asarray(columns[f.name]), f.type)
            for f in schema
        ],
        schema=schema,
    )


def records(replication: int, n: int = 200) -> Records:
    rng = np.random.default_rng(replication)
    times = np.sort(rng.uniform(0, 4800, n))
    zeros = np.zeros(n, dtype=int)
    return Records(
        requests=table(
            "requests",
            replication,
            {
                "session": np.arange(n),
                "step": zeros,
                "attempt": zeros,
                "endpoint": list(rng.choice(["search", "file_dossier", f"e{replication}"], n)),
                "service": ["1.000001"] * n,
                "channel": ["fibre"] * n,
                "due_s": times,
                "sent_s": times,
                "wait_s": zeros * 0.0,
                "response_s": rng.exponential(0.2, n),
                "outcome": list(rng.choice(OUTCOMES, n)),
                "bytes_up": zeros,
            },
        ),
        sessions=table(
            "sessions",
            replication,
            {
                "session": np.arange(n),
                "journey": ["submit"] * n,
                "service": ["1.000001"] * n,
                "channel": ["fibre"] * n,
                "arrival_s": times,
                "end_s": times + 10,
                "requests": zeros + 1,
                "outcome": ["completed"] * n,
            },
        ),
        dossiers=TABLES["dossiers"].empty_table(),
        levels=table(
            "levels",
            replication,
            {
                "station": ["app.cpu"] * 2,
                "from_s": [0.0, 2400.0],
                "to_s": [2400.0, 4800.0],
                "capacity": [4.0, 4.0],
                "utilisation": [0.5, 0.25],
                "busy_mean": [2.0, 1.0],
                "queue_mean": [0.0, 1.0],
                "queue_max": [0.0, 3.0],
                "queue_age_max_s": [0.0, 1.0],
                "arrivals": [5, 5],
                "departures": [5, 5],
            },
        ),
    )


def begin(root: Path, *overrides: str) -> RunWriter:
    return RunWriter.resume_or_create(root, scenario(*overrides))


def finished(root: Path, replications: tuple[int, ...] = (0, 1)) -> Path:
    with begin(root) as writer:
        for replication in replications:
            writer.add(replication, records(replication))
        return writer.finish().path


def digests(run: Path) -> list[str]:
    return [hashlib.sha256((run / f"{name}.parquet").read_bytes()).hexdigest() for name in TABLES]


def hidden(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.startswith(".")]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    run = open_run(finished(tmp_path))
    assert run.replications == (0, 1)
    for name in TABLES:
        both = pa.concat_tables([records(0).table(name), records(1).table(name)])
        assert run.table(name).to_pylist() == both.to_pylist()
    assert run.scenario == scenario()


def test_one_replication_and_some_columns_are_read_alone(tmp_path: Path) -> None:
    run = open_run(finished(tmp_path))
    part = run.table("requests", ["response_s", "endpoint"], replication=1)
    assert part.column_names == ["response_s", "endpoint"]
    assert part.to_pylist() == records(1).requests.select(["response_s", "endpoint"]).to_pylist()


def test_tables_do_not_depend_on_the_order_of_finishing(tmp_path: Path) -> None:
    runs = [
        finished(tmp_path / name, order) for name, order in {"a": (0, 1, 2), "b": (2, 0, 1)}.items()
    ]
    assert digests(runs[0]) == digests(runs[1])


def test_a_row_group_holds_one_replication(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetFile(finished(tmp_path) / "requests.parquet") as file:
        groups = [file.metadata.row_group(i).column(0).statistics for i in range(2)]
    assert [(group.min, group.max) for group in groups] == [(0, 0), (1, 1)]


def test_a_run_is_opened_by_folder_by_name_and_by_scenario(tmp_path: Path) -> None:
    first = finished(tmp_path)
    second = finished(tmp_path, (0,))
    assert open_run(first).path == first
    assert open_run(f"peak-hour/{first.name}", tmp_path).path == first
    assert open_run("peak-hour", tmp_path).path == second
    assert open_run(tmp_path / "peak-hour").path == second
    assert runs_in(tmp_path / "peak-hour") == [first, second]
    assert scenarios_in(tmp_path) == ["peak-hour"]


def test_run_names_sort_by_time_and_name_the_scenario(tmp_path: Path) -> None:
    name = finished(tmp_path).name
    assert re.fullmatch(rf"\d{{8}}T\d{{6}}-{scenario().digest()[:6]}", name)


def test_an_unknown_run_names_the_scenarios_there_are(tmp_path: Path) -> None:
    finished(tmp_path)
    with pytest.raises(ResultsError, match=r"scenarios with runs.*peak-hour"):
        open_run("peak-huor", tmp_path)


@pytest.mark.parametrize("version", [1, 99])
def test_a_run_of_another_version_is_refused(tmp_path: Path, version: int) -> None:
    run = finished(tmp_path)
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"records_version": version}))
    with pytest.raises(ResultsError, match=rf"version {version}.*run the scenario again"):
        open_run(run)


@pytest.mark.parametrize("text", ["{", "[]", '{"records_version": 2}'])
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str) -> None:
    run = finished(tmp_path)
    (run / "manifest.json").write_text(text)
    with pytest.raises(ResultsError, match="manifest"):
        open_run(run)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    run = finished(tmp_path)
    (run / "levels.parquet").unlink()
    with pytest.raises(ResultsError, match="levels missing"):
        open_run(run)


def test_a_table_of_another_kind_is_refused(tmp_path: Path) -> None:
    run = finished(tmp_path)
    shutil.copy(run / "sessions.parquet", run / "requests.parquet")
    with pytest.raises(ResultsError, match="no table of requests"):
        _ = open_run(run).requests


def test_one_flipped_byte_is_noticed(tmp_path: Path) -> None:
    run = finished(tmp_path)
    content = bytearray((run / "requests.parquet").read_bytes())
    content[200] ^= 0xFF
    (run / "requests.parquet").write_bytes(content)
    with pytest.raises(ResultsError, match=r"requests\.parquet: damaged"):
        _ = open_run(run).requests


def test_a_truncated_table_is_noticed(tmp_path: Path) -> None:
    run = finished(tmp_path)
    content = (run / "requests.parquet").read_bytes()
    (run / "requests.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(ResultsError, match="damaged"):
        _ = open_run(run).requests


def test_an_unfinished_run_is_no_run(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        writer.add(0, records(0))
    assert runs_in(tmp_path / "peak-hour") == []


def test_the_same_question_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    with begin(tmp_path) as first:
        first.add(0, records(0))
    with begin(tmp_path) as second:
        assert second.folder == first.folder
        assert second.replications == (0,)
        second.add(1, records(1))
        run = second.finish()
    assert run.replications == (0, 1)
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("override", ["seed=2", "window.warm_up_s=100"])
def test_another_question_starts_afresh(tmp_path: Path, override: str) -> None:
    with begin(tmp_path) as first:
        first.add(0, records(0))
    with begin(tmp_path, override) as second:
        assert second.replications == ()


def test_other_targets_are_the_same_question(tmp_path: Path) -> None:
    with begin(tmp_path) as first:
        first.add(0, records(0))
    asked = scenario().model_copy(update={"targets": ()})
    with RunWriter.resume_or_create(tmp_path, asked) as second:
        assert second.replications == (0,)
        assert second.finish().scenario.targets == ()


def test_without_resume_a_run_starts_afresh(tmp_path: Path) -> None:
    with begin(tmp_path) as first:
        first.add(0, records(0))
    with RunWriter.resume_or_create(tmp_path, scenario(), resume=False) as second:
        assert second.replications == ()


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    with begin(tmp_path) as first, begin(tmp_path) as second:
        assert first.folder != second.folder


def test_a_damaged_replication_is_dropped_and_the_others_stay(tmp_path: Path) -> None:
    with begin(tmp_path) as first:
        for replication in range(3):
            first.add(replication, records(replication))
    damaged = first.folder / "replication-00001" / "sessions.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with begin(tmp_path) as second:
        assert second.replications == (0, 2)


def test_only_the_chosen_replications_are_in_the_run(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        for replication in range(3):
            writer.add(replication, records(replication))
        run = writer.finish(replications=range(2))
    assert run.replications == (0, 1)
    assert run.requests["replication"].unique().to_pylist() == [0, 1]


def test_records_of_another_replication_are_refused(tmp_path: Path) -> None:
    with begin(tmp_path) as writer, pytest.raises(ResultsError, match="replication 1 hold rows"):
        writer.add(1, records(0))


def test_tables_without_a_column_are_refused(tmp_path: Path) -> None:
    whole = records(0)
    short = Records(
        whole.requests.drop_columns("wait_s"), whole.sessions, whole.dossiers, whole.levels
    )
    with begin(tmp_path) as writer:
        with pytest.raises(ResultsError, match="table requests"):
            writer.add(0, short)
        assert writer.replications == ()


def test_a_replication_that_does_not_fit_on_the_disk_leaves_nothing(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        writer.add(0, records(0))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            with pytest.raises(ResultsError, match="cannot be written"):
                writer.add(1, records(1, n=20_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert writer.replications == (0,)
        assert hidden(writer.folder) == []


def test_a_full_disk_is_called_so() -> None:
    kept = r"disk is full.*finished replications are kept"
    with pytest.raises(ResultsError, match=kept), writing(Path("x")):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_store_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(ResultsError, match="cannot be written"):
        begin(tmp_path / "results")


def test_a_failing_summary_leaves_no_run_and_keeps_the_replications(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        writer.add(0, records(0))
        with pytest.raises(ZeroDivisionError):
            writer.finish(summarise=lambda run: {"x": 1 // (len(run.replications) - 1)})
        assert writer.replications == (0,)
    assert runs_in(tmp_path / "peak-hour") == []


def test_the_summary_is_stored(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        writer.add(0, records(0))
        run = writer.finish(summarise=lambda run: {"rows": run.requests.num_rows})
    assert open_run(run.path).summary == {"rows": 200}


def test_a_worker_can_write_without_the_writer(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        write_replication(writer.folder, 3, records(3))
        assert writer.has(3)
        assert writer.table("requests", replication=3).num_rows == 200


def test_the_manifest_says_where_the_run_comes_from(tmp_path: Path) -> None:
    manifest = open_run(finished(tmp_path)).manifest
    assert manifest.source == "simulated"
    assert manifest.seed == scenario().seed
    assert manifest.trust is None
    assert manifest.status == "complete"
    assert {"python", "numpy", "simpy"} <= set(manifest.versions)
    assert manifest.duration_s == (manifest.finished - manifest.started).total_seconds() >= 0


def test_the_readme_documents_every_column_and_field() -> None:
    text = README.read_text()
    for name, schema in TABLES.items():
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(schema.names)
    section = text.split("\n## manifest.json\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE)
    assert {field.strip("`") for row in rows for field in row.split(", ")} == set(
        Manifest.model_fields
    )


def test_the_examples_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished(tmp_path / "results")
    run.rename(run.with_name("20241125T080000-1a2b3c"))
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(examples) == 3
    found: dict[str, object] = {}
    for example in examples:
        exec(example, found)
    assert found["busiest"] == [("app.cpu", 0.5, 3.0)]
    assert set(found["p95_s"].index) >= {"search", "file_dossier"}  # type: ignore[attr-defined]


def rows(whole: Records, start: int, stop: int) -> Records:
    """Rows of every table."""
    return Records(**{name: whole.table(name).slice(start, stop - start) for name in TABLES})


@pytest.mark.parametrize("cuts", [[0, 1000], [0, 1, 64, 64, 129, 130, 999, 1000], [0, 500, 1000]])
def test_records_in_parts_give_the_files_of_whole_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuts: list[int]
) -> None:
    monkeypatch.setattr("sim.results.files.ROWS_AT_ONCE", 64)
    whole = records(0, n=1000)
    with begin(tmp_path / "a") as writer:
        writer.add(0, whole)
        expected = writer.finish()
    with begin(tmp_path / "b") as writer:
        with replication_parts(writer.folder, 0) as append:
            for start, stop in itertools.pairwise(cuts):
                append(rows(whole, start, stop))
        run = writer.finish()
    assert digests(run.path) == digests(expected.path)
    assert run.records().requests.equals(whole.requests)


def test_row_groups_are_read_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.results.files.ROWS_AT_ONCE", 64)
    run = open_run(finished(tmp_path))
    pieces = list(run.pieces("requests", ["due_s", "endpoint"], replication=1))
    assert [piece.num_rows for piece in pieces] == [64, 64, 64, 8]
    assert pa.concat_tables(pieces).equals(
        run.table("requests", ["due_s", "endpoint"], replication=1)
    )


def test_parts_of_a_replication_that_fails_leave_nothing(tmp_path: Path) -> None:
    with begin(tmp_path) as writer:
        with contextlib.suppress(ZeroDivisionError), replication_parts(writer.folder, 0) as append:
            append(records(0))
            raise ZeroDivisionError
        assert writer.replications == ()
        assert hidden(writer.folder) == []


def test_parts_of_another_replication_are_refused(tmp_path: Path) -> None:
    with (
        begin(tmp_path) as writer,
        pytest.raises(ResultsError, match="replication 0 hold rows"),
        replication_parts(writer.folder, 0) as append,
    ):
        append(records(1))


def test_a_run_goes_on_only_with_the_engine_it_began_with(tmp_path: Path) -> None:
    with RunWriter.resume_or_create(tmp_path, scenario(), engine="simpy") as first:
        first.add(0, records(0))
    with RunWriter.resume_or_create(tmp_path, scenario(), engine="compiled") as second:
        assert second.replications == ()
        second.add(0, records(0))
        assert second.finish().manifest.engine == "compiled"
    with RunWriter.resume_or_create(tmp_path, scenario(), engine="simpy") as third:
        assert third.replications == (0,)


@pytest.mark.parametrize(("engine", "package"), [("simpy", "simpy"), ("compiled", "numba")])
def test_the_manifest_names_the_version_of_the_engine(
    tmp_path: Path, engine: str, package: str
) -> None:
    with RunWriter.resume_or_create(tmp_path, scenario(), engine=engine) as writer:
        writer.add(0, records(0))
        versions = writer.finish().manifest.versions
    assert set(versions) == {"python", "numpy", "pyarrow", package}


def test_a_run_of_before_engines_were_named_is_simpys(tmp_path: Path) -> None:
    path = finished(tmp_path) / "manifest.json"
    content = json.loads(path.read_text())
    del content["engine"]
    path.write_text(json.dumps(content))
    assert open_run(path.parent).manifest.engine == "simpy"
