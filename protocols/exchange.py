"""What the codecs share: a conversation as a generator, a decoder, and what can go wrong."""

from collections.abc import Generator
from typing import Protocol, TypeAlias, TypeVar

F = TypeVar("F")
T = TypeVar("T")

Exchange: TypeAlias = Generator[bytes, F, T]
"""One conversation with a meter 一次对话: it yields a request as sent on the line, is sent the
frame that answers it, and returns the result.

Whoever runs it writes the bytes, waits, and sends the next frame that its decoder gives. It may
raise any ProtocolError; it does no waiting, and knows nothing of silence: a reply that never
comes ends the run from outside (`close()`).
"""


class ProtocolError(Exception):
    """A meter answered, and the answer is not what was asked for."""


class Unexpected(ProtocolError):
    """An answer to some other question, or one that cannot be read. Ask again."""


class Refused(ProtocolError):
    """The meter said no, and would again. Do not retry; tell the operator.

    `code` is the error as sent (which number it is depends on the protocol), `reasons` its bits
    in words, empty where the meter gave none.
    """

    def __init__(self, code: int, reasons: tuple[str, ...] = ()) -> None:
        super().__init__(f"refused, code {code:02X}: {', '.join(reasons) or 'no reason given'}")
        self.code = code
        self.reasons = reasons


class FrameDecoder(Protocol[F]):
    """Finds frames in the bytes of a line. Lives for one attempt.

    It never raises, holds no more bytes than the longest frame, and finds a good frame behind
    any noise, wherever the stream is cut.
    """

    def feed(self, data: bytes) -> list[F]:
        """The frames that end in `data`, in order."""
        ...
