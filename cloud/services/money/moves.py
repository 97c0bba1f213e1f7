"""Move 转账: money from one purse to another, only on the customer's order, which is kept: who asked, and how."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from sqlmodel import Session

from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services.money import purses, refunds, withdrawals
from cloud.services.money.withdrawals import Asked, Kind
from cloud.tables import Purse, Withdrawal
from prepaid.ledger import Book, Reason, Transfer, moving, prepaid
from prepaid.money import ZERO, Money


class NoOrder(CloudError):
    status = 422
    field = "customer"
    sentence = (
        "Write down who has ordered this and how, in up to 200 characters: by phone, in writing, at the counter. "
        "Money goes from one purse to another only when the customer says so."
    )


class SamePurse(CloudError):
    status = 422
    field = "to_purse_id"
    sentence = "Choose another purse for the money to go to."


def move(
    session: Session,
    by: SignedIn,
    purse_id: UUID,
    to_purse_id: UUID,
    *,
    amount: Money,
    customer: str,
    why: str,
    now: datetime,
    is_unread_too: bool = False,
    id: UUID | None = None,
) -> Withdrawal:
    """Asks for money that was paid in, and not gifts, to go to another purse; it arrives once the first gateway has
    booked it (withdrawal_answers.follow_up).

    Raises scopes.NoSuchPurse, NoOrder, SamePurse, purses.BadReason, refunds.NotRefundable or
    withdrawals.TooMuch.
    """
    told = " ".join(customer.split())
    if not 0 < len(told) <= purses.LONGEST_REASON:
        raise NoOrder
    if purse_id == to_purse_id:
        raise SamePurse
    for each in sorted((purse_id, to_purse_id)):
        purses.locked_by(session, by, each)
    purse = purses.locked_by(session, by, purse_id)
    id = id or uuid4()
    if (known := session.get(Withdrawal, id)) is not None:
        return known
    if not ZERO < amount <= (most := purses.refundable_now(session, purse_id)):
        raise refunds.NotRefundable(most=most)
    row = withdrawals.ask(
        session,
        by,
        purse,
        Asked(
            kind=Kind.MOVE,
            amount=amount,
            credit=moving(to_purse_id),
            reason=Reason.MOVE,
            cause=str(id),
            why=why,
            customer=told,
            to_purse_id=to_purse_id,
            is_unread_too=is_unread_too,
        ),
        id=id,
        now=now,
    )
    withdrawals.send(session, purse, row, now=now)
    return row


def booked(session: Session, row: Withdrawal, now: datetime) -> None:
    """It arrives in a transaction that locks both purses: withdrawal_answers.follow_up."""


def arrive(session: Session, row: Withdrawal, *, now: datetime) -> None:
    """What was moved is credited to the other purse. Needs both purses locked, then the row."""
    assert row.to_purse_id is not None
    came = Transfer(
        debit=Book(row.credit),
        credit=prepaid(row.to_purse_id),
        amount=Money(row.amount_fen),
        reason=Reason(row.reason),  # a gift stays a gift
        cause=f"{row.id}:arrived",
        at=now,
    )
    purses.credit(session, session.get_one(Purse, row.to_purse_id), [came], carry_to=None)
    row.done_at = now
    session.add(row)
    session.flush()
