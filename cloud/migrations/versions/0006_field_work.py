"""What technicians did at gateways.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)


def upgrade() -> None:
    op.create_table(
        "field_work",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("point_id", sa.Uuid(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("work", sa.Text(), nullable=False),
        sa.Column("is_over", sa.Boolean(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_field_work_organization_id")
        ),
        *(
            sa.ForeignKeyConstraint(
                ["organization_id", column],
                [f"{table}.organization_id", f"{table}.id"],
                name=op.f(f"fk_field_work_organization_id_{column}"),
            )
            for column, table in (("gateway_id", "gateways"), ("point_id", "points"))
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_field_work")),
    )
    op.create_index("ix_field_work_point", "field_work", ["point_id", "at"], unique=False)
    op.execute("ALTER TABLE field_work ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE field_work FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY whose ON field_work USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})")


def downgrade() -> None:
    op.drop_table("field_work")
