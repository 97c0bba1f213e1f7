"""Runs an exchange against a slave, without a line between them."""

from collections.abc import Callable
from typing import TypeVar

from protocols.exchange import Exchange, FrameDecoder

F = TypeVar("F")
T = TypeVar("T")


class Silence(Exception):
    """The slave did not answer."""


def converse(
    exchange: Exchange[F, T],
    *,
    request_decoder: Callable[[], FrameDecoder[F]],
    answer: Callable[[F], F | None],
) -> T:
    """What the exchange returns when `answer` answers each of its requests."""
    request = next(exchange)
    while True:
        (frame,) = request_decoder().feed(request)
        reply = answer(frame)
        if reply is None:
            exchange.close()
            raise Silence
        try:
            request = exchange.send(reply)
        except StopIteration as done:
            return done.value
