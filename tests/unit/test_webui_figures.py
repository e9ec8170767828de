"""What the web UI shows, computed from pieces by hand; its form, account and archive."""

import io
import json
import math
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtests.histogram import bins_of
from loadtests.live import Cells, LiveView, Piece
from loadtests.prediction import PREDICTION, Predicted
from loadtests.webui.account import Account, account_for
from loadtests.webui.archive import zipped
from loadtests.webui.figures import (
    SERIES_POINTS,
    Bound,
    Series,
    Stored,
    bounds_of,
    prediction_rows,
    stored_rows,
    trust_rows,
)
from loadtests.webui.forecast import RUNNING, Forecast
from loadtests.webui.wishes import Wish
from loadtests.work import LoadError
from sim.results import OUTCOMES
from sim.scenario.scenario import Scenario

OK, FAILED = OUTCOMES.index("ok"), OUTCOMES.index("failed")
ACCOUNT = {"HOSO_WEB_USER": "planner", "HOSO_WEB_PASSWORD": "secret"}


def cells(*rows: tuple[int, int, int]) -> Cells:
    return np.array(rows, dtype=np.int32).reshape(-1, 3)


def binned(endpoint: int, time_s: float, count: int) -> tuple[int, int, int]:
    return endpoint, int(bins_of(np.array([time_s]))[0]), count


def piece(
    t_s: float = 1.0,
    *,
    outcomes: Sequence[tuple[int, int, int]] = (),
    times: Sequence[tuple[int, int, int]] = (),
    late_s: float = 0.001,
    **values: Any,
) -> Piece:
    """Return what one worker says; unless said otherwise, nothing but that it is there."""
    totals = {"worker": 0, "arrived": 0, "sent": 0, "active": 0, "dropped": 0, "cpu_share": 0.1}
    return Piece(
        t_s=t_s,
        outcomes=cells(*outcomes),
        times=cells(*times),
        late=cells(binned(0, late_s, 100)),
        services=cells(),
        **(totals | values),
    )


def view(*pieces: Piece) -> LiveView:
    live = LiveView(["read", "write"], ["1.000001"])
    for each in pieces:
        live.add(each)
    return live


def asked(n: int, time_s: float) -> Piece:
    """Return a second in which the first endpoint was asked, always answered in the same time."""
    return piece(outcomes=[(0, OK, n)], times=[binned(0, time_s, n)])


SIMULATED = {"read": Predicted(2000, 1.0, 0.1, 0.2, 0.3)}


def test_measured_stands_beside_simulated() -> None:
    (row,) = prediction_rows(view(asked(1000, 0.15)), SIMULATED, {})
    assert (row["requests"], row["of"]) == (1000, 2000)
    assert (row["simulated_p50"], row["simulated_p95"]) == ("100 ms", "200 ms")
    assert str(row["measured_p50"]).endswith(" ms")
    assert float(str(row["measured_p50"]).split()[0]) == pytest.approx(150, rel=0.01)


def test_only_endpoints_that_were_asked_or_simulated_have_a_row() -> None:
    assert [row["endpoint"] for row in prediction_rows(view(), SIMULATED, {})] == ["read"]
    assert prediction_rows(view(), {}, {}) == []


def test_headroom_is_what_is_left_of_the_target() -> None:
    bounds = {"read": Bound("read.response_s.p95", 0.2)}
    (row,) = prediction_rows(view(asked(1000, 0.05)), {}, bounds)
    assert float(str(row["headroom"]).rstrip("%")) == pytest.approx(75, abs=1)
    assert row["verdict"] == "within"
    (row,) = prediction_rows(view(asked(1000, 0.3)), {}, bounds)
    assert str(row["headroom"]).startswith("-")
    assert row["verdict"] == "above"


def test_too_few_requests_carry_no_quantile_and_no_verdict() -> None:
    bounds = {"read": Bound("read.response_s.p95", 0.2)}
    (row,) = prediction_rows(view(asked(20, 0.3)), {}, bounds)
    assert (row["measured_p95"], row["verdict"]) == ("-", "cannot tell yet")


def test_the_tightest_target_on_an_endpoint_is_its_bound(scenario_dict: Any) -> None:
    endpoints = {
        name: {"group": group, "program": []}
        for name, group in (("read", "browse"), ("write", "filing"))
    }
    targets = [
        {"metric": "all.response_s.p95", "at_most": 2.0},
        {"metric": "browse.response_s.p95", "at_most": 0.5},
        {"metric": "read.response_s.p99", "at_most": 0.1},
    ]
    whole = scenario_dict({"tiers": {"spare": {}}, "endpoints": endpoints}, targets=targets)
    assert bounds_of(Scenario.model_validate(whole)) == {
        "read": Bound("browse.response_s.p95", 0.5),
        "write": Bound("all.response_s.p95", 2.0),
    }


@pytest.mark.parametrize(
    ("values", "lost"),
    [
        ({"cpu_share": 0.9}, ()),
        ({"late_s": 0.02}, ()),
        ({"dropped": 3}, ()),
        ({}, ("worker 1 (there)",)),
    ],
    ids=["busy generator", "late", "dropped", "lost worker"],
)
def test_one_bad_figure_spoils_the_trust(values: dict[str, Any], lost: tuple[str, ...]) -> None:
    live = view(piece(outcomes=[(0, OK, 9)], **values))
    first, *others = trust_rows(live, lost)
    assert (first["value"], first["verdict"]) == ("untrustworthy", "bad")
    assert [row["verdict"] for row in others].count("bad") == 1


def test_good_figures_are_trusted_so_far() -> None:
    first, *_ = trust_rows(view(piece(outcomes=[(0, OK, 9)])))
    assert (first["value"], first["verdict"]) == ("trustworthy so far", "good")


def test_nothing_measured_is_neither_good_nor_bad() -> None:
    first, *_ = trust_rows(view())
    assert (first["value"], first["verdict"]) == ("nothing measured yet", "")


def test_a_stored_run_gives_its_verdict_reasons_and_place() -> None:
    stored = Stored("results/a/1", False, ("late", "dropped"), "Not judged.")
    rows = [(row["figure"], row["value"]) for row in stored_rows(stored)]
    assert rows == [
        ("the measurement", "untrustworthy"),
        ("why", "late"),
        ("why", "dropped"),
        ("the answer", "Not judged."),
        ("stored in", "results/a/1"),
    ]


def test_rates_are_differences_between_seconds() -> None:
    series, live = Series(), view()
    live.add(piece(1.0, arrived=10, outcomes=[(0, OK, 20)], times=[binned(0, 0.1, 20)]))
    series.add(live, {})
    live.add(piece(3.0, arrived=16, outcomes=[(0, OK, 6), (1, FAILED, 2)]))
    series.add(live, {"sync": 4.0})
    columns = series.to_json()
    assert columns["t_s"] == [1.0, 3.0]
    assert columns["due_per_s"] == [10.0, 3.0]
    assert columns["sent_per_s"] == [20.0, 4.0]
    assert columns["age sync"] == [None, 4.0]


def test_a_second_without_news_is_left_out() -> None:
    series, live = Series(), view(piece(1.0))
    for _ in range(3):
        series.add(live, {})
    live.add(piece(1.1, arrived=50))
    series.add(live, {})
    assert series.to_json()["t_s"] == [1.0]


def test_unknown_response_times_are_null_in_the_charts() -> None:
    series = Series()
    series.add(view(piece(1.0)), {})
    assert series.to_json()["p95_s"] == [None]


def test_the_charts_keep_the_latest_seconds() -> None:
    series, live = Series(), view()
    for second in range(1, SERIES_POINTS + 11):
        live.add(piece(float(second)))
        series.add(live, {})
    assert series.to_json()["t_s"][0] == 11.0


def test_only_what_is_new_is_asked_for() -> None:
    series, live = Series(), view()
    for second in (1.0 + 3e-7, 2.0, 3.0):  # more digits than are told
        live.add(piece(second))
        series.add(live, {})
    first, *others = series.to_json()["t_s"]
    assert first is not None
    assert series.to_json(first)["t_s"] == others


def test_recent_quantiles_forget_what_is_old() -> None:
    live = view(piece(1.0, times=[binned(0, 5.0, 100)]))
    live.add(piece(30.0, times=[binned(1, 0.1, 100)]))
    (p99_s,) = live.recent_quantiles_s((0.99,))
    assert p99_s == pytest.approx(0.1, rel=0.01)
    assert math.isnan(view().recent_quantiles_s((0.5,))[0])


BEFORE = Wish("peak-hour", ("demand.day_factor=2",), 1, 60.0)


def test_a_form_without_our_fields_asks_for_the_same_again() -> None:
    assert Wish.from_form({"user_count": "1"}, BEFORE) == BEFORE


def test_a_form_says_scenario_changes_replication_and_time() -> None:
    form = {
        "scenario": "peak-day",
        "overrides": "a.b=1 'c=[1, 2]'",
        "replication": "3",
        "max_time": "",
    }
    assert Wish.from_form(form, BEFORE) == Wish("peak-day", ("a.b=1", "c=[1, 2]"), 3, None)


@pytest.mark.parametrize(
    "form",
    [{"replication": "-1"}, {"max_time": "nan"}, {"max_time": "soon"}, {"overrides": "'a=1"}],
    ids=str,
)
def test_a_field_filled_in_wrongly_is_named(form: dict[str, str]) -> None:
    (field,) = form
    with pytest.raises(LoadError, match=field.replace("_", " ")):
        Wish.from_form(form, BEFORE)


def test_a_web_ui_of_this_machine_needs_no_account() -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        assert account_for(host, {}, has_login=False) is None


@pytest.mark.parametrize("host", ["", "0.0.0.0", "10.0.0.1", "portal.example"])
def test_a_web_ui_open_to_others_is_refused_without_a_login(host: str) -> None:
    with pytest.raises(LoadError, match="add --web-login"):
        account_for(host, ACCOUNT, has_login=False)


@pytest.mark.parametrize("missing", sorted(ACCOUNT))
def test_a_login_without_its_account_is_refused(missing: str) -> None:
    environment = {name: value for name, value in ACCOUNT.items() if name != missing}
    with pytest.raises(LoadError, match=missing):
        account_for("127.0.0.1", environment, has_login=True)


def test_only_user_and_password_together_open() -> None:
    account = account_for("10.0.0.1", ACCOUNT, has_login=True)
    assert account == Account("planner", "secret")
    assert account.opens_with("planner", "secret")
    assert not account.opens_with("planner", "Secret")
    assert not account.opens_with("plannér", "secret")
    assert "secret" not in repr(account)


def test_an_archive_holds_the_folder_as_it_is(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "deep").mkdir(parents=True)
    (run / "manifest.json").write_text("{}")
    (run / "deep" / "rows").write_bytes(bytes(range(256)) * 4096)
    with zipfile.ZipFile(io.BytesIO(b"".join(zipped(run)))) as archive:
        assert archive.namelist() == ["run/deep/rows", "run/manifest.json"]
        assert archive.read("run/deep/rows") == (run / "deep" / "rows").read_bytes()


def test_an_archive_comes_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(bytes(4 << 20))
    assert max(len(each) for each in zipped(tmp_path)) < 1 << 20


def test_a_prediction_that_is_there_already_is_read(tmp_path: Path) -> None:
    values = {"requests": 7, "ok_share": 1.0, "p50_s": 0.1, "p95_s": 0.2, "p99_s": 0.3}
    (tmp_path / PREDICTION).write_text(json.dumps({"read": values}))
    forecast = Forecast()
    forecast.begin(tmp_path)
    assert forecast.endpoints == {"read": Predicted(7, 1.0, 0.1, 0.2, 0.3)}
    assert forecast.note == ""


def test_a_simulation_that_fails_says_why(tmp_path: Path) -> None:
    forecast = Forecast()
    forecast.begin(tmp_path)
    assert forecast.note == RUNNING
    until = time.monotonic() + 60.0
    while forecast.note == RUNNING and time.monotonic() < until:
        time.sleep(0.05)
        forecast.look()
    assert "scenario.json" in forecast.note
    assert forecast.is_missing
