"""What is done to meters, and what is written down of it, as programs give and get it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from pydantic import AwareDatetime, BaseModel, Field

from cloud import tables, web
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services.devices import decisions, models
from cloud.services.devices.exchanges import Registers
from prepaid.point import Meter

ChangeMeters = Annotated[SignedIn, Depends(web.allowed(Permission.CHANGE_METERS))]
DecideReadings = Annotated[SignedIn, Depends(web.allowed(Permission.DECIDE_READINGS))]
Why = Annotated[str, Field(min_length=1, max_length=decisions.LONGEST_REASON)]
Short = Annotated[str, Field(min_length=1, max_length=200)]
Total = Annotated[Decimal, Field(ge=0, lt=10**15, examples=["1284.56"])]
Settings = Annotated[
    dict[Annotated[str, Field(max_length=40)], Annotated[str, Field(max_length=200)]],
    Field(max_length=20, examples=[{"level": "02"}]),
]
Multiplier = Annotated[Decimal, Field(gt=0, lt=10**6, examples=["40"])]


class Event(BaseModel):
    """What was done. taken_at is when the gateway booked it, refused says why it could not, in English; both are
    null while it is on its way, or where the gateway need not know. is_delivered says of a correction whether the
    gateway has it."""

    id: UUID
    kind: str
    at: datetime
    why: str
    taken_at: datetime | None
    refused: str | None
    ended_at: datetime | None
    is_delivered: bool | None = None


def event(row: tables.DeviceEvent, *, is_delivered: bool | None = None) -> Event:
    return Event(
        id=row.id,
        kind=row.kind,
        at=row.at,
        why=row.why,
        taken_at=row.taken_at,
        refused=row.refused,
        ended_at=row.ended_at,
        is_delivered=is_delivered,
    )


class Device(BaseModel):
    """A meter as it hangs on a line of its gateway. address: its number, if left out; has_switch: as its model."""

    model: Annotated[str, Field(min_length=1, max_length=60, examples=["dlt645-2007-1p"])]
    meter_no: Short
    line: Annotated[str, Field(min_length=1, max_length=80, examples=["L1"])]
    address: Annotated[str, Field(max_length=60)] = ""
    multiplier: Multiplier = Decimal(1)
    settings: Settings = {}
    has_switch: bool | None = None

    def value(self) -> Meter:
        """Raises models.NoSuchModel."""
        return models.of_key(self.model).meter(
            meter_no=self.meter_no.strip(),
            line=self.line.strip(),
            address=self.address.strip() or self.meter_no.strip(),
            multiplier=self.multiplier,
            settings=self.settings,
            has_switch=self.has_switch,
        )


class Exchange(BaseModel):
    """What the old register showed last and the new one first, and when. rounds: how often the old one went past
    its last digit since it was charged; between: what was used without a meter; estimate_stands: the old one was
    stuck, and what was charged as an estimate stays. Photos are those of POST /api/points/{point_id}/photos."""

    closing: Total
    closed_at: AwareDatetime
    opening: Total
    opened_at: AwareDatetime
    rounds: Annotated[int, Field(strict=True, ge=0, le=100)] = 0
    between: Total = Decimal(0)
    estimate_stands: bool = False
    closing_photo_id: UUID | None = None
    opening_photo_id: UUID | None = None
    why: Why

    def registers(self) -> Registers:
        return Registers(
            closing=self.closing,
            closed_at=self.closed_at,
            opening=self.opening,
            opened_at=self.opened_at,
            rounds=self.rounds,
            between=self.between,
            estimate_stands=self.estimate_stands,
        )
