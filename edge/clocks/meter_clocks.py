"""The clocks in the meters: read once a day, heard as witnesses, and set where they are a little wrong.

DL/T 645 meters are set by a broadcast, which each takes once a day and only if it is at most five minutes
off. What is further off is a person's: such a clock has spoilt the meter's own bands and freezes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from edge.clocks.clock import Clock
from edge.clocks.clock_setting import (
    CERTAIN,
    ClockRules,
    MeterClock,
    Verdict,
    judge,
    may_set,
    read_as,
    zone_of,
)
from edge.clocks.trust import Source
from edge.clocks.witness import Witness, agreed
from edge.drivers import DRIVERS, BadMeter
from edge.ledger.ledger_file import StoreFull
from edge.ledger.store import Store, StoreHeld
from edge.lines.acquaintance import whom
from edge.lines.bus import Bus, NoReply
from edge.lines.ports import LineAway
from prepaid.point import Meter, ServicePoint
from prepaid.tariff import Tariff
from prepaid.wire.uplog import UNREAD, AlarmKind
from protocols.exchange import Exchange, ProtocolError

log = logging.getLogger(__name__)

STEP_S = 20.0  # between two meters of a line
IDLE_S = 300.0  # between two looks where none is due
WITNESS_STEP_S = 2.0  # the same while the clock is not trusted
DAY_S = 86400.0  # between two looks at one meter's clock
WITNESS_AGAIN_S = 600.0  # the same while the clock is not trusted
WITNESSES = 15  # so many of the last that were read are heard


class Raise(Protocol):
    """Tells that an alarm of a point began or ended (Booking.alarm)."""

    def __call__(
        self, point: ServicePoint, kind: AlarmKind, at: datetime, text: str, *, is_on: bool
    ) -> None: ...


class MeterClocks:
    """Reads and sets the clocks of all meters, one meter of a line at a time and between its visits."""

    def __init__(
        self,
        store: Store,
        buses: Mapping[str, Bus],
        clock: Clock,
        rules: ClockRules,
        *,
        points: Callable[[], Iterable[ServicePoint]],
        alarm: Raise,
    ) -> None:
        self._store = store
        self._buses = buses
        self._clock = clock
        self._rules = rules
        self._points = points
        self._alarm = alarm
        self._asked: dict[UUID, float] = {}  # the tick at which each was asked last
        self._without: set[str] = set()  # meters that have no clock
        self._witnesses: dict[UUID, Witness] = {}
        self._off: dict[UUID, ServicePoint] = {}  # whose clocks a broadcast would set right

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            has_asked = False
            try:
                has_asked = await self.step()
            except (StoreHeld, StoreFull) as error:
                log.debug("nothing is noted of the meters' clocks: %s", error)
            if not self._clock.now().is_trusted:
                await asyncio.sleep(WITNESS_STEP_S)
            else:
                await asyncio.sleep(STEP_S if has_asked or self._off else IDLE_S)

    async def step(self) -> bool:
        """Ask the next meter of each line that is due, and set the lines whose clocks need it; whether any was.

        Raises StoreHeld and StoreFull.
        """
        if self._store.hold is not None:
            return False
        has_asked = False
        for line, bus in self._buses.items():
            try:
                if (point := self._next(line)) is not None:
                    has_asked = True
                    await self._ask(point, bus)
                await self._set_line(line, bus)
            except LineAway as error:
                log.debug("the clocks on line %s are not read: %s", line, error)
        return has_asked

    def _next(self, line: str) -> ServicePoint | None:
        now = self._clock.now()
        again_s = DAY_S if now.is_trusted else WITNESS_AGAIN_S
        due = [
            point
            for point in self._points()
            if point.meter.line == line
            and point.meter.protocol in DRIVERS
            and whom(point.meter) not in self._without
            and self._last_asked(point.id) + again_s <= now.tick
            and not any(self._store.alarm_since(point.id, kind) for kind in UNREAD)
        ]
        return min(due, key=lambda point: self._last_asked(point.id), default=None)

    def _last_asked(self, point: UUID) -> float:
        return self._asked.get(point, float("-inf"))

    # As witnesses.

    async def _ask(self, point: ServicePoint, bus: Bus) -> None:
        """Read a meter's clock, hear what all say together, and compare this one where ours is trusted."""
        self._asked[point.id] = self._clock.tick()
        shown = await self._read(point, bus)
        if shown is None:
            return
        self._witnesses.pop(point.id, None)
        self._witnesses[point.id] = Witness(point.meter.meter_no, shown, self._clock.tick())
        if len(self._witnesses) > WITNESSES:
            del self._witnesses[next(iter(self._witnesses))]
        told = agreed(list(self._witnesses.values()), self._rules.quorum)
        if told is not None:
            self._clock.hear_meters(told)
        if self._clock.now().is_trusted:
            await self._compare(point, bus, shown)

    async def _read(self, point: ServicePoint, bus: Bus) -> datetime | None:
        """What the meter's clock shows (UTC); None where that cannot be had. Raises LineAway."""
        driver = DRIVERS[point.meter.protocol]
        shown = None
        try:
            shown = await bus.run(
                lambda: driver.clock(point.meter), driver.decoder, reply_s=driver.REPLY_S, tries=1
            )
        except NoReply as error:
            log.debug("the clock of %s is not read: %s", point.name, error)
            return None
        except (BadMeter, ProtocolError) as error:
            log.info("%s: its clock cannot be read (%s); it is not asked again", point.name, error)
        if shown is None:
            self._without.add(whom(point.meter))
            return None
        return read_as(shown, zone_of(point.meter, self._rules))

    # Right, off or wrong.

    async def _compare(self, point: ServicePoint, bus: Bus, shown: datetime) -> None:
        """Note how far off a meter's clock is; what is a little wrong is set, with its line or alone."""
        verdict = self._note(point, shown, was_set=False)
        self._off.pop(point.id, None)
        if verdict is not Verdict.OFF:
            return
        if self._hears_broadcasts(point.meter):
            if self._rules.sets_meters:
                self._off[point.id] = point
        elif self._rules.sets_by_address and may_set(
            self._local(point.meter), self._tariffs([point])
        ):
            await self._set_alone(point, bus)

    def _note(self, point: ServicePoint, shown: datetime, *, was_set: bool) -> Verdict:
        """What is to be thought of a meter's clock, kept and told. was_set: it should be right now."""
        store, known, now = self._store, self._clock.known(), self._clock.now()
        ahead = shown - now.at
        if known is None:
            verdict = Verdict.UNSURE
        else:
            verdict = judge(ahead, error=known.error, rules=self._rules)
            if verdict is Verdict.OFF and known.source is Source.METERS:
                verdict = Verdict.UNSURE  # meters are not set by what meters say
        before = store.meter_clock(point.id)
        set_on = before.set_on if before is not None else None
        with store.transaction():
            store.save_meter_clock(point.id, MeterClock(now.at, ahead, set_on))
            if self._can_be_set(point.meter):
                self._tell(point, now.at, ahead, verdict, was_set=was_set)
        return verdict

    def _tell(
        self,
        point: ServicePoint,
        at: datetime,
        ahead: timedelta,
        verdict: Verdict,
        *,
        was_set: bool,
    ) -> None:
        off = f"its clock is {_said(ahead)}"
        kind = AlarmKind.CLOCK_WRONG
        if verdict is Verdict.WRONG:
            text = (
                f"{off}: more than it takes from here; set it at the meter, and look at its battery"
            )
            self._alarm(point, kind, at, text, is_on=True)
        elif verdict is Verdict.OFF and was_set:
            self._alarm(point, kind, at, f"{off}, and it was just set from here", is_on=True)
        elif verdict is Verdict.RIGHT:
            self._alarm(point, kind, at, off, is_on=False)

    # Setting.

    async def _set_line(self, line: str, bus: Bus) -> None:
        """Set all clocks of a line by one broadcast, where one needs it and nothing stands against it; then look.

        Raises LineAway.
        """
        off = [point for point in self._off.values() if point.meter.line == line]
        on_line = [
            point
            for point in self._points()
            if point.meter.line == line and self._hears_broadcasts(point.meter)
        ]
        if not off or not on_line or not self._may_set(on_line):
            return
        driver = DRIVERS[off[0].meter.protocol]
        zone = zone_of(off[0].meter, self._rules)

        def said() -> bytes:
            local = self._clock.now().at.astimezone(zone).replace(tzinfo=None)
            request = driver.clock_broadcast(local)
            assert request is not None
            return request

        await bus.tell(said)
        log.info("line %s: the clocks of %s meters are set by broadcast", line, len(on_line))
        self._mark_set(on_line)
        for point in off:
            del self._off[point.id]
            if (shown := await self._read(point, bus)) is not None:
                self._note(point, shown, was_set=True)

    def _may_set(self, on_line: list[ServicePoint]) -> bool:
        """Whether a broadcast may go out now: our time is certain, it means the same to all, none has had one
        today, and nothing that hangs on the time of day is near."""
        known, local = self._clock.known(), self._local(on_line[0].meter)
        if known is None or known.error > CERTAIN or known.source is Source.METERS:
            return False
        if any(self._local(point.meter).utcoffset() != local.utcoffset() for point in on_line):
            return False
        clocks = (self._store.meter_clock(point.id) for point in on_line)
        if any(clock is not None and clock.set_on == local.date() for clock in clocks):
            return False
        return may_set(local, self._tariffs(on_line))

    async def _set_alone(self, point: ServicePoint, bus: Bus) -> None:
        """Set one meter's clock by its address, then look. Raises LineAway."""
        driver, meter = DRIVERS[point.meter.protocol], point.meter

        def exchange() -> Exchange[Any, None]:
            asked = driver.set_clock(meter, self._local(meter).replace(tzinfo=None))
            assert asked is not None
            return asked

        try:
            await bus.run(exchange, driver.decoder, reply_s=driver.REPLY_S, tries=1)
        except (NoReply, BadMeter, ProtocolError) as error:
            log.info("the clock of %s is not set: %s", point.name, error)
            return
        log.info("the clock of %s is set", point.name)
        self._mark_set([point])
        if (shown := await self._read(point, bus)) is not None:
            self._note(point, shown, was_set=True)

    def _mark_set(self, points: Iterable[ServicePoint]) -> None:
        store, now = self._store, self._clock.now()
        with store.transaction():
            for point in points:
                known = store.meter_clock(point.id) or MeterClock(now.at, timedelta(0), None)
                today = self._local(point.meter).date()
                store.save_meter_clock(point.id, replace(known, set_on=today))

    def _local(self, meter: Meter) -> datetime:
        """Our own time as this meter's clock should show it."""
        return self._clock.now().at.astimezone(zone_of(meter, self._rules))

    def _hears_broadcasts(self, meter: Meter) -> bool:
        driver = DRIVERS.get(meter.protocol)
        local = self._local(meter).replace(tzinfo=None)
        return driver is not None and driver.clock_broadcast(local) is not None

    def _can_be_set(self, meter: Meter) -> bool:
        """Nothing here hangs on a clock that cannot be set from here: it is a witness at most."""
        local = self._local(meter).replace(tzinfo=None)
        driver = DRIVERS[meter.protocol]
        return self._hears_broadcasts(meter) or driver.set_clock(meter, local) is not None

    def _tariffs(self, points: Iterable[ServicePoint]) -> list[Tariff]:
        codes = {point.tariff for point in points}
        return [tariff for code in codes if (tariff := self._store.tariff(code)) is not None]


def _said(ahead: timedelta) -> str:
    """ "3 min 20 s slow"."""
    seconds = round(abs(ahead).total_seconds())
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    units = ((days, "d"), (hours, "h"), (minutes, "min"), (seconds % 60, "s"))
    parts = [f"{count} {unit}" for count, unit in units if count]
    return f"{' '.join(parts[:2]) or '0 s'} {'fast' if ahead > timedelta(0) else 'slow'}"
