"""The half of a line in memory that is read."""

from __future__ import annotations

import asyncio


class Arrived:
    """What has arrived for a reader, until it is read: a Port (edge.lines.port) but for its write."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._changed = asyncio.Event()

    def arrive(self, data: bytes) -> None:
        self._bytes += data
        self._changed.set()

    def arrive_later(self, delay_s: float, data: bytes) -> None:
        asyncio.get_running_loop().call_later(delay_s, self.arrive, data)

    async def read(self) -> bytes:
        await self._changed.wait()
        return self.drain()

    def drain(self) -> bytes:
        data = bytes(self._bytes)
        self._bytes.clear()
        self._changed.clear()
        return data

    def close(self) -> None:
        self.drain()
