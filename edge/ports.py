"""The ways to a line: a serial device, TCP to a serial server 串口服务器, and Modbus TCP."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import termios
from collections.abc import Awaitable, Callable
from typing import Protocol

import serial_asyncio

from edge.place import ModbusTcpAt, SerialAt, TcpAt
from protocols.modbus import frame as modbus
from protocols.modbus import tcp as modbus_tcp


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


class _Arrivals(asyncio.Protocol):
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


Connect = Callable[[Callable[[], _Arrivals]], Awaitable[tuple[asyncio.Transport, _Arrivals]]]


class StreamPort:
    """A Port over an asyncio transport, made by connect whenever there is none."""

    def __init__(self, name: str, connect: Connect) -> None:
        self._name = name
        self._connect = connect
        self._open: tuple[asyncio.Transport, _Arrivals] | None = None

    async def write(self, data: bytes) -> None:
        if self._open is None or self._open[1].is_lost:
            self.close()
            try:
                self._open = await self._connect(_Arrivals)
            except (OSError, TimeoutError, termios.error) as error:
                raise LineAway(f"{self._name} cannot be opened: {_reason(error)}") from error
        if data:
            self._open[0].write(data)

    async def read(self) -> bytes:
        if self._open is None:
            raise LineAway(f"{self._name} is not open")
        data = await self._open[1].next()
        if not data:
            self.close()
            raise LineAway(f"{self._name} was closed by the other side")
        return data

    def drain(self) -> bytes:
        return self._open[1].take() if self._open else b""

    def close(self) -> None:
        if self._open is not None:
            transport, arrivals = self._open
            self._open = None
            # A serial transport that has lost its device cannot be aborted.
            if not arrivals.is_lost:
                transport.abort()


def serial_port(at: SerialAt) -> StreamPort:
    """A serial device with the parity that is configured: pseudo-terminals know none, so they need 8N1."""

    async def connect(arrivals: Callable[[], _Arrivals]) -> tuple[asyncio.Transport, _Arrivals]:
        transport, protocol = await serial_asyncio.create_serial_connection(
            asyncio.get_running_loop(),
            arrivals,
            at.device,
            baudrate=at.baud,
            bytesize=int(at.format[0]),
            parity=at.format[1],
            stopbits=int(at.format[2]),
            exclusive=True,
        )
        return transport, protocol

    return StreamPort(f"serial device {at.device}", connect)


def tcp_port(at: TcpAt) -> StreamPort:
    """A serial server. One that vanishes without a word is noticed after 10 s of unanswered bytes."""

    async def connect(arrivals: Callable[[], _Arrivals]) -> tuple[asyncio.Transport, _Arrivals]:
        async with asyncio.timeout(5):
            transport, protocol = await asyncio.get_running_loop().create_connection(
                arrivals, at.host, at.port
            )
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000)
        return transport, protocol

    kind = "Modbus TCP device" if isinstance(at, ModbusTcpAt) else "serial server"
    return StreamPort(f"{kind} {at}", connect)


class ModbusTcpPort:
    """A Port that frames for TCP: it takes and gives frames of a serial line, so that whoever asks need
    not know. A reply to another request than the last is dropped."""

    def __init__(self, connection: Port) -> None:
        self._connection = connection
        self._replies = modbus_tcp.Decoder()
        self._transaction = 0

    async def write(self, data: bytes) -> None:
        if self._replies.is_amid_frame:
            # Nothing on a connection says where a frame begins: after half a reply only a new one does.
            self.close()
        if data:
            try:
                frame = modbus.decode(data)
            except modbus.BadFrame:
                raise NotModbus("only Modbus meters can be on a line of modbus-tcp") from None
            self._transaction = self._transaction % 0xFFFF + 1
            data = modbus_tcp.encode(frame._replace(transaction=self._transaction))
        await self._connection.write(data)

    async def read(self) -> bytes:
        while True:
            try:
                data = await self._connection.read()
            except LineAway:
                self._replies = modbus_tcp.Decoder()
                raise
            if frames := self._as_on_a_line(data):
                return frames

    def drain(self) -> bytes:
        return self._as_on_a_line(self._connection.drain())

    def close(self) -> None:
        self._replies = modbus_tcp.Decoder()
        self._connection.close()

    def _as_on_a_line(self, data: bytes) -> bytes:
        return b"".join(
            modbus.encode(frame)
            for frame in self._replies.feed(data)
            if frame.transaction == self._transaction
        )


def port_to(at: SerialAt | TcpAt, *, shown: Callable[[Port], Port] = lambda port: port) -> Port:
    """The port that leads there. shown is put around what the bytes pass as they are sent."""
    match at:
        case SerialAt():
            return shown(serial_port(at))
        case ModbusTcpAt():
            return ModbusTcpPort(shown(tcp_port(at)))
        case _:
            return shown(tcp_port(at))


def _reason(error: Exception) -> str:
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
