"""The credits of each purse are numbered, top-ups have offline codes, emergency credit is taken, taps are closed.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)


def upgrade() -> None:
    op.add_column(
        "purses", sa.Column("credits", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    for column in ("code_issued_at", "code_entered_at"):
        op.add_column("topups", sa.Column(column, sa.DateTime(timezone=True), nullable=True))
    op.add_column("topups", sa.Column("credit_number", sa.Integer(), nullable=True))
    op.create_unique_constraint(
        op.f("uq_topups_purse_id_credit_number"), "topups", ["purse_id", "credit_number"]
    )
    op.add_column(
        "point_states", sa.Column("taps_closed_at", sa.DateTime(timezone=True), nullable=True)
    )
    _credits()
    _emergency_credits()
    op.execute("SELECT set_config('wattwell.system', 'on', true)")
    for statement in NUMBERS:
        op.execute(statement)


def _credits() -> None:
    op.create_table(
        "credits",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("purse_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("transfer_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_credits_organization_id")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "purse_id"],
            ["purses.organization_id", "purses.id"],
            name=op.f("fk_credits_organization_id_purse_id"),
        ),
        sa.PrimaryKeyConstraint("purse_id", "number", name=op.f("pk_credits")),
        sa.UniqueConstraint("transfer_id", name=op.f("uq_credits_transfer_id")),
    )
    _secure("credits")


def _emergency_credits() -> None:
    op.create_table(
        "emergency_credits",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("purse_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("down_seq", sa.BigInteger(), nullable=True),
        sa.Column("repaid_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_emergency_credits_organization_id"),
        ),
        *(
            sa.ForeignKeyConstraint(
                ["organization_id", column],
                [f"{table}.organization_id", f"{table}.id"],
                name=op.f(f"fk_emergency_credits_organization_id_{column}"),
            )
            for column, table in (("purse_id", "purses"), ("gateway_id", "gateways"))
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_emergency_credits")),
    )
    op.create_index(
        "uq_emergency_credits_purse",
        "emergency_credits",
        ["purse_id"],
        unique=True,
        postgresql_where=sa.text("repaid_at IS NULL"),
    )
    _secure("emergency_credits")


def _secure(table: str) -> None:
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY whose ON {table} USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})")


# What was credited before is numbered in the order in which it went down, then what has no gateway yet in the
# order in which it was booked. A gateway numbers the credits that it has by counting them: so both agree.
# In the entries a number stands for the stores that will read them anew.
NUMBERS = (
    """
    INSERT INTO credits (organization_id, purse_id, number, transfer_id)
    WITH sent AS (
        SELECT gateway_id, body #>> '{transfer,reason}' AS reason, body #>> '{transfer,cause}' AS cause,
               min(seq) AS seq
        FROM (SELECT gateway_id, seq, body::jsonb AS body FROM down_entries) e
        WHERE body ->> 'kind' = 'credited'
        GROUP BY 1, 2, 3
    )
    SELECT t.organization_id, p.id,
           row_number() OVER (PARTITION BY p.id ORDER BY d.seq NULLS LAST, t.posted_at, t.id), t.id
    FROM transfers t
    JOIN purses p ON t.credit = 'Liabilities:Prepaid:' || p.id
    LEFT JOIN sent d ON d.gateway_id = p.gateway_id AND d.reason = t.reason AND d.cause = t.cause
    """,
    """
    UPDATE purses p SET credits = c.most
    FROM (SELECT purse_id, max(number) AS most FROM credits GROUP BY purse_id) c
    WHERE c.purse_id = p.id
    """,
    """
    UPDATE topups u SET credit_number = c.number
    FROM credits c JOIN transfers t ON t.id = c.transfer_id
    WHERE u.purse_id = c.purse_id AND t.reason = 'top-up'
      AND t.cause = u.channel || ':' || u.transaction_id
    """,
    """
    UPDATE down_entries d
    SET body = jsonb_set(d.body::jsonb, '{number}', to_jsonb(c.number))::text
    FROM credits c JOIN transfers t ON t.id = c.transfer_id JOIN purses p ON p.id = c.purse_id
    WHERE d.gateway_id = p.gateway_id AND d.body::jsonb ->> 'kind' = 'credited'
      AND d.body::jsonb #>> '{transfer,reason}' = t.reason
      AND d.body::jsonb #>> '{transfer,cause}' = t.cause
    """,
)


def downgrade() -> None:
    op.drop_table("emergency_credits")
    op.drop_table("credits")
    op.drop_column("point_states", "taps_closed_at")
    op.drop_constraint(op.f("uq_topups_purse_id_credit_number"), "topups", type_="unique")
    for column in ("credit_number", "code_entered_at", "code_issued_at"):
        op.drop_column("topups", column)
    op.drop_column("purses", "credits")
