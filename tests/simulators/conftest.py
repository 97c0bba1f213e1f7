"""What the simulator tests share: a clock moved by hand, and a master that asks over a real connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import serial_asyncio

from protocols.cj188.frame import Decoder as Cj188Decoder
from protocols.dlt645.frame import Decoder as Dlt645Decoder
from protocols.modbus.frame import ReplyDecoder
from simulators.building import Building, load

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


class Silent(Exception):
    """No meter of the bench answers."""


HEAD = """
[[line]]
name = "L1"
tcp = 0
"""


class Bench:
    """The meters of a meters.toml on a line in memory, in simulated time."""

    def __init__(self, folder: Path, text: str, clock: HandClock) -> None:
        path = folder / "meters.toml"
        path.write_text(
            text if "[[line]]" in text else text.replace("[[meter]]", HEAD + "[[meter]]", 1)
        )
        self.building = Building(load(path), folder, clock, clock.local_time)
        self.clock = clock
        self.stations = self.building.stations(self.building.config.line[0])

    @property
    def meter(self) -> Any:
        """The first meter, as it is now."""
        meter = next(iter(self.building.meters.values()))
        meter.advance()
        return meter

    def say(self, data: bytes) -> list[bytes]:
        """What is answered to some bytes."""
        return [answer.data for station in self.stations for answer in station.hear(data)]

    def ask(self, exchange: Any, *, cj188: bool = False, modbus: bool = False) -> Any:
        """What the exchange returns. Raises Silent, and what the exchange raises."""
        try:
            request = next(exchange)
        except StopIteration as end:
            return end.value  # there was nothing to ask
        while True:
            said = self.say(request)
            if not said:
                raise Silent
            (answer,) = said
            if modbus:
                (frame,) = ReplyDecoder(request, echoes=False).feed(answer)
            else:
                (frame,) = (Cj188Decoder if cj188 else Dlt645Decoder)(replies_only=True).feed(
                    answer
                )
            try:
                request = exchange.send(frame)
            except StopIteration as end:
                return end.value


@pytest.fixture
def bench(tmp_path: Path, clock: HandClock) -> Iterator[Callable[[str], Bench]]:
    """Makes a bench of a meters.toml, whose line may be left out."""
    made: list[Bench] = []

    def make(text: str) -> Bench:
        made.append(Bench(tmp_path, text, clock))
        return made[-1]

    yield make
    for one in made:
        one.building.close()
