"""Water, heat and gas meters of CJ/T 188 as a technician asks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from edge.technician.meters import CannotDo, Command, Credentials, Shown, identifier
from edge.technician.words import CJ188_FIELDS
from prepaid.reading import Supply
from protocols.cj188 import explain as cj188_explain
from protocols.cj188 import frame as cj188_frame
from protocols.cj188 import items as cj188_items
from protocols.cj188 import master as cj188
from protocols.cj188.items import Valve
from protocols.exchange import Exchange, FrameDecoder, Unexpected

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
        di = identifier(name, self.names, 4)
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
