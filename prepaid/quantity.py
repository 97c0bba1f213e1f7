"""Quantity 用量, weight and price: exact decimals. What is not exact is refused at the door."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)

DIGITS = 28  # whole digits at most, and as many decimals: no meter, price or area has more

_EXACT = Context(
    prec=4 * DIGITS,
    Emin=MIN_EMIN,
    Emax=MAX_EMAX,
    traps=[Inexact, InvalidOperation, DivisionByZero, Overflow],
)


def exact(value: object, name: str) -> Decimal:
    """The value, if it is an exact decimal that a person could write down.

    name is what the value is called in the error. For the constructors of values that carry a quantity,
    a weight or a price.

    Raises TypeError for anything but a Decimal (a float is a bug, also where it looks whole), ValueError
    for NaN, infinity, and more than 28 digits before or after the point.
    """
    if type(value) is not Decimal:
        raise TypeError(f"{name} is an exact decimal, not the {type(value).__name__} {value!r}")
    if not value.is_finite():
        raise ValueError(f"{name} is a number, not {value}")
    _, _, exponent = value.as_tuple()
    if value.adjusted() >= DIGITS or int(exponent) < -DIGITS:
        raise ValueError(f"{name} has more than {DIGITS} digits before or after the point: {value}")
    return value


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
    """The exact sum. Raises decimal.Inexact rather than drop a digit."""
    result = Decimal(0)
    for value in values:
        result = _EXACT.add(result, value)
    return result


def times(a: Decimal, b: Decimal) -> Decimal:
    """The exact product. Raises decimal.Inexact rather than drop a digit."""
    return _EXACT.multiply(a, b)
