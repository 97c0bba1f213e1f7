"""What is found out about a meter without changing it: calibration 检定, and a dispute 争议 of a reading."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlmodel import Session, col

from cloud import events, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, scopes
from cloud.services.devices import decisions, mountings, photos
from cloud.services.devices.decisions import point_of, reason
from cloud.services.devices.photos import Picture

CALIBRATED = "calibrated"  # 检定
DISPUTED = "disputed"  # 争议
LONGEST_NOTE = 500


class NoSuchMeter(CloudError):
    status = 404
    sentence = "There is no such meter."


class NoSuchEvent(CloudError):
    status = 404
    sentence = "There is no such entry."


class NotOpen(CloudError):
    status = 409
    sentence = "This dispute is decided already."


class BadDue(CloudError):
    status = 422
    field = "due"
    sentence = "The next calibration must be due after the one that was made."


def calibrate(
    session: Session,
    meter_id: UUID,
    *,
    on: date,
    passed: bool,
    certificate: str,
    due: date | None,
    why: str,
    pictures: Iterable[Picture],
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """检定: a meter was examined, with what result, by which certificate, and when the next is due.

    Raises NoSuchMeter, BadDue or BadReason, and what photos.keep raises.
    """
    row = tables.Meter
    meter: tables.Meter | None = session.execute(
        select(row)
        .where(col(row.id) == meter_id, col(row.organization_id) == by.organization_id)
        .with_for_update()
    ).scalar_one_or_none()
    if meter is None:
        raise NoSuchMeter
    if due is not None and due <= on:
        raise BadDue
    meter.calibration_due = due
    detail = {
        "on": on.isoformat(),
        "passed": passed,
        "certificate": certificate.strip()[:LONGEST_NOTE],
        "due": due.isoformat() if due else None,
    }
    return _note(session, CALIBRATED, meter_id, None, detail, why, pictures, by=by, now=now)


def dispute(
    session: Session,
    point_id: UUID,
    *,
    total: Decimal,
    read_at: datetime,
    why: str,
    pictures: Iterable[Picture],
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """争议: the customer does not believe a reading; a person must decide. Charging goes on meanwhile.

    Raises what decisions.point_of raises, BadReason, and what photos.keep raises.
    """
    point = point_of(session, point_id, by)
    mounting = mountings.now_at(session, point.id)
    detail = {"total": str(total), "read_at": read_at.isoformat(), "meter_no": point.meter_no}
    return _note(session, DISPUTED, mounting.meter_id, point, detail, why, pictures, by=by, now=now)


def dispute_last(
    session: Session,
    point_id: UUID,
    *,
    why: str,
    pictures: Iterable[Picture],
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """The same of the last reading. Raises decisions.NothingCharged where there is none."""
    point = point_of(session, point_id, by)
    state = session.get_one(tables.PointState, point.id)
    if state.total is None or state.read_at is None:
        raise decisions.NothingCharged(point=point.name)
    return dispute(
        session,
        point_id,
        total=state.total,
        read_at=state.read_at,
        why=why,
        pictures=pictures,
        by=by,
        now=now,
    )


def settle_dispute(
    session: Session, event_id: UUID, *, upheld: bool, why: str, by: SignedIn, now: datetime
) -> tables.DeviceEvent:
    """A dispute is decided. Money that is owed back is a correction, which is not made here.

    Raises NoSuchEvent, NotOpen or BadReason.
    """
    event = event_of(session, event_id, by)
    if event.kind != DISPUTED:
        raise NoSuchEvent
    if event.ended_at is not None:
        raise NotOpen
    event.ended_at, event.ended_by, event.ended_why = now, by.user_id, reason(why)
    event.detail = {**event.detail, "upheld": upheld}
    session.flush()
    audit.record(
        session,
        by,
        "dispute-settled",
        of="point",
        id=str(event.point_id),
        after={**decisions.told(event), "decided": event.ended_why},
        now=now,
    )
    events.changed(session, by.organization_id)
    return event


def _note(
    session: Session,
    kind: str,
    meter_id: UUID,
    point: tables.ServicePoint | None,
    detail: dict[str, Any],
    why: str,
    pictures: Iterable[Picture],
    *,
    by: SignedIn,
    now: datetime,
) -> tables.DeviceEvent:
    """An event that the gateway need not know of."""
    event = tables.DeviceEvent(
        id=uuid4(),
        organization_id=by.organization_id,
        kind=kind,
        at=now,
        point_id=point.id if point is not None else None,
        meter_id=meter_id,
        done_by=by.user_id,
        why=reason(why),
        detail=detail,
    )
    session.add(event)
    session.flush()
    photos.keep(session, event, pictures, by=by)
    audit.record(
        session,
        by,
        kind,
        of="point" if point is not None else "meter",
        id=point.id if point is not None else meter_id,
        after=decisions.told(event),
        now=now,
    )
    events.changed(session, by.organization_id, room_id=point.room_id if point else None)
    return event


def event_of(session: Session, event_id: UUID, by: SignedIn) -> tables.DeviceEvent:
    """An event, locked until the end of the transaction. Raises NoSuchEvent."""
    row = tables.DeviceEvent
    found: tables.DeviceEvent | None = session.execute(
        select(row)
        .where(col(row.id) == event_id, col(row.organization_id) == by.organization_id)
        .with_for_update()
    ).scalar_one_or_none()
    if found is None:
        raise NoSuchEvent
    if found.point_id is not None:
        scopes.check_point(session, by, found.point_id)
    return found
