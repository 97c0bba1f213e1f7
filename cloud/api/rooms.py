"""GET /api/rooms and /api/rooms/{id}: the room board as JSON, for staff."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from cloud import web
from cloud.api.paging import After, cut
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services import board
from cloud.tables import utc_now
from cloud.web import UserSession
from prepaid.reading import Supply
from prepaid.supply import Why

router = APIRouter(prefix="/api/rooms")


class Point(BaseModel):
    id: UUID
    name: str
    commodity: str
    meter_no: str
    purse_id: UUID | None
    balance_fen: int
    days_left: Decimal | None
    supply: Supply | None
    wanted: Supply | None
    why: Why | None
    total: Decimal | None
    unit: str
    read_at: datetime | None
    is_silent: bool
    is_held: bool
    gateway_online: bool
    alarm_at_fen: int


class Room(BaseModel):
    id: UUID
    name: str
    floor: int
    building: str
    account_id: UUID | None
    holder: str | None
    points: list[Point]


class Rooms(BaseModel):
    rooms: list[Room]
    next: UUID | None


@router.get("")
def rooms(
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_ROOMS))],
    session: UserSession,
    after: After = None,
    most: Annotated[
        int | None,
        Query(
            description="So many on a page at most; without it, and without after, all.",
            ge=1,
            le=500,
        ),
    ] = None,
) -> Rooms | list[Room]:
    """Rooms by building, floor and name: a page with most or after, without them all of them in one list."""
    page_of = most or (100 if after is not None else None)
    found = board.rooms(
        session,
        user.organization_id,
        now=utc_now(),
        scope=user.scope,
        after=after,
        most=page_of and page_of + 1,
    )
    if page_of is None:
        return [_room(card) for card in found]
    page, following = cut(found, page_of, lambda card: card.room_id)
    return Rooms(rooms=[_room(card) for card in page], next=following)


@router.get("/{room_id}")
def room(
    room_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_ROOMS))],
    session: UserSession,
) -> Room:
    """One room with its supplies."""
    return _room(
        board.room(session, user.organization_id, room_id, now=utc_now(), scope=user.scope)
    )


def _room(card: board.RoomCard) -> Room:
    return Room(
        id=card.room_id,
        name=card.name,
        floor=card.floor,
        building=card.building,
        account_id=card.account_id,
        holder=card.holder,
        points=[_point(point) for point in card.points],
    )


def _point(card: board.PointCard) -> Point:
    return Point(
        id=card.point_id,
        name=card.name,
        commodity=card.commodity,
        meter_no=card.meter_no,
        purse_id=card.purse_id,
        balance_fen=card.balance.fen,
        days_left=card.days_left,
        supply=card.supply,
        wanted=card.wanted,
        why=card.why,
        total=card.total,
        unit=card.unit,
        read_at=card.read_at,
        is_silent=card.is_silent,
        is_held=card.is_held,
        gateway_online=card.gateway_online,
        alarm_at_fen=card.alarm_at.fen,
    )
