"""What drivers share: what they see, and how they read a meter's settings."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from prepaid.point import Meter
from prepaid.reading import Supply


class BadMeter(Exception):
    """The meter's entry cannot be used: its address or a setting is wrong. The cloud must mend it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at a meter: total in kWh or m3; supply is None where the meter cannot say."""

    total: Decimal
    supply: Supply | None


def digits(meter: Meter, name: str, text: str | None, count: int) -> str:
    """The text, if it is count decimal digits. Raises BadMeter."""
    if text is None or len(text) != count or not (text.isascii() and text.isdecimal()):
        raise BadMeter(f"{name} of meter {meter.meter_no} must be {count} digits")
    return text


def number(meter: Meter, name: str, text: str | None, *, base: int, most: int) -> int:
    """The whole number in the text, 0 to most. Raises BadMeter."""
    try:
        value = int(text or "", base)
    except ValueError:
        value = -1
    if not 0 <= value <= most:
        raise BadMeter(f"{name} of meter {meter.meter_no} must be a number from 0 to {most}")
    return value
