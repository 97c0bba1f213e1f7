"""Orders that were begun and not paid: gone on with rather than made again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from sqlalchemy import func, select
from sqlmodel import Session, col

from cloud.channels import Channel, Way
from cloud.services.money import twins
from cloud.tables import Purse, TopUp
from prepaid.money import Money

SHOWN_FOR = timedelta(minutes=30)
TIME_TO_PAY = timedelta(minutes=1)  # an order that ends sooner is not offered again

_KEYS = UUID("8d0a4f0a-6c5b-4b57-9d2e-5a3f6d1c2b71")


@dataclass(frozen=True, slots=True)
class Unpaid:
    """An order that, as far as we know, is not paid and still can be, at pay_url as the way wants it.

    first is the order that it is a twin of, or its own.
    """

    topup_id: UUID
    first: UUID
    channel: str
    way: Way
    purse_id: UUID
    amount: Money
    out_trade_no: str
    pay_url: str

    def href(self, path: str) -> str:
        """Where it is paid, for the account whose pages are below path."""
        return self.pay_url if self.way is Way.PAGE else f"{path}/topups/{self.topup_id}"


def orders(session: Session, account_id: UUID, *, now: datetime) -> tuple[Unpaid, ...]:
    """The account's unpaid orders of the last half hour, newest first."""
    expires = col(TopUp.expires_at)
    is_paid_elsewhere = twins.is_twin_credited()
    found = session.execute(
        select(TopUp)
        .join(Purse, col(Purse.id) == col(TopUp.purse_id))
        .where(
            col(Purse.account_id) == account_id,
            col(TopUp.paid_at).is_(None),
            col(TopUp.credited_at).is_(None),
            col(TopUp.closed_at).is_(None),
            col(TopUp.refunded_at).is_(None),
            ~is_paid_elsewhere,
            col(TopUp.created_at) > now - SHOWN_FOR,
            expires.is_(None) | (expires > now + TIME_TO_PAY),
        )
        .order_by(col(TopUp.created_at).desc())
    ).scalars()
    return tuple(
        Unpaid(
            topup_id=topup.id,
            first=topup.twin_of or topup.id,
            channel=topup.channel,
            way=Way(topup.way),
            purse_id=topup.purse_id,
            amount=Money(topup.amount_fen),
            out_trade_no=topup.out_trade_no,
            pay_url=topup.pay_url,
        )
        for topup in found
        if topup.pay_url is not None and topup.way is not None
    )


def one_of_each(found: tuple[Unpaid, ...]) -> tuple[Unpaid, ...]:
    """Of twins the newest, as they are for the same money."""
    return tuple({one.first: one for one in reversed(found)}.values())[::-1]


def next_key(session: Session, *, purse_id: UUID, amount: Money, channel: str, way: Way) -> UUID:
    """The key of the next order of this purse and amount in this way.

    It follows from how many there have been: pressing twice at once gives one key, and an order that was
    made, paid or expired never stands in the way of a new one.
    """
    (made,) = session.execute(
        select(func.count()).where(
            col(TopUp.purse_id) == purse_id,
            col(TopUp.amount_fen) == amount.fen,
            col(TopUp.channel) == channel,
            col(TopUp.way) == way.value,
        )
    ).one()
    return uuid5(_KEYS, f"{channel}:{way.value}:{purse_id}:{amount.fen}:{made}")


def to_go_on_with(
    found: tuple[Unpaid, ...], channel: Channel, way: Way, *, purse_id: UUID, amount: Money
) -> tuple[Unpaid | None, UUID | None]:
    """The order of this purse and amount, in this way, that is still to be paid; or None, and the first order for
    this money where one was begun in another way and a new one is its twin.

    The channel is asked, since it may have been paid a moment ago, before its notice is here: then it is done, and
    wanting to pay again means another order, which is nobody's twin. Raises ChannelAway or ChannelRefused.
    """
    same_money = [o for o in found if (o.purse_id, o.amount) == (purse_id, amount)]
    newest = next((o for o in same_money if (o.channel, o.way) == (channel.name, way)), None)
    if newest is None:
        return None, next((o.first for o in same_money), None)
    if channel.payment(newest.out_trade_no) is None:
        return newest, None
    return None, next((o.first for o in same_money if o.first != newest.first), None)
