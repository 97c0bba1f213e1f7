"""A water meter 水表 with a motor valve, as a physical thing, that speaks CJ/T 188.

It has the shape that `protocols.cj188.slave` asks of a meter.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from protocols import bcd
from protocols.cj188 import items
from protocols.cj188.items import Valve, ValveStatus
from protocols.cj188.master import ValveCommand
from simulators.faults import OwnFaults
from simulators.physics import (
    MINUTE,
    UNIT,
    Battery,
    Clock,
    LocalTime,
    OwnClock,
    Register,
    State,
    shown,
    whole,
)

PRICE_TABLE, SETTLEMENT_DAY, READING_DAY, KEY = 0x8102, 0x8103, 0x8104, 0x8106
PRICES_SET, SETTLEMENT_SET, READING_SET, KEY_SET, NEW_BASE = 0xA010, 0xA011, 0xA012, 0xA014, 0xA016
LAST_MONTH = 0xD120
MONTHS = 12
OPEN_TAP_L_PER_H = 2400  # a hose that has burst, or two taps wide open
CUBIC_METRE = 0x2C
CENT = UNIT  # 0.01 yuan: a price in 0.01 yuan times a volume of 1 m3


@dataclass(frozen=True, slots=True)
class Prepaid:
    """Steps of up to three prices in 0.01 yuan for 1 m3, the whole m3 at which the next begins, and what is
    left at the start in 0.01 yuan."""

    prices: tuple[int, int, int]
    bounds: tuple[int, int]
    left: int


@dataclass(frozen=True, slots=True)
class Make:
    """How a meter was made and set up. kind is T of CJ/T 188; travel is how long the valve takes.

    prepaid is None for a meter that sells nothing by itself. On exercise_day of each month, 0 for never, it
    closes its valve at noon and opens it again, so that it does not stick.
    """

    kind: int = 0x10
    travel: int = 0
    prepaid: Prepaid | None = None
    settlement_day: int = 1
    exercise_day: int = 0
    clock_error: timedelta = timedelta(0)
    drift_ppb: int = 0
    battery_days: int | None = None
    battery_low: bool = False
    faults: OwnFaults = field(default_factory=OwnFaults)


class WaterMeter:
    """A cold water meter with a motor valve 阀控水表.

    The valve takes its time; until it has arrived it shows where it was, and water runs as it did before.
    """

    def __init__(
        self,
        address: str,
        *,
        clock: Clock,
        local_time: LocalTime,
        register: Register,
        make: Make,
    ) -> None:
        self.address = address
        self.type = make.kind
        self.make = make
        self.register = register
        if make.faults.has("rollover", make.faults.after):
            register.total = 10**6 * UNIT - UNIT // 2
        self.own = OwnClock(
            clock,
            local_time,
            error=make.clock_error,
            drift_ppb=make.drift_ppb,
            time_scale=register.time_scale,
        )
        self.battery = Battery(make.battery_days, register.time_scale)
        self.at = clock()
        self.valve = Valve.OPEN
        self.moving: tuple[int, Valve] | None = None  # when the valve arrives, and where
        self.exercising = False
        self.exhausted = False
        self.is_locked = False
        self.was_reset = False
        self.minute = self.own.microseconds(self.at) // MINUTE
        self.settled: deque[int] = deque(maxlen=MONTHS)
        prepaid = make.prepaid or Prepaid((0, 0, 0), (0, 0), 0)
        self.prices, self.bounds = prepaid.prices, prepaid.bounds
        self.left = prepaid.left * CENT
        self.purchase_no, self.last_purchase, self.bought = 0, 0, prepaid.left
        self.days = {SETTLEMENT_DAY: make.settlement_day, READING_DAY: 1}
        self.key_version = 0

    # Its own time

    @property
    def clock_error(self) -> timedelta:
        return self.own.error_at(self.at)

    @clock_error.setter
    def clock_error(self, error: timedelta) -> None:
        self.own.set_error(error, self.at)
        self.minute = self.own.microseconds(self.at) // MINUTE

    def advance(self) -> None:
        """Live through the time since the last look, with what happened in it in its order."""
        now = self.own.look()
        self._meet_events()
        while self.at < now:
            self._run(min(now, self._next_stop()))
            self._meet_events()

    def _next_stop(self) -> int:
        stops = [self.at + MINUTE - self.own.microseconds(self.at) % MINUTE]
        if self.moving is not None:
            stops.append(self.moving[0])
        if not self.was_reset and "reset_register" in self.make.faults.names:
            stops.append(self.make.faults.after)
        if "open_tap" in self.make.faults.names and self.at < self.make.faults.after:
            stops.append(self.make.faults.after)
        if self.make.prepaid is not None and self.flow:
            stops.append(self.register.steady_until(self.at))
            rate = self.flow * self.register.time_scale * self._price()
            if rate and self.left > 0:
                stops.append(self.at - (-self.left // rate))
        return max(self.at + 1, min(stops))

    def _meet_events(self) -> None:
        if not self.was_reset and self._has("reset_register"):
            self.was_reset = True
            self.register.total = 0
        if self.moving is not None and self.moving[0] <= self.at:
            self._arrive()
        minute = self.own.microseconds(self.at) // MINUTE
        if minute != self.minute:
            self.minute = minute
            self._see_calendar()
        if self.make.prepaid is not None and self.left <= 0 and not self.exhausted:
            self.exhausted = True
            self.move_valve(ValveCommand.CLOSE)

    def _see_calendar(self) -> None:
        now = self.own.at(self.at)
        if (now.day, now.hour, now.minute) == (self.days[SETTLEMENT_DAY], 0, 0):
            self.settled.appendleft(self.register.total)
        if (now.day, now.hour, now.minute) == (self.make.exercise_day, 12, 0):
            self.exercise_valve()

    def _run(self, until: int) -> None:
        drawn = self._open_tap * self.register.time_scale * (until - self.at)
        drawn += self.register.drawn(self.at, until)
        if self.valve is Valve.CLOSED:
            drawn = 0
        if self.valve is Valve.ABNORMAL:
            drawn //= 2
        if not self._has("stuck_register"):
            self.register.total += drawn
            if self.make.prepaid is not None:
                self.left -= drawn * self._price()
        self.at = until

    def _has(self, fault: str) -> bool:
        return self.make.faults.has(fault, self.at)

    @property
    def _open_tap(self) -> int:
        """L/h that run beside what is used while the valve is open."""
        return OPEN_TAP_L_PER_H if self._has("open_tap") else 0

    @property
    def flow(self) -> int:
        """L/h through the valve as it stands: half of it where it stands half open."""
        drawn = self.register.draw(self.at) + self._open_tap
        match self.valve:
            case Valve.OPEN:
                return drawn
            case Valve.ABNORMAL:
                return drawn // 2
            case _:
                return 0

    def _price(self) -> int:
        """In 0.01 yuan for 1 m3, by what was used since the settlement day."""
        used = self.register.total - (self.settled[0] if self.settled else 0)
        first, second = self.bounds
        if not second or used < first * UNIT:
            return self.prices[0]
        return self.prices[1] if used < second * UNIT else self.prices[2]

    # The valve

    def move_valve(self, command: ValveCommand) -> None:
        """Start the motor, or turn it round. An empty battery moves nothing."""
        self.exercising = False
        self._move(Valve.OPEN if command is ValveCommand.OPEN else Valve.CLOSED)

    def exercise_valve(self) -> None:
        """Close and open again 阀门维护, where it is open."""
        if self.valve is Valve.OPEN and self.moving is None:
            self.exercising = True
            self._move(Valve.CLOSED)

    def _move(self, target: Valve) -> None:
        if self.battery.is_empty(self.at):
            return
        if target is self.valve:
            self.moving = None
        elif self.moving is None or self.moving[1] is not target:
            self.moving = (self.at + self.make.travel, target)
            if self.make.travel == 0:
                self._arrive()

    def _arrive(self) -> None:
        assert self.moving is not None
        target, self.moving = self.moving[1], None
        self.valve = Valve.ABNORMAL if self._has("half_open_valve") else target
        if self.exercising:
            self.exercising = False
            self._move(Valve.OPEN)

    def status(self) -> ValveStatus:
        is_low = self.make.battery_low or self.battery.is_low(self.at)
        return ValveStatus.from_bytes(bytes([self.valve.value | 4 * is_low, 0]))

    # Its identifiers

    def water(self) -> tuple[Decimal, Decimal]:
        """Total, and the total at the last settlement day, in m3."""
        return self.register.shown, shown(self.settled[0]) if self.settled else Decimal(0)

    def read_item(self, di: int) -> bytes | None:
        """Months, prices, days, account and key version; the codec puts the current data together."""
        if LAST_MONTH <= di < LAST_MONTH + MONTHS:
            back = di - LAST_MONTH
            total = self.settled[back] if back < len(self.settled) else 0
            return items.encode_volume(shown(total))
        match di:
            case 0x8102:
                first, second, third = (bcd.encode(price, size=3) for price in self.prices)
                one, two = (bcd.encode(bound, size=3) for bound in self.bounds)
                return first + one + second + two + third
            case 0x8103 | 0x8104:
                return bcd.encode(self.days[di], size=1)
            case 0x8105 if self.make.prepaid is not None:
                amounts = (self.last_purchase, self.bought, max(0, self.left) // CENT)
                data = b"".join(bcd.encode(amount, size=4) for amount in amounts)
                return bytes([self.purchase_no]) + data + self.status().raw
            case 0x8106:
                return bytes([self.key_version])
            case 0x907F:
                return items.encode_clock(self.own.at(self.at))
        return None

    def write_item(self, di: int, data: bytes) -> bool:
        """Prices, days, purchases, key and base; False where it is not of its form."""
        fields = items.layout(di, len(data), is_reply=di == items.ACCOUNT)
        plain = {items.Kind.BINARY, items.Kind.BYTES, items.Kind.STATUS}
        at = 0
        for one in fields or ():
            part = data[at : at + one.size - (one.kind is items.Kind.QUANTITY)]
            at += one.size
            if one.kind not in plain and not part.hex().isdecimal():
                return False
        if fields is None:
            return False
        match di:
            case 0xA010:
                numbers = [int(bcd.digits(data[at : at + 3])) for at in range(0, 15, 3)]
                self.prices = (numbers[0], numbers[2], numbers[4])
                self.bounds = (numbers[1], numbers[3])
            case 0xA011 | 0xA012:
                day = int(bcd.digits(data))
                if not 1 <= day <= 31:
                    return False
                self.days[SETTLEMENT_DAY if di == SETTLEMENT_SET else READING_DAY] = day
            case 0x8105 if self.make.prepaid is not None:
                self._take_account(data)
            case 0xA014:
                self.key_version = data[0]
            case 0xA016 if data[4] == CUBIC_METRE:
                self.register.total = int(bcd.digits(data[:4])) * UNIT // 100
                self.settled.clear()
            case _:
                return False
        return True

    def _take_account(self, data: bytes) -> None:
        """The account after a purchase: its number, the amount, all amounts, and what is left now."""
        self.purchase_no = data[0]
        before = max(0, self.left) // CENT
        self.last_purchase, self.bought, after = (
            int(bcd.digits(data[at : at + 4])) for at in (1, 5, 9)
        )
        self.left += (after - before) * CENT
        if self.left > 0 and self.exhausted:
            self.exhausted = False
            self.move_valve(ValveCommand.OPEN)

    # What survives

    def state(self) -> State:
        return {
            "total": self.register.total,
            "at": self.at,
            "clock": self.own.state(),
            "address": self.address,
            "valve": self.valve.value,
            "moving": self.moving and [self.moving[0], self.moving[1].value],
            "flags": [self.exercising, self.exhausted, self.is_locked, self.was_reset],
            "settled": list(self.settled),
            "account": [self.purchase_no, self.last_purchase, self.bought, self.left],
            "prices": [*self.prices, *self.bounds],
            "days": [self.days[SETTLEMENT_DAY], self.days[READING_DAY], self.key_version],
        }

    def resume(self, state: State) -> None:
        """Go on from a state. Raises KeyError, ValueError or TypeError if it is not one of a water meter."""
        self.register.total = whole(state, "total")
        self.at = whole(state, "at")
        self.own.resume(state["clock"])
        self.address = str(state["address"])
        self.valve = Valve(state["valve"])
        match state["moving"]:
            case None:
                self.moving = None
            case [int(at), int(valve)]:
                self.moving = (at, Valve(valve))
            case other:
                raise ValueError(f"moving is {other!r}")
        match state["flags"], state["settled"], state["account"], state["prices"], state["days"]:
            case [
                [bool(exercising), bool(exhausted), bool(locked), bool(was_reset)],
                list(settled),
                [int(number), int(last), int(bought), int(left)],
                [int(one), int(two), int(three), int(first), int(second)],
                [int(settlement), int(reading), int(key)],
            ]:
                self.exercising, self.exhausted, self.is_locked = exercising, exhausted, locked
                self.was_reset = was_reset
                self.settled = deque(map(int, settled), maxlen=MONTHS)
                self.purchase_no, self.last_purchase = number, last
                self.bought, self.left = bought, left
                self.prices, self.bounds = (one, two, three), (first, second)
                self.days = {SETTLEMENT_DAY: settlement, READING_DAY: reading}
                self.key_version = key
            case _:
                raise ValueError("it is not the state of a water meter")
        self.minute = self.own.microseconds(self.at) // MINUTE
