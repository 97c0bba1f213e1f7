"""The frame of CJ/T 188."""

from dataclasses import dataclass

from protocols.delimited import END, PREAMBLE, REPLY, START, Tail, is_good
from protocols.record import setters

SHORTEST = 13
LONGEST = SHORTEST + 255

WILDCARD = "AAAAAAAAAAAAAA"
ANY_TYPE = 0xAA


@dataclass(frozen=True, slots=True, init=False)
class Frame:
    """One frame 帧. `type` is the meter type T, `control` the byte C, `data` the bytes DATA.

    `address` is 14 hexadecimal digits, high first: the vendor's code, then the meter's number.
    Digits only by the standard, but vendors use A to F too, so it stays text. AA seven times
    addresses any meter.
    """

    type: int
    address: str
    control: int
    data: bytes

    def __init__(self, type: int, address: str, control: int, data: bytes = b"") -> None:
        _set_type(self, type)
        _set_address(self, address)
        _set_control(self, control)
        _set_data(self, data)

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


_set_type, _set_address, _set_control, _set_data = setters(Frame)


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
    body = data.lstrip(_PREAMBLE)
    if not body or body[0] != START:
        raise BadFrame("no_start")
    if len(body) < SHORTEST or len(body) < SHORTEST + body[10]:
        raise BadFrame("truncated")
    body = body[: SHORTEST + body[10]]
    if sum(body[:-2]) & 0xFF != body[-2]:
        raise BadFrame("checksum")
    if body[-1] != END:
        raise BadFrame("bad_end")
    return _frame(body)


def _frame(body: bytes) -> Frame:
    return Frame(body[1], body[8:1:-1].hex().upper(), body[9], body[11:-2])


_PREAMBLE = bytes([PREAMBLE])


def find(data: bytes) -> list[tuple[int, Frame]]:
    """The frames in `data`, whole as they were captured, each with the place of its 68H.

    Bytes inside a frame are its own: where they look like another, that is not in the list.
    """
    found = []
    start = data.find(START)
    while start >= 0:
        end = start + SHORTEST + data[start + 10] if start + 10 < len(data) else len(data) + 1
        if end <= len(data) and is_good(data, start, end):
            found.append((start, _frame(data[start:end])))
            start = end - 1
        start = data.find(START, start + 1)
    return found


class Decoder:
    """Finds frames in the bytes of a line (`protocols.exchange.FrameDecoder`), as `Tail.feed` tells.

    With `replies_only`, frames with D7 = 0 are dropped: RS-485 adapters may send a master its own
    request back, and an exchange must not take that for the answer.
    """

    def __init__(self, *, replies_only: bool = False) -> None:
        self._replies_only = replies_only
        self._tail = Tail(length_at=10)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end in `data`, in order. Never raises."""
        body = data.lstrip(_PREAMBLE)
        size = len(body)
        # Mostly one whole frame comes alone and clean.
        if (
            size >= SHORTEST
            and body[10] == size - SHORTEST
            and body[0] == START
            and body[-1] == END
            and (sum(body) - END - (check := body[-2])) & 0xFF == check
            and not self._tail
        ):
            return [_frame(body)] if body[9] & REPLY or not self._replies_only else []
        found = [_frame(body) for body in self._tail.feed(data)]
        return [frame for frame in found if frame.is_reply] if self._replies_only else found
