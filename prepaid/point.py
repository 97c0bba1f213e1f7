"""ServicePoint 用能点: what is supplied and metered, by which meter, at which tariff, paid by which purse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
class Meter:
    """A physical device 表计 and where it answers.

    protocol names the driver. digits are the whole digits of the register and step its smallest step;
    max_per_hour is the most that can pass it in an hour, in the register's unit. settings are what the
    driver needs beside the address (password, operator, meter type), as texts. A meter without a switch
    (has_switch) is read and charged, never commanded.
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


@dataclass(frozen=True, slots=True)
class ServicePoint:
    """One thing supplied. name is what people call it ("0301 电"); tariff is the code of a tariff."""

    id: UUID
    name: str
    meter: Meter
    tariff: str
    purse: UUID
    policy: Policy
