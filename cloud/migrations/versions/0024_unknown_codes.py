"""Codes that a gateway took and that are not known here, until somebody has settled them.

Revision ID: 0024
Revises: 0023
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = NULLIF(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "unknown_codes",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("purse_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("down_seq", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_unknown_codes_organization_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "purse_id"],
            ["purses.organization_id", "purses.id"],
            name=op.f("fk_unknown_codes_organization_id_purse_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "gateway_id"],
            ["gateways.organization_id", "gateways.id"],
            name=op.f("fk_unknown_codes_organization_id_gateway_id"),
        ),
        sa.PrimaryKeyConstraint("purse_id", "number", name=op.f("pk_unknown_codes")),
    )
    op.create_index(
        "ix_unknown_codes_gateway",
        "unknown_codes",
        ["gateway_id"],
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.execute("ALTER TABLE unknown_codes ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE unknown_codes FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY whose ON unknown_codes USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})"
    )


def downgrade() -> None:
    op.drop_table("unknown_codes")
