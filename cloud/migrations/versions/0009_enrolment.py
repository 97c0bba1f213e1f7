"""Gateways are enrolled: tokens, and credentials in the place of a password. Each gateway must be enrolled.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)


def upgrade() -> None:
    op.drop_column("gateways", "password_hash")
    op.add_column("gateways", sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("gateways", sa.Column("revoked_by", sa.Uuid(), nullable=True))
    op.add_column("gateways", sa.Column("credential_no", sa.BigInteger(), nullable=True))
    for name, type_, first in (("keys_number", sa.BigInteger(), "0"), ("keys_told", JSONB(), "[]")):
        op.add_column("gateways", sa.Column(name, type_, nullable=False, server_default=first))
        op.alter_column("gateways", name, server_default=None)
    op.create_foreign_key(
        op.f("fk_gateways_organization_id_revoked_by"),
        "gateways",
        "users",
        ["organization_id", "revoked_by"],
        ["organization_id", "id"],
    )
    op.create_table(
        "enrolment_tokens",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("issued_by", sa.Uuid(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_by_key", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(used_at IS NULL) = (used_by_key IS NULL)", name=op.f("ck_enrolment_tokens_used")
        ),
        _owner("enrolment_tokens"),
        _belongs("enrolment_tokens", "gateway_id", "gateways"),
        _belongs("enrolment_tokens", "issued_by", "users"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolment_tokens")),
        sa.UniqueConstraint(
            "organization_id", "id", name=op.f("uq_enrolment_tokens_organization_id_id")
        ),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_enrolment_tokens_secret_hash")),
    )
    op.create_index("ix_enrolment_tokens_gateway", "enrolment_tokens", ["gateway_id", "issued_at"])
    op.create_table(
        "gateway_credentials",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=True),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        _owner("gateway_credentials"),
        _belongs("gateway_credentials", "gateway_id", "gateways"),
        _belongs("gateway_credentials", "token_id", "enrolment_tokens"),
        sa.PrimaryKeyConstraint("gateway_id", "number", name=op.f("pk_gateway_credentials")),
    )
    for table in ("enrolment_tokens", "gateway_credentials"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY whose ON {table} USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})")


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
    op.drop_table("gateway_credentials")
    op.drop_table("enrolment_tokens")
    for name in ("keys_told", "keys_number", "credential_no", "revoked_by", "revoked_at"):
        op.drop_column("gateways", name)
    # What no password gives this hash: the broker admits nobody by it.
    op.add_column(
        "gateways", sa.Column("password_hash", sa.Text(), nullable=False, server_default="*")
    )
    op.alter_column("gateways", "password_hash", server_default=None)
