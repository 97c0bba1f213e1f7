"""A meter room in memory: a gateway that serves one line, and a technician before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from edge.agent import Agent
from edge.field.job import Job
from edge.field.room import LineAtHand, MeterRoom
from edge.field.tap import Tap
from edge.lines.bus import Bus
from edge.lines.pace import Pace
from edge.lines.place import Place, SerialAt
from prepaid.point import ServicePoint
from prepaid.wire.uplog import AlarmKind, FieldWork
from tests.edge.simulated import ELECTRICITY, WATER, Room, clock, until

AT = SerialAt("/dev/ttyUSB0", 115200, "8E1")


class FieldRoom(Room):
    """Its points are not read before the agent serves. opened are the places that a scan opened beside the line."""

    def __init__(self, folder: Path, points: Iterable[ServicePoint] = (ELECTRICITY, WATER)) -> None:
        self.opened: list[Place] = []
        super().__init__(folder, points)

    def start(
        self, *, settle_s: float, system: Callable[[], timedelta | None] | None = None
    ) -> None:
        tap = Tap(self.wire, clock)
        bus = Bus("L1", tap, baud=115200, delay_s=0)
        self.clock = self.clock_of(system)
        self.agent = Agent(
            self.store,
            {"L1": bus},
            self.clock,
            Pace(settle_s=settle_s, least_s=1),
        )
        self.agent.reload()
        line = LineAtHand(Place(AT, 0), bus, tap, self._open)
        self.room = MeterRoom(self.store, self.agent, {"L1": line}, clock)

    def _open(self, place: Place) -> Bus:
        self.opened.append(place)
        return Bus(str(place), self.wire, baud=place.at.baud, delay_s=0)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """The agent serves the line meanwhile, and has asked each meter."""
        task = asyncio.create_task(self.agent.run())
        try:
            await until(self._is_read, within_s=60)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _is_read(self) -> bool:
        """Whether each meter has answered, or was found to be silent."""
        store = self.store
        return all(
            store.supply(id) or store.alarm_since(id, AlarmKind.SILENT) for id in store.points()
        )

    def works(self) -> list[FieldWork]:
        return self.told(FieldWork)


async def over(job: Job, *, within_s: float = 300) -> list[str]:
    """What the job said, once it is over."""
    await until(lambda: job.is_over, within_s=within_s)
    return [str(sentence) for sentence in job.sentences]
