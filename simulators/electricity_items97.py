"""What stands under the two-byte identifiers of DL/T 645-1997 of a simulated meter.

It is the same meter: registers, tables and records are those of the edition of 2007 in other clothes.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from protocols import bcd
from protocols.dlt645 import items97
from protocols.dlt645.slave import OTHER_ERROR, Declined
from simulators import electricity_items, parameters, records
from simulators.physics import MAINS_V, MINUTE

if TYPE_CHECKING:
    from simulators.electricity import ElectricityMeter

SAME = {
    # Identifier of 1997: that of 2007 with the same data
    0xC030: 0x04000409,
    0xC031: 0x0400040A,
    0xC032: 0x04000402,
    0xC033: 0x0400040E,
    0xC034: 0x04000401,
    0xC022: 0x04000801,
    0xC111: 0x04000103,
    0xC112: 0x04000104,
    0xC113: 0x04000302,
    0xC115: 0x04000303,
    0xC116: 0x04000304,
    0xC117: 0x04000B01,
    0xC211: 0x04000105,
    0xC310: 0x04000201,
    0xC311: 0x04000202,
    0xC312: 0x04000203,
    0xC313: 0x04000204,
    0xC41E: 0x04000802,
    0xC510: 0x04000A01,
    0xC511: 0x04000A02,
}
CLOCK = {0xC010: 0x04000101, 0xC011: 0x04000102}
PASSWORD = 0xC212


def read(meter: ElectricityMeter, di: int) -> bytes | None:
    """The data under an identifier, a block or a set; None where the meter has nothing there."""
    match di >> 12:
        case 0x9 | 0xA | 0xB if di >> 8 & 0xF not in (0x2, 0x3, 0x6):
            return _set(meter, di) if items97.is_set(di) else _registers(meter, di)
        case 0xB:
            return _variable(meter, di)
        case 0xC:
            return _parameter(meter, di)
    return None


def _set(meter: ElectricityMeter, di: int) -> bytes | None:
    """A set over both directions of active or all of reactive energy; each block ends with AA."""
    if di >> 8 & 0xF == 0xF:
        return None
    blocks = [_registers(meter, di & 0xFF0F | direction << 4) for direction in range(1, 7)]
    return b"".join(block + b"\xaa" for block in blocks if block is not None) or None


def _registers(meter: ElectricityMeter, di: int) -> bytes | None:
    """Energy, largest demand or its time, in total, in a tariff, or (F) all of them."""
    if items97.find(di) is None:
        return None
    tariff = di & 0xF
    wanted = range(min(meter.make.tariffs, 14) + 1) if tariff == 0xF else (tariff,)
    is_forward = not di >> 8 & 3 and di >> 4 & 0xF == 1
    found = []
    for one in wanted:
        if one > meter.make.tariffs:
            return None
        month = di >> 10 & 3
        demand = electricity_items.demand_of(meter, one, month) if is_forward else None
        match di >> 12:
            case 0x9:
                total = electricity_items.energy_of(meter, one, month) if is_forward else 0
                found.append(electricity_items.hundredths(total or 0))
            case 0xA:
                found.append(electricity_items.kilowatts(demand.w if demand else 0))
            case _:
                at = demand.at[2:] if demand and demand.at else "0" * 8
                found.append(bcd.from_digits(at))
    return b"".join(found)


def _variable(meter: ElectricityMeter, di: int) -> bytes | None:
    if di in PROGRAMMED:
        return _programmed(meter, di)
    phase, phases = di & 0xF, meter.make.phases
    w = meter.power_w // (phases if phase else 1)
    if phase > phases or items97.find(di) is None:
        return None
    match di & 0xFFF0:
        case 0xB310 | 0xB640 | 0xB320 | 0xB330 | 0xB340:
            item = items97.find(di)
            assert item is not None
            return bytes(item.size)
        case 0xB610:
            return bcd.encode(MAINS_V, size=2)
        case 0xB620:
            return bcd.encode(Decimal(w * 100 // MAINS_V).scaleb(-2), size=2, decimals=2)
        case 0xB630:
            return electricity_items.kilowatts(w)
        case 0xB650:
            return bcd.encode(1, size=2, decimals=3)
    return None


PROGRAMMED = range(0xB210, 0xB215)


def _programmed(meter: ElectricityMeter, di: int) -> bytes:
    event = records.PROGRAMMED if di in (0xB210, 0xB212) else records.DEMAND_RESET
    match di:
        case 0xB210 | 0xB211:
            last = meter.events.last(event)
            return bytes(4) if last is None else last[1:5]
        case 0xB212 | 0xB213:
            return bcd.from_digits(f"{meter.events.counts.get(event, 0) % 10**4:04d}")
    return bcd.encode(meter.at // MINUTE % 10**6, size=3)


def _parameter(meter: ElectricityMeter, di: int) -> bytes | None:
    if di == 0xC020:
        return bytes([0x04 * meter.battery.is_low(meter.at)])
    if di == 0xC021:
        return bytes(1)
    if di == 0xC034:
        return bcd.from_digits(meter.address)
    if di in SAME:
        return meter.parameters.get(SAME[di])
    if di == 0xC314:
        return bytes(1)
    found = _entry(di)
    if found is None:
        return None
    table, at = found
    data = meter.parameters.get(table) or b""
    return data[at : at + 3] or None


def _entry(di: int) -> tuple[int, int] | None:
    """The table of 2007 that an entry of C32p to C3Ap is in, and where."""
    table, at = di >> 4 & 0xF, di & 0xF
    if di >> 8 != 0xC3 or not 0x2 <= table <= 0xA or not at:
        return None
    return parameters.FIRST_TABLES + table - 2, 3 * (at - 1)


def write(meter: ElectricityMeter, di: int, data: bytes) -> bool:
    """As `electricity_items.write`."""
    if di in CLOCK:
        electricity_items.set_clock(meter, CLOCK[di], data)
    elif di == PASSWORD:
        if len(data) != 4 or not parameters.is_bcd(data[1:]):
            raise Declined(OTHER_ERROR)
        meter.passwords[data[0]] = data[:0:-1].hex()
    elif di in SAME:
        return electricity_items.write(meter, SAME[di], data)
    elif (found := _entry(di)) is not None:
        table, at = found
        old = meter.parameters[table]
        if len(data) != 3 or at > len(old):
            raise Declined(OTHER_ERROR)
        return electricity_items.write(meter, table, old[:at] + data + old[at + 3 :])
    else:
        return False
    electricity_items.note_programming(meter, di.to_bytes(2, "little") + b"\xff\xff")
    return True
