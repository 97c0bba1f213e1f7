"""What speaks for and against a reading is kept beside it.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)


def upgrade() -> None:
    op.create_table(
        "evidence",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("point_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Text(), nullable=False),
        sa.Column("effect", sa.Text(), nullable=False),
        sa.Column("moved", sa.Numeric(), nullable=True),
        sa.Column("against", sa.Numeric(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_evidence_organization_id")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "point_id"],
            ["points.organization_id", "points.id"],
            name=op.f("fk_evidence_organization_id_point_id"),
        ),
        sa.PrimaryKeyConstraint("point_id", "at", "kind", name=op.f("pk_evidence")),
    )
    op.execute("ALTER TABLE evidence ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE evidence FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY whose ON evidence USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})")


def downgrade() -> None:
    op.drop_table("evidence")
