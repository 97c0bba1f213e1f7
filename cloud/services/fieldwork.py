"""What a technician did at a gateway: kept for good; a meter that was found there is the point's from then on."""

from __future__ import annotations

import logging

from pydantic import TypeAdapter
from sqlalchemy import or_, select
from sqlmodel import Session, col

from cloud import tables
from cloud.services import downlog, pointsets
from cloud.services.devices import mountings
from prepaid.point import Meter
from prepaid.wire.downlog import PointSet
from prepaid.wire.uplog import FieldWork, MeterLinked

log = logging.getLogger(__name__)

LINK = "link"
LONGEST_NAME = 200

_METER = TypeAdapter(Meter)


def keep(session: Session, gateway: tables.Gateway, said: FieldWork) -> None:
    session.add(
        tables.FieldWork(
            organization_id=gateway.organization_id,
            gateway_id=gateway.id,
            point_id=said.point,
            at=said.at,
            work=said.work.value,
            is_over=said.is_over,
            by=said.by,
            text=said.text,
        )
    )
    session.flush()


def fault_of(meter: Meter) -> str | None:
    """Why a meter that a gateway names cannot be any service point's."""
    for what, said in (
        ("number", meter.meter_no),
        ("protocol", meter.protocol),
        ("line", meter.line),
        ("address", meter.address),
    ):
        if not said.strip() or "\x00" in said or len(said) > LONGEST_NAME:
            return f"the meter's {what} is no text of 1 to {LONGEST_NAME} characters"
    if meter.digits < 1 or not all(
        number.is_finite() and number > 0 for number in (meter.step, meter.max_per_hour)
    ):
        return "the meter's digits, step and most in an hour must be above zero"
    return None


def link(session: Session, gateway: tables.Gateway, said: MeterLinked) -> None:
    """Takes over the meter that a technician found, and tells the gateway the point as it is then.

    It is not taken over where the point has another meter by now than the gateway knew, or where another
    point has that number or address: then the gateway goes back to the meter that the point has. Needs the
    gateway locked.
    """
    row = session.get_one(tables.ServicePoint, said.point)
    known = _METER.validate_python(row.meter)
    is_taken = False
    if known != said.instead_of and known != said.meter:
        text = f"not taken over: the point has meter {known.meter_no} at {known.address} by now"
    elif other := _clash(session, gateway, said):
        text = f"not taken over: {other} has this number, or this address on line {said.meter.line}"
    else:
        row.meter = _METER.dump_python(said.meter, mode="json")
        row.meter_no, row.line, row.address = (
            said.meter.meter_no,
            said.meter.line,
            said.meter.address,
        )
        model = session.get_one(tables.Meter, mountings.now_at(session, row.id).meter_id).model
        mountings.corrected(session, row, said.meter, model=model)
        is_taken = True
        text = (
            f"meter {said.meter.meter_no} is read at {said.meter.address} on line {said.meter.line} "
            f"({said.meter.protocol}), no more at {said.instead_of.address} on {said.instead_of.line}"
        )
    log.info("gateway %s, %s, linked by %s: %s", gateway.gateway_no, row.name, said.by, text)
    work = tables.FieldWork(
        organization_id=gateway.organization_id,
        gateway_id=gateway.id,
        point_id=said.point,
        at=said.at,
        work=LINK,
        is_over=True,
        by=said.by,
        text=text,
        meter=_METER.dump_python(said.meter, mode="json") if is_taken else None,
        instead_of=_METER.dump_python(said.instead_of, mode="json") if is_taken else None,
    )
    session.add(work)
    session.flush()
    downlog.append(session, gateway, [PointSet(pointsets.value(session, row))])


def _clash(session: Session, gateway: tables.Gateway, said: MeterLinked) -> str | None:
    """The name of another point that has the number, or the address on the line."""
    point = tables.ServicePoint
    name: str | None = session.execute(
        select(col(point.name))
        .where(
            col(point.organization_id) == gateway.organization_id,
            col(point.id) != said.point,
            col(point.ended_at).is_(None),
            or_(
                col(point.meter_no) == said.meter.meter_no,
                (col(point.gateway_id) == gateway.id)
                & (col(point.line) == said.meter.line)
                & (col(point.address) == said.meter.address),
            ),
        )
        .limit(1)
    ).scalar_one_or_none()
    return name
