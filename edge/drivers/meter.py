"""What drivers share: what is known of a meter, what they see of it, and how they read its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from prepaid.momentary import Measurand
from prepaid.point import Meter
from prepaid.reading import Supply
from prepaid.record import record

BANDS = ("sharp", "peak", "flat", "valley", "deep")
"""尖 峰 平 谷 深谷: the bands of rate numbers 1 to 5 where the meter's settings do not say others."""


class BadMeter(Exception):
    """The meter's entry cannot be used: its address or a setting is wrong. The cloud must mend it.

    message is English with %(name)s for each of values, for whoever says it in another language.
    """

    def __init__(self, message: str, **values: object) -> None:
        super().__init__(message % values)
        self.message = message
        self.values = values


@record
@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a meter and its line by whoever asks, so that few requests do.

    refused is what the meter has refused, as its driver gave it the last time: the driver's own affair, to be kept
    for the meter and handed in again. byte_us is what a byte takes on the line, turn_us what each request costs
    beside its bytes: the meter's delay and the gap. is_bold is whether addresses that nobody has documented may be
    read along: where a meter that is silent at them does no harm, and is not asked so again.
    """

    refused: frozenset[Any] = frozenset()
    byte_us: int = 1146
    turn_us: int = 60_000
    is_bold: bool = False


STRANGER = Known()
"""A meter that has not been met before, on a line at 9600."""


@record
@dataclass(frozen=True, slots=True)
class Seen:
    """One look at a meter: total in kWh or m3; supply is None where the meter cannot say.

    bands are its own time-of-use registers 分时示数 by the tariff's names, in the total's unit, where they were
    asked for and it has them. refused is Known.refused with what it has refused now.
    """

    total: Decimal
    supply: Supply | None
    bands: Mapping[str, Decimal] | None = None
    refused: frozenset[Any] = frozenset()


@dataclass(frozen=True, slots=True)
class Measured:
    """What a meter measures now, as far as it gives it; refused as of Seen."""

    values: Mapping[Measurand, Decimal]
    is_battery_low: bool | None = None
    is_valve_abnormal: bool | None = None
    refused: frozenset[Any] = frozenset()


def band_names(meter: Meter) -> tuple[str, ...] | None:
    """What the settings say its bands are, by rate number from 1 on; None where they say nothing. Raises BadMeter."""
    said = meter.settings.get("bands")
    if said is None:
        return None
    names = tuple(name.strip() for name in said.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise BadMeter(
            "bands of meter %(meter_no)s must name the tariff's band of each rate number, from 1 on, each once, "
            'as "sharp,peak,flat,valley"; it says "%(said)s"',
            meter_no=meter.meter_no,
            said=said,
        )
    return names


def digits(meter: Meter, name: str, text: str | None, count: int) -> str:
    """The text, if it is count decimal digits. Raises BadMeter."""
    if text is None or len(text) != count or not (text.isascii() and text.isdecimal()):
        raise BadMeter(
            "%(setting)s of meter %(meter_no)s must be %(count)s digits",
            setting=name,
            meter_no=meter.meter_no,
            count=count,
        )
    return text


def number(meter: Meter, name: str, text: str | None, *, base: int, most: int) -> int:
    """The whole number in the text, 0 to most. Raises BadMeter."""
    try:
        value = int(text or "", base)
    except ValueError:
        value = -1
    if not 0 <= value <= most:
        raise BadMeter(
            "%(setting)s of meter %(meter_no)s must be a number from 0 to %(most)s",
            setting=name,
            meter_no=meter.meter_no,
            most=most,
        )
    return value
