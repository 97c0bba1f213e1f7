"""What a gateway has booked and a restored database has not: also what was taken out of purses, and of which points.

Revision ID: 0029
Revises: 0028
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

CONSTRAINTS = (
    "pk_{}",
    "ck_{}_positive",
    "ck_{}_settled",
    "fk_{}_organization_id",
    "fk_{}_organization_id_gateway_id",
    "fk_{}_organization_id_settled_by",
)


def _rename(old: str, new: str) -> None:
    op.rename_table(old, new)
    for name in CONSTRAINTS:
        op.execute(f"ALTER TABLE {new} RENAME CONSTRAINT {name.format(old)} TO {name.format(new)}")
    op.execute(f"ALTER INDEX ix_{old}_organization RENAME TO ix_{new}_organization")


def upgrade() -> None:
    _rename("lost_credits", "lost_transfers")
    op.add_column("lost_transfers", sa.Column("credit", sa.Text(), nullable=True))
    op.execute("UPDATE lost_transfers SET credit = 'Liabilities:Prepaid:' || purse_id")
    op.alter_column("lost_transfers", "credit", nullable=False)
    op.add_column(
        "lost_transfers",
        sa.Column("number", sa.Integer(), nullable=False, server_default=sa.text("0")),
    )
    op.add_column(
        "lost_transfers",
        sa.Column("points", JSONB(), nullable=False, server_default=sa.text("'[]'")),
    )
    op.create_index("ix_lost_transfers_purse", "lost_transfers", ["purse_id"])


def downgrade() -> None:
    op.drop_index("ix_lost_transfers_purse", "lost_transfers")
    # What was taken out of purses has no place in the table of before.
    op.execute("DELETE FROM lost_transfers WHERE credit <> 'Liabilities:Prepaid:' || purse_id")
    for name in ("points", "number", "credit"):
        op.drop_column("lost_transfers", name)
    _rename("lost_transfers", "lost_credits")
