"""Which service point of a line is next: the urgent, those woken, the earliest due, in slack time the silent."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from uuid import UUID

SLACK_S = 1.0  # about what asking a silent meter takes: so long nobody else may be due
ROUND_LEAST_S = 1.0
SILENT_SHARE = 1 / 32  # of a line's time that asking the silent may take from those who answer
TRIED_MOST_S = 4.0  # more than asking a silent meter takes: the rest waited for something else


@dataclass(frozen=True, slots=True)
class _HeldOff:
    """A silent point: to be tried from one instant on in slack time, from the other on also while others are due."""

    since: float
    latest: float


class Rounds:
    """The visits to come on one line. Instants are those of the event loop's clock.

    A point that is under way, from begin() to end(), is not given again meanwhile.
    """

    def __init__(self) -> None:
        self._due: dict[UUID, float] = {}
        self._held_off: dict[UUID, _HeldOff] = {}
        self._under_way: dict[UUID, float] = {}  # and when each is due if it is not planned anew
        self._urgent: dict[UUID, float] = {}  # and since when
        self._woken: dict[UUID, None] = {}
        self._hurried: set[UUID] = set()
        self._took: dict[UUID, float] = {}
        # For which silent point others wait, and since when; from when on they may wait for the next.
        self._tried: tuple[UUID, float] | None = None
        self._may_try_at = 0.0
        self._changed = asyncio.Event()
        self._pressed = asyncio.Event()

    @property
    def round_s(self) -> float:
        """How long this line needs to visit each of its points that answer once, at least 1 s."""
        return max(ROUND_LEAST_S, sum(self._took.values()))

    @property
    def usual_s(self) -> float:
        """How long an ordinary visit takes on average; 0 before the first."""
        return sum(self._took.values()) / len(self._took) if self._took else 0.0

    @property
    def longest_s(self) -> float:
        """How long the last ordinary visit of each point took at the most."""
        return max(self._took.values(), default=0.0)

    @property
    def held_off(self) -> int:
        """How many silent points are left alone, but for slack time."""
        return len(self._held_off)

    @property
    def served(self) -> int:
        """How many points are visited when they are due: all but the silent."""
        return len(self._due) + len(self._under_way)

    @property
    def has_slack(self) -> bool:
        """Whether nobody is due for about as long as asking a silent meter takes."""
        first = min(self._due.values(), default=math.inf)
        is_asked = self._woken or self._urgent or self._under_way
        return not is_asked and first > asyncio.get_running_loop().time() + SLACK_S

    def late_s(self) -> float:
        """How long the point that is due first has been waiting; 0 if none is due."""
        first = min(self._due.values(), default=math.inf)
        return max(0.0, asyncio.get_running_loop().time() - first)

    def keep(self, points: Iterable[UUID]) -> None:
        """These points, no others, are on the line; one that is new is due at once."""
        now = asyncio.get_running_loop().time()
        kept = dict.fromkeys(points)
        self._held_off = {id: held for id, held in self._held_off.items() if id in kept}
        self._under_way = {id: due for id, due in self._under_way.items() if id in kept}
        elsewhere = self._held_off.keys() | self._under_way.keys()
        self._due = {id: self._due.get(id, now) for id in kept if id not in elsewhere}
        self._woken = {id: None for id in self._woken if id in kept}
        self._urgent = {id: since for id, since in self._urgent.items() if id in kept}
        self._hurried &= kept.keys()
        self._took = {id: took_s for id, took_s in self._took.items() if id in kept}
        self._change()

    def plan(self, point: UUID, at: float) -> None:
        """Read the point at this instant, or before if it is woken."""
        if self._under_way.pop(point, None) is None:
            if not self._is_here(point):
                return
            self._forget(point)
        self._due[point] = at
        self._change()

    def hold_off(self, point: UUID, wait_s: float) -> None:
        """Leave a silent point alone for so long, then read it when nobody else is due. After twice as long it is
        read on a line without slack too, which else would never hear of a meter that is back; but those who answer
        wait for the silent no more than SILENT_SHARE of the time, however many these are."""
        if self._is_here(point):
            now = asyncio.get_running_loop().time()
            self._forget(point)
            self._hurried.discard(point)
            self._took.pop(point, None)
            self._held_off[point] = _HeldOff(now + wait_s, now + 2 * wait_s)
            self._change()

    def wake(self, point: UUID) -> None:
        """Read the point before all that are due, after those woken earlier."""
        if self._is_here(point):
            self._woken[point] = None
            self._change()

    def press(self, point: UUID) -> None:
        """Read the point before everything else: its supply may be to be moved. Given by next_urgent()."""
        if self._is_here(point):
            self._urgent.setdefault(point, asyncio.get_running_loop().time())
            self._change()

    def hurry(self, point: UUID) -> None:
        """Read the point, when it is next due, before all others that are: its switch is to be moved then."""
        if point in self._due or point in self._under_way:
            self._hurried.add(point)

    def took(self, point: UUID, seconds: float) -> None:
        """How long the last ordinary visit of a point that answers was."""
        if self._is_here(point):
            self._took[point] = seconds

    def begin(self, point: UUID) -> float:
        """The point is being visited; for how many seconds it was due."""
        now = asyncio.get_running_loop().time()
        due = self._due.pop(point, None)
        if due is None:
            held = self._held_off.get(point)
            if held is not None and held.latest <= now:
                self._tried = (point, now)
            if not self._is_here(point):
                return 0.0
            self._forget(point)
            due = now
        self._under_way[point] = due
        return max(0.0, now - due)

    def end(self, point: UUID) -> None:
        """The visit is over; where nothing was planned, the point is due as it was before."""
        if self._tried is not None and self._tried[0] == point:
            began, self._tried = self._tried[1], None
            took_s = min(asyncio.get_running_loop().time() - began, TRIED_MOST_S)
            self._may_try_at = began + took_s / SILENT_SHARE
        if point in self._under_way:
            self._due[point] = self._under_way.pop(point)
        self._change()

    async def next_urgent(self) -> UUID:
        """Waits until a point is to be visited before all others, and returns it."""
        while True:
            self._pressed.clear()
            for point in self._urgent:
                if point not in self._under_way:
                    del self._urgent[point]
                    return point
            await self._pressed.wait()

    async def next(self) -> UUID:
        """Waits until a point is to be read, and returns it."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            now = loop.time()
            if (ready := self._ready(now)) is not None:
                return ready
            instants = [*self._due.values()]
            for held in self._held_off.values():
                is_early = held.since > now
                instants.append(held.since if is_early else max(held.latest, self._may_try_at))
            due = loop.call_at(min(instants), self._changed.set) if instants else None
            try:
                await self._changed.wait()
            finally:
                if due is not None:
                    due.cancel()

    def _ready(self, now: float) -> UUID | None:
        for point in self._hurried:
            if self._due.get(point, math.inf) <= now:
                self._hurried.remove(point)
                return point
        for point in self._woken:
            if point not in self._under_way:
                del self._woken[point]
                return point
        held = self._held_off
        overdue = min(held, key=lambda id: held[id].latest, default=None)
        if overdue is not None and max(held[overdue].latest, self._may_try_at) <= now:
            return overdue
        first, due = min(self._due.items(), key=itemgetter(1), default=(None, math.inf))
        if first is not None and due <= now:
            return first
        if due > now + SLACK_S:
            silent = min(held, key=lambda id: held[id].since, default=None)
            if silent is not None and held[silent].since <= now:
                return silent
        return None

    def _forget(self, point: UUID) -> None:
        """It is neither due, nor left alone, nor under way: of the three it was one at the most."""
        if self._due.pop(point, None) is None and self._under_way.pop(point, None) is None:
            self._held_off.pop(point, None)

    def _change(self) -> None:
        self._changed.set()
        if self._urgent:
            self._pressed.set()

    def _is_here(self, point: UUID) -> bool:
        return point in self._under_way or point in self._due or point in self._held_off
