"""/api/points: a service point with its first meter; what was ever mounted at it and done to it. For staff."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlmodel import Session

from cloud.api.devices.meters import SeeMeters
from cloud.api.devices.shapes import ChangeMeters, Device, Event, Short, Total, event
from cloud.api.places.shapes import EditEstate
from cloud.auth import SignedIn
from cloud.services.devices import points, register
from cloud.services.devices.points import NewPoint
from cloud.tables import utc_now
from cloud.web import UserSession
from prepaid.point import Restore

router = APIRouter(prefix="/api/points")


class Mounted(BaseModel):
    """Which meter measured the point from when until when, and from which register to which."""

    meter_id: UUID
    meter_no: str
    line: str
    address: str
    protocol: str
    multiplier: Decimal
    mounted_at: datetime
    removed_at: datetime | None
    opening: Decimal | None
    closing: Decimal | None


class Point(BaseModel):
    """mountings and events: the latest first."""

    id: UUID
    name: str
    commodity: str
    room_id: UUID
    room: str
    gateway_id: UUID
    purse_id: UUID | None
    tariff_id: UUID
    total: Decimal | None
    read_at: datetime | None
    held_since: datetime | None
    ended_at: datetime | None
    mountings: list[Mounted]
    events: list[Event]


class PointToAdd(BaseModel):
    """opening: what the meter showed when it was put up, where somebody wrote that down. restore: whether a supply
    comes back by itself (direct) or is allowed, and closed at the meter. leak_per_hour: of water, how many m3 an hour
    may flow in the first minutes after the gateway opened the valve; if more does, it is closed again."""

    room_id: UUID
    gateway_id: UUID
    name: Short
    tariff_code: Annotated[str, Field(min_length=1, max_length=200)]
    meter: Device
    restore: Restore = Restore.ALLOW_CLOSE
    leak_per_hour: Annotated[Decimal, Field(gt=0, lt=10**6, examples=["1"])] | None = None
    opening: Total | None = None


@router.post("", status_code=201)
def add_point(given: PointToAdd, user: EditEstate, session: UserSession) -> Point:
    """Adds a service point with its first meter; the purse of the room's account pays for it, if it has one."""
    new = NewPoint(
        name=given.name,
        model=given.meter.model,
        meter=given.meter.value(),
        tariff_code=given.tariff_code,
        restore=given.restore,
        leak_per_hour=given.leak_per_hour,
        opening=given.opening,
    )
    added = points.add(session, given.room_id, given.gateway_id, new, by=user, now=utc_now())
    return _point(session, user, added.id)


@router.get("/{point_id}")
def get_point(point_id: UUID, user: SeeMeters, session: UserSession) -> Point:
    """A service point with the life of its meters."""
    return _point(session, user, point_id)


@router.post("/{point_id}/read", status_code=204)
def read_now(point_id: UUID, user: ChangeMeters, session: UserSession) -> None:
    """Asks the gateway to read the meter now."""
    points.read_now(session, point_id, by=user)


def _point(session: Session, user: SignedIn, point_id: UUID) -> Point:
    life = register.life(session, point_id, by=user)
    point = life.point
    return Point(
        id=point.id,
        name=point.name,
        commodity=point.commodity,
        room_id=point.room_id,
        room=life.room.name,
        gateway_id=point.gateway_id,
        purse_id=point.purse_id,
        tariff_id=point.tariff_id,
        total=life.state.total,
        read_at=life.state.read_at,
        held_since=life.state.held_since,
        ended_at=point.ended_at,
        mountings=[
            Mounted(
                meter_id=meter.id,
                meter_no=meter.meter_no,
                line=device.line,
                address=device.address,
                protocol=device.protocol,
                multiplier=device.multiplier,
                mounted_at=mounting.mounted_at,
                removed_at=mounting.removed_at,
                opening=mounting.opening,
                closing=mounting.closing,
            )
            for mounting, meter, device in life.mountings
        ],
        events=[event(each.event, is_delivered=each.is_delivered) for each in life.events],
    )
