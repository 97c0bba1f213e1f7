"""What a meter says: its register 示数 and its supply, and how far one register is ahead of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from prepaid.quantity import typed


class Supply(StrEnum):
    """What flows to the customer."""

    ON = "on"  # 通: relay closed, valve open
    OFF = "off"  # 断: relay open, valve closed
    ARMED = "armed"  # 允许合闸: still off; the customer may close the relay with the meter's button


class Implausible(Exception):
    """A reading that cannot be true. Keep it, charge nothing, hold the service point for an operator."""


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


def advance(
    before: Reading,
    after: Reading,
    *,
    digits: int,
    step: Decimal,
    max_per_hour: Decimal,
    elapsed: timedelta,
) -> Decimal:
    """The quantity that passed the meter between two readings, in the register's unit; never negative.

    digits is the number of whole digits of the register (it rolls over 翻转 at 10**digits), step its
    smallest step, max_per_hour the most that can pass the meter in an hour. elapsed is the time between
    the readings as the caller knows it: the readings' own times are a wall clock's, which may jump.

    Raises Implausible if the register went back without room for a rollover, or faster than the meter
    can run.
    """
    if after.meter_no != before.meter_no:
        raise Implausible(f"meter {after.meter_no} answered in place of {before.meter_no}")
    elapsed_s = Decimal(str(elapsed.total_seconds()))
    most = max_per_hour * elapsed_s / 3600 + 2 * step  # each end may be off by one step
    moved = after.total - before.total
    if moved < 0:
        rolled = moved + Decimal(10) ** digits
        if rolled > most:
            raise Implausible(f"register went back from {before.total} to {after.total}")
        return rolled
    if moved > most:
        raise Implausible(
            f"register moved {moved} in {elapsed_s} s; at most {most.quantize(step)} can pass this meter"
        )
    return moved
