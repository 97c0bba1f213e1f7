"""What a second person decides of the office's money, and what is done then."""

from __future__ import annotations

from datetime import date, datetime

from sqlmodel import Session

from cloud import tables
from cloud.auth import SignedIn
from cloud.services import approvals
from cloud.services.approvals import Approval
from cloud.services.money import periods, purses, withdrawals
from cloud.tables import PeriodClosing, Withdrawal
from prepaid.money import Money

WITHDRAWAL = "withdrawal"  # a refund above the limit, a reversal of another's shift, an adjustment
REOPENING = "reopen-month"


def propose(session: Session, by: SignedIn, row: Withdrawal, *, now: datetime) -> Approval:
    """Asks for a second person's decision on a withdrawal; sent when he approves, cancelled when he refuses."""
    return approvals.propose(
        session,
        by,
        WITHDRAWAL,
        subject=row.id,
        detail={
            "kind": row.kind,
            "amount_fen": row.amount_fen,
            "amount": str(Money(row.amount_fen)),
            "holder": _holder(session, row),
        },
        why=row.why,
        now=now,
    )


def send(session: Session, approval: Approval, by: SignedIn, now: datetime) -> None:
    """The executor of WITHDRAWAL. Raises withdrawals.NoSuchWithdrawal, or IsAnswered if it was cancelled."""
    known = session.get(Withdrawal, approval.subject)
    if known is None or known.organization_id != by.organization_id:
        raise withdrawals.NoSuchWithdrawal
    purse = purses.locked(session, by.organization_id, known.purse_id)
    row = withdrawals.locked(session, by.organization_id, known.id)
    if row.cancelled_at is not None:
        raise withdrawals.IsCancelled
    withdrawals.send(session, purse, row, now=now)


def release(session: Session, approval: Approval, by: SignedIn, now: datetime) -> None:
    """Of WITHDRAWAL when it is refused or withdrawn: the money is no longer held."""
    known = session.get(Withdrawal, approval.subject)
    if known is not None and known.organization_id == by.organization_id:
        withdrawals.release(
            session, withdrawals.locked(session, by.organization_id, known.id), now=now
        )


def ask_to_reopen(
    session: Session, by: SignedIn, month: date, *, why: str, now: datetime
) -> Approval:
    """Asks for a second person's decision to open a closed month again. Raises periods.NotClosed or BadReason."""
    closing = periods.standing(session, by.organization_id, month)
    return approvals.propose(
        session,
        by,
        REOPENING,
        subject=closing.id,
        detail={"month": f"{month:%Y-%m}"},
        why=why,
        now=now,
    )


def reopen(session: Session, approval: Approval, by: SignedIn, now: datetime) -> None:
    """The executor of REOPENING. Raises periods.NotClosed."""
    closing = session.get_one(PeriodClosing, approval.subject)
    periods.reopen(
        session, by, closing.month, asked_by=approval.proposed_by, why=approval.why, now=now
    )


def _holder(session: Session, row: Withdrawal) -> str:
    purse = session.get_one(tables.Purse, row.purse_id)
    return session.get_one(tables.Account, purse.account_id).holder
