"""PATCH /api/points/{id}/meter, and unlink: what was entered wrongly of a mounted meter is put right. For staff."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from cloud.api.devices.shapes import (
    ChangeMeters,
    Event,
    Multiplier,
    Settings,
    Short,
    Why,
    event,
)
from cloud.services.devices import particulars
from cloud.services.devices.particulars import Particulars
from cloud.tables import utc_now
from cloud.web import UserSession

router = APIRouter(prefix="/api/points")


class MeterCorrection(BaseModel):
    """What is entered otherwise; what is left out stays. model brings protocol, limits and settings of its own;
    settings are added to those that are entered. digits: whole digits of the register; step: its smallest step;
    max_per_hour: the most that passes it in an hour, in its own unit. meter_no, multiplier and the ratios pt and ct
    only as long as nothing was charged."""

    model: Annotated[str | None, Field(min_length=1, max_length=60)] = None
    meter_no: Short | None = None
    line: Annotated[str | None, Field(min_length=1, max_length=80)] = None
    address: Annotated[
        str | None, Field(min_length=1, max_length=60, examples=["202603010017"])
    ] = None
    digits: Annotated[int | None, Field(strict=True, ge=1, le=12, examples=[6])] = None
    step: Annotated[Decimal | None, Field(gt=0, le=1000, examples=["0.01"])] = None
    max_per_hour: Annotated[Decimal | None, Field(gt=0, lt=10**9, examples=["16"])] = None
    multiplier: Multiplier | None = None
    has_switch: bool | None = None
    settings: Settings = {}
    why: Why


class Unlinking(BaseModel):
    why: Why


@router.patch("/{point_id}/meter")
def correct_meter(
    point_id: UUID, given: MeterCorrection, user: ChangeMeters, session: UserSession
) -> Event:
    """更正资料: what was entered wrongly of the mounted meter is put right at once; nothing that was charged changes.

    Where it is read at another place from then on, and was charged before, nothing of it is charged until somebody
    has compared the registers.
    """
    found = Particulars(
        model=given.model,
        meter_no=given.meter_no,
        line=given.line,
        address=given.address,
        digits=given.digits,
        step=given.step,
        max_per_hour=given.max_per_hour,
        multiplier=given.multiplier,
        has_switch=given.has_switch,
        settings=given.settings,
    )
    row = particulars.correct(session, point_id, found, why=given.why, by=user, now=utc_now())
    return event(row, is_delivered=False)


@router.post("/{point_id}/unlink")
def undo_link(point_id: UUID, given: Unlinking, user: ChangeMeters, session: UserSession) -> Event:
    """Undoes a technician's link: the point is read where it was before he found a meter for it."""
    row = particulars.undo_link(session, point_id, why=given.why, by=user, now=utc_now())
    return event(row, is_delivered=False)
