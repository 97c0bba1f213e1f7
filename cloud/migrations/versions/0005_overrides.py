"""What operators pin a supply to, for good: who, until when, and why.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)


def upgrade() -> None:
    op.create_table(
        "overrides",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("point_id", sa.Uuid(), nullable=False),
        sa.Column("supply", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("pinned_by", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("down_seq", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("supply IN ('on', 'off')", name=op.f("ck_overrides_pins")),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (ended_by IS NULL)", name=op.f("ck_overrides_ended")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_overrides_organization_id")
        ),
        *(
            sa.ForeignKeyConstraint(
                ["organization_id", column],
                [f"{table}.organization_id", f"{table}.id"],
                name=op.f(f"fk_overrides_organization_id_{column}"),
            )
            for column, table in (
                ("point_id", "points"),
                ("gateway_id", "gateways"),
                ("pinned_by", "users"),
                ("ended_by", "users"),
            )
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_overrides")),
    )
    op.create_index("ix_overrides_point", "overrides", ["point_id", "created_at"], unique=False)
    op.execute("ALTER TABLE overrides ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE overrides FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY whose ON overrides USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})")
    op.execute("""
        CREATE FUNCTION refuse_another_override() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'an override is ended, never changed or deleted';
        END $$
    """)
    op.execute("""
        CREATE TRIGGER overrides_are_kept
        BEFORE DELETE OR UPDATE OF id, created_at, point_id, supply, until, why, pinned_by ON overrides
        FOR EACH ROW EXECUTE FUNCTION refuse_another_override()
    """)


def downgrade() -> None:
    op.drop_table("overrides")
    op.execute("DROP FUNCTION refuse_another_override()")
