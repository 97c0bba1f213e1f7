"""Electricity meters that speak DL/T 645-1997. They are read; they have no relay that could be told anything.

Meter.settings: "bands" as of DL/T 645-2007.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from edge.drivers.blocks import read_energies, read_item
from edge.drivers.meter import (
    BANDS,
    STRANGER,
    BadMeter,
    Known,
    Measured,
    Seen,
    band_names,
    digits,
)
from prepaid.momentary import Measurand
from prepaid.point import Meter, Restore
from prepaid.reading import Supply
from protocols.dlt645 import items97, master, master97
from protocols.dlt645.fields import Value
from protocols.dlt645.frame import Decoder, Frame
from protocols.exchange import Exchange

REPLY_S = 0.5
TRAVEL_S = 5.0
ENERGIES, FIRST_RATE = 0x901F, 0x9011
ITEMS = {
    0xB611: Measurand.VOLTAGE_A,
    0xB612: Measurand.VOLTAGE_B,
    0xB613: Measurand.VOLTAGE_C,
    0xB621: Measurand.CURRENT_A,
    0xB622: Measurand.CURRENT_B,
    0xB623: Measurand.CURRENT_C,
    0xB630: Measurand.POWER,
    0xB631: Measurand.POWER_A,
    0xB632: Measurand.POWER_B,
    0xB633: Measurand.POWER_C,
    0xB650: Measurand.POWER_FACTOR,
}
CURRENTS = tuple(di for di, what in ITEMS.items() if what.unit == "A")


def decoder(request: bytes) -> Decoder:
    return Decoder(replies_only=True)


def read(
    meter: Meter, known: Known = STRANGER, *, with_bands: bool = False
) -> Exchange[Frame, Seen]:
    """Forward active energy 正向有功总电能 in kWh (9010); with the bands one block (901F), or one by one where
    the meter refuses that. It cannot say its supply."""
    address, refused = _address(meter), set(known.refused)
    total: Decimal | None = None
    bands: dict[str, Decimal] = {}
    if with_bands:
        names = (band_names(meter) or BANDS)[: items97.TARIFFS]
        rates = [(name, FIRST_RATE + place) for place, name in enumerate(names)]
        total, bands = yield from read_energies(
            lambda di: _get(address, di), ENERGIES, rates, refused
        )
    if total is None:
        total = yield from master97.read_energy(address)
    return Seen(total, None, bands or None, frozenset(refused))


def measure(meter: Meter, known: Known = STRANGER) -> Exchange[Frame, Measured]:
    """Voltages, currents, active powers and the power factor, item by item: this edition has no blocks of them."""
    address, refused = _address(meter), set(known.refused)
    values: dict[Measurand, Decimal] = {}
    for di, measurand in ITEMS.items():
        value = yield from read_item(lambda di: _get(address, di), di, refused)
        if value is not None:
            values[measurand] = value
    return Measured(values, refused=frozenset(refused))


def state(meter: Meter) -> Exchange[Frame, Supply | None]:
    """This edition has no word for a relay."""
    yield from ()
    return None


def current(meter: Meter) -> Exchange[Frame, Decimal | None]:
    """The largest of the phases' currents, whichever way it flows."""
    address, refused = _address(meter), set[int]()
    phases: list[Decimal] = []
    for di in CURRENTS:
        value = yield from read_item(lambda di: _get(address, di), di, refused)
        if value is not None:
            phases.append(abs(value))
    return max(phases, default=None)


def hides_armed(meter: Meter) -> bool:
    """It says nothing of a relay."""
    return False


def clock(meter: Meter) -> Exchange[Frame, datetime]:
    """Date C010 and time C011. Raises Unexpected where they are none."""
    return (yield from master97.read_clock(_address(meter)))


def clock_broadcast(at: datetime) -> bytes:
    """Broadcast time 08H, the same as in the later edition."""
    return master.broadcast_time(at)


def set_clock(meter: Meter, at: datetime) -> None:
    """These are set by broadcast."""
    return


def buzz(meter: Meter, now: datetime, *, is_on: bool) -> None:
    """This edition has no command for it."""
    return


def switch(meter: Meter, supply: Supply, restore: Restore, now: datetime) -> Exchange[Frame, None]:
    """Raises BadMeter: this edition has no command for it."""
    yield from ()
    raise BadMeter(
        "meter %(meter_no)s speaks DL/T 645-1997, which has no command to switch: say that it has no switch, or "
        "switch its supply by another device",
        meter_no=meter.meter_no,
    )


def _get(address: str, di: int) -> Exchange[Frame, list[Value]]:
    return items97.decode_item(di, (yield from master97.read(address, di)))


def _address(meter: Meter) -> str:
    return digits(meter, "address", meter.address, 12)
