"""Orders that were begun and not paid: gone on with rather than made again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from sqlalchemy import func, select
from sqlmodel import Session, col

from cloud.channels import Channel
from cloud.tables import Purse, TopUp
from prepaid.money import Money

SHOWN_FOR = timedelta(minutes=30)
TIME_TO_PAY = timedelta(minutes=1)  # an order that ends sooner is not offered again

_KEYS = UUID("8d0a4f0a-6c5b-4b57-9d2e-5a3f6d1c2b71")


@dataclass(frozen=True, slots=True)
class Unpaid:
    """An order that, as far as we know, is not paid and still can be, at pay_url."""

    purse_id: UUID
    amount: Money
    out_trade_no: str
    pay_url: str


def orders(session: Session, account_id: UUID, *, now: datetime) -> tuple[Unpaid, ...]:
    """The account's unpaid orders of the last half hour, newest first."""
    expires = col(TopUp.expires_at)
    found = session.execute(
        select(TopUp)
        .join(Purse, col(Purse.id) == col(TopUp.purse_id))
        .where(
            col(Purse.account_id) == account_id,
            col(TopUp.paid_at).is_(None),
            col(TopUp.credited_at).is_(None),
            col(TopUp.created_at) > now - SHOWN_FOR,
            expires.is_(None) | (expires > now + TIME_TO_PAY),
        )
        .order_by(col(TopUp.created_at).desc())
    ).scalars()
    return tuple(
        Unpaid(topup.purse_id, Money(topup.amount_fen), topup.out_trade_no, topup.pay_url)
        for topup in found
        if topup.pay_url is not None
    )


def next_key(session: Session, *, purse_id: UUID, amount: Money, channel: str) -> UUID:
    """The key of the next order of this purse and amount.

    It follows from how many there have been: pressing twice at once gives one key, and an order that was
    made, paid or expired never stands in the way of a new one.
    """
    (made,) = session.execute(
        select(func.count()).where(
            col(TopUp.purse_id) == purse_id,
            col(TopUp.amount_fen) == amount.fen,
            col(TopUp.channel) == channel,
        )
    ).one()
    return uuid5(_KEYS, f"{channel}:{purse_id}:{amount.fen}:{made}")


def to_go_on_with(
    found: tuple[Unpaid, ...], channel: Channel, *, purse_id: UUID, amount: Money
) -> Unpaid | None:
    """The order of this purse and amount that is still to be paid.

    The channel is asked, since it may have been paid a moment ago: then it is done, and wanting to pay
    again means another. Raises ChannelAway or ChannelRefused.
    """
    same = (one for one in found if (one.purse_id, one.amount) == (purse_id, amount))
    newest = next(same, None)
    if newest is None or channel.payment(newest.out_trade_no) is not None:
        return None
    return newest
