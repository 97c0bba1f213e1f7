"""Grants: subsidies and gifts 补助、赠送, which are never paid out; adjustments 补正 either way, by two people."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from sqlmodel import Session

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, ledger, topups
from cloud.services.money import approving, purses, withdrawals
from cloud.services.money.withdrawals import Asked
from cloud.tables import Grant, Withdrawal
from prepaid.ledger import Reason, Transfer, expenses, income, prepaid
from prepaid.money import ZERO, Money

ADJUSTMENTS = "adjustment"


class BadAmount(CloudError):
    status = 422
    field = "amount_fen"
    sentence = "An amount is more than ¥0 and at most ¥{most}."


class Kind(StrEnum):
    SUBSIDY = "subsidy"  # 补助
    GIFT = "gift"  # 赠送
    ADJUSTMENT = "adjustment"  # 补正, in the customer's favour


def give(
    session: Session,
    by: SignedIn,
    purse_id: UUID,
    *,
    kind: Kind,
    amount: Money,
    why: str,
    now: datetime,
    id: UUID | None = None,
) -> Grant:
    """Credits a purse with what nobody paid. With id the same request again gives it once.

    Raises scopes.NoSuchPurse, topups.KeyReused, BadAmount or purses.BadReason.
    """
    told = purses.reason(why)
    if not ZERO < amount <= topups.MOST:
        raise BadAmount(most=topups.MOST.in_yuan().to_integral_value())
    purse = purses.locked_by(session, by, purse_id)
    id = id or uuid4()
    if (known := session.get(Grant, id)) is not None:
        if (known.purse_id, known.amount_fen) != (purse_id, amount.fen):
            raise topups.KeyReused
        return known
    is_adjustment = kind is Kind.ADJUSTMENT
    transfer = Transfer(
        debit=expenses(kind.value),
        credit=prepaid(purse.id),
        amount=amount,
        reason=Reason.ADJUSTMENT if is_adjustment else Reason.SUBSIDY,
        cause=f"{kind.value}:{id}",
        at=now,
    )
    row = Grant(
        id=id,
        organization_id=purse.organization_id,
        created_at=now,
        purse_id=purse.id,
        kind=kind.value,
        amount_fen=amount.fen,
        why=told,
        given_by=by.user_id,
        transfer_id=transfer.id,
    )
    session.add(row)
    session.flush()
    purses.credit(session, purse, [transfer], carry_to=None)
    row.balance_after_fen = ledger.balance(session, purse.id).fen
    said = {"purse": str(purse.id), "amount_fen": amount.fen, "why": told}
    audit.record(session, by, "give", of=kind.value, id=row.id, after=said, now=now)
    return row


def charge_back(
    session: Session,
    by: SignedIn,
    purse_id: UUID,
    *,
    amount: Money,
    why: str,
    now: datetime,
    is_unread_too: bool = False,
    id: UUID | None = None,
) -> Withdrawal:
    """补正 against the customer: taken out of the purse once a second person has approved and the gateway booked it.

    Raises scopes.NoSuchPurse, purses.BadReason or withdrawals.TooMuch.
    """
    purse = purses.locked_by(session, by, purse_id)
    id = id or uuid4()
    if (known := session.get(Withdrawal, id)) is not None:
        return known
    row = withdrawals.ask(
        session,
        by,
        purse,
        Asked(
            kind=withdrawals.Kind.ADJUSTMENT,
            amount=amount,
            credit=income(ADJUSTMENTS),
            reason=Reason.ADJUSTMENT,
            cause=f"{ADJUSTMENTS}:{id}",
            why=why,
            is_unread_too=is_unread_too,
        ),
        id=id,
        now=now,
    )
    approving.propose(session, by, row, now=now)
    return row


def booked(session: Session, row: tables.Withdrawal, now: datetime) -> None:
    """An adjustment is done when it is booked."""
    row.done_at = now
    session.add(row)
