"""Who pays for a service point, one payer after another: decided here, brought about by the gateway.

A change of payer is decided in one transaction, with what its gateway is to be told. It is true at the gateway once
its log says so: delivered when its cursor has passed the entry, begun when it tells from which register on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import select, update
from sqlmodel import Session, col

from cloud import events, tables
from cloud.errors import CloudError
from cloud.said import Said
from cloud.services import credits, pointsets
from cloud.tables import Tenure
from prepaid.point import Meter
from prepaid.rating import NOBODY, Position
from prepaid.reading import Reading
from prepaid.register.reach import is_shown

_METER = TypeAdapter(Meter)


class BadReading(CloudError):
    status = 422
    sentence = "The reading of {meter} cannot be {total}: {reason}."


@dataclass(frozen=True, slots=True)
class Typed:
    """A register that a person read off a meter: when, and the photo of it, if one was taken."""

    total: Decimal
    at: datetime
    photo: UUID | None = None


def begin(
    session: Session,
    gateway: tables.Gateway,
    point: tables.ServicePoint,
    purse: tables.Purse | None,
    *,
    typed: Typed | None,
    now: datetime,
) -> Tenure:
    """From now on this purse pays for the point, or nobody; its gateway, which is locked, is told.

    What a purse was credited before it had a gateway goes down before the point that it pays for: a gateway must
    never know a point without the money it has, as it would cut it off.

    Raises BadReading.
    """
    if typed is not None:
        check(point, typed, now=now)
    if purse is not None and purse.gateway_id is None:
        purse.gateway_id = gateway.id
        session.add(purse)
        credits.send_all(session, gateway, purse)
    session.execute(
        update(Tenure)
        .where(col(Tenure.point_id) == point.id, col(Tenure.ended_at).is_(None))
        .values(ended_at=now)
    )
    point.purse_id = purse.id if purse is not None else None
    session.add(point)
    tenure = Tenure(
        organization_id=point.organization_id,
        point_id=point.id,
        purse_id=point.purse_id,
        gateway_id=gateway.id,
        down_seq=0,
        began_at=now,
        typed_total=typed.total if typed else None,
        typed_at=typed.at if typed else None,
        typed_photo=typed.photo if typed else None,
    )
    session.add(tenure)
    tenure.down_seq = pointsets.publish(session, gateway, point)
    session.flush()
    events.changed(session, point.organization_id, room_id=point.room_id)
    return tenure


def check(point: tables.ServicePoint, typed: Typed, *, now: datetime) -> None:
    """Raises BadReading for a register that the meter does not show, or that is of a time to come."""
    meter = _METER.validate_python(point.meter)
    reading = Reading(meter.meter_no, typed.at, typed.total, None)
    if not is_shown(reading, meter):
        raise BadReading(
            meter=point.meter_no,
            total=typed.total,
            field=f"points.{point.id}",
            reason=Said("its register has {digits} digits", digits=meter.digits),
        )
    if typed.at > now:
        raise BadReading(
            field=f"points.{point.id}",
            meter=point.meter_no,
            total=typed.total,
            reason=Said("its time is to come"),
        )


DELIVERED = """
    UPDATE tenures SET delivered_at = %(now)s
    WHERE gateway_id = %(gateway)s AND down_seq <= %(acked)s AND delivered_at IS NULL
"""
"""The gateway has our log up to its cursor: what it was told of payers by then is delivered."""


def opened(session: Session, point_id: UUID, position: Position) -> None:
    """The gateway tells from which register on a payer pays: there the one before has stopped.

    Who was to pay in between, and was passed over because the gateway was away, has used nothing.
    """
    if position.payer is None:
        return
    purse = None if position.payer == NOBODY else position.payer
    tenures = session.execute(
        select(Tenure)
        .where(col(Tenure.point_id) == point_id, col(Tenure.closed_at).is_(None))
        .order_by(col(Tenure.created_at))
        .with_for_update()
    ).scalars()
    waiting = list(tenures)
    found = [t for t in waiting if t.purse_id == purse and t.opened_at is None]
    if not found:
        return
    total, at = position.reading.total, position.opened_at
    for tenure in waiting[: waiting.index(found[-1])]:
        if tenure.opened_at is None and tenure.down_seq:
            tenure.opened_total, tenure.opened_at = total, at
        tenure.closed_total, tenure.closed_at = total, at
        session.add(tenure)
    found[-1].opened_total, found[-1].opened_at = total, at
    session.add(found[-1])
    session.flush()


PAST_PAYERS = """
    SELECT point_id, array_agg(purse_id) AS purses FROM tenures
    WHERE gateway_id = %(gateway)s AND ended_at IS NOT NULL AND purse_id IS NOT NULL
    GROUP BY point_id
"""
"""The purses that no longer pay for points of a gateway, by point: their last charges may be on the way."""


def of_purses(session: Session, purses: Iterable[UUID]) -> list[Tenure]:
    """What these purses pay or paid for, oldest first."""
    return list(
        session.execute(
            select(Tenure)
            .where(col(Tenure.purse_id).in_(set(purses)))
            .order_by(col(Tenure.created_at), col(Tenure.id))
        ).scalars()
    )
