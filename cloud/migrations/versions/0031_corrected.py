"""Corrected meters: which entry of the log said so, and which meter a technician linked; seen troubles of gateways.

Revision ID: 0031
Revises: 0030
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)


def upgrade() -> None:
    op.add_column("device_events", sa.Column("down_seq", sa.BigInteger(), nullable=True))
    for name in ("meter", "instead_of"):
        op.add_column("field_work", sa.Column(name, postgresql.JSONB(), nullable=True))
    op.create_table(
        "trouble_acknowledgements",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("acknowledged_by", sa.Uuid(), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_trouble_acknowledgements_organization_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "gateway_id"],
            ["gateways.organization_id", "gateways.id"],
            name=op.f("fk_trouble_acknowledgements_organization_id_gateway_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "acknowledged_by"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_trouble_acknowledgements_organization_id_acknowledged_by"),
        ),
        sa.PrimaryKeyConstraint(
            "gateway_id", "kind", "at", name=op.f("pk_trouble_acknowledgements")
        ),
    )
    op.execute("ALTER TABLE trouble_acknowledgements ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE trouble_acknowledgements FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY whose ON trouble_acknowledgements USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})"
    )


def downgrade() -> None:
    op.drop_table("trouble_acknowledgements")
    for name in ("instead_of", "meter"):
        op.drop_column("field_work", name)
    op.drop_column("device_events", "down_seq")
