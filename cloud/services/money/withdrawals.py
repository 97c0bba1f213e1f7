"""Withdrawal 支取: money leaves a purse only when its gateway has booked it, so that nobody spends it twice.

asked (by a person) → approved, if a second person must → sent to the gateway → booked, or refused for good with
what is left. A purse without a gateway is booked here at once. What belongs to a kind (refunds, reversals …) is in
modules of its own; they ask here, and are told here when it is booked. What gateways answer is in withdrawal_answers.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select, true
from sqlmodel import Session, col

from cloud import events, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, downlog, ledger, paging, scopes
from cloud.services.money import purses
from cloud.tables import Purse
from prepaid.ledger import Book, Reason, Transfer, prepaid
from prepaid.money import ZERO, Money
from prepaid.wire.downlog import Debited, Withdraw
from prepaid.wire.uplog import Refusal

log = logging.getLogger(__name__)


class NoSuchWithdrawal(CloudError):
    status = 404
    sentence = "There is no such refund or correction."


class TooMuch(CloudError):
    status = 409
    field = "amount_fen"
    sentence = "At most ¥{most} can be taken out of this purse now."


class IsAnswered(CloudError):
    status = 409
    sentence = "The gateway has already answered, so this can no longer be cancelled."


class IsCancelled(CloudError):
    status = 409
    sentence = "This was cancelled by whoever asked for it."


class Kind(StrEnum):
    REFUND = "refund"  # 退费
    REVERSAL = "reversal"  # 冲正: of a top-up
    ADJUSTMENT = "adjustment"  # 补正, against the customer
    MOVE = "move"  # 转账: to another purse


class State(StrEnum):
    """Where a withdrawal is, for people: the last of its dates."""

    WAITS = "waits"  # 待审批
    SENT = "sent"  # 待网关确认
    BOOKED = "booked"  # 网关已扣, to be paid out
    DONE = "done"  # 已完成
    REFUSED = "refused"  # 网关拒绝
    CANCELLED = "cancelled"  # 已取消
    UNDONE = "undone"  # 已退回钱包


@dataclass(frozen=True, slots=True)
class Asked:
    """What a withdrawal is to be. transfer is whole but for its time."""

    kind: Kind
    amount: Money
    credit: Book
    reason: Reason
    cause: str
    why: str
    fee: Money = ZERO
    customer: str | None = None
    how: str | None = None
    topup_id: UUID | None = None
    to_purse_id: UUID | None = None
    is_unread_too: bool = False


def state(row: tables.Withdrawal) -> State:
    if row.undone_at is not None:
        return State.UNDONE
    if row.done_at is not None:
        return State.DONE
    if row.cancelled_at is not None:
        return State.CANCELLED
    if row.refused_at is not None:
        return State.REFUSED
    if row.booked_at is not None:
        return State.BOOKED
    return State.SENT if row.sent_at is not None else State.WAITS


def ask(
    session: Session, by: SignedIn, purse: Purse, asked: Asked, *, id: UUID, now: datetime
) -> tables.Withdrawal:
    """Holds the amount of a locked purse. It is not sent yet: see send. Raises TooMuch or purses.BadReason."""
    if not ZERO < asked.amount <= (most := purses.available(session, purse.id)):
        raise TooMuch(most=most)
    transfer = Transfer(
        prepaid(purse.id), asked.credit, asked.amount, asked.reason, asked.cause, now
    )
    row = tables.Withdrawal(
        id=id,
        organization_id=purse.organization_id,
        created_at=now,
        kind=asked.kind.value,
        purse_id=purse.id,
        amount_fen=asked.amount.fen,
        fee_fen=asked.fee.fen,
        why=purses.reason(asked.why),
        customer=asked.customer,
        asked_by=by.user_id,
        how=asked.how,
        topup_id=asked.topup_id,
        to_purse_id=asked.to_purse_id,
        is_unread_too=asked.is_unread_too,
        transfer_id=transfer.id,
        credit=asked.credit,
        reason=asked.reason.value,
        cause=asked.cause,
    )
    session.add(row)
    session.flush()
    said = {
        "purse": str(row.purse_id),
        "amount_fen": row.amount_fen,
        "fee_fen": row.fee_fen,
        "how": row.how,
        "why": row.why,
        "customer": row.customer,
        "is_unread_too": row.is_unread_too,
    }
    audit.record(session, by, "ask", of=row.kind, id=row.id, after=said, now=now)
    changed(session, row)
    return row


def send(session: Session, purse: Purse, row: tables.Withdrawal, *, now: datetime) -> None:
    """Asks the gateway of a locked purse for it, or books it where there is none, or none that comes back: that is
    told what was booked, if it does come back. Again changes nothing."""
    if row.sent_at is not None or row.cancelled_at is not None:
        return
    gateways = downlog.lock(session, [purse.gateway_id] if purse.gateway_id else [])
    is_asked = bool(gateways) and purse.given_up_at is None
    purse.debits += 1
    row.sent_at, row.number = now, purse.debits
    session.add_all([purse, row])
    session.flush()
    left = ledger.balance(session, purse.id)
    if is_asked:
        for gateway in gateways:
            row.gateway_id = gateway.id
            row.down_seq = downlog.append(session, gateway, [message(row)])
    elif left.fen < row.amount_fen:
        refuse(session, row, Refusal.SHORT, left, now=now)
    else:
        book(session, row, now=now)
        for gateway in gateways:
            downlog.append(session, gateway, [Debited(None, transfer_of(row))])
    session.flush()
    changed(session, row)


def message(row: tables.Withdrawal) -> Withdraw:
    assert row.number is not None
    return Withdraw(transfer_of(row), row.number, row.is_unread_too)


def transfer_of(row: tables.Withdrawal) -> Transfer:
    """The transfer of one that was sent."""
    assert row.sent_at is not None
    return Transfer(
        debit=prepaid(row.purse_id),
        credit=Book(row.credit),
        amount=Money(row.amount_fen),
        reason=Reason(row.reason),
        cause=row.cause,
        at=row.sent_at,
    )


def refuse(
    session: Session, row: tables.Withdrawal, refusal: Refusal, left: Money, *, now: datetime
) -> None:
    row.refused_at, row.refusal, row.left_fen = now, refusal.value, left.fen
    session.add(row)
    log.info("withdrawal %s of ¥%s is refused: %s", row.id, Money(row.amount_fen), refusal)


def book(session: Session, row: tables.Withdrawal, *, now: datetime) -> None:
    ledger.post(session, row.organization_id, [transfer_of(row)], carry_to=now)
    row.booked_at = now
    row.balance_after_fen = ledger.balance(session, row.purse_id).fen
    session.add(row)
    session.flush()
    if row.cancelled_at is None:
        from cloud.services.money.booked import BOOKED  # what each kind does asks here itself

        BOOKED[Kind(row.kind)](session, row, now)


def cancel(session: Session, by: SignedIn, id: UUID, *, now: datetime) -> tables.Withdrawal:
    """Gives up what is neither booked nor refused. If the gateway books it all the same, it goes back by itself.

    Raises NoSuchWithdrawal or IsAnswered.
    """
    row = locked(session, by.organization_id, id)
    scopes.check_purse(session, by, row.purse_id)
    if row.booked_at is not None or row.refused_at is not None:
        raise IsAnswered
    if row.cancelled_at is None:
        row.cancelled_at = now
        session.add(row)
        session.flush()
        audit.record(session, by, "cancel", of=row.kind, id=row.id, now=now)
    changed(session, row)
    return row


def release(session: Session, row: tables.Withdrawal, *, now: datetime) -> None:
    """A locked one that nobody may send any more no longer holds anything; what is sent stays as it is."""
    if row.sent_at is None and row.cancelled_at is None:
        row.cancelled_at = now
        session.add(row)
        session.flush()
        changed(session, row)


def undo(session: Session, row: tables.Withdrawal, *, now: datetime) -> None:
    """Gives back to a purse what was taken out and is not to be paid. Needs the purse locked, then the row."""
    if row.booked_at is None or row.undone_at is not None:
        return
    purse = session.get_one(Purse, row.purse_id)
    back = Transfer(
        debit=Book(row.credit),
        credit=prepaid(row.purse_id),
        amount=Money(row.amount_fen),
        reason=Reason.CORRECTION,
        cause=f"{row.transfer_id}:undone",
        at=now,
    )
    purses.credit(session, purse, [back], carry_to=None)
    row.undone_at = now
    session.add(row)
    session.flush()
    changed(session, row)


def listed(
    session: Session, by: SignedIn, *, kind: Kind | None, most: int, after: UUID | None = None
) -> list[tables.Withdrawal]:
    """Those of purses that by sees, the newest first. after: only what follows this one."""
    row = tables.Withdrawal
    found = session.execute(
        select(row)
        .where(
            col(row.organization_id) == by.organization_id,
            col(row.purse_id).in_(select(col(Purse.id)).where(scopes.purses_of(by))),
            true() if kind is None else col(row.kind) == kind.value,
            paging.follows(row, after),
        )
        .order_by(col(row.created_at).desc(), col(row.id).desc())
        .limit(most)
    ).scalars()
    return list(found)


def seen(session: Session, by: SignedIn, id: UUID) -> tables.Withdrawal:
    """One of a purse that by sees. Raises NoSuchWithdrawal."""
    row = session.get(tables.Withdrawal, id)
    if row is None or row.organization_id != by.organization_id:
        raise NoSuchWithdrawal
    try:
        scopes.check_purse(session, by, row.purse_id)
    except scopes.NoSuchPurse:
        raise NoSuchWithdrawal from None
    return row


def locked(session: Session, organization_id: UUID, id: UUID) -> tables.Withdrawal:
    """Locked until the end of the transaction. Raises NoSuchWithdrawal."""
    row: tables.Withdrawal | None = session.execute(
        select(tables.Withdrawal)
        .where(
            col(tables.Withdrawal.id) == id,
            col(tables.Withdrawal.organization_id) == organization_id,
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()
    if row is None:
        raise NoSuchWithdrawal
    return row


def changed(session: Session, row: tables.Withdrawal) -> None:
    purse = session.get_one(Purse, row.purse_id)
    events.changed(session, row.organization_id, account_id=purse.account_id)
