"""Reversal 冲正: a top-up taken at the counter is taken back, whole, by a mirror of its transfer.

A cashier does so alone on the same day and in his own open shift; else a second person approves. What went through a
payment channel is refunded, not reversed. If part of it is spent already the gateway refuses.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from sqlmodel import Session

from cloud import said, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import crediting, ledger, scopes, topups
from cloud.services.ledger import BOOKS_ZONE
from cloud.services.money import approving, purses, refunds, shifts, withdrawals
from cloud.services.money.withdrawals import Asked, Kind
from cloud.tables import TopUp, Withdrawal
from prepaid.ledger import Reason, Transfer, clearing, income, prepaid
from prepaid.money import Money


class NotReversible(CloudError):
    status = 409
    sentence = "This was paid through {channel}, so it is refunded there, not reversed."


class PartlyGone(CloudError):
    status = 409
    sentence = "Of this top-up something is reversed or refunded already; refund the rest."


def reverse(
    session: Session,
    by: SignedIn,
    topup_id: UUID,
    *,
    why: str,
    now: datetime,
    is_unread_too: bool = False,
    id: UUID | None = None,
) -> Withdrawal:
    """Takes a top-up back. With id the same request again gives the same reversal.

    Raises scopes.NoSuchTopUp, NotReversible, PartlyGone, purses.BadReason or withdrawals.TooMuch.
    """
    topup = scopes.check_topup(session, by, topup_id)
    if topup.credited_at is None:
        raise scopes.NoSuchTopUp
    if topup.channel not in topups.COUNTER:
        raise NotReversible(channel=said.way(topup.channel))
    purse = purses.locked_by(session, by, topup.purse_id)
    id = id or uuid4()
    if (known := session.get(Withdrawal, id)) is not None:
        return known
    amount = crediting.credited(topup)
    if refunds.left_of(session, topup) != amount:
        raise PartlyGone
    row = withdrawals.ask(
        session,
        by,
        purse,
        Asked(
            kind=Kind.REVERSAL,
            amount=amount,
            credit=clearing(topup.channel),
            reason=Reason.CORRECTION,
            cause=f"{original_of(topup).id}:{id}",
            why=why,
            fee=Money(topup.fee_fen),
            topup_id=topup.id,
            is_unread_too=is_unread_too,
        ),
        id=id,
        now=now,
    )
    if needs_second(session, by, topup, now=now):
        approving.propose(session, by, row, now=now)
    else:
        withdrawals.send(session, purse, row, now=now)
    return row


def needs_second(session: Session, by: SignedIn, topup: TopUp, *, now: datetime) -> bool:
    """Whether taking this top-up back needs a second person: it is not of by's open shift, or not of today."""
    shift = shifts.has_open(session, by)
    assert topup.paid_at is not None
    days = {at.astimezone(BOOKS_ZONE).date() for at in (topup.paid_at, now)}
    is_own = shift is not None and topup.shift_id == shift.id
    return not is_own or len(days) > 1


def original_of(topup: TopUp) -> Transfer:
    """The transfer by which a top-up was credited."""
    assert topup.paid_at is not None
    return Transfer(
        debit=clearing(topup.channel),
        credit=prepaid(topup.purse_id),
        amount=crediting.credited(topup),
        reason=Reason.TOP_UP,
        cause=crediting.cause_of(topup.channel, topup.transaction_id),
        at=topup.paid_at,
    )


def booked(session: Session, row: Withdrawal, now: datetime) -> None:
    """The service fee goes back with it. The reversal is done: what was taken is no longer owed.

    It comes out of the drawer that took it, or, where that was handed over meanwhile, of who asked for it."""
    topup = session.get_one(tables.TopUp, row.topup_id)
    row.shift_id = shifts.drawer(session, shift_id=topup.shift_id, user_id=row.asked_by)
    if row.fee_fen:
        fee = Transfer(
            debit=income(crediting.SERVICE_FEE),
            credit=clearing(topup.channel),
            amount=Money(row.fee_fen),
            reason=Reason.REFUND,
            cause=f"{row.id}:fee",
            at=now,
        )
        ledger.post(session, row.organization_id, [fee], carry_to=now)
    row.done_at = now
    session.add(row)
