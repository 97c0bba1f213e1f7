"""The sweep 补单: channels are asked about orders that they told us nothing of; what nobody paid is closed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import and_, false, func, or_, select, update
from sqlmodel import Session, col

from cloud.channels import Channel, ChannelRefused
from cloud.db import Database
from cloud.services import topups
from cloud.services.money import questions, twins
from cloud.tables import TopUp

log = logging.getLogger(__name__)

SWEEP_AFTER = timedelta(seconds=60)  # a channel's notice is given this long
SWEEP_FOR = timedelta(days=2)
CLOSE_AFTER = timedelta(minutes=10)  # once its link has ended, as somebody may be paying just then
YOUNGEST_CLOSED = timedelta(minutes=5)  # WeChat Pay closes no order that is younger


def sweep(
    database: Database,
    channels: Mapping[str, Channel],
    *,
    now: datetime,
    is_stopping: Callable[[], bool],
) -> int:
    """Asks the channels about orders whose notice never came, and books what was paid; how many were.

    An order is asked about after SWEEP_AFTER, then ever more rarely (questions.put), for SWEEP_FOR. One that is not
    paid when its time is over, or its twin is paid, is closed.
    """

    def ask(name: str, channel: Channel, order: Due) -> bool:
        number = order.out_trade_no
        closed_at = None
        payment = None
        try:
            payment = channel.payment(number)
            if payment is None and order.is_over and (channel.close(number) or order.is_late):
                closed_at = now
        except ChannelRefused as error:
            log.warning("channel %s, asked about order %s: %s", name, number, error)
        with database.system() as session:
            session.execute(
                update(TopUp)
                .where(col(TopUp.out_trade_no) == number)
                .values(asked_at=now, closed_at=closed_at)
            )
        return payment is not None and topups.book(database, payment, channel=name, now=now)

    return questions.put(database, channels, partial(due, now=now), ask, is_stopping=is_stopping)


@dataclass(frozen=True, slots=True)
class Due:
    """An order that the channel is to be asked about.

    is_over: if it is not paid, it is to be closed, as is_late (its link has ended) or its twin is paid.
    """

    out_trade_no: str
    is_over: bool
    is_late: bool


def due(session: Session, channel: str, *, now: datetime) -> list[Due]:
    """The orders that the channel is to be asked about now."""
    is_late = func.coalesce(col(TopUp.expires_at) <= now - CLOSE_AFTER, false())
    is_over = and_(
        col(TopUp.created_at) <= now - YOUNGEST_CLOSED, or_(is_late, twins.is_twin_credited())
    )
    created = col(TopUp.created_at)
    waiting = (
        select(col(TopUp.out_trade_no), is_over, is_late)
        .where(
            col(TopUp.channel) == channel,
            col(TopUp.credited_at).is_(None),
            col(TopUp.paid_at).is_(None),
            col(TopUp.closed_at).is_(None),
            created <= now - SWEEP_AFTER,
            created > now - SWEEP_FOR,
            questions.is_due(col(TopUp.asked_at), created, now=now),
        )
        .order_by(created)
        .limit(200)
    )
    return [Due(*row) for row in session.execute(waiting)]
