"""Where a line is: a serial device, a serial server 串口服务器, a device of Modbus TCP, a DTU that dials in."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

USUAL_BAUD = 2400
BAUDS = (300, 600, 1200, 2400, 4800, 9600, 14400, 19200, 28800, 38400, 57600, 115200)
TCP_DELAY_S = 0.3
SERIAL_DELAY_S = 0.05


@dataclass(frozen=True, slots=True)
class SerialAt:
    """A serial device; format is data bits, parity, stop bits as in "8E1"."""

    device: str
    baud: int
    format: str

    def __str__(self) -> str:
        return self.device


@dataclass(frozen=True, slots=True)
class TcpAt:
    """A serial server 串口服务器, whose line runs at baud."""

    host: str
    port: int
    baud: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ModbusTcpAt(TcpAt):
    """A Modbus device or gateway that frames for TCP; baud is that of the line behind it."""


FORMAT = r"[78][NEO][12]"


@dataclass(frozen=True, slots=True)
class ListenAt(TcpAt):
    """Where a DTU 数传终端 dials in to us. registration is what it says first, heartbeat what it says now and then
    to keep its connection; empty where it does not."""

    registration: bytes = b""
    heartbeat: bytes = b""


def port_at(text: str, baud: int) -> SerialAt | TcpAt:
    """Where "serial:DEVICE,BAUD,8E1", "tcp:HOST:PORT", "modbus-tcp:HOST:PORT" or "tcp-listen:HOST:PORT" leads; baud
    is for the line behind TCP.

    Raises ValueError for anything else.
    """
    kind, _, rest = text.partition(":")
    behind_tcp = {"tcp": TcpAt, "modbus-tcp": ModbusTcpAt, "tcp-listen": ListenAt}
    if kind in behind_tcp:
        host, port = host_and_port(rest)
        return behind_tcp[kind](host, port, baud)
    found = re.fullmatch(rf"(?P<device>[^,]+),(?P<baud>\d{{3,6}}),(?P<format>{FORMAT})", rest)
    if kind != "serial" or found is None:
        raise ValueError(
            'must be "serial:DEVICE,BAUD,8E1", "tcp:HOST:PORT", "modbus-tcp:HOST:PORT" or "tcp-listen:HOST:PORT"'
        )
    return SerialAt(found["device"], checked_baud(int(found["baud"])), found["format"])


def checked_baud(baud: int) -> int:
    """Raises ValueError for a rate that no meter is set to."""
    if baud not in BAUDS:
        raise ValueError(f"the baud rate must be one of {', '.join(map(str, BAUDS))}")
    return baud


def host_and_port(text: str) -> tuple[str, int]:
    """Of "host:port", where an IPv6 address stands in brackets. Raises ValueError for anything else."""
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError('must be "host:port"')
    return host.strip("[]"), int(port)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the line is, and its manners.

    delay_s is what adapter or network may add to each wait. gap_s is the silence before each request, where its
    meters want another than the usual one; echoes whether the adapter sends our own bytes back (None: it is learned).
    """

    at: SerialAt | TcpAt
    delay_s: float
    gap_s: float | None = None
    echoes: bool | None = None

    def __str__(self) -> str:
        address, *rate = self.parts
        return f"{address} ({rate[0]})" if rate else address

    @property
    def parts(self) -> tuple[str, ...]:
        """Its address, and rate and format where those are ours to choose."""
        if isinstance(self.at, SerialAt):
            return self.at.device, f"{self.at.baud} {self.at.format}"
        return (str(self.at),)

    @classmethod
    def parse(cls, text: str, *, baud: int | None, delay_s: float | None) -> Place:
        """Of what `port_at` takes; a baud that is given wins.

        Raises ValueError.
        """
        at = port_at(text, baud or USUAL_BAUD)
        if baud is not None:
            at = replace(at, baud=baud)
        usual = TCP_DELAY_S if isinstance(at, TcpAt) else SERIAL_DELAY_S
        return cls(at, usual if delay_s is None else delay_s)

    def at_rate(self, baud: int, form: str) -> Place:
        """The same line at another rate and format, where that is ours to choose."""
        if isinstance(self.at, SerialAt):
            return replace(self, at=replace(self.at, baud=baud, format=form))
        return replace(self, at=replace(self.at, baud=baud))
