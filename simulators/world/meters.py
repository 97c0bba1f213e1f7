"""The meters of the world: what really flows through them is hidden, they tell no more than their protocol has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from protocols import bcd
from protocols.cj188 import frame as cj188_frame
from protocols.cj188 import slave as cj188_slave
from protocols.cj188.items import Valve
from protocols.dlt645 import frame as dlt645_frame
from protocols.dlt645 import slave as dlt645_slave
from protocols.dlt645.relay import RelayCommand

QUARTER_MS = 900_000
UNIT = 3_600_000_000  # 1 kWh in W·ms, 1 m3 in L/h·ms
STEP = UNIT // 100
VALVE_S = 20.0
ENERGY, CURRENTS = 0x00010000, 0x0202FF00


class Flow:
    """What flows to one customer, and the register that counts it.

    draws are what the customer takes in each quarter of an hour, in W or L/h; behind the last one nothing.
    clock gives milliseconds since the story began.
    """

    def __init__(self, draws: Sequence[int], opening: Decimal, clock: Callable[[], int]) -> None:
        self._draws = draws
        self._clock = clock
        self._at = clock()
        self._total = int(opening * UNIT)
        self._is_on = True
        self.shown: set[Decimal] = set()  # whatever the register was seen to show
        self.looks: list[int] = []  # when it was looked at, in ms

    def run(self) -> None:
        """Let flow what has flown up to now."""
        now = self._clock()
        if self._is_on:
            at = self._at
            while at < now:
                quarter = at // QUARTER_MS
                end = min(now, (quarter + 1) * QUARTER_MS)
                if quarter < len(self._draws):
                    self._total += self._draws[quarter] * (end - at)
                at = end
        self._at = now

    def switch(self, *, is_on: bool) -> None:
        self.run()
        self._is_on = is_on

    @property
    def is_on(self) -> bool:
        return self._is_on

    @property
    def draw(self) -> int:
        """What flows now."""
        quarter = self._clock() // QUARTER_MS
        return self._draws[quarter] if self._is_on and quarter < len(self._draws) else 0

    def register(self) -> Decimal:
        """What the register shows now: whole steps, six whole digits."""
        self.run()
        return Decimal(self._total // STEP % 10**8).scaleb(-2)

    def show(self) -> Decimal:
        """The register, to somebody who asks over the line."""
        shown = self.register()
        self.shown.add(shown)
        self.looks.append(self._clock())
        return shown

    def looks_within(self, ms: int) -> int:
        """How often somebody has looked in the time up to now."""
        since = self._clock() - ms
        return sum(at >= since for at in self.looks[-10:])


@dataclass(frozen=True, slots=True)
class Habit:
    """How a customer answers to a meter that may be closed: after so many seconds, None never."""

    presses_after_s: float | None


class ElectricityMeter(dlt645_slave.MeterState):
    """A DL/T 645-2007 meter with a relay. on_trip is told before each opening of the contact."""

    def __init__(self, address: str, flow: Flow, habit: Habit, on_trip: Callable[[], None]) -> None:
        super().__init__(address, passwords={4: "123456"})
        self.flow = flow
        self.habit = habit
        self.on_trip = on_trip
        self.is_dead = False

    @property
    def is_off(self) -> bool:
        return self.contact_open

    @property
    def is_armed(self) -> bool:
        return self.contact_open and not self.command_open

    def read_item(self, di: int) -> bytes | None:
        match di:
            case 0x00010000:
                return bcd.encode(self.flow.show(), size=4, decimals=2)
            case 0x0202FF00:
                amperes = Decimal(self.flow.draw * 1000 // 220).scaleb(-3)
                return bcd.encode(amperes, size=3, decimals=3) + bytes(6)
            case _:
                return super().read_item(di)

    def relay(self, command: RelayCommand, minutes: int) -> None:
        if command is RelayCommand.TRIP and not self.contact_open:
            self.on_trip()
        super().relay(command, minutes)
        self.flow.switch(is_on=not self.contact_open)
        if self.is_armed and self.habit.presses_after_s is not None:
            asyncio.get_running_loop().call_later(self.habit.presses_after_s, self.press)

    def press(self) -> None:
        self.press_key()
        self.flow.switch(is_on=not self.contact_open)

    def answer(self, data: bytes, now: datetime) -> list[bytes]:
        frames = dlt645_frame.Decoder().feed(data)
        replies = [dlt645_slave.answer(self, frame, now) for frame in frames]
        return [dlt645_frame.encode(reply) for reply in replies if reply]


class WaterMeter(cj188_slave.MeterState):
    """A CJ/T 188 meter with a valve that takes its time. on_open is told how long it was closed, in seconds."""

    def __init__(
        self,
        address: str,
        flow: Flow,
        on_trip: Callable[[], None],
        on_open: Callable[[float], None],
    ) -> None:
        super().__init__(address)
        self.flow = flow
        self.on_trip = on_trip
        self.on_open = on_open
        self._closed_at: float | None = None
        self.is_dead = False

    @property
    def is_off(self) -> bool:
        return self.valve is not Valve.OPEN

    @property
    def is_armed(self) -> bool:
        return False

    def water(self) -> tuple[Decimal, Decimal]:
        return self.flow.show(), Decimal(0)

    def move_valve(self, command: cj188_slave.ValveCommand) -> None:
        arrived = Valve.OPEN if command is cj188_slave.ValveCommand.OPEN else Valve.CLOSED
        if arrived is Valve.CLOSED and not self.is_off:
            self.on_trip()
        loop = asyncio.get_running_loop()
        if arrived is Valve.OPEN and self._closed_at is not None:
            self.on_open(loop.time() - self._closed_at)
        loop.call_later(VALVE_S, self._arrive, arrived)

    def _arrive(self, at: Valve) -> None:
        if (at is Valve.CLOSED) != (self._closed_at is not None):
            now = asyncio.get_running_loop().time()
            self._closed_at = now if at is Valve.CLOSED else None
        self.valve = at
        self.flow.switch(is_on=at is Valve.OPEN)

    def answer(self, data: bytes, now: datetime) -> list[bytes]:
        frames = cj188_frame.Decoder().feed(data)
        replies = [cj188_slave.answer(self, frame, now) for frame in frames]
        return [cj188_frame.encode(reply) for reply in replies if reply]


AnyMeter = ElectricityMeter | WaterMeter
