"""A service point 用能点 as a person adds it with its first meter, and asks for a reading of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select
from sqlmodel import Session, col

from cloud.auth import SignedIn
from cloud.services import audit, downlog, estate, scopes
from cloud.services.devices import decisions, models
from cloud.tables import Gateway, Occupancy, Purse, Room, ServicePoint
from prepaid.point import Meter, Policy, Restore
from prepaid.purse import Purpose, pays_for
from prepaid.wire.downlog import Visit


@dataclass(frozen=True, slots=True)
class NewPoint:
    """What a service point is to be. model is the key of the meter's (services.devices.models); opening what the
    meter showed when it was put up, where somebody wrote that down."""

    name: str
    model: str
    meter: Meter
    tariff_code: str
    restore: Restore
    opening: Decimal | None
    leak_per_hour: Decimal | None = None  # of water, in m3: prepaid.point.Policy


def add(
    session: Session,
    room_id: UUID,
    gateway_id: UUID,
    new: NewPoint,
    *,
    by: SignedIn,
    now: datetime,
) -> ServicePoint:
    """The purse of the room's account pays for it; where nobody has the room it is vacant.

    Raises scopes.NoSuchRoom or NoSuchGateway, models.NoSuchModel, and what estate.add_point raises.
    """
    room = scopes.check_room(session, by, room_id)
    gateway = scopes.check_gateway(session, by, gateway_id)
    return put(session, room, gateway, new, by=by, now=now)


def put(
    session: Session, room: Room, gateway: Gateway, new: NewPoint, *, by: SignedIn, now: datetime
) -> ServicePoint:
    """The same in a room and at a gateway that by is known to see."""
    commodity = models.of_key(new.model).commodity
    point = estate.add_point(
        session,
        room=room,
        gateway=gateway,
        purse=purse_of(session, room, commodity),
        name=new.name,
        commodity=commodity,
        meter=new.meter,
        tariff_code=new.tariff_code,
        policy=Policy(restore=new.restore, leak_per_hour=new.leak_per_hour),
        model=new.model,
        opening=new.opening,
        now=now,
    )
    after = {"meter_no": new.meter.meter_no, "room": room.name, "gateway": gateway.gateway_no}
    audit.record(session, by, "point-added", of="point", id=point.id, after=after, now=now)
    return point


def purse_of(session: Session, room: Room, commodity: str) -> Purse | None:
    """The purse that pays for it in the room's account: its own before one for both together; None if nobody does."""
    found = session.execute(
        select(Purse)
        .join(Occupancy, col(Occupancy.account_id) == col(Purse.account_id))
        .where(col(Occupancy.room_id) == room.id, col(Occupancy.ended_at).is_(None))
        .order_by(col(Purse.purpose) == Purpose.UTILITY.value, col(Purse.created_at))
    ).scalars()
    return next((p for p in found if pays_for(Purpose(p.purpose), commodity)), None)


def read_now(session: Session, point_id: UUID, *, by: SignedIn) -> None:
    """Asks the gateway to read the meter now. Raises scopes.NoSuchPoint or decisions.PointIsEnded."""
    found = decisions.point_of(session, point_id, by)
    (gateway,) = downlog.lock(session, [found.gateway_id])
    downlog.append(session, gateway, [Visit(found.id)])
