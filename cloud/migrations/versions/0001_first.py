"""The first schema: estate, devices, money; whose rows a session sees; transfers that cannot be changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

OWNED = (
    "accounts",
    "alarms",
    "balances",
    "buildings",
    "daily_charges",
    "down_entries",
    "gateways",
    "occupancies",
    "point_states",
    "points",
    "purses",
    "readings",
    "refused_notices",
    "rejected",
    "rooms",
    "sign_ins",
    "sites",
    "tariffs",
    "topups",
    "transfers",
    "users",
)

# A session says whose rows it is for: see cloud.db. One that says nothing sees nothing.
IS_SYSTEM = "current_setting('wattwell.system', true) = 'on'"
IS_OURS = "%s = nullif(current_setting('wattwell.organization', true), '')::uuid"


def upgrade() -> None:
    _create_tables()
    for table in OWNED:
        _secure(table, f"{IS_OURS % 'organization_id'} OR {IS_SYSTEM}")
    _secure("organizations", f"{IS_OURS % 'id'} OR {IS_SYSTEM}")
    _secure("login_failures", IS_SYSTEM)
    op.execute("""
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'a transfer is never changed or deleted; post another one';
        END $$
    """)
    op.execute("""
        CREATE TRIGGER transfers_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON transfers
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """)


def downgrade() -> None:
    raise RuntimeError("the first schema has nothing before it: drop the database instead")


def _secure(table: str, is_visible: str) -> None:
    """Shows and takes only visible rows, the table's owner included."""
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY whose ON {table} USING ({is_visible}) WITH CHECK ({is_visible})")


def _create_tables() -> None:
    op.create_table(
        "login_failures",
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("login", name=op.f("pk_login_failures")),
    )
    op.create_index(op.f("ix_login_failures_last_at"), "login_failures", ["last_at"], unique=False)
    op.create_table(
        "organizations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
        sa.UniqueConstraint("name", name=op.f("uq_organizations_name")),
    )
    op.create_table(
        "accounts",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_accounts_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_accounts_organization_id_id")),
    )
    op.create_table(
        "sites",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_sites_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sites")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_sites_organization_id_id")),
        sa.UniqueConstraint("organization_id", "name", name=op.f("uq_sites_organization_id_name")),
    )
    op.create_table(
        "tariffs",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("commodity", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("document", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_tariffs_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tariffs")),
        sa.UniqueConstraint(
            "organization_id", "code", name=op.f("uq_tariffs_organization_id_code")
        ),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_tariffs_organization_id_id")),
    )
    op.create_table(
        "transfers",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_transfers_positive")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_transfers_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
    )
    op.create_index(op.f("ix_transfers_credit"), "transfers", ["credit"], unique=False)
    op.create_index(op.f("ix_transfers_debit"), "transfers", ["debit"], unique=False)
    op.create_table(
        "users",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_users_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("login", name=op.f("uq_users_login")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_users_organization_id_id")),
    )
    op.create_table(
        "buildings",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "site_id"],
            ["sites.organization_id", "sites.id"],
            name=op.f("fk_buildings_organization_id_site_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_buildings_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_buildings")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_buildings_organization_id_id")),
        sa.UniqueConstraint("site_id", "name", name=op.f("uq_buildings_site_id_name")),
    )
    op.create_table(
        "gateways",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_no", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("up_log", sa.Uuid(), nullable=True),
        sa.Column("up_seq", sa.BigInteger(), nullable=False),
        sa.Column("down_log", sa.Uuid(), nullable=False),
        sa.Column("down_seq", sa.BigInteger(), nullable=False),
        sa.Column("down_acked", sa.BigInteger(), nullable=False),
        sa.Column("down_sent_seq", sa.BigInteger(), nullable=False),
        sa.Column("down_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("silent_since", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "site_id"],
            ["sites.organization_id", "sites.id"],
            name=op.f("fk_gateways_organization_id_site_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_gateways_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateways")),
        sa.UniqueConstraint("gateway_no", name=op.f("uq_gateways_gateway_no")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_gateways_organization_id_id")),
    )
    op.create_index(
        "ix_gateways_behind",
        "gateways",
        ["down_sent_at"],
        unique=False,
        postgresql_where=sa.text("down_acked < down_seq"),
    )
    op.create_table(
        "sign_ins",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_sign_ins_organization_id_user_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_sign_ins_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_ins")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_sign_ins_token_hash")),
    )
    op.create_table(
        "down_entries",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "gateway_id"],
            ["gateways.organization_id", "gateways.id"],
            name=op.f("fk_down_entries_organization_id_gateway_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_down_entries_organization_id")
        ),
        sa.PrimaryKeyConstraint("gateway_id", "seq", name=op.f("pk_down_entries")),
    )
    op.create_table(
        "purses",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "account_id"],
            ["accounts.organization_id", "accounts.id"],
            name=op.f("fk_purses_organization_id_account_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "gateway_id"],
            ["gateways.organization_id", "gateways.id"],
            name=op.f("fk_purses_organization_id_gateway_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_purses_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purses")),
        sa.UniqueConstraint("account_id", "purpose", name=op.f("uq_purses_account_id_purpose")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_purses_organization_id_id")),
    )
    op.create_table(
        "rejected",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("log", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "gateway_id"],
            ["gateways.organization_id", "gateways.id"],
            name=op.f("fk_rejected_organization_id_gateway_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_rejected_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejected")),
        sa.UniqueConstraint(
            "gateway_id", "log", "seq", name=op.f("uq_rejected_gateway_id_log_seq")
        ),
    )
    op.create_table(
        "rooms",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("building_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("floor", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "building_id"],
            ["buildings.organization_id", "buildings.id"],
            name=op.f("fk_rooms_organization_id_building_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_rooms_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rooms")),
        sa.UniqueConstraint("building_id", "name", name=op.f("uq_rooms_building_id_name")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_rooms_organization_id_id")),
    )
    op.create_table(
        "balances",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("purse_id", sa.Uuid(), nullable=False),
        sa.Column("balance_fen", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "purse_id"],
            ["purses.organization_id", "purses.id"],
            name=op.f("fk_balances_organization_id_purse_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_balances_organization_id")
        ),
        sa.PrimaryKeyConstraint("purse_id", name=op.f("pk_balances")),
    )
    op.create_table(
        "daily_charges",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("purse_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("charged_fen", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "purse_id"],
            ["purses.organization_id", "purses.id"],
            name=op.f("fk_daily_charges_organization_id_purse_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_daily_charges_organization_id")
        ),
        sa.PrimaryKeyConstraint("purse_id", "day", name=op.f("pk_daily_charges")),
    )
    op.create_table(
        "occupancies",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("room_id", sa.Uuid(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "account_id"],
            ["accounts.organization_id", "accounts.id"],
            name=op.f("fk_occupancies_organization_id_account_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "room_id"],
            ["rooms.organization_id", "rooms.id"],
            name=op.f("fk_occupancies_organization_id_room_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_occupancies_organization_id")
        ),
        sa.PrimaryKeyConstraint("account_id", "room_id", name=op.f("pk_occupancies")),
    )
    op.create_index(
        "uq_occupancies_room",
        "occupancies",
        ["room_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "points",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("room_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("purse_id", sa.Uuid(), nullable=False),
        sa.Column("tariff_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("commodity", sa.Text(), nullable=False),
        sa.Column("meter_no", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("meter", postgresql.JSONB(), nullable=False),
        sa.Column("policy", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "gateway_id"],
            ["gateways.organization_id", "gateways.id"],
            name=op.f("fk_points_organization_id_gateway_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "purse_id"],
            ["purses.organization_id", "purses.id"],
            name=op.f("fk_points_organization_id_purse_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "room_id"],
            ["rooms.organization_id", "rooms.id"],
            name=op.f("fk_points_organization_id_room_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "tariff_id"],
            ["tariffs.organization_id", "tariffs.id"],
            name=op.f("fk_points_organization_id_tariff_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_points_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_points")),
        sa.UniqueConstraint(
            "gateway_id", "line", "address", name=op.f("uq_points_gateway_id_line_address")
        ),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_points_organization_id_id")),
        sa.UniqueConstraint(
            "organization_id", "meter_no", name=op.f("uq_points_organization_id_meter_no")
        ),
    )
    op.create_index("ix_points_purse", "points", ["purse_id"], unique=False)
    op.create_index("ix_points_room", "points", ["room_id"], unique=False)
    op.create_table(
        "topups",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("purse_id", sa.Uuid(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Uuid(), nullable=False),
        sa.Column("out_trade_no", sa.Text(), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=True),
        sa.Column("pay_url", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("taken_by", sa.Uuid(), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("credited_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("gateway_id", sa.Uuid(), nullable=True),
        sa.Column("down_seq", sa.BigInteger(), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("armed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("restored_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_topups_positive")),
        sa.ForeignKeyConstraint(
            ["organization_id", "gateway_id"],
            ["gateways.organization_id", "gateways.id"],
            name=op.f("fk_topups_organization_id_gateway_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "purse_id"],
            ["purses.organization_id", "purses.id"],
            name=op.f("fk_topups_organization_id_purse_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "taken_by"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_topups_organization_id_taken_by"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_topups_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_topups")),
        sa.UniqueConstraint(
            "channel", "transaction_id", name=op.f("uq_topups_channel_transaction_id")
        ),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_topups_organization_id_id")),
        sa.UniqueConstraint(
            "organization_id",
            "idempotency_key",
            name=op.f("uq_topups_organization_id_idempotency_key"),
        ),
        sa.UniqueConstraint("out_trade_no", name=op.f("uq_topups_out_trade_no")),
    )
    op.create_index("ix_topups_purse", "topups", ["purse_id", "created_at"], unique=False)
    op.create_index(
        "ix_topups_undelivered",
        "topups",
        ["gateway_id", "down_seq"],
        unique=False,
        postgresql_where=sa.text("delivered_at IS NULL"),
    )
    op.create_index(
        "ix_topups_unpaid",
        "topups",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("credited_at IS NULL"),
    )
    op.create_index(
        "ix_topups_unrestored",
        "topups",
        ["purse_id"],
        unique=False,
        postgresql_where=sa.text("restored_at IS NULL"),
    )
    op.create_table(
        "alarms",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("point_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_over", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "point_id"],
            ["points.organization_id", "points.id"],
            name=op.f("fk_alarms_organization_id_point_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_alarms_organization_id")
        ),
        sa.PrimaryKeyConstraint("point_id", "kind", "at", "is_over", name=op.f("pk_alarms")),
    )
    op.create_table(
        "point_states",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("point_id", sa.Uuid(), nullable=False),
        sa.Column("total", sa.Numeric(), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("position", postgresql.JSONB(), nullable=True),
        sa.Column("supply", sa.Text(), nullable=True),
        sa.Column("wanted", sa.Text(), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("supply_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("commanded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("silent_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("held_since", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "point_id"],
            ["points.organization_id", "points.id"],
            name=op.f("fk_point_states_organization_id_point_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_point_states_organization_id")
        ),
        sa.PrimaryKeyConstraint("point_id", name=op.f("pk_point_states")),
    )
    op.create_table(
        "readings",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("point_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("meter_no", sa.Text(), nullable=False),
        sa.Column("total", sa.Numeric(), nullable=False),
        sa.Column("supply", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "point_id"],
            ["points.organization_id", "points.id"],
            name=op.f("fk_readings_organization_id_point_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_readings_organization_id")
        ),
        sa.PrimaryKeyConstraint("point_id", "at", name=op.f("pk_readings")),
    )
    op.create_table(
        "refused_notices",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("topup_id", sa.Uuid(), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "topup_id"],
            ["topups.organization_id", "topups.id"],
            name=op.f("fk_refused_notices_organization_id_topup_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_refused_notices_organization_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refused_notices")),
        sa.UniqueConstraint(
            "topup_id",
            "transaction_id",
            "amount_fen",
            name=op.f("uq_refused_notices_topup_id_transaction_id_amount_fen"),
        ),
    )
