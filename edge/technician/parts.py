"""A frame cut into its fields, each with the bytes it takes on the line and what they mean."""

from __future__ import annotations

from edge.technician import modbus_frames
from edge.technician.answers import EDITIONS, How, Protocol, split_cj188, split_dlt645
from edge.technician.both import Both
from edge.technician.cj188_parts import cj188_parts
from edge.technician.dlt645_parts import dlt645_parts
from edge.technician.modbus_parts import modbus_parts
from edge.technician.part import Part, count_of
from protocols.dlt645 import frame as dlt645


def noise(data: bytes) -> Part:
    """Bytes that belong to no frame."""
    said = count_of(data) + Both(", no part of a frame", "，不属于任何帧")
    return Part(data, "noise", "干扰", (said,))


KINDS = {
    "odd_hex": "this is not hexadecimal, or half a byte is missing",
    "bad_line": "the line is not JSON with hex in it",
    "empty": "there are no bytes",
    "no_start": "there is no 68H where a frame could start",
    "bad_start": "the first byte is not 68H",
    "bad_start2": "the byte after the address is not 68H",
    "checksum": "the checksum is wrong",
    "bad_checksum": "the checksum is wrong",
    "bad_crc": "the CRC is wrong",
    "bad_end": "the last byte is not 16H",
    "truncated": "the end is missing",
    "too_long": "it is longer than a frame can be",
}
"""Why bytes are no frame, by the kind of `NoFrame`."""


def parts_of(data: bytes, how: How) -> list[list[Part]]:
    """The parts of each frame, and of each run of bytes between them."""
    match how.protocol:
        case Protocol.CJT188:
            return [
                [noise(sent)] if frame is None else cj188_parts(sent, how.quirks)
                for frame, sent in split_cj188(data)
            ]
        case Protocol.MODBUS_RTU:
            return [
                [noise(sent)] if frame is None else modbus_parts(frame, how.told, how.registers)
                for frame, sent in modbus_frames.split(data)
            ]
    return [
        [noise(sent)] if frame is None else dlt645_parts(sent, EDITIONS[how.protocol])
        for frame, sent in split_dlt645(data)
    ]


PASSWORDS_AT = {0x04: (3,), 0x0F: (1, 5), 0x14: (5,), 0x18: (5, 9)} | dict.fromkeys(
    (0x19, 0x1A, 0x1B, 0x1C), (1,)
)
"""Where the passwords stand in the data of a DL/T 645 request, three bytes each, by function."""


def without_password(sent: bytes) -> str:
    """A request in hexadecimal, ** for each byte of a password; an echo hides nothing."""
    pairs = sent.hex(" ").upper().split(" ")
    for frame in dlt645.Decoder().feed(sent):
        start = len(sent) - dlt645.SHORTEST - len(frame.data) + 10
        for at in PASSWORDS_AT.get(frame.function, ()):
            pairs[start + at : start + at + 3] = ["**"] * 3
    return " ".join(pairs)
