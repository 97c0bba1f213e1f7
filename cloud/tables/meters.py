"""Physical devices and their lives: meters, where each is mounted and since when, and what was done to them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    Index,
    Numeric,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from cloud.tables.base import Identified, Owned, Utc, belongs_to, referable


class Line(Identified, table=True):
    """总线: what meters hang on. name is the one that the gateway's gateway.toml gives it."""

    __tablename__ = "lines"
    __table_args__ = (
        belongs_to("gateways", "gateway_id"),
        UniqueConstraint("gateway_id", "name"),
    )

    gateway_id: UUID
    name: str = Field(sa_type=Text)
    note: str = Field(default="", sa_type=Text)
    ended_at: datetime | None = Field(default=None, sa_type=Utc)


class Meter(Identified, table=True):
    """表计: a device with its own life, from one service point to another; model as of services.devices.models."""

    __tablename__ = "meters"
    __table_args__ = (referable(), UniqueConstraint("organization_id", "meter_no"))

    meter_no: str = Field(sa_type=Text)
    model: str | None = Field(default=None, sa_type=Text)
    seal_no: str = Field(default="", sa_type=Text)
    calibration_due: date | None = Field(default=None, sa_type=Date)
    ended_at: datetime | None = Field(default=None, sa_type=Utc)  # taken out of use for good


class Mounting(Identified, table=True):
    """装表: a meter measured a service point from one reading until another. device is prepaid.point's Meter as JSON,
    with the multiplier that held; other transformers are another mounting of the same meter."""

    __tablename__ = "mountings"
    __table_args__ = (
        belongs_to("points", "point_id"),
        belongs_to("meters", "meter_id"),
        CheckConstraint("removed_at IS NULL OR removed_at >= mounted_at", name="order"),
        Index(
            "ix_mountings_now", "point_id", unique=True, postgresql_where=text("removed_at IS NULL")
        ),
        Index("ix_mountings_point", "point_id", "mounted_at"),
        Index("ix_mountings_meter", "meter_id", "mounted_at"),
    )

    point_id: UUID
    meter_id: UUID
    device: dict[str, Any] = Field(sa_type=JSONB)
    mounted_at: datetime = Field(sa_type=Utc)
    removed_at: datetime | None = Field(default=None, sa_type=Utc)
    opening: Decimal | None = Field(default=None, sa_type=Numeric)  # 起码; None: the first reading
    closing: Decimal | None = Field(default=None, sa_type=Numeric)  # 止码


class DeviceEvent(Identified, table=True):
    """What was done to a meter, a service point's register or a gateway, when, by whom and why.

    decided is the prepaid.wire.downlog.Decided that was sent to the gateway because of it, if one was: the gateway
    booked it at taken_at, or says in refused why it cannot. down_seq is the entry of our log for gateway_id that said
    what was corrected, if it was that. A dispute is open until ended_at.
    """

    __tablename__ = "device_events"
    __table_args__ = (
        referable(),
        belongs_to("points", "point_id"),
        belongs_to("meters", "meter_id"),
        belongs_to("gateways", "gateway_id"),
        belongs_to("users", "done_by"),
        belongs_to("users", "ended_by"),
        Index("ix_device_events_point", "point_id", "at"),
        Index("ix_device_events_meter", "meter_id", "at"),
        Index("ix_device_events_gateway", "gateway_id", "at"),
        Index(
            "ix_device_events_waiting",
            "gateway_id",
            postgresql_where=text("decided IS NOT NULL AND taken_at IS NULL"),
        ),
    )

    kind: str = Field(sa_type=Text)
    at: datetime = Field(sa_type=Utc)
    point_id: UUID | None = None
    meter_id: UUID | None = None
    gateway_id: UUID | None = None
    done_by: UUID
    why: str = Field(sa_type=Text)
    detail: dict[str, Any] = Field(sa_type=JSONB)
    decided: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    taken_at: datetime | None = Field(default=None, sa_type=Utc)
    refused: str | None = Field(default=None, sa_type=Text)
    down_seq: int | None = Field(default=None, sa_type=BigInteger)
    ended_at: datetime | None = Field(default=None, sa_type=Utc)
    ended_by: UUID | None = None
    ended_why: str | None = Field(default=None, sa_type=Text)


class EventPhoto(Owned, table=True):
    """A photograph that proves an event. of says of what it is: closing, opening or other."""

    __tablename__ = "event_photos"
    __table_args__ = (belongs_to("device_events", "event_id"), belongs_to("photos", "photo_id"))

    event_id: UUID = Field(primary_key=True)
    photo_id: UUID = Field(primary_key=True)
    of: str = Field(sa_type=Text)
