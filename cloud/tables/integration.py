"""Other programs: the keys by which they ask us, and the addresses at which we tell them what happened."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from cloud.tables.base import Identified, Utc, belongs_to, referable


class ApiKey(Identified, table=True):
    """接口密钥: a program that asks as the user user_id, who has its name, roles and scope and cannot sign in.

    Only the hash of the key is kept, and prefix, its beginning, by which people know it again. per_minute is
    how often it may ask. last_used_at is to the minute.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        belongs_to("users", "user_id"),
        belongs_to("users", "made_by"),
        belongs_to("users", "revoked_by"),
        CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", name="revoked"),
        CheckConstraint("per_minute > 0", name="per_minute"),
    )

    user_id: UUID = Field(unique=True)
    prefix: str = Field(sa_type=Text, unique=True)
    key_hash: bytes = Field(sa_type=LargeBinary, unique=True)  # SHA-256
    per_minute: int
    made_by: UUID
    expires_at: datetime | None = Field(default=None, sa_type=Utc)
    last_used_at: datetime | None = Field(default=None, sa_type=Utc)
    last_used_from: str | None = Field(default=None, sa_type=Text)  # an address
    revoked_at: datetime | None = Field(default=None, sa_type=Utc)
    revoked_by: UUID | None = None


class Webhook(Identified, table=True):
    """事件推送: an address that is told of events (services.integration.outbox.Event).

    secret_number counts the secrets it has had; the one before is used beside it for a day after rotated_at.
    ended_by is None where the receiver itself said that it is gone.
    """

    __tablename__ = "webhooks"
    __table_args__ = (
        referable(),
        belongs_to("users", "made_by"),
        belongs_to("users", "ended_by"),
    )

    url: str = Field(sa_type=Text)
    events: list[str] = Field(sa_type=JSONB)
    secret_number: int = 1
    rotated_at: datetime | None = Field(default=None, sa_type=Utc)
    made_by: UUID
    ended_at: datetime | None = Field(default=None, sa_type=Utc)
    ended_by: UUID | None = None


class WebhookDelivery(Identified, table=True):
    """An event on its way to a webhook, written in the transaction in which it happened.

    due_at is when it is tried next, None once it is delivered_at or, after too many attempts, dead_at.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        belongs_to("webhooks", "webhook_id"),
        CheckConstraint(
            "num_nonnulls(due_at, delivered_at, dead_at) = 1", name="due_delivered_or_dead"
        ),
        Index("ix_webhook_deliveries_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("ix_webhook_deliveries_webhook", "webhook_id", "created_at"),
    )

    webhook_id: UUID
    event: str = Field(sa_type=Text)
    body: str = Field(sa_type=Text)
    attempts: int = 0
    due_at: datetime | None = Field(default=None, sa_type=Utc)
    tried_at: datetime | None = Field(default=None, sa_type=Utc)
    status: int | None = None  # what the receiver answered last
    fault: str | None = Field(default=None, sa_type=Text)  # a deliveries.Fault, of the last attempt
    delivered_at: datetime | None = Field(default=None, sa_type=Utc)
    dead_at: datetime | None = Field(default=None, sa_type=Utc)
