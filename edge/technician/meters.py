"""A meter as a technician asks it: what it shows, its supply and its clock, the same for every protocol.

All is exchanges; waiting and asking again is the bus's. A meter refuses what it does not have by
`CannotDo`, before the first request. Who answers is in dlt645_meters, cj188_meters and modbus_meters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from prepaid.reading import Supply
from protocols.exchange import Exchange, FrameDecoder


class CannotDo(Exception):
    """This kind of meter has no such thing, or we do not know the name. The sentence says which."""


class Command(StrEnum):
    """What the supply is told; `ALLOW` lets the customer close it by the meter's button."""

    OFF = "off"
    ALLOW = "allow"
    ON = "on"


SUPPLIES = {
    Supply.ON: "on 通",
    Supply.OFF: "off 断",
    Supply.ARMED: "off, may be closed by the button 合闸允许",
    None: "unknown 不明",
}


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


def identifier(name: str, names: Mapping[str, str], digits: int) -> int:
    """The identifier that a name or hexadecimal digits stand for. Raises CannotDo."""
    text = names.get(name.lower(), name)
    if len(text) != digits or set(text.upper()) - set("0123456789ABCDEF"):
        raise CannotDo(
            f"{name!r} is neither a name that is known (--names lists them) nor an identifier of "
            f"{digits} hexadecimal digits"
        )
    return int(text, 16)
