"""Tariffs are drafted, rehearsed, approved, assigned and seen to be delivered.

Revision ID: 0021
Revises: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import SchemaItem

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)
TABLES = (
    "tariff_drafts",
    "tariff_publications",
    "tariff_deliveries",
    "tariff_assignments",
    "point_classes",
    "rehearsals",
)


def upgrade() -> None:
    op.execute("SELECT set_config('wattwell.system', 'on', true)")
    op.create_table(
        "tariff_drafts",
        *_identified("tariff_drafts"),
        sa.Column("document", JSONB(), nullable=False),
        sa.Column("basis", sa.Integer(), nullable=False),
        sa.Column("written_by", sa.Uuid(), nullable=False),
        _at("changed_at"),
        _at("published_at", nullable=True),
        _at("dropped_at", nullable=True),
        _belongs("tariff_drafts", "written_by", "users"),
        _referable("tariff_drafts"),
    )
    op.create_table(
        "tariff_publications",
        *_identified("tariff_publications"),
        sa.Column("tariff_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("document", JSONB(), nullable=False),
        sa.Column("draft_id", sa.Uuid(), nullable=True),
        sa.Column("approved_by", sa.Uuid(), nullable=True),
        _belongs("tariff_publications", "tariff_id", "tariffs"),
        _belongs("tariff_publications", "draft_id", "tariff_drafts"),
        _belongs("tariff_publications", "approved_by", "users"),
        sa.UniqueConstraint(
            "tariff_id", "number", name=op.f("uq_tariff_publications_tariff_id_number")
        ),
        _referable("tariff_publications"),
    )
    op.create_table(
        "tariff_deliveries",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("publication_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("down_seq", sa.BigInteger(), nullable=False),
        _at("sent_at"),
        _at("delivered_at", nullable=True),
        _owner("tariff_deliveries"),
        _belongs("tariff_deliveries", "publication_id", "tariff_publications"),
        _belongs("tariff_deliveries", "gateway_id", "gateways"),
        sa.PrimaryKeyConstraint("publication_id", "gateway_id", name=op.f("pk_tariff_deliveries")),
    )
    op.create_index(
        "ix_tariff_deliveries_undelivered",
        "tariff_deliveries",
        ["gateway_id", "down_seq"],
        postgresql_where=sa.text("delivered_at IS NULL"),
    )
    op.create_table(
        "tariff_assignments",
        *_identified("tariff_assignments"),
        sa.Column("tariff_id", sa.Uuid(), nullable=False),
        sa.Column("commodity", sa.Text(), nullable=False),
        sa.Column("point_id", sa.Uuid(), nullable=True),
        sa.Column("class", sa.Text(), nullable=True),
        sa.Column("site_id", sa.Uuid(), nullable=True),
        _at("since"),
        _at("ended_at", nullable=True),
        sa.Column("assigned_by", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "num_nonnulls(point_id, class, site_id) = 1",
            name=op.f("ck_tariff_assignments_for_one"),
        ),
        _belongs("tariff_assignments", "tariff_id", "tariffs"),
        _belongs("tariff_assignments", "point_id", "points"),
        _belongs("tariff_assignments", "site_id", "sites"),
        _belongs("tariff_assignments", "assigned_by", "users"),
    )
    op.create_index("ix_tariff_assignments_point", "tariff_assignments", ["point_id"])
    op.create_table(
        "point_classes",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("point_id", sa.Uuid(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        _owner("point_classes"),
        _belongs("point_classes", "point_id", "points"),
        sa.PrimaryKeyConstraint("point_id", name=op.f("pk_point_classes")),
    )
    op.create_table(
        "rehearsals",
        *_identified("rehearsals"),
        sa.Column("draft_id", sa.Uuid(), nullable=False),
        sa.Column("document", JSONB(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=True),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("requested_by", sa.Uuid(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        _at("ended_at", nullable=True),
        sa.Column("result", JSONB(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        _belongs("rehearsals", "draft_id", "tariff_drafts"),
        _belongs("rehearsals", "site_id", "sites"),
        _belongs("rehearsals", "requested_by", "users"),
    )
    op.create_index("ix_rehearsals_draft", "rehearsals", ["draft_id", "created_at"])
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY whose ON {table} USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})")
    op.execute(
        "INSERT INTO tariff_publications (organization_id, id, created_at, tariff_id, number, document)"
        " SELECT organization_id, gen_random_uuid(), created_at, id, 1, document FROM tariffs"
    )


def _identified(table: str) -> list[SchemaItem]:
    return [
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        _at("created_at"),
        _owner(table),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
    ]


def _at(name: str, *, nullable: bool = False) -> SchemaItem:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _owner(table: str) -> SchemaItem:
    return sa.ForeignKeyConstraint(
        ["organization_id"], ["organizations.id"], name=op.f(f"fk_{table}_organization_id")
    )


def _belongs(table: str, column: str, to: str) -> SchemaItem:
    return sa.ForeignKeyConstraint(
        ["organization_id", column],
        [f"{to}.organization_id", f"{to}.id"],
        name=op.f(f"fk_{table}_organization_id_{column}"),
    )


def _referable(table: str) -> SchemaItem:
    return sa.UniqueConstraint("organization_id", "id", name=op.f(f"uq_{table}_organization_id_id"))


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
