"""A line of the world: frames go to the meters at once, answers come as the weather lets them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime

from edge.lines.port import LineAway
from simulators.world.meters import AnyMeter

DELAY_S = 0.1
LATE_S = 2.0


class Line:
    """A Port of a machine. noise is how often an answer goes wrong, from 0 to 1; before_write may cut the power."""

    def __init__(
        self, meters: Sequence[AnyMeter], dice: random.Random, local_time: Callable[[], datetime]
    ) -> None:
        self.meters = meters
        self.noise = 0.0
        self.is_away = False
        self.is_dark = False
        self.before_write: Callable[[], None] = lambda: None
        self.requests = 0
        self.on_use: Callable[[], None] = lambda: None
        self._dice = dice
        self._local_time = local_time
        self._arrived = bytearray()
        self._changed = asyncio.Event()

    async def write(self, data: bytes) -> None:
        self.before_write()
        if self.is_away:
            raise LineAway("the serial server at 192.0.2.1:4001 cannot be reached")
        if self.is_dark:
            return
        self.requests += 1
        self.on_use()
        for meter in self.meters:
            if meter.is_dead:
                continue
            for reply in meter.answer(data, self._local_time()):
                self._send(reply)

    def _send(self, reply: bytes) -> None:
        delay_s = DELAY_S
        if self.noise and self._dice.random() < self.noise:
            match self._dice.randrange(5):
                case 0:
                    return
                case 1:
                    at = self._dice.randrange(len(reply))
                    bit = 1 << self._dice.randrange(8)
                    reply = reply[:at] + bytes([reply[at] ^ bit]) + reply[at + 1 :]
                case 2:
                    reply = reply[: self._dice.randrange(len(reply))]
                case 3:
                    reply = self._dice.randbytes(self._dice.randint(1, 12)) + reply
                case _:
                    delay_s += LATE_S
        asyncio.get_running_loop().call_later(delay_s, self._arrive, reply)

    def _arrive(self, data: bytes) -> None:
        if not self.is_dark:
            self._arrived += data
            self._changed.set()

    async def read(self) -> bytes:
        await self._changed.wait()
        return self.drain()

    def drain(self) -> bytes:
        data = bytes(self._arrived)
        self._arrived.clear()
        self._changed.clear()
        return data

    def close(self) -> None:
        self.drain()
