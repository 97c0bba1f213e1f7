"""Notices to customers, and what came of them.

Revision ID: 0020
Revises: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)


def upgrade() -> None:
    op.create_table(
        "notices",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("key", "event", "phone", "body")),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("number", sa.Text(), nullable=True),
        *(
            sa.Column(name, sa.DateTime(timezone=True), nullable=True)
            for name in ("sent_at", "delivered_at", "failed_at")
        ),
        sa.Column("said", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_notices_organization_id")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "account_id"],
            ["accounts.organization_id", "accounts.id"],
            name=op.f("fk_notices_organization_id_account_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("organization_id", "key", name=op.f("uq_notices_organization_id_key")),
        sa.UniqueConstraint("provider", "number", name=op.f("uq_notices_provider_number")),
    )
    op.create_index(
        "ix_notices_waiting",
        "notices",
        ["due_at"],
        postgresql_where=sa.text("sent_at IS NULL AND failed_at IS NULL"),
    )
    op.execute("ALTER TABLE notices ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE notices FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY whose ON notices USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})")


def downgrade() -> None:
    op.drop_table("notices")
