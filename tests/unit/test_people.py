"""Synthetic people: pure functions of a number, and nobody real."""

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from loadtests.dialects.people import (
    PAYERS,
    PLAIN,
    SUPPLEMENTERS,
    Block,
    citizen,
    enterprise,
    is_synthetic,
    officer_user_name,
    password,
)

BLOCKS = st.sampled_from([PLAIN, PAYERS, SUPPLEMENTERS])


@given(st.integers(0, 2**64), BLOCKS)
def test_a_citizen_is_the_same_every_time(number: int, block: Block) -> None:
    assert citizen(number, block) == citizen(number, block)


@given(st.integers(0, 2**64), BLOCKS)
def test_a_personal_number_says_province_gender_and_year(number: int, block: Block) -> None:
    person = citizen(number, block)
    digits = person.personal_number
    assert len(digits) == 12
    assert digits.startswith("031")
    century = 19 + int(digits[3]) // 2
    assert person.birth_date.endswith(f"{century}{digits[4:6]}")


@given(st.integers(0, 2**64), BLOCKS)
def test_every_citizen_is_synthetic(number: int, block: Block) -> None:
    person = citizen(number, block)
    assert is_synthetic(person.personal_number)
    assert person.user_name == f"c{person.personal_number}"


def test_a_real_looking_number_is_not_synthetic() -> None:
    assert not is_synthetic("031085012345")
    assert not is_synthetic("001085912345")
    assert not is_synthetic("03108591234")


@given(st.lists(st.integers(0, PAYERS.citizens - 1), unique=True, max_size=50), BLOCKS)
def test_different_numbers_are_different_people(numbers: list[int], block: Block) -> None:
    people = {citizen(number, block).personal_number for number in numbers}
    assert len(people) == len(numbers)


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_the_kinds_of_citizens_do_not_meet(one: int, other: int) -> None:
    numbers = {citizen(one, block).personal_number for block in (PLAIN, PAYERS)}
    assert len(numbers) == 2
    assert citizen(other, SUPPLEMENTERS).personal_number not in numbers


def test_a_block_ends_where_its_numbers_repeat() -> None:
    assert citizen(PAYERS.citizens, PAYERS) == citizen(0, PAYERS)


@given(st.integers(0, 2**64))
def test_a_tax_code_fails_its_check(number: int) -> None:
    code = enterprise(number).tax_code
    weights = (31, 29, 23, 19, 17, 13, 7, 5, 3)
    total = sum(weight * int(digit) for weight, digit in zip(weights, code[:9], strict=True))
    assert len(code) == 10
    assert int(code[9]) != (10 - total % 11) % 10


@given(st.integers(0, 10**9))
def test_an_officer_has_four_digits(number: int) -> None:
    name = officer_user_name(number)
    assert name[0] == "o"
    assert len(name) == 5
    assert name[1:].isdigit()


@given(st.text(min_size=1), st.text(alphabet="co0123456789", min_size=1))
def test_a_password_is_the_keyed_hash_of_the_name(secret: str, name: str) -> None:
    expected = hmac.new(secret.encode(), name.encode(), hashlib.sha256)
    assert password(secret, name) == expected.hexdigest()
