"""Staff with roles and a scope, second factors, sessions, approvals, and the audit log. Who was there may everything.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)
OPEN = "approved_at IS NULL AND refused_at IS NULL AND withdrawn_at IS NULL"


def upgrade() -> None:
    _with_first_value(
        "organizations", sa.Column("asks_second_factor", sa.Boolean(), nullable=False), "false"
    )
    _users()
    _sign_ins()
    _scopes()
    _approvals()
    _audit()
    for table in ("user_sites", "user_buildings", "approvals", "audit_entries", "audit_heads"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY whose ON {table} USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})")


def _users() -> None:
    op.alter_column("users", "password_hash", nullable=True)
    # Whoever is there could do everything until now.
    _with_first_value("users", sa.Column("roles", JSONB(), nullable=False), '["administrator"]')
    _with_first_value("users", sa.Column("is_everywhere", sa.Boolean(), nullable=False), "true")
    _with_first_value("users", sa.Column("totp_last_step", sa.BigInteger(), nullable=False), "0")
    _with_first_value("users", sa.Column("recovery_hashes", JSONB(), nullable=False), "[]")
    for name, type_ in (
        ("most_topup_fen", sa.BigInteger()),
        ("most_a_day_fen", sa.BigInteger()),
        ("link_hash", sa.LargeBinary()),
        ("link_until", sa.DateTime(timezone=True)),
        ("totp_sealed", sa.LargeBinary()),
        ("totp_since", sa.DateTime(timezone=True)),
        ("ended_at", sa.DateTime(timezone=True)),
        ("ended_by", sa.Uuid()),
    ):
        op.add_column("users", sa.Column(name, type_, nullable=True))
    op.create_unique_constraint(op.f("uq_users_link_hash"), "users", ["link_hash"])
    op.create_foreign_key(
        op.f("fk_users_organization_id_ended_by"),
        "users",
        "users",
        ["organization_id", "ended_by"],
        ["organization_id", "id"],
    )
    for name, holds in (
        ("ended", "(ended_at IS NULL) = (ended_by IS NULL)"),
        ("link", "(link_hash IS NULL) = (link_until IS NULL)"),
        ("totp", "totp_since IS NULL OR totp_sealed IS NOT NULL"),
    ):
        op.create_check_constraint(op.f(f"ck_users_{name}"), "users", holds)


def _sign_ins() -> None:
    op.add_column("sign_ins", sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("sign_ins", sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True))
    _with_first_value("sign_ins", sa.Column("address", sa.Text(), nullable=False), "")
    _with_first_value("sign_ins", sa.Column("agent", sa.Text(), nullable=False), "")
    op.create_index("ix_sign_ins_user", "sign_ins", ["user_id"])
    op.execute("SELECT set_config('wattwell.system', 'on', true)")
    op.execute("UPDATE sign_ins SET verified_at = created_at")
    op.execute("DELETE FROM login_failures")
    op.add_column("login_failures", sa.Column("who", sa.Text(), nullable=False))
    op.drop_constraint(op.f("pk_login_failures"), "login_failures", type_="primary")
    op.create_primary_key(op.f("pk_login_failures"), "login_failures", ["login", "who"])


def _scopes() -> None:
    for table, column, to in (
        ("user_sites", "site_id", "sites"),
        ("user_buildings", "building_id", "buildings"),
    ):
        op.create_table(
            table,
            sa.Column("organization_id", sa.Uuid(), nullable=False),
            sa.Column("user_id", sa.Uuid(), nullable=False),
            sa.Column(column, sa.Uuid(), nullable=False),
            _owner(table),
            _belongs(table, "user_id", "users"),
            _belongs(table, column, to),
            sa.PrimaryKeyConstraint("user_id", column, name=op.f(f"pk_{table}")),
        )


def _approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=True),
        sa.Column("detail", JSONB(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.Uuid(), nullable=False),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decided_why", sa.Text(), nullable=True),
        *(
            sa.Column(column, sa.DateTime(timezone=True), nullable=True)
            for column in ("approved_at", "refused_at", "withdrawn_at")
        ),
        sa.CheckConstraint("decided_by <> proposed_by", name=op.f("ck_approvals_two_people")),
        sa.CheckConstraint(
            "(decided_by IS NULL) = (approved_at IS NULL AND refused_at IS NULL)",
            name=op.f("ck_approvals_decided"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(approved_at, refused_at, withdrawn_at) <= 1",
            name=op.f("ck_approvals_once"),
        ),
        _owner("approvals"),
        _belongs("approvals", "proposed_by", "users"),
        _belongs("approvals", "decided_by", "users"),
        _belongs("approvals", "site_id", "sites"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_approvals_organization_id_id")),
    )
    op.create_index("ix_approvals_organization", "approvals", ["organization_id", "created_at"])
    op.create_index(
        "uq_approvals_open",
        "approvals",
        ["organization_id", "kind", "subject"],
        unique=True,
        postgresql_where=sa.text(OPEN),
    )


def _audit() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("before", JSONB(), nullable=True),
        sa.Column("after", JSONB(), nullable=True),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        _owner("audit_entries"),
        _belongs("audit_entries", "user_id", "users"),
        sa.PrimaryKeyConstraint("organization_id", "number", name=op.f("pk_audit_entries")),
    )
    for name, column in (("subject", "subject_id"), ("at", "at")):
        op.create_index(f"ix_audit_entries_{name}", "audit_entries", ["organization_id", column])
    op.create_table(
        "audit_heads",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        _owner("audit_heads"),
        sa.PrimaryKeyConstraint("organization_id", name=op.f("pk_audit_heads")),
    )
    op.execute("""
        CREATE FUNCTION refuse_another_past() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'an audit entry is never changed or deleted';
        END $$
    """)
    op.execute("""
        CREATE TRIGGER audit_entries_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_another_past()
    """)


def _with_first_value(table: str, column: sa.Column[object], value: str) -> None:
    """Adds a column that rows which are there already have this value in."""
    column.server_default = sa.DefaultClause(value)
    op.add_column(table, column)
    op.alter_column(table, column.name, server_default=None)


def _owner(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["organization_id"], ["organizations.id"], name=op.f(f"fk_{table}_organization_id")
    )


def _belongs(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["organization_id", column],
        [f"{to}.organization_id", f"{to}.id"],
        name=op.f(f"fk_{table}_organization_id_{column}"),
    )


def downgrade() -> None:
    for table in ("audit_heads", "audit_entries", "approvals", "user_buildings", "user_sites"):
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_another_past()")
    op.execute("SELECT set_config('wattwell.system', 'on', true)")
    op.execute("DELETE FROM login_failures")
    op.drop_constraint(op.f("pk_login_failures"), "login_failures", type_="primary")
    op.drop_column("login_failures", "who")
    op.create_primary_key(op.f("pk_login_failures"), "login_failures", ["login"])
    op.drop_index("ix_sign_ins_user", table_name="sign_ins")
    for column in ("agent", "address", "seen_at", "verified_at"):
        op.drop_column("sign_ins", column)
    for column in (
        *("ended_by", "ended_at", "totp_since", "totp_sealed", "link_until", "link_hash"),
        *("most_a_day_fen", "most_topup_fen", "recovery_hashes", "totp_last_step"),
        *("is_everywhere", "roles"),
    ):
        op.drop_column("users", column)
    # Who has set no password yet cannot sign in by this hash, which no password gives.
    op.execute("UPDATE users SET password_hash = '*' WHERE password_hash IS NULL")
    op.alter_column("users", "password_hash", nullable=False)
    op.drop_column("organizations", "asks_second_factor")
