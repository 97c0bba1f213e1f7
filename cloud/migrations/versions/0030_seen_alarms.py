"""Alarms that somebody has seen to.

Revision ID: 0030
Revises: 0029
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)


def upgrade() -> None:
    op.create_table(
        "alarm_acknowledgements",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("point_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("acknowledged_by", sa.Uuid(), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_alarm_acknowledgements_organization_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "point_id"],
            ["points.organization_id", "points.id"],
            name=op.f("fk_alarm_acknowledgements_organization_id_point_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "acknowledged_by"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_alarm_acknowledgements_organization_id_acknowledged_by"),
        ),
        sa.PrimaryKeyConstraint("point_id", "kind", "at", name=op.f("pk_alarm_acknowledgements")),
    )
    op.execute("ALTER TABLE alarm_acknowledgements ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE alarm_acknowledgements FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY whose ON alarm_acknowledgements USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})"
    )


def downgrade() -> None:
    op.drop_table("alarm_acknowledgements")
