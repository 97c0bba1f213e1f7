"""What the meters said, and what rating it again has found."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from cloud.tables.base import Owned, Utc, belongs_to


class Reading(Owned, table=True):
    """示数, each as the meter gave it: total in the point's unit, bands its own time-of-use registers 分时示数 by
    band, as texts.

    Partitioned by the month (UTC) of at; services.readings.partitions makes the partitions. number grows in the
    order in which readings were applied; known is the entry of our log up to which the gateway had it then. Both
    are None for what was applied before they were kept.
    """

    __tablename__ = "readings"
    __table_args__ = (
        belongs_to("points", "point_id"),
        Index("ix_readings_number", "number", postgresql_using="brin"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    point_id: UUID = Field(primary_key=True)
    at: datetime = Field(primary_key=True, sa_type=Utc)
    meter_no: str = Field(sa_type=Text)
    total: Decimal = Field(sa_type=Numeric)
    supply: str | None = Field(default=None, sa_type=Text)
    bands: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    number: int | None = Field(default=None, sa_type=BigInteger)
    known: int | None = Field(default=None, sa_type=BigInteger)


class RatingStart(Owned, table=True):
    """A position from which rating goes on, and not from what the readings before lead to: a Charged that is_start.

    position is prepaid.rating's Position as JSON. Of a store that took over from another, readings up to number
    until that are later than at were told to the one before, and were never charged by this one.
    """

    __tablename__ = "rating_starts"
    __table_args__ = (belongs_to("points", "point_id"),)

    point_id: UUID = Field(primary_key=True)
    at: datetime = Field(primary_key=True, sa_type=Utc)
    position: dict[str, Any] = Field(sa_type=JSONB)
    until: int | None = Field(default=None, sa_type=BigInteger)


class Rated(Owned, table=True):
    """Up to where a point's readings have been rated again, and the position that came of it, as JSON."""

    __tablename__ = "rated"
    __table_args__ = (belongs_to("points", "point_id"),)

    point_id: UUID = Field(primary_key=True)
    at: datetime = Field(sa_type=Utc)
    number: int | None = Field(default=None, sa_type=BigInteger)
    position: dict[str, Any] = Field(sa_type=JSONB)


class RatingDifference(Owned, table=True):
    """A charge that is booked otherwise than the readings say 复核差异: booked and expected are of the item at an
    instant, 0 where there is no such charge; before and after are the readings between which it arose."""

    __tablename__ = "rating_differences"
    __table_args__ = (
        belongs_to("points", "point_id"),
        Index("ix_rating_differences_found", "organization_id", "found_at"),
    )

    point_id: UUID = Field(primary_key=True)
    item: str = Field(primary_key=True, sa_type=Text)
    at: datetime = Field(primary_key=True, sa_type=Utc)
    booked_fen: int = Field(sa_type=BigInteger)
    expected_fen: int = Field(sa_type=BigInteger)
    before_at: datetime | None = Field(default=None, sa_type=Utc)
    before_total: Decimal | None = Field(default=None, sa_type=Numeric)
    after_total: Decimal | None = Field(default=None, sa_type=Numeric)
    found_at: datetime = Field(sa_type=Utc)


class RatingAcknowledgement(Owned, table=True):
    """A difference that a person has looked into 复核差异说明: it counts as long as both amounts are these."""

    __tablename__ = "rating_acknowledgements"
    __table_args__ = (belongs_to("points", "point_id"), belongs_to("users", "acknowledged_by"))

    point_id: UUID = Field(primary_key=True)
    item: str = Field(primary_key=True, sa_type=Text)
    at: datetime = Field(primary_key=True, sa_type=Utc)
    booked_fen: int = Field(sa_type=BigInteger)
    expected_fen: int = Field(sa_type=BigInteger)
    why: str = Field(sa_type=Text)
    acknowledged_by: UUID
    acknowledged_at: datetime = Field(sa_type=Utc)


class TelemetryCursor(SQLModel, table=True):
    """Up to which number readings were sent to the time series database; upto is one that was the newest at upto_at.

    Only the system sees this table.
    """

    __tablename__ = "telemetry_cursors"

    target: str = Field(primary_key=True, sa_type=Text)
    sent: int = Field(sa_type=BigInteger)
    upto: int = Field(sa_type=BigInteger)
    upto_at: datetime = Field(sa_type=Utc)
