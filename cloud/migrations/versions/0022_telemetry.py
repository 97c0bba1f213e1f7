"""Up to where readings were sent to a time series database.

Revision ID: 0022
Revises: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

IS_SYSTEM = "current_setting('wattwell.system', true) = 'on'"


def upgrade() -> None:
    op.create_table(
        "telemetry_cursors",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("upto", sa.BigInteger(), nullable=False),
        sa.Column("upto_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("target", name=op.f("pk_telemetry_cursors")),
    )
    op.execute("ALTER TABLE telemetry_cursors ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE telemetry_cursors FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY whose ON telemetry_cursors USING ({IS_SYSTEM}) WITH CHECK ({IS_SYSTEM})"
    )
    op.execute("CREATE INDEX ix_readings_number ON readings USING brin (number)")


def downgrade() -> None:
    op.drop_index("ix_readings_number", "readings")
    op.drop_table("telemetry_cursors")
