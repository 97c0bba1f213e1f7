"""Which service point of a line is read next: those woken first, then the earliest due, in slack time the silent."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

SLACK_S = 1.0  # about what asking a silent meter takes: so long nobody else may be due
ROUND_LEAST_S = 1.0


@dataclass(frozen=True, slots=True)
class _HeldOff:
    """A silent point: to be tried from one instant on in slack time, from the other on in any case."""

    since: float
    latest: float


class Rounds:
    """The visits to come on one line. Instants are those of the event loop's clock."""

    def __init__(self) -> None:
        self._due: dict[UUID, float] = {}
        self._held_off: dict[UUID, _HeldOff] = {}
        self._woken: dict[UUID, None] = {}
        self._hurried: set[UUID] = set()
        self._took: dict[UUID, float] = {}
        self._changed = asyncio.Event()

    @property
    def round_s(self) -> float:
        """How long this line needs to visit each of its points that answer once, at least 1 s."""
        return max(ROUND_LEAST_S, sum(self._took.values()))

    @property
    def held_off(self) -> int:
        """How many silent points are left alone, but for slack time."""
        return len(self._held_off)

    @property
    def has_slack(self) -> bool:
        """Whether nobody is due for about as long as asking a silent meter takes."""
        first = min(self._due.values(), default=math.inf)
        return not self._woken and first > asyncio.get_running_loop().time() + SLACK_S

    def keep(self, points: Iterable[UUID]) -> None:
        """These points, no others, are on the line; one that is new is due at once."""
        now = asyncio.get_running_loop().time()
        kept = list(points)
        self._held_off = {id: held for id, held in self._held_off.items() if id in set(kept)}
        self._due = {id: self._due.get(id, now) for id in kept if id not in self._held_off}
        self._woken = {id: None for id in self._woken if self._is_here(id)}
        self._hurried &= self._due.keys()
        self._took = {id: took_s for id, took_s in self._took.items() if self._is_here(id)}
        self._changed.set()

    def plan(self, point: UUID, at: float) -> None:
        """Read the point at this instant, or before if it is woken."""
        if self._is_here(point):
            self._held_off.pop(point, None)
            self._due[point] = at
            self._changed.set()

    def hold_off(self, point: UUID, wait_s: float) -> None:
        """Leave a silent point alone for so long, then read it when nobody else is due; at the latest after
        twice as long, so that a line without slack still hears of a meter that is back."""
        if self._is_here(point):
            now = asyncio.get_running_loop().time()
            self._due.pop(point, None)
            self._hurried.discard(point)
            self._took.pop(point, None)
            self._held_off[point] = _HeldOff(now + wait_s, now + 2 * wait_s)
            self._changed.set()

    def wake(self, point: UUID) -> None:
        """Read the point before all others that were not woken earlier."""
        if self._is_here(point):
            self._woken[point] = None
            self._changed.set()

    def hurry(self, point: UUID) -> None:
        """Read the point, when it is next due, before all others that are: its switch is to be moved then."""
        if point in self._due:
            self._hurried.add(point)

    def took(self, point: UUID, seconds: float) -> None:
        """How long the last visit of a point that answers was."""
        if self._is_here(point):
            self._took[point] = seconds

    async def next(self) -> UUID:
        """Waits until a point is to be read, and returns it."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            if self._woken:
                point = next(iter(self._woken))
                del self._woken[point]
                return point
            now = loop.time()
            if (ready := self._ready(now)) is not None:
                return ready
            instants = [*self._due.values()]
            for held in self._held_off.values():
                instants.append(held.since if held.since > now else held.latest)
            try:
                async with asyncio.timeout_at(min(instants, default=None)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _ready(self, now: float) -> UUID | None:
        held = self._held_off
        for point in self._hurried:
            if self._due[point] <= now:
                self._hurried.remove(point)
                return point
        overdue = min(held, key=lambda id: held[id].latest, default=None)
        if overdue is not None and held[overdue].latest <= now:
            return overdue
        first = min(self._due, key=self._due.__getitem__, default=None)
        if first is not None and self._due[first] <= now:
            return first
        if first is None or self._due[first] > now + SLACK_S:
            silent = min(held, key=lambda id: held[id].since, default=None)
            if silent is not None and held[silent].since <= now:
                return silent
        return None

    def _is_here(self, point: UUID) -> bool:
        return point in self._due or point in self._held_off
