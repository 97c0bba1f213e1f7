"""After the database was put back to a backup: our logs for the gateways have new names.

A gateway may have entries that we wrote after the backup, under numbers that we give to others from now on. As the
log has another name it takes none of those for known. It hears of the new name in an answer to its own words, and is
sent again what it may not have, and how its points stand, so that it does as this database says. It is asked what it
has booked that this database has not: credits, and what was taken out of purses (money.lost_transfers).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from uuid import uuid4

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlmodel import Session, col

from cloud import tables
from cloud.services import downlog, overrides, pointsets, takeover
from prepaid.offline_code import WINDOW
from prepaid.supply import Override
from prepaid.wire.downlog import Down, Pinned, PointSet, Recall, TariffSet
from prepaid.wire.entry import Cursor
from prepaid.wire.envelope import Follow
from prepaid.wire.uplog import Trouble

log = logging.getLogger(__name__)

AHEAD = WINDOW // 2
"""Credits of a purse that may have been lost since the backup. Their numbers are given to no others: a code under one
of them would be taken for a credit that the gateway has, and one of the lost codes for a credit of ours. Where there
were more, the gateway's answer says so."""
TEXT = "the cloud's database was put back to a backup, and this gateway has not been heard since"


def rename_logs(session: Session, *, now: datetime) -> int:
    """Gives our log for each gateway a new name and says in it again how its points stand, and puts the numbers of
    credits ahead; how many gateways.

    Needs a system session, and to be committed before anything else is written to the database.
    """
    gateways = downlog.lock(session, session.execute(select(col(tables.Gateway.id))).scalars())
    for gateway in gateways:
        gateway.down_log = uuid4()
        gateway.follow_from = gateway.down_sent_seq = gateway.down_acked
        gateway.down_sent_at = None
        gateway.down_fault = None
        again = [_recall(session, gateway), *_standing(session, gateway, now)]
        downlog.append(session, gateway, again)
        takeover.alarm(session, gateway, Trouble.CLOUD_RESTORED, at=now, is_over=False, text=TEXT)
    purse = tables.Purse
    session.execute(
        update(purse)
        .where(col(purse.gateway_id).is_not(None))
        .values(credits=col(purse.credits) + AHEAD)
    )
    session.flush()
    return len(gateways)


def is_to_follow(
    session: Session, gateway: tables.Gateway, cursor: Cursor | None, *, now: datetime
) -> bool:
    """Whether the cursor is one in our log of before, and so says nothing of the one of now.

    Notes when it is one in the log of now for the first time.
    """
    if gateway.follow_from is None or cursor is None:
        return False
    if cursor.log != gateway.down_log:
        return True
    log.info("gateway %s follows our log under its new name", gateway.gateway_no)
    gateway.follow_from = None
    takeover.end_alarm(
        session, gateway, Trouble.CLOUD_RESTORED, at=now, text="it follows the log of the database"
    )
    return False


def follow(gateway: tables.Gateway, cursor: Cursor | None) -> Follow | None:
    """What a gateway with this cursor is to be told of our log's name, None if nothing."""
    if gateway.follow_from is None or cursor is None:
        return None
    return Follow(gateway.down_log, gateway.follow_from, cursor.log)


def _recall(session: Session, gateway: tables.Gateway) -> Recall:
    """Asks for what it has booked after the last credits and withdrawals that the database knows."""
    credit, purse = tables.Credit, tables.Purse
    rows = session.execute(
        select(col(credit.purse_id), col(credit.transfer_id))
        .join(purse, col(purse.id) == col(credit.purse_id))
        .where(col(purse.gateway_id) == gateway.id)
        .ext(distinct_on(col(credit.purse_id)))
        .order_by(col(credit.purse_id), col(credit.number).desc())
    )
    withdrawal = tables.Withdrawal
    taken = session.execute(
        select(col(withdrawal.purse_id), col(withdrawal.transfer_id))
        .where(col(withdrawal.gateway_id) == gateway.id, col(withdrawal.booked_at).is_not(None))
        .ext(distinct_on(col(withdrawal.purse_id)))
        .order_by(
            col(withdrawal.purse_id),
            col(withdrawal.booked_at).desc(),
            col(withdrawal.number).desc(),
        )
    )
    return Recall(
        {row.purse_id: row.transfer_id for row in rows},
        taken={row.purse_id: row.transfer_id for row in taken},
    )


def _standing(session: Session, gateway: tables.Gateway, now: datetime) -> Iterator[Down]:
    """The tariffs of its points, the points, and what each is pinned to."""
    row, tariff = tables.ServicePoint, tables.TariffDocument
    points = list(
        session.execute(
            select(row).where(col(row.gateway_id) == gateway.id).order_by(col(row.id))
        ).scalars()
    )
    used = {point.tariff_id for point in points}
    tariffs = session.execute(
        select(tariff).where(col(tariff.id).in_(used)).order_by(col(tariff.id))
    )
    for found in tariffs.scalars():
        yield TariffSet(found.document)
    pins = overrides.all_in_force(session, {point.id for point in points}, now=now)
    for point in points:
        yield PointSet(pointsets.value(session, point), is_again=True)
        pin = pins.get(point.id)
        yield Pinned(
            point.id, Override(pin.supply, pin.until, pin.by, pin.why) if pin is not None else None
        )
