from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepaid.quantity import (
    exact,
    exact_or_none,
    in_units,
    not_negative,
    places_of,
    scaled,
    times,
    total,
)


@pytest.mark.parametrize("value", [1.0, 0.1, float("nan"), 1, True, "1", None])
def test_a_quantity_is_a_decimal_and_nothing_else(value: object):
    with pytest.raises(TypeError, match="area is an exact decimal"):
        exact(value, "area")


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+28", "1E-29"])
def test_a_decimal_that_nobody_could_write_down_is_refused(value: str):
    with pytest.raises(ValueError, match="area"):
        exact(Decimal(value), "area")


def test_the_longest_decimals_pass():
    for text in ("9" * 28, "-" + "9" * 28, "0." + "9" * 28, "0", "-0", "1E+27", "1E-28"):
        assert exact(Decimal(text), "area") == Decimal(text)


def test_what_may_be_missing_may_be_missing():
    assert exact_or_none(None, "area") is None
    with pytest.raises(TypeError):
        exact_or_none(0.5, "area")


def test_below_nothing_is_refused_where_it_makes_no_sense():
    assert not_negative(Decimal(0), "area") == 0
    with pytest.raises(ValueError, match="area is not negative: -0"):
        not_negative(Decimal("-0.01"), "area")


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=9), max_size=20))
def test_a_sum_loses_no_digit(values: list[Decimal]):
    assert Fraction(total(values)) == sum(map(Fraction, values))


def test_a_product_loses_no_digit():
    nines = int("9" * 28)
    product = times(Decimal("9" * 28), Decimal("0." + "9" * 28))
    assert Fraction(product) == Fraction(nines**2, 10**28)


@given(st.integers(), st.integers(0, 12))
def test_whole_units_and_their_decimal_are_the_same_number(units: int, places: int):
    assert Fraction(scaled(units, places)) == Fraction(units, 10**places)
    assert in_units(scaled(units, places), places) == units
    assert places_of(scaled(units, places)) == places


def test_units_too_coarse_for_a_number_are_an_error_not_a_rounding():
    assert in_units(Decimal("1.5E+3"), 0) == 1500
    with pytest.raises(ValueError, match=r"0\.125 has more than 2 decimals"):
        in_units(Decimal("0.125"), 2)
