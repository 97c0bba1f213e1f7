"""Where a purse stands: its alarm levels, its overdraft, its emergency credit, and the level at which it cuts."""

from __future__ import annotations

from enum import StrEnum

from prepaid.money import Money
from prepaid.point import Policy


class CreditState(StrEnum):
    """How the credit of a purse stands for one service point."""

    OK = "ok"  # 余额充足
    LOW = "low"  # 余额不足: at the first alarm level or below
    EC_OFFERED = "ec-offered"  # 可申请应急额度: the customer may take it
    EC_SELECTED = "ec-selected"  # 已申请应急额度: taken, not yet needed
    EC_IN_USE = "ec-in-use"  # 应急用电中: supplied by it alone; the next top-up repays it first
    EXHAUSTED = "exhausted"  # 额度用尽


class Warned(StrEnum):
    """Which alarm level a purse has reached."""

    NOT = "not"
    FIRST = "first"  # 一级报警
    FINAL = "final"  # 二级报警: the last word before the cut


def cut_level(policy: Policy, *, is_emergency_taken: bool) -> Money:
    """The balance at which, and below which, there is no credit left.

    It lies under cut_at by the overdraft, and by the emergency credit where that was taken or comes by
    itself. All of it is an ordinary negative balance: what a top-up pays first is what was lent.
    """
    floor, lent = policy.cut_at - policy.overdraft, policy.emergency
    if lent is not None and (is_emergency_taken or lent.is_automatic):
        return floor - lent.amount
    return floor


def credit_state(policy: Policy, available: Money, *, is_emergency_taken: bool) -> CreditState:
    """How the credit stands. What was taken counts until the balance is above the level of the offer again.

    EC_OFFERED below cut_at and overdraft means: cut off, and supplied again as soon as it is taken.
    """
    floor, lent = policy.cut_at - policy.overdraft, policy.emergency
    if available <= (floor if lent is None else floor - lent.amount):
        return CreditState.EXHAUSTED
    if lent is None or available > lent.offered_at:
        return CreditState.LOW if available <= policy.alarm_at else CreditState.OK
    if not is_emergency_taken and not lent.is_automatic:
        return CreditState.EC_OFFERED
    return CreditState.EC_SELECTED if available > floor else CreditState.EC_IN_USE


def levels(policy: Policy, *, is_emergency_taken: bool) -> tuple[Money, ...]:
    """The balances at which something has to be done or said, so that none is passed unread."""
    lent = policy.emergency
    offered = () if lent is None else (lent.offered_at,)
    cut = cut_level(policy, is_emergency_taken=is_emergency_taken)
    return (policy.alarm_at, policy.final_alarm_at, *offered, cut)


def is_repaid(policy: Policy, available: Money) -> bool:
    """Whether emergency credit that was taken is paid back, so that it is offered anew the next time."""
    return policy.emergency is None or available > policy.emergency.offered_at


def warned(policy: Policy, available: Money) -> Warned:
    """The alarm level that a balance has reached."""
    if available <= policy.final_alarm_at:
        return Warned.FINAL
    return Warned.FIRST if available <= policy.alarm_at else Warned.NOT
