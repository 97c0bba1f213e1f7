"""The meter room 表房 as a technician finds it: the ledger, the agent, and each line with what passes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from edge.agent import Agent
from edge.drivers import DRIVERS, Driver, Seen
from edge.field.job import Jobs
from edge.field.said import TROUBLES, Said, of_error, why_not
from edge.field.tap import Heard, Tap
from edge.ledger.rows import Checked
from edge.ledger.store import Store
from edge.lines.bus import Bus
from edge.lines.pace import Bound
from edge.lines.place import Place
from prepaid.point import ServicePoint
from prepaid.reading import Supply
from prepaid.wire.uplog import FieldWork, Work
from protocols.exchange import Exchange

BOUND_S = 60.0  # in which the bounds of all lines are found once


@dataclass(frozen=True, slots=True)
class LineAtHand:
    """A line of this gateway: where it is, its bus, what passes it, and how it is opened at another rate."""

    place: Place
    bus: Bus
    tap: Tap
    open_bus: Callable[[Place], Bus]


class MeterRoom:
    """Everything that a technician's work needs. now gives aware UTC."""

    def __init__(
        self,
        store: Store,
        agent: Agent,
        lines: Mapping[str, LineAtHand],
        now: Callable[[], datetime],
    ) -> None:
        self.store = store
        self.agent = agent
        self.lines = lines
        self.now = now
        self.jobs = Jobs(now)
        self._bounds: dict[str, Bound] = {}

    def point(self, id: UUID) -> ServicePoint:
        """Raises CannotDo if there is none."""
        point = self.store.points().get(id)
        if point is None:
            raise why_not("There is no such service point at this gateway.")
        return point

    def line(self, name: str) -> LineAtHand:
        """Raises CannotDo if there is none."""
        line = self.lines.get(name)
        if line is None:
            raise why_not("This gateway has no line %(name)s.", name=name)
        return line

    def of_point(self, point: ServicePoint) -> tuple[LineAtHand, Driver]:
        """Raises CannotDo where its line or driver is not here."""
        driver = DRIVERS.get(point.meter.protocol)
        if driver is None:
            raise why_not(
                "There is no driver for %(protocol)s: the office must correct the meter.",
                protocol=point.meter.protocol,
            )
        return self.line(point.meter.line), driver

    def bound(self, line: str) -> Bound:
        """What is promised of a line: as it was up to a minute ago, since to find it takes milliseconds."""
        known = self._bounds.get(line)
        if known is None or not known.delay_s:
            known = self._bounds[line] = self.agent.bound(line)
        return known

    async def keep_bounds(self) -> None:
        """Finds the bounds anew, one line after another so that no line waits for it. Until cancelled."""
        while True:
            for name in self.lines:
                self._bounds[name] = self.agent.bound(name)
                await asyncio.sleep(BOUND_S / len(self.lines))

    def begin_work(self, point: UUID, work: Work, *, by: str) -> None:
        """On disk when this returns, so that it is known even if the power goes now. Raises StoreFull, StoreHeld."""
        with self.store.transaction():
            text = "to be cut and given back"
            self.store.append(FieldWork(point, self.now(), work, False, by, text))

    def end_work(
        self, point: UUID, work: Work, *, is_right: bool | None, by: str, text: str
    ) -> None:
        """What came of it, for the cloud and for the list of what is tested. Raises StoreFull, StoreHeld."""
        at = self.now()
        with self.store.transaction():
            self.store.save_check(point, work, Checked(at, is_right, by, text))
            self.store.append(FieldWork(point, at, work, True, by, text))

    def write_down(self, work: Work, *, by: str, text: str) -> None:
        """What concerns no point of this gateway. Raises StoreFull, StoreHeld."""
        with self.store.transaction():
            self.store.append(FieldWork(None, self.now(), work, True, by, text))


@dataclass(frozen=True, slots=True)
class Look:
    """What a meter showed a technician: total in kWh or m³, or why it showed nothing, and the frames themselves."""

    at: datetime
    total: Decimal | None
    supply: Supply | None
    trouble: Said | None
    frames: tuple[Heard, ...]


async def look(room: MeterRoom, point: ServicePoint) -> Look:
    """Reads a meter now, once; nothing is charged by it. Raises CannotDo."""
    line, driver = room.of_point(point)
    marks: list[int] = []

    def begin() -> Exchange[Any, Seen]:
        marks.append(line.tap.mark())  # the line is ours from here on
        return driver.read(point.meter)

    def frames() -> tuple[Heard, ...]:
        return tuple(line.tap.since(marks[0])) if marks else ()

    try:
        seen = await line.bus.run(begin, driver.decoder, reply_s=driver.REPLY_S)
    except TROUBLES as error:
        return Look(room.now(), None, None, of_error(error), frames())
    return Look(room.now(), seen.total, seen.supply, None, frames())
