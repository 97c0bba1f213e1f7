"""What the re-rating has found booked otherwise than the readings say, as people see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import func, select, text
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.services import scopes
from prepaid.money import Money

MOST = 500


@dataclass(frozen=True, slots=True)
class Found:
    """One difference. booked and expected are 0 where there is no such charge; the readings between which it arose
    are None where no reading leads to it."""

    point_id: UUID
    point: str
    room_id: UUID
    room: str
    building: str
    unit: str
    item: str
    at: datetime
    booked: Money
    expected: Money
    before_at: datetime | None
    before_total: Decimal | None
    after_total: Decimal | None
    found_at: datetime

    @property
    def too_much(self) -> Money:
        """What was charged too much; too little where it is negative."""
        return self.booked - self.expected


def found(session: Session, user: SignedIn) -> list[Found]:
    """The newest MOST that concern rooms the user sees, by time."""
    rows = session.execute(
        text(f"""
            SELECT d.*, p.name AS point, r.id AS room_id, r.name AS room, b.name AS building, t.unit
            FROM rating_differences d
            JOIN points p ON p.id = d.point_id JOIN tariffs t ON t.id = p.tariff_id
            JOIN rooms r ON r.id = p.room_id JOIN buildings b ON b.id = r.building_id
            WHERE d.organization_id = :organization AND {scopes.BUILDING}
            ORDER BY d.at DESC, d.point_id, d.item LIMIT :most
        """),
        {"organization": user.organization_id, "most": MOST, **scopes.given(user.scope)},
    )
    return [
        Found(
            row.point_id,
            row.point,
            row.room_id,
            row.room,
            row.building,
            row.unit,
            row.item,
            row.at,
            Money(row.booked_fen),
            Money(row.expected_fen),
            row.before_at,
            row.before_total,
            row.after_total,
            row.found_at,
        )
        for row in rows
    ]


def rated_points(session: Session) -> int:
    """Of how many points readings have been rated again."""
    count: int = session.execute(select(func.count(col(tables.Rated.point_id)))).scalar_one()
    return count
