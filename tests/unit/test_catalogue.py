import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from sim.demand.catalogue import (
    Catalogue,
    CatalogueError,
    catalogue_of,
    flattest_law,
    generate_catalogue,
    load_catalogue,
    save_catalogue,
)
from sim.demand.procedures import COLUMNS, archetype_of, largest_remainder, popularity
from sim.scenario import load_scenario
from sim.scenario.demand import Catalogue as CatalogueSpec
from sim.scenario.scenario import Scenario


def a_spec(**changes: object) -> CatalogueSpec:
    values: dict[str, object] = {
        "procedures": 1938,
        "integrated": 1580,
        "full_process_share": 0.9,
        "active_share": 0.27,
        "limit_sigma": 0.8,
        "fee_share": 0.19,
        "fee_median_vnd": 150_000,
        "upload_slots_mean": 4.0,
        "upload_slots_max": 20,
        "e_form_share": 0.6,
        "domains": {
            "land": {"share": 0.31, "limit_median_days": 10.7, "commune_share": 0.2},
            "certification": {
                "share": 0.02, "limit_median_days": 1, "commune_share": 1, "weight": 20,
                "fee_share": 0.9,
            },
            "transport": {"share": 0.67, "limit_median_days": 3},
        },
    }  # fmt: skip
    return CatalogueSpec.model_validate(values | changes)


def a_catalogue(**changes: object) -> Catalogue:
    return generate_catalogue(a_spec(**changes), seed=7)


def is_same(one: Catalogue, other: Catalogue) -> bool:
    return all(is_same_column(one, other, name) for name in COLUMNS)


def is_same_column(one: Catalogue, other: Catalogue, name: str) -> bool:
    left, right = getattr(one, name), getattr(other, name)
    if isinstance(left, tuple):
        return bool(left == right)
    return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=name == "limit_h")


def test_counts_are_exact() -> None:
    catalogue = a_catalogue()
    assert len(catalogue) == 1938
    assert catalogue.integrated.sum() == len(catalogue.services) == 1580
    assert catalogue.online_level.count("full") == 1422
    assert catalogue.online_level.count("none") == 1938 - 1580
    assert catalogue.e_form.sum() == round(0.6 * 1938)
    assert [catalogue.domain.count(name) for name in ("land", "certification", "transport")] == [
        601, 39, 1298,
    ]  # fmt: skip


def test_domains_keep_their_own_commune_and_fee_shares() -> None:
    catalogue = a_catalogue()
    level = np.array(catalogue.level)
    of = {name: np.array(catalogue.domain) == name for name in ("land", "certification")}
    assert (level[of["certification"]] == "commune").all()
    assert (level[of["land"]] == "commune").sum() == 120
    assert (catalogue.fee_vnd[of["certification"]] > 0).sum() == 35
    assert (catalogue.fee_vnd[of["land"]] > 0).sum() == 114


def test_codes_are_unique_and_look_like_published_ones() -> None:
    code = a_catalogue().code
    assert len(set(code)) == len(code)
    assert all(re.fullmatch(r"1\.0\d{5}\.000\.00\.00\.H24", one) for one in code)


def test_names_say_domain_and_number() -> None:
    catalogue = a_catalogue()
    assert catalogue.name[catalogue.domain.index("land")] == "Thủ tục đất đai số 1"
    assert len(set(catalogue.name)) == len(catalogue)


def test_same_seed_gives_the_same_catalogue_and_another_seed_another() -> None:
    assert is_same(a_catalogue(), a_catalogue())
    assert not is_same(a_catalogue(), generate_catalogue(a_spec(), seed=8))


@pytest.mark.parametrize(
    ("change", "columns"),
    [
        ({"fee_sigma": 2.0}, {"fee_vnd"}),
        ({"limit_sigma": 0.1}, {"limit_h", "archetype"}),
        ({"upload_slots_mean": 2.0}, {"upload_slots"}),
        ({"zipf_exponent": 0.5}, {"weight"}),
        ({"e_form_share": 0.1}, {"e_form"}),
        ({"integrated": 1700}, {"integrated", "online_level", "weight"}),
    ],
)
def test_changing_one_statistic_leaves_the_other_columns(
    change: dict[str, object], columns: set[str]
) -> None:
    before, after = a_catalogue(), a_catalogue(**change)
    assert {name for name in COLUMNS if not is_same_column(before, after, name)} == columns


def test_integrating_more_services_keeps_those_integrated() -> None:
    before, after = a_catalogue(), a_catalogue(integrated=1700)
    assert (after.integrated >= before.integrated).all()


def test_limits_are_half_days_around_the_domains_median() -> None:
    catalogue = a_catalogue(procedures=20_000)
    limits = catalogue.limit_h[np.array(catalogue.domain) == "land"]
    assert (limits % 4 == 0).all()
    assert limits.min() >= 4
    median_error = 0.8 * np.sqrt(np.pi / 2 / len(limits))
    rounding = 2 / (10.7 * 8)
    assert abs(np.log(np.median(limits) / (10.7 * 8))) < 4 * median_error + rounding


def test_fees_are_whole_thousands_around_the_median() -> None:
    fees = a_catalogue(procedures=20_000).fee_vnd
    fees = fees[fees > 0]
    assert (fees % 1000 == 0).all()
    error = np.sqrt(np.pi / 2 / len(fees))
    assert abs(np.log(np.median(fees) / 150_000)) < 4 * error + 500 / 150_000


@pytest.mark.parametrize(("mean", "most"), [(4.0, 20), (0.5, 3), (0.0, 9), (3.0, 3), (1.0, 20)])
def test_upload_slots_keep_mean_and_maximum(mean: float, most: int) -> None:
    slots = a_catalogue(upload_slots_mean=mean, upload_slots_max=most).upload_slots
    assert slots.min() >= (1 if mean >= 1 else 0)
    assert slots.max() <= most
    assert abs(slots.mean() - mean) <= 4 * slots.std() / np.sqrt(len(slots))


def test_mean_papers_above_their_maximum_are_refused() -> None:
    with pytest.raises(CatalogueError, match="upload_slots_mean: 4 must be at most"):
        a_catalogue(upload_slots_max=3)


@pytest.mark.parametrize("mean", [0.0, 0.01, 3.0, 9.99, 10.0])
def test_flattest_law_has_the_mean_asked_for(mean: float) -> None:
    law = flattest_law(10, mean)
    assert law.sum() == pytest.approx(1)
    assert law @ np.arange(11) == pytest.approx(mean, abs=1e-9)


def test_only_the_active_share_carries_load() -> None:
    catalogue = a_catalogue()
    assert (catalogue.weight > 0).sum() == round(0.27 * 1580)
    assert catalogue.weight.sum() == pytest.approx(1)
    assert (catalogue.weight[~catalogue.integrated] == 0).all()
    assert catalogue.services.weight.sum() == pytest.approx(1)


def test_popularity_is_zipf_over_rank_times_attraction() -> None:
    keys = np.array([0.3, 0.1, 0.2, 0.0])
    eligible = np.array([True, True, True, False])
    weight = popularity(keys, eligible, np.array([1.0, 1.0, 3.0, 1.0]), 1.0, 1.0)
    assert weight == pytest.approx(np.array([1 / 3, 1, 3 / 2, 0]) / (1 / 3 + 1 + 3 / 2))


def test_domains_without_popularity_carry_nothing() -> None:
    with pytest.raises(CatalogueError, match="popularity above 0"):
        a_catalogue(domains={"land": {"share": 1, "limit_median_days": 5, "weight": 0}})


def test_smallest_catalogue_has_one_service_with_all_load() -> None:
    catalogue = a_catalogue(procedures=1, integrated=1, active_share=0)
    assert catalogue.weight.tolist() == [1.0]


def test_largest_remainder_keeps_the_total() -> None:
    assert largest_remainder(np.array([1.5, 1.4, 0.1]), 3).tolist() == [2, 1, 0]


def test_services_keep_the_catalogues_order() -> None:
    catalogue = a_catalogue()
    services = catalogue.services
    assert list(services.code) == sorted(services.code)
    row = catalogue.code.index(services.code[10])
    assert services.limit_h[10] == catalogue.limit_h[row]


@pytest.mark.parametrize(
    ("name", "domain", "limit_h", "archetype"),
    [
        ("Chứng thực bản sao từ bản chính", "Chứng thực", 8.0, "certificate"),
        ("Đăng ký khai sinh", "Hộ tịch", 8.0, "declaration"),
        ("Đăng ký kết hôn", "Hộ tịch", 8.0, "registration"),
        ("Cấp giấy phép xây dựng", "Xây dựng", 160.0, "licence"),
        ("", "land", 85.0, "licence"),
        ("", "land", 300.0, "approval"),
        ("", "land", float("nan"), "other"),
    ],
)
def test_archetype_is_told_by_words_then_by_limit(
    name: str, domain: str, limit_h: float, archetype: str
) -> None:
    assert archetype_of(name, domain, limit_h) == archetype


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_saved_catalogue_comes_back_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    catalogue = a_catalogue(procedures=300, integrated=200)
    limit_h = catalogue.limit_h.copy()
    limit_h[3] = np.nan
    names = ('Tên có "ngoặc", phẩy\nvà xuống dòng', *catalogue.name[1:])
    catalogue = dataclasses.replace(catalogue, limit_h=limit_h, name=names)
    path = tmp_path / f"catalogue{suffix}"
    save_catalogue(catalogue, path)
    assert is_same(load_catalogue(path), catalogue)
    assert list(tmp_path.iterdir()) == [path]


def test_scenario_names_a_file_relative_to_its_folder(tmp_path: Path) -> None:
    catalogue = a_catalogue(procedures=30, integrated=20)
    save_catalogue(catalogue, tmp_path / "list.csv")
    scenario = Scenario.model_construct(catalogue=a_spec(file="list.csv"), seed=7)
    assert is_same(catalogue_of(scenario, tmp_path), catalogue)
    absolute = Scenario.model_construct(catalogue=a_spec(file=str(tmp_path / "list.csv")), seed=7)
    assert is_same(catalogue_of(absolute), catalogue)


def test_scenario_without_a_file_generates_with_its_seed() -> None:
    scenario = Scenario.model_construct(catalogue=a_spec(), seed=7)
    assert is_same(catalogue_of(scenario), a_catalogue())


def a_file(folder: Path, *replacements: tuple[str, str]) -> Path:
    """Write a small catalogue file, then damage it."""
    rows = [
        "# hoso catalogue 1",
        ",".join(COLUMNS),
        "1.000001,Một,land,Sở,province,full,1,80,0,3,1,0.75,licence",
        "1.000002,Hai,land,Sở,commune,partial,1,,150000,2,0,0.25,licence",
        "1.000003,Ba,land,Sở,commune,none,0,8,0,1,0,0,licence",
    ]
    text = "\n".join(rows) + "\n"
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path = folder / "list.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_hand_written_weights_are_scaled_to_1(tmp_path: Path) -> None:
    catalogue = load_catalogue(a_file(tmp_path, ("0.75", "30"), ("0.25", "10")))
    assert catalogue.weight.tolist() == [0.75, 0.25, 0.0]


def test_file_with_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = a_file(tmp_path)
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert load_catalogue(path).name == ("Một", "Hai", "Ba")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1.000002", "1.000001", "row 4, code: '1.000001' must be unique; row 3 has it"),
        (",0,3,1", ",-5,3,1", "row 3, fee_vnd: '-5' must be a whole number of VND"),
        (",80,", ",chưa rõ,", "row 3, limit_h: 'chưa rõ' must be working hours above 0"),
        (",80,", ",0,", "row 3, limit_h: '0' must be working hours above 0"),
        (",80,", ",inf,", "row 3, limit_h: 'inf' must be"),
        (",3,1,0.75", ",51,1,0.75", "row 3, upload_slots: '51' must be a whole number, 0 to 50"),
        ("0.75", "-1", "row 3, weight: '-1' must be"),
        ("0.75", "nan", "row 3, weight: 'nan' must be"),
        ("province", "tỉnh", "row 3, level: 'tỉnh' must be one of province, commune, ministry"),
        ("province", "ministry", "row 3, level: 'ministry' is not offered by the city"),
        ("full", "none", "row 3, online_level: 'none' must be full or partial"),
        ("Hai", " ", "row 4, name: '' must not be empty"),
        ("1,0,0,licence", "1,0,0.5,licence", "row 5, weight: 0.5 must be 0: not online"),
        ("0.75,", "0.75,1,", "row 3: 14 values must be 13"),
        ("fee_vnd", "fee", "header, fee_vnd: column is missing"),
        ("fee_vnd", "fee", "header, fee: column is unknown"),
        ("catalogue 1", "catalogue 9", "not a catalogue of version 1"),
        ("# hoso catalogue 1\n", "", "hoso import catalogue"),
    ],
)
def test_fault_names_row_column_value_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(CatalogueError, match=re.escape(message)) as caught:
        load_catalogue(a_file(tmp_path, (old, new)))
    assert "list.csv" in str(caught.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    path = a_file(tmp_path, ("province", "tỉnh"), (",80,", ",x,"), ("150000", "-1"))
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(path)
    assert len(str(caught.value).splitlines()) == 3


def test_a_long_list_of_faults_is_cut_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    save_catalogue(a_catalogue(procedures=100, integrated=50), path)
    text = path.read_text(encoding="utf-8").replace("Thủ tục", "")
    path.write_text(text.replace(",province,", ",tỉnh,").replace(",commune,", ",xã,"))
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert "and 80 more faults" in lines[-1]


def test_catalogue_nothing_of_which_is_integrated_is_refused(tmp_path: Path) -> None:
    path = a_file(
        tmp_path,
        ("full,1", "none,0"), ("partial,1", "none,0"), ("0.75", "0"), ("0.25", "0"),
    )  # fmt: skip
    with pytest.raises(CatalogueError, match="no row is integrated"):
        load_catalogue(path)


def test_catalogue_without_any_weight_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="all weights are 0"):
        load_catalogue(a_file(tmp_path, ("0.75", "0"), ("0.25", "0")))


def test_other_encodings_are_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(a_file(tmp_path).read_bytes().replace(b"Hai", b"H\xe0i"))
    with pytest.raises(CatalogueError, match="line 4: byte 0xe0 is not UTF-8"):
        load_catalogue(path)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_empty_and_missing_files_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"list.{suffix}"
    with pytest.raises(CatalogueError, match="not found"):
        load_catalogue(path)
    path.write_bytes(b"")
    with pytest.raises(CatalogueError, match=f"list.{suffix}"):
        load_catalogue(path)


def test_other_file_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"ends in \.csv or \.parquet"):
        load_catalogue(tmp_path / "list.xlsx")


def test_shipped_city_has_its_1580_services() -> None:
    scenario = load_scenario("haiphong-2024")
    catalogue = catalogue_of(scenario)
    assert (len(catalogue), len(catalogue.services)) == (1938, 1580)
    assert set(catalogue.domain) == set(scenario.catalogue.domains)
