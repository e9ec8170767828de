"""A model learned from a process log, judged on cases it had not seen."""

import datetime as dt
import json
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from scipy import stats

from sim.cli.imports import import_group
from sim.demand.imports import ImportFileError, import_event_log
from sim.demand.imports.event_log import (
    EPOCH,
    EventLog,
    HoldOut,
    default_phases,
    findings,
    hold_out,
)
from sim.demand.imports.event_log.findings import row_text

H = 3600.0
FIRST = dt.datetime(2024, 1, 1)  # noqa: DTZ001 - clock of the place
SPLIT = FIRST + dt.timedelta(days=140)
N_DAYS = 220
PHASES = default_phases(has_starts=False)


def receipt_log() -> Path:
    root = Path(__file__).parents[2]
    data = Path(os.environ.get("HOSO_DATA", root.parent / "shared" / "data"))
    path = data / "receipt_log" / "receipt.csv"
    if not path.exists():
        pytest.skip(f"no receipt log in {data}; name its folder in HOSO_DATA")
    return path


def a_log(folder: Path, *, slower: float = 1.0, seed: int = 1, last: str = "decide") -> Path:
    """Write cases that are received, checked (some twice) and decided, day and night."""
    rng = np.random.default_rng(seed)
    rows = ["case,activity,time"]
    for case in range(500):
        now = FIRST + dt.timedelta(days=float(rng.random() * N_DAYS))
        factor = slower if now >= SPLIT else 1.0
        checks = ["check"] * (1 + (rng.random() < 0.3))
        rows.append(f"{case},receive,{now:%Y-%m-%d %H:%M:%S}")
        for step in (*checks, "decide"):
            now += dt.timedelta(hours=float(rng.lognormal(np.log(6), 0.6)) * factor)
            name = last if now >= SPLIT and step == "decide" else step
            rows.append(f"{case},{name},{now:%Y-%m-%d %H:%M:%S}")
    # However slow the cases are, the log ends at the same moment.
    rows.append(f"last,receive,{FIRST + dt.timedelta(days=N_DAYS + 30):%Y-%m-%d %H:%M:%S}")
    path = folder / "log.csv"
    path.write_text("\n".join((*rows, "")), encoding="utf-8")
    return path


def read(**changes: Any) -> EventLog:
    with tempfile.TemporaryDirectory() as folder:
        return import_event_log(a_log(Path(folder), **changes)).log


@cache
def judged(**changes: Any) -> HoldOut:
    return judge(read(**changes), SPLIT)


def judge(log: EventLog, split: dt.datetime) -> HoldOut:
    return hold_out(
        log,
        split_s=(split - EPOCH).total_seconds(),
        phases=PHASES,
        within_s=16.0 * H,
        replications=60,
    )


def test_prediction_holds_while_nothing_changes() -> None:
    found = [judged(), judged(seed=2)]
    covered = sum(row.is_covered for one in found for row in one.rows)
    n = sum(len(one.rows) for one in found)
    assert n == 12
    # 95 % intervals: fewer than this would be covered once in a thousand times.
    assert covered >= stats.binom.ppf(0.001, n, 0.95)


def test_change_after_the_split_is_missed_and_called_drift() -> None:
    found = judged(slower=6.0)
    row = next(row for row in found.rows if row.quantity.startswith("share within"))
    assert not row.is_covered
    assert row.actual.high < row.predicted.low
    words = " ".join(findings(found, PHASES))
    assert f"{row_text(row, row.actual.value)} is less than predicted" in words
    assert "the later ones differ" in words
    assert "Drift: reception takes another time than before the split" in words


def test_nothing_after_the_split_reaches_the_prediction() -> None:
    one, other = judged(), judged(last="another end")
    assert one.choice.half_life_days == other.choice.half_life_days
    for row, same in zip(one.rows, other.rows, strict=True):
        assert row.predicted == same.predicted


def test_cases_that_go_on_after_the_split_count_as_open() -> None:
    log = read()
    split_s = (SPLIT - EPOCH).total_seconds()
    begun = set(log.case[log.time_s < split_s].tolist())
    going_on = begun & set(log.case[log.time_s >= split_s].tolist())
    assert judged().n_open == len(going_on) > 0


def test_log_of_completions_says_what_it_cannot_tell() -> None:
    words = " ".join(findings(judged(), PHASES))
    assert "waiting cannot be told from processing" in words
    assert "cannot tell what more cases or fewer officers would do" in words


@pytest.mark.parametrize(("day", "way"), [(1, "a later split"), (219, "an earlier split")])
def test_split_at_the_edge_is_refused(day: int, way: str) -> None:
    with pytest.raises(ImportFileError, match=f"at least 50 are needed: choose {way}"):
        judge(read(), FIRST + dt.timedelta(days=day))


def test_command_writes_override_model_and_pictures(tmp_path: Path) -> None:
    arguments = [
        *("event-log", str(a_log(tmp_path)), "--split", "2024-05-20"),
        *("--within", "2 working days", "--phase", "whole=receive..decide"),
        *("--task", "examine=check", "--offices", "communes", "--replications", "40"),
        *("--output", str(tmp_path / "o.yaml"), "--model", str(tmp_path / "m.json")),
        *("--pictures", str(tmp_path / "pictures")),
    ]
    result = CliRunner().invoke(import_group, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "share within 16 working hours" in result.output
    override = yaml.safe_load((tmp_path / "o.yaml").read_text(encoding="utf-8"))
    rules = override["backoffice"]["workflow"]["rules"]
    assert rules["sent_back_share"] == pytest.approx(0.3 / 1.3, abs=4 * np.sqrt(0.2 / 650))
    document = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    assert document["hold_out"]["rows"][0]["phase"] == "whole"
    assert document["model"]["activities"] == ["receive", "check", "decide"]
    for name in ("week.png", "phases.png"):
        assert (tmp_path / "pictures" / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--within", "8 h", "has the unknown unit 'h'; allowed: working hour"),
        ("--within", "0 working hours", "must be more than 0"),
        ("--since", "2024-03-01", "--since needs a later --split"),
        ("--split", "soon", "'soon' does not match the formats"),
        ("--phase", "x=receive..nowhere", "no activity 'nowhere'"),
        ("--task", "examine=nothing", "no activity 'nothing'"),
    ],
)
def test_command_tells_wrong_options(tmp_path: Path, option: str, value: str, said: str) -> None:
    arguments = ["event-log", str(a_log(tmp_path)), option, value]
    result = CliRunner().invoke(import_group, arguments)
    assert result.exit_code != 0
    assert said in f"{result.output} {result.exception}"


@pytest.mark.slow
def test_receipt_log_changes_after_its_split_and_the_model_says_so() -> None:
    log = import_event_log(receipt_log()).log
    phases = default_phases(has_starts=log.has_starts)
    split_s = (dt.datetime(2011, 7, 1) - EPOCH).total_seconds()  # noqa: DTZ001
    found = hold_out(log, split_s=split_s, phases=phases, within_s=8 * H, replications=100)
    assert (found.n_before, found.n_later, found.n_open, found.n_unmet) == (848, 495, 14, 91)
    within = found.rows[0]
    assert within.actual.value == pytest.approx(0.842, abs=0.001)
    assert within.before.value == pytest.approx(0.459, abs=0.001)
    assert not within.is_covered
    assert within.before.value < within.predicted.value < within.actual.value
    words = " ".join(findings(found, phases))
    assert "Drift: reception" in words
    assert "The shortest memory won" in words
