"""What the simulator tests share: a clock moved by hand, and a master that asks over a real connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import serial_asyncio

from protocols.cj188.frame import Decoder as Cj188Decoder
from protocols.dlt645.frame import Decoder as Dlt645Decoder

SECOND = 1_000_000


EVENING = datetime(2026, 11, 21, 20, 0)  # noqa: DTZ001  as meters tell it, without a zone


class HandClock:
    """Microseconds, moved by the test; the true time goes with it, from an evening in November on."""

    def __init__(self) -> None:
        self.us = 0

    def local_time(self) -> datetime:
        return EVENING + timedelta(microseconds=self.us)

    def __call__(self) -> int:
        return self.us

    def pass_s(self, seconds: int) -> None:
        self.us += seconds * SECOND


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


class Master:
    """One client of a line; `heard` is everything that came, `took_s` the length of the last exchange."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heard = b""
        self.took_s = 0.0

    async def ask(self, exchange: Any, *, cj188: bool = False, within_s: float = 2.0) -> Any:
        """Raises TimeoutError if nothing that is an answer comes, ConnectionError if the line is closed."""
        self.heard = b""
        loop = asyncio.get_running_loop()
        request = next(exchange)
        while True:
            decoder = (Cj188Decoder if cj188 else Dlt645Decoder)(replies_only=True)
            began = loop.time()
            self.writer.write(request)
            async with asyncio.timeout(within_s):
                frames: list[Any] = []
                while not frames:
                    data = await self.reader.read(512)
                    if not data:
                        raise ConnectionResetError("the line was closed")
                    self.heard += data
                    frames = decoder.feed(data)
            self.took_s = loop.time() - began
            try:
                request = exchange.send(frames[0])
            except StopIteration as end:
                return end.value


Connect = Callable[[int | str], AbstractAsyncContextManager[Master]]


@pytest.fixture
def connected() -> Connect:
    """Connects to a TCP port (an int) or a serial device (a path)."""

    @asynccontextmanager
    async def connect(to: int | str) -> AsyncIterator[Master]:
        if isinstance(to, int):
            reader, writer = await asyncio.open_connection("127.0.0.1", to)
        else:
            reader, writer = await serial_asyncio.open_serial_connection(url=to, baudrate=2400)
        try:
            yield Master(reader, writer)
        finally:
            writer.close()

    return connect


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Finds a TCP port of 127.0.0.1 that nobody uses now."""

    def find() -> int:
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", 0))
            return int(trial.getsockname()[1])

    return find
