"""TopUp 充值: ordered at a channel, paid, credited, delivered to the gateway, supply restored."""

from __future__ import annotations

import logging
from datetime import datetime
from uuid import UUID, uuid5

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.channels import Channel, Order, Payer, Payment, Way
from cloud.db import Database
from cloud.errors import CloudError
from cloud.services import audit, scopes
from cloud.services.crediting import NotAsOrdered, credit, lock
from cloud.services.money import rules, shifts
from cloud.services.people import limits
from cloud.services.scopes import NoSuchPurse
from cloud.tables import Purse, TopUp, utc_now
from prepaid.ledger import TransferIdReused
from prepaid.money import ZERO, Money

log = logging.getLogger(__name__)
MOST = Money.yuan("10000")
CASH = "cash"
COUNTER = (CASH, "pos", "bank")  # 现金, POS, 银行转账: taken by a person, by a slip but for cash
NOBODY = Payer()
_ORDERS = UUID("0f4c9b4e-2f0b-4a5e-9a52-6c7b1d1f7f10")


class NoSuchOrder(CloudError):
    status = 404
    sentence = "There is no order {out_trade_no}."


class BadAmount(CloudError):
    status = 422
    field = "amount_fen"
    sentence = "An amount to top up is more than ¥0 and at most ¥{most}."


class KeyReused(CloudError):
    status = 409
    sentence = "This top-up was begun with another amount. Open the page again and begin a new one."


# What the customer reads on the channel's page and on its bill.
BILLED_AS = {
    "electricity": "预付电费",
    "water": "预付水费",
    "utility": "预付水电费",
    "property": "预付物业费",
}


def create(
    database: Database,
    channel: Channel,
    *,
    organization_id: UUID,
    account_id: UUID,
    purse_id: UUID,
    amount: Money,
    idempotency_key: UUID,
    page_url: str,
    way: Way = Way.PAGE,
    payer: Payer = NOBODY,
    twin_of: UUID | None = None,
) -> TopUp:
    """The top-up of this key, ordered at the channel: send the customer to its pay_url, as the way wants it.

    Repeating it gives the same top-up. The channel sends the customer back to page_url/{top-up id}. The
    channel is asked while no transaction is open, as it may take its time. twin_of is another top-up that
    is to be paid either there or here: whichever is paid first is credited, see confirm.

    Raises NoSuchPurse, BadAmount, KeyReused (another amount or purse under one key), ChannelAway (nothing
    is kept; the same key may be tried again) or ChannelRefused.
    """
    with database.organization(organization_id) as session:
        purse = _purse(session, purse_id, organization_id)
        if purse.account_id != account_id:
            raise NoSuchPurse
        check_amount(amount)
        known = _known(session, purse, amount, channel.name, idempotency_key)
    if known is not None:
        return known
    # The order's number follows from the key: tried again, or at the same time, the channel gives the same
    # order. Nobody knows where to pay before it is kept here.
    id = _id(purse, idempotency_key)
    order = channel.order(
        out_trade_no=id.hex,
        amount=amount,
        description=BILLED_AS[purse.purpose],
        return_url=f"{page_url}/{id}",
        way=way,
        payer=payer,
    )
    with database.organization(organization_id) as session:
        topup, _ = _begun(
            session, purse, amount, channel.name, idempotency_key, order, way=way, twin_of=twin_of
        )
    return topup


def confirm(session: Session, payment: Payment, *, channel: str, now: datetime) -> None:
    """Books a payment, once: sets paid_at, posts the transfer, appends Credited to the gateway's log.

    A second payment, of the order or of its twin, is not credited but given back: see channel_refunds.
    Needs a system session. Raises NoSuchOrder, or NotAsOrdered if the amount is another or the channel has
    said that money of it went back.
    """
    holder = lock(session, out_trade_no=payment.out_trade_no, channel=channel)
    if holder is None:
        raise NoSuchOrder(out_trade_no=payment.out_trade_no)
    credit(session, holder, payment, now=now)


def record_cash(
    session: Session, *, purse_id: UUID, amount: Money, by: SignedIn, idempotency_key: UUID
) -> TopUp:
    """Money taken in cash, credited at once; it is in the drawer of by's open shift, if there is one.

    Raises NoSuchPurse, BadAmount or KeyReused.
    """
    return record_taken(
        session,
        purse_id=purse_id,
        amount=amount,
        by=by,
        idempotency_key=idempotency_key,
        way=CASH,
        shift_id=shifts.drawer(session, shift_id=None, user_id=by.user_id),
    )


def record_taken(
    session: Session,
    *,
    purse_id: UUID,
    amount: Money,
    by: SignedIn,
    idempotency_key: UUID,
    way: str,
    shift_id: UUID | None = None,
    voucher: str | None = None,
    remark: str | None = None,
) -> TopUp:
    """Money taken by a person, one of COUNTER, credited at once. Raises NoSuchPurse, BadAmount or KeyReused."""
    purse = scopes.check_purse(session, by, purse_id)
    check_amount(amount)
    topup, is_new = _begun(session, purse, amount, way, idempotency_key, None)
    if is_new:
        now = utc_now()
        limits.check(session, by, amount, now=now)
        topup.taken_by, topup.shift_id = by.user_id, shift_id
        topup.voucher, topup.remark = voucher, remark
        payment = Payment(topup.out_trade_no, topup.id.hex, amount, now)
        holder = lock(session, out_trade_no=topup.out_trade_no, channel=way)
        credit(session, holder, payment, now=now)
        session.refresh(topup)
        after = {"purse": str(purse.id), "fen": amount.fen, "channel": way}
        audit.record(session, by, "take-cash", of="topup", id=topup.id, after=after, now=now)
    return topup


def record_refused(session: Session, payment: Payment, *, reason: str) -> None:
    """Keeps a payment that was not booked, once, for a person to look at. Needs a system session."""
    topup = session.execute(
        select(TopUp).where(col(TopUp.out_trade_no) == payment.out_trade_no)
    ).scalar_one()
    row = insert(tables.RefusedNotice).values(
        organization_id=topup.organization_id,
        topup_id=topup.id,
        transaction_id=payment.transaction_id,
        amount_fen=payment.amount.fen,
        reason=reason,
    )
    is_new = session.execute(
        row.on_conflict_do_nothing().returning(col(tables.RefusedNotice.id))
    ).first()
    if is_new:
        log.error("order %s: %s; nothing was credited", payment.out_trade_no, reason)


def book(database: Database, payment: Payment, *, channel: str, now: datetime) -> bool:
    """confirm in a transaction of its own; a payment not as ordered is kept for a person.

    Whether it is booked. Raises NoSuchOrder.
    """
    try:
        with database.system() as session:
            confirm(session, payment, channel=channel, now=now)
    except (NotAsOrdered, TransferIdReused) as error:
        with database.system() as session:
            record_refused(session, payment, reason=str(error))
        return False
    return True


def _purse(session: Session, purse_id: UUID, organization_id: UUID) -> Purse:
    purse = session.get(Purse, purse_id)
    if purse is None or purse.organization_id != organization_id:
        raise NoSuchPurse
    return purse


def check_amount(amount: Money) -> None:
    """Raises BadAmount."""
    if not ZERO < amount <= MOST:
        raise BadAmount(most=MOST.in_yuan().to_integral_value())


def _id(purse: Purse, idempotency_key: UUID) -> UUID:
    return uuid5(_ORDERS, f"{purse.id}:{idempotency_key}")


def _known(
    session: Session, purse: Purse, amount: Money, channel: str, idempotency_key: UUID
) -> TopUp | None:
    """The top-up of this key, if there is one. Raises KeyReused if it is another."""
    topup: TopUp | None = session.execute(
        select(TopUp).where(
            col(TopUp.organization_id) == purse.organization_id,
            col(TopUp.idempotency_key) == idempotency_key,
        )
    ).scalar_one_or_none()
    if topup is not None and (topup.purse_id, topup.amount_fen, topup.channel) != (
        purse.id,
        amount.fen,
        channel,
    ):
        raise KeyReused
    return topup


def _begun(
    session: Session,
    purse: Purse,
    amount: Money,
    channel: str,
    idempotency_key: UUID,
    order: Order | None,
    *,
    way: Way | None = None,
    twin_of: UUID | None = None,
) -> tuple[TopUp, bool]:
    """The top-up of this key, and whether it is new. Same key at the same time: the second waits for the first."""
    id = _id(purse, idempotency_key)
    row = insert(TopUp).values(
        id=id,
        organization_id=purse.organization_id,
        purse_id=purse.id,
        amount_fen=amount.fen,
        fee_fen=rules.of(session, purse.organization_id).fee(amount).fen,
        channel=channel,
        idempotency_key=idempotency_key,
        out_trade_no=id.hex,
        way=way.value if way is not None else None,
        twin_of=twin_of,
        pay_url=order.pay_url if order is not None else None,
        expires_at=order.expires_at if order is not None else None,
    )
    new: TopUp | None = session.execute(
        row.on_conflict_do_nothing().returning(TopUp)
    ).scalar_one_or_none()
    if new is not None:
        return new, True
    topup = _known(session, purse, amount, channel, idempotency_key)
    assert topup is not None
    return topup, False
