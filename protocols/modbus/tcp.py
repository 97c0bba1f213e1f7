"""Modbus over TCP: the same requests behind a header of seven bytes, without a CRC.

A serial server that passes bytes on (RTU over TCP) is a serial line: use `frame` for it.
"""

from typing import TypeVar

from protocols.exchange import Exchange, Unexpected
from protocols.modbus import frame as rtu
from protocols.modbus.frame import MOST_DATA, BadFrame, Frame

T = TypeVar("T")

HEADER = 7
PORT = 502


def encode(frame: Frame) -> bytes:
    """The frame as sent on a connection: transaction, 0000, length, unit, function, data.

    All high byte first; the length counts what follows it.

    Raises ValueError if the data is longer than 252 bytes or a number does not fit.
    """
    if len(frame.data) > MOST_DATA:
        raise ValueError(f"{len(frame.data)} bytes of data; a frame holds {MOST_DATA}")
    try:
        number = frame.transaction.to_bytes(2, "big")
    except OverflowError:
        raise ValueError(f"transaction {frame.transaction} is not 16 bits") from None
    length = (len(frame.data) + 2).to_bytes(2, "big")
    return number + b"\0\0" + length + bytes([frame.unit, frame.function]) + frame.data


def decode(data: bytes) -> Frame:
    """The one frame that `data` starts with; what follows is ignored.

    Raises BadFrame; its kind `truncated` says that more bytes could still complete the frame.
    """
    if not _may_start(data, 0):
        raise BadFrame("bad_header")
    if len(data) < HEADER + 1 or len(data) < 6 + data[5]:
        raise BadFrame("truncated")
    return _frame_at(data, 0)


class Decoder:
    """Finds frames in the bytes of a connection (`protocols.exchange.FrameDecoder`).

    A connection has no noise. Where a header cannot be one (protocol not 0, length not 2 to 254)
    the search goes on one byte later, but no checksum guards what it finds.
    """

    def __init__(self) -> None:
        self._tail = bytearray()

    @property
    def is_amid_frame(self) -> bool:
        """Whether there are bytes of a frame that has not ended."""
        return bool(self._tail)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end in `data`, in order. Never raises."""
        tail = self._tail
        tail += data
        found: list[Frame] = []
        start = 0
        while start < len(tail):
            if not _may_start(tail, start):
                start += 1
                continue
            if len(tail) - start < HEADER or len(tail) - start < 6 + tail[start + 5]:
                break
            found.append(_frame_at(tail, start))
            start += 6 + tail[start + 5]
        del tail[:start]
        return found


def over_tcp(exchange: Exchange[Frame, T], transaction: int) -> Exchange[Frame, T]:
    """An exchange of `protocols.modbus.master` with its requests dressed for TCP.

    The requests are numbered from `transaction` on; give each attempt others, so that a late
    reply is not taken for the new one. Raises what the exchange raises, and Unexpected for a
    reply with another number.
    """
    try:
        request = next(exchange)
        while True:
            frame = rtu.decode(request)
            number = transaction & 0xFFFF
            reply = yield encode(Frame(frame.unit, frame.function, frame.data, number))
            if reply.transaction != number:
                raise Unexpected(f"reply {reply.transaction} to request {number}")
            transaction += 1
            request = exchange.send(reply)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        exchange.close()


def _may_start(data: bytes | bytearray, at: int) -> bool:
    head = data[at + 2 : at + 6]
    return not any(head[:3]) and (len(head) < 4 or 2 <= head[3] <= MOST_DATA + 2)


def _frame_at(data: bytes | bytearray, at: int) -> Frame:
    end = at + 6 + data[at + 5]
    number = int.from_bytes(data[at : at + 2], "big")
    return Frame(data[at + 6], data[at + 7], bytes(data[at + 8 : end]), number)
