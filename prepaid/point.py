"""ServicePoint 用能点: what is supplied and metered, by which meter, at which tariff, paid by which purse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from prepaid.money import ZERO, Money, typed
from prepaid.quiet import Quiet
from prepaid.reading import Supply

KEYS = ("password", "level", "operator")
"""Settings of a Meter that let it be switched 密钥, and do not say which register is read."""

PROTOCOLS = ("dlt645-2007", "dlt645-1997", "cjt188-2004", "modbus")
"""What a Meter's protocol may say: the gateway has a driver of each name."""


class Restore(StrEnum):
    """How supply comes back when there is credit again."""

    ALLOW_CLOSE = "allow-close"  # 允许合闸: the customer presses the meter's button
    DIRECT = "direct"  # 直接合闸: where the site has consented


@dataclass(frozen=True, slots=True)
class EmergencyCredit:
    """应急额度: what is lent to a customer whose money runs out at a bad hour.

    It is offered at a balance of offered_at or less, lets the balance fall by amount below where it would
    be cut, and is repaid by the next top-up before the balance rises above nothing, because it is negative.

    Raises TypeError if an amount is not Money.
    """

    amount: Money
    offered_at: Money
    is_automatic: bool = False  # lent without being asked for

    def __post_init__(self) -> None:
        typed(self.amount, "emergency credit")
        typed(self.offered_at, "the balance at which it is offered")


@dataclass(frozen=True, slots=True)
class Policy:
    """When supply is cut and how it returns; docs/supply.md says what each of these does.

    Supply is cut at a balance of cut_at or less; overdraft and emergency credit lower that.

    Raises ValueError if the levels are out of order, or a limit is less than nothing.
    """

    alarm_at: Money = field(default_factory=lambda: Money.yuan("10"))  # 一级报警
    cut_at: Money = ZERO
    restore: Restore = Restore.ALLOW_CLOSE
    is_protected: bool = False  # 保电: never cut
    final_alarm_at: Money = field(default_factory=lambda: Money.yuan("3"))  # 二级报警
    overdraft: Money = ZERO  # 透支额度
    emergency: EmergencyCredit | None = None
    protected_until: datetime | None = None  # the end of the protection (UTC); None: it has none
    quiet: Quiet | None = None  # 免停时段
    notice: timedelta = timedelta(0)  # no cut sooner after the customer was given the final alarm
    fresh_for: timedelta = timedelta(minutes=5)  # how long a reading is evidence for a cut
    max_cut_current_a: Decimal | None = Decimal(30)  # no cut under more; None: any current
    current_again: timedelta = timedelta(minutes=1)  # a cut put off for the current is tried again
    current_tries: int = 5  # and a person is told after so many tries
    dwell: timedelta = timedelta(seconds=5)  # 动作间隔: between two movements of the switch
    stagger: timedelta = timedelta(seconds=2)  # 错峰送电: between two points after a power return
    ask_after: timedelta | None = None  # off for longer: asked first whether the taps are closed
    leak_per_hour: Decimal | None = None  # water (m3) that flows after the valve was opened: closed

    def __post_init__(self) -> None:
        if not self.cut_at <= self.final_alarm_at <= self.alarm_at:
            raise ValueError(
                f"the levels of a policy must not rise from alarm_at ({self.alarm_at}) over final_alarm_at "
                f"({self.final_alarm_at}) to cut_at ({self.cut_at})"
            )
        if self.overdraft < ZERO:
            raise ValueError(f"overdraft must not be negative: {self.overdraft}")
        lent, floor = self.emergency, self.cut_at - self.overdraft
        if lent is not None and (lent.amount <= ZERO or lent.offered_at < floor):
            raise ValueError(
                f"emergency credit must be more than nothing ({lent.amount}), and offered where the overdraft "
                f"ends ({floor}) or above, not at {lent.offered_at}"
            )
        for name in ("notice", "fresh_for", "current_again", "dwell", "stagger", "ask_after"):
            length: timedelta | None = getattr(self, name)
            if length is not None and length < timedelta(0):
                raise ValueError(f"{name} must not be negative: {length}")
        if self.current_tries < 0:
            raise ValueError(f"current_tries must not be negative: {self.current_tries}")
        if self.protected_until is not None and self.protected_until.tzinfo is None:
            raise ValueError(f"protected_until needs a time zone: {self.protected_until}")
        if self.max_cut_current_a is not None:
            _check_positive("max_cut_current_a", self.max_cut_current_a)
        if self.leak_per_hour is not None:
            _check_positive("leak_per_hour", self.leak_per_hour)


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

    @property
    def place(self) -> tuple[str, ...]:
        """Where and as what it is read 读表位置: of two meters with one place the same register is read."""
        others = sorted(f"{k}={v}" for k, v in self.settings.items() if k not in KEYS)
        return (self.protocol, self.line, self.address, *others)


def _check_decimal(name: str, number: Decimal) -> None:
    if not isinstance(number, Decimal):
        raise TypeError(f"{name} must be a Decimal, not {number!r}")


def _check_positive(name: str, number: Decimal) -> None:
    _check_decimal(name, number)
    if not number.is_finite() or number <= 0:
        raise ValueError(f"{name} must be more than 0, not {number}")


@dataclass(frozen=True, slots=True)
class Opening:
    """底度: what the register showed when the payer changed, as a person read it off, and when that was (UTC).

    Raises TypeError if total is not a Decimal, ValueError if it is negative or at has no time zone.
    """

    total: Decimal
    at: datetime

    def __post_init__(self) -> None:
        _check_decimal("an opening reading", self.total)
        if not self.total.is_finite() or self.total < 0:
            raise ValueError(f"an opening reading must be 0 or more, not {self.total}")
        if self.at.tzinfo is None:
            raise ValueError(f"the time of an opening reading needs a time zone: {self.at}")


@dataclass(frozen=True, slots=True)
class ServicePoint:
    """One thing supplied. name is what people call it ("0301 电"); tariff is the code of a tariff.

    purse is None while nobody pays (空置): then what is used is measured and charged to nobody, and the supply
    is kept as while_vacant says, ON or OFF. opening says at which register the present payer's use begins,
    where a person has read it (None: at the first reading that the gateway takes for this payer).

    persons live behind the meter 户籍人口 (None: nobody has said how many) in households 合表户数; both
    may widen the tariff's tiers. With trusts_meter_bands the meter's own time-of-use registers say what was
    used in which band, where they were read and agree with the total.
    """

    id: UUID
    name: str
    meter: Meter
    tariff: str
    purse: UUID | None
    policy: Policy
    persons: int | None = None
    households: int = 1
    trusts_meter_bands: bool = False
    opening: Opening | None = None
    while_vacant: Supply = Supply.OFF

    def __post_init__(self) -> None:
        if self.while_vacant is Supply.ARMED:
            raise ValueError("a vacant point is kept ON or OFF; how supply returns is the policy's")
