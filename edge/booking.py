"""What a reading changes: rated, charged, decided and told, in one transaction of the store."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from edge import decisions
from edge.clocks.clock import Clock, Moment
from edge.clocks.power_return import PowerReturn
from edge.ledger.rows import Off, SupplyRow
from edge.ledger.store import Store
from edge.warned import Buzzer, Warned
from prepaid import handover, rating
from prepaid.calendar import micros
from prepaid.credit import cut_level, is_repaid
from prepaid.handover import Handover
from prepaid.ledger import Transfer
from prepaid.money import ZERO, Money
from prepaid.point import ServicePoint
from prepaid.rating import Charge, Position
from prepaid.reading import Reading, Supply
from prepaid.register import Assessment, Effect, Evidence, Kind, assess
from prepaid.supply import Desired, Override, Situation, Why, desired, is_satisfied, wanted
from prepaid.wire import (
    Alarm,
    AlarmKind,
    Charged,
    Decided,
    EmergencyRepaid,
    Read,
    SupplyChanged,
)

log = logging.getLogger(__name__)

TELL_S = 60.0  # an unchanged reading is sent up no more often
ORDINARY = (Kind.MOVED, Kind.STILL)
OF_READING = (
    AlarmKind.SILENT,
    AlarmKind.NO_TARIFF,
    AlarmKind.IMPLAUSIBLE,
    AlarmKind.STUCK,
    AlarmKind.LOW_BALANCE,
    AlarmKind.FINAL_BALANCE,
)
"""The alarms that a reading begins or ends, in the order in which they are told."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a reading leads to. position is None where nothing can be charged; assessment is None where
    there is nothing to judge the reading by; handover is None unless somebody else pays from now on."""

    position: Position | None
    charges: tuple[Charge, ...]
    assessment: Assessment | None
    handover: Handover | None = None
    is_rebased: bool = (
        False  # the clock was set: the position before is not that of the reading told
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


@dataclass(frozen=True, slots=True)
class Settled:
    """After a reading was booked: what the purse held before and holds now, what is wanted, what was seen."""

    before: Money
    available: Money
    want: Desired
    seen: Supply | None


@dataclass(frozen=True, slots=True)
class Looks:
    """How many good readings in a row, up to the last (its tick), found the purse empty."""

    short: int
    tick: float


class Booking:
    """Readings into the ledger and the up-log."""

    def __init__(self, store: Store, clock: Clock, power: PowerReturn) -> None:
        self._store = store
        self._clock = clock
        self._power = power
        self._warned: dict[UUID, float] = {}  # the tick at which each customer was warned
        self._looks: dict[UUID, Looks] = {}
        self._moved: dict[UUID, float] = {}  # the tick at which each supply was seen to move
        self._went_off: dict[UUID, float] = {}  # the tick at which each supply was seen to go off
        self._put_off: dict[UUID, int] = {}  # how often a cut was put off for the current
        self._told: dict[UUID, tuple[Read, float]] = {}
        self.tests: dict[UUID, Override] = {}  # what technicians try out; none outlives the program

    def weigh(self, point: ServicePoint, reading: Reading) -> Weighed:
        """Judge and rate a reading; nothing is changed by it.

        A reading in doubt holds its point: nothing is charged and the supply is left alone, until one can
        be true (prepaid.register), or a new entry of the point from the cloud lifts the hold. A point
        without tariff is left alone too.
        """
        tariff = self._store.tariff(point.tariff)
        if tariff is None:
            return Weighed(None, (), None)
        before = self._store.position(point.id)
        if before is None:
            return Weighed(rating.open_position(point, tariff, reading), (), None)
        if before.payer is None:  # it was written before positions said who pays
            before = replace(before, payer=rating.payer_of(point))
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
        self, point: ServicePoint, reading: Reading, weighed: Weighed, *, tick: float
    ) -> Settled:
        """Charge what was weighed and tell what changed; tick is when it was read.

        Raises StoreFull and StoreHeld; then nothing is changed.
        """
        store, evidence = self._store, weighed.evidence
        with store.transaction(is_derived=True):
            before = self._available(point)
            is_told = self._tell(point, reading, evidence, tick)
            if weighed.handover is not None:
                self._hand_over(point, weighed.handover)
            if weighed.position is not None:
                self._charge(point, weighed.position, weighed.charges, is_start=weighed.is_rebased)
            if weighed.assessment is not None:
                store.save_history(point.id, weighed.assessment.history)
            available = self._available(point)
            self._note_repaid(point.purse, available, reading.at)
            looks = self._looks.get(point.id)
            if weighed.position is not None:
                looks = self._looked(point, available, tick)
            want = desired(point.policy, self.situation(point, reading.supply, looks))
            self._alarms(point, reading, weighed.doubt, evidence, available)
            if not self._is_weighed_again(point, want, reading.supply):
                self._note_wait(point, want, reading.at)
                self.report(point, want, reading.supply, reading.at)
        if looks is not None:
            self._looks[point.id] = looks
        if is_told:
            self._told[point.id] = (Read(point.id, reading, evidence), tick)
        return Settled(before, available, want, reading.supply)

    def _is_weighed_again(self, point: ServicePoint, want: Desired, seen: Supply | None) -> bool:
        """Whether this is a cut that was put off for the current: what is told waits for decide(), which knows it.

        Else an alarm would end and begin with each look.
        """
        row = self._store.supply(point.id)
        is_as_before = row is not None and row.seen is seen is Supply.ON
        return is_as_before and want.supply is Supply.OFF and self._put_off.get(point.id, 0) > 0

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
            ago = max((now.at - outcome.position.reading.at).total_seconds(), 0.0)
            self._looks[id] = Looks(0, now.tick - ago)
            self._told.pop(id, None)
            if outcome.told:
                reading, evidence = outcome.told[-1]
                self._told[id] = (Read(id, reading, evidence), now.tick)

    def decide(
        self, point: ServicePoint, settled: Settled, *, current_a: Decimal | None
    ) -> Settled:
        """What is wanted, now that a cut is due and the current (in ampere, if the meter can say) is known."""
        known = self.situation(point, settled.seen, self._looks.get(point.id), current_a=current_a)
        want = desired(point.policy, known)
        if want.why is Why.CURRENT:
            self._put_off[point.id] = self._put_off.get(point.id, 0) + 1
        else:
            self._put_off.pop(point.id, None)
        with self._store.transaction(is_derived=True):
            self._note_wait(point, want, known.now)
            self.report(point, want, settled.seen, known.now)
        return replace(settled, want=want)

    def wanted(self, point: ServicePoint) -> Supply | None:
        """The supply that is wanted by what has been booked up to now."""
        row = self._store.supply(point.id)
        known = self.situation(point, row.seen if row else None, self._looks.get(point.id))
        return desired(point.policy, known).supply

    def situation(
        self,
        point: ServicePoint,
        seen: Supply | None,
        looks: Looks | None,
        *,
        current_a: Decimal | None = None,
    ) -> Situation:
        """What is known of a point now. What nobody tells a gateway yet is said to be unknown."""
        store, now = self._store, self._clock.now()
        moved, off = self._moved.get(point.id), store.off(point.id)
        # An operator's word counts for more than a test: the last that was given is the one in force.
        overrides = (self.tests.get(point.id), store.override(point.id))
        known = Situation(
            now=now.at,
            is_clock_trusted=now.is_trusted,
            available=self._available(point),
            is_emergency_taken=self._is_lent(point),
            warned_ago=self._warned_ago(point.id, now),
            is_held=store.history(point.id).is_held,
            has_tariff=store.tariff(point.tariff) is not None,
            read_ago=None if looks is None else _seconds(now.tick - looks.tick),
            agreeing=0 if looks is None else looks.short,
            overrides=tuple(given for given in overrides if given is not None),
            is_braked=store.brake().is_on,
            are_taps_closed=off is not None and off.taps_closed_at is not None,
            has_switch=point.meter.has_switch,
            seen=seen,
            current_a=current_a,
            put_off=self._put_off.get(point.id, 0),
            switched_ago=None if moved is None else _seconds(now.tick - moved),
            off_for=self._off_for(point.id, off, now),
            power_back_ago=None,
            place=0,
            vacant=point.while_vacant if point.purse is None else None,
        )
        return self._staggered(point, known, now)

    def _available(self, point: ServicePoint) -> Money:
        """What the payer of a point holds; nothing where nobody pays."""
        return ZERO if point.purse is None else self._store.balance(point.purse)

    def _is_lent(self, point: ServicePoint) -> bool:
        return point.purse is not None and self._store.lent(point.purse) is not None

    def _staggered(self, point: ServicePoint, known: Situation, now: Moment) -> Situation:
        """With its place among those that are given back after a power return, if it is to be one of them."""
        ago = self._power.ago(now.tick)
        if ago is None:
            return known
        want = wanted(point.policy, known)
        has_switch = known.has_switch
        if want.supply is not Supply.ON or is_satisfied(
            want, known.seen, point.policy.restore, has_switch=has_switch
        ):
            return known
        return replace(known, power_back_ago=ago, place=self._power.place(point.id))

    def _warned_ago(self, point: UUID, now: Moment) -> timedelta | None:
        """How long ago the customer was given the final alarm, None if that was not in this shortage.

        By the clock that does not jump. Over a restart the time on the wall counts only where it was trusted
        when it was noted and is now; else only what this program has run.
        """
        warned = self._store.warned(point)
        if self._store.alarm_since(point, AlarmKind.FINAL_BALANCE) is None:
            return None
        tick = self._warned.get(point)
        if tick is not None:
            return _seconds(now.tick - tick)
        if warned is not None and warned.is_dated and now.is_trusted and warned.at <= now.at:
            return now.at - warned.at
        return self._clock.running

    def _off_for(self, point: UUID, off: Off | None, now: Moment) -> timedelta | None:
        """How long the supply has been off, None if that cannot be known: then it is asked for the taps.

        Over a restart the time on the wall counts, where it was trusted when it was noted and is now.
        """
        tick = self._went_off.get(point)
        if tick is not None:
            return _seconds(now.tick - tick)
        if off is None or off.since is None or not now.is_trusted or off.since > now.at:
            return None
        return now.at - off.since

    def report(self, point: ServicePoint, want: Desired, seen: Supply | None, at: datetime) -> None:
        """Tell a change of supply or of what is wanted, and end the command that is proved by it.

        Inside a transaction.
        """
        store = self._store
        row, intent = store.supply(point.id), store.intent(point.id)
        commanded_at = None
        if intent is not None and not point.meter.has_switch:
            store.save_intent(point.id, None)
            self.alarm(point, AlarmKind.SWITCH_FAILED, at, "it has no switch", is_on=False)
        elif intent is not None and is_proved(point, want, seen) and intent.supply is want.supply:
            # Whose acknowledgement was lost obeyed all the same; who refused was switched by another.
            commanded_at = None if intent.is_refused else intent.commanded_at or intent.sent_at
            store.save_intent(point.id, None)
            self.alarm(point, AlarmKind.SWITCH_FAILED, at, f"it is {seen}", is_on=False)
        elif row is not None and (row.seen is seen or (row.seen, seen) == BUTTON_PRESSED):
            commanded_at = row.commanded_at
        if row is not None and {row.seen, seen} in MOVEMENTS:
            self._moved[point.id] = self._clock.tick()
        self._note_off(point.id, row, seen, at)
        if row is not None and want.why is Why.UNCONFIRMED:
            return  # it is looked at again at once
        now = SupplyRow(seen, want.supply, want.why, commanded_at)
        if row is not None and replace(row, commanded_at=commanded_at) == now:
            return
        store.save_supply(point.id, now)
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

    def alarm(
        self, point: ServicePoint, kind: AlarmKind, at: datetime, text: str, *, is_on: bool
    ) -> None:
        """Tell that an alarm began or ended; nothing if it is as it was. Inside a transaction."""
        since = self._store.alarm_since(point.id, kind)
        if is_on == (since is not None):
            return
        self._store.save_alarm(point.id, kind, at if is_on else None)
        self._store.append(Alarm(point.id, at, kind, not is_on, text))
        where = f"{point.name} (meter {point.meter.meter_no} on line {point.meter.line})"
        if is_on:
            level = logging.ERROR if kind is AlarmKind.NO_TARIFF else logging.WARNING
            log.log(level, "%s: %s: %s", where, kind, text)
        else:
            log.info("%s: no longer %s, since %s: %s", where, kind, since, text)

    def _tell(
        self, point: ServicePoint, reading: Reading, evidence: tuple[Evidence, ...], tick: float
    ) -> bool:
        if point.id in self._told:
            told, told_tick = self._told[point.id]
            if (
                tick - told_tick < TELL_S
                and replace(told.reading, at=reading.at) == reading
                and _kinds(told.evidence) == _kinds(evidence)
            ):
                return False
        self._tell_last(point, reading)
        self._store.append(Read(point.id, reading, evidence, known=self._known()))
        return True

    def _tell_last(self, point: ServicePoint, reading: Reading) -> None:
        """Tells the reading charged last where it was not told, being as the one before, and prices changed since:
        what the register moved is spread from there on, and whoever rates it again must know."""
        position, tariff = self._store.position(point.id), self._store.tariff(point.tariff)
        if position is None or tariff is None or position.reading.total == reading.total:
            return
        last = position.reading
        told = self._told.get(point.id)
        if told is not None:
            since = told[0].reading.at
            if since >= last.at or len(tariff.stretches(micros(since), micros(reading.at))) == 1:
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
        known = self._known()
        self._store.append(Charged(point.id, found.closed, transfers, is_start=True, known=known))
        self._store.save_position(point.id, found.opened)
        self._store.append(Charged(point.id, found.opened, (), is_start=True, known=known))
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
        is_start = is_start or self._store.position(point.id) is None
        transfers: tuple[Transfer, ...] = rating.transfers(point, position, charges)
        for transfer in transfers:
            self._store.post(transfer)
        self._store.save_position(point.id, position)
        if transfers or is_start:
            self._store.append(
                Charged(point.id, position, transfers, is_start=is_start, known=self._known())
            )

    def _alarms(
        self,
        point: ServicePoint,
        reading: Reading,
        doubt: str | None,
        evidence: tuple[Evidence, ...],
        available: Money,
    ) -> None:
        policy, on = point.policy, self._store.alarms_of(point.id)
        has_tariff = self._store.tariff(point.tariff) is not None
        stuck = next((each.text for each in evidence if each.kind is Kind.STUCK), None)
        is_final = point.purse is not None and available <= policy.final_alarm_at
        found = {AlarmKind.FINAL_BALANCE} if is_final else set()
        if point.purse is not None and available <= policy.alarm_at:
            found.add(AlarmKind.LOW_BALANCE)
        if not has_tariff:
            found.add(AlarmKind.NO_TARIFF)
        if doubt is not None:
            found.add(AlarmKind.IMPLAUSIBLE)
        if stuck is not None:
            found.add(AlarmKind.STUCK)
        changed = [kind for kind in OF_READING if (kind in found) is not (kind in on)]
        for kind in changed:
            match kind:
                case AlarmKind.SILENT:
                    text = "it answers"
                case AlarmKind.NO_TARIFF:
                    text = _of_tariff(point.tariff, has_tariff)
                case AlarmKind.IMPLAUSIBLE:
                    text = doubt or f"{reading.total} can be true"
                case AlarmKind.STUCK:
                    text = stuck or f"the register shows {reading.total}"
                case _:
                    text = f"the purse holds {available}"
            self.alarm(point, kind, reading.at, text, is_on=kind in found)
        self._warn(point.id, is_on=is_final)

    def _warn(self, point: UUID, *, is_on: bool) -> None:
        """Note since when the customer is warned; a buzzer that sounds is remembered until it is off."""
        store = self._store
        warned = store.warned(point)
        if is_on and (warned is None or warned.is_over):
            now = self._clock.now()
            buzzer = warned.buzzer if warned is not None else Buzzer.SILENT
            store.save_warned(point, Warned(now.at, now.is_trusted, buzzer=buzzer))
            self._warned[point] = now.tick
        elif not is_on and warned is not None and not warned.is_over:
            is_quiet = warned.buzzer is Buzzer.SILENT
            store.save_warned(point, None if is_quiet else replace(warned, is_over=True))
            self._warned.pop(point, None)

    def _note_wait(self, point: ServicePoint, want: Desired, at: datetime) -> None:
        """A cut that waits for a person is told; other things a person must see have alarms of their own."""
        is_on = want.is_alarm and want.why in (Why.CLOCK, Why.BRAKED, Why.STALE, Why.CURRENT)
        text = "it is due to be cut, but waits" if is_on else "no cut waits"
        self.alarm(point, AlarmKind.CUT_WAITS, at, f"{text}: {want.why}", is_on=is_on)

    def _note_off(
        self, point: UUID, row: SupplyRow | None, seen: Supply | None, at: datetime
    ) -> None:
        """Remembers since when the supply is off. That its taps are closed holds until it goes off again."""
        off = self._store.off(point)
        if seen is Supply.OFF and off is None and row is not None and row.seen is not None:
            if row.seen is not Supply.OFF:
                self._store.save_off(point, Off(at if self._clock.now().is_trusted else None, None))
                self._went_off[point] = self._clock.tick()
        elif seen in (Supply.ON, Supply.ARMED) and off is not None:
            self._store.save_off(point, None)
            self._went_off.pop(point, None)

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
        is_taken = self._is_lent(point)
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


MOVEMENTS = ({Supply.ON, Supply.OFF}, {Supply.ON, Supply.ARMED})
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


def _of_tariff(code: str, is_here: bool) -> str:
    if is_here:
        return f"tariff {code} is here"
    return (
        f"tariff {code} never came or could not be used: nothing is charged and the supply is left as it is; "
        "publish the tariff again, or give the point another"
    )


def _seconds(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)
