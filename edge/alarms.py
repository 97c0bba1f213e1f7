"""What a person should know of a service point, told once when it begins and once when it ends."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from edge.bypass import Bypass
from edge.clocks.clock import Clock, Moment
from edge.ledger.store import Store
from edge.warned import Buzzer, Warned
from prepaid.point import ServicePoint
from prepaid.reading import Reading, Supply
from prepaid.register.evidence import Evidence, Kind
from prepaid.supply import Desired, Situation, Why
from prepaid.wire.uplog import Alarm, AlarmKind

log = logging.getLogger(__name__)

OF_READING = (
    AlarmKind.SILENT,
    AlarmKind.WRONG_ENTRY,
    AlarmKind.NO_TARIFF,
    AlarmKind.IMPLAUSIBLE,
    AlarmKind.STUCK,
    AlarmKind.USED_WHILE_OFF,
    AlarmKind.LOW_BALANCE,
    AlarmKind.FINAL_BALANCE,
)
"""The alarms that a reading begins or ends, in the order in which they are told."""


class Alarms:
    """The alarms of service points. All that tells is called inside a transaction of the store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.bypass = Bypass()
        self._warned: dict[UUID, float] = {}  # the tick at which each customer was warned

    def tell(
        self, point: ServicePoint, kind: AlarmKind, at: datetime, text: str, *, is_on: bool
    ) -> None:
        """Tell that an alarm began or ended; nothing if it is as it was."""
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

    def of_reading(
        self,
        point: ServicePoint,
        reading: Reading,
        doubt: str | None,
        evidence: tuple[Evidence, ...],
        known: Situation,
    ) -> None:
        """The alarms that a booked reading begins or ends; doubt is why it is held, if it is."""
        policy, on = point.policy, self._store.alarms_of(point.id)
        available, has_tariff = known.available, known.has_tariff
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
        past_off = None
        if doubt is None:
            past_off = self.bypass.moved(point, reading, tick=self._clock.tick())
        was_past_off = AlarmKind.USED_WHILE_OFF in on and reading.supply is Supply.OFF
        if past_off is not None or was_past_off:  # over a restart it is not over
            found.add(AlarmKind.USED_WHILE_OFF)
        for kind in OF_READING if found != on else ():
            if (kind in found) is (kind in on):
                continue
            match kind:
                case AlarmKind.SILENT | AlarmKind.WRONG_ENTRY:
                    text = "it answers"
                case AlarmKind.NO_TARIFF:
                    text = _of_tariff(point.tariff, has_tariff)
                case AlarmKind.IMPLAUSIBLE:
                    text = doubt or f"{reading.total} can be true"
                case AlarmKind.STUCK:
                    text = stuck or f"the register shows {reading.total}"
                case AlarmKind.USED_WHILE_OFF if past_off is not None:
                    text = f"the register went on by {past_off} while its switch says off"
                case AlarmKind.USED_WHILE_OFF:
                    text = f"the supply is {reading.supply or 'not to be read'}"
                case _:
                    text = f"the purse holds {available}"
            self.tell(point, kind, reading.at, text, is_on=kind in found)
        self._warn(point.id, is_on=is_final)

    def end_of_switch(self, point: ServicePoint, at: datetime, text: str) -> None:
        """Its switch is as it is wanted."""
        for kind in (AlarmKind.SWITCH_FAILED, AlarmKind.CANNOT_SWITCH):
            self.tell(point, kind, at, text, is_on=False)

    def of_wait(self, point: ServicePoint, want: Desired, at: datetime) -> None:
        """A cut that waits for a person is told; other things a person must see have alarms of their own."""
        is_on = want.is_alarm and want.why in (Why.CLOCK, Why.BRAKED, Why.STALE, Why.CURRENT)
        if is_on is (AlarmKind.CUT_WAITS in self._store.alarms_of(point.id)):
            return
        text = "it is due to be cut, but waits" if is_on else "no cut waits"
        self.tell(point, AlarmKind.CUT_WAITS, at, f"{text}: {want.why}", is_on=is_on)

    def warned_ago(self, point: UUID, now: Moment) -> timedelta | None:
        """How long ago the customer was given the final alarm, None if that was not in this shortage.

        By the clock that does not jump. Over a restart the time on the wall counts only where it was trusted
        when it was noted and is now; else only what this program has run.
        """
        warned = self._store.warned(point)
        if self._store.alarm_since(point, AlarmKind.FINAL_BALANCE) is None:
            return None
        tick = self._warned.get(point)
        if tick is not None:
            return timedelta(seconds=now.tick - tick)
        if warned is not None and warned.is_dated and now.is_trusted and warned.at <= now.at:
            return now.at - warned.at
        return self._clock.running

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


def _of_tariff(code: str, is_here: bool) -> str:
    if is_here:
        return f"tariff {code} is here"
    return (
        f"tariff {code} never came or could not be used: nothing is charged and the supply is left as it is; "
        "publish the tariff again, or give the point another"
    )
