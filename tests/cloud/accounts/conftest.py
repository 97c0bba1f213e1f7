"""Vacant rooms with meters, and people who open accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlmodel import Session, col

from cloud import auth, tables
from cloud.auth import SignedIn
from cloud.db import Database
from cloud.services import estate, uplog
from cloud.services.accounts.drafts import Draft, Holder, PointDraft
from cloud.tables import Building, Gateway
from prepaid.point import Meter, Policy, ServicePoint
from prepaid.purse import Purpose
from prepaid.rating import NOBODY, Position
from prepaid.reading import Reading, Supply
from prepaid.wire.downlog import PointSet, read_down
from prepaid.wire.entry import Cursor, Entry
from prepaid.wire.envelope import Envelope
from prepaid.wire.uplog import Charged, write_up
from tests.cloud.conftest import Estate

NOW = datetime(2026, 3, 2, 4, tzinfo=UTC)  # noon in Shanghai


@pytest.fixture
def session(database: Database, home: Estate) -> Iterator[Session]:
    with database.organization(home.organization_id) as opened:
        yield opened


@pytest.fixture
def by(database: Database, home: Estate) -> SignedIn:
    """The administrator of the estate."""
    with database.system() as session:
        return auth.of_user(session, session.get_one(tables.User, home.user_id))


@dataclass(frozen=True, slots=True)
class VacantRoom:
    room_id: UUID
    electricity: UUID
    water: UUID

    def draft(self, name: str = "李四", **changes: Any) -> Draft:
        """An opening of the room with a purse for electricity and one for water."""
        given: dict[str, Any] = {
            "room_ids": (self.room_id,),
            "holder": Holder(name),
            "points": (
                PointDraft(self.electricity, Purpose.ELECTRICITY),
                PointDraft(self.water, Purpose.WATER),
            ),
        }
        return Draft(**{**given, **changes})


def add_vacant(
    session: Session, home: Estate, name: str, gateway: Gateway | None = None
) -> VacantRoom:
    """A room with an electricity and a water meter that nobody pays for."""
    building = session.execute(
        select(Building).where(col(Building.site_id) == home.site_id)
    ).scalar_one()
    room = estate.add_room(session, building, name, 4)
    at = gateway or session.get_one(Gateway, home.gateway_id)
    points = [
        estate.add_point(
            session,
            room=room,
            gateway=at,
            purse=None,
            name=f"{name} {word}",
            commodity=commodity,
            meter=Meter(
                f"{name}-{word}",
                "dlt645-2007",
                "L1",
                f"{name}{place:08}",
                6,
                Decimal("0.01"),
                Decimal(60),
            ),
            tariff_code=tariff,
            policy=Policy(),
        )
        for place, (word, commodity, tariff) in enumerate(
            (("电", "electricity", "power"), ("水", "cold_water", "water"))
        )
    ]
    return VacantRoom(room.id, points[0].id, points[1].id)


@pytest.fixture
def vacant(session: Session, home: Estate) -> Callable[..., VacantRoom]:
    return lambda name="0401", gateway=None: add_vacant(session, home, name, gateway)


def told(session: Session, gateway_id: UUID, after: int = 0) -> list[Any]:
    """What the gateway was told, after an entry."""
    row = tables.DownEntry
    bodies = session.execute(
        select(col(row.body))
        .where(col(row.gateway_id) == gateway_id, col(row.seq) > after)
        .order_by(col(row.seq))
    ).scalars()
    return [read_down(body) for body in bodies]


def point_told(session: Session, gateway_id: UUID, point_id: UUID) -> ServicePoint:
    """The point as the gateway was told of it last."""
    sets = [m.point for m in told(session, gateway_id) if isinstance(m, PointSet)]
    return [point for point in sets if point.id == point_id][-1]


class GatewayPlayed:
    """A gateway that says what a test has it say, entry by entry, by its cursor in our log."""

    def __init__(self, database: Database, home: Estate) -> None:
        self._database, self._no = database, home.gateway_no
        self._log, self._seq = UUID(int=77), 0
        self._previous = "0" * 64

    def has_everything(self, *, now: datetime = NOW) -> None:
        """Its cursor is at the end of our log."""
        self._say((), now=now)

    def says(self, *messages: Any, now: datetime = NOW) -> None:
        entries = []
        for message in messages:
            self._seq += 1
            entry = Entry(self._log, self._seq, write_up(message), previous=self._previous)
            self._previous = entry.hash()
            entries.append(entry)
        self._say(tuple(entries), now=now)

    def _say(self, entries: tuple[Entry, ...], *, now: datetime) -> None:
        with self._database.system() as session:
            gateway = uplog.gateway_of(session, self._no)
            assert gateway is not None
            cursor = Cursor(gateway.down_log, gateway.down_seq)
            uplog.receive(session, gateway, Envelope(entries, cursor, sender=self._log), now=now)
            rejected = session.execute(select(col(tables.Rejected.reason))).scalars().all()
            assert rejected == []

    def opens(
        self, point: UUID, payer: UUID | None, total: str, at: datetime, meter: str = "M"
    ) -> Charged:
        """The message that from this register on somebody (None: nobody) pays."""
        reading = Reading(meter, at, Decimal(total), Supply.ON)
        position = Position(reading, (), (), at, at, 0, payer if payer else NOBODY)
        return Charged(point, position, ())


@pytest.fixture
def gateway(database: Database, home: Estate) -> GatewayPlayed:
    return GatewayPlayed(database, home)
