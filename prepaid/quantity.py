"""Quantity 用量, weight and price: exact decimals. What is not exact is refused at the door."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal, Inexact, InvalidOperation
from fractions import Fraction

from prepaid.decimals import EXACT

DIGITS = 28  # whole digits at most, and as many decimals: no meter, price or area has more

_SMALLEST = Decimal(1).scaleb(-DIGITS)
_WRITABLE = Context(prec=2 * DIGITS, traps=[Inexact, InvalidOperation])


def typed(value: object, name: str) -> Decimal:
    """The value, if it is a Decimal at all. name is what it is called in the error.

    Raises TypeError for anything else: a float is a bug, also where it looks whole.
    """
    if type(value) is not Decimal:
        raise TypeError(f"{name} is an exact decimal, not the {type(value).__name__} {value!r}")
    return value


def exact(value: object, name: str) -> Decimal:
    """The value, if it is an exact decimal that a person could write down.

    For the constructors of values that carry a quantity, a weight or a price.

    Raises TypeError for anything but a Decimal, ValueError for NaN, infinity, and more than 28 digits before
    or after the point.
    """
    number = typed(value, name)
    if not number.is_finite():
        raise ValueError(f"{name} is a number, not {number}")
    try:
        number.quantize(_SMALLEST, context=_WRITABLE)
    except (Inexact, InvalidOperation):
        raise ValueError(
            f"{name} has more than {DIGITS} digits before or after the point: {number}"
        ) from None
    return number


def exact_or_none(value: object, name: str) -> Decimal | None:
    """As exact, for a value that may be missing."""
    return None if value is None else exact(value, name)


def not_negative(value: object, name: str) -> Decimal:
    """As exact. Raises ValueError also if the value is negative."""
    number = exact(value, name)
    if number < 0:
        raise ValueError(f"{name} is not negative: {value}")
    return number


def total(values: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    result = Decimal(0)
    for value in values:
        result = EXACT.add(result, value)
    return result


def times(a: Decimal, b: Decimal) -> Decimal:
    """The exact product."""
    return EXACT.multiply(a, b)


def scaled(units: int, places: int) -> Decimal:
    """units of ten to the power of -places, exactly: scaled(12345, 4) is 1.2345."""
    return Decimal(f"{units}E{-places}")


def in_units(value: Decimal, places: int) -> int:
    """The value in whole units of ten to the power of -places. Raises ValueError if it has more decimals."""
    units = Fraction(value) * 10**places
    if units.denominator != 1:
        raise ValueError(f"{value} has more than {places} decimals")
    return int(units)


def places_of(value: Decimal) -> int:
    """The decimals that the value is written with: 2 for 1.50, 0 for 15 and 1.5E+1."""
    return max(0, -int(value.as_tuple().exponent))
