"""Meters as physical things: what runs through them, and what their relay or valve does about it.

Plain objects. Each is asked what it shows or told to switch, and first lives through the time since it
was last looked at (`advance`): the clock is an argument, so a day passes in a test at once. They have the
shape that `protocols.dlt645.slave` and `protocols.cj188.slave` ask of a meter.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from protocols import bcd
from protocols.cj188.items import Valve, ValveStatus
from protocols.cj188.master import ValveCommand
from protocols.dlt645.relay import RelayCommand
from protocols.dlt645.slave import Unsent

Clock = Callable[[], int]
"""Microseconds that have passed for the building since it was first switched on; never backwards."""

State = dict[str, object]
"""What survives of a meter when its program ends, as JSON has it."""

SECOND = 1_000_000
QUARTER_HOUR = 900 * SECOND
UNIT = 1000 * 3600 * SECOND  # 1 kWh in W·µs, and 1 m3 in L/h·µs
STEP = UNIT // 100
MAINS_V = 220


@dataclass(frozen=True, slots=True)
class Load:
    """What a household draws: in each quarter of an hour base plus a part of varying, by seed.

    In watts, or in litres an hour: thousandths of the register's unit, for an hour.
    """

    base: int
    varying: int
    seed: int

    def at(self, quarter: int) -> int:
        """The draw in the n-th quarter of an hour; the same whenever it is asked."""
        return self.base + random.Random(f"{self.seed}:{quarter}").randint(0, self.varying)


class Register:
    """A cumulative register 示数 of six whole digits that shows steps of 0.01 and loses nothing below them.

    time_scale lets physics run faster than the clock: in one second of the clock the load draws what it
    would in time_scale seconds.
    """

    def __init__(self, opening: Decimal, load: Load, time_scale: int) -> None:
        self.load = load
        self.time_scale = time_scale
        self.total = int(opening * UNIT)

    def run(self, since: int, until: int) -> None:
        """Let the load draw from one instant of the clock to another."""
        now, end = since * self.time_scale, until * self.time_scale
        while now < end:
            quarter = now // QUARTER_HOUR
            stop = min(end, (quarter + 1) * QUARTER_HOUR)
            self.total += self.load.at(quarter) * (stop - now)
            now = stop

    def draw(self, at: int) -> int:
        """The load at an instant of the clock."""
        return self.load.at(at * self.time_scale // QUARTER_HOUR)

    @property
    def shown(self) -> Decimal:
        """kWh or m3 as read out; behind 999999.99 stands 0."""
        return Decimal(self.total // STEP % 10**8).scaleb(-2)


@dataclass(frozen=True, slots=True)
class Resident:
    """Somebody at home, who presses the meter's button some time after it lights up 允许合闸."""

    presses_after: int
    """Microseconds of the clock."""


class ElectricityMeter:
    """A single-phase prepaid meter with a relay 电能表. passwords are 6 digits, by permission level.

    A trip opens the contact at once and allow-close leaves it to the button; nothing runs through an open
    contact. Voltage is steady, so power and current follow the load.
    """

    def __init__(
        self,
        address: str,
        *,
        clock: Clock,
        register: Register,
        passwords: dict[int, str],
        resident: Resident | None,
    ) -> None:
        self.address = address
        self.clock = clock
        self.register = register
        self.passwords = passwords
        self.resident = resident
        self.at = clock()
        self.contact_open = False
        self.command_open = False
        self.keep_power = False
        self.alarm = False
        self.armed_since: int | None = None
        self.restore: tuple[int, RelayCommand] | None = None  # when a timed trip ends, and how
        self.clock_error = timedelta(0)
        self.answers_with_word = False
        self.unsent: Unsent | None = None

    def advance(self) -> None:
        """Live through the time since the last look, with what happened in it in its order."""
        now = self.clock()
        while (event := self._next_event()) is not None and event[0] <= now:
            at, command = event
            self._run(at)
            if command is None:
                self._close()
            else:
                self.relay(command, 0)
        self._run(now)

    def _next_event(self) -> tuple[int, RelayCommand | None] | None:
        """When the button is pressed (None) or a timed trip ends, whichever is first."""
        events: list[tuple[int, RelayCommand | None]] = []
        if self.armed_since is not None and self.resident is not None:
            events.append((max(self.at, self.armed_since + self.resident.presses_after), None))
        if self.restore is not None:
            events.append((max(self.at, self.restore[0]), self.restore[1]))
        return min(events, key=lambda event: event[0], default=None)

    def _run(self, until: int) -> None:
        if not self.contact_open:
            self.register.run(self.at, until)
        self.at = until

    def press_button(self) -> None:
        """Closes the contact, if the meter was told that it may."""
        self.advance()
        if self.armed_since is not None:
            self._close()

    def _close(self) -> None:
        self.contact_open = self.command_open = False
        self.armed_since = self.restore = None

    def relay(self, command: RelayCommand, minutes: int) -> None:
        """Obey a relay command; minutes is the length of a timed trip."""
        match command:
            case RelayCommand.KEEP_POWER_ON | RelayCommand.KEEP_POWER_OFF:
                self.keep_power = command is RelayCommand.KEEP_POWER_ON
            case RelayCommand.ALARM_ON | RelayCommand.ALARM_OFF:
                self.alarm = command is RelayCommand.ALARM_ON
            case RelayCommand.CLOSE:
                self._close()
            case RelayCommand.ALLOW_CLOSE:
                self.command_open = False
                self.restore = None
                if self.contact_open and self.armed_since is None:
                    self.armed_since = self.at
            case RelayCommand.TRIP:
                self._trip(None)
            case RelayCommand.TRIP_THEN_CLOSE:
                self._trip((self.at + minutes * 60 * SECOND, RelayCommand.CLOSE))
            case RelayCommand.TRIP_THEN_ALLOW_CLOSE:
                self._trip((self.at + minutes * 60 * SECOND, RelayCommand.ALLOW_CLOSE))

    def _trip(self, restore: tuple[int, RelayCommand] | None) -> None:
        self.contact_open = self.command_open = True
        self.armed_since = None
        self.restore = restore

    @property
    def power_w(self) -> int:
        return 0 if self.contact_open else self.register.draw(self.at)

    def read_item(self, di: int) -> bytes | None:
        """Forward active and combined energy, voltage, current, power; None for anything else."""
        match di:
            case 0x00000000 | 0x00010000:
                return bcd.encode(self.register.shown, size=4, decimals=2)
            case 0x02010100:
                return bcd.encode(MAINS_V, size=2, decimals=1)
            case 0x02020100:
                milliamperes = self.power_w * 1000 // MAINS_V
                return bcd.encode(Decimal(milliamperes).scaleb(-3), size=3, decimals=3)
            case 0x02030000 | 0x02030100:
                return bcd.encode(Decimal(self.power_w).scaleb(-3), size=3, decimals=4)
        return None

    def write_item(self, di: int, data: bytes) -> bool:
        """Nothing in this meter can be written."""
        return False

    def state(self) -> State:
        return {
            "total": self.register.total,
            "at": self.at,
            "contact_open": self.contact_open,
            "command_open": self.command_open,
            "keep_power": self.keep_power,
            "alarm": self.alarm,
            "armed_since": self.armed_since,
            "restore": self.restore and [self.restore[0], self.restore[1].value],
        }

    def resume(self, state: State) -> None:
        """Go on from a state. Raises ValueError if it is not one of an electricity meter."""
        self.register.total = _whole(state, "total")
        self.at = _whole(state, "at")
        self.contact_open = bool(state["contact_open"])
        self.command_open = bool(state["command_open"])
        self.keep_power = bool(state["keep_power"])
        self.alarm = bool(state["alarm"])
        self.armed_since = None if state["armed_since"] is None else _whole(state, "armed_since")
        match state["restore"]:
            case None:
                self.restore = None
            case [int(at), int(command)]:
                self.restore = (at, RelayCommand(command))
            case other:
                raise ValueError(f"restore is {other!r}")


class WaterMeter:
    """A cold water meter with a motor valve 阀控水表.

    The valve takes travel microseconds of the clock; until it has arrived it shows where it was, and water
    runs as it did before.
    """

    def __init__(
        self, address: str, *, clock: Clock, register: Register, travel: int, battery_low: bool
    ) -> None:
        self.address = address
        self.clock = clock
        self.register = register
        self.travel = travel
        self.battery_low = battery_low
        self.type = 0x10
        self.at = clock()
        self.valve = Valve.OPEN
        self.moving: tuple[int, Valve] | None = None  # when the valve arrives, and where
        self.clock_error = timedelta(0)

    def advance(self) -> None:
        """Live through the time since the last look."""
        now = self.clock()
        if self.moving is not None and self.moving[0] <= now:
            self._run(max(self.at, self.moving[0]))
            self.valve = self.moving[1]
            self.moving = None
        self._run(now)

    def _run(self, until: int) -> None:
        if self.valve is Valve.OPEN:
            self.register.run(self.at, until)
        self.at = until

    def move_valve(self, command: ValveCommand) -> None:
        """Start the motor, or turn it round."""
        target = Valve.OPEN if command is ValveCommand.OPEN else Valve.CLOSED
        if target is self.valve:
            self.moving = None
        elif self.moving is None:
            self.moving = (self.at + self.travel, target)

    def status(self) -> ValveStatus:
        raw = bytes([self.valve.value | 4 * self.battery_low, 0])
        return ValveStatus.from_bytes(raw)

    def water(self) -> tuple[Decimal, Decimal]:
        """Total and settlement total in m3; this meter settles nothing by itself."""
        return self.register.shown, Decimal(0)

    def read_item(self, di: int) -> bytes | None:
        """Only the current data, which the codec puts together."""
        return None

    def write_item(self, di: int, data: bytes) -> bool:
        """Nothing in this meter can be written but the valve."""
        return False

    def state(self) -> State:
        return {
            "total": self.register.total,
            "at": self.at,
            "valve": self.valve.value,
            "moving": self.moving and [self.moving[0], self.moving[1].value],
        }

    def resume(self, state: State) -> None:
        """Go on from a state. Raises ValueError if it is not one of a water meter."""
        self.register.total = _whole(state, "total")
        self.at = _whole(state, "at")
        self.valve = Valve(state["valve"])
        match state["moving"]:
            case None:
                self.moving = None
            case [int(at), int(valve)]:
                self.moving = (at, Valve(valve))
            case other:
                raise ValueError(f"moving is {other!r}")


Meter = ElectricityMeter | WaterMeter


def _whole(state: State, name: str) -> int:
    value = state[name]
    if not isinstance(value, int):
        raise ValueError(f"{name} is {value!r}, not a whole number")
    return value
