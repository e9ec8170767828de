"""The city's shared-data warehouse: data sets, fields, records about synthetic people and firms.

Everything is a function of its number, so two seedings give the same warehouse. Sets are of very
unequal size (the r-th largest holds 1/r of the largest); record i of a set is about subject i, so
whoever is in a small set is in every larger one of the kind.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from loadtests.portal.store.database import bulk_insert
from loadtests.portal.store.models import SharedDataSet, SharedField, SharedRecord
from sim.demand.procedures import largest_remainder
from sim.scenario.demand import SharedData
from sim.streams import mix_array

POPULATION = "DS001"
"""The largest set: people, by personal number."""
ENTERPRISES = "DS002"
"""The second largest: firms, by tax code."""

POPULATION_FIELDS = (
    ("hoVaTen", "Họ và tên", "name"),
    ("ngaySinh", "Ngày sinh", "date"),
    ("gioiTinh", "Giới tính", "gender"),
    ("diaChi", "Địa chỉ thường trú", "address"),
    ("maXa", "Mã đơn vị hành chính cấp xã", "code"),
    ("danToc", "Dân tộc", "people"),
)
ENTERPRISE_FIELDS = (
    ("tenDoanhNghiep", "Tên doanh nghiệp", "firm"),
    ("nguoiDaiDien", "Người đại diện", "name"),
    ("diaChi", "Địa chỉ trụ sở", "address"),
    ("ngayCap", "Ngày cấp", "date"),
    ("vonDieuLe", "Vốn điều lệ", "number"),
)

_FIRM_SETS_EVERY = 5  # assumption: every fifth set is about firms
_OWNERS = ("Công an thành phố", "Sở Tài chính", "Sở Tư pháp", "Sở Nông nghiệp và Môi trường",
           "Sở Xây dựng", "Sở Y tế", "Sở Giáo dục và Đào tạo", "Sở Nội vụ")  # fmt: skip
_PLAIN_KINDS = ("text", "number", "date", "code")

_FIRST_BIRTH_YEAR, _BIRTH_YEARS = 1950, 55
_FIRST_SERIAL, _SERIALS = 900_000, 100_000
"""Personal numbers that end in 9xxxxx within a birth year are reserved as synthetic."""

CHUNK_ROWS = 20_000
"""Records handed to the database at once."""

Progress = Callable[[int, int, str], None]
"""Called with rows done, rows in all, and what they are."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a set; ``kind`` decides its values."""

    code: str
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """One data set; ``number`` counts from 1, largest first."""

    number: int
    about_firms: bool
    fields: tuple[Field, ...]
    records: int

    @property
    def code(self) -> str:
        """Code, ``DS001`` onwards."""
        return f"DS{self.number:03d}"


def personal_number(index: int) -> str:
    """Return the personal number of one synthetic person; years and genders alternate.

    Parameters
    ----------
    index : int
        Which person, >= 0.
    """
    rest, year = divmod(index, _BIRTH_YEARS)
    serial, gender = divmod(rest, 2)
    born = _FIRST_BIRTH_YEAR + year
    century_digit = gender + 2 * (born // 100 - 19)
    return f"031{century_digit}{born % 100:02d}{_FIRST_SERIAL + serial % _SERIALS}"


def tax_code(index: int) -> str:
    """Return the tax code of one synthetic firm: of a branch number no authority issues."""
    return f"0299{index % 1_000_000:06d}"


def data_sets(spec: SharedData, records: int) -> list[DataSet]:
    """Return the warehouse's sets.

    Parameters
    ----------
    spec : SharedData
        How many sets and fields there are.
    records : int
        How many records, >= 0.
    """
    if spec.data_sets == 0:
        return []
    ranks = np.arange(1.0, spec.data_sets + 1)
    sizes = largest_remainder(records / ranks / (1 / ranks).sum(), records).tolist()
    per_set = largest_remainder(
        np.full(spec.data_sets, spec.fields / spec.data_sets), spec.fields
    ).tolist()
    sets = []
    for number, (size, n_fields) in enumerate(zip(sizes, per_set, strict=True), 1):
        about_firms = number % _FIRM_SETS_EVERY == 2  # the second is the register of firms
        sets.append(DataSet(number, about_firms, _fields(number, n_fields), size))
    return sets


def _fields(number: int, count: int) -> tuple[Field, ...]:
    known = {1: POPULATION_FIELDS, 2: ENTERPRISE_FIELDS}.get(number, ())
    named = [Field(*field) for field in known[:count]]
    plain = [
        Field(f"truong{n:02d}", f"Trường {n}", _PLAIN_KINDS[n % len(_PLAIN_KINDS)])
        for n in range(len(named) + 1, count + 1)
    ]
    return (*named, *plain)


def seed_warehouse(
    connection: Connection, spec: SharedData, records: int, progress: Progress
) -> None:
    """Insert the warehouse."""
    sets = data_sets(spec, records)
    bulk_insert(
        connection,
        SharedDataSet,
        ("data_set_id", "code", "name", "owner"),
        [(one.number, one.code, _title(one), _OWNERS[one.number % len(_OWNERS)]) for one in sets],
    )
    bulk_insert(
        connection,
        SharedField,
        ("data_set_id", "code", "title", "kind"),
        [(one.number, field.code, field.title, field.kind) for one in sets for field in one.fields],
    )
    done = 0
    for one in sets:
        for rows in _chunks(one):
            bulk_insert(connection, SharedRecord, ("data_set_id", "subject", "content"), rows)
            done += len(rows)
            progress(done, records, "shared records")


def _title(one: DataSet) -> str:
    if one.code == POPULATION:
        return "Dữ liệu dân cư"
    if one.code == ENTERPRISES:
        return "Dữ liệu đăng ký doanh nghiệp"
    subject = "doanh nghiệp" if one.about_firms else "công dân"
    return f"Dữ liệu về {subject}, bộ số {one.number}"


def _chunks(one: DataSet) -> Iterator[list[tuple[int, str, str]]]:
    """Give the records of one set, some at a time."""
    subject_of = tax_code if one.about_firms else personal_number
    for start in range(0, one.records, CHUNK_ROWS):
        subjects = [subject_of(i) for i in range(start, min(start + CHUNK_ROWS, one.records))]
        contents = _contents(one, start, subjects)
        yield [
            (one.number, subject, content)
            for subject, content in zip(subjects, contents, strict=True)
        ]


def _contents(one: DataSet, start: int, subjects: Sequence[str]) -> list[str]:
    """Return the values of consecutive records as JSON lists, in the order of the fields.

    Every value is drawn from a short vocabulary by a hash of record and field: column by column,
    so that a record costs one join.
    """
    count = len(subjects)
    records = np.arange(start, start + count, dtype=np.uint64)
    columns = []
    for number, field in enumerate(one.fields):
        vocabulary = _vocabulary(field.kind)
        salt = np.uint64((one.number << 40) + (number << 32))
        choice = mix_array(records + salt) % np.uint64(len(vocabulary))
        columns.append(vocabulary[choice])
    rows = np.stack(columns, axis=1).tolist() if columns else [[] for _ in range(count)]
    return [f"[{','.join(row)}]" for row in rows]


def _vocabulary(kind: str) -> NDArray[np.object_]:
    """Return the values that a kind of field can have, as JSON texts."""
    return _VOCABULARIES[kind]


def _json(values: Sequence[object]) -> NDArray[np.object_]:
    return np.array([json.dumps(value, ensure_ascii=False) for value in values], dtype=object)


_SURNAMES = ("Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Vũ", "Đặng", "Bùi")
_MIDDLES = ("Văn", "Thị", "Minh", "Thu")
_GIVENS = ("An", "Bình", "Chi", "Dũng", "Hải", "Lan", "Nam", "Oanh", "Sơn", "Trang")
_STREETS = ("Lạch Tray", "Cầu Đất", "Tô Hiệu", "Trần Phú", "Văn Cao", "Trường Chinh")

_VOCABULARIES = {
    "name": _json([f"{a} {b} {c}" for a in _SURNAMES for b in _MIDDLES for c in _GIVENS]),
    "firm": _json([f"Công ty TNHH {a} {n}" for a in _GIVENS for n in range(1, 60)]),
    "gender": _json(["Nam", "Nữ"]),
    "people": _json(["Kinh", "Tày", "Hoa", "Mường"]),
    "address": _json([f"Số {n} {street}, Hải Phòng" for street in _STREETS for n in range(1, 90)]),
    "date": _json(
        [
            f"{day:02d}/{month:02d}/{year}"
            for year in range(1950, 2025, 5)
            for month in range(1, 13)
            for day in range(1, 29, 9)
        ]
    ),
    "number": _json([250_000 * n for n in range(1, 400)]),
    "code": _json([f"{31001 + n}" for n in range(114)]),
    "text": _json([f"Nội dung {n}" for n in range(1, 500)]),
}
