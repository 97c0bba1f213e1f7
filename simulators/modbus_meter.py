"""A Modbus meter as a physical thing: live values in the registers that its profile 寄存器档案 lays out.

It has the shape that `protocols.modbus.slave` asks of a device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from struct import pack, unpack

from protocols.modbus.profile import (
    Command,
    Condition,
    Kind,
    Order,
    Profile,
    Register,
    Supply,
    Type,
)
from protocols.modbus.slave import Declined, Fault, Table
from simulators.faults import OwnFaults
from simulators.physics import MAINS_V, UNIT, Battery, Clock, LocalTime, State, shown, whole
from simulators.physics import Register as Total

LINE_V = 380
HZ = 50
POINT = 3  # where a profile keeps the place of a decimal point, this is "as it stands"
HOLDS_16 = {3: Table.HOLDING, 4: Table.INPUT}


@dataclass(frozen=True, slots=True)
class Make:
    """How a meter was made and set up: travel is how long its relay or valve takes, values what stands in
    registers, by name, instead of what is measured for them. periods is the rate number by hhmm. With fills_gaps
    addresses between those of the profile read 0; else it refuses them."""

    travel: int = 0
    values: Mapping[str, int] = field(default_factory=dict)
    periods: Mapping[str, int] = field(default_factory=dict)
    fills_gaps: bool = False
    battery_days: int | None = None
    faults: OwnFaults = field(default_factory=OwnFaults)


class ModbusMeter:
    """A meter of one profile. What is not in the profile, or in its blocks, is an illegal address.

    Consumption flows forward alone: reverse registers, reactive power and harmonics are zero. Ratios of
    instrument transformers are 1 until they are written, and the registers measure the secondary side.
    """

    def __init__(
        self,
        unit: int,
        profile: Profile,
        *,
        clock: Clock,
        local_time: LocalTime,
        register: Total,
        make: Make,
    ) -> None:
        self.unit = unit
        self.profile = profile
        self.make = make
        self.register = register
        if make.faults.has("rollover", make.faults.after):
            register.total = 10**6 * UNIT - UNIT // 2
        self._clock = clock
        self._local_time = local_time
        self.at = clock()
        self.by_rate = [0] * max(1, len(profile.bands))
        self.by_rate[self._only_rate - 1] = register.total
        self.battery = Battery(make.battery_days, register.time_scale)
        self.is_off = False
        self.ordered: Supply | None = None  # None where the meter decides itself
        self.moving: tuple[int, bool] | None = None  # when relay or valve arrives, and whether off
        self.was_reset = False
        self.words: dict[tuple[Table, int], int] = {}
        self._owners: dict[tuple[Table, int], Register] = {}
        for one in profile.registers.values():
            for function, address in one.keys:
                self._owners[HOLDS_16[function], address] = one
                self.words[HOLDS_16[function], address] = 0
        for start, count in profile.blocks:
            for address in range(start, start + count):
                self.words.setdefault((Table.HOLDING, address), 0)
        if make.fills_gaps:
            for table in {table for table, _ in self.words}:
                known = [address for held, address in self.words if held is table]
                for address in range(min(known), max(known)):
                    self.words.setdefault((table, address), 0)
        if profile.even_reads:
            for table, address in list(self.words):
                self.words.setdefault((table, address ^ 1), 0)
        for name, value in (self._factory() | dict(make.values)).items():
            self._store(profile.registers[name], Decimal(value))
        functions = {one.function for one in profile.registers.values()}
        self.functions = frozenset(functions | set(profile.write_functions))

    def _factory(self) -> dict[str, int]:
        """Points, ratios, the unit and rate, and a serial number for the relay's key."""
        values = {}
        for name, one in self.profile.registers.items():
            if one.point is not None:
                values[one.point] = POINT
            match name:
                case "unit_id" | "address":
                    values[name] = self.unit
                case "baud" if one.unit == "baud":
                    values[name] = self.profile.serial.baud
                case "serial_number":
                    values[name] = 12345678
                case "pipe_state":
                    values[name] = 0x00AA
        for ratio in (self.profile.pt, self.profile.ct):
            if ratio is not None:
                values[ratio] = 1
        return values

    # Physics

    def advance(self) -> None:
        """Live through the time since the last look."""
        now = self._clock()
        for at, happen in sorted(self._events(), key=lambda event: event[0]):
            if at <= now:
                self._run(max(self.at, at))
                happen()
        self._run(now)

    def _events(self) -> Iterator[tuple[int, Callable[[], None]]]:
        """What is going to happen, and when."""
        if self.moving is not None:
            yield self.moving[0], self._arrive
        if not self.was_reset and "reset_register" in self.make.faults.names:
            yield self.make.faults.after, self._reset

    def _reset(self) -> None:
        self.was_reset = True
        self.register.total = 0
        self.by_rate = [0] * len(self.by_rate)

    def _run(self, until: int) -> None:
        while self.at < until:
            rate, end = self._rate(until)
            drawn = 0 if self.is_off else self.register.drawn(self.at, end)
            if self.is_half_open:
                drawn = self.register.drawn(self.at, end) // 2
            if not self._has("stuck_register"):
                self.register.total += drawn
                self.by_rate[rate - 1] += drawn
            self.at = end

    @property
    def _only_rate(self) -> int:
        """The rate number that all is counted under where there are no periods: flat 平, or else the first."""
        bands = [rate.band for rate in self.profile.bands]
        return bands.index("flat") + 1 if "flat" in bands else 1

    def _rate(self, until: int) -> tuple[int, int]:
        """The rate number that is counted under now, and until when at most it is."""
        periods = sorted(self.make.periods.items())
        if not periods:
            return self._only_rate, until
        here = self._local_time() - timedelta(microseconds=self._clock() - self.at)
        begun = [rate for start, rate in periods if start <= f"{here:%H%M}"]
        later = [start for start, _ in periods if start > f"{here:%H%M}"]
        midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
        hour, minute = (int(later[0][:2]), int(later[0][2:])) if later else (24, 0)
        turn = midnight + timedelta(hours=hour, minutes=minute)
        return begun[-1], min(until, self.at + (turn - here) // timedelta(microseconds=1))

    def _has(self, fault: str) -> bool:
        return self.make.faults.has(fault, self.at)

    @property
    def is_water(self) -> bool:
        return self.profile.kind is Kind.WATER

    @property
    def is_half_open(self) -> bool:
        """Whether the valve was told to close and stopped halfway."""
        return self.is_water and self.is_off and self._has("half_open_valve")

    @property
    def draw(self) -> int:
        """Watts, or litres an hour, as they flow now."""
        if self.is_half_open:
            return self.register.draw(self.at) // 2
        return 0 if self.is_off else self.register.draw(self.at)

    def switch(self, supply: Supply | None) -> None:
        """Obey an order; None leaves the relay to the meter, which keeps the supply on."""
        self.ordered = supply
        is_off = supply is Supply.OFF
        if self.is_water and self.battery.is_empty(self.at):
            return
        self.moving = None if is_off == self.is_off else (self.at + self.make.travel, is_off)
        if self.moving is not None and self.make.travel == 0:
            self._arrive()

    def _arrive(self) -> None:
        assert self.moving is not None
        is_off, self.moving = self.moving[1], None
        if not self._has("stuck_relay"):
            self.is_off = is_off

    # Its registers

    def read(self, table: Table, address: int, count: int) -> Sequence[int]:
        """The registers as they stand now. Raises Declined."""
        if self.profile.even_reads and (address & 1 or count & 1):
            raise Declined(Fault.ADDRESS)
        if count > self.profile.largest_read:
            raise Declined(Fault.VALUE)
        wanted = [(table, at) for at in range(address, address + count)]
        if not all(key in self.words and self._may_read(key) for key in wanted):
            raise Declined(Fault.ADDRESS)
        for one in {self._owners[key].name for key in wanted if key in self._owners}:
            self._refresh(self.profile.registers[one])
        return [self.words[key] for key in wanted]

    def _may_read(self, key: tuple[Table, int]) -> bool:
        return key not in self._owners or self._owners[key].access != "w"

    def write(self, table: Table, address: int, values: Sequence[int]) -> None:
        """Take registers that may be written, and obey the profile's relay commands. Raises Declined."""
        command = self._command(address, values)
        keys = [self._place(at) for at in range(address, address + len(values))]
        if command is None and any(key is None for key in keys):
            raise Declined(Fault.ADDRESS)
        for key, value in zip(keys, values, strict=True):
            if key is not None:
                self.words[key] = value
        if command is not None:
            self.switch(command[0])

    def _place(self, address: int) -> tuple[Table, int] | None:
        """Where a register that may be written is read."""
        for table in (Table.HOLDING, Table.INPUT):
            owner = self._owners.get((table, address))
            if owner is not None:
                return (table, address) if "w" in owner.access else None
        return None

    def _command(self, address: int, values: Sequence[int]) -> tuple[Supply | None] | None:
        """The order that a write is, if it is one."""
        known = self.profile.switch
        if known is None:
            return None
        orders: list[tuple[Command | None, Supply | None]] = [
            (known.on, Supply.ON),
            (known.off, Supply.OFF),
            (known.automatic, None),
        ]
        for command, supply in orders:
            if command is None or (command.address, len(command.values)) != (address, len(values)):
                continue
            if all(
                value == (self._key() if asked == "key" else asked)
                for asked, value in zip(command.values, values, strict=True)
            ):
                return (supply,)
        if any(c is not None and "key" in c.values and c.address == address for c, _ in orders):
            raise Declined(Fault.VALUE)  # the key is wrong, or the state none that it has
        return None

    def _key(self) -> int:
        """The word that must stand before a Fineco relay state, made of the serial number."""
        keys = self.profile.registers["serial_number"].keys
        high, low = (self.words[HOLDS_16[function], address] for function, address in keys)
        serial = high << 16 | low
        return (serial >> 24) + (serial >> 8) & 0x1234

    def _refresh(self, register: Register) -> None:
        measured = None if register.name in self.make.values else self._measured(register)
        if measured is not None:
            self._store(register, measured)
        known = self.profile.switch
        if known is None:
            return
        if register.name == "valve_state":
            self._store(register, Decimal(self._valve_state()))
        elif any(c.register == register.name for c in (*known.is_on, *known.is_off)):
            is_off = self.is_off if known.is_measured else self.ordered is Supply.OFF
            self._hold(register, known.is_off if is_off else known.is_on)

    def _valve_state(self) -> int:
        """Bits by weight: 1 open, 2 closed, 4 abnormal, 8 battery low; none of the first while it moves."""
        low = 8 * self.battery.is_low(self.at)
        if self.is_half_open:
            return 4 | low
        if self.moving is not None:
            return low
        return (2 if self.is_off else 1) | low

    def _hold(self, register: Register, conditions: Sequence[Condition]) -> None:
        """Make the conditions true, where an order was given."""
        if self.ordered is None and len(conditions) > 1:
            return  # the registers of a forced state say what was written
        for condition in conditions:
            if condition.register == register.name:
                function, address = register.keys[0]
                key = HOLDS_16[function], address
                self.words[key] = self.words[key] & ~condition.mask | condition.value

    def _measured(self, register: Register) -> Decimal | None:
        """What is measured under a name, in the register's unit; None for what is only kept."""
        name, phases = register.name, max(1, self.profile.phases)
        phase = next((p for p in "abc" if name.endswith(f"_{p}")), None)
        share = self.draw // phases if phase else self.draw
        match register.unit:
            case "kWh":
                return self._energy(name, phases if phase else 1)
            case "m³":
                return shown(self.register.total) if name in self.profile.energy else None
            case "m³/h":
                return Decimal(self.draw).scaleb(-3)
            case "V" if name == "battery":
                return self.battery.volts(self.at)
            case "V":
                between = name.startswith("voltage_ll") or name.endswith(("_ab", "_bc", "_ca"))
                return Decimal(LINE_V if between else MAINS_V)
            case "A" if name != "current_rated" and "neutral" not in name and "max" not in name:
                each = share if name.endswith("_sum") or phase else self.draw // phases
                return Decimal(each * 1000 // MAINS_V).scaleb(-3)
            case "W" | "VA" if "reactive" not in name and "export" not in name:
                return Decimal(share)
            case "kW" | "kVA" if name != "power_limit":
                return Decimal(share).scaleb(-3)
            case "Hz":
                return Decimal(HZ)
            case "" if name == "power_factor" or "pf_" in name:
                return Decimal(1)
        return None

    def _energy(self, name: str, share: int) -> Decimal:
        """The total; a phase's part; what was counted under a rate number."""
        for number, rate in enumerate(self.profile.bands):
            if rate.register == name:
                return shown(self.by_rate[number])
        total = shown(self.register.total)
        if any(part in name for part in BACKWARD):
            return Decimal(0)
        if name.endswith(OTHER_TARIFFS):
            return Decimal(0)
        return shown(self.register.total // share) if share > 1 else total

    def _store(self, register: Register, value: Decimal) -> None:
        """The words of a value as the profile lays it out; what does not fit is cut to what does."""
        size = 2 * register.count
        raw = value / register.scale
        if register.type is Type.FLOAT32:
            data = pack(">f", float(raw))  # 32 bits are what the wire has for it
        elif register.type is Type.BCD:
            data = bytes.fromhex(f"{int(raw):0{2 * size}d}"[-2 * size :])
        else:
            data = (int(raw) % (1 << 8 * size)).to_bytes(size, "big")
        if size == 4 and register.type is not Type.BCD:
            data = _ordered(data, register.order)
        for (function, address), word in zip(
            register.keys, unpack(f">{register.count}H", data), strict=True
        ):
            self.words[HOLDS_16[function], address] = word

    # What survives

    def state(self) -> State:
        written = [[table.value, address, word] for (table, address), word in self.words.items()]
        return {
            "total": self.register.total,
            "by_rate": self.by_rate,
            "at": self.at,
            "is_off": self.is_off,
            "ordered": self.ordered and self.ordered.value,
            "moving": self.moving and list(self.moving),
            "was_reset": self.was_reset,
            "words": [one for one in written if one[2]],
        }

    def resume(self, state: State) -> None:
        """Go on from a state. Raises KeyError, ValueError or TypeError if it is not one of a Modbus meter."""
        self.register.total = whole(state, "total")
        match state["by_rate"]:
            case list() as counted if len(counted) == len(self.by_rate):
                self.by_rate = [int(one) for one in counted]
            case other:
                raise ValueError(f"by_rate is {other!r}")
        self.at = whole(state, "at")
        self.is_off = bool(state["is_off"])
        self.ordered = None if state["ordered"] is None else Supply(state["ordered"])
        match state["moving"]:
            case None:
                self.moving = None
            case [int(at), bool(is_off)]:
                self.moving = (at, is_off)
            case other:
                raise ValueError(f"moving is {other!r}")
        self.was_reset = bool(state["was_reset"])
        words = state["words"]
        if not isinstance(words, list):
            raise ValueError(f"words are {words!r}")
        for table, address, word in words:
            if (Table(table), address) in self.words:
                self.words[Table(table), address] = int(word)


BACKWARD = ("export", "rev")
OTHER_TARIFFS = ("sharp", "peak", "valley", "_t2")


def _ordered(data: bytes, order: Order) -> bytes:
    """Four bytes, high first, as they lie in two registers of this order."""
    placed = bytearray(4)
    for byte, letter in zip(data, "ABCD", strict=True):
        placed[order.value.index(letter)] = byte
    return bytes(placed)
