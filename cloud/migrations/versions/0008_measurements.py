"""The meters' own bands, and what they measure beside their registers.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)


def upgrade() -> None:
    json = postgresql.JSONB(astext_type=sa.Text())
    op.add_column("readings", sa.Column("bands", json, nullable=True))
    op.add_column("point_states", sa.Column("bands", json, nullable=True))
    op.add_column("point_states", sa.Column("measured", json, nullable=True))
    op.create_table(
        "measurements",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("point_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("meter_no", sa.Text(), nullable=False),
        sa.Column("measured", json, nullable=False),
        sa.Column("is_battery_low", sa.Boolean(), nullable=True),
        sa.Column("is_valve_abnormal", sa.Boolean(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_measurements_organization_id")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "point_id"],
            ["points.organization_id", "points.id"],
            name=op.f("fk_measurements_organization_id_point_id"),
        ),
        sa.PrimaryKeyConstraint("point_id", "at", name=op.f("pk_measurements")),
    )
    op.execute("ALTER TABLE measurements ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE measurements FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY whose ON measurements USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})"
    )


def downgrade() -> None:
    op.drop_table("measurements")
    op.drop_column("point_states", "measured")
    op.drop_column("point_states", "bands")
    op.drop_column("readings", "bands")
