import datetime as dt
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from sim.demand.imports import EventLogImport, ImportFileError, import_event_log
from sim.demand.imports.shapes import variance_to_mean

HEADER = "case:concept:name,concept:name,time:timestamp,case:channel"
MONDAY = dt.datetime(2024, 11, 4)  # noqa: DTZ001 - clock of the place


def receipt_log() -> EventLogImport:
    root = Path(__file__).parents[2]
    data = Path(os.environ.get("HOSO_DATA", root.parent / "shared" / "data"))
    path = data / "receipt_log" / "receipt.csv"
    if not path.exists():
        pytest.skip(f"no receipt log in {data}; name its folder in HOSO_DATA")
    return import_event_log(path)


def a_log(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "log.csv"
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


def an_event(case: str, day: int, clock: str, channel: str = "online") -> str:
    return f"{case},receive,{(MONDAY + dt.timedelta(days=day)):%Y-%m-%d} {clock}+07:00,{channel}"


def reasons(result: EventLogImport) -> dict[str, tuple[int, ...]]:
    return {line.detail: line.rows for line in result.report.refused}


def test_case_arrives_at_its_first_event(tmp_path: Path) -> None:
    rows = [an_event("a", 1, "10:00:00"), an_event("a", 0, "08:30:00")]
    result = import_event_log(a_log(tmp_path, *rows, an_event("a", 2, "11:00:00")))
    assert (result.n_cases, result.n_events) == (1, 3)
    assert result.arrival_hour_shape.weights is not None
    assert result.arrival_hour_shape.weights[8] == 1
    assert result.staff_hour_shape.weights is not None
    assert [result.staff_hour_shape.weights[h] for h in (8, 10, 11)] == pytest.approx([1 / 3] * 3)


def test_case_arrives_at_its_stated_start(tmp_path: Path) -> None:
    header = "case,time,case_start"
    rows = ("a,2024-11-05 10:00,2024-11-04 07:00", "a,2024-11-05 11:00,")
    result = import_event_log(a_log(tmp_path, *rows, header=header))
    assert result.arrival_hour_shape.weights is not None
    assert result.arrival_hour_shape.weights[7] == 1


def test_days_without_cases_count_as_business_days(tmp_path: Path) -> None:
    # Monday three cases, Friday one, next Monday two: six business days, the weekend left out.
    days = (0, 0, 0, 4, 7, 7)
    rows = [an_event(f"c{i}", day, f"{8 + i:02d}:00:00") for i, day in enumerate(days)]
    result = import_event_log(a_log(tmp_path, *rows))
    assert result.cases_per_business_day.value == 1
    line = next(line for line in result.report.taken if line.what == "cases a business day")
    assert line.count == 6
    assert result.variance_to_mean.value is None
    assert result.weekday_shape.weights == pytest.approx(
        (np.array([2.5, 0, 0, 0, 1, 0, 0]) / 3.5).tolist()
    )


def test_dates_without_a_clock_cannot_tell_hours(tmp_path: Path) -> None:
    rows = [an_event(f"c{i}", i, "00:00:00") for i in range(20)]
    result = import_event_log(a_log(tmp_path, *rows))
    assert result.arrival_hour_shape.weights is None
    assert "dates without a clock: 100%" in result.arrival_hour_shape.reason
    assert "hours" not in yaml.safe_load(result.override)["demand"]
    assert "# hours.staff: cannot tell" in result.override


def test_channel_shares_are_told_per_case(tmp_path: Path) -> None:
    rows = [an_event("a", 0, "08:00:00", "desk")] * 5 + [
        an_event(case, 0, f"09:00:0{case}", "online") for case in "123"
    ]
    result = import_event_log(a_log(tmp_path, *rows))
    assert result.channel_shares == {"online": 0.75, "desk": 0.25}


def test_log_without_channels_tells_none(tmp_path: Path) -> None:
    result = import_event_log(a_log(tmp_path, "a,2024-11-04 08:00", header="case,time"))
    assert result.channel_shares == {}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",x,2024-11-04 08:00,y,", "no case"),
        ("b,x,,y,", "no time"),
        ("b,x,yesterday,y,", "the time is no time"),
        ("b,x,2024-11-04 08:00,y,2024-11-04 09:00", "its duration is negative"),
        ("b,x,2024-11-04 08:00,y,soon", "the event's start is no time"),
        ("b,x", "its number of values differs from the header's"),
    ],
)
def test_bad_events_are_counted_with_the_reason(tmp_path: Path, row: str, reason: str) -> None:
    header = "case,activity,time,channel,start_timestamp"
    good = "a,x,2024-11-04 08:00,y,2024-11-04 07:30"
    result = import_event_log(a_log(tmp_path, good, row, header=header))
    assert reasons(result) == {reason: (3,)}
    assert (result.n_cases, result.n_events) == (1, 1)


def test_log_without_a_usable_event_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="no event could be taken: no case"):
        import_event_log(a_log(tmp_path, an_event("", 0, "08:00:00")))
    with pytest.raises(ImportFileError, match="no event could be taken: it holds none"):
        import_event_log(a_log(tmp_path))


def test_missing_columns_are_named_and_can_be_chosen(tmp_path: Path) -> None:
    path = a_log(tmp_path, "a,2024-11-04 08:00", header="số,lúc")
    with pytest.raises(ImportFileError, match=r"not found: case .*; time .*has: số, lúc"):
        import_event_log(path)
    assert import_event_log(path, columns={"case": "số", "time": "lúc"}).n_cases == 1


def test_times_far_apart_are_no_trouble(tmp_path: Path) -> None:
    rows = ("a,1900-01-01 08:00", "b,2999-12-31 09:30")
    assert import_event_log(a_log(tmp_path, *rows, header="case,time")).n_cases == 2


def test_variance_to_mean_of_poisson_counts_is_1() -> None:
    rng = np.random.default_rng(11)
    found = [variance_to_mean(rng.poisson(4, 300).astype(float)) for _ in range(200)]
    values = np.array([one.value for one in found])
    errors = np.array([one.standard_error for one in found])
    assert abs(values.mean() - 1) < 4 * values.std() / np.sqrt(200)
    # A standard deviation of 200 samples has a relative error of 1/sqrt(400) = 5 %.
    assert abs(errors.mean() / values.std() - 1) < 4 / np.sqrt(400)


def test_receipt_log_matches_its_published_summary() -> None:
    result = receipt_log()
    assert (result.n_cases, result.n_events) == (1434, 8577)
    assert result.report.refused == ()
    assert result.cases_per_business_day.value == pytest.approx(4.01, abs=0.005)
    assert result.variance_to_mean.value == pytest.approx(2.21, abs=0.005)
    assert result.channel_shares["Internet"] == pytest.approx(0.8717, abs=5e-5)
    assert result.channel_shares["Desk"] == pytest.approx(0.076, abs=5e-5)


def test_receipt_log_has_the_published_weekdays() -> None:
    shape = np.array(receipt_log().weekday_shape.weights)
    # Published as shares of cases; the shape is of mean days, and weekdays differ in number.
    first, last = dt.date(2010, 10, 1), dt.date(2012, 1, 17)
    days = [first + dt.timedelta(days=i) for i in range((last - first).days + 1)]
    n_of = np.bincount([day.weekday() for day in days])
    of_cases = shape * n_of / (shape * n_of).sum()
    published = [0.175, 0.1932, 0.2092, 0.1987, 0.1702, 0.0223, 0.0314]
    assert np.round(of_cases, 4).tolist() == published


def test_receipt_log_has_the_published_staff_hours_but_no_hours_of_arrival() -> None:
    result = receipt_log()
    assert result.staff_hour_shape.weights is not None
    shares = np.round(result.staff_hour_shape.weights, 4)
    assert shares[[7, 10, 13, 14, 20]].tolist() == [0.0108, 0.1406, 0.0856, 0.1314, 0.0038]
    assert "dates without a clock" in result.arrival_hour_shape.reason
