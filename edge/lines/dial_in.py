"""A line whose DTU 数传终端 dials in to us: a TCP server for one of them, the newest."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from edge.lines.place import ListenAt
from edge.lines.port import Arrivals, LineAway, reason_of

log = logging.getLogger(__name__)

DIAL_IN_S = 5.0  # a write waits so long for a DTU that is not there
REGISTER_S = 10.0  # a connection that has not said its registration by then is closed


class DialInPort:
    """A Port over the newest connection. It listens from the first write on, until it is closed.

    Where a registration is set, only a connection that begins with it is taken, and only then does it replace the
    one before. Heartbeats are taken away where they begin what arrives.
    """

    def __init__(self, at: ListenAt) -> None:
        self._at = at
        self._server: asyncio.Server | None = None
        self._current: _Dialled | None = None
        self._came = asyncio.Event()
        self._waiting: set[_Dialled] = set()

    @property
    def port(self) -> int | None:
        """Where it listens, once it does."""
        return self._server.sockets[0].getsockname()[1] if self._server else None

    async def write(self, data: bytes) -> None:
        await self.listen()
        if self._current is None or self._current.is_lost:
            self._came.clear()
            try:
                async with asyncio.timeout(DIAL_IN_S):
                    await self._came.wait()
            except TimeoutError:
                raise LineAway("no DTU has dialled in to %(line)s", line=self._at) from None
        assert self._current is not None
        if data:
            self._current.transport.write(data)

    async def read(self, until: float) -> bytes:
        current = self._current
        if current is None:
            raise LineAway("no DTU has dialled in to %(line)s", line=self._at)
        data = await current.next(until)
        if not data and current.is_lost:
            raise LineAway("the DTU that had dialled in to %(line)s is gone", line=self._at)
        return data

    def drain(self) -> bytes:
        return self._current.take() if self._current else b""

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for dialled in (*self._waiting, self._current):
            if dialled is not None and not dialled.is_lost:
                dialled.transport.abort()
        self._waiting.clear()
        self._current = None

    async def listen(self) -> None:
        """Let a DTU dial in, if that is not so yet. Raises LineAway where the port cannot be had."""
        if self._server is not None:
            return
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Dialled(self._at, self._arrived, self._taken),
                self._at.host,
                self._at.port,
            )
        except OSError as error:
            raise LineAway(
                "%(line)s cannot be listened to: %(why)s", line=self._at, why=reason_of(error)
            ) from error

    def _arrived(self, dialled: _Dialled) -> None:
        self._waiting.add(dialled)

        def give_up() -> None:
            if dialled in self._waiting:
                self._waiting.discard(dialled)
                log.warning(
                    "%s has dialled in to %s and not said who it is", dialled.peer, self._at
                )
                dialled.transport.abort()

        dialled.give_up = asyncio.get_running_loop().call_later(REGISTER_S, give_up)

    def _taken(self, dialled: _Dialled) -> None:
        self._waiting.discard(dialled)
        before, self._current = self._current, dialled
        if before is not None and not before.is_lost:
            log.info("%s has dialled in to %s in place of %s", dialled.peer, self._at, before.peer)
            before.transport.abort()
            before.connection_lost(None)
        self._came.set()


class _Dialled(Arrivals):
    """One connection: what arrives on it, without registration and heartbeats."""

    def __init__(
        self,
        at: ListenAt,
        arrived: Callable[[_Dialled], None],
        taken: Callable[[_Dialled], None],
    ) -> None:
        super().__init__()
        self._at = at
        self._arrived = arrived
        self._taken = taken
        self._awaited = at.registration
        self.peer = "a DTU"
        self.transport: asyncio.Transport
        self.give_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        host, port, *_ = transport.get_extra_info("peername")
        self.peer = f"{host}:{port}"
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000)
        if self._awaited:
            self._arrived(self)
        else:
            self._taken(self)

    def data_received(self, data: bytes) -> None:
        if self._awaited:
            begun = min(len(data), len(self._awaited))
            if data[:begun] != self._awaited[:begun]:
                log.warning("%s has dialled in to %s as somebody else", self.peer, self._at)
                self.transport.abort()
                return
            data, self._awaited = data[begun:], self._awaited[begun:]
            if self._awaited:
                return
            self._end_waiting()
            self._taken(self)
        heartbeat = self._at.heartbeat
        while heartbeat and data.startswith(heartbeat):
            data = data[len(heartbeat) :]
        if data:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_waiting()
        super().connection_lost(exc)

    def _end_waiting(self) -> None:
        if self.give_up is not None:
            self.give_up.cancel()
            self.give_up = None
