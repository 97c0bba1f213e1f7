"""Modbus meters, by a register profile or by plain registers, as a technician asks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from edge.technician.meters import CannotDo, Command, Credentials, Shown
from edge.technician.modbus_frames import register_address
from prepaid.reading import Supply
from protocols.exchange import Exchange, FrameDecoder
from protocols.modbus import master as modbus
from protocols.modbus import profile as profiles
from protocols.modbus.frame import ReplyDecoder
from protocols.modbus.profile import Profile, Ratio


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
