"""A line 总线 with meters on it, at its true rate, served on a pseudo-terminal or over TCP.

A pseudo-terminal and a socket deliver at once, whatever the baud rate. The line therefore keeps time
itself: every character takes 11 bits (8E1), an answer starts after the meter's response delay, and each
piece of it goes out at the absolute instant at which its last bit would have arrived, so that a late
wake-up is not added to the next one. Half duplex: what is sent while a meter answers is lost.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import random
import tty
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from simulators.stations import Station

log = logging.getLogger(__name__)

BITS = 11  # start, 8 data, even parity, stop
PIECE_S = 0.016  # an answer goes out in pieces of about this long
MOST_UNREAD = 65536

Hear = Callable[[bytes], None]


class LineUnavailable(Exception):
    """A line cannot be served: its port is taken or its path cannot be used. The sentence says which."""


@dataclass(frozen=True, slots=True)
class Faults:
    """How often an exchange goes wrong, each from 0 to 1.

    silence: no answer. noise: random characters before it. truncated: its end is missing. echo: the
    adapter sends the request back first.
    """

    silence: float = 0.0
    noise: float = 0.0
    truncated: float = 0.0
    echo: float = 0.0


class Line:
    """The wire. Ends put in what they receive by `hear`, and get what meters say by `send`.

    delay_s is the least and the most response delay. before_answer is called when an answer is known and
    before its first character is sent: what it tells must be kept by then. If it raises OSError, the
    meters stay silent.
    """

    def __init__(
        self,
        name: str,
        stations: Sequence[Station],
        *,
        baud: int,
        delay_s: tuple[float, float],
        faults: Faults,
        seed: int,
        before_answer: Callable[[], None],
    ) -> None:
        self.name = name
        self.ends: list[End] = []
        self._stations = stations
        self._char_s = BITS / baud
        self._delay_s = delay_s
        self._faults = faults
        self._random = random.Random(f"{seed}:{name}")
        self._before_answer = before_answer
        self._cannot_keep = False
        self._arrived: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._free_at = 0.0

    def hear(self, data: bytes) -> None:
        """Characters that a master sends from now on, after those it has sent before."""
        self._arrived.put_nowait((asyncio.get_running_loop().time(), data))

    async def run(self) -> None:
        """Carry characters, until cancelled."""
        while True:
            at, data = await self._arrived.get()
            self._free_at = max(self._free_at, at) + len(data) * self._char_s
            await _sleep_until(self._free_at)
            log.debug("%s > %s", self.name, data.hex())
            if self._happens(self._faults.echo):
                self._send(data)
            answers = [answer for station in self._stations for answer in station.hear(data)]
            if answers and not self._happens(self._faults.silence) and self._is_kept():
                await self._answer(self._spoil(collide(answers)))

    async def _answer(self, data: bytes) -> None:
        self._free_at += self._random.uniform(*self._delay_s)
        size = max(1, int(PIECE_S / self._char_s))
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            self._free_at += len(piece) * self._char_s
            await _sleep_until(self._free_at)
            self._send(piece)
        log.debug("%s < %s", self.name, data.hex())
        while not self._arrived.empty():
            _, lost = self._arrived.get_nowait()
            log.debug("%s: %s was sent while a meter answered, and is lost", self.name, lost.hex())

    def _is_kept(self) -> bool:
        try:
            self._before_answer()
        except OSError as error:
            if not self._cannot_keep:
                log.error(
                    "%s: meters stay silent, their state cannot be kept: %s", self.name, error
                )
            self._cannot_keep = True
            return False
        if self._cannot_keep:
            log.info("%s: meters answer again", self.name)
        self._cannot_keep = False
        return True

    def _spoil(self, answer: bytes) -> bytes:
        if self._happens(self._faults.truncated):
            answer = answer[: self._random.randrange(1, len(answer))]
        if self._happens(self._faults.noise):
            answer = self._random.randbytes(self._random.randint(1, 8)) + answer
        return answer

    def _happens(self, often: float) -> bool:
        return self._random.random() < often

    def _send(self, data: bytes) -> None:
        for end in self.ends:
            end.send(data)


def collide(answers: Sequence[bytes]) -> bytes:
    """What is on the wire when several meters answer at once: a 0 bit wins over a 1."""
    wire = bytearray(max(answers, key=len))
    for answer in answers:
        for at, byte in enumerate(answer):
            wire[at] &= byte
    return bytes(wire)


async def _sleep_until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))


class End(Protocol):
    """Where a master is connected to a line."""

    def send(self, data: bytes) -> None:
        """Pass on what is said on the line; lost if nobody listens."""
        ...

    async def close(self) -> None: ...


class PtyEnd:
    """A pseudo-terminal under a stable path, a symbolic link. Clients may come and go.

    Linux pseudo-terminals know no parity: the client opens it as 8N1.
    """

    def __init__(self, path: Path, hear: Hear) -> None:
        """Raises LineUnavailable if the path is taken by something else or cannot be written."""
        if path.exists() and not path.is_symlink():
            raise LineUnavailable(f"{path} is in the way of a line's device; move it away")
        self.path = path
        self._hear = hear
        # Holding the client's side open ourselves, we never see it hang up.
        self._ours, self._clients = os.openpty()
        tty.setraw(self._clients)
        os.set_blocking(self._ours, False)
        self._device = os.ttyname(self._clients)
        new = path.with_name(path.name + ".new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            new.unlink(missing_ok=True)
            new.symlink_to(self._device)
            new.replace(path)
        except OSError as error:
            os.close(self._ours)
            os.close(self._clients)
            raise LineUnavailable(f"{path} cannot be made: {error.strerror}") from error
        asyncio.get_running_loop().add_reader(self._ours, self._readable)

    def _readable(self) -> None:
        with suppress(BlockingIOError):
            self._hear(os.read(self._ours, 4096))

    def send(self, data: bytes) -> None:
        # A full buffer means that nobody reads: on a wire those characters are gone.
        with suppress(BlockingIOError):
            os.write(self._ours, data)

    async def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._ours)
        if self.path.is_symlink() and os.readlink(self.path) == self._device:
            self.path.unlink()
        os.close(self._ours)
        os.close(self._clients)


class TcpEnd:
    """A TCP port on 127.0.0.1, as of a serial server 串口服务器; all its clients share the line."""

    def __init__(self, server: asyncio.Server, clients: set[asyncio.Transport]) -> None:
        self._server = server
        self._clients = clients
        self.port: int = server.sockets[0].getsockname()[1]

    @classmethod
    async def open(cls, port: int, hear: Hear) -> TcpEnd:
        """Listen; port 0 takes a free one. Raises LineUnavailable if the port is taken."""
        clients: set[asyncio.Transport] = set()
        try:
            server = await asyncio.get_running_loop().create_server(
                lambda: _Client(clients, hear), "127.0.0.1", port
            )
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "is taken by another program" if taken else f"cannot be opened: {error.strerror}"
            raise LineUnavailable(f"port {port} of 127.0.0.1 {why}") from error
        return cls(server, clients)

    def send(self, data: bytes) -> None:
        for client in list(self._clients):
            if client.get_write_buffer_size() > MOST_UNREAD:
                client.abort()
            elif not client.is_closing():
                client.write(data)

    async def close(self) -> None:
        self._server.close()
        for client in list(self._clients):
            client.abort()
        await self._server.wait_closed()


class _Client(asyncio.Protocol):
    def __init__(self, clients: set[asyncio.Transport], hear: Hear) -> None:
        self._clients = clients
        self._hear = hear

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._clients.add(transport)

    def data_received(self, data: bytes) -> None:
        self._hear(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._clients.discard(self._transport)
