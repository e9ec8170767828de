"""The command as a planner uses it: real processes, real files, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

HOSO = Path(sys.executable).with_name("hoso")
SMALL = [
    "--set", "window.duration_s=120", "--set", "window.warm_up_s=30", "--set", "window.drain_s=60",
    "--set", "targets=[{metric: all.response_s.mean, at_most: 5}]",
]  # fmt: skip


def hoso(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HOSO, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


def runs(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("results/*/[!.]*/manifest.json"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one small run of the peak hour and one of a slow gateway."""
    folder = tmp_path_factory.mktemp("store")
    for scenario in ("peak-hour", "gateway-slow"):
        done = hoso(
            "run", scenario, "--replications", "2", *SMALL, "--set", "faults=[]", cwd=folder
        )
        assert done.returncode == 0, done.stderr
    return folder


def test_a_run_leaves_everything_in_one_folder(store: Path) -> None:
    names = {path.name for path in runs(store)[0].iterdir()}
    assert names == {
        "manifest.json",
        "summary.json",
        "report.html",
        "requests.parquet",
        "sessions.parquet",
        "dossiers.parquet",
        "levels.parquet",
    }


def test_the_report_is_one_file_with_pictures_and_without_links_out(store: Path) -> None:
    text = (runs(store)[0] / "report.html").read_text(encoding="utf-8")
    assert text.count("<svg") + text.count("data:image/") >= 8
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    assert "Hải Phòng" in text


def test_two_runs_compare(store: Path) -> None:
    done = hoso("compare", "peak-hour", "gateway-slow", cwd=store)
    assert done.returncode == 0, done.stderr
    assert "all.response_s" in done.stdout


def test_several_runs_make_one_report(store: Path) -> None:
    done = hoso("report", "peak-hour", "gateway-slow", "--output", "both.html", cwd=store)
    assert done.returncode == 0, done.stderr
    assert (store / "both.html").stat().st_size > 100_000


def test_a_missed_target_exits_with_1(tmp_path: Path) -> None:
    impossible = "targets=[{metric: all.response_s.mean, at_most: 0.0001}]"
    done = hoso(
        "run", "peak-hour", "--replications", "2", *SMALL, "--set", impossible, "--no-report",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert "not hold" in done.stdout


def test_a_wrong_scenario_exits_with_2_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "extends: peak-hour\ndemand: {online_share: 2, typo: 1}\n"
        "portal: {tiers: {app: {servers: 0}}}\n",
        encoding="utf-8",
    )
    done = hoso("run", "mine.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for place in ("demand.online_share", "demand.typo", "portal.tiers.app.servers"):
        assert place in done.stderr
    assert not runs(tmp_path)


def test_a_store_that_cannot_be_written_exits_with_3(tmp_path: Path) -> None:
    forbidden = "/proc/no-such-folder"
    done = hoso(
        "run", "peak-hour", "--replications", "1", *SMALL, "--results", forbidden, cwd=tmp_path
    )
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert forbidden in done.stderr


def test_records_are_the_same_on_one_and_on_two_processes(store: Path, tmp_path: Path) -> None:
    done = hoso(
        "run", "peak-hour", "--replications", "2", *SMALL, "--set", "faults=[]",
        "--processes", "1", "--no-report", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [serial] = runs(tmp_path)
    parallel = next(run for run in runs(store) if run.parent.name == "peak-hour")
    for table in ("requests", "sessions", "dossiers", "levels"):
        one, two = (pd.read_parquet(run / f"{table}.parquet") for run in (serial, parallel))
        pd.testing.assert_frame_equal(one, two, check_exact=True)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_nothing_half_written_and_goes_on(
    tmp_path: Path, stop: signal.Signals
) -> None:
    command = [HOSO, "run", "peak-hour", "--replications", "4", *SMALL, "--processes", "1"]
    process = subprocess.Popen(
        [*command, "--no-report"], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    wait_for_replication(tmp_path, process)
    os.kill(process.pid, stop)
    _, errors = process.communicate(timeout=120)
    assert not runs(tmp_path)
    if stop == signal.SIGINT:
        assert process.returncode == 3
        assert b"Traceback" not in errors
    kept = len(list(tmp_path.glob("results/peak-hour/.*.partial/replication-*")))
    assert kept >= 1
    again = subprocess.run(
        [*command, "--no-report"], cwd=tmp_path, capture_output=True, timeout=300, check=False
    )
    assert again.returncode == 0, again.stderr
    [run] = runs(tmp_path)
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["replications"] == [0, 1, 2, 3]
    assert not list(tmp_path.glob("results/peak-hour/.*.partial"))


def wait_for_replication(folder: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        if list(folder.glob("results/*/.*.partial/replication-*")):
            return
        assert process.poll() is None, "the run ended before it could be stopped"
        time.sleep(0.05)
    raise AssertionError("no replication finished in a minute")


def test_the_schema_is_json(tmp_path: Path) -> None:
    done = hoso("schema", cwd=tmp_path)
    assert done.returncode == 0
    assert "demand" in json.loads(done.stdout)["properties"]


def test_every_command_helps_with_examples(tmp_path: Path) -> None:
    for command in ("explain", "run", "compare", "size", "report", "trace"):
        done = hoso(command, "--help", cwd=tmp_path)
        assert done.returncode == 0
        assert f"hoso {command} " in done.stdout.replace("Usage: hoso", "")


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, sim.cli; "
        "heavy = {'numpy', 'scipy', 'pyarrow', 'matplotlib', 'pydantic', 'simpy', 'rich'}; "
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_explain_says_what_is_used_up_first(tmp_path: Path) -> None:
    done = hoso("explain", "peak-hour", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "used up first" in " ".join(done.stdout.split())


def test_a_trace_is_saved_for_others_to_replay(tmp_path: Path) -> None:
    done = hoso("trace", "peak-hour", *SMALL, "--replication", "2", "--output", "t", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "t").iterdir()} == {
        "sessions.parquet",
        "requests.parquet",
    }


def test_offices_without_a_portal_have_no_trace(tmp_path: Path, city_dict) -> None:
    without = {"fed_by": "demand", "officer_journey": None}
    (tmp_path / "offices.yaml").write_text(json.dumps(city_dict(offices=without)))
    done = hoso("trace", "offices.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "no sessions to draw" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("engine", ["compiled", pytest.param("simpy", marks=pytest.mark.slow)])
def test_portal_and_offices_run_and_compare(tmp_path: Path, city_dict, engine: str) -> None:
    for name, offices in {"idle": {"officer_journey": None}, "busy": {}}.items():
        (tmp_path / f"{name}.yaml").write_text(json.dumps(city_dict(name=name, offices=offices)))
        done = hoso("run", f"{name}.yaml", "--engine", engine, "--replications", "2", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / runs(tmp_path)[0] / "manifest.json").read_text())
    assert set(manifest["notes"]) == {"0", "1"}
    done = hoso("compare", "idle", "busy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "all.response_s" in done.stdout


def test_imports_say_what_was_refused(tmp_path: Path) -> None:
    rows = "".join(f"2024-01-04,{hour},{10 + hour}\n" for hour in range(24))
    (tmp_path / "visits.csv").write_text(
        f"date,hour,visits\n{rows}2024-01-04,(other),3\n", encoding="utf-8"
    )
    done = hoso("import", "counts", "visits.csv", "--output", "shape.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "refused" in done.stdout
    assert "imported" in (tmp_path / "shape.yaml").read_text(encoding="utf-8")
