"""/api/sites: the estate's sites with their buildings; a site or a building added, named, ended. For staff."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from cloud.api.places import shapes
from cloud.api.places.shapes import Change, EditEstate, New, Place, SeePlaces
from cloud.services import scopes
from cloud.services.places import tree
from cloud.tables import utc_now
from cloud.web import UserSession

router = APIRouter(prefix="/api/sites")


class Building(BaseModel):
    """rooms are those in use, points the service points in them, vacant the rooms without an account."""

    id: UUID
    name: str
    rooms: int
    points: int
    vacant: int
    ended_at: datetime | None


class Site(BaseModel):
    id: UUID
    name: str
    timezone: str
    ended_at: datetime | None
    buildings: list[Building]


class NewSite(New):
    timezone: Annotated[str, Field(max_length=60)] = "Asia/Shanghai"


@router.get("")
def sites(user: SeePlaces, session: UserSession) -> list[Site]:
    """Sites with their buildings, those in use first."""
    return [
        Site(
            id=site.id,
            name=site.name,
            timezone=site.timezone,
            ended_at=site.ended_at,
            buildings=[
                Building(
                    id=each.id,
                    name=each.name,
                    rooms=each.rooms,
                    points=each.points,
                    vacant=each.vacant,
                    ended_at=each.ended_at,
                )
                for each in site.buildings
            ],
        )
        for site in tree.sites(session, user)
    ]


@router.post("", status_code=201)
def add_site(given: NewSite, user: EditEstate, session: UserSession) -> Place:
    """Adds a site. Only for who sees everything."""
    made = tree.add_site(session, given.name, timezone=given.timezone, by=user, now=utc_now())
    return shapes.place(made)


@router.patch("/{site_id}")
def change_site(site_id: UUID, given: Change, user: EditEstate, session: UserSession) -> Place:
    """Names a site otherwise, ends it, or takes it into use again."""
    return shapes.changed(
        session, scopes.check_site(session, user, site_id, whole=True), given, user
    )


@router.post("/{site_id}/buildings", status_code=201)
def add_building(site_id: UUID, given: New, user: EditEstate, session: UserSession) -> Place:
    """Adds a building to a site."""
    made = tree.add_building(session, site_id, given.name, by=user, now=utc_now())
    return shapes.place(made)
