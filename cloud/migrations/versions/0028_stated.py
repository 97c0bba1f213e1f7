"""Last readings stated without a gateway, purses that follow their customer, differences that were acknowledged.

Revision ID: 0028
Revises: 0027
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)


def upgrade() -> None:
    op.add_column("tenures", sa.Column("stated_total", sa.Numeric(), nullable=True))
    op.add_column("tenures", sa.Column("stated_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("tenures", sa.Column("stated_by", sa.Uuid(), nullable=True))
    op.add_column("tenures", sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True))
    op.create_foreign_key(
        op.f("fk_tenures_organization_id_stated_by"),
        "tenures",
        "users",
        ["organization_id", "stated_by"],
        ["organization_id", "id"],
    )
    op.create_check_constraint(
        op.f("ck_tenures_stated"),
        "tenures",
        "(stated_total IS NULL) = (stated_at IS NULL) AND (stated_total IS NULL) = (stated_by IS NULL)",
    )
    op.add_column("purses", sa.Column("given_up_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("purses", sa.Column("moves_to", sa.Uuid(), nullable=True))
    op.add_column("purses", sa.Column("moved_by", sa.Uuid(), nullable=True))
    for column, table in (("moves_to", "purses"), ("moved_by", "users")):
        op.create_foreign_key(
            op.f(f"fk_purses_organization_id_{column}"),
            "purses",
            table,
            ["organization_id", column],
            ["organization_id", "id"],
        )
    op.create_check_constraint(
        op.f("ck_purses_moved"), "purses", "(moves_to IS NULL) = (moved_by IS NULL)"
    )
    op.create_index(
        "ix_purses_moving",
        "purses",
        ["organization_id"],
        postgresql_where=sa.text("moves_to IS NOT NULL AND ended_at IS NULL"),
    )
    op.create_table(
        "rating_acknowledgements",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("point_id", sa.Uuid(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("booked_fen", sa.BigInteger(), nullable=False),
        sa.Column("expected_fen", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("acknowledged_by", sa.Uuid(), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_rating_acknowledgements_organization_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "point_id"],
            ["points.organization_id", "points.id"],
            name=op.f("fk_rating_acknowledgements_organization_id_point_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "acknowledged_by"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_rating_acknowledgements_organization_id_acknowledged_by"),
        ),
        sa.PrimaryKeyConstraint("point_id", "item", "at", name=op.f("pk_rating_acknowledgements")),
    )
    op.execute("ALTER TABLE rating_acknowledgements ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE rating_acknowledgements FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY whose ON rating_acknowledgements USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})"
    )


def downgrade() -> None:
    op.drop_table("rating_acknowledgements")
    op.drop_index("ix_purses_moving", "purses")
    for name in ("moved_by", "moves_to", "given_up_at"):
        op.drop_column("purses", name)
    for name in ("superseded_at", "stated_by", "stated_at", "stated_total"):
        op.drop_column("tenures", name)
