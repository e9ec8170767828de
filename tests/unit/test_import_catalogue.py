import csv
import os
import re
from pathlib import Path

import numpy as np
import pytest

from sim.demand.catalogue import load_catalogue, save_catalogue
from sim.demand.imports import (
    ImportedCatalogue,
    ImportFileError,
    import_catalogue,
    render_import_report,
)

HEADER = (
    "code,name,level,domain,executing_body,ch_online,term_value,term_unit,same_day_text,"
    "fee_free,fee_max_vnd,n_documents"
)
ROW = "1.1,Cấp giấy phép,Cấp tỉnh,Đất đai,Sở,1,10,Ngày làm việc,0,0,150000,3"


def real_list() -> Path:
    root = Path(__file__).parents[2]
    data = Path(os.environ.get("HOSO_DATA", root.parent / "shared" / "data"))
    found = sorted((data / "vn_procedures").glob("*.csv"))
    if not found:
        pytest.skip(f"no real list of procedures in {data}; name its folder in HOSO_DATA")
    return found[0]


def a_list(folder: Path, *rows: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
    path = folder / "procedures.csv"
    path.write_bytes("\n".join([header, *rows, ""]).encode(encoding))
    return path


def imported(folder: Path, *rows: str) -> ImportedCatalogue:
    return import_catalogue(a_list(folder, ROW, *rows))


def guesses(result: ImportedCatalogue) -> dict[str, int | None]:
    return {f"{line.what}: {line.detail}": line.count for line in result.report.guessed}


def changed(**cells: str) -> str:
    values = dict(zip(HEADER.split(","), ROW.split(","), strict=True)) | {"code": "1.2"} | cells
    return ",".join(values.values())


def test_row_is_taken_as_it_says(tmp_path: Path) -> None:
    catalogue = imported(tmp_path).catalogue
    assert catalogue.code == ("1.1",)
    assert (catalogue.name, catalogue.domain, catalogue.agency) == (
        ("Cấp giấy phép",), ("Đất đai",), ("Sở",),
    )  # fmt: skip
    assert catalogue.level == ("province",)
    assert catalogue.limit_h.tolist() == [80.0]
    assert catalogue.fee_vnd.tolist() == [150_000]
    assert catalogue.upload_slots.tolist() == [3]
    assert catalogue.archetype == ("licence",)


@pytest.mark.parametrize(
    ("value", "unit", "hours"),
    [
        ("5", "Ngày làm việc", 40.0),
        ("0.5", "ngày làm việc", 4.0),
        ("7", "Ngày", 40.0),
        ("4", "Giờ", 4.0),
        ("1", "Tháng", 30 * 40 / 7),
    ],
)
def test_limit_is_turned_into_working_hours(
    tmp_path: Path, value: str, unit: str, hours: float
) -> None:
    catalogue = imported(tmp_path, changed(term_value=value, term_unit=unit)).catalogue
    assert catalogue.limit_h[1] == pytest.approx(hours)


@pytest.mark.parametrize(
    ("levels", "level", "is_integrated"),
    [
        ("Cấp bộ", "ministry", False),
        ("Cơ quan khác", "ministry", False),
        ("Cấp tỉnh", "province", True),
        ('"Cấp bộ, Cấp tỉnh"', "province", True),
        ('"Cấp bộ, Cấp tỉnh, Cấp xã"', "commune", True),
        ("Cấp huyện", "commune", True),
        ("", "province", True),
    ],
)
def test_lowest_level_counts_and_ministries_are_never_integrated(
    tmp_path: Path, levels: str, level: str, is_integrated: bool
) -> None:
    catalogue = imported(tmp_path, changed(level=levels)).catalogue
    assert catalogue.level[1] == level
    assert catalogue.integrated[1] == is_integrated
    assert (catalogue.online_level[1] != "none") == is_integrated


def test_same_day_in_words_is_one_working_day(tmp_path: Path) -> None:
    result = imported(tmp_path, changed(term_value="", same_day_text="1"))
    assert result.catalogue.limit_h[1] == 8.0
    assert guesses(result)["limit: 'the same day' in words: one working day, 8 h"] == 1


def test_missing_limit_takes_its_domains_median_else_the_lists(tmp_path: Path) -> None:
    days = (2, 4, 6, 8, 10)
    land = [changed(code=f"2.{d}", domain="Thú y", term_value=str(d)) for d in days]
    unstated = [
        changed(code="3.1", domain="Thú y", term_value=""),
        changed(code="3.2", domain="Thuế", term_value=""),
    ]
    result = imported(tmp_path, *land, *unstated)
    assert result.catalogue.limit_h[-2] == 6 * 8
    assert result.catalogue.limit_h[-1] == 7 * 8
    assert guesses(result)["limit: none stated: median of its domain"] == 1
    assert guesses(result)["limit: none stated: median of its list"] == 1


def test_list_without_any_limit_leaves_limits_unknown(tmp_path: Path) -> None:
    catalogue = import_catalogue(a_list(tmp_path, changed(term_value=""))).catalogue
    assert np.isnan(catalogue.limit_h).all()


@pytest.mark.parametrize(
    ("text", "fee_vnd"),
    [("135", 135_000), ("135.000", 135_000), ("1.350.000", 1_350_000), ("0", 0), ("", 0)],
)
def test_fees_below_1000_lack_their_thousands(tmp_path: Path, text: str, fee_vnd: int) -> None:
    assert imported(tmp_path, changed(fee_max_vnd=text)).catalogue.fee_vnd[1] == fee_vnd


def test_papers_are_cut_at_the_upper_quartile(tmp_path: Path) -> None:
    rows = [changed(code=f"2.{n}", n_documents=str(n)) for n in (1, 2, 4, 30)]
    result = imported(tmp_path, *rows)
    assert result.catalogue.upload_slots.tolist() == [3, 1, 2, 4, 4]
    assert (
        guesses(result)["papers: lists count all variants' papers: cut to the upper quartile, 4"]
        == 1
    )


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"code": ""}, "no code"),
        ({"name": " "}, "no name"),
        ({"code": "1.1"}, "code seen before"),
        ({"fee_max_vnd": "-5"}, "fee is negative"),
        ({"fee_max_vnd": "tùy"}, "fee is no number"),
        ({"n_documents": "-1"}, "number of papers is negative"),
        ({"term_value": "-3"}, "limit is negative"),
        ({"term_value": "nan"}, "limit is no number"),
        ({"ch_online": "maybe"}, "online channel is neither 0 nor 1"),
        ({"n_documents": "3,extra"}, "its number of values differs from the header's"),
    ],
)
def test_bad_row_is_refused_with_its_number_and_reason(
    tmp_path: Path, cells: dict[str, str], reason: str
) -> None:
    result = imported(tmp_path, changed(**cells), changed(code="1.9"))
    assert result.catalogue.code == ("1.1", "1.9")
    assert [(line.detail, line.rows) for line in result.report.refused] == [(reason, (3,))]


def test_refused_row_leaves_no_guess_behind(tmp_path: Path) -> None:
    result = imported(tmp_path, changed(executing_body="", n_documents="-1"))
    assert "agency: none stated: the level's general one" not in guesses(result)


def test_quoted_newlines_keep_the_row_numbers(tmp_path: Path) -> None:
    result = imported(tmp_path, changed(name='"Tên\ndài"'), changed(code="1.1"))
    assert result.catalogue.name[1] == "Tên dài"
    assert result.report.refused[0].rows == (4,)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_read(tmp_path: Path, encoding: str) -> None:
    catalogue = import_catalogue(a_list(tmp_path, ROW, encoding=encoding)).catalogue
    assert catalogue.domain == ("Đất đai",)


def test_vietnamese_code_page_is_found_and_reported(tmp_path: Path) -> None:
    row = ROW.replace("Cấp", "Câ\u0301p").replace("phép", "phe\u0301p").replace("ấ", "â\u0301")
    row = row.replace("ỉ", "i\u0309").replace("à", "a\u0300").replace("ệ", "ê\u0323")
    row = row.replace("ở", "ơ\u0309")
    result = import_catalogue(a_list(tmp_path, row, encoding="cp1258"))
    assert result.catalogue.name == ("Cấp giấy phép",)
    assert result.catalogue.limit_h.tolist() == [80.0]
    assert guesses(result)["encoding: not UTF-8: read as cp1258"] is None


def test_western_code_page_is_not_taken_for_vietnamese(tmp_path: Path) -> None:
    row = "1.1,Procédure à déclarer,province,État civil,Mairie,1,10,days,0,0,0,3"
    result = import_catalogue(a_list(tmp_path, row, encoding="cp1252"))
    assert result.catalogue.domain == ("État civil",)


def test_lost_letters_are_reported(tmp_path: Path) -> None:
    result = imported(tmp_path, changed(name="C\ufffdp phép"))
    assert guesses(result)["name: letters lost before this file was written: kept as they are"] == 1


def test_semicolons_separate_too(tmp_path: Path) -> None:
    path = a_list(tmp_path, ROW.replace(",", ";"), header=HEADER.replace(",", ";"))
    assert import_catalogue(path).catalogue.fee_vnd.tolist() == [150_000]


def test_missing_columns_are_named_with_what_the_file_has(tmp_path: Path) -> None:
    path = a_list(tmp_path, "1,2,3", header="id,title,x")
    with pytest.raises(ImportFileError, match=r"not found: code .*domain .*has: id, title, x"):
        import_catalogue(path)


def test_columns_of_other_names_can_be_chosen(tmp_path: Path) -> None:
    path = a_list(tmp_path, "1.1,A,Đất đai", header="id,title,mảng")
    catalogue = import_catalogue(path, columns={"code": "id", "domain": "mảng"}).catalogue
    assert catalogue.domain == ("Đất đai",)
    with pytest.raises(ImportFileError, match=r"no column nix; the file has: id, title"):
        import_catalogue(path, columns={"code": "nix"})
    with pytest.raises(ImportFileError, match=r"no field price; allowed: code, name"):
        import_catalogue(path, columns={"price": "id"})


def test_list_without_online_procedures_is_refused(tmp_path: Path) -> None:
    path = a_list(tmp_path, changed(ch_online="0"), changed(level="Cấp bộ", code="1.3"))
    with pytest.raises(ImportFileError, match="none of 2 procedures taken"):
        import_catalogue(path)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x00\x01\x02\n"])
def test_files_that_are_no_table_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "procedures.csv"
    path.write_bytes(content)
    with pytest.raises(ImportFileError, match=re.escape(str(path))):
        import_catalogue(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="cannot be read"):
        import_catalogue(tmp_path / "none.csv")


def test_unclosed_quote_is_refused_with_the_line(tmp_path: Path) -> None:
    path = a_list(tmp_path, '1.1,"' + "x" * 200_000)
    with pytest.raises(ImportFileError, match=r"line \d+: field larger"):
        import_catalogue(path)


def test_report_is_markdown_and_a_table(tmp_path: Path) -> None:
    report = imported(tmp_path, changed(code="1.1"), changed(code="1.1")).report
    assert "| refused | row | 2 | code seen before (rows 3, 4) |" in report.to_markdown()
    assert report.n_refused == 2
    assert render_import_report(report).row_count == len(report.lines())


def test_real_list_is_taken_whole(tmp_path: Path) -> None:
    result = import_catalogue(real_list())
    catalogue = result.catalogue
    assert len(catalogue) == 2642
    assert result.report.n_refused == 0
    assert len(set(catalogue.domain)) == 140
    assert catalogue.level.count("commune") == 588
    assert catalogue.level.count("ministry") == 2642 - 1601
    assert (catalogue.fee_vnd > 0).sum() == 496
    assert catalogue.fee_vnd[catalogue.fee_vnd > 0].min() >= 1000
    assert catalogue.weight.sum() == pytest.approx(1)
    path = tmp_path / "imported.csv"
    save_catalogue(catalogue, path)
    assert load_catalogue(path).name == catalogue.name


def test_real_limits_have_the_published_distribution() -> None:
    path = real_list()
    result = import_catalogue(path)
    same_day = guesses(result)["limit: 'the same day' in words: one working day, 8 h"]
    stated = next(line for line in result.report.taken if line.what == "limits stated")
    assert (stated.count, same_day) == (2642 - 483 + 17, 17)
    catalogue = result.catalogue
    with path.open(encoding="utf-8", newline="") as stream:
        has_number = np.array([bool(row["term_working_hours"]) for row in csv.DictReader(stream)])
    is_local = np.array([level != "ministry" for level in catalogue.level])
    days = catalogue.limit_h[has_number & is_local] / 8
    assert len(days) == 1261
    quantiles = np.quantile(days, [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])
    assert np.round(quantiles, 2).tolist() == [1, 2, 3, 7, 15, 25, 32.14]
