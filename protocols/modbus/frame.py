"""The frame of Modbus on a serial line (RTU), and the splitter that finds it in a stream.

Written here rather than taken from pymodbus: its PDU classes bring asyncio and a data store with
them, and its RTU framer gives up the rest of the buffer at a bad CRC and waits on a false start.
The tests hold this file against pymodbus on clean streams.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

Bytes: TypeAlias = bytes | bytearray

BROADCAST: Final = 0
SHORTEST: Final = 4
LONGEST: Final = 256
MOST_DATA: Final = 252

READ_COILS: Final = 0x01
READ_DISCRETE: Final = 0x02
READ_HOLDING: Final = 0x03
READ_INPUT: Final = 0x04
WRITE_COIL: Final = 0x05
WRITE_REGISTER: Final = 0x06
WRITE_COILS: Final = 0x0F
WRITE_REGISTERS: Final = 0x10
READS: Final = frozenset({READ_COILS, READ_DISCRETE, READ_HOLDING, READ_INPUT})
EXCEPTION: Final = 0x80


class Frame(NamedTuple):
    """One request or reply, without the CRC.

    `unit` is the address on the line 从站地址: 1 to 247, 0 to all. `data` follows the function
    code. `transaction` numbers the requests over TCP; a serial line has none, and it stays 0.

    A named tuple, since of all frozen records Python makes these quickest.
    """

    unit: int
    function: int
    data: bytes = b""
    transaction: int = 0

    @property
    def is_exception(self) -> bool:
        """The device refuses: bit 7 of the function code, and the data is the exception code."""
        return bool(self.function & EXCEPTION)


_new = tuple.__new__  # what `Frame` itself calls, without the way there


class BadFrame(ValueError):
    """Bytes that are not a frame. `kind` is one of truncated, too_long, bad_crc, bad_header."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def encode(frame: Frame) -> bytes:
    """The frame as sent on a serial line: unit, function, data, CRC low byte first.

    Raises ValueError if unit or function is not a byte, or the data is longer than 252 bytes.
    """
    if len(frame.data) > MOST_DATA:
        raise ValueError(f"{len(frame.data)} bytes of data; a frame holds {MOST_DATA}")
    body = bytes([frame.unit, frame.function]) + frame.data
    return body + crc16(body).to_bytes(2, "little")


def decode(data: bytes) -> Frame:
    """The one frame that `data` is, from first to last byte.

    Raises BadFrame.
    """
    if len(data) < SHORTEST:
        raise BadFrame("truncated")
    if len(data) > LONGEST:
        raise BadFrame("too_long")
    if crc16(data):
        raise BadFrame("bad_crc")
    return Frame(data[0], data[1], bytes(data[2:-2]))


def silent_interval_s(baud: int) -> float:
    """The silence that must lie between two frames: 3.5 characters of 11 bits, and 1.750 ms at
    every rate above 19200."""
    return 0.00175 if baud > 19200 else 3.5 * 11 / baud


def crc16(data: Bytes) -> int:
    """CRC-16 of Modbus over at most 256 bytes: polynomial A001H reflected, start FFFFH. Zero over a
    frame with its CRC."""
    size = len(data)
    if size >= WORTH_FOLDING:
        return _crc16_folded(data)
    crc = 0xFFFF
    for word in _WORDS[size >> 1](data):
        crc = _OF_WORD[crc ^ word]
    return crc >> 8 ^ _OF_BYTE[(crc ^ data[-1]) & 0xFF] if size & 1 else crc


WORTH_FOLDING: Final = 40
"""Bytes. Below, a table of words is quicker than arithmetic on one large number."""


def _crc16_folded(data: Bytes) -> int:
    """The same as the remainder of one large number, which Python divides much faster than a loop.

    The bits of the data, the first 16 inverted for the start FFFFH and 16 zeros behind them, are
    a polynomial; the CRC is what remains of it modulo x^16 + x^15 + x^2 + 1, that is
    (x + 1)(x^15 + x + 1). Squaring is linear, so modulo the second factor x^(15k) = x^k + 1 for
    every k that is a power of two: all above bit 15k is folded down, shifted by k and not
    shifted, and each fold halves the number. Modulo x + 1 only the parity remains, and it is
    preserved by adding the second factor, which is odd, where the fold has changed it.
    """
    rest = int.from_bytes(data.translate(_REVERSED), "big") ^ (0xFFFF << 8 * len(data) - 16)
    is_odd = rest.bit_count() & 1
    rest <<= 16
    for k, width, mask in _FOLDS:
        while high := rest >> width:
            rest = rest & mask ^ high ^ high << k
    if rest.bit_count() & 1 != is_odd:
        rest ^= 0x8003
    return _REVERSED[rest & 0xFF] << 8 | _REVERSED[rest >> 8]


# The first byte sent has the highest powers, and in each byte the lowest bit has.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_FOLDS = [(k, 15 * k, (1 << 15 * k) - 1) for k in (128, 64, 32, 16, 8, 4, 2, 1)]


def _byte_table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 * (crc & 1)
        table.append(crc)
    return table


_WORDS = [Struct(f"<{count}H").unpack_from for count in range(WORTH_FOLDING // 2 + 1)]

# A register of 16 bits is renewed whole by 16 bits of data, so one look-up serves two bytes. The
# CRC is linear: the table of words is the sum of a table for each byte. As an array it stays in
# the processor's cache.
_OF_BYTE = _byte_table()
_OF_WORD = array(
    "H",
    (
        _OF_BYTE[high] ^ low
        for high in range(256)
        for low in [c >> 8 ^ _OF_BYTE[c & 0xFF] for c in _OF_BYTE]
    ),
)


# Codes beyond the eight we speak are here so that a device can refuse them.
_REQUESTS = {
    **dict.fromkeys((0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x08), (8, 0)),
    **dict.fromkeys((0x07, 0x0B, 0x0C, 0x11), (4, 0)),
    0x16: (10, 0),
    0x18: (6, 0),
    0x2B: (7, 0),
    **dict.fromkeys((0x0F, 0x10), (9, 6)),
    **dict.fromkeys((0x14, 0x15), (5, 2)),
    0x17: (13, 10),
}
"""Function code to how long the whole frame is: so many bytes, and, where the second number is
not 0, as many more as the byte at that place says."""
_REPLIES = {
    **dict.fromkeys((0x05, 0x06, 0x08, 0x0B, 0x0F, 0x10), (8, 0)),
    0x07: (5, 0),
    0x16: (10, 0),
    **dict.fromkeys((0x01, 0x02, 0x03, 0x04, 0x0C, 0x11, 0x14, 0x15, 0x17), (5, 2)),
    **{function | EXCEPTION: (5, 0) for function in _REQUESTS},
}
_NO_SIZE = (0, 0)


class Decoder:
    """Finds frames in the bytes of a line (`protocols.exchange.FrameDecoder`).

    With `requests`, those that a master sends; else those that devices send. Modbus marks no
    start, and only the function code tells how long a frame is, so any byte may start one: each
    is tried, and a frame is found when its last byte is there, whatever before it or around it
    also looked like one. Where one lies inside another that is already whole, it is left out.
    An attempt of a master whose request is known is better served by `ReplyDecoder`.
    """

    def __init__(self, *, requests: bool) -> None:
        self._sizes = _REQUESTS if requests else _REPLIES
        self._tail = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end in `data`, in order. Never raises."""
        size = len(data)
        if SHORTEST <= size <= LONGEST and not self._tail:
            # Mostly the whole frame comes alone and clean.
            base, count_at = self._sizes.get(data[1], _NO_SIZE)
            if base <= size and size == base + (count_at and data[count_at]) and not crc16(data):
                return [_new(Frame, (data[0], data[1], data[2:-2], 0))]
        return [_frame(found) for found in _split(self._tail, data, self._length)]

    def gap(self) -> None:
        """The line was silent for `silent_interval_s`: what is unfinished is not a frame.

        Nobody has to call this. Adapters pause inside a frame, so only one who times the bytes
        at the wire should.
        """
        self._tail.clear()

    def _length(self, tail: Bytes, start: int) -> int:
        if start + 1 >= len(tail):
            return SHORTEST
        base, count_at = self._sizes.get(tail[start + 1], _NO_SIZE)
        if not count_at or start + count_at >= len(tail):
            return base
        length = base + tail[start + count_at]
        return length if length <= LONGEST else 0


class ReplyDecoder:
    """Finds the reply to one request, as `encode` gave it; lives for one attempt.

    Only what can answer this request passes: its unit, its function, as many bytes as were asked
    or the address written, or its exception. With `echoes`, the line sends our own bytes back,
    and they come first. The reply to a single write 05H or 06H is the same bytes again, so there
    the first copy is the echo and the second the reply; without `echoes` the first is the reply.
    A copy of a read is always dropped.

    Raises ValueError if `request` is not one of the eight functions of `protocols.modbus.master`, or
    asks for more than a frame holds.
    """

    __slots__ = ("_echo_awaited", "_tail", "_wanted")

    def __init__(self, request: bytes, *, echoes: bool) -> None:
        self._wanted = _answer(request)
        self._echo_awaited = echoes
        self._tail: Bytes = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end in `data`, in order. Never raises."""
        size, head, crc, words, unit, function = self._wanted.whole
        if len(data) == size and data.startswith(head) and not (self._echo_awaited or self._tail):
            # Mostly the whole reply comes alone and clean.
            if words is None:
                crc = crc16(data)
            else:
                for word in words(data):
                    crc = _OF_WORD[crc ^ word]
            if not crc:
                return [_new(Frame, (unit, function, data[2:-2], 0))]
        self._tail = tail = bytearray(self._tail)
        found = _split(tail, data, self._length)
        return [_frame(one) for one in found if not self._is_echo(one)]

    def gap(self) -> None:
        """As `Decoder.gap`."""
        self._tail = b""

    def _length(self, tail: Bytes, start: int) -> int:
        head, size = self._wanted.head, self._wanted.size
        if tail.startswith(head, start):
            return size
        if tail[start] != head[0]:
            return 0
        seen = bytes(tail[start : start + len(head)])
        if len(seen) > 1 and seen[1] == head[1] | EXCEPTION:
            return 5
        return size if head.startswith(seen) else 0

    def _is_echo(self, found: bytes) -> bool:
        request = self._wanted.request
        if self._wanted.is_read:
            return found == request
        # The start of a write of many can, by its CRC, look like the reply.
        if self._echo_awaited and request.startswith(found):
            self._echo_awaited = False
            return True
        return False


Words: TypeAlias = Callable[[Bytes], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the reply to a request is like: how it begins and how long it is.

    `whole` is what a reply that comes alone is known by: size, head, the CRC of the head, what gives the
    words behind it or None where `crc16` is quicker, unit and function. A copy of a read is never its
    reply, so where that has the same size, `whole` has none.
    """

    request: bytes
    is_read: bool
    head: bytes
    size: int
    whole: tuple[int, bytes, int, Words | None, int, int]


@lru_cache(maxsize=256)
def _answer(request: bytes) -> _Answer:
    """A master asks the same things over and over, so this is kept."""
    head, size, is_read = _begins(request)
    behind = size - len(head)
    words = (
        None if behind & 1 or behind >= WORTH_FOLDING else Struct(f"<{len(head)}x{behind // 2}H")
    )
    whole = (
        0 if is_read and size == len(request) else size,
        head,
        crc16(head),
        None if words is None else words.unpack,
        request[0],
        request[1],
    )
    return _Answer(request, is_read, head, size, whole)


def _begins(request: bytes) -> tuple[bytes, int, bool]:
    """The first bytes of the reply, its size, and whether the request reads."""
    if len(request) < 8:
        raise ValueError("the request is not a whole frame")
    count = int.from_bytes(request[4:6], "big")
    match request[1]:
        case 0x01 | 0x02:
            size = (count + 7) // 8
        case 0x03 | 0x04:
            size = 2 * count
        case 0x05 | 0x06 | 0x0F | 0x10:
            return request[:6], 8, False
        case other:
            raise ValueError(f"function {other:02X} has no reply of known length")
    if size > MOST_DATA - 1:
        raise ValueError(f"no reply holds the {count} that the request asks for")
    return bytes([*request[:2], size]), 5 + size, True


def _frame(found: bytes) -> Frame:
    return Frame(found[0], found[1], found[2:-2])


def _split(tail: bytearray, data: bytes, length: Callable[[Bytes, int], int]) -> list[bytes]:
    """The frames that end in `data`; `tail` is what came before, and becomes what is unfinished.

    `length` says how long a frame that starts there would be, or at least, as far as its bytes
    are there; 0 where none can start. Starts are tried in order, so of two frames that end here
    the later one begins behind the earlier one, or lies inside it and is left out.
    """
    last = len(tail)
    tail += data
    size = len(tail)
    found: list[bytes] = []
    keep = size
    for start in range(size):
        needed = length(tail, start)
        end = start + needed
        if end > size:
            keep = min(keep, start)
        elif needed and end > last and not crc16(one := bytes(tail[start:end])):
            found.append(one)
            last = end
    del tail[:keep]
    return found
