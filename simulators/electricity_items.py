"""What stands under the identifiers of a simulated DL/T 645-2007 meter, and what writing and clearing do.

Those of 1997 are in `simulators.electricity_items97`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from protocols import bcd
from protocols.dlt645 import freeze, items
from protocols.dlt645.slave import OTHER_ERROR, Declined
from simulators import electricity_items97, parameters, records
from simulators.physics import MAINS_V, MINUTE, shown
from simulators.records import stamp

if TYPE_CHECKING:
    from simulators.electricity import Demand, ElectricityMeter

EDITION_1997 = 0x10000
ENERGY, DEMAND, VARIABLE, EVENT, PARAMETER, FREEZE = range(6)
CLOCK_DATE, CLOCK_TIME, CLOCK_BOTH, ADDRESS = 0x04000101, 0x04000102, 0x0400010C, 0x04000401
STATUS_WORDS = range(0x04000501, 0x04000508)
ALL = 0xFF


def read(meter: ElectricityMeter, di: int) -> bytes | None:
    """The data under an identifier as sent, a block too; None where the meter has nothing there."""
    if di < EDITION_1997 and di >> 12:
        return electricity_items97.read(meter, di)
    data = _read_one(meter, di)
    if data is None and ALL in (di & 0xFF, di >> 8 & 0xFF, di >> 16 & 0xFF):
        return _read_block(meter, di)
    return data


def _read_block(meter: ElectricityMeter, di: int) -> bytes | None:
    """All of a block one after the other: as many tariffs and prices as there are, all phases or none."""
    members = items.members(di)
    found: list[bytes] = []
    for one in members:
        data = _read_one(meter, one)
        if data is None:
            break
        found.append(data)
    of_phases = di >> 24 == VARIABLE
    return b"".join(found) if found and (len(found) == len(members) or not of_phases) else None


def _read_one(meter: ElectricityMeter, di: int) -> bytes | None:
    di3, di2, di1, di0 = di.to_bytes(4, "big")
    match di3:
        case 0x00 if di2 in (0x0B, 0x90):
            return _prepaid(meter, di)
        case 0x00:
            return _energy(meter, di2, di1, di0)
        case 0x01:
            return _demand(meter, di2, di1, di0)
        case 0x02:
            return _variable(meter, di)
        case 0x03 | 0x1D | 0x1E:
            return meter.events.read(di)
        case 0x04:
            return _parameter(meter, di)
        case 0x05:
            return meter.freezes.read(di)
    return None


COMBINED, FORWARD = 0x00, 0x01
LAST_QUANTITY = 0x0A
PHASE_BLOCKS = {0x15: 0, 0x29: 1, 0x3D: 2}


def _energy(meter: ElectricityMeter, which: int, tariff: int, day: int) -> bytes | None:
    """Current flows forward alone, so the combined energy is the forward one, and all else is zero."""
    if day > items.SETTLEMENT_DAYS:
        return None
    total = energy_of(meter, tariff, day)
    for first, phase in PHASE_BLOCKS.items():
        if first <= which < first + LAST_QUANTITY and phase < meter.make.phases and tariff == 0:
            return hundredths(_share(total or 0, phase, meter.make.phases) if which == first else 0)
    if which > LAST_QUANTITY or total is None:
        return None
    return hundredths(total if which in (COMBINED, FORWARD) else 0)


def energy_of(meter: ElectricityMeter, tariff: int, day: int) -> int | None:
    """W·µs that went forward in total (0) or in a tariff, up to now (0) or a settlement day."""
    if tariff > meter.make.tariffs:
        return None
    if day == 0:
        return meter.by_tariff[tariff - 1] if tariff else meter.register.total
    return meter.settled[day - 1].energy[tariff] if day <= len(meter.settled) else 0


def hundredths(total: int) -> bytes:
    """An energy as four bytes of BCD."""
    return bcd.encode(shown(total), size=4, decimals=2)


def six_energies(meter: ElectricityMeter) -> bytes:
    """Forward, reverse and the four quadrants, as events keep them."""
    return hundredths(meter.register.total) + bytes(20)


def _share(whole: int, phase: int, phases: int) -> int:
    """A phase's part; what cannot be divided is in phase A."""
    part, rest = divmod(whole, phases)
    return part + rest * (phase == 0)


def _demand(meter: ElectricityMeter, which: int, tariff: int, day: int) -> bytes | None:
    if day > items.SETTLEMENT_DAYS or tariff > meter.make.tariffs:
        return None
    if not FORWARD <= which <= LAST_QUANTITY and not (
        tariff == 0 and any(f <= which < f + LAST_QUANTITY for f in PHASE_BLOCKS)
    ):
        return None
    largest = demand_of(meter, tariff, day) if which == FORWARD else None
    return bytes(8) if largest is None else kilowatts(largest.w) + _minute(largest.at)


def demand_of(meter: ElectricityMeter, tariff: int, day: int) -> Demand | None:
    """The largest forward demand, or None where there is none yet."""
    if day > len(meter.settled):
        return None
    return (meter.settled[day - 1].demand if day else meter.demand)[tariff]


def kilowatts(w: int) -> bytes:
    """Three bytes of BCD, to 0.0001 kW."""
    return bcd.encode(Decimal(w).scaleb(-3), size=3, decimals=4)


def _minute(at: str) -> bytes:
    return bcd.from_digits(at or "0" * 10)


def _variable(meter: ElectricityMeter, di: int) -> bytes | None:
    if di >> 16 == 0x0280:
        return _single(meter, di)
    which, phase, rest = di >> 16 & 0xFF, di >> 8 & 0xFF, di & 0xFF
    if phase > meter.make.phases or rest:
        return None
    w = meter.power_w
    if phase:
        w = _share(w, phase - 1, meter.make.phases)
    match which:
        case 0x01 if phase:
            return bcd.encode(0 if meter.is_dark else MAINS_V, size=2, decimals=1)
        case 0x02 if phase:
            return _amperes(w)
        case 0x03 | 0x05:
            return kilowatts(w)
        case 0x04:
            return bytes(3)
        case 0x06:
            return bcd.encode(1, size=2, decimals=3)
        case 0x07 if phase:
            return bytes(2)
        case 0x08 | 0x09 if phase:
            return bytes(2)
    return None


def _amperes(w: int) -> bytes:
    return bcd.encode(Decimal(w * 1000 // MAINS_V).scaleb(-3), size=3, decimals=3)


def _single(meter: ElectricityMeter, di: int) -> bytes | None:
    """Variables without a phase."""
    price = meter.purse.price(meter.tariff, meter.energy_of_period) if meter.purse else 0
    match di & 0xFFFF:
        case 0x0001:
            return _amperes(_share(meter.power_w, 0, 1))
        case 0x0002:
            return bcd.encode(50, size=2, decimals=2)
        case 0x0003:
            last = meter.minutes[0] // MINUTE if meter.minutes else meter.power_w
            return kilowatts(last)
        case 0x0004:
            return kilowatts(meter.present_demand_w)
        case 0x0005:
            return bytes(3)
        case 0x0006:
            return kilowatts(meter.present_demand_w)
        case 0x0007:
            return bcd.encode(25, size=2, decimals=1, signed=True)
        case 0x0008 | 0x0009:
            return bcd.encode(meter.battery.volts(meter.at), size=2, decimals=2)
        case 0x000A:
            return bcd.encode(meter.at // MINUTE, size=4)
        case 0x000B | 0x0020:
            return bcd.encode(Decimal(price).scaleb(-4), size=4, decimals=4)
        case 0x0021:
            return meter.parameters.get(parameters.PRICES + meter.tariff)
        case 0x0022:
            return bcd.encode(meter.module.minutes_left(meter.at), size=2)
        case 0x0023:
            return bytes(1)
    return None


def _prepaid(meter: ElectricityMeter, di: int) -> bytes | None:
    match di:
        case 0x000B0000:
            return hundredths(meter.energy_of_period)
        case 0x000B0001:
            ends = [settled.energy[0] for settled in meter.settled]
            return hundredths(ends[0] - (ends[1] if len(ends) > 1 else 0) if ends else 0)
    if meter.purse is None or di >> 8 != 0x9000 + meter.purse.kind.value:
        return None
    remaining, overdrawn = meter.purse.shown
    match di & 0xFF:
        case 0x00:
            return bcd.encode(remaining, size=4, decimals=2)
        case 0x01:
            return bcd.encode(overdrawn, size=4, decimals=2)
    return None


def _parameter(meter: ElectricityMeter, di: int) -> bytes | None:
    if di == 0x040005FF:
        return b"".join(_status(meter, n) for n in range(1, 8))
    if di in STATUS_WORDS:
        return _status(meter, di & 0xFF)
    if meter.baud_feature is not None and 0x04000703 <= di <= 0x04000705:
        return bytes([meter.baud_feature])
    return meter.parameters.get(di)


def _status(meter: ElectricityMeter, n: int) -> bytes:
    word = 0
    if n == 1:
        battery = meter.battery.is_low(meter.at)
        overdrawn = meter.purse is not None and meter.purse.left < 0
        word = 0x000C * battery | 0x4000 * overdrawn
    if n == 3:
        word = _status_3(meter)
    return word.to_bytes(2, "little")


def _status_3(meter: ElectricityMeter) -> int:
    """Bits: 0 period set, 3 programming allowed, 4 contact, 5 zone set, 6 command, 7 alarm, 8 and 9 kind,
    12 keep power, 13 authenticated, 15 no account."""
    purse = meter.purse
    warns = purse is not None and purse.level.value > 0
    return (
        0x0001 * meter.second_periods
        | 0x0008 * meter.programming_allowed
        | 0x0010 * meter.contact_open
        | 0x0020 * meter.second_zones
        | 0x0040 * meter.command_open
        | 0x0080 * (meter.alarm or warns)
        | 0x0100 * (purse.kind.value if purse is not None else 0)
        | 0x1000 * meter.keep_power
        | 0x2000 * (meter.module.minutes_left(meter.at) > 0)
        | 0x8000 * (purse is not None and not purse.is_open)
    )


def frozen(meter: ElectricityMeter, mode: int | None) -> dict[int, bytes]:
    """The groups of a freeze by their DI1; without a mode the two totals of an hourly one."""
    if mode is None:
        return {0x01: hundredths(meter.register.total), 0x02: bytes(4)}
    groups = {}
    for group in freeze.groups_of(mode):
        if group == freeze.VARIABLES:
            parts = [meter.power_w]
            parts += [_share(meter.power_w, p, meter.make.phases) for p in range(meter.make.phases)]
            groups[group] = b"".join(map(kilowatts, parts)).ljust(24, b"\0")
        elif group in (0x09, 0x0A):
            groups[group] = _read_block(meter, 0x0100FF00 | (group - 8) << 16) or b""
        else:
            groups[group] = _read_block(meter, 0x0000FF00 | group << 16) or b""
    return groups


def load_class(meter: ElectricityMeter, which: int) -> bytes:
    """One class of a load record, with zeros for the phases that there are not."""
    phases = range(1, meter.make.phases + 1)

    def each(di: int, size: int) -> bytes:
        found = [_read_one(meter, di | phase << 8) or bytes(size) for phase in phases]
        return b"".join(found).ljust(3 * size, b"\0")

    def total(di: int) -> bytes:
        return _read_one(meter, di) or b""

    match which:
        case 1:
            return each(0x02010000, 2) + each(0x02020000, 3) + total(0x02800002)
        case 2:
            return total(0x02030000) + each(0x02030000, 3) + bytes(12)
        case 3:
            return total(0x02060000) + each(0x02060000, 2)
        case 4:
            return hundredths(meter.register.total) + bytes(12)
        case 5:
            return bytes(16)
        case 6:
            return total(0x02800004) + bytes(3)
    raise ValueError(f"there is no class {which}")


def write(meter: ElectricityMeter, di: int, data: bytes) -> bool:
    """Take what is written under an identifier; False if there is nothing to write. Raises Declined."""
    if di < EDITION_1997 and di >> 12:
        return electricity_items97.write(meter, di, data)
    if di in (CLOCK_DATE, CLOCK_TIME, CLOCK_BOTH):
        set_clock(meter, di, data)
    elif di == ADDRESS:
        if len(data) != 6 or not parameters.is_bcd(data):
            raise Declined(OTHER_ERROR)
        meter.address = bcd.digits(data)
    elif 0x04000C01 <= di <= 0x04000C0A:
        if len(data) != 4 or not parameters.is_bcd(data[1:]):
            raise Declined(OTHER_ERROR)
        meter.passwords[(di & 0xFF) - 1] = data[:0:-1].hex()
    else:
        before = meter.parameters.get(di)
        if not meter.parameters.write(di, data):
            return False
        _note_tables(meter, di, before or b"")
    note_programming(meter, di.to_bytes(4, "little"))
    return True


def set_clock(meter: ElectricityMeter, di: int, data: bytes) -> None:
    """Date and weekday, time, or both. Raises Declined if they are none."""
    before = meter.now
    try:
        text = bcd.digits(data)
        match di, len(text):
            case (0x04000101, 8):
                new = f"{text[:6]}{before:%H%M%S}"
            case (0x04000102, 6):
                new = f"{before:%y%m%d}{text}"
            case (0x0400010C, 14):
                new = text[:6] + text[8:]
            case _:
                raise ValueError(f"{len(data)} bytes of clock")
        after = datetime.strptime(new, "%y%m%d%H%M%S")  # noqa: DTZ007
    except ValueError as error:
        raise Declined(OTHER_ERROR) from error
    meter.clock_error += after - before.replace(microsecond=0)
    meter.events.add(records.TIME_SET, _operator(meter) + stamp(before) + stamp(after))


def _operator(meter: ElectricityMeter) -> bytes:
    return bytes.fromhex(meter.operator)[::-1]


PROGRAMMING_SESSION = timedelta(minutes=5)
NO_IDENTIFIER = b"\xff" * 4


def note_programming(meter: ElectricityMeter, identifier: bytes) -> None:
    """One record for what an operator writes within five minutes: its first ten identifiers."""
    now, event = meter.now, records.PROGRAMMED
    last = meter.events.last(event)
    if last is not None and last[6:10] == _operator(meter):
        began = datetime.strptime(bcd.digits(last[:6]), "%y%m%d%H%M%S")  # noqa: DTZ007
        if timedelta(0) <= now - began < PROGRAMMING_SESSION:
            free = [at for at in range(10, 50, 4) if last[at : at + 4] == NO_IDENTIFIER]
            if free:
                record = last[: free[0]] + identifier + last[free[0] + 4 :]
                meter.events.amend(event, record)
            return
    meter.events.add(event, stamp(now) + _operator(meter) + identifier + NO_IDENTIFIER * 9)


TABLE_EVENTS = {
    0x04000801: records.REST_SET,
    0x04000601: 0x033009,
    0x04000602: 0x03300A,
    0x04000603: 0x03300B,
}


def _note_tables(meter: ElectricityMeter, di: int, before: bytes) -> None:
    """The records of programmed tables keep what stood there before."""
    head = stamp(meter.now) + _operator(meter)
    mine = meter.parameters
    if di in TABLE_EVENTS:
        meter.events.add(TABLE_EVENTS[di], head + before)
        return
    if di in parameters.SETTLEMENT_DAYS:
        days = [before if day == di else mine[day] for day in parameters.SETTLEMENT_DAYS]
        meter.events.add(records.SETTLEMENT_SET, head + b"".join(days))
        return

    def entries(table: int, count: int, size: int = 3) -> bytes:
        data = before if table == di else mine[table]
        last = data[-size:]
        return data[: count * size] + last * (count - len(data) // size)

    sets = (parameters.FIRST_TABLES, parameters.SECOND_TABLES)
    match di >> 16, di & 0xFF:
        case ((0x0401 | 0x0402), 0):
            zones = b"".join(entries(table, 14) for table in sets)
            meter.events.add(records.ZONES_SET, head + zones)
        case ((0x0401 | 0x0402), _):
            days = [entries(table + n, 14) for table in sets for n in range(1, 9)]
            meter.events.add(records.PERIODS_SET, head + b"".join(days))
        case 0x0403, _:
            holidays = [entries(parameters.HOLIDAYS + n, 1, 4) for n in range(1, 0xFF)]
            meter.events.add(records.HOLIDAYS_SET, head + b"".join(holidays))


RESET_DEMAND, CLEAR_METER, CLEAR_EVENTS = 0x19, 0x1A, 0x1B
EVERY_EVENT = 0xFFFFFFFF


def clear(meter: ElectricityMeter, what: int, di: int) -> None:
    """Demand (19H), everything but settings (1AH), or events (1BH); each leaves a record of itself."""
    head = stamp(meter.now) + _operator(meter)
    match what:
        case 0x19:
            largest = meter.demand[0]
            demands = kilowatts(largest.w) + _minute(largest.at)
            meter.events.add(records.DEMAND_RESET, head + demands.ljust(24 * 8, b"\0"))
            meter.demand = [type(largest)() for _ in meter.demand]
        case 0x1A:
            record = head + hundredths(meter.register.total).ljust(24 * 4, b"\0")
            meter.register.total = 0
            meter.by_tariff = [0] * len(meter.by_tariff)
            meter.demand = [type(one)() for one in meter.demand]
            meter.settled.clear()
            meter.events.clear(None)
            meter.freezes.clear()
            meter.load.clear()
            meter.events.add(records.CLEARED, record)
        case 0x1B:
            meter.events.clear(None if di == EVERY_EVENT else di)
            meter.events.add(records.EVENTS_CLEARED, head + di.to_bytes(4, "little"))
        case _:
            raise ValueError(f"{what:02X} clears nothing")
