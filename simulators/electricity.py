"""An electricity meter 电能表 as a physical thing: what runs through it, and what its relay does about it.

It is asked what it shows or told to switch, and first lives through the time since it was last looked at
(`advance`), minute by minute of its own clock. It has the shape that `protocols.dlt645.slave` asks of a
meter; what stands under its identifiers is in `simulators.electricity_items`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from itertools import islice

from protocols.dlt645.relay import Prepayment, RelayCommand
from protocols.dlt645.slave import NOBODY, Unsent
from simulators import (
    electricity_calendar,
    electricity_items,
    electricity_relay,
    electricity_state,
    parameters,
    records,
)
from simulators.faults import OwnFaults
from simulators.parameters import Parameters
from simulators.physics import (
    MINUTE,
    STEP,
    UNIT,
    Battery,
    Clock,
    LocalTime,
    OwnClock,
    Register,
    Resident,
    State,
)
from simulators.purse import Module, Purse
from simulators.records import Events, Freezes, LoadRecords, stamp

OUTAGE = timedelta(seconds=2)
"""A program that stood still longer than this was a power cut for its meters."""


class What(Enum):
    """What happens to a meter by hand 人为事件."""

    POWER_OFF = "power-off"
    COVER_OPEN = "cover-open"
    TERMINAL_COVER_OPEN = "terminal-cover-open"
    PROGRAMMING_KEY = "programming-key"
    BUTTON = "button"


@dataclass(frozen=True, slots=True)
class Happening:
    """It begins at an instant of the clock and lasts so long, both in microseconds."""

    what: What
    at: int
    lasts: int


@dataclass(frozen=True, slots=True)
class Make:
    """How a meter was made and set up. periods is tariff by hhmm; travel is how long the contact takes.

    answers_with_word is for a meter that answers relay commands with the status word of newer meters;
    key_held that its programming key 编程键 is held all the time. After lockout_after wrong passwords in a day
    it takes none until its date changes; 0 is never. balance is what a prepaid meter starts with, and
    account_open whether its account was opened.
    """

    edition: str = "2007"
    phases: int = 1
    tariffs: int = 4
    periods: Mapping[str, int] = field(default_factory=lambda: {"0000": 1})
    travel: int = 0
    answers_with_word: bool = False
    key_held: bool = False
    lockout_after: int = 0
    prepayment: Prepayment = Prepayment.NONE
    balance: Decimal = Decimal(0)
    account_open: bool = True
    parameters: Mapping[int, bytes] = field(default_factory=dict)
    clock_error: timedelta = timedelta(0)
    drift_ppb: int = 0
    battery_days: int | None = None
    happenings: tuple[Happening, ...] = ()
    faults: OwnFaults = field(default_factory=OwnFaults)


@dataclass(slots=True)
class Demand:
    """A largest demand 最大需量: in W, and the minute at which it was reached, "" where there is none."""

    w: int = 0
    at: str = ""


@dataclass(slots=True)
class Settled:
    """What stood in the registers at a settlement day: W·µs and demand, each total first, then tariffs."""

    energy: list[int]
    demand: list[Demand]


class ElectricityMeter:
    """A prepaid meter with a relay. passwords are 6 digits, by permission level.

    A trip opens the contact and allow-close leaves it to the button; nothing runs through an open contact.
    Voltage is steady and the power factor 1, so power and current follow the load.
    """

    def __init__(
        self,
        address: str,
        *,
        clock: Clock,
        local_time: LocalTime,
        register: Register,
        passwords: dict[int, str],
        resident: Resident | None,
        make: Make = Make(),
    ) -> None:
        self.address = address
        self.make = make
        self.resident = resident
        self.register = register
        if make.faults.has("rollover", make.faults.after):
            register.total = 10**6 * UNIT - UNIT // 2
        self.own_passwords = passwords
        self.own = OwnClock(
            clock,
            local_time,
            error=make.clock_error,
            drift_ppb=make.drift_ppb,
            time_scale=register.time_scale,
        )
        self.battery = Battery(make.battery_days, register.time_scale)
        self.parameters = Parameters(
            meter_number=address, tariffs=make.tariffs, periods=make.periods, own=make.parameters
        )
        self.purse = (
            Purse(make.prepayment, make.balance, self.parameters, is_open=make.account_open)
            if make.prepayment is not Prepayment.NONE
            else None
        )
        self.module = Module(self.purse, self.parameters)
        self.at = clock()

        self.contact_open = False
        self.command_open = False
        self.keep_power = False
        self.alarm = False  # by command; a low balance warns by itself
        self.armed_since: int | None = None
        self.moving: tuple[int, bool] | None = None  # when the contact arrives, and whether open
        self.restore: tuple[int, RelayCommand] | None = None  # when a timed trip ends, and how
        self.mover = NOBODY
        self.warned = False
        self.exhausted = False

        share = register.total // STEP // make.tariffs * STEP
        first = register.total - share * (make.tariffs - 1)
        self.by_tariff = [first, *[share] * (make.tariffs - 1)]
        self.demand = [Demand() for _ in range(make.tariffs + 1)]
        self.minutes: deque[int] = deque(maxlen=60)  # the W·µs of the last minutes, unscaled
        self.this_minute = 0
        self.settled: deque[Settled] = deque(maxlen=12)
        self.events, self.freezes, self.load = Events(), Freezes(), LoadRecords()
        self.freeze_pattern = "99999999"
        self.second_zones = self.second_periods = False
        self.timetable: tuple[int, electricity_calendar.Timetable] | None = None
        self._tariff = 1
        self._tariff_known: tuple[int, int, bool, bool] | None = None
        self.minute = self.own.microseconds(self.at) // MINUTE
        self.begun: dict[What, tuple[int, bytes]] = {}  # the end of each, and the record so far
        self.happened = 0
        self.was_reset = False

        self.baud_feature: int | None = None
        self.output = 0
        self.wrong_passwords = 0
        self.wrong_on: date | None = None
        self.answers_with_word = make.answers_with_word
        self.unsent: Unsent | None = None
        self.operator = NOBODY
        self.time_set_on: date | None = None

    # Its own time

    @property
    def clock_error(self) -> timedelta:
        return self.own.error_at(self.at)

    @clock_error.setter
    def clock_error(self, error: timedelta) -> None:
        self.own.set_error(error, self.at)
        self.minute = self.own.microseconds(self.at) // MINUTE

    @property
    def now(self) -> datetime:
        """What its clock shows."""
        return self.own.at(self.at)

    def advance(self) -> None:
        """Live through the time since the last look, with what happened in it in its order."""
        now = self.own.look()
        self._meet_events()
        while self.at < now:
            self._run(min(now, self._next_stop()))
            self._meet_events()

    def _next_stop(self) -> int:
        """The next instant at which something may change by itself."""
        stops = [self.at + MINUTE - self.own.microseconds(self.at) % MINUTE]
        stops += [at for at, _ in self._events()]
        if self.purse is not None and not self.contact_open and not self.is_dark:
            steady = self.register.steady_until(self.at)
            stops.append(steady)
            rate = self.register.draw(self.at) * self.register.time_scale * self._price()
            left = self.purse.next_limit()
            if rate and left is not None:
                stops.append(self.at + -(-left // rate))
        return max(self.at + 1, min(stops))

    def _meet_events(self) -> None:
        while (event := min(self._events(), key=lambda e: e[0], default=None)) is not None:
            if event[0] > self.at:
                break
            event[1]()
        self._see_minute()
        if self.purse is not None:
            electricity_relay.see_purse(self, self.purse)

    def _events(self) -> Iterator[tuple[int, Callable[[], None]]]:
        """What is going to happen, and when."""
        if self.armed_since is not None and self.resident is not None:
            yield self.armed_since + self.resident.presses_after, self._press
        if self.moving is not None:
            yield self.moving[0], partial(electricity_relay.arrive, self)
        if self.restore is not None:
            yield self.restore[0], partial(electricity_relay.end_timed_trip, self)
        if self.happened < len(self.make.happenings):
            yield self.make.happenings[self.happened].at, self._begin
        for what, (end, _) in self.begun.items():
            yield end, partial(self._end, what)
        if "reset_register" in self.make.faults.names and not self.was_reset:
            yield self.make.faults.after, self._reset

    def _run(self, until: int) -> None:
        if self.is_live:
            drawn = self.register.drawn(self.at, until)
            if not self.has_fault("stuck_register"):
                tariff = self.tariff
                if self.purse is not None:
                    self.purse.use(drawn, self._price())
                self.register.total += drawn
                self.by_tariff[tariff - 1] += drawn
            self.this_minute += drawn // self.register.time_scale
        self.at = until

    @property
    def is_live(self) -> bool:
        """Whether current can flow."""
        return not self.contact_open and not self.is_dark

    @property
    def is_dark(self) -> bool:
        """Whether the mains are off: it measures nothing and answers nobody."""
        return What.POWER_OFF in self.begun

    def has_fault(self, fault: str) -> bool:
        """Whether it is now wrong in this way."""
        return self.make.faults.has(fault, self.at)

    def _reset(self) -> None:
        self.was_reset = True
        self.register.total = 0
        self.by_tariff = [0] * len(self.by_tariff)

    # Tariff, demand, freezes: by the minute

    @property
    def tariff(self) -> int:
        """The tariff in force by its own clock and tables."""
        minute = self.own.microseconds(self.at) // MINUTE
        known = (minute, self.parameters.revision, self.second_zones, self.second_periods)
        if known != self._tariff_known:
            self._tariff_known = known
            self._tariff = self.parameters.tariff_at(
                self.now, second_zones=self.second_zones, second_periods=self.second_periods
            )
        return self._tariff

    def _price(self) -> int:
        assert self.purse is not None
        return self.purse.price(self.tariff, self.energy_of_period)

    @property
    def energy_of_period(self) -> int:
        """W·µs since the last settlement day."""
        return max(0, self.register.total - (self.settled[0].energy[0] if self.settled else 0))

    def _see_minute(self) -> None:
        minute = self.own.microseconds(self.at) // MINUTE
        if minute == self.minute:
            return
        self.minute = minute
        self.minutes.appendleft(self.this_minute)
        self.this_minute = 0
        if not self.is_dark:
            electricity_calendar.keep(self)

    @property
    def present_demand_w(self) -> int:
        """The mean over the demand period that ends with the last whole minute."""
        period = self.parameters.count(parameters.DEMAND_PERIOD) or 15
        return sum(islice(self.minutes, period)) // (period * MINUTE)

    # Button, covers, mains

    def press_button(self) -> None:
        """Closes the contact, if the meter was told that it may."""
        self.advance()
        if self.armed_since is not None:
            self._press()

    def _press(self) -> None:
        electricity_relay.press(self)

    def relay(self, command: RelayCommand, minutes: int) -> None:
        """Obey a relay command; minutes is the length of a timed trip."""
        electricity_relay.obey(self, command, minutes)

    def _begin(self) -> None:
        happening = self.make.happenings[self.happened]
        self.happened += 1
        start = b""
        match happening.what:
            case What.BUTTON:
                if self.armed_since is not None:
                    self._press()
                return
            case What.COVER_OPEN | What.TERMINAL_COVER_OPEN:
                start = electricity_items.six_energies(self)
        self.begun[happening.what] = (happening.at + happening.lasts, stamp(self.now) + start)

    def _end(self, what: What) -> None:
        _, start = self.begun.pop(what)
        match what:
            case What.COVER_OPEN | What.TERMINAL_COVER_OPEN:
                event = records.COVER if what is What.COVER_OPEN else records.TERMINAL_COVER
                after = electricity_items.six_energies(self)
                self.events.add(event, start[:6] + stamp(self.now) + start[6:] + after)
            case What.POWER_OFF:
                self.power_up(start)

    def power_up(self, since: bytes) -> None:
        """The mains are back; since when they were off, as sent."""
        self.events.add(records.POWER_DOWN, since + stamp(self.now))
        self.output = 0
        self.module.valid_until = None
        self.unsent = None
        self.minutes.clear()

    # What the slave asks

    @property
    def passwords(self) -> dict[int, str]:
        """By level; with the fault, none that anybody knows."""
        return {} if self.has_fault("wrong_password") else self.own_passwords

    @property
    def programming_allowed(self) -> bool:
        return self.make.key_held or What.PROGRAMMING_KEY in self.begun

    @property
    def is_suspended(self) -> bool:
        today = self.now.date()
        most = self.make.lockout_after
        is_locked = most and self.wrong_passwords >= most and self.wrong_on == today
        return bool(is_locked) or self.module.is_suspended(self.now)

    def count_wrong_password(self) -> None:
        today = self.now.date()
        self.wrong_passwords = self.wrong_passwords + 1 if self.wrong_on == today else 1
        self.wrong_on = today

    @property
    def power_w(self) -> int:
        return self.register.draw(self.at) if self.is_live else 0

    def read_item(self, di: int) -> bytes | None:
        return electricity_items.read(self, di)

    def write_item(self, di: int, data: bytes) -> bool:
        return electricity_items.write(self, di, data)

    def read_load(self, di: int, blocks: int, since: datetime | None) -> bytes | None:
        return self.load.read(di, blocks, since)

    def freeze(self, when: str) -> bool:
        """MMDDhhmm, or 99 for "every"; 99999999 is now."""
        if not when.isdecimal():
            return False
        if when == EVERY:
            electricity_calendar.freeze_now(self, 0x01)
        elif all(part == "99" or int(part) <= 59 for part in (when[4:6], when[6:])):
            self.freeze_pattern = when
        return True

    def change_baud(self, feature: int) -> bool:
        """600 to 19200; from the next answer on it speaks at that rate."""
        if feature not in BAUDS:
            return False
        self.baud_feature = feature
        return True

    @property
    def baud(self) -> int | None:
        """The rate that it was told to use, if it was."""
        return None if self.baud_feature is None else BAUDS[self.baud_feature]

    def clear(self, what: int, di: int) -> None:
        electricity_items.clear(self, what, di)

    def select_output(self, output: int) -> bool:
        if output > 2:
            return False
        self.output = output
        return True

    def accepts_mac(self, mac: bytes) -> bool:
        return self.module.accepts(mac, at=self.at, now=self.now)

    def authenticate(self, di: int, payload: bytes) -> bytes | int:
        return self.module.ask(
            di,
            payload,
            at=self.at,
            now=self.now,
            events=self.events,
            bought=partial(electricity_relay.bought, self),
        )

    def state(self) -> State:
        """What survives of it; see `simulators.electricity_state`."""
        return electricity_state.state(self)

    def resume(self, state: State) -> None:
        """Go on from a state; the time since was a power cut. Raises KeyError, ValueError or TypeError
        if it is not one of an electricity meter."""
        electricity_state.resume(self, state)
        self.minute = self.own.microseconds(self.at) // MINUTE

    def see_power_cut(self, since: datetime) -> None:
        """Note the power cut that began then, by the meter's clock, if there was one."""
        if self.now - since > OUTAGE:
            self.power_up(stamp(since))


EVERY = "99999999"
BAUDS = {0x02: 600, 0x04: 1200, 0x08: 2400, 0x10: 4800, 0x20: 9600, 0x40: 19200}
