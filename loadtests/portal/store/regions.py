"""Administrative regions and other dictionaries of the portal.

Two levels since July 2025: provinces, and the 114 wards, communes and special zones of Hải Phòng.
"""

from dataclasses import dataclass

REGIONS = "ADMINISTRATIVE_REGION"
CITY_CODE = "31"
TOP = "0"
"""Parent of the entries that have none."""

_PROVINCES = """
01 Thành phố Hà Nội;04 Cao Bằng;08 Tuyên Quang;11 Điện Biên;12 Lai Châu;14 Sơn La;15 Lào Cai
19 Thái Nguyên;20 Lạng Sơn;22 Quảng Ninh;24 Bắc Ninh;25 Phú Thọ;31 Thành phố Hải Phòng;33 Hưng Yên
37 Ninh Bình;38 Thanh Hóa;40 Nghệ An;42 Hà Tĩnh;44 Quảng Trị;46 Thành phố Huế;48 Thành phố Đà Nẵng
51 Quảng Ngãi;52 Gia Lai;56 Khánh Hòa;66 Đắk Lắk;68 Lâm Đồng;75 Đồng Nai
79 Thành phố Hồ Chí Minh;80 Tây Ninh;82 Đồng Tháp;86 Vĩnh Long;91 An Giang
92 Thành phố Cần Thơ;96 Cà Mau
"""  # source: the 34 provinces and centrally run cities of July 2025

_WARDS = """Thủy Nguyên, Thiên Hương, Hòa Bình, Nam Triệu, Bạch Đằng, Lưu Kiếm, Lê Ích Mộc,
Hồng Bàng, Hồng An, Ngô Quyền, Gia Viên, Lê Chân, An Biên, Hải An, Đông Hải, Kiến An, Phù Liễn,
Nam Đồ Sơn, Đồ Sơn, Hưng Đạo, Dương Kinh, An Dương, An Hải, An Phong, Hải Dương, Lê Thanh Nghị,
Việt Hòa, Thành Đông, Nam Đồng, Tân Hưng, Thạch Khôi, Tứ Minh, Ái Quốc, Chu Văn An, Chí Linh,
Trần Hưng Đạo, Nguyễn Trãi, Trần Nhân Tông, Lê Đại Hành, Kinh Môn, Nguyễn Đại Năng, Trần Liễu,
Bắc An Phụ, Phạm Sư Mạnh, Nhị Chiểu"""

_COMMUNES = """An Hưng, An Khánh, An Quang, An Trường, An Lão, Kiến Thụy, Kiến Minh, Kiến Hải,
Kiến Hưng, Nghi Dương, Quyết Thắng, Tiên Lãng, Tân Minh, Tiên Minh, Chấn Hưng, Hùng Thắng,
Vĩnh Bảo, Nguyễn Bỉnh Khiêm, Vĩnh Am, Vĩnh Hải, Vĩnh Hòa, Vĩnh Thịnh, Vĩnh Thuận, Việt Khê,
Nam An Phụ, Nam Sách, Thái Tân, Hợp Tiến, Trần Phú, An Phú, Thanh Hà, Hà Tây, Hà Bắc, Hà Nam,
Hà Đông, Cẩm Giang, Tuệ Tĩnh, Mao Điền, Cẩm Giàng, Kẻ Sặt, Bình Giang, Đường An, Thượng Hồng,
Gia Lộc, Yết Kiêu, Gia Phúc, Trường Tân, Tứ Kỳ, Tân Kỳ, Đại Sơn, Chí Minh, Lạc Phượng,
Nguyên Giáp, Ninh Giang, Vĩnh Lại, Khúc Thừa Dụ, Tân An, Hồng Châu, Thanh Miện, Bắc Thanh Miện,
Hải Hưng, Nguyễn Lương Bằng, Nam Thanh Miện, Phú Thái, Lai Khê, An Thành, Kim Thành"""

_ZONES = "Cát Hải, Bạch Long Vĩ"

_KNOWN_CODES = {"xã Vĩnh Bảo": "11824"}  # source: the commune's own links to the portal
_FIRST_CODE = 31001  # assumption: codes of the other units are running numbers

_DOCUMENT_TYPES = (
    ("CCCD", "Căn cước công dân"),
    ("GPKD", "Giấy chứng nhận đăng ký doanh nghiệp"),
    ("GKS", "Giấy khai sinh"),
    ("GCNQSDD", "Giấy chứng nhận quyền sử dụng đất"),
    ("HC", "Hộ chiếu"),
    ("GXN", "Giấy xác nhận"),
    ("KHAC", "Giấy tờ khác"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a dictionary; ``parent`` is ``TOP`` for those that have none."""

    collection: str
    code: str
    name: str
    parent: str = TOP
    level: int = 0


def provinces() -> list[Entry]:
    """Return the provinces by code."""
    rows = (row.partition(" ") for row in _PROVINCES.strip().replace("\n", ";").split(";"))
    return [Entry(REGIONS, code, name) for code, _, name in rows]


def communes() -> list[Entry]:
    """Return the 114 units of the city: wards, communes, special zones."""
    kinds = (("phường", _WARDS), ("xã", _COMMUNES), ("đặc khu", _ZONES))
    names = [f"{kind} {' '.join(name.split())}" for kind, text in kinds for name in text.split(",")]
    return [
        Entry(
            REGIONS,
            _KNOWN_CODES.get(name, str(number)),
            name[0].upper() + name[1:],
            CITY_CODE,
            level=1,
        )
        for number, name in enumerate(names, _FIRST_CODE)
    ]


def entries() -> list[Entry]:
    """Return every entry of the fixed dictionaries."""
    postal = [Entry("VNPOST_CITY_CODE", row.code, row.name) for row in provinces()]
    papers = [Entry("DOCUMENT_TYPE", code, name) for code, name in _DOCUMENT_TYPES]
    return [*provinces(), *communes(), *postal, *papers]
