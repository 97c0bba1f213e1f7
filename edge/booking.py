"""What a reading changes: rated, charged, decided and told, in one transaction of the store."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from edge import decisions
from edge.alarms import Alarms
from edge.circumstances import Circumstances, Looks
from edge.clocks.clock import Clock, Moment
from edge.clocks.power_return import PowerReturn
from edge.leaks import Leaks
from edge.ledger.rows import SupplyRow
from edge.ledger.store import Store
from prepaid import handover, rating
from prepaid.calendar import micros
from prepaid.credit import cut_level, is_repaid
from prepaid.handover import Handover
from prepaid.ledger import Transfer
from prepaid.money import Money
from prepaid.point import ServicePoint
from prepaid.rating import Charge, Position
from prepaid.reading import Reading, Supply
from prepaid.record import record
from prepaid.register.assessment import Assessment, assess
from prepaid.register.evidence import Effect, Evidence, Kind
from prepaid.register.history import History
from prepaid.supply import Desired, Why, desired, is_satisfied
from prepaid.wire.downlog import Decided
from prepaid.wire.uplog import AlarmKind, Charged, EmergencyRepaid, Read, SupplyChanged

log = logging.getLogger(__name__)

T = TypeVar("T")

TELL_S = 60.0  # an unchanged reading is sent up no more often
ORDINARY = (Kind.MOVED, Kind.STILL)


@record
@dataclass(frozen=True, slots=True)
class Weighed:
    """What a reading leads to. position is None where nothing can be charged; assessment is None where
    there is nothing to judge the reading by; handover is None unless somebody else pays from now on."""

    position: Position | None
    charges: tuple[Charge, ...]
    assessment: Assessment | None
    handover: Handover | None = None
    is_rebased: bool = (
        False  # the clock was set or a link undone: it does not follow from the reading told before
    )

    @property
    def doubt(self) -> str | None:
        """Why the reading is held, if it is."""
        held = self.assessment is not None and self.assessment.moved is None
        return self.assessment.text if held and self.assessment is not None else None

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What is worth telling of the reading: all but that its register moved, or did not."""
        found = self.assessment.evidence if self.assessment is not None else ()
        return tuple(evidence for evidence in found if evidence.kind not in ORDINARY)


@record
@dataclass(frozen=True, slots=True)
class Settled:
    """After a reading was booked: what the purse held before and holds now, what is wanted, what was seen."""

    before: Money
    available: Money
    want: Desired
    seen: Supply | None


class Booking:
    """Readings into the ledger and the up-log."""

    def __init__(self, store: Store, clock: Clock, power: PowerReturn) -> None:
        self._store = store
        self._clock = clock
        self._looks: dict[UUID, Looks] = {}
        self._told: dict[UUID, tuple[Read, float]] = {}
        # What looks and told were before the visits of a group that may be committed yet, and the group's number.
        self._before: dict[UUID, tuple[Looks | None, tuple[Read, float] | None]] = {}
        self._group = 0
        self.alarms = Alarms(store, clock)
        self.leaks = Leaks(store, clock, self.alarms)
        self.circumstances = Circumstances(store, clock, power, self.alarms)

    def weigh(self, point: ServicePoint, reading: Reading) -> Weighed:
        """Judge and rate a reading; nothing is changed by it.

        A reading in doubt holds its point: nothing is charged and the supply is left alone, until one can
        be true (prepaid.register), or a person decides (edge.decisions). A point without tariff is left alone too.
        """
        tariff = self._store.tariff(point.tariff)
        if tariff is None:
            return Weighed(None, (), None)
        before = self._store.position(point.id)
        if before is None:
            return Weighed(rating.open_position(point, tariff, reading), (), None)
        if before.payer is None:  # it was written before positions said who pays
            before = replace(before, payer=rating.payer_of(point))
        if self._counts_anew(point.id):
            return Weighed(replace(before, reading=reading, counted=()), (), None, is_rebased=True)
        charged_tick = self._charged_tick(point.id)
        elapsed = self._since_charged(point.id, before)
        assessment = assess(
            before.reading,
            reading,
            point.meter,
            elapsed=elapsed,
            history=self._store.history(point.id),
        )
        if assessment.moved is None:
            return Weighed(None, (), assessment)
        differs = any(evidence.kind is Kind.CLOCK for evidence in assessment.evidence)
        is_rebased = differs and charged_tick is not None
        if is_rebased:
            before = rating.rebased(before, reading.at - elapsed)
        if point.trusts_meter_bands and self._store.alarm_since(point.id, AlarmKind.CLOCK_WRONG):
            point = replace(point, trusts_meter_bands=False)  # its bands are of wrong hours
        moved = assessment.moved
        if handover.is_due(point, before):
            found = handover.hand_over(point, tariff, before, reading, moved=moved)
            return Weighed(found.after, found.charges, assessment, found)
        position, charges = rating.rate(point, tariff, before, reading, moved=moved)
        return Weighed(position, charges, assessment, is_rebased=is_rebased)

    def book(
        self, point: ServicePoint, reading: Reading, weighed: Weighed, *, now: Moment
    ) -> Settled:
        """Charge what was weighed and tell what changed; now is when it was read.

        Raises StoreFull and StoreHeld; then nothing is changed.
        """
        store, evidence = self._store, weighed.evidence
        last = store.position(point.id)
        with store.transaction(is_derived=True):
            self._begin(point.id)
            before = self.circumstances.available(point)
            told = self._tell(point, reading, evidence, now.tick, last)
            if weighed.handover is not None:
                self._hand_over(point, weighed.handover)
            if weighed.position is not None:
                is_start = weighed.is_rebased or last is None
                self._charge(point, weighed.position, weighed.charges, is_start=is_start)
                if self._counts_anew(point.id):
                    self._note_counted(point.id)
                    store.save_history(point.id, History())  # what was known is of another register
            if weighed.assessment is not None:
                store.save_history(point.id, weighed.assessment.history)
            available = self.circumstances.available(point)
            self._note_repaid(point.purse, available, reading.at)
            looks = self._looks.get(point.id)
            if weighed.position is not None:
                looks = self._looked(point, available, now.tick)
            known = self.circumstances.situation(point, reading.supply, looks, now=now)
            if weighed.position is not None:
                is_leaking = self.leaks.of_reading(point, reading, known, now)
                if is_leaking is not known.is_leaking:
                    known = replace(known, is_leaking=is_leaking)
            want = desired(point.policy, known)
            self.alarms.of_reading(point, reading, weighed.doubt, evidence, known)
            if not self._is_weighed_again(point, want, reading.supply):
                self.alarms.of_wait(point, want, reading.at)
                self.report(point, want, reading.supply, reading.at)
        if looks is not None:
            self._looks[point.id] = looks
        if told is not None:
            self._told[point.id] = (told, now.tick)
        return Settled(before, available, want, reading.supply)

    def _begin(self, point: UUID) -> None:
        """Keeps what is known of a point until it is certain that its visit is booked. Inside a transaction."""
        if self._group != self._store.group:
            self._group, self._before = self._store.group, {}
        self._before.setdefault(point, (self._looks.get(point), self._told.get(point)))

    def lost(self) -> list[UUID]:
        """Nothing of the group under way is kept: goes back to what is booked; the points to be visited again."""
        if self._group != self._store.group:
            return []
        undone, self._before = self._before, {}
        for point, (looks, told) in undone.items():
            _put_back(self._looks, point, looks)
            _put_back(self._told, point, told)
        return list(undone)

    def _is_weighed_again(self, point: ServicePoint, want: Desired, seen: Supply | None) -> bool:
        """Whether this is a cut that was put off for the current: what is told waits for decide(), which knows it.

        Else an alarm would end and begin with each look.
        """
        row = self._store.supply(point.id)
        is_as_before = row is not None and row.seen is seen is Supply.ON
        return (
            is_as_before and want.supply is Supply.OFF and self.circumstances.put_off(point.id) > 0
        )

    def take(self, said: Decided) -> None:
        """Book what a person decided about a register, and take over the point. Inside a transaction."""
        id, now = said.point.id, self._clock.now()
        before = self._store.position(id)
        outcome = decisions.take(
            self._store,
            said,
            before,
            elapsed=self._since_charged(id, before),
            is_counted=self._charged_tick(id) is not None,
            now=now.at,
        )
        if outcome is not None:
            # What was looked at before was the old register; the next reading is measured against the new.
            self.alarms.bypass.forget(id)
            self.leaks.forget(id)
            ago = max((now.at - outcome.position.reading.at).total_seconds(), 0.0)
            self._looks[id] = Looks(0, now.tick - ago)
            self._told.pop(id, None)
            self._note_counted(id)
            if outcome.told:
                reading, evidence = outcome.told[-1]
                self._told[id] = (Read(id, reading, evidence), now.tick)

    def meter_changed(self, point: UUID) -> None:
        """What was looked at before was another meter: no evidence for a cut, and no time is counted from it."""
        self._looks.pop(point, None)
        self._told.pop(point, None)
        self.alarms.bypass.forget(point)
        self.leaks.forget(point)

    def _counts_anew(self, point: UUID) -> bool:
        """Whether it was charged by the register of a meter that was linked to it wrongly, and by none of its own."""
        linked = self._store.linked(point)
        return linked is not None and linked.counts_anew

    def _note_counted(self, point: UUID) -> None:
        linked = self._store.linked(point)
        if linked is not None and linked.counts_anew:
            self._store.save_linked(point, replace(linked, counts_anew=False))

    def decide(
        self, point: ServicePoint, settled: Settled, *, current_a: Decimal | None
    ) -> Settled:
        """What is wanted, now that a cut is due and the current (in ampere, if the meter can say) is known."""
        known = self.circumstances.situation(
            point, settled.seen, self._looks.get(point.id), current_a=current_a
        )
        want = desired(point.policy, known)
        self.circumstances.note_weighed(point.id, want)
        with self._store.transaction(is_derived=True):
            self.alarms.of_wait(point, want, known.now)
            self.report(point, want, settled.seen, known.now)
        return replace(settled, want=want)

    def wanted(self, point: ServicePoint) -> Supply | None:
        """The supply that is wanted by what has been booked up to now."""
        row = self._store.supply(point.id)
        known = self.circumstances.situation(
            point, row.seen if row else None, self._looks.get(point.id)
        )
        return desired(point.policy, known).supply

    def report(self, point: ServicePoint, want: Desired, seen: Supply | None, at: datetime) -> None:
        """Tell a change of supply or of what is wanted, and end the command that is proved by it.

        Inside a transaction.
        """
        store = self._store
        row, intent = store.supply(point.id), store.intent(point.id)
        commanded_at = None
        if intent is not None and not point.meter.has_switch:
            store.save_intent(point.id, None)
            self.alarms.end_of_switch(point, at, "it has no switch")
        elif intent is not None and is_proved(point, want, seen) and intent.supply is want.supply:
            # Whose acknowledgement was lost obeyed all the same; who refused was switched by another.
            commanded_at = None if intent.is_refused else intent.commanded_at or intent.sent_at
            if seen is Supply.ON:
                self.leaks.opened(point)
            store.save_intent(point.id, None)
            self.alarms.end_of_switch(point, at, f"it is {seen}")
        elif row is not None and (row.seen is seen or (row.seen, seen) == BUTTON_PRESSED):
            commanded_at = row.commanded_at
        self.circumstances.note_supply(point.id, row, seen, at)
        if row is not None and want.why is Why.UNCONFIRMED:
            return  # it is looked at again at once
        if row is not None and (row.seen, row.wanted, row.why) == (seen, want.supply, want.why):
            return
        store.save_supply(point.id, SupplyRow(seen, want.supply, want.why, commanded_at))
        store.append(
            SupplyChanged(
                point=point.id,
                at=at,
                supply=seen,
                wanted=want.supply,
                why=want.why,
                commanded_at=commanded_at,
            )
        )
        log.info("%s is %s, wanted %s: %s", point.name, seen, want.supply, want.why)

    def _tell(
        self,
        point: ServicePoint,
        reading: Reading,
        evidence: tuple[Evidence, ...],
        tick: float,
        last: Position | None,
    ) -> Read | None:
        """What was told of it; None where it is as the last that was told, a short while ago."""
        told, told_tick = self._told.get(point.id, (None, 0.0))
        if (
            told is not None
            and tick - told_tick < TELL_S
            and replace(told.reading, at=reading.at) == reading
            and _kinds(told.evidence) == _kinds(evidence)
        ):
            return None
        if last is not None and (told is None or told.reading.at < last.reading.at):
            self._tell_last(point, reading, last.reading, told)
        read = Read(point.id, reading, evidence, known=self._known())
        self._store.append(read)
        return read

    def _tell_last(
        self, point: ServicePoint, reading: Reading, last: Reading, told: Read | None
    ) -> None:
        """Tells the reading charged last where it was not told, being as the one before, and prices changed since:
        what the register moved is spread from there on, and whoever rates it again must know."""
        tariff = self._store.tariff(point.tariff)
        if tariff is None or last.total == reading.total:
            return
        if told is not None:
            since, until = micros(told.reading.at), micros(reading.at)
            if len(tariff.stretches(since, until)) == 1:
                return
        self._store.append(Read(point.id, last, known=self._known()))

    def _known(self) -> int:
        """Up to where we have the cloud's log."""
        cursor = self._store.cursor()
        return 0 if cursor is None else cursor.seq

    def _hand_over(self, point: ServicePoint, found: Handover) -> None:
        """Charge the payer before for the last time, and tell at which register the present one begins."""
        transfers = rating.transfers(point, found.closed, found.closing_charges)
        for transfer in transfers:
            self._store.post(transfer)
        self._tell_charged(point, found.closed, transfers, is_start=True)
        self._store.save_position(point.id, found.opened)
        self._tell_charged(point, found.opened, (), is_start=True)
        log.info(
            "%s: from %s on %s pays, no longer %s",
            *(point.name, found.opened.reading.total, found.opened.payer, found.closed.payer),
        )

    def _charge(
        self,
        point: ServicePoint,
        position: Position,
        charges: tuple[Charge, ...],
        *,
        is_start: bool,
    ) -> None:
        transfers: tuple[Transfer, ...] = rating.transfers(point, position, charges)
        for transfer in transfers:
            self._store.post(transfer)
        self._store.save_position(point.id, position)
        if transfers or is_start:
            self._tell_charged(point, position, transfers, is_start=is_start)

    def _tell_charged(
        self,
        point: ServicePoint,
        position: Position,
        transfers: tuple[Transfer, ...],
        *,
        is_start: bool,
    ) -> None:
        place = point.meter.place if is_start else None
        self._store.append(
            Charged(
                point.id, position, transfers, is_start=is_start, known=self._known(), place=place
            )
        )

    def _note_repaid(self, purse: UUID | None, available: Money, at: datetime) -> None:
        """Ends emergency credit that was taken, once no point of the purse would be offered it."""
        if purse is None or self._store.lent(purse) is None:
            return
        paid_for = (p for p in self._store.points().values() if p.purse == purse)
        if all(is_repaid(p.policy, available) for p in paid_for):
            self._store.save_lent(purse, None)
            self._store.append(EmergencyRepaid(purse, at))
            log.info("the emergency credit of purse %s is paid back", purse)

    def _looked(self, point: ServicePoint, available: Money, tick: float) -> Looks:
        """Counts the looks in a row that found nothing left, each fresh while the next was taken."""
        last = self._looks.get(point.id)
        is_taken = self.circumstances.is_lent(point)
        if point.purse is None or available > cut_level(point.policy, is_emergency_taken=is_taken):
            return Looks(0, tick)
        is_fresh = last is not None and _seconds(tick - last.tick) <= point.policy.fresh_for
        return Looks(last.short + 1 if last is not None and is_fresh else 1, tick)

    def _since_charged(self, point: UUID, position: Position | None) -> timedelta:
        """The time since the reading charged last; none where there is no such reading."""
        if position is None:
            return timedelta(0)
        return self._clock.since(position.reading.at, self._charged_tick(point))

    def _charged_tick(self, point: UUID) -> float | None:
        looks = self._looks.get(point)
        return None if looks is None else looks.tick


BUTTON_PRESSED = (Supply.ARMED, Supply.ON)


def is_proved(point: ServicePoint, want: Desired, seen: Supply | None) -> bool:
    """Whether the meter itself shows the supply wanted."""
    return (
        want.supply is not None
        and seen is not None
        and is_satisfied(want, seen, point.policy.restore, has_switch=True)
    )


def _kinds(evidence: tuple[Evidence, ...]) -> list[tuple[Kind, Effect]]:
    return [(each.kind, each.effect) for each in evidence]


def _put_back(known: dict[UUID, T], point: UUID, before: T | None) -> None:
    if before is None:
        known.pop(point, None)
    else:
        known[point] = before


def _seconds(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)
