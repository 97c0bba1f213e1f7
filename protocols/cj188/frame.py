"""The frame of CJ/T 188."""

from dataclasses import dataclass

START = 0x68
END = 0x16
PREAMBLE = 0xFE
SHORTEST = 13
LONGEST = SHORTEST + 255

WILDCARD = "AAAAAAAAAAAAAA"
ANY_TYPE = 0xAA


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame 帧. `type` is the meter type T, `control` the byte C, `data` the bytes DATA.

    `address` is 14 hexadecimal digits, high first: the vendor's code, then the meter's number.
    Digits only by the standard, but vendors use A to F too, so it stays text. AA seven times
    addresses any meter.
    """

    type: int
    address: str
    control: int
    data: bytes = b""

    @property
    def function(self) -> int:
        """Bits D5..D0 of C: the function code; D5 marks a vendor's own function."""
        return self.control & 0x3F

    @property
    def is_reply(self) -> bool:
        """D7: sent by the meter."""
        return bool(self.control & 0x80)

    @property
    def abnormal(self) -> bool:
        """D6: the meter reports a fault instead of an answer."""
        return bool(self.control & 0x40)


class BadFrame(ValueError):
    """Bytes that are not a frame. `kind` is one of no_start, checksum, bad_end, truncated."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def encode(frame: Frame, preamble: int = 4) -> bytes:
    """The frame as sent on the line, behind `preamble` bytes FE.

    68 T A0..A6 C L DATA CS 16: address low byte first, CS the sum modulo 256 of all bytes before
    it, the FE not included. A sleeping meter may need a longer preamble to wake.

    Raises ValueError if the address is not 14 hexadecimal digits, the data is longer than 255
    bytes, or type or control is not a byte.
    """
    address = bytes.fromhex(frame.address)[::-1]
    if len(frame.address) != 14 or len(address) != 7:
        raise ValueError(f"address {frame.address!r} is not 14 digits")
    body = bytes([START, frame.type, *address, frame.control, len(frame.data)]) + frame.data
    return bytes([PREAMBLE]) * preamble + body + bytes([sum(body) & 0xFF, END])


def decode(data: bytes) -> Frame:
    """The one frame that `data` starts with, behind any number of FE; what follows is ignored.

    Raises BadFrame; its kind `truncated` says that more bytes could still complete the frame.
    """
    body = data.lstrip(bytes([PREAMBLE]))
    if not body or body[0] != START:
        raise BadFrame("no_start")
    if len(body) < SHORTEST or len(body) < SHORTEST + body[10]:
        raise BadFrame("truncated")
    body = body[: SHORTEST + body[10]]
    if sum(body[:-2]) & 0xFF != body[-2]:
        raise BadFrame("checksum")
    if body[-1] != END:
        raise BadFrame("bad_end")
    return Frame(body[1], body[8:1:-1].hex().upper(), body[9], body[11:-2])


class Decoder:
    """Finds frames in the bytes of a line (`protocols.exchange.FrameDecoder`).

    A frame is found when its last byte arrives, whichever earlier 68H also looked like a start:
    a false start with a large length never makes a good frame wait. With `replies_only`, frames
    with D7 = 0 are dropped: RS-485 adapters may send a master its own request back, and an
    exchange must not take that for the answer.
    """

    def __init__(self, *, replies_only: bool = False) -> None:
        self._replies_only = replies_only
        self._tail = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end in `data`, in order. Never raises."""
        found = []
        for byte in data:
            self._tail.append(byte)
            if byte == END and (frame := self._frame_at_end()) is not None:
                self._tail.clear()
                if frame.is_reply or not self._replies_only:
                    found.append(frame)
            elif len(self._tail) == LONGEST:
                del self._tail[0]
        return found

    def _frame_at_end(self) -> Frame | None:
        tail = bytes(self._tail)
        start = tail.find(START)
        while 0 <= start <= len(tail) - SHORTEST:
            if start + SHORTEST + tail[start + 10] == len(tail):
                try:
                    return decode(tail[start:])
                except BadFrame:
                    pass
            start = tail.find(START, start + 1)
        return None
