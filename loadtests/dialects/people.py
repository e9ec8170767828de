"""Synthetic people, officers and enterprises: each a pure function of its number.

Nobody real can be met here: a citizen's personal number ends in 9xxxxx within a birth year, a
block that tests reserve, and an enterprise's tax code has a wrong check digit.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from sim.streams import mix

PROVINCE = "031"
"""Hải Phòng in personal numbers. # source: Circular 59/2021/TT-BCA, its annex of codes."""

CITY_CODE = "31"
"""Hải Phòng in the dictionary of administrative regions. # source: its own links to the portal."""

_FIRST_BIRTH_YEAR, _BIRTH_YEARS = 1950, 55  # adults: born 1950 to 2004
_GENDERS = 2


class Block(NamedTuple):
    """A range of serials within each year of birth, for one kind of test citizen."""

    first_serial: int
    serials: int

    @property
    def citizens(self) -> int:
        """How many different citizens it has."""
        return self.serials * _BIRTH_YEARS * _GENDERS


PLAIN = Block(900_000, 70_000)
"""Citizens who file; those with the lowest numbers are the applicants of a portal's test data."""
PAYERS = Block(970_000, 10_000)
"""Citizens whose account finds a dossier that waits for payment."""
SUPPLEMENTERS = Block(980_000, 10_000)
"""Citizens whose account finds a dossier that waits for papers."""

OFFICERS = 10_000
"""How many officer accounts can be named: ``o0000`` to ``o9999``."""

_MOBILE_PREFIX = "0199"
"""Numbers beginning so have been out of use since 2018."""

_SURNAMES = (
    "Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Vũ", "Phan", "Đặng", "Bùi", "Đỗ", "Ngô", "Dương",
)  # fmt: skip
_MIDDLE_NAMES = (("Văn", "Đức", "Minh", "Quang"), ("Thị", "Thu", "Ngọc", "Thanh"))
_GIVEN_NAMES = (
    ("An", "Bình", "Cường", "Dũng", "Hải", "Hùng", "Long", "Nam", "Phúc", "Sơn", "Tuấn", "Việt"),
    ("Anh", "Bích", "Chi", "Dung", "Hà", "Hương", "Lan", "Mai", "Nga", "Oanh", "Trang", "Yến"),
)
_STREETS = (
    "Lạch Tray", "Cầu Đất", "Điện Biên Phủ", "Tô Hiệu", "Trần Phú", "Lê Hồng Phong",
    "Hai Bà Trưng", "Văn Cao", "Nguyễn Đức Cảnh", "Trường Chinh",
)  # fmt: skip

_TAX_WEIGHTS = (31, 29, 23, 19, 17, 13, 7, 5, 3)  # source: Circular 105/2020/TT-BTC, tax codes
_PROVINCE_TAX_PREFIX = "02"  # source: tax codes of Hải Phòng begin so


@dataclass(frozen=True, slots=True)
class Citizen:
    """A person who does not exist.

    Attributes
    ----------
    personal_number : str
        12 digits.
    user_name : str
        ``c`` and the personal number.
    name, birth_date, phone, email, address : str
        Birth date as dd/MM/yyyy.
    """

    personal_number: str
    user_name: str
    name: str
    birth_date: str
    phone: str
    email: str
    address: str


@dataclass(frozen=True, slots=True)
class Enterprise:
    """A company that does not exist: its tax code and name."""

    tax_code: str
    name: str


def citizen(number: int, block: Block = PLAIN) -> Citizen:
    """Return one citizen.

    Parameters
    ----------
    number : int
        Which one, 0 to ``block.citizens`` - 1, then from the start again; different numbers have
        different personal numbers.
    block : Block
        Of which kind.
    """
    number %= block.citizens
    rest, year_index = divmod(number, _BIRTH_YEARS)
    serial, gender = divmod(rest, _GENDERS)
    year = _FIRST_BIRTH_YEAR + year_index
    century_digit = gender + _GENDERS * (year // 100 - 19)
    tail = block.first_serial + serial
    personal_number = f"{PROVINCE}{century_digit}{year % 100:02d}{tail}"
    choice = mix(number)
    surname = _SURNAMES[choice % len(_SURNAMES)]
    middle = _MIDDLE_NAMES[gender][(choice >> 8) % len(_MIDDLE_NAMES[gender])]
    given = _GIVEN_NAMES[gender][(choice >> 16) % len(_GIVEN_NAMES[gender])]
    street = _STREETS[(choice >> 24) % len(_STREETS)]
    return Citizen(
        personal_number=personal_number,
        user_name=f"c{personal_number}",
        name=f"{surname} {middle} {given}",
        birth_date=f"{1 + (choice >> 32) % 28:02d}/{1 + (choice >> 40) % 12:02d}/{year}",
        phone=f"{_MOBILE_PREFIX}{(choice >> 32) % 10_000_000:07d}",
        email=f"c{personal_number}@example.test",
        address=f"Số {1 + (choice >> 48) % 300} {street}, Hải Phòng",
    )


def is_synthetic(personal_number: str) -> bool:
    """Return whether a personal number is one that :func:`citizen` can make."""
    return (
        len(personal_number) == 12
        and personal_number.isdigit()
        and personal_number.startswith(PROVINCE)
        and personal_number[6] == "9"
    )


def officer_user_name(number: int) -> str:
    """Return the user name of one officer, ``o`` and four digits."""
    return f"o{number % OFFICERS:04d}"


def enterprise(number: int) -> Enterprise:
    """Return one enterprise; its tax code fails the check, so it is nobody's."""
    base = f"{_PROVINCE_TAX_PREFIX}{mix(number) % 10_000_000:07d}"
    right = 10 - sum(w * int(d) for w, d in zip(_TAX_WEIGHTS, base, strict=True)) % 11
    wrong = (right + 1) % 10
    name = _GIVEN_NAMES[0][(mix(number) >> 32) % len(_GIVEN_NAMES[0])]
    return Enterprise(tax_code=f"{base}{wrong}", name=f"Công ty TNHH {name} {base[-4:]}")


@lru_cache(maxsize=65536)
def password(secret: str, user_name: str) -> str:
    """Return the password of a synthetic user: HMAC-SHA256 of the name, hex.

    Parameters
    ----------
    secret : str
        The shared key, from the environment.
    user_name : str
        Citizen or officer.
    """
    return hmac.new(secret.encode(), user_name.encode(), hashlib.sha256).hexdigest()


def basic(secret: str, user_name: str) -> str:
    """Return user name and password as an ``Authorization`` header carries them."""
    return base64.b64encode(f"{user_name}:{password(secret, user_name)}".encode()).decode()
