"""A Modbus RTU frame as an object: what it asks or answers, and the values of a register profile."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from protocols.modbus import frame as frames
from protocols.modbus import profile as profiles
from protocols.modbus.frame import Decoder, Frame
from protocols.modbus.master import COIL_ON, EXCEPTIONS, unpack_bits
from protocols.modbus.profile import DIRECT, Profile

NAMES = {
    0x01: "read coils",
    0x02: "read discrete inputs",
    0x03: "read holding registers",
    0x04: "read input registers",
    0x05: "write one coil",
    0x06: "write one register",
    0x0F: "write coils",
    0x10: "write registers",
}


class Way(Enum):
    """Who sent it."""

    REQUEST = "request"
    REPLY = "reply"
    EXCEPTION = "exception"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Registers:
    """Which profile explains the registers of a reply, and the address that was asked from."""

    profile: Profile
    start: int


def way_of(frame: Frame, told: Way | None = None) -> tuple[Way, bool]:
    """Request or reply, and whether that is a guess: some frames could be either.

    A write of one coil or register is answered by the same bytes; they are taken for the request.
    """
    if frame.is_exception:
        return Way.EXCEPTION, False
    fitting = [way for way in (Way.REQUEST, Way.REPLY) if _fits(frame, way)]
    if told is not None:
        return (told, False) if told in fitting or not fitting else (fitting[0], True)
    if not fitting:
        return Way.UNKNOWN, False
    return fitting[0], len(fitting) > 1


def _fits(frame: Frame, way: Way) -> bool:
    data, size = frame.data, len(frame.data)
    count = int.from_bytes(data[2:4], "big")
    match frame.function, way:
        case ((0x01 | 0x02), Way.REQUEST):
            return size == 4 and 1 <= count <= 2000
        case ((0x03 | 0x04), Way.REQUEST):
            return size == 4 and 1 <= count <= 125
        case ((0x01 | 0x02), Way.REPLY):
            return size > 1 and data[0] == size - 1
        case ((0x03 | 0x04), Way.REPLY):
            return size > 1 and data[0] == size - 1 and not data[0] % 2
        case 0x05, _:
            return size == 4 and count in (0, COIL_ON)
        case 0x06, _:
            return size == 4
        case 0x0F, Way.REQUEST:
            return size > 5 and data[4] == size - 5 == (count + 7) // 8
        case 0x10, Way.REQUEST:
            return size > 5 and data[4] == size - 5 == 2 * count
        case ((0x0F | 0x10), Way.REPLY):
            return size == 4
    return False


def explain(frame: Frame, told: Way | None, registers: Registers | None) -> dict[str, object]:
    """unit, function, name, kind, then what the function carries, then crc as sent.

    Numbers are numbers; with `registers`, `values` are the profile's names, values and units.
    """
    way, is_guess = way_of(frame, told)
    function = frame.function & ~frames.EXCEPTION
    explained: dict[str, object] = {
        "unit": frame.unit,
        "function": f"{frame.function:02X}",
        "name": NAMES.get(function, "unknown"),
        "kind": way.value,
    }
    if is_guess:
        explained["guessed"] = True
    explained |= _carried(frame, way)
    if registers is not None and way is Way.REPLY and function in (0x03, 0x04):
        explained["values"] = [
            {"name": name, "value": None if value is None else f"{value}", "unit": unit}
            for name, value, unit in values(frame, registers)
        ]
    return explained | {"crc": frames.encode(frame)[-2:].hex().upper()}


def _carried(frame: Frame, way: Way) -> dict[str, object]:
    data = frame.data
    first, second = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
    match way, frame.function:
        case Way.EXCEPTION, _ if len(data) == 1:
            name = EXCEPTIONS.get(data[0], "unknown")
            return {"exception": {"code": f"{data[0]:02X}", "name": name}}
        case Way.REQUEST, (0x01 | 0x02 | 0x03 | 0x04):
            return {"address": first, "count": second}
        case Way.REPLY, (0x01 | 0x02):
            bits = unpack_bits(data[1:], 8 * data[0])
            return {"bytes": data[0], "bits": [int(bit) for bit in bits]}
        case Way.REPLY, (0x03 | 0x04):
            return {"bytes": data[0], "registers": words(data[1:])}
        case ((Way.REQUEST | Way.REPLY), 0x05):
            return {"address": first, "on": second == COIL_ON}
        case ((Way.REQUEST | Way.REPLY), 0x06):
            return {"address": first, "value": second}
        case Way.REQUEST, 0x0F:
            bits = unpack_bits(data[5:], second)
            return {"address": first, "count": second, "bits": [int(bit) for bit in bits]}
        case Way.REQUEST, 0x10:
            return {"address": first, "count": second, "registers": words(data[5:])}
        case Way.REPLY, (0x0F | 0x10):
            return {"address": first, "count": second}
    return {"data": data.hex().upper()}


def words(data: bytes) -> list[int]:
    """The registers in an even number of bytes, high byte first."""
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def values(frame: Frame, registers: Registers) -> list[tuple[str, Decimal | str | None, str]]:
    """Name, value and unit of every register of the profile that lies whole in the reply.

    Values are as in the meter: ratios of instrument transformers are not multiplied in.
    """
    read = {
        (frame.function, registers.start + at): word
        for at, word in enumerate(words(frame.data[1:]))
    }
    known = registers.profile.registers
    found = profiles.decode(registers.profile, read, DIRECT)
    return [(name, value, known[name].unit) for name, value in found.items()]


def register_address(text: str) -> int:
    """A register address 0 to 65535: 11, 0x000B or 000BH. Raises ValueError."""
    try:
        if text.upper().endswith("H"):
            address = int(text[:-1], 16)
        else:
            address = int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError:
        raise ValueError(f"{text!r} is not an address: write 11, 0x000B or 000BH") from None
    if not 0 <= address <= 0xFFFF:
        raise ValueError(f"address {text} is not within 0 to 65535")
    return address


def split(data: bytes) -> list[tuple[Frame | None, bytes]]:
    """Frames and what lies between them, in order, whoever sent them: a log of a line has both."""
    found: list[tuple[int, Frame, bytes]] = []
    for requests in (True, False):
        start = 0
        for frame in Decoder(requests=requests).feed(data):
            sent = frames.encode(frame)
            start = data.index(sent, start)
            found.append((start, frame, sent))
            start += len(sent)
    pieces: list[tuple[Frame | None, bytes]] = []
    end = 0
    for start, frame, sent in sorted(found, key=lambda one: (one[0], -len(one[2]))):
        if start < end:
            continue
        if start > end:
            pieces.append((None, data[end:start]))
        pieces.append((frame, sent))
        end = start + len(sent)
    if end < len(data):
        pieces.append((None, data[end:]))
    return pieces
