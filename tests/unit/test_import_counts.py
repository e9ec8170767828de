import bz2
import datetime as dt
import gzip
import io
import os
import re
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml

from sim.demand.imports import (
    CountsImport,
    ImportFileError,
    import_access_log,
    import_counts,
)
from sim.demand.imports.shapes import day_effect_cv, dispersion_after_hour_of_week
from sim.scenario import load_scenario

MONDAY = dt.datetime(2024, 11, 4)  # noqa: DTZ001 - clock of the place


def real_data(name: str) -> Path:
    root = Path(__file__).parents[2]
    data = Path(os.environ.get("HOSO_DATA", root.parent / "shared" / "data"))
    found = sorted(path for path in data.glob(name))
    if not found:
        pytest.skip(f"no {name} in {data}; name the folder in HOSO_DATA")
    return found[0]


@cache
def nasa_july() -> CountsImport:
    return import_counts(
        real_data("nasa_http_rps/workload.tbz2"),
        start=dt.datetime(1995, 7, 1, 0, 0, 1),  # noqa: DTZ001
        interval_s=1,
        until=dt.datetime(1995, 7, 28, 13, 32, 26),  # noqa: DTZ001
    )


def hourly_rows(n_days: int, count: Callable[[dt.datetime], float]) -> list[str]:
    hours = [MONDAY + dt.timedelta(hours=h) for h in range(24 * n_days)]
    return [f"{hour:%Y-%m-%d},{hour.hour},{count(hour):g}" for hour in hours]


def a_csv(folder: Path, rows: list[str], header: str = "date,hour,visits") -> Path:
    path = folder / "visits.csv"
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


def a_series(folder: Path, text: str, name: str = "series.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def reasons(result: CountsImport) -> dict[str, int | None]:
    return {line.detail: line.count for line in result.report.refused}


def test_shapes_are_the_shares_of_hours_and_weekdays(tmp_path: Path) -> None:
    rows = hourly_rows(14, lambda t: (1 + t.hour) * (2 if t.weekday() < 5 else 1))
    result = import_counts(a_csv(tmp_path, rows))
    hours = np.arange(1, 25) / np.arange(1, 25).sum()
    assert result.hour_shape.weights == pytest.approx(hours.tolist())
    assert result.weekday_shape.weights == pytest.approx([2 / 12] * 5 + [1 / 12] * 2)
    assert result.peak_day_to_mean.value == pytest.approx(2 / (12 / 7))
    assert result.day_effect_cv.value == 0


def test_override_is_yaml_of_the_demand_with_its_source(tmp_path: Path) -> None:
    result = import_counts(a_csv(tmp_path, hourly_rows(14, lambda t: 5 + t.hour)), name="citizens")
    demand = yaml.safe_load(result.override)["demand"]
    assert set(demand) == {"hours", "weekdays", "day_effect_cv"}
    assert len(demand["hours"]["citizens"]) == 24
    assert len(demand["weekdays"]) == 7
    assert result.override.startswith(
        "# source: visits.csv, 336 counts, 2024-11-04 to 2024-11-17, complete days: 14\n"
    )


def test_override_is_what_a_child_scenario_changes(tmp_path: Path) -> None:
    result = import_counts(a_csv(tmp_path, hourly_rows(14, lambda t: 5 + t.hour)))
    child = tmp_path / "child.yaml"
    child.write_text(f"extends: peak-hour\nname: child\n{result.override}", encoding="utf-8")
    demand = load_scenario(child).demand
    assert demand.hours["imported"] == pytest.approx(result.hour_shape.weights, abs=1e-5)
    assert demand.weekdays == pytest.approx([1 / 7] * 7, abs=1e-5)
    assert demand.day_effect_cv == 0


def test_names_that_cannot_stand_in_a_scenario_are_refused(tmp_path: Path) -> None:
    path = a_csv(tmp_path, hourly_rows(1, lambda t: 1))
    with pytest.raises(ImportFileError, match="'Citizens: all' must be lower-case"):
        import_counts(path, name="Citizens: all")


def test_less_than_a_week_cannot_tell_weekdays(tmp_path: Path) -> None:
    result = import_counts(a_csv(tmp_path, hourly_rows(6, lambda t: 1 + t.hour)))
    assert result.weekday_shape.weights is None
    assert result.weekday_shape.reason == "the complete days cover 6 of the 7 weekdays"
    assert result.day_effect_cv.value is None
    assert result.dispersion.value is None
    assert result.peak_day_to_mean.value is None
    assert list(yaml.safe_load(result.override)["demand"]) == ["hours"]
    assert "# weekdays: cannot tell" in result.override


def test_incomplete_days_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = hourly_rows(9, lambda t: 1)[:-5]
    result = import_counts(a_csv(tmp_path, rows))
    assert result.hour_shape.weights == pytest.approx([1 / 24] * 24)
    assert reasons(result) == {"not complete: some hours are missing": 1}


def test_nothing_but_incomplete_days_cannot_tell_hours(tmp_path: Path) -> None:
    result = import_counts(a_csv(tmp_path, hourly_rows(1, lambda t: 1)[:20]))
    assert result.hour_shape.weights is None
    assert yaml.safe_load(result.override) == {}


def test_each_group_weighs_the_same_where_asked(tmp_path: Path) -> None:
    small = [f"a,{row}" for row in hourly_rows(1, lambda t: 1 if t.hour == 9 else 0)]
    large = [f"b,{row}" for row in hourly_rows(1, lambda t: 999 if t.hour == 15 else 0)]
    path = a_csv(tmp_path, small + large, "agency,date,hour,visits")
    together = import_counts(path).hour_shape.weights
    each = import_counts(path, each="agency").hour_shape.weights
    only = import_counts(path, keep={"agency": ["a"]}).hour_shape.weights
    assert together is not None
    assert each is not None
    assert only is not None
    assert (together[9], each[9], only[9]) == (1 / 1000, 1 / 2, 1)


def test_timestamps_are_read_like_date_and_hour(tmp_path: Path) -> None:
    rows = [f"{MONDAY + dt.timedelta(minutes=30 * i)}+07:00,{i % 48}" for i in range(48)]
    result = import_counts(a_csv(tmp_path, rows, "timestamp,count"))
    expected = (4 * np.arange(24) + 1) / (4 * np.arange(24) + 1).sum()
    assert result.hour_shape.weights == pytest.approx(expected.tolist())


def test_vietnamese_dates_are_read(tmp_path: Path) -> None:
    rows = [f"{(MONDAY + dt.timedelta(days=d)):%d/%m/%Y},{10 + d % 7}" for d in range(28)]
    result = import_counts(a_csv(tmp_path, rows, "ngày,số lượt"))
    assert result.hour_shape.reason == "the counts are daily"
    expected = np.arange(10, 17) / np.arange(10, 17).sum()
    assert result.weekday_shape.weights == pytest.approx(expected.tolist())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2024-11-04,(other),5", "hour '(other)' is not one of 0 to 23"),
        ("2024-11-04,24,5", "hour '24' is not one of 0 to 23"),
        ("2024-11-04,3,-5", "the count is negative"),
        ("2024-11-04,3,n/a", "the count is no number"),
        ("2024-11-04,3,inf", "the count is no number"),
        ("2024-13-04,3,5", "the date is no time"),
        ("2024-11-04,3", "its number of values differs from the header's"),
    ],
)
def test_bad_rows_are_counted_with_the_reason(tmp_path: Path, row: str, reason: str) -> None:
    result = import_counts(a_csv(tmp_path, [*hourly_rows(1, lambda t: 1), row]))
    assert reasons(result) == {reason: 1}
    assert result.hour_shape.weights == pytest.approx([1 / 24] * 24)


def test_file_without_a_usable_row_is_refused_with_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match=r"no count could be read: the count is negative"):
        import_counts(a_csv(tmp_path, ["2024-11-04,3,-5"]))


@pytest.mark.parametrize(("header", "missing"), [("date,hour,x", "count"), ("x,y,visits", "time")])
def test_missing_columns_are_named(tmp_path: Path, header: str, missing: str) -> None:
    with pytest.raises(ImportFileError, match=rf"not found: {missing} .*has: {header[:1]}"):
        import_counts(a_csv(tmp_path, ["2024-11-04,3,5"], header))
    with pytest.raises(ImportFileError, match="no column agency"):
        import_counts(a_csv(tmp_path, ["2024-11-04,3,5"]), each="agency")


def test_day_effect_is_recovered_from_gamma_poisson_days() -> None:
    rng = np.random.default_rng(3)
    weekdays = np.arange(364) % 7
    effect = rng.gamma(1 / 0.3**2, 0.3**2, 364)
    totals = rng.poisson(np.where(weekdays < 5, 400, 50) * effect).astype(float)
    found = day_effect_cv(weekdays, totals)
    assert found.value is not None
    assert found.standard_error is not None
    assert abs(found.value - 0.3) < 4 * found.standard_error
    assert found.standard_error < 0.03


def test_standard_error_of_the_day_effect_is_its_spread_over_samples() -> None:
    rng = np.random.default_rng(4)
    weekdays = np.arange(84) % 7
    found = [
        day_effect_cv(weekdays, rng.poisson(300 * rng.gamma(25, 1 / 25, 84)).astype(float))
        for _ in range(300)
    ]
    spread = np.std([one.value for one in found])
    mean_error = np.mean([one.standard_error for one in found])
    # A standard deviation of 300 samples has a relative error of 1/sqrt(600) = 4 %.
    assert abs(mean_error / spread - 1) < 4 / np.sqrt(600)


def test_poisson_hours_have_dispersion_1() -> None:
    rng = np.random.default_rng(5)
    weekdays = np.arange(70) % 7
    rates = (5 + np.arange(24.0)) * np.where(weekdays < 5, 2, 1)[:, np.newaxis]
    found = dispersion_after_hour_of_week(weekdays, rng.poisson(rates).astype(float))
    assert found.value is not None
    assert found.standard_error is not None
    assert abs(found.value - 1) < 4 * found.standard_error
    assert found.standard_error < 0.1


def test_series_is_summed_over_hours(tmp_path: Path) -> None:
    text = " ".join("2" if 9 <= (m // 60) % 24 < 17 else "1" for m in range(14 * 1440))
    result = import_counts(a_series(tmp_path, text), start=MONDAY, interval_s=60)
    assert result.hour_shape.weights is not None
    assert result.hour_shape.weights[12] == pytest.approx(2 / 32)
    assert result.weekday_shape.weights == pytest.approx([1 / 7] * 7)
    assert [burst.window_s for burst in result.bursts] == [60, 300]
    assert result.bursts[0].mean == 2
    assert result.bursts[0].dispersion == 0


def test_nothing_of_a_series_is_read_from_its_end_on(tmp_path: Path) -> None:
    path = a_series(tmp_path, "1 " * 24 + "x")
    until = MONDAY + dt.timedelta(days=1)
    result = import_counts(path, start=MONDAY, interval_s=3600, until=until)
    assert result.report.taken[0].count == 24
    with pytest.raises(ImportFileError, match="no count between start and end"):
        import_counts(path, start=MONDAY, interval_s=3600, until=MONDAY)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_packed_series_are_read(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "series"
    path.write_bytes(pack(b"1 " * 24))
    result = import_counts(path, start=MONDAY, interval_s=3600)
    assert result.hour_shape.weights == pytest.approx([1 / 24] * 24)


def test_archive_of_two_files_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "series.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("one", "two"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(ImportFileError, match="holds 2 files"):
        import_counts(path, start=MONDAY, interval_s=1)


@pytest.mark.parametrize(
    ("text", "interval_s", "message"),
    [
        ("1 2 x 4", 1.0, "value 3, 'x', is no whole number"),
        ("1 2 1.5", 1.0, "value 3, '1.5', is no whole number"),
        ("1 -2 3", 1.0, "count 2 is -2; it must be at least 0"),
        ("1 99999999999999999999", 1.0, "too large"),
        ("", 1.0, "no count between start and end"),
        ("1 2", 0.0, "interval 0 s must be above 0"),
        ("1 2", 7.0, "interval 7 s must be above 0 and divide an hour"),
        ("1 2", -1.0, "interval -1 s"),
    ],
)
def test_bad_series_are_refused(tmp_path: Path, text: str, interval_s: float, message: str) -> None:
    with pytest.raises(ImportFileError, match=re.escape(message)):
        import_counts(a_series(tmp_path, text), start=MONDAY, interval_s=interval_s)


def test_series_needs_start_and_interval_and_has_no_columns(tmp_path: Path) -> None:
    path = a_series(tmp_path, "1 2 3")
    with pytest.raises(ImportFileError, match="both its start and its interval"):
        import_counts(path, interval_s=1)
    with pytest.raises(ImportFileError, match="no columns"):
        import_counts(path, start=MONDAY, interval_s=1, each="agency")


def test_access_log_counts_by_path_and_hour(tmp_path: Path) -> None:
    line = '10.0.0.1 - - [04/Nov/2024:{:02d}:15:00 +0700] "GET {} HTTP/1.1" 200 12 "-" "x"'
    lines = [line.format(h, "/list?page=2") for h in range(24)] + [line.format(9, "/form")]
    path = tmp_path / "access.log"
    path.write_text("\n".join([*lines, "garbage", line.format(99, "/")]))
    result = import_access_log(path)
    assert list(result.by_path) == ["/list", "/form"]
    assert result.by_path["/form"][9] == 1
    assert result.counts.hour_shape.weights is not None
    assert result.counts.hour_shape.weights[9] == pytest.approx(2 / 25)
    assert reasons(result.counts) == {"not a line of the Combined Log Format": 2}


def test_silent_hours_of_an_access_log_count_as_nothing(tmp_path: Path) -> None:
    line = '::1 - - [04/Nov/2024:{:02d}:00:00 +0700] "GET / HTTP/1.1" 200 1'
    path = tmp_path / "access.log.gz"
    path.write_bytes(gzip.compress("\n".join(line.format(h) for h in (0, 23)).encode()))
    assert import_access_log(path).counts.hour_shape.weights == (0.5, *[0.0] * 22, 0.5)


def test_file_that_is_no_access_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="not a line of the Combined Log Format"):
        import_access_log(a_series(tmp_path, "1 2 3"))
    with pytest.raises(ImportFileError, match="cannot be read"):
        import_access_log(tmp_path / "none.log")


SERVICE_AGENCIES = (
    "social-security-administration",
    "treasury",
    "homeland-security",
    "labor",
    "housing-urban-development",
    "general-services-administration",
)


def test_hours_of_six_service_agencies_match_the_published_shares() -> None:
    path = real_data("us_federal_hourly/*.csv")
    result = import_counts(path, keep={"agency": SERVICE_AGENCIES}, each="agency")
    assert result.hour_shape.weights is not None
    shares = np.round(result.hour_shape.weights, 4)
    assert shares[[0, 4, 8, 14, 23]].tolist() == [0.0201, 0.0103, 0.0385, 0.0765, 0.0242]
    assert result.weekday_shape.reason == "the complete days cover 1 of the 7 weekdays"


def test_hours_of_all_agencies_match_and_overflow_rows_are_left_out() -> None:
    result = import_counts(real_data("us_federal_hourly/*.csv"))
    assert result.hour_shape.weights is not None
    shares = np.round(result.hour_shape.weights, 4)
    assert shares[[0, 4, 14, 23]].tolist() == [0.0234, 0.013, 0.0663, 0.0293]
    assert reasons(result)["hour '(other)' is not one of 0 to 23"] == 7


def test_hours_of_a_web_server_in_july_match_the_published_shares() -> None:
    result = nasa_july()
    assert result.hour_shape.weights is not None
    shares = np.round(result.hour_shape.weights, 4)
    assert shares[[0, 5, 9, 14, 23]].tolist() == [0.0327, 0.0166, 0.0521, 0.0657, 0.0372]
    assert result.report.taken[0].count == 2_381_545


@pytest.mark.parametrize(
    ("window_s", "mean", "dispersion", "p99_to_mean"),
    [(1, 1.397, 1.559, 4.295), (10, 13.968, 4.214, 2.649), (60, 83.809, 13.54, 2.279)],
)
def test_bursts_of_a_web_server_match_the_published_ones(
    window_s: float, mean: float, dispersion: float, p99_to_mean: float
) -> None:
    burst = next(burst for burst in nasa_july().bursts if burst.window_s == window_s)
    assert burst.mean == pytest.approx(mean, abs=5e-4)
    # Published with the population variance; n - 1 moves it by less than one part in 10,000.
    assert burst.dispersion == pytest.approx(dispersion, rel=2e-4)
    assert burst.p99_to_mean == pytest.approx(p99_to_mean, abs=1e-3)
