"""Questions to a DL/T 645-2007 meter, as exchanges (`protocols.exchange.Exchange`).

Run them with a decoder that drops the line's echo: `frame.Decoder(replies_only=True)`. All
addresses are 12 digits, or with AA for leading pairs where the whole number is not known; a
password is 6 digits, as shown on paper. All can raise

- Unexpected: an answer from another meter, to another question, or of a wrong shape;
- Refused: the meter's error word, `code` and its bits in words.

Values and the broadcast address: a broadcast has no reply, so it is not an exchange but bytes
(`broadcast_time`).
"""

from datetime import datetime
from decimal import Decimal

from protocols import bcd
from protocols.dlt645 import frame as frames
from protocols.dlt645 import relay
from protocols.dlt645.fields import Value
from protocols.dlt645.frame import Frame
from protocols.dlt645.items import decode_item
from protocols.dlt645.relay import RelayCommand, RelayReply, RelayState
from protocols.exchange import Exchange, Refused, Unexpected

__all__ = [
    "RelayCommand",
    "RelayReply",
    "RelayState",
    "control",
    "read",
    "read_address",
    "read_clock",
    "read_energy",
    "read_status",
    "read_values",
]

READ, READ_MORE, READ_ADDRESS, CONTROL = 0x11, 0x12, 0x13, 0x1C

ERROR_BITS = (
    "other error",
    "no such data",
    "password wrong or not authorised",
    "baud rate cannot change",
    "too many year zones",
    "too many day periods",
    "too many tariffs",
    "reserved",
)

FORWARD_ACTIVE_ENERGY = 0x00010000
DATE = 0x04000101
TIME = 0x04000102
STATUS_WORD_3 = 0x04000503
NO_DEADLINE = "999999999999"


def read(address: str, di: int) -> Exchange[Frame, bytes]:
    """What stands under an identifier: the data after it, put together of all its frames.

    Function 11H, then 12H with its sequence number as long as the meter says that more follows.
    """
    identifier = di.to_bytes(4, "little")
    reply = yield from ask(address, READ, identifier)
    data = _after(identifier, reply)
    sequence = 0
    while reply.follow:
        sequence = sequence + 1
        if sequence > 0xFF:
            raise Unexpected("more than 255 frames follow")
        reply = yield from ask(address, READ_MORE, identifier + bytes([sequence]))
        part = _after(identifier, reply)
        if not part or part[-1] != sequence:
            raise Unexpected(f"part {sequence} was asked, {part[-1:].hex() or 'none'} came")
        data += part[:-1]
    return data


def read_values(address: str, di: int) -> Exchange[Frame, list[Value]]:
    """The decoded values under an identifier.

    Raises NoSuchItem if the table does not know the identifier, and BadValue (an Unexpected) if
    a value is not BCD or the data has another length.
    """
    return decode_item(di, (yield from read(address, di)))


def read_energy(address: str) -> Exchange[Frame, Decimal]:
    """The forward active total 正向有功总电能 in kWh, to 0.01 (00010000).

    Raises Unexpected if the meter fills it with FF: an energy meter has this register.
    """
    (total,) = yield from read_values(address, FORWARD_ACTIVE_ENERGY)
    if not isinstance(total.value, Decimal):
        raise Unexpected("the meter gives no forward active energy")
    return total.value


def read_status(address: str) -> Exchange[Frame, RelayState]:
    """Where the relay is and what it was told: status word 3 (04000503)."""
    data = yield from read(address, STATUS_WORD_3)
    if len(data) != 2:
        raise Unexpected(f"a status word of {len(data)} bytes")
    return RelayState.from_word(int.from_bytes(data, "little"))


def read_clock(address: str) -> Exchange[Frame, datetime]:
    """The meter's date and time, its own local time without a zone (04000101, 04000102).

    Two reads, three in the first minute of a day: else a date from before midnight could stand
    beside a time from after it.
    """
    date = yield from read(address, DATE)
    time = yield from read(address, TIME)
    if time[1:] == b"\0\0":
        date = yield from read(address, DATE)
    try:
        return datetime.strptime(bcd.digits(date[1:]) + bcd.digits(time), "%y%m%d%H%M%S")  # noqa: DTZ007
    except ValueError as error:
        raise Unexpected(f"no clock: {date.hex()} {time.hex()}") from error


def read_address() -> Exchange[Frame, str]:
    """The address of the one meter on the line (13H). With two meters both answer at once."""
    reply = yield from ask(frames.WILDCARD, READ_ADDRESS, b"")
    address = reply.data[::-1].hex().upper()
    if len(reply.data) != 6 or not address.isdecimal():
        raise Unexpected(f"not an address: {address}")
    return address


def control(
    address: str,
    command: RelayCommand,
    *,
    password: str = "000000",
    level: int,
    operator: str,
    deadline: datetime | None,
    trip_minutes: int = 0,
) -> Exchange[Frame, RelayReply]:
    """Tell the relay, the alarm or keep-power something (1CH, in plain text with a password).

    `level` is the permission of the password, 0 highest (PA); `operator` 8 digits. After the
    `deadline`, naive in the meter's local time, the meter refuses the command; None is no
    deadline. `trip_minutes`, a multiple of 5 up to 1275, counts for the two timed trips alone.
    The reply says that the command was taken, not that the contact has moved.

    Raises ValueError if an argument has not this form.
    """
    if trip_minutes % 5 or not 0 <= trip_minutes // 5 <= 0xFF:
        raise ValueError(f"{trip_minutes} minutes cannot be sent")
    if len(operator) != 8:
        raise ValueError(f"operator {operator!r} is not 8 digits")
    if deadline is not None and deadline.tzinfo is not None:
        raise ValueError("the deadline is in the meter's local time, without a zone")
    until = NO_DEADLINE if deadline is None else f"{deadline:%y%m%d%H%M%S}"
    reply = yield from ask(
        address,
        CONTROL,
        credentials(level, password)
        + bcd.from_digits(operator)
        + bytes([command.value, trip_minutes // 5])
        + bcd.from_digits(until),
    )
    match len(reply.data):
        case 0:
            return RelayReply(None)
        case 2:
            word = int.from_bytes(reply.data, "little")
            return RelayReply(word, relay.names(relay.DONE_BITS, word))
        case length:
            raise Unexpected(f"a reply of {length} bytes to a relay command")


def credentials(level: int, password: str) -> bytes:
    """PA P0 P1 P2: the permission level, then the password low byte first."""
    if len(password) != 6:
        raise ValueError("a password is 6 digits")
    return bytes([level]) + bcd.from_digits(password)


def ask(address: str, function: int, data: bytes) -> Exchange[Frame, Frame]:
    """One request and its normal reply. Raises Unexpected and Refused as the module says."""
    reply = yield frames.encode(Frame(address, function, data))
    if not reply.is_reply or reply.function != function:
        raise Unexpected(f"control {reply.control:02X} in answer to {function:02X}")
    if not is_answer_from(reply.address, asked=address):
        raise Unexpected(f"{reply.address} answers for {address}")
    if reply.abnormal:
        raise refusal(function, reply.data)
    return reply


def is_answer_from(answering: str, *, asked: str) -> bool:
    """Whether a reply's address is the asked one, where leading AA match any digits."""
    known = asked.lstrip("A") if asked.startswith("AA") else asked
    return answering.endswith(known)


def refusal(function: int, data: bytes) -> Refused:
    """The error word of an abnormal reply: one byte of bits, and two more from some relays."""
    code = data[0] if data else 0
    reasons = tuple(name for n, name in enumerate(ERROR_BITS) if code & (1 << n))
    if function == CONTROL and len(data) == 3:
        reasons += relay.names(relay.REFUSED_BITS, int.from_bytes(data[1:], "little"))
    return Refused(code, reasons)


def _after(identifier: bytes, reply: Frame) -> bytes:
    if reply.data[: len(identifier)] != identifier:
        raise Unexpected(f"{reply.data[:4].hex()} answered, {identifier.hex()} was asked")
    return reply.data[len(identifier) :]
