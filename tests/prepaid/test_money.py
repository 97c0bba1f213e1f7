from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepaid.money import EXPONENTS, Money


def test_half_a_fen_is_rounded_up():
    assert Money.rounded(Decimal("0.125"), currency="CNY") == Money(13)
    assert Money.rounded(Decimal("0.124999"), currency="CNY") == Money(12)


def test_an_amount_is_written_with_two_decimals():
    assert str(Money.yuan("1449.37")) == "1449.37"
    assert str(Money(-5)) == "-0.05"


@pytest.mark.parametrize(
    "text", ["1.005", "abc", "", "NaN", "Infinity", "1e-3", "1e28", "-1e999999"]
)
def test_what_is_no_whole_number_of_fen_is_refused(text: str):
    with pytest.raises(ValueError):
        Money.yuan(text)


@pytest.mark.parametrize("fen", [1.0, True, "1", Decimal(1)])
def test_money_is_made_of_whole_fen_and_nothing_else(fen: object):
    with pytest.raises(TypeError):
        Money(fen)  # type: ignore[arg-type]


@given(st.integers(-(10**30) + 1, 10**30 - 1))
def test_an_amount_survives_being_written_and_read(fen: int):
    assert Money.yuan(str(Money(fen))) == Money(fen)


@given(st.fractions(), st.sampled_from(["CNY", "VND", "KWD"]))
def test_a_quotient_is_rounded_half_away_from_nothing(amount: Fraction, currency: str):
    minor = amount * 10 ** EXPONENTS[currency]
    rounded = Money.rounded_fraction(amount, currency=currency).fen
    assert abs(rounded) == floor(abs(minor) + Fraction(1, 2))
    assert rounded * minor >= 0


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4))
def test_a_quotient_is_rounded_as_a_decimal_is(amount: Decimal):
    assert Money.rounded_fraction(Fraction(amount), currency="CNY") == Money.rounded(
        amount, currency="CNY"
    )
