"""装表: which meter measured a service point from when until when, and from which register to which."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import tables
from cloud.errors import CloudError
from prepaid.point import Meter

METER = TypeAdapter(Meter)


class MountedElsewhere(CloudError):
    status = 409
    field = "meter_no"
    sentence = "Meter {meter_no} is mounted at {point}. Take it down there first."


class MeterEnded(CloudError):
    status = 409
    field = "meter_no"
    sentence = "Meter {meter_no} was taken out of use for good, so it cannot be mounted again."


def mount(
    session: Session,
    point: tables.ServicePoint,
    meter: Meter,
    *,
    at: datetime,
    opening: Decimal | None,
    model: str | None = None,
) -> tables.Mounting:
    """The meter measures the point from now on, on a line of its gateway. Nothing else may be mounted there.

    Raises MountedElsewhere or MeterEnded.
    """
    check_usable(session, point.organization_id, meter.meter_no)
    known = _meter(session, point.organization_id, meter.meter_no, model)
    row = tables.Mounting
    elsewhere = session.execute(
        select(col(tables.ServicePoint.name))
        .join(row, col(row.point_id) == col(tables.ServicePoint.id))
        .where(col(row.meter_id) == known.id, col(row.removed_at).is_(None))
    ).scalar_one_or_none()
    if elsewhere is not None:
        raise MountedElsewhere(meter_no=meter.meter_no, point=elsewhere)
    mounting = row(
        organization_id=point.organization_id,
        point_id=point.id,
        meter_id=known.id,
        device=METER.dump_python(meter, mode="json"),
        mounted_at=at,
        opening=opening,
    )
    session.add(mounting)
    session.flush()
    _note_line(session, point, meter)
    return mounting


def check_usable(session: Session, organization_id: UUID, meter_no: str) -> None:
    """Raises MeterEnded."""
    row = tables.Meter
    is_ended = session.execute(
        select(
            exists().where(
                col(row.organization_id) == organization_id,
                col(row.meter_no) == meter_no,
                col(row.ended_at).is_not(None),
            )
        )
    ).scalar_one()
    if is_ended:
        raise MeterEnded(meter_no=meter_no)


def _note_line(session: Session, point: tables.ServicePoint, meter: Meter) -> None:
    session.execute(
        insert(tables.Line)
        .values(organization_id=point.organization_id, gateway_id=point.gateway_id, name=meter.line)
        .on_conflict_do_nothing()
    )


def take_down(
    session: Session, mounting: tables.Mounting, *, at: datetime, closing: Decimal
) -> None:
    mounting.removed_at, mounting.closing = max(at, mounting.mounted_at), closing
    session.flush()


def now_at(session: Session, point_id: UUID) -> tables.Mounting:
    """What is mounted at a point that is in use."""
    row = tables.Mounting
    mounting: tables.Mounting = session.execute(
        select(row).where(col(row.point_id) == point_id, col(row.removed_at).is_(None))
    ).scalar_one()
    return mounting


def of_point(session: Session, point_id: UUID) -> list[tables.Mounting]:
    """What was ever mounted at a point, the latest first."""
    row = tables.Mounting
    found = session.execute(
        select(row)
        .where(col(row.point_id) == point_id)
        .order_by(col(row.mounted_at).desc(), col(row.created_at).desc())
    ).scalars()
    return list(found)


def corrected(
    session: Session, point: tables.ServicePoint, meter: Meter, *, model: str | None
) -> None:
    """What was entered of the mounted meter (its address, its number before it was ever charged) was wrong. model is
    the key of what it is; None where that is not known."""
    mounting = now_at(session, point.id)
    mounting.device = METER.dump_python(meter, mode="json")
    _note_line(session, point, meter)
    known = session.get_one(tables.Meter, mounting.meter_id)
    known.model = model
    if known.meter_no != meter.meter_no:
        other = _meter(session, point.organization_id, meter.meter_no, model)
        mounting.meter_id = other.id
        session.flush()
        if not _is_used(session, known.id):
            session.delete(known)
    session.flush()


def _is_used(session: Session, meter_id: UUID) -> bool:
    is_used: bool = session.execute(
        select(
            exists().where(col(tables.Mounting.meter_id) == meter_id)
            | exists().where(col(tables.DeviceEvent.meter_id) == meter_id)
        )
    ).scalar_one()
    return is_used


def _meter(
    session: Session, organization_id: UUID, meter_no: str, model: str | None
) -> tables.Meter:
    row = tables.Meter
    known: tables.Meter | None = session.execute(
        select(row)
        .where(col(row.organization_id) == organization_id, col(row.meter_no) == meter_no)
        .with_for_update()
    ).scalar_one_or_none()
    if known is None:
        known = row(organization_id=organization_id, meter_no=meter_no)
        session.add(known)
    known.model = model or known.model
    session.flush()
    return known
