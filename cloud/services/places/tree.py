"""Sites with their buildings, and how many rooms each has; names, and what is no longer in use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.errors import ForeignKeyViolation, UniqueViolation
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from cloud import events
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, estate, scopes
from cloud.tables import Building, Gateway, Occupancy, Room, ServicePoint, Site

LONGEST = 80


class BadName(CloudError):
    status = 422
    field = "name"
    sentence = "A name has 1 to {most} characters."


class NameTaken(CloudError):
    status = 409
    field = "name"
    sentence = "There is already one called {name} here."


class StillInUse(CloudError):
    status = 409
    sentence = (
        "{what} is still in use: {count} accounts, rooms, meters or gateways. End those first."
    )


class OfAnother(CloudError):
    status = 403
    sentence = (
        "You see only part of this site, so you cannot add to it. Ask somebody who sees all of it."
    )


@dataclass(frozen=True, slots=True)
class BuildingCard:
    """rooms are those in use, points the service points in them, vacant the rooms without an account."""

    id: UUID
    site_id: UUID
    name: str
    rooms: int
    points: int
    vacant: int
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class SiteCard:
    id: UUID
    name: str
    timezone: str
    ended_at: datetime | None
    buildings: tuple[BuildingCard, ...]


@dataclass(frozen=True, slots=True)
class RoomRow:
    id: UUID
    name: str
    floor: int
    holder: str | None
    points: int
    ended_at: datetime | None


_BUILDINGS = text(f"""
    SELECT b.id, b.site_id, b.name, b.ended_at,
           count(DISTINCT r.id) AS rooms, count(DISTINCT p.id) AS points,
           count(DISTINCT r.id) FILTER (WHERE o.room_id IS NULL) AS vacant
    FROM buildings b
    LEFT JOIN rooms r ON r.building_id = b.id AND r.ended_at IS NULL
    LEFT JOIN points p ON p.room_id = r.id AND p.ended_at IS NULL
    LEFT JOIN occupancies o ON o.room_id = r.id AND o.ended_at IS NULL
    WHERE b.organization_id = :organization
      AND {scopes.BUILDING}
    GROUP BY b.id
    ORDER BY b.ended_at IS NOT NULL, b.name
""")

_ROOMS = text("""
    SELECT r.id, r.name, r.floor, r.ended_at, a.holder,
           (SELECT count(*) FROM points p WHERE p.room_id = r.id AND p.ended_at IS NULL) AS points
    FROM rooms r
    LEFT JOIN occupancies o ON o.room_id = r.id AND o.ended_at IS NULL
    LEFT JOIN accounts a ON a.id = o.account_id
    WHERE r.building_id = :building
      AND (CAST(:after AS uuid) IS NULL
           OR (-r.floor, r.name) > (SELECT -last.floor, last.name FROM rooms last
                                    WHERE last.id = :after AND last.building_id = :building))
    ORDER BY r.floor DESC, r.name
    LIMIT :most
""")


def sites(session: Session, by: SignedIn) -> list[SiteCard]:
    """What the user sees of the organization's sites, those in use first."""
    found = session.execute(
        select(Site)
        .where(scopes.sites_of(by))
        .order_by(col(Site.ended_at).is_not(None), col(Site.name))
    ).scalars()
    rows = session.execute(
        _BUILDINGS, {"organization": by.organization_id, **scopes.given(by.scope)}
    ).all()
    of_site: dict[UUID, list[BuildingCard]] = {}
    for row in rows:
        of_site.setdefault(row.site_id, []).append(BuildingCard(**row._mapping))
    return [
        SiteCard(s.id, s.name, s.timezone, s.ended_at, tuple(of_site.get(s.id, ()))) for s in found
    ]


def rooms(
    session: Session,
    building_id: UUID,
    *,
    by: SignedIn,
    after: UUID | None = None,
    most: int | None = None,
) -> list[RoomRow]:
    """The rooms of a building, from the top floor down, those no longer let too: all, or so many that follow one.

    Raises scopes.NoSuchBuilding.
    """
    building = scopes.check_building(session, by, building_id)
    given = {"building": building.id, "after": after, "most": most}
    found = session.execute(_ROOMS, given).all()
    return [RoomRow(**row._mapping) for row in found]


def add_site(session: Session, name: str, *, timezone: str, by: SignedIn, now: datetime) -> Site:
    """Only for who sees everything. Raises BadName, estate.Taken, estate.BadValue or OfAnother."""
    if not by.scope.is_everywhere:
        raise OfAnother
    site = estate.add_site(session, by.organization_id, named(name), timezone)
    _note(session, by, "site-added", "site", site.id, None, {"name": site.name}, now)
    return site


def add_building(
    session: Session, site_id: UUID, name: str, *, by: SignedIn, now: datetime
) -> Building:
    """Only for who sees the whole site. Raises scopes.NoSuchSite, BadName or estate.Taken."""
    site = scopes.check_site(session, by, site_id, whole=True)
    building = estate.add_building(session, site, named(name))
    _note(
        session, by, "building-added", "building", building.id, None, {"name": building.name}, now
    )
    return building


def add_room(
    session: Session, building_id: UUID, name: str, *, floor: int, by: SignedIn, now: datetime
) -> Room:
    """Raises scopes.NoSuchBuilding, BadName or estate.Taken."""
    building = scopes.check_building(session, by, building_id)
    room = estate.add_room(session, building, named(name), floor)
    after = {"name": room.name, "floor": floor, "building": building.name}
    _note(session, by, "room-added", "room", room.id, None, after, now)
    return room


def rename(
    session: Session, row: Site | Building | Room, name: str, *, by: SignedIn, now: datetime
) -> None:
    """Another name; what was said by the old one stays as it was. Raises BadName or NameTaken."""
    name, before = named(name), row.name
    if name == before:
        return
    try:
        with session.begin_nested():
            row.name = name
            session.add(row)
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation):
            raise NameTaken(name=name) from None
        raise
    kind = _kind(row)
    _note(session, by, f"{kind}-renamed", kind, row.id, {"name": before}, {"name": name}, now)


def end(session: Session, row: Site | Building | Room, *, by: SignedIn, now: datetime) -> bool:
    """Whatever never had anything is deleted (False); else it is ended and stays in the books (True).

    Raises StillInUse where somebody lives in it, or something is metered in it.
    """
    kind, id, name = _kind(row), row.id, row.name
    for table, where in _within(row):
        count = session.execute(
            select(func.count()).select_from(table).where(where, col(table.ended_at).is_(None))
        ).scalar_one()
        if count:
            raise StillInUse(what=name, count=count)
    try:
        with session.begin_nested():
            session.delete(row)
        had = False
    except IntegrityError as error:
        if not isinstance(error.orig, ForeignKeyViolation):
            raise
        had = True
        session.refresh(row)
        row.ended_at = now
        session.add(row)
    session.flush()
    act = f"{kind}-ended" if had else f"{kind}-deleted"
    _note(session, by, act, kind, id, {"name": name}, None, now)
    return had


def use_again(
    session: Session, row: Site | Building | Room, *, by: SignedIn, now: datetime
) -> None:
    """It was ended by mistake, or is let again."""
    if row.ended_at is None:
        return
    row.ended_at = None
    session.add(row)
    kind = _kind(row)
    _note(session, by, f"{kind}-used-again", kind, row.id, None, {"name": row.name}, now)


def named(name: str) -> str:
    """The name as it is kept. Raises BadName."""
    name = " ".join(name.split())
    if not 0 < len(name) <= LONGEST or not name.isprintable():
        raise BadName(most=LONGEST)
    return name


def _within(row: Site | Building | Room) -> list[tuple[Any, Any]]:
    """What would have to be ended before."""
    match row:
        case Room():
            return [
                (Occupancy, col(Occupancy.room_id) == row.id),
                (ServicePoint, col(ServicePoint.room_id) == row.id),
            ]
        case Building():
            return [(Room, col(Room.building_id) == row.id)]
        case Site():
            return [
                (Building, col(Building.site_id) == row.id),
                (Gateway, col(Gateway.site_id) == row.id),
            ]


def _kind(row: Site | Building | Room) -> str:
    return {Site: "site", Building: "building", Room: "room"}[type(row)]


def _note(
    session: Session,
    by: SignedIn,
    act: str,
    kind: str,
    id: UUID,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    now: datetime,
) -> None:
    audit.record(session, by, act, of=kind, id=id, before=before, after=after, now=now)
    events.changed(session, by.organization_id)
