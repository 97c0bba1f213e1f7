"""What a tenant sees of the account: balances, supply, and the last top-ups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlmodel import Session, col

from cloud.services import board
from cloud.services.board import PointCard
from cloud.services.scopes import NoSuchAccount
from cloud.tables import Purse, TopUp
from prepaid.money import Money


@dataclass(frozen=True, slots=True)
class TopUpLine:
    topup_id: UUID
    purse_id: UUID
    amount: Money
    channel: str
    created_at: datetime
    paid_at: datetime | None
    credited_at: datetime | None


@dataclass(frozen=True, slots=True)
class TenantHome:
    """room (all rooms of the account) and site are names, room_id is the first room's.

    recent has the last ten paid top-ups, newest first.
    """

    account_id: UUID
    holder: str
    room: str
    room_id: UUID
    site: str
    timezone: str
    points: tuple[PointCard, ...]
    recent: tuple[TopUpLine, ...]
    phone: str | None = None
    is_told: bool = False  # by text message, when a top-up has arrived


_HOME = text("""
    SELECT a.organization_id, a.holder, a.phone, a.told_of_topups, array_agg(r.id ORDER BY r.name) AS rooms,
           string_agg(r.name, ' ' ORDER BY r.name) AS names, min(s.name) AS site,
           min(s.timezone) AS timezone
    FROM accounts a
    JOIN occupancies o ON o.account_id = a.id AND o.ended_at IS NULL
    JOIN rooms r ON r.id = o.room_id
    JOIN buildings b ON b.id = r.building_id
    JOIN sites s ON s.id = b.site_id
    WHERE a.id = :account
    GROUP BY a.organization_id, a.holder, a.phone, a.told_of_topups
""")


def home(session: Session, account_id: UUID, *, now: datetime) -> TenantHome:
    """Raises NoSuchAccount."""
    row = session.execute(_HOME, {"account": account_id}).one_or_none()
    if row is None:
        raise NoSuchAccount
    rooms = board.cards(session, row.organization_id, now=now, room_ids=row.rooms)
    return TenantHome(
        account_id=account_id,
        holder=row.holder,
        room=row.names,
        room_id=row.rooms[0],
        site=row.site,
        timezone=row.timezone,
        points=tuple(point for room in rooms for point in room.points),
        phone=row.phone,
        is_told=row.told_of_topups,
        recent=recent_topups(session, account_id),
    )


def recent_topups(session: Session, account_id: UUID) -> tuple[TopUpLine, ...]:
    """The last ten that were paid, newest first."""
    found = session.execute(
        select(TopUp)
        .join(Purse, col(Purse.id) == col(TopUp.purse_id))
        .where(col(Purse.account_id) == account_id, col(TopUp.credited_at).is_not(None))
        .order_by(col(TopUp.created_at).desc())
        .limit(10)
    ).scalars()
    return tuple(
        TopUpLine(
            topup_id=topup.id,
            purse_id=topup.purse_id,
            amount=Money(topup.amount_fen),
            channel=topup.channel,
            created_at=topup.created_at,
            paid_at=topup.paid_at,
            credited_at=topup.credited_at,
        )
        for topup in found
    )
