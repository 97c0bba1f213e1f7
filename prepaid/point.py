"""ServicePoint 用能点: what is supplied and metered, by which meter, at which tariff, paid by which purse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from prepaid.money import ZERO, Money


class Restore(StrEnum):
    """How supply comes back when there is credit again."""

    ALLOW_CLOSE = "allow-close"  # 允许合闸: the customer presses the meter's button
    DIRECT = "direct"  # 直接合闸: where the site has consented


@dataclass(frozen=True, slots=True)
class Policy:
    """When supply is cut and how it returns. Supply is cut at a balance of cut_at or less."""

    alarm_at: Money = field(default_factory=lambda: Money.yuan("10"))
    cut_at: Money = ZERO
    restore: Restore = Restore.ALLOW_CLOSE
    is_protected: bool = False  # 保电: never cut


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What is taken as usual for a register 判定阈值, set per model or per site; quantities in the register's unit.

    None of them can make a movement possible that the meter cannot do (max_per_hour). The defaults of
    always_usual, times_usual and usual_over are the ones found in water suppliers' rules for a rollover
    and for an estimate.

    Raises TypeError if a quantity is not a Decimal, ValueError if a threshold is not positive.
    """

    always_usual: Decimal = Decimal(200)  # a movement up to this is usual whatever the history
    times_usual: Decimal = Decimal(2)  # and so is one up to this many times the average
    usual_over: timedelta = timedelta(days=90)  # the average is taken over at most this long
    usual_from: timedelta = timedelta(days=7)  # and says nothing before this long
    stuck_after: timedelta = timedelta(days=3)  # 停走: not before it stood still for this long,
    stuck_steps: Decimal = Decimal(10)  # the average would have moved it by so many steps,
    stuck_times: Decimal = Decimal(2)  # and it never stood still for so long, this many times over
    clock_apart: timedelta = timedelta(minutes=5)  # two clocks further apart than this are told of
    duplicate_within: timedelta = timedelta(days=7)  # 重址: how long another register is remembered

    def __post_init__(self) -> None:
        for name in ("always_usual", "times_usual", "stuck_steps", "stuck_times"):
            _check_positive(name, getattr(self, name))
        for name in (
            "usual_over",
            "usual_from",
            "stuck_after",
            "clock_apart",
            "duplicate_within",
        ):
            if getattr(self, name) <= timedelta(0):
                raise ValueError(f"{name} must be longer than nothing, not {getattr(self, name)}")
        if self.usual_from > self.usual_over / 2:
            raise ValueError(
                f"usual_from ({self.usual_from}) must be at most half of usual_over ({self.usual_over})"
            )


@dataclass(frozen=True, slots=True)
class Meter:
    """A physical device 表计 and where it answers.

    protocol names the driver. digits are the whole digits of the register and step its smallest step;
    max_per_hour is the most that can pass it in an hour, in the register's unit. What the register moved
    times multiplier (倍率: current × voltage transformer ratio) is the quantity used. settings are what
    the driver needs beside the address (password, operator, meter type), as texts. A meter without a
    switch (has_switch) is read and charged, never commanded.

    Raises TypeError if a number is not a Decimal (digits: an int), ValueError if the multiplier is not positive.
    """

    meter_no: str
    protocol: str
    line: str
    address: str
    digits: int
    step: Decimal
    max_per_hour: Decimal
    settings: Mapping[str, str] = field(default_factory=dict)
    has_switch: bool = True
    multiplier: Decimal = Decimal(1)
    thresholds: Thresholds = field(default_factory=Thresholds)

    def __post_init__(self) -> None:
        if type(self.digits) is not int:
            raise TypeError(f"digits must be a whole number, not {self.digits!r}")
        for name in ("step", "max_per_hour", "multiplier"):
            _check_decimal(name, getattr(self, name))
        _check_positive("multiplier", self.multiplier)


def _check_decimal(name: str, number: Decimal) -> None:
    if not isinstance(number, Decimal):
        raise TypeError(f"{name} must be a Decimal, not {number!r}")


def _check_positive(name: str, number: Decimal) -> None:
    _check_decimal(name, number)
    if not number.is_finite() or number <= 0:
        raise ValueError(f"{name} must be more than 0, not {number}")


@dataclass(frozen=True, slots=True)
class ServicePoint:
    """One thing supplied. name is what people call it ("0301 电"); tariff is the code of a tariff."""

    id: UUID
    name: str
    meter: Meter
    tariff: str
    purse: UUID
    policy: Policy
