"""The data of CJ/T 188: identifiers, units, the status word and the current data 901F."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum

from protocols import bcd
from protocols.exchange import Unexpected

CURRENT = 0x901F
ADDRESS = 0x810A
VALVE = 0xA017

UNITS: dict[int, str] = {
    0x01: "J",
    0x02: "Wh",
    0x05: "kWh",
    0x08: "MWh",
    0x0A: "MWh x 100",
    0x0B: "kJ",
    0x0E: "MJ",
    0x11: "GJ",
    0x13: "GJ x 100",
    0x14: "W",
    0x17: "kW",
    0x1A: "MW",
    0x29: "L",
    0x2C: "m3",
    0x32: "L/h",
    0x35: "m3/h",
    0x40: "J/h",
    0x43: "kJ/h",
    0x46: "MJ/h",
    0x49: "GJ/h",
}
CUBIC_METRES = {
    0x29: Decimal("0.001"),
    0x2A: Decimal("0.01"),
    0x2B: Decimal("0.1"),
    0x2C: Decimal(1),
    0x2D: Decimal(10),
    0x2E: Decimal(100),
}
"""One unit of volume in cubic metres; code n + 1 is ten times code n from 29 (L) and 2C (m3)."""


class BadValue(Unexpected):
    """A good frame with a value that cannot be read. Keep the frame, reject the value."""


class Valve(Enum):
    """Bits D1 and D0 of the status: where the valve 阀门 is."""

    OPEN = 0
    CLOSED = 1
    RESERVED = 2
    ABNORMAL = 3


@dataclass(frozen=True, slots=True)
class ValveStatus:
    """The status word 状态 ST: two bytes, `raw` in the order of the line.

    The first byte holds valve and battery, lowest bits first; the second is the vendor's. A heat
    meter uses them for its sensors, and `valve` means nothing there.
    """

    valve: Valve
    battery_low: bool
    raw: bytes

    @classmethod
    def from_bytes(cls, raw: bytes) -> "ValveStatus":
        """D1 D0 valve, D2 battery low."""
        return cls(Valve(raw[0] & 3), bool(raw[0] & 4), raw)


@dataclass(frozen=True, slots=True)
class Quantity:
    """Four bytes of BCD with two decimals, and a unit code. FF in all bytes is None."""

    value: Decimal | None
    unit_code: int

    @property
    def cubic_metres(self) -> Decimal | None:
        """The volume in m3, or None. Raises BadValue if the unit is not one of volume."""
        if self.value is None:
            return None
        if self.unit_code not in CUBIC_METRES:
            raise BadValue(f"unit {self.unit_code:02X} is not a volume")
        return self.value * CUBIC_METRES[self.unit_code]


@dataclass(frozen=True, slots=True)
class WaterReading:
    """Current data 901F of a water or gas meter. Volumes are in cubic metres, exact.

    `settlement` is the total at the settlement day 结算日累积流量, None where the meter has none.
    `clock` is the meter's local time without a zone, None where it is not a date (many meters
    send zeros); `clock_raw` its seven bytes as sent.
    """

    total: Decimal
    settlement: Decimal | None
    clock: datetime | None
    clock_raw: bytes
    status: ValveStatus


WATER_SIZE = 19


def decode_water(data: bytes) -> WaterReading:
    """The 19 bytes after DI and SER of a water or gas meter's 901F.

    Meters that send the unit before the value are understood too, where the last byte is no unit
    of volume and the first is. Raises BadValue if the length is another, the total is missing,
    a figure is not BCD or a unit not one of volume.
    """
    if len(data) != WATER_SIZE:
        raise BadValue(f"{len(data)} bytes of current data where there are {WATER_SIZE}")
    total = decode_quantity(data[0:5]).cubic_metres
    if total is None:
        raise BadValue("the meter gives no total")
    return WaterReading(
        total=total,
        settlement=decode_quantity(data[5:10]).cubic_metres,
        clock=decode_clock(data[10:17]),
        clock_raw=data[10:17],
        status=ValveStatus.from_bytes(data[17:19]),
    )


def encode_water(
    total: Decimal, settlement: Decimal, clock: datetime, status: ValveStatus
) -> bytes:
    """The 19 bytes of a meter that counts cubic metres with two decimals.

    Raises ValueError if a volume has more decimals or eight digits do not hold it.
    """
    return encode_volume(total) + encode_volume(settlement) + encode_clock(clock) + status.raw


def decode_quantity(data: bytes) -> Quantity:
    """Value and unit, in either order. Raises BadValue if the value is not BCD."""
    value, unit = data[:4], data[4]
    if unit not in KNOWN_UNITS and data[0] in KNOWN_UNITS:
        value, unit = data[1:], data[0]
    if value == b"\xff" * 4:
        return Quantity(None, unit)
    try:
        return Quantity(bcd.decode(value, decimals=2), unit)
    except ValueError as error:
        raise BadValue(str(error)) from error


KNOWN_UNITS = UNITS.keys() | CUBIC_METRES.keys()


def encode_volume(volume: Decimal) -> bytes:
    """Four bytes of BCD and the unit m3. Raises ValueError if they do not hold the volume."""
    return bcd.encode(volume, size=4, decimals=2) + bytes([0x2C])


def decode_clock(data: bytes) -> datetime | None:
    """ss mm hh DD MM YY CC, or None where that is no date."""
    try:
        return datetime.strptime(bcd.digits(data), "%Y%m%d%H%M%S")  # noqa: DTZ007
    except ValueError:
        return None


def encode_clock(clock: datetime) -> bytes:
    """ss mm hh DD MM YY CC of a naive local time."""
    return bcd.from_digits(f"{clock:%Y%m%d%H%M%S}")
