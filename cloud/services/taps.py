"""Taps: before water comes back after a long cut or a leak, the customer says that every tap is closed."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlmodel import Session, col

from cloud import events, tables
from cloud.errors import CloudError
from cloud.services import downlog
from cloud.services.scopes import NoSuchPoint
from prepaid.supply import ASKS_TAPS
from prepaid.wire.downlog import TapsClosed

log = logging.getLogger(__name__)

ANSWER_HOLDS = timedelta(minutes=1)
"""A gateway that is heard so long after the answer and still waits has not got it: it is asked again."""


class NotAsked(CloudError):
    status = 409
    sentence = "The supply of {point} does not wait for its taps."


def confirm(
    session: Session,
    point_id: UUID,
    *,
    now: datetime,
    account_id: UUID | None = None,
    organization_id: UUID | None = None,
) -> None:
    """Tells the gateway that the taps behind a service point are closed. Pressed twice it is told once.

    With account_id or organization_id, only if the point is theirs. Raises NoSuchPoint, or NotAsked where
    its supply does not wait for that.
    """
    point, purse, state = tables.ServicePoint, tables.Purse, tables.PointState
    found = session.execute(
        select(point, col(purse.account_id))
        .outerjoin(purse, col(purse.id) == col(point.purse_id))
        .where(col(point.id) == point_id)
    ).one_or_none()
    if found is None:
        raise NoSuchPoint
    row, owner = found
    if account_id not in (None, owner) or organization_id not in (None, row.organization_id):
        raise NoSuchPoint
    (gateway,) = downlog.lock(session, [row.gateway_id])
    seen = session.get_one(state, point_id, populate_existing=True)
    if seen.why not in ASKS_TAPS:
        raise NotAsked(point=row.name)
    if is_said(seen.taps_closed_at, heard_at=gateway.heard_at):
        return
    seen.taps_closed_at = now
    session.add(seen)
    session.flush()
    downlog.append(session, gateway, [TapsClosed(point_id, now)])
    log.info("the taps of %s are said to be closed", row.name)
    events.changed(session, row.organization_id, room_id=row.room_id, account_id=owner)


def is_said(taps_closed_at: datetime | None, *, heard_at: datetime | None) -> bool:
    """Whether the answer is given and on its way; heard_at is when the gateway was last heard."""
    if taps_closed_at is None:
        return False
    return heard_at is None or heard_at < taps_closed_at + ANSWER_HOLDS
