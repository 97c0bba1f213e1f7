"""Cutting off many at once 批量拉闸: proposed by one, decided on by another, then an override for each supply."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlmodel import Session, col

from cloud import auth, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services import approvals, downlog, overrides, scopes
from cloud.services.approvals import Approval
from prepaid.reading import Supply

KIND = "bulk-cut"
MOST = 500  # supplies in one proposal: what one person can still look through
NAMED = 40  # rooms that the proposal names


class NothingToCut(CloudError):
    status = 422
    field = "points"
    sentence = "Choose at least one supply to cut off."


class TooMany(CloudError):
    status = 422
    field = "points"
    sentence = "At most {most} supplies can be cut off by one proposal. Make several."


def propose(
    session: Session,
    by: SignedIn,
    point_ids: Collection[UUID],
    *,
    until: datetime,
    why: str,
    longest: timedelta,
    now: datetime,
) -> Approval:
    """Asks a second person to cut these supplies off until then. Nothing is cut yet.

    Raises NothingToCut, TooMany, NoSuchPoint for one out of scope, and as overrides.pin for one that cannot be
    cut off: one that is protected or has no switch, a bad end or reason.
    """
    chosen = sorted(set(point_ids))
    if not chosen:
        raise NothingToCut
    if len(chosen) > MOST:
        raise TooMany(most=MOST)
    standing = overrides.all_in_force(session, chosen, now=now)
    for point_id in chosen:
        overrides.check(
            session,
            point_id,
            supply=Supply.OFF,
            until=until,
            why=why,
            instead_of=standing[point_id].id if point_id in standing else None,
            by=by,
            longest=longest,
            now=now,
        )
    names, sites = _places(session, chosen)
    more = "" if len(names) <= NAMED else f" … (+{len(names) - NAMED})"
    return approvals.propose(
        session,
        by,
        KIND,
        subject=uuid4(),
        detail={
            "points": [str(id) for id in chosen],
            "until": until.isoformat(),
            "longest_s": int(longest.total_seconds()),
            "count": len(chosen),
            "rooms": ", ".join(names[:NAMED]) + more,
        },
        why=why,
        now=now,
        site_id=sites.pop() if len(sites) == 1 else None,
    )


def carry_out(session: Session, approval: Approval, by: SignedIn, now: datetime) -> None:
    """The executor: pins each supply off, in place of what it is pinned to. All or none.

    Raises what overrides.pin raises: somebody has protected one meanwhile, or the end has passed.
    """
    points = [UUID(id) for id in approval.detail["points"]]
    maker = auth.of_user(session, session.get_one(tables.User, approval.proposed_by))
    auth.require(maker, Permission.CUT_MANY)  # he may have lost it since
    gateways = session.execute(
        select(col(tables.ServicePoint.gateway_id))
        .where(col(tables.ServicePoint.id).in_(points), scopes.points_of(by))
        .distinct()
    )
    downlog.lock(session, gateways.scalars())  # all at once, in their order
    standing = overrides.all_in_force(session, points, now=now)
    for point_id in points:
        overrides.pin(
            session,
            point_id,
            supply=Supply.OFF,
            until=datetime.fromisoformat(approval.detail["until"]),
            why=approval.why,
            instead_of=standing[point_id].id if point_id in standing else None,
            by=by,
            longest=timedelta(seconds=approval.detail["longest_s"]),
            now=now,
        )


def _places(session: Session, points: Collection[UUID]) -> tuple[list[str], set[UUID]]:
    """The rooms' names with their buildings', in order, and the sites."""
    point, room, building = tables.ServicePoint, tables.Room, tables.Building
    found = session.execute(
        select(col(building.name), col(room.name), col(building.site_id))
        .join(room, col(room.building_id) == col(building.id))
        .join(point, col(point.room_id) == col(room.id))
        .where(col(point.id).in_(points))
        .distinct()
        .order_by(col(building.name), col(room.name))
    ).all()
    return [f"{row[0]} {row[1]}" for row in found], {row[2] for row in found}
