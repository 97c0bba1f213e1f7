"""Water meters with a valve that speak CJ/T 188-2004.

Meter.settings: "meter_type" (T in hexadecimal, "10" cold water where not given) and "di_order"
("high-first", the default, or "low-first").
"""

from __future__ import annotations

from datetime import datetime

from edge.drivers.meter import STRANGER, BadMeter, Known, Measured, Seen, digits, number
from prepaid.point import Meter, Restore
from prepaid.reading import Supply
from protocols.cj188 import master
from protocols.cj188.frame import Decoder, Frame
from protocols.cj188.master import Valve, ValveCommand, WaterReading
from protocols.exchange import Exchange

REPLY_S = 1.0  # no limit of the standard is public; masters in the field wait 1 to 3 s
TRAVEL_S = 60.0
SERIAL = 0  # meters count for themselves or echo it; nothing is matched by it


def decoder(request: bytes) -> Decoder:
    return Decoder(replies_only=True)


def read(
    meter: Meter, known: Known = STRANGER, *, with_bands: bool = False
) -> Exchange[Frame, Seen]:
    """Total in m3 and the valve (901F). A valve that reports itself abnormal cannot say; there are no bands."""
    reading = yield from _read(meter)
    match reading.status.valve:
        case Valve.OPEN:
            return Seen(reading.total, Supply.ON)
        case Valve.CLOSED:
            return Seen(reading.total, Supply.OFF)
        case _:
            return Seen(reading.total, None)


def measure(meter: Meter, known: Known = STRANGER) -> Exchange[Frame, Measured]:
    """What the status says of battery and valve (901F); these meters measure nothing else."""
    status = (yield from _read(meter)).status
    return Measured(
        {}, is_battery_low=status.battery_low, is_valve_abnormal=status.valve is Valve.ABNORMAL
    )


def state(meter: Meter) -> Exchange[Frame, Supply | None]:
    return (yield from read(meter)).supply


def current(meter: Meter) -> Exchange[Frame, None]:
    """Nothing but water flows here."""
    yield from ()


def hides_armed(meter: Meter) -> bool:
    """A valve has no button: it is never armed."""
    return False


def clock(meter: Meter) -> Exchange[Frame, datetime | None]:
    """The clock in the answer 901F; many meters send none."""
    reading = yield from master.read_water(
        _address(meter), meter_type=_type(meter), high_first=_high_first(meter), serial=SERIAL
    )
    return reading.clock


def clock_broadcast(at: datetime) -> None:
    """There is none."""
    return


def set_clock(meter: Meter, at: datetime) -> Exchange[Frame, None]:
    """Standard time A015."""
    return master.write_clock(
        _address(meter),
        at,
        meter_type=_type(meter),
        high_first=_high_first(meter),
        serial=SERIAL,
    )


def buzz(meter: Meter, now: datetime, *, is_on: bool) -> None:
    """A water meter has none."""
    return


def switch(meter: Meter, supply: Supply, restore: Restore, now: datetime) -> Exchange[Frame, None]:
    """Valve write A017: 55H open, 99H close. A valve has no button, so both kinds of restore open it."""
    match supply:
        case Supply.ON:
            command = ValveCommand.OPEN
        case Supply.OFF:
            command = ValveCommand.CLOSE
        case _:
            raise ValueError(f"a valve is not told to be {supply}")
    yield from master.write_valve(
        _address(meter),
        command,
        meter_type=_type(meter),
        high_first=_high_first(meter),
        serial=SERIAL,
    )


def _read(meter: Meter) -> Exchange[Frame, WaterReading]:
    return (
        yield from master.read_water(
            _address(meter), meter_type=_type(meter), high_first=_high_first(meter), serial=SERIAL
        )
    )


def _address(meter: Meter) -> str:
    return digits(meter, "address", meter.address, 14)


def _type(meter: Meter) -> int:
    return number(meter, "meter_type", meter.settings.get("meter_type", "10"), base=16, most=0xFF)


def _high_first(meter: Meter) -> bool:
    match meter.settings.get("di_order", "high-first"):
        case "high-first":
            return True
        case "low-first":
            return False
        case _:
            raise BadMeter(
                '%(setting)s of meter %(meter_no)s must be "%(one)s" or "%(other)s"',
                setting="di_order",
                meter_no=meter.meter_no,
                one="high-first",
                other="low-first",
            )
