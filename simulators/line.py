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
from pathlib import Path
from typing import Protocol

from simulators.faults import Faults
from simulators.stations import Station

log = logging.getLogger(__name__)

BITS = 11  # start, 8 data, even parity, stop
PIECE_S = 0.016  # an answer goes out in pieces of about this long
MOST_UNREAD = 65536
LATE_S = (1.0, 3.0)  # how much later than it should a late answer begins
BABBLE_S = 1.0
PIECES = 20

Hear = Callable[[bytes], None]
Keep = Callable[[Sequence[object]], None]
"""Makes what these meters are about to tell survive. Raises OSError where it cannot."""


class LineUnavailable(Exception):
    """A line cannot be served: its port is taken or its path cannot be used. The sentence says which."""


class Line:
    """The wire. Ends put in what they receive by `hear`, and get what meters say by `send`.

    delay_s is the least and the most response delay. before_answer is called with the meters that answer,
    before the first character is sent: what they tell must be kept by then. If it raises OSError, the
    meters stay silent. said is told, for who measures, when each answer began and ended on the wire.
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
        before_answer: Keep,
    ) -> None:
        self.name = name
        self.ends: list[End] = []
        self.said: Callable[[float, float], None] = lambda begin, end: None
        self._stations = stations
        self._char_s = BITS / baud
        self._delay_s = delay_s
        self._faults = faults
        self._random = random.Random(f"{seed}:{name}")
        self._kept = Kept(name, before_answer)
        self._arrived: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._free_at = 0.0
        self._babbled_until = 0.0
        self._late: set[asyncio.Task[None]] = set()

    def hear(self, data: bytes) -> None:
        """Characters that a master sends from now on, after those it has sent before."""
        self._arrived.put_nowait((asyncio.get_running_loop().time(), data))

    async def run(self) -> None:
        """Carry characters, until cancelled."""
        babble = asyncio.create_task(self._babble())
        try:
            while True:
                at, data = await self._arrived.get()
                self._free_at = max(self._free_at, at) + len(data) * self._char_s
                await _sleep_until(self._free_at)
                log.debug("%s > %s", self.name, data.hex())
                await self._react(data)
        finally:
            for task in (babble, *self._late):
                task.cancel()

    async def _react(self, data: bytes) -> None:
        """Let the meters hear it, and carry what they say."""
        has_echoed = self._happens(self._faults.echo)
        if has_echoed:
            self._send(data)
        heard = [answer for station in self._stations for answer in station.hear(data)]
        answers = [one for one in heard if not self._happens(one.faults.silence)]
        if not answers or self._happens(self._faults.silence):
            return
        if not self._kept([one.meter for one in answers]):
            return
        if not has_echoed and any(self._happens(one.faults.echo) for one in answers):
            self._send(data)
        char_s = BITS / (answers[0].baud or BITS / self._char_s)
        said = self._spoil(collide([self._spoil(one.data, one.faults) for one in answers]))
        if self._happens(self._faults.late) or any(self._happens(o.faults.late) for o in answers):
            # The line is free meanwhile: others answer, and the master may ask again.
            task = asyncio.create_task(self._answer_late(said, char_s))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return
        await self._answer(said, char_s)

    async def _answer(self, data: bytes, char_s: float) -> None:
        begin = self._free_at + self._random.uniform(*self._delay_s)
        self._free_at = await self._say(data, begin, char_s)
        self.said(begin, self._free_at)
        while not self._arrived.empty():
            _, lost = self._arrived.get_nowait()
            log.debug("%s: %s was sent while a meter answered, and is lost", self.name, lost.hex())

    async def _answer_late(self, data: bytes, char_s: float) -> None:
        begin = asyncio.get_running_loop().time() + self._random.uniform(*LATE_S)
        await self._say(data, begin, char_s)

    async def _say(self, data: bytes, begin: float, char_s: float) -> float:
        """Each piece at the instant at which its last bit would have arrived; the last of them."""
        size = max(1, int(PIECE_S / char_s))
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            begin += len(piece) * char_s
            await _sleep_until(begin)
            if begin < self._babbled_until:
                piece = collide([piece, self._random.randbytes(len(piece))])
            self._send(piece)
        log.debug("%s < %s", self.name, data.hex())
        return begin

    async def _babble(self) -> None:
        """A second of random characters at the line's rate, as often as it happens."""
        loop = asyncio.get_running_loop()
        at = loop.time()
        while self._faults.babbling:
            size = max(1, int(BABBLE_S / PIECES / self._char_s))
            babbles = self._happens(self._faults.babbling)
            if babbles:
                self._babbled_until = at + BABBLE_S
            for _ in range(PIECES):
                at += BABBLE_S / PIECES
                await _sleep_until(at)
                if babbles:
                    self._send(self._random.randbytes(size))

    def _spoil(self, answer: bytes, faults: Faults | None = None) -> bytes:
        """With the faults of one meter, or those of the line."""
        faults = faults or self._faults
        if self._happens(faults.truncation):
            answer = answer[: self._random.randrange(1, len(answer))]
        if self._happens(faults.noise):
            answer = self._random.randbytes(self._random.randint(1, 8)) + answer
        return answer

    def _happens(self, often: float) -> bool:
        return self._random.random() < often

    def _send(self, data: bytes) -> None:
        for end in self.ends:
            end.send(data)


class Kept:
    """Whether what an answer tells is kept, said once when it cannot be and once when it is again."""

    def __init__(self, name: str, keep: Keep) -> None:
        self._name = name
        self._keep = keep
        self._cannot = False

    def __call__(self, meters: Sequence[object]) -> bool:
        try:
            self._keep(meters)
        except OSError as error:
            if not self._cannot:
                log.error(
                    "%s: meters stay silent, their state cannot be kept: %s", self._name, error
                )
            self._cannot = True
            return False
        if self._cannot:
            log.info("%s: meters answer again", self._name)
        self._cannot = False
        return True


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
