"""Tariffs on their way: drafts, what was published of them and told to gateways, whom they are for, rehearsals."""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from cloud.tables.base import Identified, Owned, Utc, belongs_to, referable


class TariffDraft(Identified, table=True):
    """价格草案: a document that is being written. It may have faults until it is proposed.

    basis is the number of the published version it was begun from, 0 for a new code.
    """

    __tablename__ = "tariff_drafts"
    __table_args__ = (referable(), belongs_to("users", "written_by"))

    document: dict[str, Any] = Field(sa_type=JSONB)
    basis: int
    written_by: UUID
    changed_at: datetime = Field(sa_type=Utc)
    published_at: datetime | None = Field(default=None, sa_type=Utc)
    dropped_at: datetime | None = Field(default=None, sa_type=Utc)


class TariffPublication(Identified, table=True):
    """A document of a tariff as it was published, numbered 1, 2, 3 … by tariff; never changed."""

    __tablename__ = "tariff_publications"
    __table_args__ = (
        referable(),
        belongs_to("tariffs", "tariff_id"),
        belongs_to("tariff_drafts", "draft_id"),
        belongs_to("users", "approved_by"),
        UniqueConstraint("tariff_id", "number"),
    )

    tariff_id: UUID
    number: int
    document: dict[str, Any] = Field(sa_type=JSONB)
    draft_id: UUID | None = None
    approved_by: UUID | None = None


class TariffDelivery(Owned, table=True):
    """下发: that a gateway was told of a publication by an entry of our log, and when its cursor had it."""

    __tablename__ = "tariff_deliveries"
    __table_args__ = (
        belongs_to("tariff_publications", "publication_id"),
        belongs_to("gateways", "gateway_id"),
        Index(
            "ix_tariff_deliveries_undelivered",
            "gateway_id",
            "down_seq",
            postgresql_where=text("delivered_at IS NULL"),
        ),
    )

    publication_id: UUID = Field(primary_key=True)
    gateway_id: UUID = Field(primary_key=True)
    down_seq: int = Field(sa_type=BigInteger)
    sent_at: datetime = Field(sa_type=Utc)
    delivered_at: datetime | None = Field(default=None, sa_type=Utc)


class TariffAssignment(Identified, table=True):
    """That a tariff is for a point, a class or all of a commodity at a site, from since until ended_at."""

    __tablename__ = "tariff_assignments"
    __table_args__ = (
        belongs_to("tariffs", "tariff_id"),
        belongs_to("points", "point_id"),
        belongs_to("sites", "site_id"),
        belongs_to("users", "assigned_by"),
        CheckConstraint("num_nonnulls(point_id, class, site_id) = 1", name="for_one"),
        Index("ix_tariff_assignments_point", "point_id"),
    )

    tariff_id: UUID
    commodity: str = Field(sa_type=Text)
    point_id: UUID | None = None
    class_: str | None = Field(default=None, sa_type=Text, sa_column_kwargs={"name": "class"})
    site_id: UUID | None = None
    since: datetime = Field(sa_type=Utc)
    ended_at: datetime | None = Field(default=None, sa_type=Utc)
    assigned_by: UUID


class PointClass(Owned, table=True):
    """用电类别, 用水类别: the class by which a point is priced, in the words of the organization."""

    __tablename__ = "point_classes"
    __table_args__ = (belongs_to("points", "point_id"),)

    point_id: UUID = Field(primary_key=True)
    class_: str = Field(sa_type=Text, sa_column_kwargs={"name": "class"})


class Rehearsal(Identified, table=True):
    """试算预演: what a draft would have come to for an estate over past days."""

    __tablename__ = "rehearsals"
    __table_args__ = (
        belongs_to("tariff_drafts", "draft_id"),
        belongs_to("sites", "site_id"),
        belongs_to("users", "requested_by"),
        Index("ix_rehearsals_draft", "draft_id", "created_at"),
    )

    draft_id: UUID
    document: dict[str, Any] = Field(sa_type=JSONB)
    site_id: UUID | None = None
    since: dt.date
    until: dt.date
    requested_by: UUID
    done: int = 0
    total: int = 0
    ended_at: datetime | None = Field(default=None, sa_type=Utc)
    result: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    error: str | None = Field(default=None, sa_type=Text)
