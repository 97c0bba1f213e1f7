"""Electricity meters of DL/T 645, of 2007 and of 1997, as a technician asks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge.technician.meters import SUPPLIES, CannotDo, Command, Credentials, Shown, identifier
from prepaid.reading import Supply
from protocols import bcd
from protocols.dlt645 import frame as dlt645_frame
from protocols.dlt645 import items, items97, master97, status
from protocols.dlt645 import master as dlt645
from protocols.dlt645.items import Value
from protocols.dlt645.master import RelayCommand
from protocols.dlt645.names import chinese
from protocols.exchange import Exchange, FrameDecoder, Unexpected

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
        di = identifier(name, self.names, 8)
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


def _supply(state: dlt645.RelayState) -> Supply:
    if not state.contact_open:
        return Supply.ON
    return Supply.OFF if state.command_open else Supply.ARMED


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
        di = identifier(name, self.names, 4)
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
