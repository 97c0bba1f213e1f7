"""The raw frame console 报文调试: hexadecimal in, hexadecimal out, both explained.

A frame that is more than a plain read is sent only if the technician says that it is meant, and is written down. To
a meter of a service point none is sent: its supply is the agent's, and what it is told is told by its driver.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.field.room import MeterRoom
from edge.field.said import why_not
from edge.technician.answers import How, NoFrame, Protocol, read_hex, split_cj188, split_dlt645
from edge.technician.modbus_frames import Way
from edge.technician.part import Part
from edge.technician.parts import noise, parts_of, without_password
from prepaid.point import Meter
from prepaid.wire.uplog import Work
from protocols.cj188 import frame as cj188
from protocols.dlt645 import frame as dlt645
from protocols.modbus import frame as modbus

LONGEST = 300
WAIT_S = 1.0
READS_DLT645 = (0x01, 0x02, 0x11, 0x12, 0x13)  # both editions' reads, and the read of an address
READS_CJ188 = (0x01, 0x03, 0x09)
READS_MODBUS = (0x01, 0x02, 0x03, 0x04)


@dataclass(frozen=True, slots=True)
class Answered:
    """What was sent and heard, and what each byte of it says."""

    sent: bytes
    heard: bytes
    sent_parts: list[list[Part]]
    heard_parts: list[list[Part]]


@dataclass(frozen=True, slots=True)
class _Meant:
    """A frame in what is to be sent: whose, to whom, and whether it only reads."""

    protocol: Protocol
    address: str
    is_read: bool


async def send(
    room: MeterRoom, line: str, text: str, *, protocol: Protocol | None, is_meant: bool, by: str
) -> Answered:
    """Raises CannotDo, LineAway, StoreFull and StoreHeld."""
    try:
        data = read_hex(text)
    except NoFrame:
        raise why_not("This is not hexadecimal, or half a byte is missing.") from None
    if not 0 < len(data) <= LONGEST:
        raise why_not("Give 1 to %(most)s bytes.", most=LONGEST)
    at_hand = room.line(line)
    frames = _frames(data)
    if not frames or not all(frame.is_read for frame in frames):
        meters = [
            (point.name, point.meter)
            for point in room.store.points().values()
            if point.meter.line == line
        ]
        for name, meter in meters:
            if any(not frame.is_read and _hears(meter, frame) for frame in frames):
                raise why_not(
                    "The meter of %(point)s would hear this, and it is no plain read: it is not sent from here.",
                    point=name,
                )
        if not is_meant and not frames:
            raise why_not(
                "No meter would find a frame in this: look at its start, length and checksum. If it is meant all the "
                "same, say so; it is kept with your name."
            )
        if not is_meant:
            raise why_not(
                "This is no plain read: it may change a meter. Say that it is meant; it is kept with your name."
            )
        shown = without_password(data)
        room.write_down(Work.CONSOLE, by=by, text=f"line {line}: {shown}")
    heard = await at_hand.bus.hear(data, reply_s=WAIT_S)
    heard = heard.removeprefix(data)
    whose = protocol or (frames[0].protocol if frames else None)
    return Answered(
        data,
        heard,
        explained(data, whose, Way.REQUEST),
        explained(heard, whose, Way.REPLY) if heard else [],
    )


def explained(data: bytes, protocol: Protocol | None, way: Way | None = None) -> list[list[Part]]:
    """The parts of each frame; the bytes as noise where they are no frame of it."""
    if protocol is None:
        protocol = next((frame.protocol for frame in _frames(data)), None)
    if protocol is None:
        return [[noise(data)]]
    return parts_of(data, How(protocol, told=way))


def _frames(data: bytes) -> list[_Meant]:
    """Every frame that a meter could find in it, of whichever protocol."""
    found = [
        _Meant(Protocol.DLT645_2007, frame.address, frame.function in READS_DLT645)
        for frame, _ in split_dlt645(data)
        if frame is not None
    ]
    found += [
        _Meant(Protocol.CJT188, frame.address, frame.control in READS_CJ188)
        for frame, _ in split_cj188(data)
        if frame is not None
    ]
    found += [
        _Meant(Protocol.MODBUS_RTU, str(frame.unit), frame.function in READS_MODBUS)
        for frame in modbus.Decoder(requests=True).feed(data)
    ]
    return found


def _hears(meter: Meter, frame: _Meant) -> bool:
    match frame.protocol, meter.protocol:
        case Protocol.DLT645_2007, "dlt645-2007" | "dlt645-1997":  # one framing
            return frame.address == dlt645.BROADCAST or _fits(frame.address, meter.address)
        case Protocol.CJT188, "cjt188-2004":
            return frame.address == cj188.WILDCARD or frame.address == meter.address
        case Protocol.MODBUS_RTU, "modbus":
            return frame.address in ("0", meter.address)
    return False


def _fits(asked: str, address: str) -> bool:
    """Whether a meter answers to this, A standing for any digit."""
    return len(asked) == len(address) and all(
        one in ("A", other) for one, other in zip(asked.upper(), address, strict=True)
    )
