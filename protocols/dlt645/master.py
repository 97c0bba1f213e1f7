"""Questions to a DL/T 645-2007 meter, as exchanges (`protocols.exchange.Exchange`).

Run them with a decoder that drops the line's echo: `frame.Decoder(replies_only=True)`. All
addresses are 12 digits, or with AA for leading pairs where the whole number is not known; a
password is 6 digits, as shown on paper. All can raise

- Unexpected: an answer from another meter, to another question, or of a wrong shape;
- Refused: the meter's error word, `code` and its bits in words.

A broadcast has no reply, so it is not an exchange but bytes (`broadcast_time`).
"""

from datetime import datetime
from decimal import Decimal
from enum import Enum

from protocols import bcd
from protocols.dlt645 import frame as frames
from protocols.dlt645 import freeze as freeze_records
from protocols.dlt645 import items, relay
from protocols.dlt645.fields import Value
from protocols.dlt645.frame import Frame
from protocols.dlt645.relay import RelayCommand, RelayReply, RelayState
from protocols.exchange import Exchange, Refused, Unexpected

__all__ = [
    "Output",
    "RelayCommand",
    "RelayReply",
    "RelayState",
    "authenticate",
    "broadcast_freeze",
    "broadcast_time",
    "change_baud",
    "change_password",
    "clear_events",
    "clear_meter",
    "clock_of",
    "content",
    "control",
    "freeze",
    "read",
    "read_address",
    "read_clock",
    "read_energy",
    "read_freeze",
    "read_load_record",
    "read_status",
    "read_values",
    "reset_demand",
    "seal",
    "select_output",
    "write",
    "write_address",
    "write_clock",
]

REPLY, FOLLOW = 0x80, 0x20

AUTHENTICATE = 0x03
BROADCAST_TIME = 0x08
READ = 0x11
READ_MORE = 0x12
READ_ADDRESS = 0x13
WRITE = 0x14
WRITE_ADDRESS = 0x15
FREEZE = 0x16
CHANGE_BAUD = 0x17
CHANGE_PASSWORD = 0x18
RESET_DEMAND = 0x19
CLEAR_METER = 0x1A
CLEAR_EVENTS = 0x1B
CONTROL = 0x1C
SELECT_OUTPUT = 0x1D

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

SECURITY_BITS = {
    0x0001: "other error",
    0x0002: "repeated recharge",
    0x0004: "ESAM verification failed",
    0x0008: "identity authentication failed",
    0x0010: "customer number does not match",
    0x0020: "recharge count wrong",
    0x0040: "would exceed the hoarding limit",
    0x0080: "address abnormal",
    0x0100: "meter suspended",
    0x8000: "vendor's own error",
}

FORWARD_ACTIVE_ENERGY = 0x00010000
DATE = 0x04000101
TIME = 0x04000102
STATUS_WORD_3 = 0x04000503
NO_DEADLINE = "999999999999"


def read(address: str, di: int) -> Exchange[Frame, bytes]:
    """What stands under an identifier: the data after it, put together of all its frames.

    Function 11H, then 12H with its sequence number as long as the meter says that more follows.
    """
    return (yield from _read(address, di, b""))


def read_load_record(
    address: str, di: int, *, blocks: int, since: datetime | None = None
) -> Exchange[Frame, bytes]:
    """Load records 负荷记录 as sent, for `load_record.decode_records`; empty where none matches.

    `blocks` is how many, 1..99. `since`, naive local time to the minute, goes with identifiers
    that end in 01; the oldest (00) and the newest (02) are asked without it.
    """
    which = bcd.from_digits(f"{blocks:02d}")
    if since is not None:
        which += bcd.from_digits(f"{since:%y%m%d%H%M}")
    return (yield from _read(address, di, which))


def _read(address: str, di: int, which: bytes) -> Exchange[Frame, bytes]:
    identifier = di.to_bytes(4, "little")
    reply = yield from ask(address, READ, identifier + which)
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

    Where a meter refuses a block, as many with one phase do, its items are read one by one, up to
    the first that it does not have; of three or four phases all are tried.

    Raises NoSuchItem if the table does not know the identifier, and BadValue (an Unexpected) if
    a value is not BCD or the data has another length.
    """
    try:
        data = yield from read(address, di)
    except Refused as refused:
        alone = items.members(di) if refused.code & ~NOT_THERE == 0 else []
        values = yield from _read_each(address, alone)
        if not values:
            raise
        return values
    return items.decode_item(di, data)


NOT_THERE = 0x03
"""The bits of ERR with which meters refuse a block: no such data, and other error."""
PHASES_AND_TOTAL = 4


def _read_each(address: str, alone: list[int]) -> Exchange[Frame, list[Value]]:
    values: list[Value] = []
    for di in alone:
        try:
            values += items.decode_item(di, (yield from read(address, di)))
        except Refused:
            if len(alone) > PHASES_AND_TOTAL:
                break
    return values


def read_freeze(address: str, kind: int, back: int) -> Exchange[Frame, list[Value]]:
    """The `back`-th last record of a kind of freeze, whole (05 kk FF nn): its time and all it holds.

    Kinds: 0 timed, 1 instant, 2 zone tables, 3 period tables, 4 hourly, 5 prices, 6 daily, 7 steps
    (5 and 7 are from one source; one other has monthly under 7). The mode word of the kind is read
    first, since the record does not say what is in it. A meter that refuses the whole record is
    asked for its groups.

    Raises ValueError if there is no such kind or record, and BadValue where the record does not
    fit the mode word.
    """
    if kind not in freeze_records.MODES or not 1 <= back <= 0xFE:
        raise ValueError(f"no record {back} of a freeze of kind {kind}")
    whole = 0x0500FF00 | kind << 16 | back
    if kind == freeze_records.HOURLY:
        return (yield from read_values(address, whole))
    word = yield from read(address, freeze_records.mode_of(kind))
    if len(word) != 1:
        raise Unexpected(f"a freeze mode word of {len(word)} bytes")
    try:
        record = yield from read(address, whole)
    except Refused as refused:
        if refused.code & ~NOT_THERE:
            raise
        groups = (0x00, *freeze_records.groups_of(word[0]))
        alone = [whole & 0xFFFF00FF | group << 8 for group in groups]
        values = yield from _read_each(address, alone)
        if not values:
            raise
        return values
    return freeze_records.decode_record(record, mode=word[0])


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
    return clock_of(date, time)


def clock_of(date: bytes, time: bytes) -> datetime:
    """Date (with its weekday, which is not looked at) and time, as sent. Raises Unexpected if they are none."""
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
    if deadline is not None and deadline.tzinfo is not None:
        raise ValueError("the deadline is in the meter's local time, without a zone")
    until = NO_DEADLINE if deadline is None else f"{deadline:%y%m%d%H%M%S}"
    reply = yield from ask(
        address,
        CONTROL,
        credentials(level, password)
        + _operator(operator)
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


def write(
    address: str, di: int, data: bytes, *, level: int, password: str, operator: str
) -> Exchange[Frame, None]:
    """Set the data under an identifier, as sent (14H, in plain text with a password).

    Most meters want their programming key pressed first.
    """
    head = di.to_bytes(4, "little") + credentials(level, password) + _operator(operator)
    yield from ask(address, WRITE, head + data)


def write_clock(
    address: str, at: datetime, *, level: int, password: str, operator: str
) -> Exchange[Frame, None]:
    """Set date and time, naive local time, by two writes (04000101, 04000102)."""
    for di, digits in (
        (DATE, f"{at:%y%m%d}{at.isoweekday() % 7:02d}"),
        (TIME, f"{at:%H%M%S}"),
    ):
        data = bcd.from_digits(digits)
        yield from write(address, di, data, level=level, password=password, operator=operator)


def write_address(new_address: str) -> Exchange[Frame, None]:
    """Give the one meter on the line a new address (15H). With a fault the meter is silent."""
    reply = yield from ask(frames.WILDCARD, WRITE_ADDRESS, bcd.from_digits(new_address))
    if reply.address != new_address:
        raise Unexpected(f"{reply.address} answers, not {new_address}")


def broadcast_time(at: datetime) -> bytes:
    """The bytes that set all clocks on the line (08H), at most 5 minutes on; nobody answers."""
    data = bcd.from_digits(f"{at:%y%m%d%H%M%S}")
    return frames.encode(Frame(frames.BROADCAST, BROADCAST_TIME, data))


def freeze(address: str, when: str) -> Exchange[Frame, None]:
    """Freeze the registers at MMDDhhmm (16H), 8 digits with 99 for "every": 99999999 is now."""
    yield from ask(address, FREEZE, bcd.from_digits(when))


def broadcast_freeze(when: str) -> bytes:
    """The bytes that freeze all meters on the line; nobody answers."""
    return frames.encode(Frame(frames.BROADCAST, FREEZE, bcd.from_digits(when)))


BAUD_BITS = {600: 0x02, 1200: 0x04, 2400: 0x08, 4800: 0x10, 9600: 0x20, 19200: 0x40}


def change_baud(address: str, baud: int) -> Exchange[Frame, None]:
    """Change the line rate (17H). The reply still comes at the old rate; then both change.

    Raises ValueError if the rate is none of the standard's.
    """
    if baud not in BAUD_BITS:
        raise ValueError(f"{baud} is not a rate of DL/T 645")
    asked = bytes([BAUD_BITS[baud]])
    reply = yield from ask(address, CHANGE_BAUD, asked)
    if reply.data != asked:
        raise Unexpected(f"rate {reply.data.hex()} confirmed, {asked.hex()} was asked")


def change_password(
    address: str, *, level: int, old: tuple[int, str], new_password: str
) -> Exchange[Frame, None]:
    """Change the password of a level (18H). `old` is the level and password that allow it."""
    new = credentials(level, new_password)
    identifier = (0x04000C01 + level).to_bytes(4, "little")
    reply = yield from ask(address, CHANGE_PASSWORD, identifier + credentials(*old) + new)
    if reply.data != new:
        raise Unexpected("another password is confirmed")


def reset_demand(
    address: str, *, level: int, password: str, operator: str
) -> Exchange[Frame, None]:
    """Clear the present maximum demands and their times (19H)."""
    yield from ask(address, RESET_DEMAND, credentials(level, password) + _operator(operator))


def clear_meter(address: str, *, level: int, password: str, operator: str) -> Exchange[Frame, None]:
    """Clear energies, demands, freezes, events and load records (1AH)."""
    yield from ask(address, CLEAR_METER, credentials(level, password) + _operator(operator))


ALL_EVENTS = 0xFFFFFFFF


def clear_events(
    address: str, di: int = ALL_EVENTS, *, level: int, password: str, operator: str
) -> Exchange[Frame, None]:
    """Clear all events, or those of one class: its identifier with FF as the last byte (1BH)."""
    which = di.to_bytes(4, "little")
    head = credentials(level, password) + _operator(operator)
    yield from ask(address, CLEAR_EVENTS, head + which)


class Output(Enum):
    """What the multi-function terminal 多功能端子 gives out."""

    SECOND_PULSE = 0
    DEMAND_PERIOD = 1
    PERIOD_SWITCHING = 2


def select_output(address: str, output: Output) -> Exchange[Frame, None]:
    """Choose the output of the multi-function terminal (1DH), until the meter loses power."""
    reply = yield from ask(address, SELECT_OUTPUT, bytes([output.value]))
    if reply.data not in (b"", bytes([output.value])):
        raise Unexpected(f"output {reply.data.hex()} confirmed")


def authenticate(address: str, di: int, payload: bytes, *, operator: str) -> Exchange[Frame, bytes]:
    """One step with the meter's security module (03H): the reply's bytes after the identifier.

    The payload comes from the operator's key system; nothing here can compute it. Refused
    carries the two-byte word of this function.
    """
    identifier = di.to_bytes(4, "little")
    reply = yield from ask(address, AUTHENTICATE, identifier + _operator(operator) + payload)
    return _after(identifier, reply)


CLASS_2, CLASS_1 = 0x98, 0x99
SEALED = {WRITE, RESET_DEMAND, CLEAR_METER, CLEAR_EVENTS, CONTROL}


def seal(
    address: str,
    function: int,
    payload: bytes,
    *,
    operator: str,
    di: int | None = None,
    level: int = CLASS_2,
) -> Exchange[Frame, bytes]:
    """A command that the meter's security module checks: the reply's data.

    The form of the later filings for 14H (with `di`), 19H, 1AH, 1BH and 1CH: PA 98H and P0P1P2
    zero where a password would be, the operator code, then 16 bytes of ciphertext (any multiple
    of 16 in 14H) and 4 of MAC. With level 99H, for 14H alone, the data is plain and the MAC
    follows it. All of `payload` comes from the operator's key system and is passed on as it is;
    an authentication (`authenticate`, 070000FF) must have gone before.

    Raises ValueError if the function has no such form or the payload not its length.
    """
    if function not in SEALED or level not in (CLASS_1, CLASS_2):
        raise ValueError(f"function {function:02X} has no form with PA {level:02X}")
    if (function == WRITE) != (di is not None) or (function != WRITE and level == CLASS_1):
        raise ValueError("a write needs an identifier, and nothing else has one or PA 99")
    blocks = len(payload) - 4
    if blocks < 1 or (level == CLASS_2 and (blocks % 16 or (function != WRITE and blocks != 16))):
        raise ValueError(f"{len(payload)} bytes are not ciphertext and MAC of {function:02X}")
    head = b"" if di is None else di.to_bytes(4, "little")
    data = head + bytes([level, 0, 0, 0]) + _operator(operator) + payload
    reply = yield from ask(address, function, data)
    return reply.data


def _operator(operator: str) -> bytes:
    if len(operator) != 8:
        raise ValueError(f"operator {operator!r} is not 8 digits")
    return bcd.from_digits(operator)


def credentials(level: int, password: str) -> bytes:
    """PA P0 P1 P2: the permission level, then the password low byte first."""
    if len(password) != 6:
        raise ValueError("a password is 6 digits")
    return bytes([level]) + bcd.from_digits(password)


def content(reply: Frame, *, address: str) -> tuple[int, bytes]:
    """Identifier and data of a normal reply to a read from `address`, for one who only listens.

    Where the reply says that more follows, it is the first part. Raises Unexpected and Refused as
    the module says.
    """
    data = _accepted(reply, address, READ).data
    if len(data) < 4:
        raise Unexpected(f"{len(data)} bytes in answer to a read")
    return int.from_bytes(data[:4], "little"), data[4:]


def ask(address: str, function: int, data: bytes) -> Exchange[Frame, Frame]:
    """One request and its normal reply. Raises Unexpected and Refused as the module says."""
    return _accepted((yield frames.encode(Frame(address, function, data))), address, function)


def _accepted(reply: Frame, address: str, function: int) -> Frame:
    if reply.address == address and reply.control & ~FOLLOW == function | REPLY:
        return reply
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
    if function == AUTHENTICATE and len(data) == 2:
        word = int.from_bytes(data, "little")
        return Refused(word, relay.names(SECURITY_BITS, word))
    code = data[0] if data else 0
    reasons = tuple(name for n, name in enumerate(ERROR_BITS) if code & (1 << n))
    if function == CONTROL and len(data) == 3:
        reasons += relay.names(relay.REFUSED_BITS, int.from_bytes(data[1:], "little"))
    return Refused(code, reasons)


def _after(identifier: bytes, reply: Frame) -> bytes:
    if reply.data[: len(identifier)] != identifier:
        raise Unexpected(f"{reply.data[:4].hex()} answered, {identifier.hex()} was asked")
    return reply.data[len(identifier) :]
