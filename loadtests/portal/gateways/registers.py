"""Synthetic persons and enterprises: pure functions of their numbers, no real ones among them."""

import hashlib
import re

from loadtests.portal.gateways.wire import Fields

PERSONAL_NUMBER = re.compile(r"\d{12}")
"""Number of a citizen: 3 digits province, 1 century and sex, 2 year of birth, 6 serial."""

TAX_CODE = re.compile(r"\d{10}(-\d{3})?")
"""Number of an enterprise, or of one of its branches."""

_FAMILY_NAMES = ("Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Vũ", "Đặng", "Bùi", "Đỗ", "Ngô")
_GIVEN_NAMES = ("An", "Bình", "Châu", "Dũng", "Hà", "Khánh", "Linh", "Minh", "Ngọc", "Tú")
_TRADES = ("Thương mại", "Vận tải", "Cơ khí", "Dịch vụ cảng", "Xây dựng", "Thủy sản")
_STREETS = ("Lạch Tray", "Cầu Đất", "Tô Hiệu", "Trần Phú", "Lê Lợi", "Điện Biên Phủ")

CITY_CODE = "31"  # source: address-tree code of Hải Phòng
_DAYS_PER_MONTH = 28  # assumption: every month has them
_WARDS = 114  # source: communes, wards and the special zone of the city after July 2025


def person(personal_number: str) -> Fields | None:
    """Return the citizen with this number in the population data base's words, or None.

    Sex, century and year of birth are read from the number, as everybody can.
    """
    if not PERSONAL_NUMBER.fullmatch(personal_number):
        return None
    pick = _picks(personal_number)
    century, is_female = divmod(int(personal_number[3]), 2)
    year = 1900 + 100 * century + int(personal_number[4:6])
    day, month = 1 + pick[0] % _DAYS_PER_MONTH, 1 + pick[1] % 12
    family = _FAMILY_NAMES[pick[2] % len(_FAMILY_NAMES)]
    middle = "Thị" if is_female else "Văn"
    given = _GIVEN_NAMES[pick[3] % len(_GIVEN_NAMES)]
    return {
        "SoDinhDanh": personal_number,
        "SoCMND": "",
        "HoVaTen": {"Ho": family, "ChuDem": middle, "Ten": given},
        "NgayThangNamSinh": f"{year:04d}{month:02d}{day:02d}",
        "GioiTinh": "2" if is_female else "1",
        "DanToc": "01",
        "TonGiao": "00",
        "QuocTich": "VN",
        "ThuongTru": _address(pick),
    }


def full_name(citizen: Fields) -> str:
    """Return a citizen's whole name."""
    name = citizen["HoVaTen"]
    assert isinstance(name, dict)
    return f"{name['Ho']} {name['ChuDem']} {name['Ten']}"


def enterprise(tax_code: str) -> Fields | None:
    """Return the enterprise with this tax code in the business register's words, or None."""
    if not TAX_CODE.fullmatch(tax_code):
        return None
    pick = _picks(tax_code)
    trade = _TRADES[pick[4] % len(_TRADES)]
    address = _address(pick)
    number = 1000 + (pick[5] << 8 | pick[6]) % 9000
    return {
        "MainInformation": {
            "ENTERPRISE_CODE": tax_code,
            "ENTERPRISE_GDT_CODE": tax_code,
            "NAME": f"Công ty TNHH {trade} Mẫu {number}",
            "ENTERPRISE_STATUS_NAME": "Đang hoạt động",
        },
        "HOAdress": {
            "CityID": CITY_CODE,
            "WardID": address["MaPhuongXa"],
            "AddressFullText": f"{address['ChiTiet']}, Hải Phòng",
        },
        "Representatives": [{"FULL_NAME": f"{_FAMILY_NAMES[pick[7] % 10]} Văn Mẫu"}],
    }


def _picks(number: str) -> bytes:
    """Return numbers of 0 to 255 that belong to a number."""
    return hashlib.blake2b(number.encode(), digest_size=16).digest()


def _address(pick: bytes) -> Fields:
    street = _STREETS[pick[8] % len(_STREETS)]
    return {
        "ChiTiet": f"Số {1 + pick[9]} {street}",
        "MaTinhThanh": CITY_CODE,
        "MaQuanHuyen": "",
        "MaPhuongXa": f"{11000 + pick[10] % _WARDS}",
    }
