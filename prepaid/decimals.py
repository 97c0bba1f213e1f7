"""Exact decimals: what carries quantities, prices and costs. Nothing is rounded that is not asked to be."""

from __future__ import annotations

from decimal import (
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
)

_DIGITS = 100_000  # no sum of a meter's life comes near it

EXACT = Context(
    prec=_DIGITS, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow, FloatOperation]
)
"""Sums, differences and products come out whole, or decimal.Inexact is raised; a float is refused.

For `with localcontext(EXACT):`.
"""

_ROUNDING = Context(
    prec=_DIGITS,
    rounding=ROUND_HALF_UP,
    traps=[InvalidOperation, DivisionByZero, Overflow, FloatOperation],
)
_STEPS = tuple(Decimal(1).scaleb(-places) for places in range(13))

ONE = Decimal(1)
NOTHING = Decimal(0)


def half_up(value: Decimal, *, places: int) -> Decimal:
    """The value with places decimals (0 to 12), half a step rounded away from zero."""
    return value.quantize(_STEPS[places], context=_ROUNDING)


def scaled(value: Decimal, *, places: int) -> int:
    """The value in whole steps of places decimals, half a step rounded away from zero."""
    return int(value.scaleb(places, context=_ROUNDING).to_integral_value(context=_ROUNDING))


def millionths(numerator: int, denominator: int) -> int:
    """numerator / denominator (> 0) in whole millionths, half a millionth rounded up."""
    return (2_000_000 * numerator + denominator) // (2 * denominator)


def written(value: Decimal) -> str:
    """The value as plain digits, without an exponent or closing zeros: 7.7125, 240, 0."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
