"""Drivers: what a kind of meter is asked, as exchanges; pure, and they keep nothing between calls.

A driver is a module with the names of `Driver`, entered in DRIVERS under the protocol that a
`Meter` names.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from edge.drivers import cj188, dlt645, dlt645_1997, modbus
from edge.drivers.meter import STRANGER, BadMeter, Known, Measured, Seen
from prepaid.point import Meter, Restore, ServicePoint
from prepaid.reading import Supply
from protocols.exchange import Exchange, FrameDecoder

__all__ = [
    "DRIVERS",
    "STRANGER",
    "BadMeter",
    "Driver",
    "Known",
    "Measured",
    "Seen",
    "wants_bands",
    "why_not_switched",
]


class Driver(Protocol):
    """Every exchange can raise BadMeter before its first request, and any ProtocolError."""

    REPLY_S: float
    """The longest that such a meter takes to begin its answer."""

    TRAVEL_S: float
    """How long the switch may take to arrive where it was sent."""

    def decoder(self, request: bytes) -> FrameDecoder[Any]:
        """A decoder for one attempt at this request, deaf to the line's echo where that is no answer."""
        ...

    def read(
        self, meter: Meter, known: Known = STRANGER, *, with_bands: bool = False
    ) -> Exchange[Any, Seen]:
        """The register, and the supply where the meter can say; with its own bands where it has them."""
        ...

    def measure(self, meter: Meter, known: Known = STRANGER) -> Exchange[Any, Measured]:
        """What the meter measures now, by as few requests as it allows."""
        ...

    def state(self, meter: Meter) -> Exchange[Any, Supply | None]:
        """The supply alone, to see what a command did."""
        ...

    def current(self, meter: Meter) -> Exchange[Any, Decimal | None]:
        """The most that flows through any phase of the switch, in ampere; None where the meter cannot say."""
        ...

    def hides_armed(self, meter: Meter) -> bool:
        """Whether this meter, told that its customer may close the relay, still only says OFF."""
        ...

    def clock(self, meter: Meter) -> Exchange[Any, datetime | None]:
        """The meter's date and time, its own local time without a zone; None where it has none that can be used."""
        ...

    def clock_broadcast(self, at: datetime) -> bytes | None:
        """What sets all clocks of such meters on a line to this local time, unanswered; None if nothing does."""
        ...

    def set_clock(self, meter: Meter, at: datetime) -> Exchange[Any, None] | None:
        """Set this meter's clock to this local time; None where it cannot be done by address."""
        ...

    def buzz(self, meter: Meter, now: datetime, *, is_on: bool) -> Exchange[Any, None] | None:
        """Let the meter warn its customer by its own means, or end that; None where it has none."""
        ...

    def switch(
        self, meter: Meter, supply: Supply, restore: Restore, now: datetime
    ) -> Exchange[Any, None]:
        """Tell the meter to go ON (as restore says) or OFF. Its reply proves nothing: read back."""
        ...


DRIVERS: dict[str, Driver] = {
    "dlt645-2007": dlt645,
    "dlt645-1997": dlt645_1997,
    "cjt188-2004": cj188,
    "modbus": modbus,
}


def why_not_switched(
    point: ServicePoint, supplies: Iterable[Supply], now: datetime
) -> BadMeter | None:
    """Why the switch of a point cannot be told to go so, as it is entered; None where it can. Nothing is sent."""
    driver = DRIVERS[point.meter.protocol]
    for supply in supplies:
        command = driver.switch(point.meter, supply, point.policy.restore, now)
        try:
            next(command)
        except BadMeter as error:
            return error
        finally:
            command.close()
    return None


def wants_bands(point: ServicePoint) -> bool:
    """Whether the meter's own bands are to be read: they are charged by, or its settings name them."""
    return point.trusts_meter_bands or "bands" in point.meter.settings
