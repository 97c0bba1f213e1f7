"""Questions to a CJ/T 188 meter, as exchanges (`protocols.exchange.Exchange`).

Run them with a decoder that drops the line's echo: `frame.Decoder(replies_only=True)`.
`meter_type` is T, 10H for cold water. `high_first` says in which order this meter wants the
identifier, 90 1F or 1F 90: both are in use, and either is accepted in a reply. `serial` is SER,
0..255, to be counted up by the caller; a reply with another is accepted, since meters exist that
count for themselves. All can raise

- Unexpected: an answer from another meter, to another question, or of a wrong shape;
- Refused: the meter's abnormal reply; `code` is the first byte of its status word.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TypeVar

from protocols.cj188 import frame as frames
from protocols.cj188 import items
from protocols.cj188.frame import Frame
from protocols.cj188.items import Account, HeatReading, Valve, ValveStatus, WaterReading
from protocols.exchange import Exchange, Refused, Unexpected

__all__ = [
    "Account",
    "HeatReading",
    "Valve",
    "ValveCommand",
    "ValveStatus",
    "WaterReading",
    "buy",
    "default_high_first",
    "in_either_order",
    "read",
    "read_account",
    "read_address",
    "read_heat",
    "read_water",
    "write",
    "write_address",
    "write_clock",
    "write_valve",
]

T = TypeVar("T")

READ, READ_ADDRESS, WRITE, READ_KEY_VERSION = 0x01, 0x03, 0x04, 0x09
WRITE_ADDRESS, WRITE_BASE = 0x15, 0x16
COLD_WATER, HEAT = 0x10, 0x20
VENDOR_VALVE = 0x2A
"""The function with which some makers write A017; see `quirks`."""


class ValveCommand(Enum):
    """What A017 writes 阀门控制."""

    OPEN = 0x55
    CLOSE = 0x99


def read_water(
    address: str, *, meter_type: int = COLD_WATER, high_first: bool = True, serial: int
) -> Exchange[Frame, WaterReading]:
    """Total, settlement total, clock and status of a water or gas meter (901F).

    Raises BadValue (an Unexpected) if a figure is not BCD, or the unit not one of volume.
    """
    data = yield from read(
        address,
        items.CURRENT,
        meter_type=meter_type,
        high_first=high_first,
        serial=serial,
    )
    return items.decode_water(data)


def read_heat(
    address: str, *, meter_type: int = HEAT, high_first: bool = False, serial: int
) -> Exchange[Frame, HeatReading]:
    """Energies, power, flow, temperatures, hours and clock of a heat meter (901F).

    Raises BadValue (an Unexpected) if a figure is not BCD.
    """
    data = yield from read(
        address, items.CURRENT, meter_type=meter_type, high_first=high_first, serial=serial
    )
    return items.decode_heat(data)


def read_account(
    address: str, *, meter_type: int = COLD_WATER, high_first: bool = True, serial: int
) -> Exchange[Frame, Account]:
    """What was bought and what is left (8105), in yuan.

    Raises BadValue (an Unexpected) if an amount is missing or not BCD.
    """
    data = yield from read(
        address, items.ACCOUNT, meter_type=meter_type, high_first=high_first, serial=serial
    )
    return items.decode_account(data)


def buy(
    address: str,
    amount: Decimal,
    *,
    meter_type: int = COLD_WATER,
    high_first: bool = True,
    serial: int,
) -> Exchange[Frame, Account]:
    """Add yuan to the meter's own account (A013): the account after it.

    The account is read first, and the purchase carries the next number, so that the meter adds it
    once. Where this ends without an answer, the amount may have arrived: read the account and
    compare its number before buying again. Never repeat this blindly. That the number has to be
    the next one is inferred.

    Raises ValueError if the amount has more than two decimals or does not fit, and Unexpected if
    the meter repeats something else, or its account has not grown by the amount.
    """
    before = yield from read_account(
        address, meter_type=meter_type, high_first=high_first, serial=serial
    )
    purchase = items.encode_purchase((before.purchase_no + 1) & 0xFF, amount)
    echoed = yield from write(
        address,
        items.PURCHASE,
        purchase,
        meter_type=meter_type,
        high_first=high_first,
        serial=serial + 1 & 0xFF,
    )
    if echoed != purchase:
        raise Unexpected(f"purchase {echoed.hex()} confirmed, {purchase.hex()} was sent")
    after = yield from read_account(
        address, meter_type=meter_type, high_first=high_first, serial=serial + 2 & 0xFF
    )
    if after.purchase_no != purchase[0] or after.total_purchased - before.total_purchased != amount:
        raise Unexpected(f"the account after buying {amount} is {after}")
    return after


def default_high_first(meter_type: int) -> bool:
    """The order to try first: low byte first for heat and cold meters (20H to 29H), else high."""
    return not 0x20 <= meter_type <= 0x29


def in_either_order(
    start: Callable[[bool], Exchange[Frame, T]], *, high_first: bool
) -> Exchange[Frame, tuple[T, bool]]:
    """The result, and the order of the identifier that this meter understands: remember it.

    `start` makes the exchange for an order, `high_first` or not. Where the meter refuses the
    first, the other is tried once; its refusal counts. A meter that does not know the order may
    also be silent, and silence ends an exchange from outside: start this one again then with
    the other order. Only for reads: what writes must not be sent twice.
    """
    try:
        return (yield from start(high_first)), high_first
    except Refused:
        return (yield from start(not high_first)), not high_first


def write_valve(
    address: str,
    command: ValveCommand,
    *,
    meter_type: int = COLD_WATER,
    high_first: bool = True,
    serial: int,
    function: int = WRITE,
) -> Exchange[Frame, ValveStatus | None]:
    """Tell the valve to open or close (A017): the status word of the reply, or None without one.

    `function` is VENDOR_VALVE for the makers that have their own. The reply comes before the valve
    has moved, which takes half a minute: read 901F until its status says so.
    """
    request = Frame(meter_type, address, function, bytes([command.value]))
    data = yield from ask(request, items.VALVE, high_first=high_first, serial=serial)
    return ValveStatus.from_bytes(data) if len(data) == 2 else None


def read_address(
    *, meter_type: int = frames.ANY_TYPE, high_first: bool = True, serial: int = 0
) -> Exchange[Frame, str]:
    """The address of the one meter on the line (810A). With two meters both answer at once."""
    request = Frame(meter_type, frames.WILDCARD, READ_ADDRESS)
    reply = yield from exchange(request, items.ADDRESS, high_first=high_first, serial=serial)
    return reply.address


def read(
    address: str,
    di: int,
    *,
    meter_type: int = COLD_WATER,
    high_first: bool = True,
    serial: int,
) -> Exchange[Frame, bytes]:
    """What stands under an identifier, as sent after DI and SER (01H; 09H for the key version)."""
    function = READ_KEY_VERSION if di == items.KEY_VERSION_DI else READ
    request = Frame(meter_type, address, function)
    return (yield from ask(request, di, high_first=high_first, serial=serial))


def write(
    address: str,
    di: int,
    data: bytes,
    *,
    meter_type: int = COLD_WATER,
    high_first: bool = True,
    serial: int,
) -> Exchange[Frame, bytes]:
    """Set what stands under an identifier: the reply's data after DI and SER.

    04H; 16H for the meter base (A016). A purchase (A013) carries its own number: after a
    timeout read 8105 before sending it again.
    """
    function = WRITE_BASE if di == items.BASE else WRITE
    request = Frame(meter_type, address, function, data)
    return (yield from ask(request, di, high_first=high_first, serial=serial))


def write_clock(
    address: str,
    at: datetime,
    *,
    meter_type: int = COLD_WATER,
    high_first: bool = True,
    serial: int,
) -> Exchange[Frame, None]:
    """Set the meter's clock (A015), naive local time."""
    yield from write(
        address,
        items.STANDARD_TIME,
        items.encode_clock(at),
        meter_type=meter_type,
        high_first=high_first,
        serial=serial,
    )


def write_address(
    new_address: str, *, meter_type: int = COLD_WATER, high_first: bool = True, serial: int
) -> Exchange[Frame, None]:
    """Give the one meter on the line a new address (A018), before it has left the factory mode.

    Meters answer from the old address or the new one; either is accepted.
    """
    data = bytes.fromhex(new_address)[::-1]
    request = Frame(meter_type, frames.WILDCARD, WRITE_ADDRESS, data)
    yield from ask(request, items.NEW_ADDRESS, high_first=high_first, serial=serial)


def ask(request: Frame, di: int, *, high_first: bool, serial: int) -> Exchange[Frame, bytes]:
    """The data of the reply, after DI and SER. The request's data is what follows them."""
    reply = yield from exchange(request, di, high_first=high_first, serial=serial)
    return reply.data[3:]


def exchange(request: Frame, di: int, *, high_first: bool, serial: int) -> Exchange[Frame, Frame]:
    """One request and its normal reply. Raises Unexpected and Refused as the module says."""
    identifier = di.to_bytes(2, "big" if high_first else "little")
    data = identifier + bytes([serial]) + request.data
    reply = yield frames.encode(Frame(request.type, request.address, request.control, data))
    if not reply.is_reply or reply.function != request.function:
        raise Unexpected(f"control {reply.control:02X} in answer to {request.control:02X}")
    if request.address not in (frames.WILDCARD, reply.address):
        raise Unexpected(f"{reply.address} answers for {request.address}")
    if reply.abnormal:
        raise refusal(reply.data)
    if len(reply.data) < 3 or reply.data[:2] not in (identifier, identifier[::-1]):
        raise Unexpected(f"{reply.data[:2].hex()} answered, {identifier.hex()} was asked")
    return reply


def refusal(data: bytes) -> Refused:
    """An abnormal reply: SER and status word, or SER and a code, or DI, SER and a code."""
    match len(data):
        case 3:
            status = ValveStatus.from_bytes(data[1:])
            reasons = [f"valve {status.valve.name.lower()}"] if status.valve.value else []
            reasons += ["battery low"] * status.battery_low
            return Refused(data[1], tuple(reasons))
        case 2 | 4:
            return Refused(data[-1])
    return Refused(0, (f"unknown abnormal reply {data.hex()}",))
