"""Top-ups by more than one channel: the way, twins of an order, when it was closed; what is paid twice goes back.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)


def upgrade() -> None:
    op.add_column("topups", sa.Column("way", sa.Text(), nullable=True))
    op.add_column("topups", sa.Column("twin_of", sa.Uuid(), nullable=True))
    for column in ("closed_at", "refunded_at"):
        op.add_column("topups", sa.Column(column, sa.DateTime(timezone=True), nullable=True))
    op.create_foreign_key(
        op.f("fk_topups_organization_id_twin_of"),
        "topups",
        "topups",
        ["organization_id", "twin_of"],
        ["organization_id", "id"],
    )
    op.create_index(
        "ix_topups_twin_of",
        "topups",
        ["twin_of"],
        unique=False,
        postgresql_where=sa.text("twin_of IS NOT NULL"),
    )
    op.execute("SELECT set_config('wattwell.system', 'on', true)")
    op.execute("UPDATE topups SET way = 'page' WHERE pay_url IS NOT NULL")
    _channel_refunds()


def _channel_refunds() -> None:
    op.create_table(
        "channel_refunds",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("topup_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("out_trade_no", sa.Text(), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("out_refund_no", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("said", sa.Text(), nullable=True),
        *(
            sa.Column(column, sa.DateTime(timezone=True), nullable=True)
            for column in ("asked_at", "accepted_at", "done_at", "failed_at")
        ),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_channel_refunds_positive")),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_channel_refunds_organization_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "topup_id"],
            ["topups.organization_id", "topups.id"],
            name=op.f("fk_channel_refunds_organization_id_topup_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channel_refunds")),
        sa.UniqueConstraint(
            "channel", "transaction_id", name=op.f("uq_channel_refunds_channel_transaction_id")
        ),
        sa.UniqueConstraint("out_refund_no", name=op.f("uq_channel_refunds_out_refund_no")),
    )
    op.create_index(
        "ix_channel_refunds_open",
        "channel_refunds",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL AND failed_at IS NULL"),
    )
    op.execute("ALTER TABLE channel_refunds ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE channel_refunds FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY whose ON channel_refunds USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})"
    )


def downgrade() -> None:
    op.drop_table("channel_refunds")
    op.drop_index("ix_topups_twin_of", table_name="topups")
    op.drop_constraint(op.f("fk_topups_organization_id_twin_of"), "topups", type_="foreignkey")
    for column in ("way", "twin_of", "closed_at", "refunded_at"):
        op.drop_column("topups", column)
