"""Reading process logs: XES and CSV, whole and broken."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from sim.demand.imports import EventLogImport, ImportFileError, import_event_log

XES = """<?xml version="1.0" encoding="{encoding}"?>
<log xes.version="1.0" xmlns="http://www.xes-standard.org/">
<extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>
<global scope="event"><string key="concept:name" value="never an event"/></global>
{traces}
</log>
"""


def an_event(activity: str, time: str, *, lifecycle: str = "complete", by: str = "An") -> str:
    return (
        f'<event><string key="concept:name" value="{activity}">'
        '<string key="concept:name" value="nested"/></string>'
        f'<string key="org:resource" value="{by}"/>'
        f'<string key="lifecycle:transition" value="{lifecycle}"/>'
        f'<date key="time:timestamp" value="{time}+07:00"/></event>'
    )


def a_trace(name: str, *events: str, start: str = "") -> str:
    begun = f'<date key="startdate" value="{start}+07:00"/>' if start else ""
    return f'<trace><string key="concept:name" value="{name}"/>{begun}{"".join(events)}</trace>'


TWO_CASES = (
    a_trace(
        "hồ sơ 1",
        an_event("Tiếp nhận", "2024-11-04T08:00:00"),
        an_event("Thẩm định", "2024-11-04T09:30:00", by="Bình"),
        start="2024-11-03T20:00:00",
    ),
    a_trace("hồ sơ 2", an_event("Tiếp nhận", "2024-11-05T10:00:00")),
)


def xes(*traces: str, encoding: str = "UTF-8") -> bytes:
    text = XES.format(encoding=encoding, traces="\n".join(traces))
    return text.encode(encoding)


def read(folder: Path, content: bytes, name: str = "log.xes") -> EventLogImport:
    path = folder / name
    path.write_bytes(content)
    return import_event_log(path)


def refused(result: EventLogImport) -> dict[str, int]:
    return {line.detail: line.count or 0 for line in result.report.refused}


def guessed(result: EventLogImport) -> str:
    return "; ".join(line.text() for line in result.report.guessed)


def csv(*rows: str, header: str = "case,activity,time,lifecycle,resource") -> bytes:
    return "\n".join((header, *rows, "")).encode()


def test_xes_gives_cases_activities_people_and_starts(tmp_path: Path) -> None:
    result = read(tmp_path, xes(*TWO_CASES))
    log = result.log
    assert log.cases == ("hồ sơ 1", "hồ sơ 2")
    assert [log.activities[i] for i in log.activity] == ["Tiếp nhận", "Thẩm định", "Tiếp nhận"]
    assert [log.resources[i] for i in log.resource] == ["An", "Bình", "An"]
    assert log.time_s.astype("datetime64[s]").astype(str).tolist() == [
        "2024-11-04T08:00:00",
        "2024-11-04T09:30:00",
        "2024-11-05T10:00:00",
    ]
    assert str(log.arrival_s()[0].astype("datetime64[s]")) == "2024-11-03T20:00:00"
    assert result.report.refused == ()


def test_gzip_and_csv_of_the_same_log_give_the_same_columns(tmp_path: Path) -> None:
    plain = read(tmp_path, xes(*TWO_CASES)).log
    packed = read(tmp_path, gzip.compress(xes(*TWO_CASES)), "log.xes.gz").log
    table = csv(
        "hồ sơ 1,Tiếp nhận,2024-11-04 08:00,complete,An,2024-11-03 20:00",
        "hồ sơ 1,Thẩm định,2024-11-04 09:30,complete,Bình,2024-11-03 20:00",
        "hồ sơ 2,Tiếp nhận,2024-11-05 10:00,complete,An,",
        header="case,activity,time,lifecycle,resource,case_start",
    )
    for other in (packed, read(tmp_path, table, "log.csv").log):
        for column in ("case", "activity", "resource", "time_s", "start_s"):
            np.testing.assert_array_equal(getattr(plain, column), getattr(other, column))


@pytest.mark.parametrize("encoding", ["UTF-16", "UTF-8"])
def test_encoding_an_xes_file_declares_is_used(tmp_path: Path, encoding: str) -> None:
    result = read(tmp_path, xes(*TWO_CASES, encoding=encoding))
    assert result.log.cases[0] == "hồ sơ 1"
    assert ("UTF-16" in guessed(result)) == (encoding == "UTF-16")


@pytest.mark.parametrize("encoding", ["klingon", "GB2312"])
def test_encodings_nobody_can_read_are_told(tmp_path: Path, encoding: str) -> None:
    content = xes(*TWO_CASES).replace(b"UTF-8", encoding.encode())
    with pytest.raises(ImportFileError, match=r"encoding that cannot be read .* save the file as"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("utf-8-sig", ""), ("utf-16", "UTF-16, by its byte order mark"), ("cp1258", "cp1258")],
)
def test_encoding_of_a_csv_file_is_found_and_said(tmp_path: Path, encoding: str, said: str) -> None:
    path = tmp_path / "log.csv"
    name = "Đơn đặc biệt" if encoding != "cp1258" else "Đơn đă\u0323c biê\u0323t"
    path.write_bytes(f"case,activity,time\n1,{name},2024-11-04 08:00\n".encode(encoding))
    result = import_event_log(path)
    assert result.log.activities == ("Đơn đặc biệt",)
    assert said in guessed(result)
    assert said or not guessed(result)


def test_start_and_complete_are_joined_first_begun_first_ended(tmp_path: Path) -> None:
    rows = (
        "a,x,2024-11-04 08:00,start,An",
        "a,x,2024-11-04 08:10,start,Bình",
        "a,x,2024-11-04 08:30,complete,An",
        "a,x,2024-11-04 09:30,complete,Bình",
        "a,y,2024-11-04 10:00,complete,An",
        "a,z,2024-11-04 10:00,start,An",
        "b,x,2024-11-04 10:00,schedule,An",
    )
    result = read(tmp_path, csv(*rows), "log.csv")
    spent = result.log.time_s - result.log.begun_s
    assert spent[:2].tolist() == [1800.0, 4800.0]
    assert np.isnan(spent[2])
    assert refused(result) == {
        "begun but never completed": 1,
        "lifecycle 'schedule': neither start nor complete": 1,
    }


def test_bad_events_are_counted_by_reason(tmp_path: Path) -> None:
    rows = (
        "a,x,2024-11-04 08:00,complete,An",
        "a,x,2024-11-04 08:00,complete,An",
        ",x,2024-11-04 08:00,complete,An",
        "a,x,,complete,An",
        "a,x,soon,complete,",
        "a,y,2024-11-04 09:00,complete,",
    )
    result = read(tmp_path, csv(*rows), "log.csv")
    assert refused(result) == {
        "the same event stands in the log before": 1,
        "no case": 1,
        "no time": 1,
        "the time is no time": 1,
    }
    assert result.n_events == 2
    assert "such events belong to nobody" in guessed(result)


def test_only_the_first_rows_of_many_refusals_are_kept(tmp_path: Path) -> None:
    rows = ["a,x,2024-11-04 08:00,complete,An", *["a,x,soon,complete,An"] * 1000]
    line = read(tmp_path, csv(*rows), "log.csv").report.refused[0]
    assert line.count == 1000
    assert line.text().endswith("rows 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 990 more)")


def test_unusual_times_ask_for_their_format(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(csv("a,x,04-Nov-2024 08.00,complete,An"))
    with pytest.raises(ImportFileError, match=r"'04-Nov-2024 08.00': give their format"):
        import_event_log(path)
    result = import_event_log(path, time_format="%d-%b-%Y %H.%M")
    assert str(result.log.time_s[0].astype("datetime64[s]")) == "2024-11-04T08:00:00"


def test_times_of_utc_are_said_to_be(tmp_path: Path) -> None:
    assert "UTC" in guessed(read(tmp_path, csv("a,x,2024-11-04T08:00:00Z,,An"), "log.csv"))
    assert "UTC" not in guessed(read(tmp_path, csv("a,x,2024-11-04T08:00:00+07:00,,A"), "l.csv"))


def test_xes_cut_in_the_middle_is_taken_up_to_there(tmp_path: Path) -> None:
    whole = xes(*TWO_CASES)
    cut = whole[: whole.index(b"08:00:00") + 120]
    result = read(tmp_path, cut)
    assert result.n_events == 1
    (reason,) = refused(result)
    assert "breaks off at line 5" in reason
    assert "case 'hồ sơ 1' may lack its last events" in reason


def test_gzip_cut_in_the_middle_is_taken_up_to_there(tmp_path: Path) -> None:
    traces = [
        a_trace(f"c{i}", an_event(f"x{i * 7919 % 1000}", f"2024-11-04T08:{i % 60:02d}:00"))
        for i in range(20_000)
    ]
    packed = gzip.compress(xes(*traces))
    result = read(tmp_path, packed[: len(packed) * 3 // 4], "log.xes.gz")
    assert 5_000 < result.n_events < 20_000
    assert any("breaks off" in reason for reason in refused(result))


def test_entities_are_refused_unexpanded(tmp_path: Path) -> None:
    bomb = b'<!DOCTYPE log [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>\n<log>&b;</log>'
    with pytest.raises(ImportFileError, match=r"line 1: .* the entity 'a'.*Remove the DOCTYPE"):
        read(tmp_path, bomb)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"<html><body/></html>", "not an XES file|no event could be taken"),
        (b"<log></log>", "no event could be taken: it holds none"),
        (b"<log><trace>", "not a readable XES file"),
        (gzip.compress(b"case,time\n1,2024-11-04\n", mtime=0), "not a readable XES file"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path: Path, content: bytes, text: str) -> None:
    with pytest.raises(ImportFileError, match=text):
        read(tmp_path, content)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="cannot be read: No such file"):
        import_event_log(tmp_path / "none.xes")


def test_traces_without_a_name_are_numbered(tmp_path: Path) -> None:
    trace = f"<trace>{an_event('x', '2024-11-04T08:00:00')}</trace>"
    result = read(tmp_path, xes(trace, trace))
    assert result.log.cases == ("trace 1", "trace 2")
    assert "2 traces without concept:name" in guessed(result)


def test_keys_of_an_xes_file_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "log.xes"
    path.write_bytes(xes(*TWO_CASES))
    result = import_event_log(path, columns={"activity": "org:resource"})
    assert result.log.activities == ("An", "Bình")
    with pytest.raises(ImportFileError, match="no field colour; allowed: case, activity"):
        import_event_log(path, columns={"colour": "org:resource"})


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log.xes"
    path.write_bytes(xes(*TWO_CASES))
    moves: list[tuple[int, int, str]] = []
    import_event_log(path, progress=lambda *move: moves.append(move))
    assert moves[-1] == (path.stat().st_size, path.stat().st_size, "3 events")
