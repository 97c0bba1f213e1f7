"""What payment channels say of each day, and how it differs from the books.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)
TABLES = ("bill_days", "bill_differences")


def upgrade() -> None:
    op.create_table(
        "bill_days",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("compared_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payments", sa.Integer(), nullable=False),
        sa.Column("paid_fen", sa.BigInteger(), nullable=False),
        sa.Column("refunds", sa.Integer(), nullable=False),
        sa.Column("refunded_fen", sa.BigInteger(), nullable=False),
        sa.Column("fee_milli_fen", sa.BigInteger(), nullable=False),
        sa.Column("booked_fen", sa.BigInteger(), nullable=False),
        sa.Column("given_back_fen", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_bill_days_organization_id")
        ),
        sa.PrimaryKeyConstraint("organization_id", "channel", "day", name=op.f("pk_bill_days")),
    )
    op.create_table(
        "bill_differences",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("out_trade_no", sa.Text(), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("out_refund_no", sa.Text(), nullable=True),
        sa.Column("ours_fen", sa.BigInteger(), nullable=True),
        sa.Column("theirs_fen", sa.BigInteger(), nullable=True),
        sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_by", sa.Uuid(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_bill_differences_organization_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "settled_by"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_bill_differences_organization_id_settled_by"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bill_differences")),
        sa.UniqueConstraint(
            "channel",
            "day",
            "kind",
            "number",
            name=op.f("uq_bill_differences_channel_day_kind_number"),
        ),
    )
    op.create_index(
        "ix_bill_differences_open",
        "bill_differences",
        ["organization_id", "day"],
        postgresql_where=sa.text("gone_at IS NULL AND settled_at IS NULL"),
    )
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY whose ON {table} USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})")


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
