"""Accounts over time: who pays for a service point since when, drafts, households, photos, what was done; holders'
kind, phone and contract; links that end; sites say what vacant rooms are supplied with.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)
TABLES = ("photos", "tenures", "drafts", "households", "account_acts")


def upgrade() -> None:
    _columns()
    _purses()
    _photos()
    _tenures()
    _drafts()
    _households()
    _acts()
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY whose ON {table} USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})")
    op.execute("SELECT set_config('wattwell.system', 'on', true)")
    # Who paid until now paid from the beginning, and the gateway knows.
    op.execute(
        "INSERT INTO tenures (organization_id, id, created_at, point_id, purse_id, gateway_id, down_seq,"
        " began_at, delivered_at) SELECT organization_id, gen_random_uuid(), created_at, id, purse_id,"
        " gateway_id, 0, created_at, created_at FROM points"
    )


def _columns() -> None:
    op.add_column(
        "sites",
        sa.Column("vacant_supply", sa.Text(), nullable=False, server_default=sa.text("'off'")),
    )
    op.create_check_constraint(
        op.f("ck_sites_vacant_supply"), "sites", "vacant_supply IN ('on', 'off')"
    )
    op.add_column(
        "accounts",
        sa.Column("holder_kind", sa.Text(), nullable=False, server_default=sa.text("'person'")),
    )
    op.create_check_constraint(
        op.f("ck_accounts_holder_kind"), "accounts", "holder_kind IN ('person', 'company')"
    )
    op.add_column("accounts", sa.Column("phone", sa.Text(), nullable=True))
    for column in ("contract_from", "contract_until"):
        op.add_column("accounts", sa.Column(column, sa.Date(), nullable=True))
    for column in ("settled_at", "link_until"):
        op.add_column("accounts", sa.Column(column, sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "accounts",
        sa.Column("link_number", sa.Integer(), nullable=False, server_default=sa.text("1")),
    )
    op.create_index(
        "ix_accounts_unsettled",
        "accounts",
        ["closed_at"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.alter_column("points", "purse_id", nullable=True)
    op.add_column("points", sa.Column("persons", sa.Integer(), nullable=True))
    op.add_column(
        "points",
        sa.Column("households", sa.Integer(), nullable=False, server_default=sa.text("1")),
    )
    # A customer may come back to a room.
    op.drop_constraint("pk_occupancies", "occupancies", type_="primary")
    op.create_primary_key("pk_occupancies", "occupancies", ["account_id", "room_id", "started_at"])


def _purses() -> None:
    op.add_column("purses", sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint("uq_purses_account_id_purpose", "purses", type_="unique")
    op.create_index(
        "uq_purses_purpose",
        "purses",
        ["account_id", "purpose", "gateway_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    )


def _photos() -> None:
    op.create_table(
        "photos",
        *_owned("photos"),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("taken_by", sa.Uuid(), nullable=False),
        _refers("photos", "taken_by", "users"),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_photos_organization_id_id")),
    )


def _tenures() -> None:
    op.create_table(
        "tenures",
        *_owned("tenures"),
        sa.Column("point_id", sa.Uuid(), nullable=False),
        sa.Column("purse_id", sa.Uuid(), nullable=True),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("down_seq", sa.BigInteger(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("typed_total", sa.Numeric(), nullable=True),
        sa.Column("typed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("typed_photo", sa.Uuid(), nullable=True),
        sa.Column("opened_total", sa.Numeric(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_total", sa.Numeric(), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        *(
            sa.CheckConstraint(
                f"({name}_total IS NULL) = ({name}_at IS NULL)", name=op.f(f"ck_tenures_{name}")
            )
            for name in ("typed", "opened", "closed")
        ),
        _refers("tenures", "point_id", "points"),
        _refers("tenures", "purse_id", "purses"),
        _refers("tenures", "gateway_id", "gateways"),
        _refers("tenures", "typed_photo", "photos"),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_tenures_organization_id_id")),
    )
    for name, columns, where, unique in (
        ("uq_tenures_point", ["point_id"], "ended_at IS NULL", True),
        ("ix_tenures_past", ["gateway_id"], "ended_at IS NOT NULL", False),
        ("ix_tenures_undelivered", ["gateway_id", "down_seq"], "delivered_at IS NULL", False),
    ):
        op.create_index(name, "tenures", columns, unique=unique, postgresql_where=sa.text(where))
    op.create_index("ix_tenures_purse", "tenures", ["purse_id"], unique=False)


def _drafts() -> None:
    op.create_table(
        "drafts",
        *_owned("drafts"),
        sa.Column("room_id", sa.Uuid(), nullable=False),
        sa.Column("content", JSONB(), nullable=False),
        sa.Column("saved_by", sa.Uuid(), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("batch", sa.Uuid(), nullable=True),
        sa.Column("refused", sa.Text(), nullable=True),
        sa.Column("refused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "(opened_at IS NULL) = (account_id IS NULL)", name=op.f("ck_drafts_opened")
        ),
        _refers("drafts", "room_id", "rooms"),
        _refers("drafts", "saved_by", "users"),
        _refers("drafts", "ended_by", "users"),
        _refers("drafts", "account_id", "accounts"),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_drafts_organization_id_id")),
    )
    op.create_index(
        "uq_drafts_room",
        "drafts",
        ["room_id"],
        unique=True,
        postgresql_where=sa.text("opened_at IS NULL AND ended_at IS NULL"),
    )
    op.create_index("ix_drafts_batch", "drafts", ["batch"], unique=False)


def _households() -> None:
    op.create_table(
        "households",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("said_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("persons", sa.Integer(), nullable=False),
        sa.Column("said_by", sa.Uuid(), nullable=False),
        sa.CheckConstraint("persons > 0", name=op.f("ck_households_positive")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_households_organization_id")
        ),
        _refers("households", "account_id", "accounts"),
        _refers("households", "said_by", "users"),
        sa.PrimaryKeyConstraint("account_id", "since", "said_at", name=op.f("pk_households")),
    )


def _acts() -> None:
    op.create_table(
        "account_acts",
        *_owned("account_acts"),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by_user", sa.Uuid(), nullable=True),
        sa.Column("other_id", sa.Uuid(), nullable=True),
        sa.Column("detail", JSONB(), nullable=False),
        _refers("account_acts", "account_id", "accounts"),
        _refers("account_acts", "other_id", "accounts"),
        _refers("account_acts", "by_user", "users"),
    )
    op.create_index("ix_account_acts_account", "account_acts", ["account_id", "at"], unique=False)


def _owned(table: str) -> tuple[sa.Column[object] | sa.Constraint, ...]:
    return (
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f(f"fk_{table}_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
    )


def _refers(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["organization_id", column],
        [f"{to}.organization_id", f"{to}.id"],
        name=op.f(f"fk_{table}_organization_id_{column}"),
    )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    op.drop_index("uq_purses_purpose", table_name="purses")
    op.create_unique_constraint("uq_purses_account_id_purpose", "purses", ["account_id", "purpose"])
    op.drop_column("purses", "ended_at")
    op.drop_constraint("pk_occupancies", "occupancies", type_="primary")
    op.create_primary_key("pk_occupancies", "occupancies", ["account_id", "room_id"])
    for column in ("persons", "households"):
        op.drop_column("points", column)
    op.alter_column("points", "purse_id", nullable=False)
    op.drop_index("ix_accounts_unsettled", table_name="accounts")
    for column in (
        "holder_kind",
        "phone",
        "contract_from",
        "contract_until",
        "settled_at",
        "link_until",
        "link_number",
    ):
        op.drop_column("accounts", column)
    op.drop_column("sites", "vacant_supply")
