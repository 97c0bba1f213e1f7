"""What a meter says: its register 示数 and its supply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from prepaid.quantity import typed
from prepaid.record import record


class Supply(StrEnum):
    """What flows to the customer."""

    ON = "on"  # 通: relay closed, valve open
    OFF = "off"  # 断: relay open, valve closed
    ARMED = "armed"  # 允许合闸: still off; the customer may close the relay with the meter's button


@record
@dataclass(frozen=True, slots=True)
class Reading:
    """A register as read: total in the service point's unit (kWh, m3), at an instant of the gateway's clock (UTC).

    supply is None where the meter cannot say. bands are its own time-of-use registers 分时示数 by band, in
    the same unit, where it keeps them and they were read.

    Raises TypeError if a register is no Decimal.
    """

    meter_no: str
    at: datetime
    total: Decimal
    supply: Supply | None
    bands: Mapping[str, Decimal] | None = None

    def __post_init__(self) -> None:
        typed(self.total, "a register")
        if self.bands is not None:
            for band, total in self.bands.items():
                typed(total, f"the register of {band}")
