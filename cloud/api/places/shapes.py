"""What sites, buildings and rooms look like to programs, and how each is changed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from pydantic import BaseModel, Field
from sqlmodel import Session

from cloud import web
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services.places import tree
from cloud.tables import Building, Room, Site, utc_now

SeePlaces = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_ROOMS))]
EditEstate = Annotated[SignedIn, Depends(web.allowed(Permission.EDIT_ESTATE))]
Name = Annotated[str, Field(min_length=1, max_length=tree.LONGEST)]


class New(BaseModel):
    name: Name


class Change(BaseModel):
    """name: another one. ended: true ends it, false brings it back into use. What is left out stays."""

    name: Name | None = None
    ended: bool | None = None


class Place(BaseModel):
    """is_deleted: it never had anything, and so is gone; else it is only ended, and stays in the books."""

    id: UUID
    name: str
    ended_at: datetime | None
    is_deleted: bool = False


def place(row: Site | Building | Room) -> Place:
    return Place(id=row.id, name=row.name, ended_at=row.ended_at)


def changed(session: Session, row: Site | Building | Room, given: Change, user: SignedIn) -> Place:
    """Raises tree.BadName, tree.NameTaken or tree.StillInUse."""
    now = utc_now()
    if given.name is not None:
        tree.rename(session, row, given.name, by=user, now=now)
    if given.ended is False:
        tree.use_again(session, row, by=user, now=now)
    if given.ended is True and row.ended_at is None:
        before = Place(id=row.id, name=row.name, ended_at=now, is_deleted=True)
        if not tree.end(session, row, by=user, now=now):
            return before
    return place(row)
