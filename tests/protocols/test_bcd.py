from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import bcd


def test_digits_travel_low_byte_first():
    assert bcd.encode(Decimal("1234.56"), size=4, decimals=2) == bytes.fromhex("56341200")
    assert bcd.digits(bytes.fromhex("0189674523 01")) == "012345678901"


def test_the_top_bit_is_the_sign_of_a_plain_magnitude():
    assert bcd.encode(Decimal("-1.2345"), size=3, decimals=4, signed=True).hex() == "452381"
    assert bcd.decode(bytes.fromhex("452381"), decimals=4, signed=True) == Decimal("-1.2345")


@given(st.integers(-79_999_999, 79_999_999), st.integers(0, 4))
def test_a_number_comes_back_exactly(scaled, decimals):
    value = Decimal(scaled).scaleb(-decimals)
    data = bcd.encode(value, size=4, decimals=decimals, signed=True)
    assert bcd.decode(data, decimals=decimals, signed=True) == value


@pytest.mark.parametrize("value", [Decimal("0.001"), Decimal(1_000_000), Decimal(-1)])
def test_a_number_that_does_not_fit_is_not_rounded(value):
    with pytest.raises(ValueError):
        bcd.encode(value, size=4, decimals=2)


@pytest.mark.parametrize("data", ["0A", "A0", "FF", ""])
def test_what_is_not_bcd_is_no_number(data):
    with pytest.raises(ValueError):
        bcd.decode(bytes.fromhex(data))
