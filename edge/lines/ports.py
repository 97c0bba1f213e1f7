"""The ways to a line: a serial device, TCP to a serial server 串口服务器, Modbus TCP, and a DTU that dials in."""

from __future__ import annotations

import asyncio
import socket
import termios
from collections.abc import Awaitable, Callable

import serial_asyncio

from edge.lines.dial_in import DialInPort
from edge.lines.latency import hasten
from edge.lines.place import ListenAt, ModbusTcpAt, SerialAt, TcpAt
from edge.lines.port import Arrivals, LineAway, NotModbus, Port, reason_of
from protocols.modbus import frame as modbus
from protocols.modbus import tcp as modbus_tcp

__all__ = ["LineAway", "NotModbus", "Port", "port_to", "serial_port", "tcp_port"]

Connect = Callable[[Callable[[], Arrivals]], Awaitable[tuple[asyncio.Transport, Arrivals]]]


class StreamPort:
    """A Port over an asyncio transport, made by connect whenever there is none."""

    def __init__(self, name: str, connect: Connect) -> None:
        self._name = name
        self._connect = connect
        self._open: tuple[asyncio.Transport, Arrivals] | None = None

    async def write(self, data: bytes) -> None:
        if self._open is None or self._open[1].is_lost:
            self.close()
            try:
                self._open = await self._connect(Arrivals)
            except (OSError, TimeoutError, termios.error) as error:
                raise LineAway(
                    "%(line)s cannot be opened: %(why)s", line=self._name, why=reason_of(error)
                ) from error
        if data:
            self._open[0].write(data)

    async def read(self, until: float) -> bytes:
        if self._open is None:
            raise LineAway("%(line)s is not open", line=self._name)
        arrivals = self._open[1]
        data = await arrivals.next(until)
        if not data and arrivals.is_lost:
            self.close()
            raise LineAway("%(line)s was closed by the other side", line=self._name)
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

    async def connect(arrivals: Callable[[], Arrivals]) -> tuple[asyncio.Transport, Arrivals]:
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
        hasten(at.device, transport.serial)
        return transport, protocol

    return StreamPort(f"serial device {at.device}", connect)


def tcp_port(at: TcpAt) -> StreamPort:
    """A serial server. One that vanishes without a word is noticed after 10 s of unanswered bytes."""

    async def connect(arrivals: Callable[[], Arrivals]) -> tuple[asyncio.Transport, Arrivals]:
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

    async def read(self, until: float) -> bytes:
        while True:
            try:
                data = await self._connection.read(until)
            except LineAway:
                self._replies = modbus_tcp.Decoder()
                raise
            frames = self._as_on_a_line(data)
            if frames or not data:
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
        case ListenAt():
            return shown(DialInPort(at))
        case _:
            return shown(tcp_port(at))
