"""The room board 房间监控: rooms with their service points, as a property manager sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlmodel import Session

from cloud.errors import CloudError
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import Why


class NoSuchRoom(CloudError):
    status = 404
    sentence = "There is no such room."


@dataclass(frozen=True, slots=True)
class PointCard:
    """A service point as people see it.

    balance is its purse's; days_left what that lasts at the rate of the last days, None where no rate is
    known. total is the register in unit (kWh, m3). wanted and why are the gateway's decision.
    """

    point_id: UUID
    name: str
    commodity: str
    meter_no: str
    purse_id: UUID
    balance: Money
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
    alarm_at: Money


@dataclass(frozen=True, slots=True)
class RoomCard:
    """holder is None where nobody has an account."""

    room_id: UUID
    name: str
    floor: int
    building: str
    holder: str | None
    account_id: UUID | None
    points: tuple[PointCard, ...]


def rooms(session: Session, organization_id: UUID, *, now: datetime) -> list[RoomCard]:
    """All rooms, by building, floor and name."""
    return _cards(session, organization_id, now=now, room_id=None)


def room(session: Session, organization_id: UUID, room_id: UUID, *, now: datetime) -> RoomCard:
    """Raises NoSuchRoom."""
    found = _cards(session, organization_id, now=now, room_id=room_id)
    if not found:
        raise NoSuchRoom
    return found[0]
