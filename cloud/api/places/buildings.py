"""/api/buildings, PATCH /api/rooms: the rooms of a building, made one by one or by rule, named, ended. For staff."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from cloud.api.paging import After, Most, cut
from cloud.api.places import shapes
from cloud.api.places.shapes import Change, EditEstate, New, Place, SeePlaces
from cloud.services import scopes
from cloud.services.places import rule, tree
from cloud.tables import utc_now
from cloud.web import UserSession

router = APIRouter(prefix="/api")

Span = Annotated[str, Field(min_length=1, max_length=200, examples=["1-6, 8"])]


class RoomOf(BaseModel):
    """A room as it is kept: also one that is ended. holder is null while nobody has it."""

    id: UUID
    name: str
    floor: int
    holder: str | None
    points: int
    ended_at: datetime | None


class Rooms(BaseModel):
    rooms: list[RoomOf]
    next: UUID | None


class NewRoom(New):
    floor: Annotated[int, Field(strict=True, ge=-99, le=999)]


class ByRule(BaseModel):
    """Rooms for each of floors and each of rooms, named by pattern: in it {FF} stands for the floor, {RR} for the
    number of the room on it, a letter for a digit. only_plan: nothing is made."""

    floors: Span
    rooms: Span
    pattern: Annotated[str, Field(max_length=60, examples=["{FF}{RR}"])] = "{FF}{RR}"
    only_plan: bool = False


class Planned(BaseModel):
    """is_known: a room of that name was there already, and stays as it is."""

    floor: int
    name: str
    is_known: bool


@router.patch("/buildings/{building_id}")
def change_building(
    building_id: UUID, given: Change, user: EditEstate, session: UserSession
) -> Place:
    """Names a building otherwise, ends it, or takes it into use again."""
    row = scopes.check_building(session, user, building_id)
    return shapes.changed(session, row, given, user)


@router.get("/buildings/{building_id}/rooms")
def rooms_of_building(
    building_id: UUID,
    user: SeePlaces,
    session: UserSession,
    after: After = None,
    most: Most = 100,
) -> Rooms:
    """The rooms of a building, from the top floor down, also those no longer let."""
    found = tree.rooms(session, building_id, by=user, after=after, most=most + 1)
    page, following = cut(found, most, lambda row: row.id)
    return Rooms(
        rooms=[
            RoomOf(
                id=each.id,
                name=each.name,
                floor=each.floor,
                holder=each.holder,
                points=each.points,
                ended_at=each.ended_at,
            )
            for each in page
        ],
        next=following,
    )


@router.post("/buildings/{building_id}/rooms", status_code=201)
def add_room(building_id: UUID, given: NewRoom, user: EditEstate, session: UserSession) -> Place:
    """Adds a room to a building."""
    made = tree.add_room(
        session, building_id, given.name, floor=given.floor, by=user, now=utc_now()
    )
    return shapes.place(made)


@router.post("/buildings/{building_id}/rooms/by-rule")
def make_rooms(
    building_id: UUID, given: ByRule, user: EditEstate, session: UserSession
) -> list[Planned]:
    """Makes the rooms of a rule that are not there yet. Asked twice it makes them once."""
    asked = rule.Rule(given.floors, given.rooms, given.pattern)
    if given.only_plan:
        planned = rule.plan(session, building_id, asked, by=user)
    else:
        planned = rule.make(session, building_id, asked, by=user, now=utc_now())
    return [Planned(floor=p.floor, name=p.name, is_known=p.is_known) for p in planned]


@router.patch("/rooms/{room_id}")
def change_room(room_id: UUID, given: Change, user: EditEstate, session: UserSession) -> Place:
    """Names a room otherwise, ends it, or takes it into use again."""
    return shapes.changed(session, scopes.check_room(session, user, room_id), given, user)
