"""Allocation 充值分配: what becomes of a top-up, line by line, as the receipt shows it.

In this order: the part of it that repays a debt, if there is a written agreement; then what the purse is below
zero, emergency credit first of all; the rest is balance. Nothing else is ever taken from a top-up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from prepaid.ledger import (
    Reason,
    Transfer,
    credit_balance,
    purse_of,
    receivable,
    remainders,
)
from prepaid.money import ZERO, Money
from prepaid.purse import PAYS_FOR, Purpose
from prepaid.quantity import exact, times, total

WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Agreement:
    """还款协议: that part of each top-up repays a debt of the account, and how much at most.

    debt says what the money is owed for, amount how much of it the agreement covers. part is of each top-up,
    0.30 for 30 %; week_cap is the most in any seven days. Only top-ups from since (inclusive) to until
    (exclusive) repay, and only of a purse for what is owed: a property debt is never taken from an electricity
    top-up, unless also_from says so.

    Raises TypeError or ValueError if part is no exact decimal above 0 and at most 1, amount or week_cap is not
    positive, number is empty, or a time has no zone.
    """

    number: str
    account: UUID
    debt: Purpose
    amount: Money
    part: Decimal
    week_cap: Money
    also_from: frozenset[Purpose]
    since: datetime
    until: datetime | None

    def __post_init__(self) -> None:
        if not self.number:
            raise ValueError("an agreement has a number")
        if not 0 < exact(self.part, "the part of a top-up") <= 1:
            raise ValueError(f"the part of a top-up is above 0 and at most 1, not {self.part}")
        if self.amount <= ZERO or self.week_cap <= ZERO:
            raise ValueError("a debt and what is repaid of it in a week are more than nothing")
        if self.since.tzinfo is None or (self.until is not None and self.until.tzinfo is None):
            raise ValueError("the times of an agreement have a time zone")

    def takes_from(self, purpose: Purpose, at: datetime) -> bool:
        """Whether a top-up of a purse for this purpose repays it at this time."""
        is_in_force = self.since <= at and (self.until is None or at < self.until)
        return is_in_force and (_is_owed_for(self.debt, purpose) or purpose in self.also_from)


def _is_owed_for(debt: Purpose, purpose: Purpose) -> bool:
    """A utility purse also pays what is owed for electricity or water."""
    return debt is purpose or frozenset() < PAYS_FOR[debt] <= PAYS_FOR[purpose]


class Kind(StrEnum):
    """What a part of a top-up was for."""

    DEBT = "debt"  # 还欠
    EMERGENCY = (
        "emergency"  # 补足透支: emergency credit or overdraft repaid, the balance being below zero
    )
    BALANCE = "balance"  # 入余额


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the receipt. left is what is still owed after it: of the agreement, or below zero.

    For the balance, left is the balance itself. agreement is its number, of a debt only.
    """

    kind: Kind
    amount: Money
    left: Money
    agreement: str | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """A top-up taken apart. The amounts of the lines add up to it; the last line is the balance.

    transfers are to be posted together: the top-up itself, whole, and what it repays. carried is, by
    agreement, the part of a fen that was due and is taken with the next top-up.
    """

    lines: tuple[Line, ...]
    transfers: tuple[Transfer, ...]
    carried: Mapping[str, Decimal]


def allocate(
    topup: Transfer,
    *,
    purpose: Purpose,
    booked: Iterable[Transfer],
    agreements: Iterable[Agreement],
    carried: Mapping[str, Decimal],
) -> Allocation:
    """What a top-up of a purse for this purpose repays, and what it adds to the balance.

    booked are all transfers of the purse and of the accounts of the agreements so far, carried is that of
    the allocation before. Agreements are served in order of their numbers.

    Raises ValueError if this is no top-up of a purse, it is booked already, two agreements have one number,
    or carried is not less than a fen; TypeError if it is no decimal.
    """
    if topup.reason is not Reason.TOP_UP or purse_of(topup.credit) is None:
        raise ValueError(f"a {topup.reason} to {topup.credit} is no top-up of a purse")
    still = remainders(booked)
    if topup.id in {transfer.id for transfer in still if transfer.reason is Reason.TOP_UP}:
        raise ValueError(f"top-up {topup.cause} is booked already, and so is what it repaid")
    served = sorted(agreements, key=lambda agreement: agreement.number)
    if len({agreement.number for agreement in served}) < len(served):
        raise ValueError("two agreements have one number")

    rest = topup.amount
    lines: list[Line] = []
    made: list[Transfer] = [topup]
    carry = {number: _part_of_a_fen(due, number) for number, due in carried.items()}
    for agreement in served:
        if not agreement.takes_from(purpose, topup.at):
            continue
        owed = _owed(agreement, still, made)
        if owed == ZERO:
            carry.pop(agreement.number, None)
            continue
        due = total(
            (
                times(agreement.part, Decimal(topup.amount.fen)),
                carry.pop(agreement.number, Decimal(0)),
            )
        )
        most = max(ZERO, min(owed, _left_of_the_week(agreement, still, topup.at), rest))
        taken = min(Money(int(due)), most)
        if taken.fen == int(due) and due != int(due):
            carry[agreement.number] = total((due, -Decimal(int(due))))
        if taken == ZERO:
            continue
        rest -= taken
        lines.append(Line(Kind.DEBT, taken, owed - taken, agreement.number))
        made.append(
            Transfer(
                debit=topup.credit,
                credit=receivable(agreement.account),
                amount=taken,
                reason=Reason.REPAYMENT,
                cause=f"{agreement.number}:{topup.id}",
                at=topup.at,
            )
        )
    lacking = max(ZERO, -credit_balance(topup.credit, still))
    repaid = min(rest, lacking)
    if repaid > ZERO:
        lines.append(Line(Kind.EMERGENCY, repaid, lacking - repaid))
    lines.append(Line(Kind.BALANCE, rest - repaid, credit_balance(topup.credit, (*still, *made))))
    assert sum(line.amount.fen for line in lines) == topup.amount.fen
    return Allocation(tuple(lines), tuple(made), carry)


def repaid(agreement: Agreement, booked: Iterable[Transfer]) -> Money:
    """What was repaid under an agreement so far, corrections taken off."""
    return _sum(
        left for transfer, left in remainders(booked).items() if _repays(transfer, agreement)
    )


def _repays(transfer: Transfer, agreement: Agreement) -> bool:
    number, _, _ = transfer.cause.rpartition(":")
    return transfer.reason is Reason.REPAYMENT and number == agreement.number


def _sum(amounts: Iterable[Money]) -> Money:
    return sum(amounts, start=ZERO)


def _owed(agreement: Agreement, still: Mapping[Transfer, Money], made: Sequence[Transfer]) -> Money:
    """What the agreement still covers, but no more than the account still owes."""
    done = _sum(left for transfer, left in still.items() if _repays(transfer, agreement))
    owes = -credit_balance(receivable(agreement.account), (*still, *made))
    return max(ZERO, min(agreement.amount - done, owes))


def _left_of_the_week(agreement: Agreement, still: Mapping[Transfer, Money], at: datetime) -> Money:
    # Payments may be told late and out of order: what is booked up to a week later counts too, so that no
    # seven days ever take more than the cap.
    return agreement.week_cap - _sum(
        left
        for transfer, left in still.items()
        if _repays(transfer, agreement) and abs(transfer.at - at) < WEEK
    )


def _part_of_a_fen(due: Decimal, number: str) -> Decimal:
    if not 0 <= exact(due, f"what is carried of {number}") < 1:
        raise ValueError(f"what is carried of {number} is less than a fen, and not negative: {due}")
    return due
