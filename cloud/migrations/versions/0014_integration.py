"""Other programs: the keys by which they ask, and the addresses at which they are told what happened.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)


def upgrade() -> None:
    _api_keys()
    _webhooks()
    _webhook_deliveries()
    for table in ("api_keys", "webhooks", "webhook_deliveries"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY whose ON {table} USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})")


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        *_identified(),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("per_minute", sa.Integer(), nullable=False),
        sa.Column("made_by", sa.Uuid(), nullable=False),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("last_used_at", _TIME, nullable=True),
        sa.Column("last_used_from", sa.Text(), nullable=True),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.Column("revoked_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "(revoked_at IS NULL) = (revoked_by IS NULL)", name=op.f("ck_api_keys_revoked")
        ),
        sa.CheckConstraint("per_minute > 0", name=op.f("ck_api_keys_per_minute")),
        _owned("api_keys"),
        *(_of("api_keys", "users", column) for column in ("user_id", "made_by", "revoked_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        *(
            sa.UniqueConstraint(column, name=op.f(f"uq_api_keys_{column}"))
            for column in ("user_id", "prefix", "key_hash")
        ),
    )


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        *_identified(),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("secret_number", sa.Integer(), nullable=False),
        sa.Column("rotated_at", _TIME, nullable=True),
        sa.Column("made_by", sa.Uuid(), nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("ended_by", sa.Uuid(), nullable=True),
        _owned("webhooks"),
        *(_of("webhooks", "users", column) for column in ("made_by", "ended_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_webhooks_organization_id_id")),
    )


def _webhook_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        *_identified(),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", _TIME, nullable=True),
        sa.Column("tried_at", _TIME, nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.Column("delivered_at", _TIME, nullable=True),
        sa.Column("dead_at", _TIME, nullable=True),
        sa.CheckConstraint(
            "num_nonnulls(due_at, delivered_at, dead_at) = 1",
            name=op.f("ck_webhook_deliveries_due_delivered_or_dead"),
        ),
        _owned("webhook_deliveries"),
        _of("webhook_deliveries", "webhooks", "webhook_id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_webhook_deliveries_webhook", "webhook_deliveries", ["webhook_id", "created_at"]
    )


_TIME = sa.DateTime(timezone=True)


def _identified() -> list[sa.Column[object]]:
    return [
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
    ]


def _owned(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["organization_id"], ["organizations.id"], name=op.f(f"fk_{table}_organization_id")
    )


def _of(table: str, whose: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["organization_id", column],
        [f"{whose}.organization_id", f"{whose}.id"],
        name=op.f(f"fk_{table}_organization_id_{column}"),
    )


def downgrade() -> None:
    for table in ("webhook_deliveries", "webhooks", "api_keys"):
        op.drop_table(table)
