"""What supply should this service point have now, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from prepaid.money import Money
from prepaid.point import Policy, Restore
from prepaid.reading import Supply


class Why(StrEnum):
    """The rule that decided."""

    CREDIT = "credit"  # 余额充足
    NO_CREDIT = "no-credit"  # 欠费
    PROTECTED = "protected"  # 保电
    HELD = "held"  # 读数存疑: left as it is until an operator has looked


@dataclass(frozen=True, slots=True)
class Desired:
    """supply is None where nothing may be changed."""

    supply: Supply | None
    why: Why


def desired(policy: Policy, available: Money, *, is_held: bool) -> Desired:
    """The supply a service point should have, given what its purse holds after all charges.

    A held point (an implausible reading) is left alone: never cut on evidence in doubt.
    """
    if is_held:
        return Desired(None, Why.HELD)
    if policy.is_protected:
        return Desired(Supply.ON, Why.PROTECTED)
    if available <= policy.cut_at:
        return Desired(Supply.OFF, Why.NO_CREDIT)
    return Desired(Supply.ON, Why.CREDIT)


def is_satisfied(want: Desired, seen: Supply | None, restore: Restore, *, has_switch: bool) -> bool:
    """Whether the supply seen is the one wanted, so that nothing is left to be done by us.

    Where the customer closes the relay, ARMED is as far as we go. A supply that cannot be seen (None) is
    not the one wanted, unless the meter has no switch to be seen.
    """
    if want.supply is None or not has_switch:
        return True
    if want.supply is Supply.ON and restore is Restore.ALLOW_CLOSE:
        return seen in (Supply.ON, Supply.ARMED)
    return seen is want.supply
