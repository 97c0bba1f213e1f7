"""Questions to a DL/T 645-1997 meter, as exchanges: the same shape as `master`, with two-byte
identifiers. A meter of this edition has no relay command: it only reads."""

from datetime import datetime
from decimal import Decimal

from protocols import bcd
from protocols.dlt645 import frame as frames
from protocols.dlt645.fields import Value
from protocols.dlt645.frame import Frame
from protocols.dlt645.items97 import decode_item, decode_set, is_set, members
from protocols.dlt645.master import NOT_THERE, clock_of, credentials, is_answer_from
from protocols.exchange import Exchange, Refused, Unexpected

__all__ = ["read", "read_clock", "read_energy", "read_values", "reread", "write", "write_address"]

READ, READ_MORE, REREAD, WRITE = 0x01, 0x02, 0x03, 0x04
WRITE_ADDRESS, CHANGE_BAUD, CHANGE_PASSWORD, RESET_DEMAND = 0x0A, 0x0C, 0x0F, 0x10
FORWARD_ACTIVE_ENERGY = 0x9010
DATE, TIME = 0xC010, 0xC011
MOST_FRAMES = 256

ERROR_BITS = (
    "illegal data",
    "data identifier error",
    "password wrong",
    "reserved",
    "too many year zones",
    "too many day periods",
    "too many tariffs",
    "reserved",
)


def read(address: str, di: int) -> Exchange[Frame, bytes]:
    """What stands under an identifier: the data after it, put together of all its frames.

    Function 01H, then 02H as long as the meter says that more follows.
    """
    identifier = di.to_bytes(2, "little")
    reply = yield from ask(address, READ, identifier)
    data = _after(identifier, reply)
    for _ in range(MOST_FRAMES):
        if not reply.follow:
            return data
        reply = yield from ask(address, READ_MORE, identifier)
        data += _after(identifier, reply)
    raise Unexpected("more frames follow than an item can have")


def read_values(address: str, di: int) -> Exchange[Frame, list[Value]]:
    """The decoded values under an identifier, a single one, a block or a set of blocks.

    Where a meter refuses a set, its blocks are read one by one; where it refuses a block, its items, up
    to the first tariff that it does not have. Raises as `master.read_values`.
    """
    try:
        data = yield from read(address, di)
    except Refused as refused:
        parts = members(di) if refused.code & ~NOT_THERE == 0 else []
        values = yield from _read_each(address, parts, are_blocks=is_set(di))
        if not values:
            raise
        return values
    return decode_set(di, data) if is_set(di) else decode_item(di, data)


def _read_each(address: str, parts: list[int], *, are_blocks: bool) -> Exchange[Frame, list[Value]]:
    values: list[Value] = []
    for di in parts:
        try:
            values += yield from read_values(address, di)
        except Refused:
            if not are_blocks:
                break
    return values


def read_energy(address: str) -> Exchange[Frame, Decimal]:
    """The forward active total 正向有功总电能 in kWh, to 0.01 (9010)."""
    (total,) = yield from read_values(address, FORWARD_ACTIVE_ENERGY)
    if not isinstance(total.value, Decimal):
        raise Unexpected("the meter gives no forward active energy")
    return total.value


def read_clock(address: str) -> Exchange[Frame, datetime]:
    """The meter's date and time, its own local time without a zone (C010, C011).

    Two reads, three in the first minute of a day: else a date from before midnight could stand beside a
    time from after it.
    """
    date = yield from read(address, DATE)
    time = yield from read(address, TIME)
    if time[1:] == b"\0\0":
        date = yield from read(address, DATE)
    return clock_of(date, time)


def reread(address: str) -> Exchange[Frame, bytes]:
    """The data of the meter's last reply once more, identifier first (03H)."""
    return (yield from ask(address, REREAD, b"")).data


def write(
    address: str, di: int, data: bytes, *, permission: tuple[int, str] | None
) -> Exchange[Frame, None]:
    """Set the data under an identifier, as sent (04H).

    The text has no place for a password; most meters want level and password before the data
    all the same: give them as `permission`, or None.
    """
    head = di.to_bytes(2, "little") + (credentials(*permission) if permission else b"")
    yield from ask(address, WRITE, head + data)


def write_address(new_address: str) -> Exchange[Frame, None]:
    """Give the meter whose key is held a new address (0AH), broadcast to 999999999999.

    It answers from the new address already; with a fault it is silent. Raises ValueError if the
    address is not 12 digits.
    """
    if len(new_address) != 12:
        raise ValueError(f"address {new_address!r} is not 12 digits")
    data = bcd.from_digits(new_address)
    reply = yield frames.encode(Frame(frames.BROADCAST, WRITE_ADDRESS, data))
    if reply.control != 0x80 | WRITE_ADDRESS or reply.address != new_address:
        raise Unexpected(f"{reply.address} answers {reply.control:02X}, not {new_address}")


BAUD_BITS = {300: 0x02, 600: 0x04, 1200: 0x00, 2400: 0x10, 4800: 0x20, 9600: 0x40}


def change_baud(address: str, baud: int) -> Exchange[Frame, None]:
    """Change the line rate for this session (0CH). Raises Refused with code FF if it cannot.

    The meter goes back to 1200 after the session, or where nothing is heard within 500 ms at the
    new rate. Raises ValueError if the rate is none of the standard's.
    """
    if baud not in BAUD_BITS:
        raise ValueError(f"{baud} is not a rate of DL/T 645-1997")
    asked = bytes([BAUD_BITS[baud]])
    reply = yield from ask(address, CHANGE_BAUD, asked)
    if reply.data == b"\xff":
        raise Refused(0xFF, ("baud rate cannot change",))
    if reply.data != asked:
        raise Unexpected(f"rate {reply.data.hex()} confirmed, {asked.hex()} was asked")


def change_password(
    address: str, *, level: int, old: tuple[int, str], new_password: str
) -> Exchange[Frame, None]:
    """Change the password of a level (0FH). A meter that refuses is silent."""
    new = credentials(level, new_password)
    reply = yield from ask(address, CHANGE_PASSWORD, credentials(*old) + new)
    if reply.data != new:
        raise Unexpected("another password is confirmed")


def reset_demand(address: str) -> Exchange[Frame, None]:
    """Clear the present maximum demand (10H)."""
    yield from ask(address, RESET_DEMAND, b"")


def ask(address: str, function: int, data: bytes) -> Exchange[Frame, Frame]:
    """One request and its normal reply. Some meters repeat a wildcard instead of their address."""
    reply = yield frames.encode(Frame(address, function, data))
    if not reply.is_reply or reply.function != function:
        raise Unexpected(f"control {reply.control:02X} in answer to {function:02X}")
    if reply.address != address and not is_answer_from(reply.address, asked=address):
        raise Unexpected(f"{reply.address} answers for {address}")
    if reply.abnormal:
        code = reply.data[0] if reply.data else 0
        raise Refused(code, tuple(name for n, name in enumerate(ERROR_BITS) if code & (1 << n)))
    return reply


def _after(identifier: bytes, reply: Frame) -> bytes:
    if reply.data[:2] != identifier:
        raise Unexpected(f"{reply.data[:2].hex()} answered, {identifier.hex()} was asked")
    return reply.data[2:]
