"""What customers are told, and whether it reached them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Index, Numeric, Text, UniqueConstraint, text
from sqlmodel import Field

from cloud.tables.base import Identified, Utc, belongs_to


class Notice(Identified, table=True):
    """通知: a message to a customer, kept as it was worded. Its state is the dates it has reached.

    key is what it tells of: the same thing is told once. asked_at without number: it may have gone out.
    """

    __tablename__ = "notices"
    __table_args__ = (
        belongs_to("accounts", "account_id"),
        UniqueConstraint("organization_id", "key"),
        UniqueConstraint("provider", "number"),
        Index(
            "ix_notices_waiting",
            "due_at",
            postgresql_where=text("sent_at IS NULL AND failed_at IS NULL"),
        ),
        Index("ix_notices_organization", "organization_id", "created_at"),
    )

    account_id: UUID
    key: str = Field(sa_type=Text)
    event: str = Field(sa_type=Text)  # a services.news.Event
    phone: str = Field(sa_type=Text)
    body: str = Field(sa_type=Text)
    due_at: datetime = Field(sa_type=Utc)
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    asked_at: datetime | None = Field(default=None, sa_type=Utc)
    provider: str | None = Field(default=None, sa_type=Text)
    number: str | None = Field(default=None, sa_type=Text)  # at the provider
    sent_at: datetime | None = Field(default=None, sa_type=Utc)
    delivered_at: datetime | None = Field(default=None, sa_type=Utc)
    failed_at: datetime | None = Field(default=None, sa_type=Utc)
    said: str | None = Field(default=None, sa_type=Text)  # the provider's last word
    segments: int | None = None  # 条数: into how many messages the carrier has cut it
    cost: Decimal | None = Field(default=None, sa_type=Numeric)  # of all of them, once it is known
    currency: str | None = Field(default=None, sa_type=Text)
    looked_at: datetime | None = Field(default=None, sa_type=Utc)  # the provider was asked about it
