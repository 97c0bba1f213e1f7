"""All that is known of a service point now, by which its supply is decided."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from edge.alarms import Alarms
from edge.clocks.clock import Clock, Moment
from edge.clocks.power_return import PowerReturn
from edge.ledger.rows import Off, SupplyRow
from edge.ledger.store import Store
from prepaid.money import ZERO, Money
from prepaid.point import ServicePoint
from prepaid.reading import Supply
from prepaid.record import record
from prepaid.supply import Desired, Override, Situation, Why, is_satisfied, wanted
from prepaid.wire.uplog import AlarmKind

MOVEMENTS = ({Supply.ON, Supply.OFF}, {Supply.ON, Supply.ARMED})


@record
@dataclass(frozen=True, slots=True)
class Looks:
    """How many good readings in a row, up to the last (its tick), found the purse empty."""

    short: int
    tick: float


class Circumstances:
    """What the store says of each point, and what only this program has seen: by the clock that does not jump."""

    def __init__(self, store: Store, clock: Clock, power: PowerReturn, alarms: Alarms) -> None:
        self._store = store
        self._clock = clock
        self._power = power
        self._alarms = alarms
        self._moved: dict[UUID, float] = {}  # the tick at which each supply was seen to move
        self._went_off: dict[UUID, float] = {}  # the tick at which each supply was seen to go off
        self._put_off: dict[UUID, int] = {}  # how often a cut was put off for the current
        self.tests: dict[UUID, Override] = {}  # what technicians try out; none outlives the program

    def situation(
        self,
        point: ServicePoint,
        seen: Supply | None,
        looks: Looks | None,
        *,
        current_a: Decimal | None = None,
        now: Moment | None = None,
    ) -> Situation:
        """What is known of a point now, which need not be told. What nobody tells a gateway yet is said to be
        unknown."""
        store, now = self._store, now or self._clock.now()
        moved, off = self._moved.get(point.id), store.off(point.id)
        # An operator's word counts for more than a test: the last that was given is the one in force.
        overrides = (self.tests.get(point.id), store.override(point.id))
        known = Situation(
            now=now.at,
            is_clock_trusted=now.is_trusted,
            available=self.available(point),
            is_emergency_taken=self.is_lent(point),
            warned_ago=self._alarms.warned_ago(point.id, now),
            is_held=store.history(point.id).is_held,
            is_leaking=store.alarm_since(point.id, AlarmKind.LEAK) is not None,
            has_tariff=store.tariff(point.tariff) is not None,
            read_ago=None if looks is None else _seconds(now.tick - looks.tick),
            agreeing=0 if looks is None else looks.short,
            overrides=tuple(given for given in overrides if given is not None),
            is_braked=store.brake().is_on,
            are_taps_closed=off is not None and off.taps_closed_at is not None,
            has_switch=point.meter.has_switch,
            seen=seen,
            current_a=current_a,
            put_off=self.put_off(point.id),
            switched_ago=None if moved is None else _seconds(now.tick - moved),
            off_for=self._off_for(point.id, off, now),
            power_back_ago=None,
            place=0,
            vacant=point.while_vacant if point.purse is None else None,
        )
        return self._staggered(point, known, now)

    def available(self, point: ServicePoint) -> Money:
        """What the payer of a point holds; nothing where nobody pays."""
        return ZERO if point.purse is None else self._store.balance(point.purse)

    def is_lent(self, point: ServicePoint) -> bool:
        return point.purse is not None and self._store.lent(point.purse) is not None

    def put_off(self, point: UUID) -> int:
        """How often in a row its cut was put off for the current."""
        return self._put_off.get(point, 0)

    def note_weighed(self, point: UUID, want: Desired) -> None:
        """A cut was weighed with the current that flows."""
        if want.why is Why.CURRENT:
            self._put_off[point] = self.put_off(point) + 1
        else:
            self._put_off.pop(point, None)

    def note_supply(
        self, point: UUID, row: SupplyRow | None, seen: Supply | None, at: datetime
    ) -> None:
        """The supply was seen; row is what was reported last. Inside a transaction."""
        if row is not None and {row.seen, seen} in MOVEMENTS:
            self._moved[point] = self._clock.tick()
        self._note_off(point, row, seen, at)

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


def _seconds(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)
