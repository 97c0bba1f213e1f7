"""Gateways' logs are chains, a new store takes over from another, and gateways have alarms of their own.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)


def upgrade() -> None:
    op.add_column("gateways", sa.Column("up_hash", sa.Text(), nullable=True))
    _create(
        "up_hashes",
        sa.Column("seq", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("hash", sa.Text(), nullable=False),
        key=("gateway_id", "seq"),
    )
    _create(
        "gateway_logs",
        sa.Column("log", sa.Uuid(), nullable=False),
        sa.Column("up_seq", sa.BigInteger(), nullable=False),
        sa.Column("up_hash", sa.Text(), nullable=True),
        sa.Column("replaced_by", sa.Uuid(), nullable=False),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=False),
        key=("gateway_id", "log"),
    )
    _create(
        "gateway_alarms",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_over", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        key=("gateway_id", "kind", "at", "is_over"),
    )
    op.execute("SELECT set_config('wattwell.system', 'on', true)")
    for statement in MESSAGES:
        op.execute(statement)


# What is kept as JSON is read by this version's programs: it gets what they ask for. A position had neither
# counts of tiers nor fixed fees; a policy had one alarm level, the final one comes at 3 yuan, or with the
# first if that is lower still.
_FINAL_ALARM = """
    jsonb_build_object('fen', greatest(least(300, ({policy} #>> '{{alarm_at,fen}}')::bigint),
                                       ({policy} #>> '{{cut_at,fen}}')::bigint))
"""
MESSAGES = (
    """UPDATE point_states SET position = position || jsonb_build_object(
           'counted', '[]'::jsonb, 'fees_until', position #> '{reading,at}')
       WHERE position IS NOT NULL AND NOT position ? 'fees_until'""",
    f"""UPDATE points SET policy = jsonb_set(policy, '{{final_alarm_at}}',
           {_FINAL_ALARM.format(policy="policy")})
       WHERE NOT policy ? 'final_alarm_at'""",
    f"""UPDATE down_entries SET body = jsonb_set(body::jsonb, '{{point,policy,final_alarm_at}}',
           {_FINAL_ALARM.format(policy="(body::jsonb #> '{point,policy}')")})::text
       WHERE body::jsonb ->> 'kind' = 'point-set'
         AND NOT (body::jsonb #> '{{point,policy}}') ? 'final_alarm_at'""",
)


def downgrade() -> None:
    for table in ("gateway_alarms", "gateway_logs", "up_hashes"):
        op.drop_table(table)
    op.drop_column("gateways", "up_hash")


def _create(table: str, *columns: sa.Column[Any], key: tuple[str, ...]) -> None:
    op.create_table(
        table,
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f(f"fk_{table}_organization_id")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "gateway_id"],
            ["gateways.organization_id", "gateways.id"],
            name=op.f(f"fk_{table}_organization_id_gateway_id"),
        ),
        sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{table}")),
    )
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY whose ON {table} USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})")
