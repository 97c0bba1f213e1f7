"""The frame of DL/T 645, the same in the editions of 1997 and 2007."""

from dataclasses import dataclass

START = 0x68
END = 0x16
PREAMBLE = 0xFE
OFFSET = 0x33
SHORTEST = 12
LONGEST = SHORTEST + 255

BROADCAST = "999999999999"
WILDCARD = "AAAAAAAAAAAA"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame 帧, as meant: address high digit first, data without the +33H of the line.

    `address` is 12 digits; AA pairs are wildcards 通配 (all twelve, or the leading ones), and
    999999999999 is the broadcast address 广播地址. `control` is the byte C, `data` the bytes DATA.
    """

    address: str
    control: int
    data: bytes = b""

    @property
    def function(self) -> int:
        """Bits D4..D0 of C: the function code."""
        return self.control & 0x1F

    @property
    def is_reply(self) -> bool:
        """D7: sent by the meter."""
        return bool(self.control & 0x80)

    @property
    def abnormal(self) -> bool:
        """D6: the meter refuses, and the data is an error word."""
        return bool(self.control & 0x40)

    @property
    def follow(self) -> bool:
        """D5: more data follows 有后续帧."""
        return bool(self.control & 0x20)


class BadFrame(ValueError):
    """Bytes that are not a frame. `kind` is one of bad_start, bad_start2, bad_checksum, bad_end
    and truncated."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def encode(frame: Frame, preamble: int = 4) -> bytes:
    """The frame as sent on the line, behind `preamble` bytes FE.

    68 A0..A5 68 C L DATA CS 16: address low byte first, each data byte +33H, CS the sum modulo
    256 of all bytes before it, the FE not included (DL/T 645-2007 and -1997).

    Raises ValueError if the address is not 12 hexadecimal digits, the data is longer than 255
    bytes or the control is not a byte.
    """
    address = bytes.fromhex(frame.address)[::-1]
    if len(frame.address) != 12 or len(address) != 6:
        raise ValueError(f"address {frame.address!r} is not 12 digits")
    body = bytes([START, *address, START, frame.control, len(frame.data)])
    body += bytes((byte + OFFSET) & 0xFF for byte in frame.data)
    return bytes([PREAMBLE]) * preamble + body + bytes([sum(body) & 0xFF, END])


def decode(data: bytes) -> Frame:
    """The one frame that `data` starts with, behind any number of FE; what follows is ignored.

    Raises BadFrame; its kind `truncated` says that more bytes could still complete the frame.
    """
    body = data.lstrip(bytes([PREAMBLE]))
    if body and body[0] != START:
        raise BadFrame("bad_start")
    if len(body) > 7 and body[7] != START:
        raise BadFrame("bad_start2")
    if len(body) < SHORTEST or len(body) < SHORTEST + body[9]:
        raise BadFrame("truncated")
    body = body[: SHORTEST + body[9]]
    if sum(body[:-2]) & 0xFF != body[-2]:
        raise BadFrame("bad_checksum")
    if body[-1] != END:
        raise BadFrame("bad_end")
    return Frame(
        address=body[6:0:-1].hex().upper(),
        control=body[8],
        data=bytes((byte - OFFSET) & 0xFF for byte in body[10:-2]),
    )


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
            if start + SHORTEST + tail[start + 9] == len(tail):
                try:
                    return decode(tail[start:])
                except BadFrame:
                    pass
            start = tail.find(START, start + 1)
        return None
