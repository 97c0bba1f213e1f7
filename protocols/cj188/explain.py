"""Frames in words, for people and for tests: every identifier of the table, and the vendors' ways
that were seen on real lines."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import TypeAlias

from protocols import bcd
from protocols.cj188 import items
from protocols.cj188.frame import SHORTEST, BadFrame, Frame, decode, find
from protocols.cj188.items import Field, Kind, ValveStatus
from protocols.delimited import PREAMBLE, START

Explained: TypeAlias = dict[str, object]

UNIT_FIRST = "unit_first"
CLOCK_HIGH_FIRST = "time_be"
CLOCK_BINARY = "time_binary"
"""Ways of single vendors that the bytes do not give away."""


def explain(data: bytes, quirks: Collection[str] = ()) -> Explained:
    """What the frames in `data` say: header, then the fields of the identifier under "data".

    Bytes before the preamble are counted as `skip`, bytes behind the frame as `trailing`; with
    more than one frame, `frames` lists them. Numbers and times are text; a value that cannot be
    read is None beside its digits, and data of an unknown form is `raw`. `quirks` names the ways
    of this vendor. Raises BadFrame, of kind empty too, where there is no frame.
    """
    found = find(data)
    if not found:
        if not data:
            raise BadFrame("empty")
        decode(data[max(data.find(START), 0) :])
        raise BadFrame("no_start")
    explained = []
    before = 0
    for start, frame in found:
        end = start + SHORTEST + len(frame.data)
        preamble = len(data[before:start]) - len(data[before:start].rstrip(bytes([PREAMBLE])))
        one = {"fe": preamble, "cs": f"{data[end - 2]:02X}"} | _frame(frame, quirks)
        if skip := start - preamble - before:
            one["skip"] = skip
        explained.append(one)
        before = end
    if trailing := len(data) - before:
        explained[-1]["trailing"] = trailing
    return explained[0] if len(explained) == 1 else {"frames": explained}


FUNCTIONS = {
    0x01: "read",
    0x03: "read_address",
    0x04: "write",
    0x09: "read_key_version",
    0x15: "write_address",
    0x16: "write_motor_sync",
}


def _frame(frame: Frame, quirks: Collection[str]) -> Explained:
    unknown = f"{'vendor' if frame.function & 0x20 else 'reserved'}_{frame.function:02X}"
    explained: Explained = {
        "type": f"{frame.type:02X}",
        "addr": frame.address,
        "ctrl": f"{frame.control:02X}",
        "fn": FUNCTIONS.get(frame.function, unknown),
        "reply": frame.is_reply,
        "error": frame.abnormal,
        "len": len(frame.data),
    }
    if frame.abnormal:
        return explained | _abnormal(frame.data)
    if len(frame.data) < 2:
        return explained | {"data": _raw(frame.data)}
    explained |= _identifier(frame.data[:2])
    if len(frame.data) == 2:
        return explained | {"data": {}}
    explained["ser"] = frame.data[2]
    return explained | {"data": _payload(frame, quirks)}


def _identifier(wire: bytes) -> Explained:
    di, high_first = items.identifier(wire)
    return {
        "di": f"{di:04X}",
        "di_wire": wire.hex().upper(),
        "di_order": "hi_first" if high_first else "lo_first",
    }


def _abnormal(data: bytes) -> Explained:
    """SER and status; SER and one byte; or identifier, SER and a code."""
    match len(data):
        case 2:
            return {"ser": data[0], "data": {"st": {"raw": data[1:].hex().upper()}}}
        case 3:
            return {"ser": data[0], "data": {"st": _status(data[1:])}}
        case 4 if items.is_known(items.identifier(data[:2])[0]):
            code = {"error_code": data[3:].hex().upper()}
            return _identifier(data[:2]) | {"ser": data[2], "data": code}
    return {"data": _raw(data)}


def _raw(data: bytes) -> Explained:
    return {"raw": data.hex().upper()} if data else {}


def _payload(frame: Frame, quirks: Collection[str]) -> Explained:
    di, _ = items.identifier(frame.data[:2])
    payload = frame.data[3:]
    explained: Explained = {}
    if 0xD120 <= di <= 0xD12B:
        explained["months_ago"] = di - 0xD11F
    if not payload:
        return explained
    fields = items.layout(di, len(payload), is_reply=frame.is_reply)
    if fields is None:
        return explained | _raw(payload)
    at = 0
    for field in fields:
        part = payload[at : at + field.size]
        at += field.size
        if field.kind is Kind.CLOCK:
            clock = _clock(part, quirks)
            explained[field.name] = clock.isoformat() if clock else None
            explained[f"{field.name}_raw"] = part.hex().upper()
        elif field.kind in (Kind.QUANTITY, Kind.FLOW):
            unit_first = UNIT_FIRST in quirks or field.unit_first
            explained[field.name] = _quantity(part, field, unit_first=unit_first)
        else:
            explained[field.name] = READERS[field.kind](part)
    return explained


def _quantity(data: bytes, field: Field, *, unit_first: bool) -> Explained:
    value, unit = (data[1:], data[0]) if unit_first else (data[:4], data[4])
    decimals = 4 if field.kind is Kind.FLOW else 2
    return _plain(value, decimals) | {"unit_code": f"{unit:02X}", "unit": items.unit_name(unit)}


def _plain(data: bytes, decimals: int = 2) -> Explained:
    return {"digits": data[::-1].hex().upper(), "value": _decimal(data, decimals)}


def _decimal(data: bytes, decimals: int) -> str | None:
    try:
        return f"{bcd.decode(data, decimals=decimals):f}"
    except ValueError:
        return None


def _clock(data: bytes, quirks: Collection[str]) -> datetime | None:
    if CLOCK_HIGH_FIRST in quirks:
        data = data[::-1]
    if CLOCK_BINARY in quirks:
        if max(data) > 99:
            return None
        data = bytes(bcd.from_digits(f"{byte:02d}")[0] for byte in data)
    return items.decode_clock(data)


def _status(data: bytes) -> Explained:
    status = ValveStatus.from_bytes(data)
    return {
        "raw": data.hex().upper(),
        "valve": status.valve.name.lower(),
        "battery_low": status.battery_low,
    }


VALVE_COMMANDS = {0x55: "open", 0x99: "close"}

READERS: dict[Kind, Callable[[bytes], object]] = {
    Kind.PLAIN: _plain,
    Kind.MONEY: lambda data: _decimal(data, 2),
    Kind.HUNDREDTHS: lambda data: _decimal(data, 2),
    Kind.INTEGER: lambda data: _decimal(data, 0),
    Kind.BINARY: lambda data: int.from_bytes(data, "little"),
    Kind.STATUS: _status,
    Kind.ADDRESS: lambda data: data[::-1].hex().upper(),
    Kind.BYTES: lambda data: data.hex().upper(),
    Kind.VALVE: lambda data: VALVE_COMMANDS.get(data[0], f"vendor_{data[0]:02X}"),
}
