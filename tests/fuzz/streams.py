"""Byte streams as bad lines make them: good frames, and everything that can be between them.

All comes out of one `Random`, so a stream is its seed again. What a good frame is, is said here a
second time, independently of `protocols`: byte by byte and slowly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Codec:
    """How to make frames of one protocol, and how to see them.

    `frame` makes one as sent on the line, `pair` a request and its reply. `length` says how long
    a frame that starts at a place would be by its own bytes, or 0; `is_sealed` whether a piece of
    that length has the right sum and end. `alphabet` are bytes that look like structure, and
    `inner` makes a frame that carries another one in its data.
    """

    frame: Callable[[Random], bytes]
    pair: Callable[[Random], bytes]
    inner: Callable[[Random, bytes], bytes]
    length: Callable[[bytes, int], int]
    is_sealed: Callable[[bytes], bool]
    alphabet: bytes
    preamble: bytes

    def spans(self, data: bytes) -> list[Span]:
        """Every piece of `data` that is a frame by its own bytes, by start."""
        found = []
        for start in range(len(data)):
            size = self.length(data, start)
            if size and start + size <= len(data) and self.is_sealed(data[start : start + size]):
                found.append((start, start + size))
        return found


@dataclass(slots=True)
class Stream:
    """`placed` are the frames that were put in on purpose and whole."""

    data: bytearray = field(default_factory=bytearray)
    placed: list[Span] = field(default_factory=list)

    def add(self, piece: bytes) -> None:
        self.data += piece

    def place(self, frame: bytes) -> None:
        self.placed.append((len(self.data), len(self.data) + len(frame)))
        self.data += frame


def stream(random: Random, codec: Codec) -> Stream:
    """One to six pieces, good and bad."""
    made = Stream()
    for _ in range(random.randint(1, 6)):
        if random.random() < 0.5:
            made.add(codec.preamble * random.choice((0, 1, 2, 4, 13)))
        random.choice(PIECES)(random, codec, made)
    return made


def _good(random: Random, codec: Codec, made: Stream) -> None:
    made.place(codec.frame(random))


def _joined(random: Random, codec: Codec, made: Stream) -> None:
    for _ in range(random.randint(2, 3)):
        made.place(codec.frame(random))


def _echo_and_reply(random: Random, codec: Codec, made: Stream) -> None:
    made.add(codec.pair(random))


def _cut(random: Random, codec: Codec, made: Stream) -> None:
    frame = codec.frame(random)
    at = random.randrange(len(frame))
    made.add(frame[:at] if random.random() < 0.7 else frame[at:])


def _flipped(random: Random, codec: Codec, made: Stream) -> None:
    frame = bytearray(codec.frame(random))
    for _ in range(random.randint(1, 3)):
        frame[random.randrange(len(frame))] ^= 1 << random.randrange(8)
    made.add(bytes(frame))


def _overwritten(random: Random, codec: Codec, made: Stream) -> None:
    """Among these are wrong lengths: any byte becomes any other."""
    frame = bytearray(codec.frame(random))
    frame[random.randrange(len(frame))] = random.randrange(256)
    made.add(bytes(frame))


def _interrupted(random: Random, codec: Codec, made: Stream) -> None:
    frame = codec.frame(random)
    at = random.randrange(len(frame))
    made.add(frame[:at] + noise(random, codec) + frame[at:])


def _repeated_byte(random: Random, codec: Codec, made: Stream) -> None:
    frame = codec.frame(random)
    at = random.randrange(len(frame))
    made.add(frame[: at + 1] + frame[at:])


def _noise(random: Random, codec: Codec, made: Stream) -> None:
    made.add(noise(random, codec))


def _nested(random: Random, codec: Codec, made: Stream) -> None:
    made.place(codec.inner(random, codec.frame(random)[:100]))


def noise(random: Random, codec: Codec) -> bytes:
    """Random bytes, or bytes that look like structure and are none."""
    size = random.choice((0, 1, 2, 3, 7, 8, 12, 30, 120))
    if random.random() < 0.5:
        return random.randbytes(size)
    return bytes(random.choices(codec.alphabet, k=size))


PIECES = (
    _good,
    _good,
    _good,
    _joined,
    _echo_and_reply,
    _cut,
    _flipped,
    _overwritten,
    _interrupted,
    _repeated_byte,
    _noise,
    _noise,
    _nested,
)


def chunks(random: Random, made: Stream) -> Iterator[bytes]:
    """The stream cut somehow: at random places, at the ends of its frames, or byte by byte."""
    data = bytes(made.data)
    how = random.random()
    if how < 0.1:
        edges = range(len(data) + 1)
    elif how < 0.4:
        edges = sorted({0, len(data), *(edge for span in made.placed for edge in span)})
    else:
        cuts = random.choices(range(len(data) + 1), k=random.randint(1, 6))
        edges = sorted({0, len(data), *cuts})
    return (data[a:b] for a, b in pairwise(edges))


def sum_is_right(piece: bytes) -> bool:
    """CS and 16H at the end: the rule of DL/T 645 and of CJ/T 188."""
    total = 0
    for byte in piece[:-2]:
        total += byte
    return total % 256 == piece[-2] and piece[-1] == 0x16


def sealed(body: bytes) -> bytes:
    return body + bytes([sum(body) % 256, 0x16])


def crc_is_right(piece: bytes) -> bool:
    """The CRC of Modbus as its specification prints it, with a shift for each bit of the sum."""
    crc = 0xFFFF
    for byte in piece[:-2]:
        crc ^= byte
        crc = (crc >> 8) ^ _SHIFTED[crc & 0xFF]
    return crc == piece[-2] | piece[-1] << 8


def _shifted(low: int) -> int:
    for _ in range(8):
        low = low >> 1 ^ 0xA001 if low & 1 else low >> 1
    return low


_SHIFTED = [_shifted(low) for low in range(256)]


def with_crc(body: bytes) -> bytes:
    crc = 0xFFFF
    for byte in body:
        crc ^= byte
        crc = (crc >> 8) ^ _SHIFTED[crc & 0xFF]
    return body + bytes([crc & 0xFF, crc >> 8])


# DL/T 645

ADDRESSES = [bytes.fromhex(text) for text in ("016745230110", "AAAAAAAAAAAA", "166816681668")]
IDENTIFIERS = [
    bytes.fromhex(text)[::-1]
    for text in (
        *("00010000", "0001FF00", "02010100", "0201FF00", "04000503", "0400010C", "03010101"),
        *("0501FF01", "05060001", "040005FF", "03330501", "06000002", "00900200", "0501FF02"),
    )
]


def _wire_data(random: Random) -> bytes:
    size = random.choice((0, 1, 4, 4, 5, 6, 8, 12, 20, 60, 200, 255))
    if random.random() < 0.3:
        return bytes(random.choices(b"\x68\x16\xfe\x33\x9b", k=size))
    if size >= 4 and random.random() < 0.5:
        plain = random.choice(IDENTIFIERS) + random.randbytes(size - 4)
        return bytes((byte + 0x33) % 256 for byte in plain)
    return random.randbytes(size)


def _dlt645_head(random: Random) -> bytes:
    address = random.choice(ADDRESSES) if random.random() < 0.7 else random.randbytes(6)
    return b"\x68" + address + b"\x68"


def _dlt645_control(random: Random) -> int:
    if random.random() < 0.2:
        return random.randrange(256)
    return random.choice((0x11, 0x91, 0xB1, 0xD1, 0x92, 0x13, 0x93, 0x1C, 0x9C, 0x81, 0x01, 0x83))


def _dlt645(random: Random, control: int, data: bytes) -> bytes:
    return sealed(_dlt645_head(random) + bytes([control, len(data)]) + data)


def _dlt645_pair(random: Random) -> bytes:
    head = _dlt645_head(random)
    data = _wire_data(random)[:200]
    request = sealed(head + bytes([0x11, min(len(data), 4)]) + data[:4])
    return (
        request + b"\xfe" * random.choice((0, 4)) + sealed(head + bytes([0x91, len(data)]) + data)
    )


def _dlt645_length(data: bytes, start: int) -> int:
    if start + 10 > len(data) or data[start] != 0x68 or data[start + 7] != 0x68:
        return 0
    return 12 + data[start + 9]


DLT645 = Codec(
    frame=lambda random: _dlt645(random, _dlt645_control(random), _wire_data(random)),
    pair=_dlt645_pair,
    inner=lambda random, frame: _dlt645(random, 0x91, b"\x33" + frame + b"\x16"),
    length=_dlt645_length,
    is_sealed=sum_is_right,
    alphabet=b"\x68\x68\x68\x16\x16\xfe\x00\x01\x91\x08",
    preamble=b"\xfe",
)


# CJ/T 188

CJ188_IDENTIFIERS = [
    bytes.fromhex(text)
    for text in ("901F", "1F90", "810A", "A017", "17A0", "8105", "8102", "D120", "911F", "A013")
]


def _cj188_data(random: Random) -> bytes:
    size = random.choice((0, 1, 2, 3, 4, 5, 8, 10, 18, 22, 46, 62, 255))
    if random.random() < 0.3:
        return bytes(random.choices(b"\x68\x16\xfe\x2c", k=size))
    if size >= 2 and random.random() < 0.6:
        return random.choice(CJ188_IDENTIFIERS) + random.randbytes(size - 2)
    return random.randbytes(size)


def _cj188_head(random: Random) -> bytes:
    address = bytes.fromhex("44332211003378") if random.random() < 0.5 else random.randbytes(7)
    return b"\x68" + random.choice((b"\x10", b"\x20", b"\x30", b"\xaa", b"\x68")) + address


def _cj188(random: Random, control: int, data: bytes) -> bytes:
    return sealed(_cj188_head(random) + bytes([control, len(data)]) + data)


def _cj188_pair(random: Random) -> bytes:
    head = _cj188_head(random)
    data = _cj188_data(random)[:200]
    request = sealed(head + b"\x01\x03\x90\x1f\x00")
    return (
        request + b"\xfe" * random.choice((0, 4)) + sealed(head + bytes([0x81, len(data)]) + data)
    )


def _cj188_length(data: bytes, start: int) -> int:
    if start + 11 > len(data) or data[start] != 0x68:
        return 0
    return 13 + data[start + 10]


CJ188 = Codec(
    frame=lambda random: _cj188(
        random,
        random.choice((0x01, 0x81, 0xC1, 0x84, 0x83, 0x04, 0x95, random.randrange(256))),
        _cj188_data(random),
    ),
    pair=_cj188_pair,
    inner=lambda random, frame: _cj188(random, 0x81, b"\x90\x1f\x00" + frame),
    length=_cj188_length,
    is_sealed=sum_is_right,
    alphabet=b"\x68\x68\x16\x16\xfe\x10\x00\x01\x81\x03",
    preamble=b"\xfe",
)


# Modbus RTU. Lengths as in the specification's chapter on the function codes.


def _modbus_unit(random: Random) -> int:
    return random.choice((1, 1, 2, 3, 16, 247, random.randrange(256)))


def modbus_request(random: Random) -> bytes:
    unit = _modbus_unit(random)
    function = random.choice((1, 2, 3, 3, 4, 5, 6, 15, 16))
    place = random.choice((b"\0\0", b"\x01\x03", random.randbytes(2)))
    if function in (15, 16):
        size = 2 * random.choice((1, 2, 10, 123))
        body = place + bytes([0, size // 2, size]) + random.randbytes(size)
    else:
        body = place + random.choice((b"\0\2", b"\0\x7d", random.randbytes(2)))
    return with_crc(bytes([unit, function]) + body)


def modbus_reply(random: Random) -> bytes:
    unit = _modbus_unit(random)
    function = random.choice((1, 3, 3, 3, 4, 5, 6, 16, 0x83, 0x90))
    if function >= 0x80:
        body = bytes([random.randint(1, 11)])
    elif function <= 4:
        size = 2 * random.choice((1, 2, 10, 28, 125))
        body = bytes([size]) + (
            random.randbytes(size)
            if random.random() < 0.7
            else bytes(random.choices(b"\0\1\2\3\4\x83", k=size))
        )
    else:
        body = random.randbytes(4)
    return with_crc(bytes([unit, function]) + body)


def _modbus_pair(random: Random) -> bytes:
    unit, count = _modbus_unit(random), random.choice((1, 2, 10))
    request = with_crc(bytes([unit, 3, 0, 0, 0, count]))
    return request + with_crc(bytes([unit, 3, 2 * count]) + random.randbytes(2 * count))


def modbus_request_length(data: bytes, start: int) -> int:
    rest = data[start : start + 11]
    if len(rest) < 2:
        return 0
    match rest[1]:
        case 1 | 2 | 3 | 4 | 5 | 6 | 8:
            size = 8
        case 7 | 0x0B | 0x0C | 0x11:
            size = 4
        case 0x0F | 0x10 if len(rest) > 6:
            size = 9 + rest[6]
        case 0x14 | 0x15 if len(rest) > 2:
            size = 5 + rest[2]
        case 0x16:
            size = 10
        case 0x17 if len(rest) > 10:
            size = 13 + rest[10]
        case 0x18:
            size = 6
        case 0x2B:
            size = 7
        case _:
            size = 0
    return size if size <= 256 else 0


def modbus_reply_length(data: bytes, start: int) -> int:
    rest = data[start : start + 3]
    if len(rest) < 2:
        return 0
    match rest[1]:
        case 5 | 6 | 8 | 0x0B | 0x0F | 0x10:
            size = 8
        case 7:
            size = 5
        case 0x16:
            size = 10
        case 1 | 2 | 3 | 4 | 0x0C | 0x11 | 0x14 | 0x15 | 0x17 if len(rest) > 2:
            size = 5 + rest[2]
        case code if code & 0x80 and code & 0x7F in MODBUS_CODES:
            size = 5
        case _:
            size = 0
    return size if size <= 256 else 0


MODBUS_CODES = frozenset(
    {*range(1, 9), 0x0B, 0x0C, 0x0F, *range(0x10, 0x12), *range(0x14, 0x19), 0x2B}
)

MODBUS_REQUESTS = Codec(
    frame=modbus_request,
    pair=_modbus_pair,
    inner=lambda random, frame: with_crc(
        bytes([1, 16, 0, 0, 0, (len(frame) + 1) // 2, len(frame)]) + frame
    ),
    length=modbus_request_length,
    is_sealed=crc_is_right,
    alphabet=bytes([0, 1, 1, 2, 3, 3, 4, 6, 8, 16, 0x83, 0xFA]),
    preamble=b"\0",
)
MODBUS_REPLIES = Codec(
    frame=modbus_reply,
    pair=_modbus_pair,
    inner=lambda random, frame: with_crc(bytes([1, 3, len(frame)]) + frame),
    length=modbus_reply_length,
    is_sealed=crc_is_right,
    alphabet=MODBUS_REQUESTS.alphabet,
    preamble=b"\0",
)
