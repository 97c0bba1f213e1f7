"""The switches of service points: whether a command is due, what keeps it back, and the command with its look."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from edge.booking import Booking, Settled, is_proved
from edge.clocks.clock import Clock
from edge.drivers import Driver, why_not_switched
from edge.ledger.rows import Intent
from edge.ledger.store import Store
from edge.lines.acquaintance import whom
from edge.lines.bus import Bus
from prepaid.point import Restore, ServicePoint
from prepaid.reading import Supply
from prepaid.supply import Why, is_satisfied
from prepaid.wire.uplog import AlarmKind, GatewayAlarm, Trouble
from protocols.exchange import Refused

log = logging.getLogger(__name__)

SWITCH_TRIES = 3  # commands without effect before a person is told
SWITCH_AGAIN_S = 60.0  # between commands after that, doubling
SWITCH_AGAIN_MOST_S = 900.0
ARMED_S = 5.0  # between the first looks while the customer is expected at the meter's button
ARMED_PART = 4  # later ones come when a quarter more time has passed
ARMED_FOR = timedelta(minutes=10)


class Switches:
    """Moves supplies. present says how a point is now, which a visit may have taken up as it was before."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        booking: Booking,
        *,
        present: Callable[[ServicePoint], ServicePoint],
    ) -> None:
        self._store = store
        self._clock = clock
        self._booking = booking
        self._present = present
        self._sent: dict[UUID, float] = {}  # the tick of each point's last command
        self._mended: set[UUID] = set()
        self.may_cut = True

    def meter_changed(self, point: UUID) -> None:
        """What its meter refused may be asked again at once: it is another one, or has another key."""
        self._mended.add(point)

    def begin_again(self, booking: Booking) -> None:
        """The store was rebuilt: no command of before is under way."""
        self._booking = booking
        self._sent.clear()
        self._mended.clear()

    def is_to_move(self, point: ServicePoint, driver: Driver, settled: Settled) -> bool:
        """Whether the switch is to be moved now, as far as one reading says."""
        if settled.want.why is Why.UNCONFIRMED and self.may_cut:
            return True
        return self._is_due(point, driver, settled)

    async def move(
        self,
        point: ServicePoint,
        driver: Driver,
        bus: Bus,
        settled: Settled,
        look: Callable[[], Awaitable[Settled]],
    ) -> Settled:
        """Make sure by another look, then switch."""
        if settled.want.why is Why.UNCONFIRMED:
            settled = await look()
        if settled.want.supply is Supply.OFF and self._is_due(point, driver, settled):
            settled = await self._weigh_cut(point, driver, bus, settled)
        self.note_failure(point, driver, settled)
        if self._is_due(point, driver, settled):
            settled = await self._switch(point, driver, bus, settled)
        return settled

    async def _weigh_cut(
        self, point: ServicePoint, driver: Driver, bus: Bus, settled: Settled
    ) -> Settled:
        """What is about to be cut is looked at once more: what flows through it, and how many others are.

        Only a cut that nothing else puts off is counted by the brake.
        """
        current_a = None
        if point.policy.max_cut_current_a is not None:
            current_a = await bus.run(
                lambda: driver.current(point.meter), driver.decoder, reply_s=driver.REPLY_S
            )
        settled = self._booking.decide(point, settled, current_a=current_a)
        if settled.want.why is Why.NO_CREDIT and self._brake(point):
            settled = self._booking.decide(point, settled, current_a=current_a)
        return settled

    def _brake(self, point: ServicePoint) -> bool:
        """Notes that a point is about to be cut for want of credit; whether that pulls the brake, as one too many."""
        store, now = self._store, self._clock.now().at
        brake = store.brake()
        noted = brake.note_cut(point.id, now)
        # As long as it is not pulled, the intent to cut that follows takes it to the disk.
        with store.transaction(is_derived=not noted.is_on):
            store.save_brake(noted)
            if noted.is_on and not brake.is_on:
                text = (
                    f"{len(noted.cuts)} of {noted.points} points were to be cut within {noted.within}: nobody is "
                    "cut for want of credit until a person has looked and releases the brake"
                )
                store.save_trouble(Trouble.BRAKED, now)
                store.append(GatewayAlarm(now, Trouble.BRAKED, is_over=False, text=text))
                log.error("%s", text)
        return noted.is_on

    def again_s(self, point: ServicePoint, driver: Driver, settled: Settled) -> float | None:
        """In how many seconds to look again at the latest for the sake of a command under way; None without one."""
        intent = self._store.intent(point.id)
        if intent is not None and point.meter.has_switch:
            if not intent.is_refused and self._is_within(driver.TRAVEL_S, point, intent):
                return max(1.0, driver.TRAVEL_S / 20)
            if intent.supply is settled.want.supply:
                return max(1.0, self._patience_left_s(point, driver, intent))
        if settled.seen is Supply.ARMED:
            row = self._store.supply(point.id)
            if row and row.commanded_at:
                since = self._since_sent(point, row.commanded_at)
                if since < ARMED_FOR:
                    return max(ARMED_S, since.total_seconds() / ARMED_PART)
        return None

    def _is_due(self, point: ServicePoint, driver: Driver, settled: Settled) -> bool:
        """Whether a command is to be sent now."""
        want, intent = settled.want, self._store.intent(point.id)
        if want.supply is None or not point.meter.has_switch:
            return False
        if want.supply is Supply.OFF and not self.may_cut:
            return False
        if intent is None:
            return not is_satisfied(want, settled.seen, point.policy.restore, has_switch=True)
        if intent.supply is not want.supply:
            # A command the other way may still be at work, whatever the meter shows now.
            return True
        if is_proved(point, want, settled.seen):
            return False
        if intent.commanded_at is None and not intent.is_refused and intent.tries < SWITCH_TRIES:
            return True
        if intent.is_refused and point.id in self._mended:
            return True
        return self._patience_left_s(point, driver, intent) <= 0

    def _patience_left_s(self, point: ServicePoint, driver: Driver, intent: Intent) -> float:
        """How long the last command is still given before it is sent again."""
        patience_s = driver.TRAVEL_S
        if intent.is_refused or intent.tries >= SWITCH_TRIES:
            doubled = SWITCH_AGAIN_S * 2.0 ** min(max(intent.tries - SWITCH_TRIES, 0), 10)
            patience_s = min(doubled, SWITCH_AGAIN_MOST_S)
        return patience_s - self._since_sent(point, intent.sent_at).total_seconds()

    def _is_within(self, seconds: float, point: ServicePoint, intent: Intent) -> bool:
        """Whether the last command was sent no longer ago."""
        return self._since_sent(point, intent.sent_at) < timedelta(seconds=seconds)

    def _since_sent(self, point: ServicePoint, at: datetime) -> timedelta:
        """The time since the last command, which was sent at this time of the wall clock."""
        return self._clock.since(at, self._sent.get(point.id))

    def note_failure(self, point: ServicePoint, driver: Driver, settled: Settled) -> None:
        intent = self._store.intent(point.id)
        if (
            intent is not None
            and point.meter.has_switch
            and intent.tries >= SWITCH_TRIES
            and intent.supply is settled.want.supply
            and not self._is_within(driver.TRAVEL_S, point, intent)
            and self._store.alarm_since(point.id, AlarmKind.CANNOT_SWITCH) is None
        ):
            found = "the supply cannot be read" if settled.seen is None else f"still {settled.seen}"
            text = f"{found} after {intent.tries} commands to go {intent.supply}"
            with self._store.transaction():
                self._tell(point, AlarmKind.SWITCH_FAILED, text)

    async def _switch(
        self, point: ServicePoint, driver: Driver, bus: Bus, settled: Settled
    ) -> Settled:
        """Send a command and look whether it worked; what has to travel is looked at by the next visits.

        The intent is on disk before the first byte is sent, and until the supply is read back.
        """
        store, want = self._store, settled.want
        if want.supply is None:
            raise ValueError("nothing is wanted")
        supply = want.supply
        earlier = store.intent(point.id)
        failed = earlier.tries if earlier is not None and earlier.supply is supply else 0
        now = self._clock.now()
        intent = Intent(supply, now.at, commanded_at=None, tries=failed + 1, is_refused=False)
        self._sent[point.id] = now.tick
        self._mended.discard(point.id)
        # Nobody is cut who could not be given back.
        both = (supply, Supply.ON) if supply is Supply.OFF else (supply,)
        if (wrong := why_not_switched(point, both, now.at)) is not None:
            with store.transaction():
                store.save_intent(point.id, replace(intent, is_refused=True))
                self._tell(point, AlarmKind.SWITCH_FAILED, "it cannot be told to", is_on=False)
                self._tell(point, AlarmKind.CANNOT_SWITCH, str(wrong))
            return settled
        with store.transaction():
            store.save_intent(point.id, intent)
            text = "all that its switch needs is entered"
            self._tell(point, AlarmKind.CANNOT_SWITCH, text, is_on=False)
        try:
            await bus.run(
                lambda: driver.switch(point.meter, supply, point.policy.restore, intent.sent_at),
                driver.decoder,
                reply_s=driver.REPLY_S,
                still=lambda: self._wanted(point) is supply,
            )
        except Refused as error:
            with store.transaction():
                store.save_intent(point.id, replace(intent, is_refused=True))
                text = f"the command to go {supply}: {error}"
                self._tell(point, AlarmKind.SWITCH_FAILED, text)
            return settled
        with store.transaction():
            store.save_intent(point.id, replace(intent, commanded_at=self._clock.now().at))
        state = await bus.run(
            lambda: driver.state(point.meter),
            driver.decoder,
            whom=whom(point.meter),
            reply_s=driver.REPLY_S,
        )
        seen = self.understood(point, driver, state)
        with store.transaction():
            self._booking.report(point, want, seen, self._clock.now().at)
        return replace(settled, seen=seen)

    def _wanted(self, point: ServicePoint) -> Supply | None:
        """The supply that is wanted by what has been booked up to now."""
        if self._store.hold is not None:
            return None
        return self._booking.wanted(self._present(point))

    def _tell(self, point: ServicePoint, kind: AlarmKind, text: str, *, is_on: bool = True) -> None:
        self._booking.alarms.tell(point, kind, self._clock.now().at, text, is_on=is_on)

    def understood(self, point: ServicePoint, driver: Driver, seen: Supply | None) -> Supply | None:
        """What was seen, by the light of what this meter was told, where it hides that it is armed.

        It is armed from the acknowledged allow-close until the contact closes or a trip is acknowledged.
        """
        if seen is not Supply.OFF or not driver.hides_armed(point.meter):
            return seen
        row, intent = self._store.supply(point.id), self._store.intent(point.id)
        told = intent.supply if intent is not None and intent.commanded_at else None
        if told is Supply.ON and point.policy.restore is Restore.ALLOW_CLOSE:
            return Supply.ARMED
        was_armed = row is not None and row.seen is Supply.ARMED
        return Supply.ARMED if was_armed and told is not Supply.OFF else Supply.OFF
