"""What of an organization a member of staff sees: as conditions for queries, and as checks of single things.

What lies outside is answered as if it did not exist.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, or_, select, true
from sqlmodel import Session, SQLModel, col

from cloud.auth import Scope, SignedIn
from cloud.errors import CloudError
from cloud.tables import (
    Account,
    Building,
    Gateway,
    Occupancy,
    Purse,
    Room,
    ServicePoint,
    Site,
    TopUp,
)

Row = TypeVar("Row", bound=SQLModel)
Condition = ColumnElement[bool]

BUILDING = "(:is_everywhere OR b.site_id = ANY(:sites) OR b.id = ANY(:buildings))"
"""The condition for a query in text, in which b is a building; its parameters are given(scope)."""

GATEWAY = """(:is_everywhere OR g.site_id = ANY(:sites) OR EXISTS (
    SELECT 1 FROM points scoped JOIN rooms r ON r.id = scoped.room_id JOIN buildings b ON b.id = r.building_id
    WHERE scoped.gateway_id = g.id AND (b.site_id = ANY(:sites) OR b.id = ANY(:buildings))))"""
"""The same where g is a gateway."""


class NoSuchSite(CloudError):
    status = 404
    sentence = "There is no such site."


class NoSuchBuilding(CloudError):
    status = 404
    sentence = "There is no such building."


class NoSuchRoom(CloudError):
    status = 404
    sentence = "There is no such room."


class NoSuchPoint(CloudError):
    status = 404
    sentence = "There is no such service point."


class NoSuchAccount(CloudError):
    status = 404
    sentence = "There is no such account."


class NoSuchPurse(CloudError):
    status = 404
    sentence = "There is no such purse."


class NoSuchTopUp(CloudError):
    status = 404
    sentence = "There is no such top-up."


class NoSuchGateway(CloudError):
    status = 404
    sentence = "There is no such gateway."


def given(scope: Scope) -> dict[str, object]:
    """The parameters of BUILDING and GATEWAY."""
    return {
        "is_everywhere": scope.is_everywhere,
        "sites": list(scope.sites),
        "buildings": list(scope.buildings),
    }


def buildings_of(user: SignedIn) -> Condition:
    """Of Building: those that the user sees."""
    scope = user.scope
    return and_(
        col(Building.organization_id) == user.organization_id,
        true()
        if scope.is_everywhere
        else or_(
            col(Building.site_id).in_(scope.sites),
            col(Building.id).in_(scope.buildings),
        ),
    )


def sites_of(user: SignedIn) -> Condition:
    """Of Site: those of which the user sees at least a building, or all there will be."""
    scope = user.scope
    return and_(
        col(Site.organization_id) == user.organization_id,
        true()
        if scope.is_everywhere
        else or_(
            col(Site.id).in_(scope.sites),
            col(Site.id).in_(
                select(col(Building.site_id)).where(col(Building.id).in_(scope.buildings))
            ),
        ),
    )


def whole_sites_of(user: SignedIn) -> Condition:
    """Of Site: those of which the user sees everything, and so may change what concerns all of it."""
    is_whole = true() if user.scope.is_everywhere else col(Site.id).in_(user.scope.sites)
    return and_(col(Site.organization_id) == user.organization_id, is_whole)


def rooms_of(user: SignedIn) -> Condition:
    """Of Room: those in buildings that the user sees."""
    return _within(user, Room, col(Room.building_id).in_(_buildings(user)))


def points_of(user: SignedIn) -> Condition:
    """Of ServicePoint."""
    return _within(user, ServicePoint, col(ServicePoint.room_id).in_(_rooms(user)))


def accounts_of(user: SignedIn) -> Condition:
    """Of Account: those that have, or had, a room that the user sees."""
    occupied = exists().where(
        col(Occupancy.account_id) == col(Account.id), col(Occupancy.room_id).in_(_rooms(user))
    )
    return _within(user, Account, occupied)


def purses_of(user: SignedIn) -> Condition:
    """Of Purse: those of accounts that the user sees."""
    occupied = exists().where(
        col(Occupancy.account_id) == col(Purse.account_id),
        col(Occupancy.room_id).in_(_rooms(user)),
    )
    return _within(user, Purse, occupied)


def topups_of(user: SignedIn) -> Condition:
    """Of TopUp: those of purses that the user sees."""
    purses = select(col(Purse.id)).where(purses_of(user))
    return _within(user, TopUp, col(TopUp.purse_id).in_(purses))


def gateways_of(user: SignedIn) -> Condition:
    """Of Gateway: those of sites that the user sees whole, and those that supply a room that he sees."""
    supplies = exists().where(
        col(ServicePoint.gateway_id) == col(Gateway.id),
        col(ServicePoint.room_id).in_(_rooms(user)),
    )
    return _within(user, Gateway, or_(col(Gateway.site_id).in_(user.scope.sites), supplies))


def whole_gateways_of(user: SignedIn) -> Condition:
    """Of Gateway: those that supply no room which the user does not see, and so are his to change."""
    beyond = exists().where(
        col(ServicePoint.gateway_id) == col(Gateway.id),
        col(ServicePoint.room_id).not_in(_rooms(user)),
    )
    return and_(gateways_of(user), true() if user.scope.is_everywhere else ~beyond)


def check_site(session: Session, user: SignedIn, site_id: UUID, *, whole: bool = False) -> Site:
    """The site; whole: only if the user sees all of it. Raises NoSuchSite."""
    seen = whole_sites_of(user) if whole else sites_of(user)
    return _found(session, Site, site_id, seen, NoSuchSite)


def check_building(session: Session, user: SignedIn, building_id: UUID) -> Building:
    """Raises NoSuchBuilding."""
    return _found(session, Building, building_id, buildings_of(user), NoSuchBuilding)


def check_room(session: Session, user: SignedIn, room_id: UUID) -> Room:
    """Raises NoSuchRoom."""
    return _found(session, Room, room_id, rooms_of(user), NoSuchRoom)


def check_point(session: Session, user: SignedIn, point_id: UUID) -> ServicePoint:
    """Raises NoSuchPoint."""
    return _found(session, ServicePoint, point_id, points_of(user), NoSuchPoint)


def check_account(session: Session, user: SignedIn, account_id: UUID) -> Account:
    """Raises NoSuchAccount."""
    return _found(session, Account, account_id, accounts_of(user), NoSuchAccount)


def check_purse(session: Session, user: SignedIn, purse_id: UUID) -> Purse:
    """Raises NoSuchPurse."""
    return _found(session, Purse, purse_id, purses_of(user), NoSuchPurse)


def check_topup(session: Session, user: SignedIn, topup_id: UUID) -> TopUp:
    """Raises NoSuchTopUp."""
    return _found(session, TopUp, topup_id, topups_of(user), NoSuchTopUp)


def check_gateway(
    session: Session, user: SignedIn, gateway_id: UUID, *, whole: bool = False
) -> Gateway:
    """The gateway; whole: only if it supplies nothing that the user does not see. Raises NoSuchGateway."""
    seen = whole_gateways_of(user) if whole else gateways_of(user)
    return _found(session, Gateway, gateway_id, seen, NoSuchGateway)


def only_rooms(session: Session, user: SignedIn, room_ids: Iterable[UUID]) -> set[UUID]:
    """Those of these rooms that the user sees."""
    found = session.execute(
        select(col(Room.id)).where(col(Room.id).in_(list(room_ids)), rooms_of(user))
    )
    return set(found.scalars())


@dataclass(frozen=True, slots=True)
class SeenSite:
    """A site with the buildings that a user sees of it; is_whole: all there are, and will be."""

    site_id: UUID
    name: str
    is_whole: bool
    buildings: tuple[tuple[UUID, str], ...]


def site_tree(session: Session, user: SignedIn) -> list[SeenSite]:
    """The sites that the user sees something of, by name, with those buildings, by name."""
    found = session.execute(
        select(col(Site.id), col(Site.name), col(Building.id), col(Building.name))
        .outerjoin(Building, and_(col(Building.site_id) == col(Site.id), buildings_of(user)))
        .where(sites_of(user))
        .order_by(col(Site.name), col(Building.name))
    ).all()
    return [
        SeenSite(
            site_id=site_id,
            name=name,
            is_whole=user.scope.is_everywhere or site_id in user.scope.sites,
            buildings=tuple((row[2], row[3]) for row in rows if row[2] is not None),
        )
        for (site_id, name), rows in (
            (key, list(rows)) for key, rows in groupby(found, key=lambda row: (row[0], row[1]))
        )
    ]


def seen_buildings(session: Session, user: SignedIn) -> set[UUID]:
    """The ids of the buildings that the user sees."""
    return set(session.execute(_buildings(user)).scalars())


def _buildings(user: SignedIn):  # type: ignore[no-untyped-def]  # a select of one column
    return select(col(Building.id)).where(buildings_of(user))


def _rooms(user: SignedIn):  # type: ignore[no-untyped-def]
    return select(col(Room.id)).where(rooms_of(user))


def _within(user: SignedIn, table: type[SQLModel], is_seen: Condition) -> Condition:
    """Of the user's organization, and seen; everywhere without a look at where it is."""
    ours = table.organization_id == user.organization_id  # type: ignore[attr-defined]
    return and_(ours, true() if user.scope.is_everywhere else is_seen)


def _found(
    session: Session, table: type[Row], id: UUID, is_seen: Condition, missing: type[CloudError]
) -> Row:
    query = select(table).where(table.id == id, is_seen)  # type: ignore[attr-defined]
    found: Row | None = session.execute(query).scalar_one_or_none()
    if found is None:
        raise missing
    return found
