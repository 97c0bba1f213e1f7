"""What the bytes of a line come through, whichever way they come."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import termios
from typing import Protocol

HELD_S = 0.01  # a wait that ends so much too late was spent elsewhere


class LineAway(Exception):
    """The device or serial server cannot be reached: nothing on this line can be read. Try again later.

    message is English with %(name)s for each of values, for whoever says it in another language.
    """

    def __init__(self, message: str, **values: object) -> None:
        super().__init__(message % values if values else message)
        self.message = message
        self.values = values


class NotModbus(Exception):
    """This line carries Modbus alone, and the request is of another protocol: the meter's entry is wrong."""


class Port(Protocol):
    """The bytes of a line. It opens itself when written to, again after every loss."""

    async def write(self, data: bytes) -> None:
        """Open the line if need be, and send; without data only that.

        Raises LineAway if it cannot be opened, NotModbus for bytes that it does not carry.
        """
        ...

    async def read(self, until: float) -> bytes:
        """The bytes that have arrived; waits for the first of them until an instant of the loop's clock, and may be
        cancelled without loss. Empty if nothing came by then.

        Raises LineAway if the line is lost.
        """
        ...

    def drain(self) -> bytes:
        """What has arrived and was not read; it is taken away."""
        ...

    def close(self) -> None: ...


class Arrivals(asyncio.Protocol):
    """What a transport delivers, kept until it is asked for."""

    def __init__(self) -> None:
        self._bytes = b""
        self._reader: asyncio.Future[None] | None = None
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._wake()

    async def next(self, until: float) -> bytes:
        """What has arrived; waits for the first of it, until an instant of the loop's clock. Empty if nothing came by
        then, or the line is lost."""
        if not self._bytes and not self.is_lost:
            loop = asyncio.get_running_loop()
            reader = self._reader = loop.create_future()
            end = loop.call_at(until, self._wake)
            try:
                await reader
            finally:
                self._reader = None
                end.cancel()
            # A loop that was held, by a slow disk, may not have got round to what came in time.
            if until <= loop.time() <= until + HELD_S:
                return b""
        return self.take()

    def take(self) -> bytes:
        data, self._bytes = self._bytes, b""
        return data

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def reason_of(error: Exception) -> str:
    """Why something could not be opened, in words."""
    if isinstance(error, TimeoutError):
        return "no answer within 5 s"
    if isinstance(error, socket.gaierror):
        return "there is no host of this name, or no network to ask who it is"
    number = error.errno if isinstance(error, OSError) else error.args[0]
    if number is None:
        cause = error.__context__
        number = (
            cause.args[0] if isinstance(cause, termios.error) else getattr(cause, "errno", None)
        )
    if number is None:
        return str(error)
    if number == errno.EINVAL:
        return f"{os.strerror(number)}; a pseudo-terminal has no parity, give it 8N1"
    if number == errno.ENOTTY:
        return "it is not a serial device"
    if number in (errno.EAGAIN, errno.EBUSY):
        return "another program has it open"
    if number == errno.EACCES:
        return f"{os.strerror(number)}; the user must be in the group that owns it, often dialout"
    return os.strerror(number)
