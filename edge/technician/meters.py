"""A meter as a technician asks it: what it shows, its supply and its clock, the same for every protocol.

All is exchanges; waiting and asking again is the bus's. A meter refuses what it does not have by
`CannotDo`, before the first request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from edge.technician.modbus_frames import register_address
from edge.technician.words import CJ188_FIELDS
from prepaid.reading import Supply
from protocols import bcd
from protocols.cj188 import explain as cj188_explain
from protocols.cj188 import frame as cj188_frame
from protocols.cj188 import items as cj188_items
from protocols.cj188 import master as cj188
from protocols.cj188.items import Valve
from protocols.dlt645 import frame as dlt645_frame
from protocols.dlt645 import items, items97, master97, status
from protocols.dlt645 import master as dlt645
from protocols.dlt645.items import Value
from protocols.dlt645.master import RelayCommand
from protocols.dlt645.names import chinese
from protocols.exchange import Exchange, FrameDecoder, Unexpected
from protocols.modbus import master as modbus
from protocols.modbus import profile as profiles
from protocols.modbus.frame import ReplyDecoder
from protocols.modbus.profile import Profile, Ratio


class CannotDo(Exception):
    """This kind of meter has no such thing, or we do not know the name. The sentence says which."""


class Command(StrEnum):
    """What the supply is told; `ALLOW` lets the customer close it by the meter's button."""

    OFF = "off"
    ALLOW = "allow"
    ON = "on"


@dataclass(frozen=True, slots=True)
class Shown:
    """One value as a technician reads it. value is None where the meter has none."""

    item: str
    name: str
    chinese: str
    value: Decimal | str | None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a meter wants before it obeys: level 0 (highest) to 9, 6 digits, 8 digits."""

    level: int
    password: str
    operator: str


class Meter(Protocol):
    """One meter on a line, under its address."""

    @property
    def title(self) -> str:
        """ "meter 202310450101 (dlt645-2007)"."""
        ...

    @property
    def travel_s(self) -> float:
        """How long the switch may take to arrive where it was sent."""
        ...

    @property
    def needs_password(self) -> bool:
        """Whether it is switched with a password."""
        ...

    @property
    def names(self) -> Mapping[str, str]:
        """What can be read by name: the item that each stands for."""
        ...

    @property
    def usual(self) -> tuple[str, ...]:
        """What is read where nothing is named."""
        ...

    def read(self, name: str) -> Exchange[Any, list[Shown]]:
        """The values under a name or an identifier. Raises CannotDo for one that is not known."""
        ...

    def supply(self) -> Exchange[Any, Supply | None]:
        """ON, OFF or ARMED; None where the meter cannot say."""
        ...

    def command(self, command: Command) -> str:
        """What goes on the line for a command, in words. Raises CannotDo."""
        ...

    def switch(self, command: Command, credentials: Credentials | None) -> Exchange[Any, None]:
        """Tell it. The reply proves nothing: ask for the supply after it. Raises CannotDo."""
        ...

    def clock(self) -> Exchange[Any, datetime]:
        """The meter's own time, without a zone. Raises CannotDo."""
        ...

    def set_clock(self, at: datetime, credentials: Credentials | None) -> Exchange[Any, None]:
        """Set it, naive local time. Raises CannotDo."""
        ...

    def decoder(self, request: bytes) -> FrameDecoder[Any]:
        """For what answers a request, as `Bus.run` wants it."""
        ...


# DL/T 645-2007

NAMES_2007 = {
    "energy": 0x00010000,
    "energy-tariffs": 0x0001FF00,
    "reverse-energy": 0x00020000,
    "combined-energy": 0x00000000,
    "demand": 0x01010000,
    "voltage-a": 0x02010100,
    "voltage-b": 0x02010200,
    "voltage-c": 0x02010300,
    "voltages": 0x0201FF00,
    "current-a": 0x02020100,
    "current-b": 0x02020200,
    "current-c": 0x02020300,
    "currents": 0x0202FF00,
    "power": 0x02030000,
    "power-a": 0x02030100,
    "power-b": 0x02030200,
    "power-c": 0x02030300,
    "reactive-power": 0x02040000,
    "apparent-power": 0x02050000,
    "power-factor": 0x02060000,
    "frequency": 0x02800002,
    "battery-voltage": 0x02800008,
    "clock": 0x0400010C,
    "address": 0x04000401,
    "status": 0x04000503,
    "status-words": 0x040005FF,
    "price": 0x02800020,
}
NAMES_1997 = {
    "energy": 0x9010,
    "energy-tariffs": 0x901F,
    "reverse-energy": 0x9020,
    "demand": 0xA010,
    "power": 0xB630,
    "power-a": 0xB631,
    "reactive-power": 0xB640,
    "power-factor": 0xB650,
    "status": 0xC020,
}


def _names(own: Mapping[str, int], table: Mapping[int, Any], digits: int) -> dict[str, str]:
    """Ours, and every single value of the identifier table under its English name."""
    named = {
        item.fields[0].name.lower().replace(" ", "-"): di
        for di, item in table.items()
        if len(item.fields) == 1
    }
    return {name: f"{di:0{digits}X}" for name, di in {**named, **own}.items()}


def _identifier(name: str, names: Mapping[str, str], digits: int) -> int:
    """The identifier that a name or hexadecimal digits stand for. Raises CannotDo."""
    text = names.get(name.lower(), name)
    if len(text) != digits or set(text.upper()) - set("0123456789ABCDEF"):
        raise CannotDo(
            f"{name!r} is neither a name that is known (--names lists them) nor an identifier of "
            f"{digits} hexadecimal digits"
        )
    return int(text, 16)


@dataclass(frozen=True, slots=True)
class Dlt2007:
    """An electricity meter of DL/T 645-2007 at an address of 12 digits."""

    address: str
    travel_s = 5.0
    needs_password = True
    usual = ("energy", "status")

    @property
    def title(self) -> str:
        return f"meter {self.address} (dlt645-2007)"

    @property
    def names(self) -> Mapping[str, str]:
        return _names(NAMES_2007, items.SINGLE, 8)

    def read(self, name: str) -> Exchange[Any, list[Shown]]:
        di = _identifier(name, self.names, 8)
        if items.find(di) is None:
            data = yield from dlt645.read(self.address, di)
            return [Shown(f"{di:08X}", "not in the table", "", data.hex().upper())]
        values = yield from dlt645.read_values(self.address, di)
        shown = _shown(f"{di:08X}", values)
        if di == dlt645.STATUS_WORD_3:
            state = dlt645.RelayState.from_word(int(str(values[0].value), 16))
            shown.append(Shown(f"{di:08X}", "supply", "供电状态", SUPPLIES[_supply(state)]))
        return shown

    def supply(self) -> Exchange[Any, Supply | None]:
        return _supply((yield from dlt645.read_status(self.address)))

    def command(self, command: Command) -> str:
        return RELAY[command][1]

    def switch(self, command: Command, credentials: Credentials | None) -> Exchange[Any, None]:
        assert credentials is not None
        yield from dlt645.control(
            self.address,
            RELAY[command][0],
            password=credentials.password,
            level=credentials.level,
            operator=credentials.operator,
            deadline=None,
        )

    def clock(self) -> Exchange[Any, datetime]:
        return (yield from dlt645.read_clock(self.address))

    def set_clock(self, at: datetime, credentials: Credentials | None) -> Exchange[Any, None]:
        assert credentials is not None
        yield from dlt645.write_clock(
            self.address,
            at,
            level=credentials.level,
            password=credentials.password,
            operator=credentials.operator,
        )

    def decoder(self, request: bytes) -> FrameDecoder[Any]:
        return dlt645_frame.Decoder(replies_only=True)


def _shown(item: str, values: Sequence[Value]) -> list[Shown]:
    """A row for each value, and behind a status word one for each thing that it says."""
    rows = []
    for value in values:
        rows.append(Shown(item, value.name, chinese(value.name), value.value, value.unit))
        if isinstance(value.value, str) and value.name in status.WORDS:
            rows += [
                Shown(item, said.english, said.chinese, "yes 是")
                for said in status.meanings(value.name, int(value.value, 16))
            ]
    return rows


RELAY = {
    Command.OFF: (RelayCommand.TRIP, "1CH with N1 = 1A, trip 跳闸"),
    Command.ALLOW: (RelayCommand.ALLOW_CLOSE, "1CH with N1 = 1B, close permit 合闸允许"),
    Command.ON: (RelayCommand.CLOSE, "1CH with N1 = 1C, direct close 直接合闸"),
}
SUPPLIES = {
    Supply.ON: "on 通",
    Supply.OFF: "off 断",
    Supply.ARMED: "off, may be closed by the button 合闸允许",
    None: "unknown 不明",
}


def _supply(state: dlt645.RelayState) -> Supply:
    if not state.contact_open:
        return Supply.ON
    return Supply.OFF if state.command_open else Supply.ARMED


# DL/T 645-1997


@dataclass(frozen=True, slots=True)
class Dlt1997:
    """An electricity meter of DL/T 645-1997, which has no relay command."""

    address: str
    travel_s = 0.0
    needs_password = True
    usual = ("energy",)

    @property
    def title(self) -> str:
        return f"meter {self.address} (dlt645-1997)"

    @property
    def names(self) -> Mapping[str, str]:
        return _names(NAMES_1997, items97.SINGLE, 4)

    def read(self, name: str) -> Exchange[Any, list[Shown]]:
        di = _identifier(name, self.names, 4)
        if items97.find(di) is None and not items97.is_set(di):
            data = yield from master97.read(self.address, di)
            return [Shown(f"{di:04X}", "not in the table", "", data.hex().upper())]
        values = yield from master97.read_values(self.address, di)
        return _shown(f"{di:04X}", values)

    def supply(self) -> Exchange[Any, Supply | None]:
        raise CannotDo("DL/T 645-1997 has no relay: the supply cannot be seen or switched")

    def command(self, command: Command) -> str:
        raise CannotDo("DL/T 645-1997 has no relay command")

    def switch(self, command: Command, credentials: Credentials | None) -> Exchange[Any, None]:
        raise CannotDo("DL/T 645-1997 has no relay command")

    def clock(self) -> Exchange[Any, datetime]:
        date = yield from master97.read(self.address, 0xC010)
        time = yield from master97.read(self.address, 0xC011)
        try:
            return datetime.strptime(bcd.digits(date[1:]) + bcd.digits(time), "%y%m%d%H%M%S")  # noqa: DTZ007
        except ValueError as error:
            raise Unexpected(f"no clock: {date.hex()} {time.hex()}") from error

    def set_clock(self, at: datetime, credentials: Credentials | None) -> Exchange[Any, None]:
        assert credentials is not None
        permission = (credentials.level, credentials.password)
        for di, text in (
            (0xC010, f"{at:%y%m%d}{at.isoweekday() % 7:02d}"),
            (0xC011, f"{at:%H%M%S}"),
        ):
            data = bcd.from_digits(text)
            yield from master97.write(self.address, di, data, permission=permission)

    def decoder(self, request: bytes) -> FrameDecoder[Any]:
        return dlt645_frame.Decoder(replies_only=True)


# CJ/T 188

NAMES_CJ188 = {
    "current-data": 0x901F,
    "address": 0x810A,
    "price-table": 0x8102,
    "settlement-day": 0x8103,
    "reading-day": 0x8104,
    "purchase": 0x8105,
    **{f"settlement-{n + 1}": 0xD120 + n for n in range(12)},
}


@dataclass(frozen=True, slots=True)
class Cj188:
    """A water, heat or gas meter of CJ/T 188 at an address of 14 digits; meter_type is T."""

    address: str
    meter_type: int
    high_first: bool
    quirks: tuple[str, ...] = ()
    travel_s = 60.0
    needs_password = False
    usual = ("current-data",)

    @property
    def title(self) -> str:
        return f"meter {self.address} (cjt188)"

    @property
    def names(self) -> Mapping[str, str]:
        return {name: f"{di:04X}" for name, di in NAMES_CJ188.items()}

    def read(self, name: str) -> Exchange[Any, list[Shown]]:
        di = _identifier(name, self.names, 4)
        if di == cj188_items.ADDRESS:
            frame = cj188_frame.Frame(self.meter_type, self.address, cj188.READ_ADDRESS)
            reply = yield from cj188.exchange(frame, di, high_first=self.high_first, serial=0)
            return [Shown("810A", "address", "地址", reply.address)]
        data = yield from cj188.read(
            self.address, di, meter_type=self.meter_type, high_first=self.high_first, serial=0
        )
        # The codec explains frames, so that quirks mean the same here as in `frame decode`.
        reply_data = di.to_bytes(2, "big") + b"\0" + data
        sent = cj188_frame.encode(
            cj188_frame.Frame(self.meter_type, self.address, 0x81, reply_data)
        )
        explained = cj188_explain.explain(sent, self.quirks)["data"]
        assert isinstance(explained, dict)
        return [
            shown for field, value in explained.items() for shown in _cj188_shown(di, field, value)
        ]

    def supply(self) -> Exchange[Any, Supply | None]:
        data = yield from cj188.read(
            self.address,
            cj188_items.CURRENT,
            meter_type=self.meter_type,
            high_first=self.high_first,
            serial=0,
        )
        if len(data) < 2:
            raise Unexpected(f"current data of {len(data)} bytes")
        valve = cj188_items.ValveStatus.from_bytes(data[-2:]).valve
        return {Valve.OPEN: Supply.ON, Valve.CLOSED: Supply.OFF}.get(valve)

    def command(self, command: Command) -> str:
        match command:
            case Command.OFF:
                return "A017 with 99H, close the valve 关阀"
            case Command.ON:
                return "A017 with 55H, open the valve 开阀"
        raise CannotDo("a valve has no button to allow; use on or off")

    def switch(self, command: Command, credentials: Credentials | None) -> Exchange[Any, None]:
        self.command(command)
        is_off = command is Command.OFF
        yield from cj188.write_valve(
            self.address,
            cj188.ValveCommand.CLOSE if is_off else cj188.ValveCommand.OPEN,
            meter_type=self.meter_type,
            high_first=self.high_first,
            serial=0,
        )

    def clock(self) -> Exchange[Any, datetime]:
        reading = yield from cj188.read_water(
            self.address, meter_type=self.meter_type, high_first=self.high_first, serial=0
        )
        if reading.clock is None:
            raise Unexpected(f"the meter's clock shows no date: {reading.clock_raw.hex()}")
        return reading.clock

    def set_clock(self, at: datetime, credentials: Credentials | None) -> Exchange[Any, None]:
        yield from cj188.write_clock(
            self.address, at, meter_type=self.meter_type, high_first=self.high_first, serial=0
        )

    def decoder(self, request: bytes) -> FrameDecoder[Any]:
        return cj188_frame.Decoder(replies_only=True)


def _cj188_shown(di: int, field: str, value: Any) -> list[Shown]:
    """The rows of one field of `protocols.cj188.explain`."""
    item = f"{di:04X}"
    english, zh = CJ188_FIELDS.get(field, (field, ""))
    match value:
        case {"raw": raw, "valve": valve, "battery_low": low}:
            return [
                Shown(item, english, zh, raw),
                Shown(item, "valve", "阀门", valve),
                Shown(item, "battery", "电池", "low 欠压" if low else "good 正常"),
            ]
        case {"value": text, **rest}:
            number = None if text is None else Decimal(text)
            return [Shown(item, english, zh, number, str(rest.get("unit") or ""))]
        case _ if field.endswith("_raw"):
            return []
        case None:
            return [Shown(item, english, zh, None)]
    return [Shown(item, english, zh, str(value).replace("T", " "))]


# Modbus


@dataclass(frozen=True, slots=True)
class ModbusMeter:
    """A device of Modbus, whatever its line; without a profile only registers by number can be read."""

    unit: int
    profile: Profile | None
    ratio: Ratio
    travel_s = 10.0
    needs_password = False

    @property
    def title(self) -> str:
        model = f", {self.profile.vendor} {self.profile.model}" if self.profile else ""
        return f"unit {self.unit} (modbus-rtu{model})"

    @property
    def names(self) -> Mapping[str, str]:
        if self.profile is None:
            return {}
        return {
            name: f"{register.address:04X}H, {register.unit or register.type.value}"
            for name, register in self.profile.registers.items()
            if register.access != "w"
        }

    @property
    def usual(self) -> tuple[str, ...]:
        return self.profile.energy[:1] if self.profile else ("holding:0",)

    def read(self, name: str) -> Exchange[Any, list[Shown]]:
        kind, *numbers = name.split(":")
        if numbers and kind in ("holding", "input"):
            return (yield from self._plain(kind, numbers))
        if self.profile is None:
            raise CannotDo(
                f"{name!r} needs a register profile: give --profile, or holding:ADDRESS:COUNT"
            )
        if name not in self.names:
            raise CannotDo(f"{self.profile.name} has no register {name!r}; --names lists them")
        values = yield from profiles.read_values(self.unit, self.profile, [name], self.ratio)
        register = self.profile.registers[name]
        return [Shown(f"{register.address:04X}H", name, "", values[name], register.unit)]

    def _plain(self, kind: str, numbers: list[str]) -> Exchange[Any, list[Shown]]:
        try:
            start = register_address(numbers[0])
            count = int(numbers[1]) if len(numbers) > 1 else 1
        except ValueError as error:
            raise CannotDo(str(error)) from None
        ask = modbus.read_holding if kind == "holding" else modbus.read_input
        words = yield from ask(self.unit, address=start, count=count)
        return [
            Shown(f"{start + at:04X}H", f"{kind} register", "寄存器", Decimal(word))
            for at, word in enumerate(words)
        ]

    def supply(self) -> Exchange[Any, Supply | None]:
        if self.profile is None:
            raise CannotDo("the supply of a Modbus meter is known by its profile: give --profile")
        said = yield from profiles.read_supply(self.unit, self.profile)
        return {profiles.Supply.ON: Supply.ON, profiles.Supply.OFF: Supply.OFF, None: None}[said]

    def command(self, command: Command) -> str:
        if command is Command.ALLOW:
            raise CannotDo("a Modbus meter has no close permit; use on or off")
        known = self.profile.switch if self.profile else None
        written = None if known is None else known.off if command is Command.OFF else known.on
        if written is None and self.profile is not None:
            raise CannotDo(f"the profile {self.profile.name} knows no such command")
        if written is None:
            raise CannotDo(
                "for this meter no such command is known: it needs a --profile that has it"
            )
        values = ", ".join(str(value) for value in written.values)
        proof = f"; known from {SURE[written.confidence]}"
        return f"{written.function:02X}H at {written.address:04X}H, values {values}{proof}"

    def switch(self, command: Command, credentials: Credentials | None) -> Exchange[Any, None]:
        self.command(command)
        assert self.profile is not None
        wanted = profiles.Supply.OFF if command is Command.OFF else profiles.Supply.ON
        yield from profiles.switch(self.unit, self.profile, wanted)

    def clock(self) -> Exchange[Any, datetime]:
        raise CannotDo("the clocks of Modbus meters are not known to this tool")

    def set_clock(self, at: datetime, credentials: Credentials | None) -> Exchange[Any, None]:
        raise CannotDo("the clocks of Modbus meters are not known to this tool")

    def decoder(self, request: bytes) -> FrameDecoder[Any]:
        return ReplyDecoder(request, echoes=False)


SURE = {"2+": "two sources or more", "1": "one source", "inferred": "inference alone"}
