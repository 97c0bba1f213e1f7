"""Workers say that they work.

Revision ID: 0023
Revises: 0022
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("has_broker", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeats")),
    )
    op.execute("ALTER TABLE heartbeats ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE heartbeats FORCE ROW LEVEL SECURITY")
    visible = "current_setting('wattwell.system', true) = 'on'"
    op.execute(f"CREATE POLICY whose ON heartbeats USING ({visible}) WITH CHECK ({visible})")


def downgrade() -> None:
    op.drop_table("heartbeats")
