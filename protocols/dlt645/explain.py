"""A frame in words, for people and for tests: every function of both editions, by name."""

from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import TypeAlias

from protocols import bcd
from protocols.delimited import PREAMBLE
from protocols.dlt645 import items, items97
from protocols.dlt645.fields import BadValue, Value
from protocols.dlt645.frame import Frame, decode
from protocols.dlt645.relay import COMMAND_NAMES, RelayCommand

Explained: TypeAlias = dict[str, object]


class Edition(Enum):
    """Which text a frame follows."""

    Y1997 = "1997"
    Y2007 = "2007"


def explain(data: bytes, edition: Edition | None = None) -> Explained:
    """What the one frame in `data` says: its header, then the fields of its function.

    Numbers and times are text, `data` and payloads hexadecimal without the +33H of the line;
    passwords and addresses are high digit first. A field that the data is too short for, or
    that cannot be read, is left out; `value_error` says why values are. Without an edition the
    function code decides. Raises BadFrame as `frame.decode`.
    """
    frame = decode(data)
    edition = edition or edition_of(frame)
    names, readers = FUNCTIONS[edition]
    explained: Explained = {
        "preamble": len(data) - len(data.lstrip(bytes([PREAMBLE]))),
        "address": frame.address,
        "control": f"{frame.control:02X}",
        "function": names.get(frame.function, "unknown"),
        "abnormal": frame.abnormal,
        "follow": frame.follow,
        "length": len(frame.data),
        "data": _hex(frame.data),
    }
    if frame.function not in names:
        return explained
    if frame.abnormal:
        return explained | _error(frame, edition)
    reader = readers.get((frame.function, frame.is_reply))
    return explained | (reader(frame.data) if reader else {})


def edition_of(frame: Frame) -> Edition:
    """The edition whose function the frame carries; 03H is a re-read of 1997 when it is short."""
    if frame.function == 0x03:
        short = 2 if frame.abnormal else 8
        return Edition.Y1997 if len(frame.data) < short else Edition.Y2007
    is_old = frame.function in NAMES_1997 and frame.function != 0x08
    return Edition.Y1997 if is_old else Edition.Y2007


ERROR_BITS = {
    Edition.Y2007: (
        "other error",
        "no such data",
        "password wrong or not authorised",
        "baud rate cannot change",
        "too many year zones",
        "too many day periods",
        "too many tariffs",
        "reserved",
    ),
    Edition.Y1997: (
        "illegal data",
        "data identifier error",
        "password wrong",
        "reserved",
        "too many year zones",
        "too many day periods",
        "too many tariffs",
        "reserved",
    ),
}


def _error(frame: Frame, edition: Edition) -> Explained:
    if not frame.data:
        return {}
    if edition is Edition.Y2007 and frame.function == 0x03:
        return {"serr": _high_first(frame.data)} if len(frame.data) == 2 else {}
    code = frame.data[0]
    names = ERROR_BITS[edition]
    explained: Explained = {
        "err": f"{code:02X}",
        "err_bits": [names[bit] for bit in range(8) if code & (1 << bit)],
    }
    if frame.function == 0x1C and len(frame.data) == 3:
        explained["relay_status"] = _high_first(frame.data[1:])
    return explained


Reader: TypeAlias = Callable[[bytes], Explained]


def _read_request(data: bytes) -> Explained:
    if len(data) < 4:
        return {}
    explained: Explained = {"di": _high_first(data[:4])}
    if len(data) in (5, 10):
        explained["blocks"] = _number(data[4:5])
    if len(data) == 10:
        explained["from"] = _time(data[5:])
    return explained


def _read_reply(data: bytes) -> Explained:
    if len(data) < 4:
        return {}
    return {"di": _high_first(data[:4])} | _values(items.decode_item, data[:4], data[4:])


def _read_reply_1997(data: bytes) -> Explained:
    if len(data) < 2:
        return {}
    return {"di": _high_first(data[:2])} | _values(items97.decode_item, data[:2], data[2:])


def _values(
    decode_item: Callable[[int, bytes], list[Value]], identifier: bytes, data: bytes
) -> Explained:
    """The values under an identifier; nothing where it is unknown or the length is another."""
    if not data:
        return {}
    try:
        values = decode_item(int.from_bytes(identifier, "little"), data)
    except items.NoSuchItem:
        return {}
    except BadValue as error:
        return {"value_error": error.kind} if error.kind == "non_bcd" else {}
    return {"values": [_value(value) for value in values]}


def _value(value: Value) -> Explained:
    shown = f"{value.value:f}" if isinstance(value.value, Decimal) else value.value
    return {"name": value.name, "value": shown, "unit": value.unit}


def _more_request(data: bytes) -> Explained:
    return {"di": _high_first(data[:4]), "seq": data[4]} if len(data) == 5 else {}


def _more_reply(data: bytes) -> Explained:
    if len(data) < 5:
        return {}
    return {"di": _high_first(data[:4]), "seq": data[-1], "payload": _hex(data[4:-1])}


def _identifier_1997(data: bytes) -> Explained:
    return {"di": _high_first(data[:2])} if len(data) >= 2 else {}


def _write_request(data: bytes) -> Explained:
    if len(data) < 12:
        return {}
    explained: Explained = {"di": _high_first(data[:4])} | _credentials(data[4:8])
    explained |= {"operator": _high_first(data[8:12]), "payload": _hex(data[12:])}
    if data[4] in ENCRYPTED:
        return explained
    return explained | _values(items.decode_item, data[:4], data[12:])


ENCRYPTED = (0x98, 0x99)
"""PA of the forms that carry a MAC; what they say is for the security module alone."""


def _write_request_1997(data: bytes) -> Explained:
    return _identifier_1997(data) | ({"payload": _hex(data[2:])} if len(data) > 2 else {})


def _credentials(data: bytes, prefix: str = "") -> Explained:
    return {f"{prefix}pa": f"{data[0]:02X}", f"{prefix}password": _high_first(data[1:4])}


def _broadcast_time(data: bytes) -> Explained:
    return {"time": _time(data)} if len(data) == 6 else {}


def _new_address(data: bytes) -> Explained:
    return {"new_address": _high_first(data)} if len(data) == 6 else {}


def _meter_address(data: bytes) -> Explained:
    return {"meter_address": _high_first(data)} if len(data) == 6 else {}


def _freeze(data: bytes) -> Explained:
    if len(data) != 4:
        return {}
    digits = _high_first(data)
    return {"freeze": digits, "freeze_kind": freeze_kind(digits)}


def freeze_kind(digits: str) -> str:
    """Which MMDDhhmm of a freeze command it is; 99 stands for every."""
    wild = len(digits) - len(digits.lstrip("9"))
    match wild // 2:
        case 4:
            return "instant"
        case 3:
            return "hourly"
        case 2:
            return "daily"
        case 1:
            return "monthly"
    return "at time"


BAUD_2007 = {0x02: 600, 0x04: 1200, 0x08: 2400, 0x10: 4800, 0x20: 9600, 0x40: 19200}
BAUD_1997 = {0x00: 1200, 0x02: 300, 0x04: 600, 0x10: 2400, 0x20: 4800, 0x40: 9600}


def _baud(table: dict[int, int]) -> Reader:
    def read(data: bytes) -> Explained:
        return {"z": f"{data[0]:02X}", "baud": table.get(data[0])} if len(data) == 1 else {}

    return read


def _password_request(data: bytes) -> Explained:
    if len(data) != 12:
        return {}
    return {"di": _high_first(data[:4])} | _password_request_1997(data[4:])


def _password_request_1997(data: bytes) -> Explained:
    if len(data) != 8:
        return {}
    return _credentials(data[:4], "old_") | _credentials(data[4:], "new_")


def _password_reply(data: bytes) -> Explained:
    return _credentials(data, "new_") if len(data) == 4 else {}


def _clear(data: bytes) -> Explained:
    if len(data) < 8:
        return {}
    explained: Explained = _credentials(data[:4]) | {"operator": _high_first(data[4:8])}
    if len(data) > 8:
        explained["payload"] = _hex(data[8:])
    return explained


def _clear_events(data: bytes) -> Explained:
    if len(data) != 12:
        return _clear(data)
    return _clear(data[:8]) | {"di": _high_first(data[8:])}


def _relay(data: bytes) -> Explained:
    if len(data) != 16:
        return _clear(data)
    try:
        command = COMMAND_NAMES[RelayCommand(data[8])]
    except ValueError:
        command = "unknown"
    return _clear(data[:8]) | {
        "n1": f"{data[8]:02X}",
        "command": command,
        "n2": f"{data[9]:02X}",
        "deadline": "none" if data[10:] == b"\x99" * 6 else _time(data[10:]),
    }


def _relay_reply(data: bytes) -> Explained:
    return {"relay_status": _high_first(data)} if len(data) == 2 else {}


OUTPUTS = {0: "second pulse", 1: "demand period", 2: "period switching"}


def _output(data: bytes) -> Explained:
    return {"output": OUTPUTS.get(data[0], "unknown")} if len(data) == 1 else {}


def _security_request(data: bytes) -> Explained:
    if len(data) < 8:
        return {}
    explained: Explained = {"di": _high_first(data[:4]), "operator": _high_first(data[4:8])}
    return explained | ({"payload": _hex(data[8:])} if len(data) > 8 else {})


def _security_reply(data: bytes) -> Explained:
    if len(data) < 4:
        return {}
    explained: Explained = {"di": _high_first(data[:4])}
    return explained | ({"payload": _hex(data[4:])} if len(data) > 4 else {})


def _hex(data: bytes) -> str:
    return data.hex().upper()


def _high_first(data: bytes) -> str:
    return _hex(data[::-1])


def _number(data: bytes) -> int | None:
    try:
        return int(bcd.decode(data))
    except ValueError:
        return None


def _time(data: bytes) -> str | None:
    """YYMMDDhhmm or YYMMDDhhmmss, low byte first, as text; None where it is not BCD."""
    try:
        shown = bcd.digits(data)
    except ValueError:
        return None
    parts = [shown[at : at + 2] for at in range(0, len(shown), 2)]
    return f"20{'-'.join(parts[:3])} {':'.join(parts[3:])}"


NAMES_2007 = {
    0x03: "security authentication",
    0x08: "broadcast time",
    0x11: "read data",
    0x12: "read subsequent",
    0x13: "read address",
    0x14: "write data",
    0x15: "write address",
    0x16: "freeze",
    0x17: "change baud rate",
    0x18: "change password",
    0x19: "max demand reset",
    0x1A: "meter clear",
    0x1B: "event clear",
    0x1C: "relay control",
    0x1D: "multi-function terminal output",
}
NAMES_1997 = {
    0x01: "read data",
    0x02: "read subsequent",
    0x03: "re-read",
    0x04: "write data",
    0x08: "broadcast time",
    0x0A: "write address",
    0x0C: "change baud rate",
    0x0F: "change password",
    0x10: "max demand reset",
}
# Function, and whether it is the reply
READERS_2007: dict[tuple[int, bool], Reader] = {
    (0x03, False): _security_request,
    (0x03, True): _security_reply,
    (0x08, False): _broadcast_time,
    (0x11, False): _read_request,
    (0x11, True): _read_reply,
    (0x12, False): _more_request,
    (0x12, True): _more_reply,
    (0x13, True): _meter_address,
    (0x14, False): _write_request,
    (0x15, False): _new_address,
    (0x16, False): _freeze,
    (0x17, False): _baud(BAUD_2007),
    (0x17, True): _baud(BAUD_2007),
    (0x18, False): _password_request,
    (0x18, True): _password_reply,
    (0x19, False): _clear,
    (0x1A, False): _clear,
    (0x1B, False): _clear_events,
    (0x1C, False): _relay,
    (0x1C, True): _relay_reply,
    (0x1D, False): _output,
    (0x1D, True): _output,
}
READERS_1997: dict[tuple[int, bool], Reader] = {
    (0x01, False): _identifier_1997,
    (0x01, True): _read_reply_1997,
    (0x02, False): _identifier_1997,
    (0x02, True): _identifier_1997,
    (0x03, True): _read_reply_1997,
    (0x04, False): _write_request_1997,
    (0x08, False): _broadcast_time,
    (0x0A, False): _new_address,
    (0x0C, False): _baud(BAUD_1997),
    (0x0C, True): _baud(BAUD_1997),
    (0x0F, False): _password_request_1997,
    (0x0F, True): _password_reply,
}
FUNCTIONS = {
    Edition.Y1997: (NAMES_1997, READERS_1997),
    Edition.Y2007: (NAMES_2007, READERS_2007),
}
