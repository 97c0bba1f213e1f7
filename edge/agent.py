"""Rounds and visits: read, rate, decide, act, for every service point of every line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from edge.booking import Booking, Settled
from edge.buzzer import Buzzers
from edge.clocks.clock import Clock, Moment
from edge.clocks.power_return import PowerReturn
from edge.drivers import DRIVERS, BadMeter, Driver, Known, wants_bands
from edge.ledger.ledger_file import StoreFull
from edge.ledger.store import Store, StoreHeld
from edge.lines.acquaintance import Acquaintances, whom
from edge.lines.bus import TRIES, Bus, NoReply, Unwanted
from edge.lines.metrics import LineMetrics
from edge.lines.pace import Bound, LinePace, Pace
from edge.lines.patience import rounds_off
from edge.lines.ports import LineAway
from edge.lines.rounds import Rounds
from edge.measuring import Measuring
from edge.purses import NO_LOAD, Load, Purses
from edge.switches import Switches
from prepaid.point import ServicePoint
from prepaid.reading import Reading, Supply
from prepaid.supply import Override, Situation, Why, wanted
from prepaid.wire.downlog import Decided
from prepaid.wire.uplog import UNREAD, AlarmKind
from protocols.exchange import ProtocolError

log = logging.getLogger(__name__)

SILENT_AFTER = 2  # visits in a row that read nothing
REPORT_S = 3600.0
TOGETHER_S = 0.1  # so long what a visit booked waits for others to be committed with it
AGAIN_LEAST_S = 0.5  # between a look and the next that a rule asks for
LINE_AGAIN_MOST_S = 30.0
GIVEN_BACK_FOR = timedelta(minutes=5)  # after a test, where nobody knows what is wanted
HELD_AGAIN_S = (
    60.0  # where a reading is in doubt nothing is cut or charged, so its meter is not hurried
)
PUT_OFF = (Why.DWELL, Why.STAGGERED, Why.CURRENT, Why.QUIET, Why.NOT_WARNED)
"""What a switch that is to be moved waits for, and no longer than that."""


class Agent:
    """Everything the gateway does to meters. buses by the name of their line."""

    def __init__(self, store: Store, buses: Mapping[str, Bus], clock: Clock, pace: Pace) -> None:
        self._store = store
        store.on_hand = self.wake_purse
        self._clock = clock
        self._power = PowerReturn(now=clock.tick(), machine_s=clock.machine_s)
        self._booking = Booking(store, clock, self._power)
        self._switches = Switches(
            store, clock, self._booking, present=lambda point: self._points.get(point.id, point)
        )
        self._buzzers = Buzzers(store, clock)
        self._buses = buses
        self._pace = pace
        self._points: dict[UUID, ServicePoint] = {}
        self._purses = Purses(store, ())
        self._rounds = {name: Rounds() for name in buses}
        self._paces = {name: LinePace(name, pace, self._rounds[name]) for name in buses}
        self._misses: dict[UUID, int] = {}
        self._met = Acquaintances()
        self._visiting: dict[UUID, float] = {}  # the ticks at which the visits under way began
        self._line_failures = dict.fromkeys(
            buses, 0
        )  # visits in a row that line or store broke off
        self._serving = asyncio.Event()
        self._serving.set()
        self._gathered = asyncio.Event()
        store.on_lost = self._lost

    async def run(self) -> None:
        """Serve every line, until cancelled."""
        self.reload()
        self._store.on_gather = self._gathered.set
        try:
            async with asyncio.TaskGroup() as group:
                for name in self._buses:
                    group.create_task(self._serve(name), name=f"line {name}")
                    if self._pace.measure_s:
                        group.create_task(self._measuring(name).run(), name=f"measuring on {name}")
                    group.create_task(self._serve_urgent(name), name=f"line {name}, urgent")
                group.create_task(self._commit(), name="commits of visits")
                group.create_task(self._report(), name="metrics of the lines")
        finally:
            self._store.on_gather = None
            self._store.commit()

    async def _commit(self) -> None:
        """Have what several visits book shortly one after another committed together."""
        while True:
            await self._gathered.wait()
            self._gathered.clear()
            await asyncio.sleep(TOGETHER_S)
            self._store.commit()

    def _lost(self) -> None:
        """Nothing is kept of what the last visits have booked: make them again."""
        for point in self._booking.lost():
            self._wake_soon(point)

    def pause(self) -> None:
        """Nothing more is read, charged or switched, until resume(); what was sent to a meter is sent."""
        self._serving.clear()

    def wait_with_cuts(self) -> None:
        """No supply is cut until cut_again(); all else goes on."""
        self._switches.may_cut = False

    def cut_again(self) -> None:
        if not self._switches.may_cut:
            self._switches.may_cut = True
            self.wake_all()

    def resume(self) -> None:
        """Serve what is in the store now, which may have been rebuilt meanwhile."""
        self._booking = Booking(self._store, self._clock, self._power)
        self._switches.begin_again(self._booking)
        self._misses.clear()
        self._serving.set()
        self.reload()

    def points(self) -> Iterable[ServicePoint]:
        """The points that are served."""
        return self._points.values()

    def alarm(
        self, point: ServicePoint, kind: AlarmKind, at: datetime, text: str, *, is_on: bool
    ) -> None:
        """Tell that an alarm of a point began or ended. Inside a transaction."""
        self._booking.alarms.tell(point, kind, at, text, is_on=is_on)

    def reload(self) -> None:
        """Take up the service points in the store; new ones are read at once."""
        before, self._points = self._points, self._store.points()
        self._purses = Purses(self._store, self._points.values())
        for id in self._misses.keys() & self._points.keys():
            if id in before and before[id].meter != self._points[id].meter:
                del self._misses[id]  # what the old meter was like says nothing of the new one
        by_line: dict[str, list[UUID]] = {name: [] for name in self._buses}
        for point in self._points.values():
            if point.meter.line not in by_line:
                self._wrong_entry(point, f"gateway.toml has no line {point.meter.line}")
            elif point.meter.protocol not in DRIVERS:
                self._wrong_entry(point, f"there is no driver for {point.meter.protocol}")
            else:
                by_line[point.meter.line].append(point.id)
        for name, points in by_line.items():
            self._rounds[name].keep(points)
            self._paces[name].keep(set(points))
            self._paces[name].travel_s = max(
                (DRIVERS[self._points[id].meter.protocol].TRAVEL_S for id in points), default=0.0
            )
            self._paces[name].woken = sum(
                len(self._purses.beside(self._points[id])) > 1 for id in points
            )
            self._buses[name].remember(whom(self._points[id].meter) for id in points)

    def take_decision(self, said: Decided) -> None:
        """Book what a person decided about a point's register. Inside a transaction; then take_up the point."""
        self._booking.take(said)

    def take_up(self, point: UUID) -> None:
        """A service point is new or has changed: visit it as it is now."""
        before = self._points.get(point)
        self.reload()
        after = self._points.get(point)
        if before is not None and after is not None and _switches_otherwise(before, after):
            self._switches.meter_changed(point)
        # Its purse may last less long than when its other points were planned.
        if point in self._points:
            for each in self._purses.beside(self._points[point]):
                self._wake_soon(each.id)

    def wake(self, points: Iterable[UUID]) -> None:
        """Visit these before all others on their lines: of a visit under way, the next request waits for it."""
        for id in points:
            if (point := self._points.get(id)) and point.meter.line in self._rounds:
                self._rounds[point.meter.line].press(id)

    def wake_all(self) -> None:
        """Visit every point soon."""
        for id in self._points:
            self._wake_soon(id)

    def _wake_soon(self, id: UUID) -> None:
        if (point := self._points.get(id)) and point.meter.line in self._rounds:
            self._rounds[point.meter.line].wake(id)

    def wake_purse(self, purse: UUID) -> None:
        """Visit every point this purse pays for."""
        self.wake(point.id for point in self._purses.points(purse))

    # What a technician does meanwhile.

    def has_slack(self, line: str) -> bool:
        """Whether no meter of the line is due now, so that somebody else may ask."""
        return self._rounds[line].has_slack

    def situation(self, point: ServicePoint, seen: Supply | None) -> Situation:
        """What is known of a point now, by which its supply is decided."""
        return self._booking.circumstances.situation(point, seen, None)

    def is_clock_trusted(self) -> bool:
        """Whether what the wall clock decides may be decided by it."""
        return self._clock.now().is_trusted

    def take_up_linked(self, point: UUID) -> None:
        """A technician has made another meter a point's: visit it, and forget what was seen of the one before."""
        self._booking.meter_changed(point)
        self.take_up(point)

    def try_off(self, point: UUID, test: Override) -> None:
        """Cut this point as if it were pinned off, by all rules, until end_try().

        It is kept nowhere: after a power cut in between, the first visit finds the supply off and gives it back.
        """
        self._booking.circumstances.tests[point] = test
        self.wake([point])

    def end_try(self, point: UUID) -> None:
        """The supply is again what money and people want it to be.

        Where a reading has come into doubt meanwhile, or its tariff is gone, nobody knows what that is, and a supply
        would be left off that the test alone has cut: it is given back first.
        """
        tests = self._booking.circumstances.tests
        test, served = tests.pop(point, None), self._points.get(point)
        if test is None or served is None:
            return
        row = self._store.supply(point)
        situation = self.situation(served, row.seen if row is not None else None)
        if situation.is_clock_trusted and wanted(served.policy, situation).supply is None:
            until = situation.now + GIVEN_BACK_FOR
            tests[point] = Override(Supply.ON, until, by=test.by, why=test.why)
        self.wake([point])

    def is_waiting(self, line: str) -> bool:
        """Whether no meter of a line is served now: line or disk break the visits off, or the ledger is held."""
        return bool(self._line_failures[line]) or not self._serving.is_set()

    def stuck_lines(self, longest_s: float) -> list[str]:
        """The lines on which a visit has lasted longer, which no visit does."""
        now = asyncio.get_running_loop().time()
        long = [id for id, began in self._visiting.items() if now - began > longest_s]
        return sorted({self._points[id].meter.line for id in long if id in self._points})

    # One line.

    def _measuring(self, name: str) -> Measuring:
        """What asks its meters what they measure, while nothing else is to be done on the line."""
        return Measuring(
            self._buses[name],
            self._store,
            self._met,
            every_s=self._pace.measure_s,
            points=lambda: [
                point
                for point in self._points.values()
                if point.meter.line == name
                and point.meter.protocol in DRIVERS
                and point.id not in self._misses
            ],
            is_wanted=lambda: name in self._visiting or not self._serving.is_set(),
            has_slack=lambda: self._rounds[name].has_slack,
            now=lambda: self._clock.now().at,
        )

    async def _serve(self, name: str) -> None:
        """Visit one point after the other, as they are due."""
        rounds = self._rounds[name]
        while True:
            id = await rounds.next()
            await self._attend(name, id, rounds.begin(id), is_urgent=False)

    async def _serve_urgent(self, name: str) -> None:
        """Visit who cannot wait, while a visit that only reads may be under way."""
        rounds = self._rounds[name]
        while True:
            id = await rounds.next_urgent()
            await self._attend(name, id, rounds.begin(id), is_urgent=True)

    async def _attend(self, name: str, id: UUID, late_s: float, *, is_urgent: bool) -> None:
        """One visit, begun so long after it was due, and when the next one is due."""
        loop, rounds, bus = asyncio.get_running_loop(), self._rounds[name], self._buses[name]
        try:
            await self._serving.wait()
            point = self._points.get(id)
            if point is None:
                return
            self._visiting[id] = loop.time()
            self._paces[name].began(
                late_s,
                who=lambda: f"{point.name} (purse {point.purse or 'of nobody'})",
                load=lambda: self._load(point.purse),
            )
            with bus.urgently() if is_urgent else nullcontext():
                again_s = await self._try(name, point)
            if self._line_failures[name]:
                await asyncio.sleep(again_s)
            if self._is_silent(point):
                rounds.hold_off(id, again_s)
            else:
                rounds.plan(id, loop.time() + again_s)
        finally:
            self._visiting.pop(id, None)
            rounds.end(id)

    async def _try(self, name: str, point: ServicePoint) -> float:
        """Visit, and in how many seconds to come again, also where line or store fail."""
        failures = self._line_failures[name]
        try:
            again_s = await self.visit(point)
        except StoreHeld:
            # It came in the midst of the visit; what was read is read again once the store serves.
            self._serving.clear()
            return 0.0
        except (LineAway, StoreFull) as error:
            if not failures:
                log.error("line %s: %s; its meters wait", name, error)
            self._line_failures[name] += 1
            if failures + 1 >= SILENT_AFTER and isinstance(error, LineAway):
                on_line = (p for p in self._points.values() if p.meter.line == name)
                self._silent(on_line, str(error))
            return min(2.0**failures, LINE_AGAIN_MOST_S)
        if failures:
            log.info("line %s is served again", name)
            self._line_failures[name] = 0
        return again_s

    def _load(self, purse: UUID | None) -> Load:
        if purse is None:
            return NO_LOAD
        at_most = timedelta(seconds=self._pace.settle_s)
        return self._purses.load(purse, now=self._clock.now().at, at_most=at_most)

    def metrics(self, line: str) -> LineMetrics:
        """What a line has done since it was first asked for something, and how late it is."""
        return replace(
            self._buses[line].metrics(),
            missed=self._paces[line].missed,
            late_s=self._rounds[line].late_s(),
        )

    def bound(self, line: str) -> Bound:
        """How far purses of a line can be overdrawn at the most, as it is served now."""
        paid = (p for p in self._points.values() if p.meter.line == line and p.purse is not None)
        purses = {p.purse for p in paid}
        return self._paces[line].bound([self._load(purse) for purse in purses])

    async def _report(self) -> None:
        """Say each hour what each line did in it."""
        earlier = {name: self.metrics(name) for name in self._buses}
        while True:
            await asyncio.sleep(REPORT_S)
            for name in self._buses:
                now = self.metrics(name)
                log.info("line %s in the last hour: %s", name, now.after(earlier[name]))
                earlier[name] = now

    def _silent(self, points: Iterable[ServicePoint], why: str) -> None:
        silent = list(points)
        for point in silent:
            self._power.went_silent(point.id, of=len(self._points))
        self._unread(silent, AlarmKind.SILENT, why)

    def _wrong_entry(self, point: ServicePoint, why: str) -> None:
        self._unread([point], AlarmKind.WRONG_ENTRY, why)

    def _unread(self, points: Iterable[ServicePoint], kind: AlarmKind, why: str) -> None:
        """Tell that points cannot be read, and no longer for another reason."""
        new = [point for point in points if self._store.alarm_since(point.id, kind) is None]
        if not new:
            return
        at = self._clock.now().at
        try:
            with self._store.transaction(is_derived=True):
                for point in new:
                    for other in UNREAD:
                        self._booking.alarms.tell(point, other, at, why, is_on=False)
                    self._booking.alarms.tell(point, kind, at, why, is_on=True)
        except StoreHeld:
            pass  # it is seen again once the store serves
        except StoreFull as error:
            log.warning("an alarm (%s) cannot be noted: %s", why, error)

    # One visit.

    async def visit(self, point: ServicePoint) -> float:
        """Read, rate, decide, act; and in how many seconds to come again.

        Safe to repeat, and to interrupt at any await. A meter that does not answer or cannot be
        understood is dealt with. Raises LineAway, StoreFull and StoreHeld.
        """
        driver, bus = DRIVERS[point.meter.protocol], self._buses[point.meter.line]
        began = asyncio.get_running_loop().time()
        try:
            settled = await self._look(point, driver, bus)
            if self._switches.is_to_move(point, driver, settled):
                with bus.urgently():
                    settled = await self._switches.move(
                        point, driver, bus, settled, lambda: self._look(point, driver, bus)
                    )
            else:
                took_s = asyncio.get_running_loop().time() - began
                self._rounds[point.meter.line].took(point.id, took_s)
                self._switches.note_failure(point, driver, settled)
            await self._buzzers.tell(point, driver, bus)
        except Unwanted as error:
            log.info("%s: %s; it is decided anew", point.name, error)
            return 0.0
        except (NoReply, BadMeter, ProtocolError) as error:
            return self._missed(point, error)
        self._misses.pop(point.id, None)
        return self._pause_s(point, driver, settled)

    async def _look(self, point: ServicePoint, driver: Driver, bus: Bus) -> Settled:
        """Read and book."""
        reading, now = await self._observe(point, driver, bus)
        weighed = self._booking.weigh(point, reading)
        if weighed.doubt is not None:
            # One garbled value must not hold a customer: only what is read twice is believed.
            reading, now = await self._observe(point, driver, bus)
            weighed = self._booking.weigh(point, reading)
        settled = self._booking.book(point, reading, weighed, now=now)
        self._wake_others(point, settled)
        return settled

    async def _observe(
        self, point: ServicePoint, driver: Driver, bus: Bus
    ) -> tuple[Reading, Moment]:
        """The reading, and when it was taken."""
        known, with_bands = self._known(point, bus), wants_bands(point)
        stored = self._store.point(point.id)
        seen = await bus.run(
            lambda: driver.read(point.meter, known, with_bands=with_bands),
            driver.decoder,
            whom=whom(point.meter),
            reply_s=driver.REPLY_S,
            tries=1 if point.id in self._misses else TRIES,
        )
        present = self._store.point(point.id)
        if present is not stored and present != stored:
            raise Unwanted("the point was changed while its meter was read")
        now = self._clock.now()
        if self._power.answered(point.id, now.tick):
            log.info("power has come back: supplies are given back one after another")
            self.wake_all()
        self._met.note(point.id, point.meter, seen.refused)
        supply = self._switches.understood(point, driver, seen.supply)
        reading = Reading(point.meter.meter_no, now.at, seen.total, supply, seen.bands)
        return reading, now

    def _known(self, point: ServicePoint, bus: Bus) -> Known:
        """What there is to know of a point's meter before it is asked."""
        return self._met.known(
            point.id, point.meter, byte_s=bus.byte_s, turn_s=bus.turn_s(whom(point.meter))
        )

    def _wake_others(self, point: ServicePoint, settled: Settled) -> None:
        """The same purse may pay for more points: what this one has spent may concern them now."""
        others = self._purses.concerned(point, before=settled.before, available=settled.available)
        self.wake(other.id for other in others)

    def _missed(self, point: ServicePoint, error: Exception) -> float:
        misses = self._misses[point.id] = self._misses.get(point.id, 0) + 1
        if isinstance(error, BadMeter):
            self._wrong_entry(point, str(error))
        elif misses >= SILENT_AFTER:
            self._silent([point], str(error))
        return rounds_off(misses) * self._rounds[point.meter.line].round_s

    def _is_silent(self, point: ServicePoint) -> bool:
        return self._misses.get(point.id, 0) >= SILENT_AFTER

    # When to come again.

    def _pause_s(self, point: ServicePoint, driver: Driver, settled: Settled) -> float:
        ordinary_s = self._ordinary_s(point, settled)
        if settled.want.again_in is not None:
            ordinary_s = min(ordinary_s, max(AGAIN_LEAST_S, settled.want.again_in.total_seconds()))
        if settled.want.why is Why.HELD:
            ordinary_s = max(ordinary_s, min(HELD_AGAIN_S, self._pace.settle_s))
        if settled.want.why in PUT_OFF:
            self._rounds[point.meter.line].hurry(point.id)
        again_s = self._switches.again_s(point, driver, settled)
        return ordinary_s if again_s is None else min(ordinary_s, again_s)

    def _ordinary_s(self, point: ServicePoint, settled: Settled) -> float:
        """Until the purse can be down to its next level, if all it pays for draws all it can."""
        at_most = timedelta(seconds=self._pace.settle_s)
        if (watched := self._booking.leaks.again_in(point.id)) is not None:
            at_most = min(at_most, watched)
        now = self._clock.now().at
        if point.purse is None:
            return self._paces[point.meter.line].wait_s(point.id, at_most)
        lasts = self._purses.lasts(point.purse, settled.available, now=now, at_most=at_most)
        return self._paces[point.meter.line].wait_s(point.id, lasts)


def _switches_otherwise(before: ServicePoint, after: ServicePoint) -> bool:
    """Whether a command that could not be given before may be given now."""
    return (before.meter, before.policy.restore) != (after.meter, after.policy.restore)
