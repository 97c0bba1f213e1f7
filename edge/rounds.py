"""Which service point of a line is read next: those woken first, then the earliest due."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from uuid import UUID


class Rounds:
    """The visits to come on one line. Instants are those of the event loop's clock."""

    def __init__(self) -> None:
        self._due: dict[UUID, float] = {}
        self._woken: dict[UUID, None] = {}
        self._changed = asyncio.Event()

    def keep(self, points: Iterable[UUID]) -> None:
        """These points, no others, are on the line; one that is new is due at once."""
        now = asyncio.get_running_loop().time()
        self._due = {point: self._due.get(point, now) for point in points}
        self._woken = {point: None for point in self._woken if point in self._due}
        self._changed.set()

    def plan(self, point: UUID, at: float) -> None:
        """Read the point at this instant, or before if it is woken."""
        if point in self._due:
            self._due[point] = at
            self._changed.set()

    def wake(self, point: UUID) -> None:
        """Read the point before all others that were not woken earlier."""
        if point in self._due:
            self._woken[point] = None
            self._changed.set()

    async def next(self) -> UUID:
        """Waits until a point is to be read, and returns it."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            if self._woken:
                point = next(iter(self._woken))
                del self._woken[point]
                return point
            first = min(self._due, key=self._due.__getitem__, default=None)
            if first is not None and self._due[first] <= loop.time():
                return first
            try:
                async with asyncio.timeout_at(self._due[first] if first else None):
                    await self._changed.wait()
            except TimeoutError:
                continue
