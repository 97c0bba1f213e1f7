"""A line of the world: frames go to the meters at once, answers come as the weather lets them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime

from edge.lines.port import LineAway
from simulators.port import Arrived
from simulators.world.meters import AnyMeter

DELAY_S = 0.1
LATE_S = 2.0


class Line(Arrived):
    """A Port of a machine. noise is how often an answer goes wrong, from 0 to 1; before_write may cut the power."""

    def __init__(
        self, meters: Sequence[AnyMeter], dice: random.Random, local_time: Callable[[], datetime]
    ) -> None:
        super().__init__()
        self.meters = meters
        self.noise = 0.0
        self.is_away = False
        self.is_dark = False
        self.before_write: Callable[[], None] = lambda: None
        self.requests = 0
        self.on_use: Callable[[], None] = lambda: None
        self._dice = dice
        self._local_time = local_time

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
        self.arrive_later(delay_s, reply)

    def arrive(self, data: bytes) -> None:
        """Nothing arrives while the gateway is without power."""
        if not self.is_dark:
            super().arrive(data)
