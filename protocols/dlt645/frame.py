"""The frame of DL/T 645, the same in the editions of 1997 and 2007."""

from dataclasses import dataclass
from functools import lru_cache

from protocols.delimited import END, PREAMBLE, REPLY, START, Tail
from protocols.record import setters

OFFSET = 0x33
SHORTEST = 12
LONGEST = SHORTEST + 255

BROADCAST = "999999999999"
WILDCARD = "AAAAAAAAAAAA"


@dataclass(frozen=True, slots=True, init=False)
class Frame:
    """One frame 帧, as meant: address high digit first, data without the +33H of the line.

    `address` is 12 digits; AA pairs are wildcards 通配 (all twelve, or the leading ones), and
    999999999999 is the broadcast address 广播地址. `control` is the byte C, `data` the bytes DATA.
    """

    address: str
    control: int
    data: bytes

    def __init__(self, address: str, control: int, data: bytes = b"") -> None:
        _set_address(self, address)
        _set_control(self, control)
        _set_data(self, data)

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


_set_address, _set_control, _set_data = setters(Frame)


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
    body += frame.data.translate(_RAISED)
    return bytes([PREAMBLE]) * preamble + body + bytes([sum(body) & 0xFF, END])


def decode(data: bytes) -> Frame:
    """The one frame that `data` starts with, behind any number of FE; what follows is ignored.

    Raises BadFrame; its kind `truncated` says that more bytes could still complete the frame.
    """
    body = data.lstrip(_PREAMBLE)
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
    return _frame(body)


def _frame(body: bytes) -> Frame:
    return Frame(_address(body[1:7]), body[8], body[10:-2].translate(_LOWERED))


@lru_cache(maxsize=1024)
def _address(wire: bytes) -> str:
    """A0 to A5 as text. A line has few addresses, and says them in every frame."""
    return wire[::-1].hex().upper()


_PREAMBLE = bytes([PREAMBLE])
_RAISED = bytes((byte + OFFSET) & 0xFF for byte in range(256))
_LOWERED = bytes((byte - OFFSET) & 0xFF for byte in range(256))


class Decoder:
    """Finds frames in the bytes of a line (`protocols.exchange.FrameDecoder`), as `Tail.feed` tells.

    With `replies_only`, frames with D7 = 0 are dropped: RS-485 adapters may send a master its own
    request back, and an exchange must not take that for the answer.
    """

    def __init__(self, *, replies_only: bool = False) -> None:
        self._replies_only = replies_only
        self._tail = Tail(length_at=9, again_at=7)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end in `data`, in order. Never raises."""
        body = data.lstrip(_PREAMBLE)
        size = len(body)
        # Mostly one whole frame comes alone and clean.
        if (
            size >= SHORTEST
            and body[9] == size - SHORTEST
            and body[0] == START == body[7]
            and body[-1] == END
            and (sum(body) - END - (check := body[-2])) & 0xFF == check
            and not self._tail
        ):
            return [_frame(body)] if body[8] & REPLY or not self._replies_only else []
        found = [_frame(body) for body in self._tail.feed(data)]
        return [frame for frame in found if frame.is_reply] if self._replies_only else found
