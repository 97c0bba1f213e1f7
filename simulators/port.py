"""The half of a line in memory that is read."""

from __future__ import annotations

import asyncio

from edge.lines.port import Arrivals


class Arrived:
    """What has arrived for a reader, until it is read: a Port (edge.lines.port) but for its write."""

    def __init__(self) -> None:
        self._arrivals = Arrivals()

    def arrive(self, data: bytes) -> None:
        self._arrivals.data_received(data)

    def arrive_later(self, delay_s: float, data: bytes) -> None:
        asyncio.get_running_loop().call_later(delay_s, self.arrive, data)

    async def read(self, until: float) -> bytes:
        return await self._arrivals.next(until)

    def drain(self) -> bytes:
        return self._arrivals.take()

    def close(self) -> None:
        self.drain()
