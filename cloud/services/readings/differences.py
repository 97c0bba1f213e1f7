"""What the re-rating has found booked otherwise than the readings say, as people see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, scopes
from cloud.services.money import purses
from prepaid.money import Money

MOST = 500


class NoSuchDifference(CloudError):
    status = 404
    sentence = "There is no such difference any more: it was compared again. Load the page again."


@dataclass(frozen=True, slots=True)
class Found:
    """One difference. booked and expected are 0 where there is no such charge; the readings between which it arose
    are None where no reading leads to it. why says how somebody has explained it, None while nobody has."""

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
    why: str | None = None
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None

    @property
    def too_much(self) -> Money:
        """What was charged too much; too little where it is negative."""
        return self.booked - self.expected


def found(session: Session, user: SignedIn) -> list[Found]:
    """The newest MOST that concern rooms the user sees, by time; first those that nobody has explained."""
    rows = session.execute(
        text(f"""
            SELECT d.*, p.name AS point, r.id AS room_id, r.name AS room, b.name AS building, t.unit,
                   k.why, u.name AS acknowledged_by, k.acknowledged_at
            FROM rating_differences d
            LEFT JOIN rating_acknowledgements k ON k.point_id = d.point_id AND k.item = d.item AND k.at = d.at
              AND k.booked_fen = d.booked_fen AND k.expected_fen = d.expected_fen
            LEFT JOIN users u ON u.id = k.acknowledged_by
            JOIN points p ON p.id = d.point_id JOIN tariffs t ON t.id = p.tariff_id
            JOIN rooms r ON r.id = p.room_id JOIN buildings b ON b.id = r.building_id
            WHERE d.organization_id = :organization AND {scopes.BUILDING}
            ORDER BY k.why IS NOT NULL, d.at DESC, d.point_id, d.item LIMIT :most
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
            row.why,
            row.acknowledged_by,
            row.acknowledged_at,
        )
        for row in rows
    ]


def acknowledge(
    session: Session,
    by: SignedIn,
    point_id: UUID,
    *,
    item: str,
    at: datetime,
    why: str,
    now: datetime,
) -> None:
    """A person has looked into a difference. It counts until re-rating finds other amounts there.

    Raises scopes.NoSuchPoint, NoSuchDifference or purses.BadReason.
    """
    scopes.check_point(session, by, point_id)
    told = purses.reason(why)
    found = session.get(tables.RatingDifference, (point_id, item, at))
    if found is None:
        raise NoSuchDifference
    row = insert(tables.RatingAcknowledgement)
    values = {
        "booked_fen": found.booked_fen,
        "expected_fen": found.expected_fen,
        "why": told,
        "acknowledged_by": by.user_id,
        "acknowledged_at": now,
    }
    session.execute(
        row.values(
            organization_id=by.organization_id, point_id=point_id, item=item, at=at, **values
        ).on_conflict_do_update(index_elements=["point_id", "item", "at"], set_=values)
    )
    said = {
        "item": item,
        "at": at.isoformat(),
        "booked_fen": found.booked_fen,
        "expected_fen": found.expected_fen,
        "why": told,
    }
    audit.record(session, by, "explain-difference", of="point", id=point_id, after=said, now=now)


def rated_points(session: Session) -> int:
    """Of how many points readings have been rated again."""
    count: int = session.execute(select(func.count(col(tables.Rated.point_id)))).scalar_one()
    return count
