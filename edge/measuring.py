"""What meters measure beside their registers 瞬时量: asked at a slow pace, when a line has nothing else to do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from uuid import UUID

from edge.drivers import DRIVERS, BadMeter
from edge.ledger.ledger_file import StoreFull
from edge.ledger.store import Store, StoreHeld
from edge.lines.acquaintance import Acquaintances, whom
from edge.lines.bus import Bus, NoReply, Unwanted
from edge.lines.ports import LineAway
from edge.lines.rounds import SLACK_S
from prepaid.momentary import Momentary
from prepaid.point import ServicePoint
from prepaid.wire.uplog import Measured
from protocols.exchange import ProtocolError

log = logging.getLogger(__name__)

LOOK_S = 10.0  # how often it is looked whether there are new points


class Measuring:
    """Of one line. points gives those whose meters answer; is_wanted says whether somebody is being visited,
    has_slack whether nobody is due soon.

    A measurement is begun only in slack, and given up between two of its requests when the line is wanted; then it is
    made again later.
    """

    def __init__(
        self,
        bus: Bus,
        store: Store,
        met: Acquaintances,
        *,
        every_s: float,
        points: Callable[[], Iterable[ServicePoint]],
        is_wanted: Callable[[], bool],
        has_slack: Callable[[], bool],
        now: Callable[[], datetime],
    ) -> None:
        self._bus = bus
        self._store = store
        self._met = met
        self._every_s = every_s
        self._points = points
        self._is_wanted = is_wanted
        self._has_slack = has_slack
        self._now = now
        self._due: dict[UUID, float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            here = {point.id: point for point in self._points()}
            self._due = {id: self._due.get(id, loop.time()) for id in here}
            first = min(self._due, key=self._due.__getitem__, default=None)
            wait_s = LOOK_S if first is None else self._due[first] - loop.time()
            if first is None or wait_s > 0:
                await asyncio.sleep(min(wait_s, LOOK_S))
            elif self._is_wanted() or not self._has_slack():
                await asyncio.sleep(SLACK_S)
            elif await self.measure(here[first]):
                self._due[first] = loop.time() + self._every_s

    async def measure(self, point: ServicePoint) -> bool:
        """Measure and tell; False if the line was wanted meanwhile."""
        meter, driver = point.meter, DRIVERS[point.meter.protocol]
        known = self._met.known(
            point.id, meter, byte_s=self._bus.byte_s, turn_s=self._bus.turn_s(whom(meter))
        )
        known = self._met.boldly(point.id, meter, known)
        try:
            measured = await self._bus.run(
                lambda: driver.measure(meter, known),
                driver.decoder,
                whom=whom(meter),
                reply_s=driver.REPLY_S,
                tries=1,
                still=lambda: not self._is_wanted(),
            )
        except Unwanted:
            return False
        except (NoReply, LineAway, BadMeter, ProtocolError) as error:
            if isinstance(error, NoReply):
                self._met.scare(point.id, meter)
            # Its visits tell people what is wrong with it.
            log.debug("%s cannot be measured: %s", point.name, error)
            return True
        self._met.note(point.id, meter, measured.refused)
        momentary = Momentary(
            meter.meter_no,
            self._now(),
            measured.values,
            measured.is_battery_low,
            measured.is_valve_abnormal,
        )
        says_something = (momentary.is_battery_low, momentary.is_valve_abnormal) != (None, None)
        if momentary.values or says_something:
            self._tell(Measured(point.id, momentary))
        return True

    def _tell(self, message: Measured) -> None:
        try:
            with self._store.transaction(is_derived=True):
                self._store.append(message)
        except (StoreHeld, StoreFull) as error:
            log.debug("what was measured is not kept: %s", error)
