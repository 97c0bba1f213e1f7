"""Refund 退费: paid credit goes back to whoever paid it, in parts by the top-ups it came from.

Never more than what is unspent and was paid for: a gift is no money, and of one top-up no more than it brought. It
is paid out only after the purse's gateway has booked it (services.money.withdrawals). What came through a payment
channel goes back there by itself (services.channel_refunds); cash and bank transfers are paid out by a person.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlmodel import Session, col

from cloud import said, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, crediting, ledger, scopes, topups
from cloud.services.money import approving, purses, rules, shifts, withdrawals
from cloud.services.money.withdrawals import Asked, Kind, State, state
from cloud.tables import ChannelRefund, Purse, TopUp, Withdrawal, WithdrawalPart
from prepaid.ledger import Book, Reason, Transfer, clearing, income
from prepaid.money import ZERO, Money

REFUNDS = Book("Liabilities:Returning:refunds")  # 待退款: left a purse, and not paid out yet
CASH, BANK = "cash", "bank"
BY_HAND = frozenset({CASH, BANK})
CHANNEL_WINDOW = timedelta(days=360)  # WeChat Pay gives nothing back after a year


class NotRefundable(CloudError):
    status = 409
    field = "amount_fen"
    sentence = (
        "At most ¥{most} can be refunded: what is unspent and was paid for, less what is already "
        "being refunded. Gifts are not paid out."
    )


class NotBooked(CloudError):
    status = 409
    sentence = "The gateway has not confirmed this refund yet. Nothing may be paid out before that."


class IsPaidOut(CloudError):
    status = 409
    sentence = "This has been paid out already, by {by}."


class NotByHand(CloudError):
    status = 409
    sentence = "This part goes back through {way} by itself. It is paid out by hand only if that has failed."


class NoVoucher(CloudError):
    status = 422
    sentence = "Enter the number of the bank's slip."


class NoSuchTopUp(scopes.NoSuchTopUp):
    sentence = "There is no such top-up of this purse, or it was never credited."


class How(StrEnum):
    """The way a refund is to go."""

    SOURCE = "source"  # 原路退回: each part by the way it was paid
    CASH = "cash"  # 现金
    BANK = "bank"  # 银行转账


@dataclass(frozen=True, slots=True)
class Part:
    """What would go back of one top-up (None: of what came otherwise), and how. fee is of the service fee."""

    topup_id: UUID | None
    way: str
    amount: Money
    fee: Money


def request(
    session: Session,
    by: SignedIn,
    purse_id: UUID,
    amount: Money,
    how: How,
    why: str,
    now: datetime,
    *,
    of: UUID | None = None,
    is_unread_too: bool = False,
    seen: str | None = None,
    id: UUID | None = None,
) -> Withdrawal:
    """Asks for a refund; above the organization's limit it waits for a second person, else the gateway is asked.

    Without of the newest top-ups go back first. With id the same request again gives the same refund.
    is_unread_too: also while a meter of the purse is silent, as a person has seen to it. Raises
    topups.NoSuchPurse, purses.ChangedMeanwhile, purses.BadReason, NoSuchTopUp, NotRefundable or
    withdrawals.TooMuch.
    """
    purse = purses.locked_by(session, by, purse_id)
    id = id or uuid4()
    if (known := session.get(Withdrawal, id)) is not None:
        if known.purse_id != purse_id or known.amount_fen != amount.fen:
            raise topups.KeyReused
        return known
    purses.locked_by(session, by, purse_id, seen=seen)
    most = most_of(session, purse, of=of)
    if not ZERO < amount <= most:
        raise NotRefundable(most=most)
    parts = plan(session, purse, amount, how, of=of, now=now)
    row = withdrawals.ask(
        session,
        by,
        purse,
        Asked(
            kind=Kind.REFUND,
            amount=amount,
            credit=REFUNDS,
            reason=Reason.REFUND,
            cause=str(id),
            why=why,
            fee=sum((part.fee for part in parts), ZERO),
            how=how.value,
            topup_id=of,
            is_unread_too=is_unread_too,
        ),
        id=id,
        now=now,
    )
    for part in parts:
        session.add(
            WithdrawalPart(
                organization_id=purse.organization_id,
                created_at=now,
                withdrawal_id=row.id,
                topup_id=part.topup_id,
                way=part.way,
                amount_fen=part.amount.fen,
                fee_fen=part.fee.fen,
            )
        )
    session.flush()
    if needs_second(session, by, amount):
        approving.propose(session, by, row, now=now)
    else:
        withdrawals.send(session, purse, row, now=now)
    return row


def needs_second(session: Session, by: SignedIn, amount: Money) -> bool:
    """Whether a refund of so much needs a second person."""
    return amount > rules.of(session, by.organization_id).alone


def most_of(session: Session, purse: Purse, *, of: UUID | None = None) -> Money:
    """可退金额: of the purse, or of one top-up of it. Raises NoSuchTopUp."""
    most = purses.refundable_now(session, purse.id)
    if of is None:
        return most
    topup = _topup(session, purse, of)
    return min(most, left_of(session, topup))


def left_of(session: Session, topup: TopUp) -> Money:
    """What a top-up brought and has not gone back, nor is about to."""
    return max(crediting.credited(topup) - _gone(session, [topup.id]).get(topup.id, ZERO), ZERO)


def plan(
    session: Session,
    purse: Purse,
    amount: Money,
    how: How,
    *,
    of: UUID | None = None,
    now: datetime,
) -> list[Part]:
    """What would go back of which top-up, the newest first; what came otherwise goes by hand."""
    rule = rules.of(session, purse.organization_id)
    found = session.execute(
        select(TopUp)
        .where(
            col(TopUp.purse_id) == purse.id,
            col(TopUp.credited_at).is_not(None),
            *([col(TopUp.id) == of] if of is not None else []),
        )
        .order_by(col(TopUp.paid_at).desc(), col(TopUp.id))
    ).scalars()
    candidates = list(found)
    gone = _gone(session, [topup.id for topup in candidates])
    parts: list[Part] = []
    for topup in candidates:
        brought = crediting.credited(topup)
        before = gone.get(topup.id, ZERO)
        back = min(amount, brought - before)
        if back <= ZERO:
            continue
        fee = ZERO
        if rule.is_fee_refunded and topup.fee_fen:
            # Of the fee goes back what of the top-up has gone back, in all, rounded down.
            fee = Money((before + back).fen * topup.fee_fen // brought.fen)
            fee -= Money(before.fen * topup.fee_fen // brought.fen)
        parts.append(Part(topup.id, _way(topup, how, now), back, fee))
        amount -= back
        if amount == ZERO:
            return parts
    return [*parts, Part(None, BANK if how is How.BANK else CASH, amount, ZERO)]


def _way(topup: TopUp, how: How, now: datetime) -> str:
    """By which way money of a top-up goes back; what no channel takes any more is paid out by hand."""
    if how is not How.SOURCE:
        return how.value
    if topup.channel in topups.COUNTER:
        return CASH if topup.channel == CASH else BANK
    assert topup.paid_at is not None
    return topup.channel if now - topup.paid_at <= CHANNEL_WINDOW else BANK


def _gone(session: Session, topup_ids: list[UUID]) -> dict[UUID, Money]:
    """What of these top-ups has gone back or is about to, by refunds and reversals."""
    part, row = WithdrawalPart, Withdrawal
    still = (
        col(row.refused_at).is_(None),
        col(row.cancelled_at).is_(None),
        col(row.undone_at).is_(None),
    )
    gone: dict[UUID, Money] = {}
    for found in (
        select(col(part.topup_id), func.sum(col(part.amount_fen)))
        .join(row, col(row.id) == col(part.withdrawal_id))
        .where(col(part.topup_id).in_(topup_ids), *still)
        .group_by(col(part.topup_id)),
        select(col(row.topup_id), func.sum(col(row.amount_fen)))
        .where(col(row.topup_id).in_(topup_ids), col(row.kind) == Kind.REVERSAL.value, *still)
        .group_by(col(row.topup_id)),
    ):
        for topup_id, fen in session.execute(found):
            gone[topup_id] = gone.get(topup_id, ZERO) + Money(int(fen))
    return gone


def _topup(session: Session, purse: Purse, topup_id: UUID) -> TopUp:
    topup = session.get(TopUp, topup_id)
    if topup is None or topup.purse_id != purse.id or topup.credited_at is None:
        raise NoSuchTopUp
    return topup


# Once the money has left the purse.


def booked(session: Session, row: Withdrawal, now: datetime) -> None:
    """What goes through a channel is asked for there; the service fee that goes back leaves income."""
    if row.fee_fen:
        fee = Transfer(
            debit=income(crediting.SERVICE_FEE),
            credit=REFUNDS,
            amount=Money(row.fee_fen),
            reason=Reason.REFUND,
            cause=f"{row.id}:fee",
            at=now,
        )
        ledger.post(session, row.organization_id, [fee], carry_to=now)
    for part in parts_of(session, row.id):
        if part.way in BY_HAND:
            continue
        topup = session.get_one(TopUp, part.topup_id)
        assert topup.transaction_id is not None
        assert topup.paid_at is not None
        session.add(
            ChannelRefund(
                id=part.id,
                organization_id=row.organization_id,
                created_at=now,
                topup_id=topup.id,
                channel=topup.channel,
                out_trade_no=topup.out_trade_no,
                transaction_id=topup.transaction_id,
                out_refund_no=part.id.hex,
                amount_fen=part.amount_fen + part.fee_fen,
                payment_fen=topup.amount_fen,
                paid_at=topup.paid_at,
            )
        )
    session.flush()


def parts_of(session: Session, withdrawal_id: UUID) -> list[WithdrawalPart]:
    part = WithdrawalPart
    found = session.execute(
        select(part)
        .where(col(part.withdrawal_id) == withdrawal_id)
        .order_by(col(part.amount_fen).desc(), col(part.id))
    ).scalars()
    return list(found)


def parts_of_each(
    session: Session, withdrawal_ids: Collection[UUID]
) -> dict[UUID, list[WithdrawalPart]]:
    """The parts of each of these that has any."""
    part = WithdrawalPart
    found: dict[UUID, list[WithdrawalPart]] = {}
    rows = session.execute(
        select(part)
        .where(col(part.withdrawal_id).in_(withdrawal_ids))
        .order_by(col(part.amount_fen).desc(), col(part.id))
    ).scalars()
    for row in rows:
        found.setdefault(row.withdrawal_id, []).append(row)
    return found


def pay_out(
    session: Session,
    by: SignedIn,
    part_id: UUID,
    *,
    way: str,
    voucher: str = "",
    now: datetime,
) -> Withdrawal:
    """Money was handed over, or sent by the bank, for a part of a refund. The drawer is that of by's open shift.

    Also for a part that its channel cannot give back. Raises withdrawals.NoSuchWithdrawal, NotBooked, IsPaidOut,
    NotByHand, NoVoucher or shifts.NoShift.
    """
    known = session.get(WithdrawalPart, part_id)
    if known is None or known.organization_id != by.organization_id:
        raise withdrawals.NoSuchWithdrawal
    row = withdrawals.locked(session, by.organization_id, known.withdrawal_id)
    scopes.check_purse(session, by, row.purse_id)
    part = session.get_one(WithdrawalPart, part_id, with_for_update=True, populate_existing=True)
    if state(row) not in (State.BOOKED, State.DONE):
        raise NotBooked
    if part.done_at is not None:
        payer = session.get(tables.User, part.paid_by) if part.paid_by is not None else None
        raise IsPaidOut(by=payer.name if payer is not None else part.way)
    if part.way not in BY_HAND:
        _check_failed(session, part)
    told = voucher.strip()[:100]
    if way == BANK and not told:
        raise NoVoucher
    if way not in BY_HAND:
        raise ValueError(f"nobody pays out by {way}")
    shift = shifts.mine(session, by) if way == CASH else None
    transfer = Transfer(
        debit=REFUNDS,
        credit=clearing(way),
        amount=Money(part.amount_fen + part.fee_fen),
        reason=Reason.REFUND,
        cause=f"{part.id}:paid",
        at=now,
    )
    ledger.post(session, by.organization_id, [transfer])
    part.way, part.done_at, part.paid_by = way, now, by.user_id
    part.voucher = told or None
    part.shift_id = shift.id if shift is not None else None
    session.add(part)
    session.flush()
    paid = {"amount_fen": transfer.amount.fen, "way": way, "voucher": part.voucher}
    audit.record(session, by, "pay-out", of="refund", id=row.id, after=paid, now=now)
    note_done(session, row, now=now)
    return row


def _check_failed(session: Session, part: WithdrawalPart) -> None:
    """Raises NotByHand unless the channel has said that it cannot; then it is not asked any more."""
    refund = session.get(ChannelRefund, part.id, populate_existing=True)
    if refund is None or refund.failed_at is None or refund.done_at is not None:
        raise NotByHand(way=said.way(part.way))


def note_done(session: Session, row: Withdrawal, *, now: datetime) -> None:
    """A refund is done when all of its parts are."""
    if all(part.done_at is not None for part in parts_of(session, row.id)):
        row.done_at = now
        session.add(row)
        session.flush()
