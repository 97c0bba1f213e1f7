"""Each reversal is in a drawer; balances beside orders; customers who want to hear of top-ups; what a message cost.

Revision ID: 0025
Revises: 0024
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

MOVING = ("topups", "withdrawals", "grants")


def upgrade() -> None:
    op.execute("SELECT set_config('wattwell.system', 'on', true)")
    op.add_column("withdrawals", sa.Column("shift_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_withdrawals_organization_id_shift_id"),
        "withdrawals",
        "shifts",
        ["organization_id", "shift_id"],
        ["organization_id", "id"],
    )
    op.create_index(
        "ix_withdrawals_shift",
        "withdrawals",
        ["shift_id"],
        postgresql_where=sa.text("shift_id IS NOT NULL"),
    )
    op.execute("""
        UPDATE withdrawals w SET shift_id = t.shift_id
        FROM topups t JOIN shifts s ON s.id = t.shift_id
        WHERE w.kind = 'reversal' AND t.id = w.topup_id AND w.booked_at IS NOT NULL
          AND (s.closed_at IS NULL OR w.booked_at <= s.closed_at)
    """)
    for table in MOVING:
        op.add_column(table, sa.Column("balance_after_fen", sa.BigInteger(), nullable=True))
    op.add_column(
        "accounts",
        sa.Column("told_of_topups", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column("notices", sa.Column("segments", sa.Integer(), nullable=True))
    op.add_column("notices", sa.Column("cost", sa.Numeric(), nullable=True))
    op.add_column("notices", sa.Column("currency", sa.Text(), nullable=True))
    op.add_column("notices", sa.Column("looked_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_topups_credited",
        "topups",
        ["credited_at"],
        postgresql_where=sa.text("credited_at IS NOT NULL"),
    )
    op.create_index("ix_notices_organization", "notices", ["organization_id", "created_at"])


def downgrade() -> None:
    op.drop_index("ix_notices_organization", "notices")
    op.drop_index("ix_topups_credited", "topups")
    for name in ("looked_at", "currency", "cost", "segments"):
        op.drop_column("notices", name)
    op.drop_column("accounts", "told_of_topups")
    for table in MOVING:
        op.drop_column(table, "balance_after_fen")
    op.drop_index("ix_withdrawals_shift", "withdrawals")
    op.drop_constraint(op.f("fk_withdrawals_organization_id_shift_id"), "withdrawals")
    op.drop_column("withdrawals", "shift_id")
