"""Meters that speak Modbus TCP on a port of 127.0.0.1: each connection has its own answers."""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Callable, Sequence

from protocols.modbus import tcp
from protocols.modbus.frame import Frame
from simulators.faults import Faults
from simulators.line import LATE_S, LineUnavailable
from simulators.modbus_meter import ModbusMeter
from simulators.stations import Served, replies


class ModbusTcpServer:
    """A gateway with meters behind it. Of the faults of a line it knows silence, truncation (the
    connection ends in the middle of an answer) and late."""

    def __init__(
        self,
        name: str,
        served: Sequence[Served[ModbusMeter]],
        *,
        delay_s: tuple[float, float],
        faults: Faults,
        seed: int,
        is_kept: Callable[[Sequence[object]], bool],
    ) -> None:
        """is_kept makes what meters tell survive, and says whether it could."""
        self.name = name
        self._served = served
        self._delay_s = delay_s
        self._faults = faults
        self._random = random.Random(f"{seed}:{name}")
        self._is_kept = is_kept
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self.port = 0

    async def open(self, port: int) -> None:
        """Listen; port 0 takes a free one. Raises LineUnavailable if the port is taken."""
        try:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "is taken by another program" if taken else f"cannot be opened: {error.strerror}"
            raise LineUnavailable(f"port {port} of 127.0.0.1 {why}") from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for client in list(self._clients):
            client.cancel()
        if self._server is not None:
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        decoder = tcp.Decoder()
        try:
            while data := await reader.read(4096):
                for frame in decoder.feed(data):
                    await self._answer(frame, writer)
        except (ConnectionError, asyncio.CancelledError):
            return  # the client went away, or the bench ends
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer(self, frame: Frame, writer: asyncio.StreamWriter) -> None:
        for one, reply in replies(self._served, frame)[:1]:
            own = one.faults
            if self._happens("silence", own) or not self._is_kept([one.meter]):
                return
            await asyncio.sleep(self._random.uniform(*self._delay_s))
            if self._happens("late", own):
                await asyncio.sleep(self._random.uniform(*LATE_S))
            data = tcp.encode(reply)
            if self._happens("truncation", own):
                writer.write(data[: self._random.randrange(1, len(data))])
                writer.close()
                return
            writer.write(data)
            await writer.drain()

    def _happens(self, fault: str, own: Faults) -> bool:
        often = (getattr(self._faults, fault), getattr(own, fault))
        return any(self._random.random() < one for one in often)
