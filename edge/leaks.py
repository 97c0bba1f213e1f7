"""Valves that were opened again, watched for a leak 疑似漏水 in the first minutes: who is watched, and what is told.

A leak that was found is an alarm of the point, which the store keeps: over a restart, and over a ledger that is
rebuilt, the valve stays closed until somebody has said that the taps are closed. A watch under way is kept nowhere;
after a restart it begins anew if the valve was opened a short while ago.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from uuid import UUID

from edge.alarms import Alarms
from edge.clocks.clock import Clock, Moment
from edge.ledger.store import Store
from prepaid.decimals import EXACT
from prepaid.leak import LOOK, WATCHED_FOR, Leak, Look, Watch, follow
from prepaid.point import ServicePoint
from prepaid.purse import WATERS
from prepaid.reading import Reading, Supply
from prepaid.supply import Situation, Why, wanted
from prepaid.wire.uplog import AlarmKind

FIRST_LOOK = timedelta(seconds=1)
BY_PEOPLE = (Why.PROTECTED, Why.KEPT)
"""Who keeps a supply on answers for its taps."""


class Leaks:
    """What flows behind the valves that were opened again, as far as this program has seen it."""

    def __init__(self, store: Store, clock: Clock, alarms: Alarms) -> None:
        self._store = store
        self._clock = clock
        self._alarms = alarms
        self._watches: dict[UUID, Watch] = {}
        self._seen: set[UUID] = set()  # looked at since the program began

    def opened(self, point: ServicePoint) -> None:
        """It was opened by our command, and shows it."""
        self._seen.add(point.id)
        if self._most_per_hour(point) is not None:
            self._watches[point.id] = Watch(timedelta(seconds=self._clock.tick()))

    def forget(self, point: UUID) -> None:
        """Another register is counted, or the same one from elsewhere."""
        self._watches.pop(point, None)

    def again_in(self, point: UUID) -> timedelta | None:
        """In how long to look again at the latest; None where nothing is watched."""
        watch = self._watches.get(point)
        if watch is None:
            return None
        return LOOK if watch.last is not None else FIRST_LOOK

    def of_reading(
        self, point: ServicePoint, reading: Reading, known: Situation, now: Moment
    ) -> bool:
        """Whether a leak is on after a reading that was charged; tells where it begins or ends.

        Inside a transaction.
        """
        if self._store.alarm_since(point.id, AlarmKind.LEAK) is not None:
            # The watch that found it was kept until now: that what it told is booked was not certain.
            self._watches.pop(point.id, None)
            return not self._is_answered(point, reading.at, known)
        self._take_up(point, now)
        watch = self._watches.get(point.id)
        if watch is None:
            return False
        most_per_hour = self._most_per_hour(point)
        is_kept = wanted(point.policy, known).why in BY_PEOPLE
        if most_per_hour is None or is_kept or reading.supply is not Supply.ON:
            self._watches.pop(point.id)
            return False
        look = Look(reading, timedelta(seconds=now.tick))
        match follow(watch, look, point.meter, most_per_hour=most_per_hour):
            case None:
                self._watches.pop(point.id)
            case Watch() as further:
                self._watches[point.id] = further
            case Leak() as leak:
                text = _told(leak, most_per_hour)
                self._alarms.tell(point, AlarmKind.LEAK, reading.at, text, is_on=True)
                return True
        return False

    def _is_answered(self, point: ServicePoint, at: datetime, known: Situation) -> bool:
        if known.are_taps_closed:
            text = "the taps are said to be closed"
        elif wanted(point.policy, known).why in BY_PEOPLE:
            text = "it is kept supplied by hand"
        else:
            return False
        self._alarms.tell(point, AlarmKind.LEAK, at, text, is_on=False)
        return True

    def _take_up(self, point: ServicePoint, now: Moment) -> None:
        """At the first look of this program: was it opened so shortly ago that it would still be watched?"""
        if point.id in self._seen:
            return
        self._seen.add(point.id)
        row = self._store.supply(point.id)
        if row is None or row.seen is not Supply.ON or row.commanded_at is None:
            return
        if now.is_trusted and timedelta(0) <= now.at - row.commanded_at < WATCHED_FOR:
            self._watches.setdefault(point.id, Watch(timedelta(seconds=now.tick)))

    def _most_per_hour(self, point: ServicePoint) -> Decimal | None:
        """What may flow behind a valve that was opened again; None where that is not watched."""
        tariff = self._store.tariff(point.tariff)
        is_water = tariff is not None and tariff.commodity in WATERS
        return point.policy.leak_per_hour if is_water else None


def _told(leak: Leak, most_per_hour: Decimal) -> str:
    lasted_s = leak.lasted // timedelta(seconds=1)
    with localcontext(EXACT):
        flowed = f"{leak.flowed.normalize():f}"
        limit = f"{most_per_hour.normalize():f}"
    return f"at least {flowed} m3 in {lasted_s} s after it was opened, more than {limit} m3 an hour"
