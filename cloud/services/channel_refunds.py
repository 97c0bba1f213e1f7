"""ChannelRefund 渠道退款: a payment too many goes back by itself to whoever paid; asked for until it has."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from uuid import UUID, uuid5

from sqlalchemy import exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import events, tables
from cloud.channels import (
    Channel,
    ChannelAway,
    ChannelRefused,
    Payment,
    Refund,
    Refunded,
    RefundState,
)
from cloud.db import Database
from cloud.services import ledger
from cloud.services.money import questions
from cloud.tables import ChannelRefund, TopUp
from prepaid.ledger import Reason, Transfer, clearing, returning
from prepaid.money import Money

log = logging.getLogger(__name__)

_REFUNDS = UUID("2b7d5c0e-3c0c-4d1b-9a0e-8f1c52f0a7d4")


def begin(session: Session, topup: TopUp, payment: Payment, *, now: datetime) -> None:
    """Notes that the payment is to go back, once, and books it as what we owe. Needs a system session.

    Raises TransferIdReused if the payment was credited somewhere else.
    """
    id = uuid5(_REFUNDS, f"{topup.channel}:{payment.transaction_id}")
    row = insert(ChannelRefund).values(
        id=id,
        organization_id=topup.organization_id,
        topup_id=topup.id,
        channel=topup.channel,
        out_trade_no=payment.out_trade_no,
        transaction_id=payment.transaction_id,
        out_refund_no=id.hex,
        amount_fen=payment.amount.fen,
        payment_fen=payment.amount.fen,
        paid_at=payment.paid_at,
    )
    is_new = session.execute(row.on_conflict_do_nothing().returning(col(ChannelRefund.id))).first()
    if is_new:
        log.warning(
            "order %s was paid a second time: ¥%s go back as refund %s",
            payment.out_trade_no,
            payment.amount,
            id.hex,
        )
    received = Transfer(
        debit=clearing(topup.channel),
        credit=returning(topup.channel),
        amount=payment.amount,
        reason=Reason.TOP_UP,
        cause=f"{topup.channel}:{payment.transaction_id}",
        at=payment.paid_at,
    )
    ledger.post(session, topup.organization_id, [received], carry_to=now)


def of_topup(session: Session, topup_id: UUID) -> ChannelRefund | None:
    """The newest refund of a second payment of this top-up."""
    found: ChannelRefund | None = session.execute(
        select(ChannelRefund)
        .where(
            col(ChannelRefund.topup_id) == topup_id,
            ~exists().where(col(tables.WithdrawalPart.id) == col(ChannelRefund.id)),
        )
        .order_by(col(ChannelRefund.created_at).desc())
        .limit(1)
    ).scalar_one_or_none()
    return found


def sweep(
    database: Database,
    channels: Mapping[str, Channel],
    *,
    now: datetime,
    is_stopping: Callable[[], bool],
) -> int:
    """Asks the channels for what is to go back, and how far it is; how many refunds were then done.

    Each is asked for under its one number, so it goes back once however often it is asked for.
    """

    def ask(name: str, channel: Channel, refund: Refund) -> bool:
        try:
            said = channel.refund(refund)
        except (ChannelAway, ChannelRefused) as error:
            _note_asked(database, refund.out_refund_no, now, said=str(error))
            if isinstance(error, ChannelAway):
                raise
            log.warning("channel %s, asked for refund %s: %s", name, refund.out_refund_no, error)
            return False
        with database.system() as session:
            return hear(session, said, channel=name, now=now, is_asked=True)

    return questions.put(database, channels, partial(_due, now=now), ask, is_stopping=is_stopping)


def _due(session: Session, channel: str, *, now: datetime) -> list[Refund]:
    created = col(ChannelRefund.created_at)
    found = session.execute(
        select(ChannelRefund)
        .where(
            col(ChannelRefund.channel) == channel,
            col(ChannelRefund.done_at).is_(None),
            col(ChannelRefund.failed_at).is_(None),
            questions.is_due(col(ChannelRefund.asked_at), created, now=now),
        )
        .order_by(created)
        .limit(200)
    ).scalars()
    return [
        Refund(
            out_refund_no=row.out_refund_no,
            payment=Payment(
                row.out_trade_no, row.transaction_id, Money(row.payment_fen), row.paid_at
            ),
            amount=Money(row.amount_fen),
        )
        for row in found
    ]


def _note_asked(database: Database, out_refund_no: str, now: datetime, *, said: str) -> None:
    with database.system() as session:
        row = _find(session, out_refund_no)
        assert row is not None
        row.asked_at, row.said = now, said
        session.add(row)


def hear(
    session: Session, said: Refunded, *, channel: str, now: datetime, is_asked: bool = False
) -> bool:
    """Keeps what the channel says of a refund; whether it is now done, for the first time.

    A refund that is not ours was made by hand at the channel: it is kept for a person and, where the order
    was not credited yet, the order is not credited any more. Needs a system session.
    """
    row = _find(session, said.out_refund_no)
    if row is None:
        _note_foreign(session, said, channel=channel, now=now)
        return False
    is_same = (row.channel, row.transaction_id, row.amount_fen) == (
        channel,
        said.transaction_id,
        said.amount.fen,
    )
    if not is_same:
        log.error(
            "channel %s says of refund %s that it is ¥%s of payment %s: that is not what was asked for",
            channel,
            said.out_refund_no,
            said.amount,
            said.transaction_id,
        )
        return False
    if row.done_at is not None:
        return False
    row.said = said.said
    row.asked_at = now if is_asked else row.asked_at
    row.accepted_at = row.accepted_at or now
    match said.state:
        case RefundState.DONE:
            row.done_at, row.failed_at = said.at or now, None
            _book_done(session, row, now)
        case RefundState.FAILED:
            row.failed_at = row.failed_at or now
            log.error(
                "channel %s cannot give ¥%s of order %s back (%s): look at refund %s there",
                channel,
                said.amount,
                row.out_trade_no,
                said.said,
                row.out_refund_no,
            )
        case RefundState.UNDER_WAY:
            pass
    session.add(row)
    events.changed(session, row.organization_id, topup_id=row.topup_id)
    return row.done_at is not None


def _find(session: Session, out_refund_no: str) -> ChannelRefund | None:
    found: ChannelRefund | None = session.execute(
        select(ChannelRefund)
        .where(col(ChannelRefund.out_refund_no) == out_refund_no)
        .with_for_update()
    ).scalar_one_or_none()
    return found


def _book_done(session: Session, row: ChannelRefund, now: datetime) -> None:
    assert row.done_at is not None
    part = _part(session, row)
    if part is not None and part.done_at is not None:
        log.error(
            "channel %s has given back ¥%s of order %s after all, and it was paid out by hand before: "
            "look at refund %s there",
            *(row.channel, Money(row.amount_fen), row.out_trade_no, row.out_refund_no),
        )
        return
    gone = Transfer(
        debit=returning(row.channel) if part is None else returning("refunds"),
        credit=clearing(row.channel),
        amount=Money(row.amount_fen),
        reason=Reason.REFUND,
        cause=f"{row.channel}:{row.out_refund_no}",
        at=row.done_at,
    )
    ledger.post(session, row.organization_id, [gone], carry_to=now)
    if part is not None:
        _note_part_done(session, part, at=row.done_at)


def _part(session: Session, row: ChannelRefund) -> tables.WithdrawalPart | None:
    """The part of a refund that goes back so, if it is one; locked, and what it is a part of before it."""
    known = session.get(tables.WithdrawalPart, row.id)
    if known is None:
        return None
    session.get_one(tables.Withdrawal, known.withdrawal_id, with_for_update=True)
    session.refresh(known, with_for_update=True)
    return known


def _note_part_done(session: Session, part: tables.WithdrawalPart, *, at: datetime) -> None:
    """The refund that it is a part of is done when all of its parts are."""
    refund = session.get_one(tables.Withdrawal, part.withdrawal_id)
    part.done_at = at
    session.add_all([part, refund])
    session.flush()
    still_open = session.execute(
        select(func.count()).where(
            col(tables.WithdrawalPart.withdrawal_id) == refund.id,
            col(tables.WithdrawalPart.done_at).is_(None),
        )
    ).scalar_one()
    if not still_open:
        refund.done_at = at
        session.flush()


def _note_foreign(session: Session, said: Refunded, *, channel: str, now: datetime) -> None:
    topup: TopUp | None = session.execute(
        select(TopUp)
        .where(col(TopUp.out_trade_no) == said.out_trade_no, col(TopUp.channel) == channel)
        .with_for_update(key_share=True)
    ).scalar_one_or_none()
    if topup is None:
        log.warning(
            "channel %s tells of a refund of order %s, not ours", channel, said.out_trade_no
        )
        return
    if topup.credited_at is None and topup.refunded_at is None:
        topup.refunded_at = now
        session.add(topup)
    row = insert(tables.RefusedNotice).values(
        organization_id=topup.organization_id,
        topup_id=topup.id,
        transaction_id=f"{said.transaction_id} {said.out_refund_no}",
        amount_fen=said.amount.fen,
        reason=f"¥{said.amount} were given back at the channel, not by us ({said.said})",
    )
    is_new = session.execute(
        row.on_conflict_do_nothing().returning(col(tables.RefusedNotice.id))
    ).first()
    if is_new:
        log.error(
            "order %s: ¥%s were given back at channel %s, not by us; the purse is as it was",
            said.out_trade_no,
            said.amount,
            channel,
        )
