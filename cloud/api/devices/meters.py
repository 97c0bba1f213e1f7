"""/api/meters: every mounted meter, page by page; the models there are; calibrations. For staff."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from cloud import web
from cloud.api.devices.shapes import ChangeMeters, Event, Why, event
from cloud.api.paging import After, Most, cut
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services.devices import examinations, models, register
from cloud.tables import utc_now
from cloud.web import UserSession

router = APIRouter(prefix="/api/meters")

SeeMeters = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_METERS))]


class MountedMeter(BaseModel):
    """id is the meter's, point_id that of the service point at which it is mounted since mounted_at."""

    id: UUID
    point_id: UUID
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
    protocol: str
    multiplier: Decimal
    mounted_at: datetime
    total: Decimal | None
    read_at: datetime | None
    silent_since: datetime | None
    held_since: datetime | None
    calibration_due: date | None


class Meters(BaseModel):
    meters: list[MountedMeter]
    next: UUID | None


class Model(BaseModel):
    """asks: settings that only the meter's owner knows, given as settings where one is mounted."""

    key: str
    name: str
    commodity: str
    protocol: str
    has_switch: bool
    asks: list[str]


class Calibration(BaseModel):
    on: date
    passed: bool
    certificate: Annotated[str, Field(max_length=examinations.LONGEST_NOTE)] = ""
    due: date | None = None
    why: Why


@router.get("")
def list_meters(
    user: SeeMeters,
    session: UserSession,
    q: Annotated[str, Query(max_length=100)] = "",
    which: Literal["", "silent", "held", "due", "disputed", "never"] = "",
    after: After = None,
    most: Most = 100,
) -> Meters:
    """Mounted meters by building, room and point. q is part of a number or a name; which narrows the list."""
    found = register.meters(
        session, user, q=q, which=which, today=utc_now().date(), most=most + 1, after=after
    )
    page, following = cut(found, most, lambda row: row.point_id)
    return Meters(meters=[_mounted(row) for row in page], next=following)


@router.get("/models")
def list_models(user: SeeMeters) -> list[Model]:
    """The models of meters that a gateway can read."""
    return [
        Model(
            key=each.key,
            name=each.name,
            commodity=each.commodity,
            protocol=each.protocol,
            has_switch=each.has_switch,
            asks=list(each.asks),
        )
        for each in models.MODELS
    ]


@router.post("/{meter_id}/calibrations", status_code=201)
def calibrate(
    meter_id: UUID, given: Calibration, user: ChangeMeters, session: UserSession
) -> Event:
    """检定: notes that a meter was examined, and until when the next is due."""
    return event(
        examinations.calibrate(
            session,
            meter_id,
            on=given.on,
            passed=given.passed,
            certificate=given.certificate,
            due=given.due,
            why=given.why,
            pictures=(),
            by=user,
            now=utc_now(),
        )
    )


def _mounted(row: register.MeterRow) -> MountedMeter:
    return MountedMeter(
        id=row.meter_id,
        point_id=row.point_id,
        meter_no=row.meter_no,
        model=row.model,
        point=row.point,
        commodity=row.commodity,
        unit=row.unit,
        room_id=row.room_id,
        room=row.room,
        building=row.building,
        gateway_no=row.gateway_no,
        line=row.line,
        address=row.address,
        protocol=row.device.protocol,
        multiplier=row.device.multiplier,
        mounted_at=row.mounted_at,
        total=row.total,
        read_at=row.read_at,
        silent_since=row.silent_since,
        held_since=row.held_since,
        calibration_due=row.calibration_due,
    )
