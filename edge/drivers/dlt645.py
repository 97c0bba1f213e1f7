"""Electricity meters that speak DL/T 645-2007.

Meter.settings: "password" (6 digits), "level" (0 to 9), "operator" (8 digits), needed to switch. With
"deadline_min" and "utc_offset_min" a command carries a time after which the meter refuses it, in the
meter's local time; without them it has none, since a meter whose clock is wrong would refuse its customer
light. A late command does no harm: each visit decides anew and reads back. "utc_offset_min" says as well how
far the meter's clock is from UTC where it is read or set, "buzzer" "yes" that it has one for the last warning.

"bands" names the tariff's band of each rate number of the meter, "sharp,peak,flat,valley,deep" where not given; they
are read where they are asked for, and always where they are given.

"relay_command_bit" is "no" for a meter of the base standard alone, which leaves bit 6 of status word 3
(the last command) at 0; "yes" where not given.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from edge.drivers.blocks import read_block, read_energies, read_item
from edge.drivers.meter import (
    BANDS,
    STRANGER,
    BadMeter,
    Known,
    Measured,
    Seen,
    band_names,
    digits,
    number,
)
from prepaid.momentary import Measurand
from prepaid.point import Meter, Restore
from prepaid.reading import Supply
from protocols.dlt645 import items, master
from protocols.dlt645.fields import Value
from protocols.dlt645.frame import Decoder, Frame
from protocols.dlt645.master import RelayCommand
from protocols.exchange import Exchange, Refused, Unexpected

REPLY_S = 0.5  # Td, the response delay, of DL/T 645-2007
TRAVEL_S = 5.0
ENERGIES = 0x0001FF00  # forward active: the total and all rates
CURRENTS = 0x0202FF00
FREQUENCY = 0x02800002
BLOCKS = (
    (0x0201FF00, 1, (Measurand.VOLTAGE_A, Measurand.VOLTAGE_B, Measurand.VOLTAGE_C)),
    (CURRENTS, 1, (Measurand.CURRENT_A, Measurand.CURRENT_B, Measurand.CURRENT_C)),
    (0x0203FF00, 0, (Measurand.POWER, Measurand.POWER_A, Measurand.POWER_B, Measurand.POWER_C)),
    (0x0206FF00, 0, (Measurand.POWER_FACTOR,)),
)
"""Blocks, the DI1 of the first item of each (0 is a total of all phases), and what its items are."""


def decoder(request: bytes) -> Decoder:
    return Decoder(replies_only=True)


def read(
    meter: Meter, known: Known = STRANGER, *, with_bands: bool = False
) -> Exchange[Frame, Seen]:
    """Forward active energy 正向有功总电能 in kWh, and the relay where status word 3 is known.

    With the bands it is one block (0001FF00); of a meter that refuses that, total and rates one by one.
    """
    address, refused = _address(meter), set(known.refused)
    total: Decimal | None = None
    bands: dict[str, Decimal] = {}
    if with_bands:
        names = band_names(meter) or BANDS
        rates = [(name, 0x00010000 | rate << 8) for rate, name in enumerate(names, 1)]
        total, bands = yield from read_energies(_getter(address), ENERGIES, rates, refused)
    if total is None:
        total = yield from master.read_energy(address)
    supply = yield from state(meter)
    return Seen(total, supply, bands or None, frozenset(refused))


def measure(meter: Meter, known: Known = STRANGER) -> Exchange[Frame, Measured]:
    """Voltages, currents, active powers, the power factor and the frequency: by blocks, of a meter that refuses one
    item by item."""
    get, refused = _getter(_address(meter)), set(known.refused)
    values: dict[Measurand, Decimal] = {}
    for block, first, measurands in BLOCKS:
        numbers = yield from read_block(get, block, refused, least=1)
        for place, measurand in enumerate(measurands):
            if numbers is None:
                item = block & ~0xFF00 | first + place << 8
                value = yield from read_item(get, item, refused)
            else:
                value = numbers[place] if place < len(numbers) else None
            if value is not None:
                values[measurand] = value
    frequency = yield from read_item(get, FREQUENCY, refused)
    if frequency is not None:
        values[Measurand.FREQUENCY] = frequency
    return Measured(values, refused=frozenset(refused))


def _getter(address: str) -> Callable[[int], Exchange[Frame, list[Value]]]:
    def get(di: int) -> Exchange[Frame, list[Value]]:
        return items.decode_item(di, (yield from master.read(address, di)))

    return get


def state(meter: Meter) -> Exchange[Frame, Supply | None]:
    """ON with the contact closed; ARMED with it open and the last command close; else OFF.

    A meter that does not say its last command is OFF whenever the contact is open. None where the meter
    refuses the status word.
    """
    try:
        status = yield from master.read_status(_address(meter))
    except Refused:
        return None
    if not status.contact_open:
        return Supply.ON
    return Supply.OFF if status.command_open or hides_armed(meter) else Supply.ARMED


def current(meter: Meter) -> Exchange[Frame, Decimal | None]:
    """The largest of the phases' currents (0202FF00), whichever way it flows."""
    try:
        phases = yield from master.read_values(_address(meter), CURRENTS)
    except (Refused, Unexpected):
        return None
    return max((abs(a.value) for a in phases if isinstance(a.value, Decimal)), default=None)


def hides_armed(meter: Meter) -> bool:
    """Whether bit 6 of status word 3 says nothing. Raises BadMeter."""
    match meter.settings.get("relay_command_bit", "yes"):
        case "yes":
            return False
        case "no":
            return True
        case _:
            raise BadMeter(
                '%(setting)s of meter %(meter_no)s must be "%(one)s" or "%(other)s"',
                setting="relay_command_bit",
                meter_no=meter.meter_no,
                one="yes",
                other="no",
            )


def clock(meter: Meter) -> Exchange[Frame, datetime]:
    """Date 04000101 and time 04000102. Raises Unexpected where they are none."""
    return (yield from master.read_clock(_address(meter)))


def clock_broadcast(at: datetime) -> bytes:
    """Broadcast time 08H."""
    return master.broadcast_time(at)


def set_clock(meter: Meter, at: datetime) -> None:
    """These are set by broadcast."""
    return


def buzz(meter: Meter, now: datetime, *, is_on: bool) -> Exchange[Frame, None] | None:
    """Control 1CH: alarm 2AH, or alarm off 2BH."""
    match meter.settings.get("buzzer", "no"):
        case "no":
            return None
        case "yes":
            return _control(meter, RelayCommand.ALARM_ON if is_on else RelayCommand.ALARM_OFF, now)
        case _:
            raise BadMeter(
                '%(setting)s of meter %(meter_no)s must be "%(one)s" or "%(other)s"',
                setting="buzzer",
                meter_no=meter.meter_no,
                one="yes",
                other="no",
            )


def switch(meter: Meter, supply: Supply, restore: Restore, now: datetime) -> Exchange[Frame, None]:
    """Control 1CH: trip 1AH, allow-close 1BH or direct close 1CH."""
    match supply, restore:
        case Supply.OFF, _:
            command = RelayCommand.TRIP
        case Supply.ON, Restore.ALLOW_CLOSE:
            command = RelayCommand.ALLOW_CLOSE
        case Supply.ON, Restore.DIRECT:
            command = RelayCommand.CLOSE
        case _:
            raise ValueError(f"a relay is not told to be {supply}")
    yield from _control(meter, command, now)


def _control(meter: Meter, command: RelayCommand, now: datetime) -> Exchange[Frame, None]:
    settings = meter.settings
    yield from master.control(
        _address(meter),
        command,
        password=digits(meter, "password", settings.get("password"), 6),
        level=number(meter, "level", settings.get("level"), base=10, most=9),
        operator=digits(meter, "operator", settings.get("operator"), 8),
        deadline=_deadline(meter, now),
    )


def _address(meter: Meter) -> str:
    return digits(meter, "address", meter.address, 12)


def _deadline(meter: Meter, now: datetime) -> datetime | None:
    if "deadline_min" not in meter.settings:
        return None
    minutes = number(meter, "deadline_min", meter.settings["deadline_min"], base=10, most=24 * 60)
    try:
        offset = int(meter.settings["utc_offset_min"])
        if abs(offset) >= 24 * 60:
            raise ValueError
    except (KeyError, ValueError):
        raise BadMeter(
            "utc_offset_min of meter %(meter_no)s must say, in minutes, how far its clock is from UTC",
            meter_no=meter.meter_no,
        ) from None
    return now.astimezone(UTC).replace(tzinfo=None) + timedelta(minutes=minutes + offset)
