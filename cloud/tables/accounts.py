"""Accounts over time: who pays for a service point from when on, drafts of openings, households, what was done."""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Numeric, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from cloud.tables.base import Identified, Owned, Utc, belongs_to, referable


class Tenure(Identified, table=True):
    """用能归属: who pays for a service point from began_at on, a purse or (None) nobody 空置; one after another.

    began_at and ended_at are what was decided here, opened_… and closed_… what the gateway says: from which register
    on this payer pays, and up to which. down_seq is the entry of our log for gateway_id that told of it. typed_… is
    the register that a person read at the beginning, with a photo, where one did. stated_… is the last register as
    two people have said it 人工认定, because the gateway does not come back; superseded_at: it came back after all.
    """

    __tablename__ = "tenures"
    __table_args__ = (
        referable(),
        belongs_to("points", "point_id"),
        belongs_to("purses", "purse_id"),
        belongs_to("gateways", "gateway_id"),
        belongs_to("photos", "typed_photo"),
        belongs_to("users", "stated_by"),
        CheckConstraint(
            "(stated_total IS NULL) = (stated_at IS NULL) AND (stated_total IS NULL) = (stated_by IS NULL)",
            name="stated",
        ),
        CheckConstraint("(typed_total IS NULL) = (typed_at IS NULL)", name="typed"),
        CheckConstraint("(opened_total IS NULL) = (opened_at IS NULL)", name="opened"),
        CheckConstraint("(closed_total IS NULL) = (closed_at IS NULL)", name="closed"),
        Index(
            "uq_tenures_point", "point_id", unique=True, postgresql_where=text("ended_at IS NULL")
        ),
        Index("ix_tenures_past", "gateway_id", postgresql_where=text("ended_at IS NOT NULL")),
        Index(
            "ix_tenures_undelivered",
            "gateway_id",
            "down_seq",
            postgresql_where=text("delivered_at IS NULL"),
        ),
        Index("ix_tenures_purse", "purse_id"),
    )

    point_id: UUID
    purse_id: UUID | None = None
    gateway_id: UUID
    down_seq: int = Field(sa_type=BigInteger)
    began_at: datetime = Field(sa_type=Utc)
    delivered_at: datetime | None = Field(default=None, sa_type=Utc)
    typed_total: Decimal | None = Field(default=None, sa_type=Numeric)
    typed_at: datetime | None = Field(default=None, sa_type=Utc)
    typed_photo: UUID | None = None
    opened_total: Decimal | None = Field(default=None, sa_type=Numeric)
    opened_at: datetime | None = Field(default=None, sa_type=Utc)
    ended_at: datetime | None = Field(default=None, sa_type=Utc)
    closed_total: Decimal | None = Field(default=None, sa_type=Numeric)
    closed_at: datetime | None = Field(default=None, sa_type=Utc)
    stated_total: Decimal | None = Field(default=None, sa_type=Numeric)
    stated_at: datetime | None = Field(default=None, sa_type=Utc)
    stated_by: UUID | None = None
    superseded_at: datetime | None = Field(default=None, sa_type=Utc)


class Photo(Identified, table=True):
    """A photo that somebody took of a meter, as JPEG or PNG, at most 4 MB; never changed."""

    __tablename__ = "photos"
    __table_args__ = (referable(), belongs_to("users", "taken_by"))

    media_type: str = Field(sa_type=Text)
    content: bytes
    taken_by: UUID


class Draft(Identified, table=True):
    """开户草稿: an opening that is prepared; content is services.accounts.drafts' Draft as JSON. A room has one
    at most that is neither opened nor thrown away.

    batch names those that were opened together; refused and refused_at say why it could not be opened the last time.
    """

    __tablename__ = "drafts"
    __table_args__ = (
        referable(),
        belongs_to("rooms", "room_id"),
        belongs_to("users", "saved_by"),
        belongs_to("users", "ended_by"),
        belongs_to("accounts", "account_id"),
        CheckConstraint("(opened_at IS NULL) = (account_id IS NULL)", name="opened"),
        Index(
            "uq_drafts_room",
            "room_id",
            unique=True,
            postgresql_where=text("opened_at IS NULL AND ended_at IS NULL"),
        ),
        Index("ix_drafts_batch", "batch"),
    )

    room_id: UUID
    content: dict[str, Any] = Field(sa_type=JSONB)
    saved_by: UUID
    saved_at: datetime = Field(sa_type=Utc)
    batch: UUID | None = None
    refused: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))  # a Said
    refused_at: datetime | None = Field(default=None, sa_type=Utc)
    opened_at: datetime | None = Field(default=None, sa_type=Utc)
    account_id: UUID | None = None
    ended_at: datetime | None = Field(default=None, sa_type=Utc)
    ended_by: UUID | None = None


class Household(Owned, table=True):
    """人口: how many people live in the rooms of an account, from the beginning of a day at the site. A row that was
    wrong is followed by one that is right, for the same day (the last written counts)."""

    __tablename__ = "households"
    __table_args__ = (
        belongs_to("accounts", "account_id"),
        belongs_to("users", "said_by"),
        CheckConstraint("persons > 0", name="positive"),
    )

    account_id: UUID = Field(primary_key=True)
    since: dt.date = Field(primary_key=True)
    said_at: datetime = Field(primary_key=True, sa_type=Utc)
    persons: int
    said_by: UUID


class AccountAct(Identified, table=True):
    """业务记录: an account was opened, changed rooms, went over to another holder, was closed or settled (act is a
    services.accounts.acts.Act). other_id is the account before or after, detail what the paper form would say."""

    __tablename__ = "account_acts"
    __table_args__ = (
        belongs_to("accounts", "account_id"),
        belongs_to("accounts", "other_id"),
        belongs_to("users", "by_user"),
        Index("ix_account_acts_account", "account_id", "at"),
    )

    account_id: UUID
    act: str = Field(sa_type=Text)
    at: datetime = Field(sa_type=Utc)
    by_user: UUID | None = None
    other_id: UUID | None = None
    detail: dict[str, Any] = Field(sa_type=JSONB)
