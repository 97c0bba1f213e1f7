"""The meter's side of CJ/T 188: what a meter with some state answers to a frame. Pure.

A simulator owns a `MeterState` (or its own object of the same shape, `Meter`), keeps its total,
and calls `answer` for every frame it hears.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol, runtime_checkable

from protocols import bcd
from protocols.cj188 import items
from protocols.cj188.frame import ANY_TYPE, WILDCARD, Frame
from protocols.cj188.items import Valve, ValveStatus
from protocols.cj188.master import (
    READ,
    READ_ADDRESS,
    READ_KEY_VERSION,
    WRITE,
    WRITE_ADDRESS,
    WRITE_BASE,
    ValveCommand,
)

__all__ = ["Exercising", "Locking", "Meter", "MeterState", "ValveCommand", "answer"]


class Meter(Protocol):
    """What `answer` needs of a meter. `MeterState` is one; a simulator may bring its own.

    `type` is T, `address` 14 digits; `clock_error` is how far the meter's clock runs ahead.
    """

    type: int
    address: str
    clock_error: timedelta

    def status(self) -> ValveStatus:
        """The status word as it stands."""
        ...

    def read_item(self, di: int) -> bytes | None:
        """The data under an identifier as sent (after DI and SER), or None if there is none."""
        ...

    def write_item(self, di: int, data: bytes) -> bool:
        """Take the data under an identifier; False if it cannot be written."""
        ...

    def water(self) -> tuple[Decimal, Decimal]:
        """Total and settlement total in m3, to 0.01."""
        ...

    def move_valve(self, command: ValveCommand) -> None:
        """Obey a valve command. A real valve takes half a minute; `status` shows when."""
        ...


@runtime_checkable
class Locking(Meter, Protocol):
    """A meter that leaves its factory mode 出厂启用 with A019, and then keeps its base and address.

    A plain `Meter` refuses A019 and may always be given both.
    """

    is_locked: bool


@runtime_checkable
class Exercising(Meter, Protocol):
    """A meter that moves its valve to and fro 阀门维护 when told AA with A017, as some vendors' do."""

    def exercise_valve(self) -> None:
        """Close and open again, so that the valve does not stick."""
        ...


EXERCISE = b"\xaa"
CLOCK_SIZE = 7


@dataclass(slots=True)
class MeterState:
    """A meter as plain data. `registers` holds items by identifier, as sent, besides 901F."""

    address: str
    type: int = 0x10
    total: Decimal = Decimal(0)
    settlement: Decimal = Decimal(0)
    valve: Valve = Valve.OPEN
    battery_low: bool = False
    registers: dict[int, bytes] = field(default_factory=dict)
    clock_error: timedelta = timedelta(0)
    is_locked: bool = False

    def status(self) -> ValveStatus:
        """Valve and battery; the vendor's byte is 0."""
        raw = bytes([self.valve.value | 4 * self.battery_low, 0])
        return ValveStatus(self.valve, self.battery_low, raw)

    def read_item(self, di: int) -> bytes | None:
        """What stands in `registers`."""
        return self.registers.get(di)

    def write_item(self, di: int, data: bytes) -> bool:
        """Only items that are there can be written, and only with data as long as they are."""
        if len(self.registers.get(di, b"")) != len(data):
            return False
        self.registers[di] = data
        return True

    def water(self) -> tuple[Decimal, Decimal]:
        """The totals."""
        return self.total, self.settlement

    def move_valve(self, command: ValveCommand) -> None:
        """Move at once."""
        self.valve = Valve.OPEN if command is ValveCommand.OPEN else Valve.CLOSED


def answer(meter: Meter, frame: Frame, now: datetime) -> Frame | None:
    """What the meter sends back, or None for silence. `now` is naive local time.

    Silence meets foreign addresses and types, replies, and requests too short to have an
    identifier. After A019 a `Locking` meter refuses a new base and a new address (one source; some
    are silent instead). The reply repeats SER and the identifier in the order of the request; the address
    is the meter's own, also where AA was asked.
    """
    if frame.is_reply or frame.type not in (meter.type, ANY_TYPE):
        return None
    if frame.address not in (meter.address, WILDCARD) or len(frame.data) < 3:
        return None
    head, data = frame.data[:3], frame.data[3:]
    is_locked = isinstance(meter, Locking) and meter.is_locked
    if frame.control == WRITE_ADDRESS and len(data) == 7 and not is_locked:
        # The reply still comes from the address that the meter had.
        reply = Frame(meter.type, meter.address, frame.control | 0x80, head)
        meter.address = data[::-1].hex().upper()
        return reply
    payload = _serve(meter, frame.control, head[:2], data, now + meter.clock_error)
    if payload is None:
        refusal = head[2:] + meter.status().raw
        return Frame(meter.type, meter.address, frame.control | 0xC0, refusal)
    return Frame(meter.type, meter.address, frame.control | 0x80, head + payload)


def _serve(
    meter: Meter, function: int, identifier: bytes, data: bytes, clock: datetime
) -> bytes | None:
    """The payload of the normal reply, or None to refuse."""
    both = {int.from_bytes(identifier, "big"), int.from_bytes(identifier, "little")}
    if function == READ and not data:
        for di in both:
            if (found := meter.read_item(di)) is not None:
                return found
        if items.CURRENT in both:
            total, settlement = meter.water()
            return items.encode_water(total, settlement, clock, meter.status())
    elif function == READ_ADDRESS and items.ADDRESS in both and not data:
        return b""
    elif function == WRITE and items.VALVE in both:
        if data == EXERCISE and isinstance(meter, Exercising):
            meter.exercise_valve()
            return meter.status().raw
        try:
            meter.move_valve(ValveCommand(int.from_bytes(data, "big")))
        except ValueError:
            return None
        return meter.status().raw
    elif function == WRITE and items.STANDARD_TIME in both:
        if len(data) != CLOCK_SIZE or (at := items.decode_clock(data)) is None:
            return None
        meter.clock_error += at - clock
        return b""
    elif function == WRITE and items.FACTORY_ENABLE in both:
        if data or not isinstance(meter, Locking):
            return None
        meter.is_locked = True
        return b""
    elif function == WRITE_BASE and items.BASE in both:
        if isinstance(meter, Locking) and meter.is_locked:
            return None
        return meter.status().raw if meter.write_item(items.BASE, data) else None
    elif function == READ_KEY_VERSION and items.KEY_VERSION_DI in both and not data:
        return meter.read_item(items.KEY_VERSION_DI)
    elif function == WRITE and items.PURCHASE in both:
        return _purchase(meter, data)
    elif function == WRITE and items.ACCOUNT not in both:
        if not any(meter.write_item(di, data) for di in both):
            return None
        if PRICES in both:
            return meter.status().raw
        return data[:1] if KEY in both else b""
    return None


PRICES, KEY = 0xA010, 0xA014


def _purchase(meter: Meter, data: bytes) -> bytes | None:
    """A013 against 8105: the next number adds its amount, the last one is only repeated.

    What the meter refuses is our reading of what is safe: a number that is neither.
    """
    account = meter.read_item(items.ACCOUNT)
    if account is None or len(account) != 15 or len(data) != 5:
        return None
    if data[0] == account[0]:
        return data
    try:
        amount, bought, left = (
            bcd.decode(part, decimals=2) for part in (data[1:], account[5:9], account[9:13])
        )
        changed = (
            data
            + bcd.encode(bought + amount, size=4, decimals=2)
            + bcd.encode(left + amount, size=4, decimals=2)
            + meter.status().raw
        )
    except ValueError:
        return None
    if data[0] != (account[0] + 1) & 0xFF or not meter.write_item(items.ACCOUNT, changed):
        return None
    return data
