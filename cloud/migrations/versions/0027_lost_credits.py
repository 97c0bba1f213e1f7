"""Credits that only gateways know after a restore; when an audit log was last verified.

Revision ID: 0027
Revises: 0026
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)
VERIFIED: dict[str, sa.types.TypeEngine[Any]] = {
    "verified_at": sa.DateTime(timezone=True),
    "verified_number": sa.BigInteger(),
    "verified_hash": sa.LargeBinary(),
    "broken_since": sa.DateTime(timezone=True),
    "fault": sa.Text(),
}


def upgrade() -> None:
    for name, kind in VERIFIED.items():
        op.add_column("audit_heads", sa.Column(name, kind, nullable=True))
    op.create_table(
        "lost_credits",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("purse_id", sa.Uuid(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("reason", "cause")),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_by", sa.Uuid(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_lost_credits_positive")),
        sa.CheckConstraint(
            "(settled_at IS NULL) = (settled_by IS NULL)", name=op.f("ck_lost_credits_settled")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_lost_credits_organization_id")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "gateway_id"],
            ["gateways.organization_id", "gateways.id"],
            name=op.f("fk_lost_credits_organization_id_gateway_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "settled_by"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_lost_credits_organization_id_settled_by"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lost_credits")),
    )
    op.create_index(
        "ix_lost_credits_organization", "lost_credits", ["organization_id", "created_at"]
    )
    op.execute("ALTER TABLE lost_credits ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE lost_credits FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY whose ON lost_credits USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})"
    )


def downgrade() -> None:
    op.drop_table("lost_credits")
    for name in VERIFIED:
        op.drop_column("audit_heads", name)
