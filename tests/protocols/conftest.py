"""Runs an exchange against a slave, without a line between them."""

from collections.abc import Callable
from typing import TypeVar

import pytest

from protocols.exchange import Exchange, FrameDecoder

F = TypeVar("F")
T = TypeVar("T")


def _converse(
    exchange: Exchange[F, T],
    *,
    decoder: Callable[[], FrameDecoder[F]],
    answer: Callable[[F], F | None],
) -> T:
    """What the exchange returns when `answer` answers each request. Raises TimeoutError when it
    is silent."""
    request = next(exchange)
    while True:
        (frame,) = decoder().feed(request)
        reply = answer(frame)
        if reply is None:
            exchange.close()
            raise TimeoutError
        try:
            request = exchange.send(reply)
        except StopIteration as done:
            return done.value


@pytest.fixture(scope="session")
def converse():
    return _converse
