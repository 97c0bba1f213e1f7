"""All meters at a glance, and one service point with the whole life of its meters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import or_, select, text
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.services import scopes
from cloud.services.devices import decisions, particulars, photos
from cloud.services.devices.decisions import Doubt
from prepaid.point import Meter

MOST = 500  # on one page
SOON = timedelta(days=60)  # before a calibration is due

_METER = TypeAdapter(Meter)


@dataclass(frozen=True, slots=True)
class MeterRow:
    """A mounted meter: where, by what it is read, what it last showed, what a person should look into."""

    point_id: UUID
    meter_id: UUID
    meter_no: str
    model: str | None
    point: str
    commodity: str
    unit: str
    room_id: UUID
    room: str
    building: str
    gateway_no: str
    line: str
    address: str
    device: Meter
    mounted_at: datetime
    total: Decimal | None
    read_at: datetime | None
    silent_since: datetime | None
    held_since: datetime | None
    calibration_due: date | None
    disputes: int
    refused: int


@dataclass(frozen=True, slots=True)
class EventRow:
    """What was done, by whom, and the pictures of it."""

    event: tables.DeviceEvent
    by: str
    ended_by: str | None
    pictures: tuple[tables.EventPhoto, ...]
    acked: int  # the cursor of the event's gateway in our log

    @property
    def is_delivered(self) -> bool | None:
        """Of a correction: whether the gateway has it; None of anything else."""
        return None if self.event.down_seq is None else self.event.down_seq <= self.acked

    @property
    def is_on_its_way(self) -> bool:
        is_asked = self.event.decided is not None and self.event.taken_at is None
        return is_asked or self.is_delivered is False


@dataclass(frozen=True, slots=True)
class PointLife:
    """A service point, its meters one after the other (the latest first), and all that was done to them.

    used is what all of them have counted, the multiplier in it, as far as it is known.
    """

    point: tables.ServicePoint
    row: MeterRow | None
    room: tables.Room
    mountings: tuple[tuple[tables.Mounting, tables.Meter, Meter], ...]
    events: tuple[EventRow, ...]
    doubt: Doubt | None
    state: tables.PointState
    link: tables.FieldWork | None  # by which a technician gave it the meter that it has

    @property
    def model(self) -> str | None:
        """The key of the model of the last meter."""
        return self.mountings[0][1].model


_ROWS = f"""
    SELECT p.id AS point_id, m.id AS meter_id, p.meter_no, m.model, p.name AS point, p.commodity, t.unit,
           r.id AS room_id, r.name AS room, b.name AS building, g.gateway_no, p.line, p.address,
           p.meter AS device, o.mounted_at, s.total, s.read_at, s.silent_since, s.held_since, m.calibration_due,
           (SELECT count(*) FROM device_events e
             WHERE e.point_id = p.id AND e.kind = 'disputed' AND e.ended_at IS NULL) AS disputes,
           (SELECT count(*) FROM device_events e
             WHERE e.point_id = p.id AND e.refused IS NOT NULL AND e.ended_at IS NULL) AS refused
    FROM points p
    JOIN LATERAL (SELECT * FROM mountings WHERE point_id = p.id
                  ORDER BY removed_at IS NOT NULL, mounted_at DESC LIMIT 1) o ON true
    JOIN meters m ON m.id = o.meter_id
    JOIN tariffs t ON t.id = p.tariff_id
    JOIN point_states s ON s.point_id = p.id
    JOIN gateways g ON g.id = p.gateway_id
    JOIN rooms r ON r.id = p.room_id
    JOIN buildings b ON b.id = r.building_id
    WHERE p.organization_id = :organization AND {scopes.BUILDING}
      AND (CAST(:point AS uuid) IS NULL OR p.id = :point)
      AND (:q = '' OR strpos(lower(concat_ws(' ', p.meter_no, p.name, r.name, b.name, g.gateway_no, p.address,
                                             m.model)), :q) > 0)
"""

_WHICH = {
    "": "p.ended_at IS NULL",
    "silent": "p.ended_at IS NULL AND s.silent_since IS NOT NULL",
    "held": "p.ended_at IS NULL AND s.held_since IS NOT NULL",
    "due": "p.ended_at IS NULL AND m.calibration_due <= :soon",
    "disputed": "EXISTS (SELECT 1 FROM device_events e WHERE e.point_id = p.id AND e.ended_at IS NULL"
    " AND (e.kind = 'disputed' OR e.refused IS NOT NULL))",
    "never": "p.ended_at IS NULL AND s.read_at IS NULL",
    "ended": "p.ended_at IS NOT NULL",
}
_AFTER = """(CAST(:after AS uuid) IS NULL OR (b.name, r.name, p.name, p.id) > (
    SELECT lb.name, lr.name, lp.name, lp.id FROM points lp
    JOIN rooms lr ON lr.id = lp.room_id JOIN buildings lb ON lb.id = lr.building_id WHERE lp.id = :after))"""

WHICH = tuple(_WHICH)
"""What a list can be narrowed to; "" is everything."""


def meters(
    session: Session,
    by: SignedIn,
    *,
    q: str,
    which: str,
    today: date,
    most: int = MOST,
    after: UUID | None = None,
) -> list[MeterRow]:
    """The mounted meters that the user sees, by building, room and point, or ("ended") the last ones of ended
    points; q is in a number or a name of them.

    after: only what follows this service point.
    """
    found = session.execute(
        text(
            f"{_ROWS} AND {_WHICH.get(which, _WHICH[''])} AND {_AFTER}"
            " ORDER BY b.name, r.name, p.name, p.id LIMIT :most"
        ),
        {
            "organization": by.organization_id,
            "point": None,
            "after": after,
            "q": q.strip().lower()[:100],
            "soon": today + SOON,
            "most": most,
            **scopes.given(by.scope),
        },
    ).all()
    return [_row(row) for row in found]


def life(session: Session, point_id: UUID, *, by: SignedIn) -> PointLife:
    """Raises scopes.NoSuchPoint."""
    point = scopes.check_point(session, by, point_id)
    found = session.execute(
        text(_ROWS),
        {
            "organization": by.organization_id,
            "point": point.id,
            "q": "",
            **scopes.given(by.scope),
        },
    ).one_or_none()
    mounting, meter = tables.Mounting, tables.Meter
    mounted = session.execute(
        select(mounting, meter)
        .join(meter, col(meter.id) == col(mounting.meter_id))
        .where(col(mounting.point_id) == point.id)
        .order_by(col(mounting.mounted_at).desc(), col(mounting.created_at).desc())
    ).all()
    return PointLife(
        point=point,
        row=_row(found) if found is not None else None,
        room=session.get_one(tables.Room, point.room_id),
        mountings=tuple((m, d, _METER.validate_python(m.device)) for m, d in mounted),
        events=_events(session, point, [m.meter_id for m, _ in mounted]),
        doubt=decisions.doubt_of(session, point),
        state=session.get_one(tables.PointState, point.id),
        link=particulars.last_link(session, point) if point.ended_at is None else None,
    )


def _events(
    session: Session, point: tables.ServicePoint, meter_ids: Sequence[UUID]
) -> tuple[EventRow, ...]:
    """What was done at the point, and to its present meter alone."""
    event = tables.DeviceEvent
    rows = list(
        session.execute(
            select(event)
            .where(
                or_(
                    col(event.point_id) == point.id,
                    col(event.point_id).is_(None) & col(event.meter_id).in_(meter_ids),
                )
            )
            .order_by(col(event.created_at).desc())
            .limit(200)
        ).scalars()
    )
    whom = {row.done_by for row in rows} | {row.ended_by for row in rows if row.ended_by}
    user = tables.User
    named = session.execute(select(col(user.id), col(user.name)).where(col(user.id).in_(whom)))
    names: dict[UUID, str] = {row.id: row.name for row in named}
    pictures = photos.of_events(session, [row.id for row in rows])
    acked = session.get_one(tables.Gateway, point.gateway_id).down_acked
    return tuple(
        EventRow(
            row,
            names[row.done_by],
            names.get(row.ended_by) if row.ended_by else None,
            tuple(pictures.get(row.id, ())),
            acked,
        )
        for row in rows
    )


def _row(row: Any) -> MeterRow:
    values = dict(row._mapping)
    return MeterRow(**{**values, "device": _METER.validate_python(values["device"])})
