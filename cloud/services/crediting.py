"""Crediting 入账: the payment of a top-up, booked once, numbered, and on its way to the gateway."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session

from cloud import events
from cloud.channels import Payment
from cloud.db import execute
from cloud.errors import CloudError
from cloud.said import Said
from cloud.services import channel_refunds, credits, downlog, ledger
from cloud.services.integration import outbox
from cloud.services.integration.outbox import Event, Happened
from cloud.tables import TopUp, utc_now
from prepaid.ledger import Reason, Transfer, clearing, income, prepaid
from prepaid.money import ZERO, Money
from prepaid.wire.downlog import Credited

SERVICE_FEE = "service-fee"  # 服务费


class NotAsOrdered(CloudError):
    status = 400
    sentence = "The payment of order {out_trade_no} is not as ordered: {reason}."


# The purse first, so that it gets no gateway meanwhile: see estate.add_point. Then the gateway, as downlog.lock says.
_LOCK = """
    WITH purse AS (
        SELECT p.id, p.account_id, p.gateway_id, p.credits FROM purses p
        WHERE p.id = (
            SELECT t.purse_id FROM topups t WHERE t.out_trade_no = %(out_trade_no)s AND t.channel = %(channel)s
        )
        FOR NO KEY UPDATE
    )
    SELECT p.id, p.account_id, p.credits, g.id AS gateway_id
    FROM purse p LEFT JOIN LATERAL (
        SELECT id FROM gateways WHERE id = p.gateway_id FOR NO KEY UPDATE
    ) AS g ON true
"""
# Twins belong to the purse that is locked, so only one of them can be the first that is paid. Each column costs.
_LOCK_ORDER = """
    SELECT t.id, t.organization_id, t.channel, t.amount_fen, t.fee_fen, t.transaction_id, t.paid_at, t.credited_at,
           t.refunded_at, EXISTS (
               SELECT FROM topups twin
               WHERE (twin.id = coalesce(t.twin_of, t.id) OR twin.twin_of = coalesce(t.twin_of, t.id))
                 AND twin.id <> t.id AND twin.credited_at IS NOT NULL
           ) AS is_twin_credited
    FROM topups t WHERE t.out_trade_no = %(out_trade_no)s FOR NO KEY UPDATE OF t
"""
# The credit's number, its way down, its order, and who is told of it.
_CREDITED = f"""
    WITH {credits.COUNTED}, {downlog.APPENDED}, {outbox.TOLD}, credited AS (
        UPDATE topups t
        SET transaction_id = %(transaction)s, paid_at = %(paid_at)s, credited_at = %(credited_at)s,
            credit_number = c.before + 1,
            balance_after_fen = (SELECT balance_fen FROM balances WHERE purse_id = %(purse)s),
            gateway_id = coalesce(a.id, t.gateway_id), down_seq = coalesce(a.down_seq, t.down_seq)
        FROM counted c LEFT JOIN appended a ON true
        WHERE t.id = %(topup)s
    )
    SELECT before + 1 AS number, pg_notify(%(channel)s, %(changed)s) FROM counted
"""


def lock(session: Session, *, out_trade_no: str, channel: str) -> Any:
    """The purse (id, account_id, credits) of an order and its gateway_id, locked; None if there is no such order."""
    session.flush()
    return execute(session, _LOCK, out_trade_no=out_trade_no, channel=channel).one_or_none()


def credit(session: Session, purse: Any, payment: Payment, *, now: datetime) -> None:
    """Books the payment of an order of a locked purse. All in few questions: the customer waits for light."""
    topup = execute(session, _LOCK_ORDER, out_trade_no=payment.out_trade_no).one()
    if _is_booked(topup, payment):
        return
    if topup.credited_at is not None or topup.is_twin_credited:
        _give_back(session, topup.id, payment, now=now)
        return
    if topup.refunded_at is not None:
        raise NotAsOrdered(
            out_trade_no=payment.out_trade_no,
            reason=Said("the channel said before that its money went back"),
        )
    fee, cause = Money(topup.fee_fen), cause_of(topup.channel, payment.transaction_id)
    transfer = Transfer(
        debit=clearing(topup.channel),
        credit=prepaid(purse.id),
        amount=payment.amount - fee,
        reason=Reason.TOP_UP,
        cause=cause,
        at=payment.paid_at,
    )
    transfers = [transfer]
    if fee > ZERO:
        transfers.append(
            replace(transfer, credit=income(SERVICE_FEE), amount=fee, reason=Reason.FEE)
        )
    ledger.post(session, topup.organization_id, transfers, carry_to=now)
    numbered = Credited(transfer, purse.credits + 1)  # nobody else counts: the purse is locked
    happened = Happened(
        Event.TOPUP_CREDITED,
        now,
        {
            "topup_id": topup.id,
            "purse_id": purse.id,
            "account_id": purse.account_id,
            "amount_fen": topup.amount_fen,
            "channel": topup.channel,
            "paid_at": payment.paid_at,
        },
    )
    kept = execute(
        session,
        _CREDITED,
        purse=purse.id,
        transfers=[transfer.id],
        **downlog.appended_values(purse.gateway_id, [numbered], now=utc_now()),
        **outbox.told_values(topup.organization_id, [happened]),
        topup=topup.id,
        transaction=payment.transaction_id,
        paid_at=payment.paid_at,
        credited_at=now,
        channel=events.CHANNEL,
        changed=events.payload_of(topup.organization_id, None, purse.account_id, topup.id),
    ).one()
    assert kept.number == numbered.number


def _give_back(session: Session, topup_id: UUID, payment: Payment, *, now: datetime) -> None:
    """A second payment, of the order or for the same money."""
    topup = session.get_one(TopUp, topup_id, populate_existing=True)
    channel_refunds.begin(session, topup, payment, now=now)
    if topup.credited_at is None:
        topup.transaction_id, topup.paid_at = payment.transaction_id, payment.paid_at
        session.add(topup)
        events.changed(session, topup.organization_id, topup_id=topup.id)


def credited(topup: TopUp) -> Money:
    """实际到账: what the purse gets, without the service fee."""
    return Money(topup.amount_fen - topup.fee_fen)


def cause_of(channel: str, transaction_id: str | None) -> str:
    """The cause of a top-up's transfer: the payment."""
    return f"{channel}:{transaction_id}"


def _is_booked(topup: Any, payment: Payment) -> bool:
    """Whether this payment is credited, or is being given back. Raises NotAsOrdered at another amount."""
    if payment.amount.fen != topup.amount_fen:
        raise NotAsOrdered(
            out_trade_no=payment.out_trade_no,
            reason=Said(
                "¥{paid} was paid, ¥{ordered} was ordered",
                paid=payment.amount,
                ordered=Money(topup.amount_fen),
            ),
        )
    return topup.paid_at is not None and payment.transaction_id == topup.transaction_id
