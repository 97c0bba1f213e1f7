"""The service point as its gateway is told of it: whole, each time anything of it changes."""

from __future__ import annotations

from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import exists, select, text
from sqlmodel import Session, col

from cloud import tables
from cloud.services import downlog
from prepaid.point import Meter, Opening, Policy, ServicePoint
from prepaid.reading import Supply
from prepaid.wire.downlog import PointSet, TariffSet

_METER = TypeAdapter(Meter)
_POLICY = TypeAdapter(Policy)


_BESIDE = text("""
    SELECT d.code, s.vacant_supply, t.typed_total, t.typed_at
    FROM points p
    JOIN tariffs d ON d.id = p.tariff_id
    JOIN rooms r ON r.id = p.room_id
    JOIN buildings b ON b.id = r.building_id
    JOIN sites s ON s.id = b.site_id
    LEFT JOIN tenures t ON t.point_id = p.id AND t.ended_at IS NULL
    WHERE p.id = :point
""")


def publish(session: Session, gateway: tables.Gateway, point: tables.ServicePoint) -> int:
    """Appends the point as it is now to the log of its locked gateway; the entry's sequence number."""
    session.flush()
    return downlog.append(session, gateway, [PointSet(value(session, point))])


def value(session: Session, point: tables.ServicePoint) -> ServicePoint:
    """The point with its tariff's code, who pays, from which register on if a person read it, and what is supplied
    while nobody pays."""
    row = session.execute(_BESIDE, {"point": point.id}).one()
    typed = row.typed_total is not None
    return ServicePoint(
        point.id,
        point.name,
        _METER.validate_python(point.meter),
        row.code,
        point.purse_id,
        _POLICY.validate_python(point.policy),
        persons=point.persons,
        households=point.households,
        opening=Opening(row.typed_total, row.typed_at) if typed else None,
        while_vacant=Supply(row.vacant_supply),
    )


def send_tariff(
    session: Session, gateway: tables.Gateway, tariff: tables.TariffDocument, *, unless: UUID
) -> None:
    """Appends a tariff to the log of a locked gateway, unless a point there, other than this one, has it already."""
    point = tables.ServicePoint
    is_known = session.execute(
        select(
            exists().where(
                col(point.gateway_id) == gateway.id,
                col(point.tariff_id) == tariff.id,
                col(point.id) != unless,
            )
        )
    ).scalar_one()
    if not is_known:
        downlog.append(session, gateway, [TariffSet(tariff.document)])
