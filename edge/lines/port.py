"""What the bytes of a line come through, whichever way they come."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import termios
from typing import Protocol


class LineAway(Exception):
    """The device or serial server cannot be reached: nothing on this line can be read. Try again later."""


class NotModbus(Exception):
    """This line carries Modbus alone, and the request is of another protocol: the meter's entry is wrong."""


class Port(Protocol):
    """The bytes of a line. It opens itself when written to, again after every loss."""

    async def write(self, data: bytes) -> None:
        """Open the line if need be, and send; without data only that.

        Raises LineAway if it cannot be opened, NotModbus for bytes that it does not carry.
        """
        ...

    async def read(self) -> bytes:
        """The bytes that have arrived, at least one; waits for them, and may be cancelled without loss.

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
        self._bytes = bytearray()
        self._changed = asyncio.Event()
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._changed.set()

    async def next(self) -> bytes:
        await self._changed.wait()
        return self.take()

    def take(self) -> bytes:
        data = bytes(self._bytes)
        self._bytes.clear()
        if not self.is_lost:
            self._changed.clear()
        return data


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
