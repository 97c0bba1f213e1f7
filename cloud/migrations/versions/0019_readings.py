"""Readings lie in a partition for each month; they are rated again, from where they were rated last.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

IS_SYSTEM = "current_setting('wattwell.system', true) = 'on'"
IS_VISIBLE = (
    "organization_id = nullif(current_setting('wattwell.organization', true), '')::uuid"
    f" OR {IS_SYSTEM}"
)
COLUMNS = "organization_id, point_id, at, meter_no, total, supply, bands"


def upgrade() -> None:
    op.execute("SELECT set_config('wattwell.system', 'on', true)")  # else none of the rows is seen
    op.rename_table("readings", "readings_before")
    op.execute("ALTER INDEX pk_readings RENAME TO pk_readings_before")
    op.execute("CREATE SEQUENCE readings_number")
    op.execute("CREATE SCHEMA parts")
    _create("PARTITION BY RANGE (at)", "number bigint, known bigint,")
    op.execute("CREATE TABLE parts.readings_other PARTITION OF readings DEFAULT")
    _secure("parts.readings_other", IS_SYSTEM)
    months = op.get_bind().execute(
        sa.text(
            "SELECT DISTINCT date_trunc('month', at, 'UTC') AS since FROM readings_before"
            " WHERE at BETWEEN '2020-01-01' AND '2100-01-01' ORDER BY since"
        )
    )
    for (month,) in months.all():
        since = month.astimezone(UTC)
        name = f"parts.readings_{since:%Y_%m}"
        op.execute(
            f"CREATE TABLE {name} PARTITION OF readings FOR VALUES FROM ('{since.isoformat()}')"
            f" TO ('{_next(since).isoformat()}')"
        )
        _secure(name, IS_SYSTEM)
    op.execute(
        f"INSERT INTO readings ({COLUMNS}, number)"
        f" SELECT {COLUMNS}, nextval('readings_number') FROM"
        f" (SELECT {COLUMNS} FROM readings_before ORDER BY at, point_id) AS moved"
    )
    op.drop_table("readings_before")
    _create_rating()
    op.drop_index(op.f("ix_transfers_debit"), "transfers")
    op.create_index("ix_transfers_debit_at", "transfers", ["debit", "at"])


def _create(ending: str, further: str) -> None:
    op.execute(f"""
        CREATE TABLE readings (
            organization_id uuid NOT NULL,
            point_id uuid NOT NULL,
            at timestamptz NOT NULL,
            meter_no text NOT NULL,
            total numeric NOT NULL,
            supply text,
            bands jsonb,
            {further}
            CONSTRAINT pk_readings PRIMARY KEY (point_id, at),
            CONSTRAINT fk_readings_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id),
            CONSTRAINT fk_readings_organization_id_point_id FOREIGN KEY (organization_id, point_id)
                REFERENCES points (organization_id, id)
        ) {ending}
    """)
    _secure("readings", IS_VISIBLE)


def _next(month: datetime) -> datetime:
    return (month + timedelta(days=32)).replace(day=1)


def _create_rating() -> None:
    op.create_table(
        "rating_starts",
        *_whose(),
        _at("at"),
        sa.Column("position", JSONB(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        *_owned("rating_starts", "point_id", "at"),
    )
    op.create_table(
        "rated",
        *_whose(),
        _at("at"),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("position", JSONB(), nullable=False),
        *_owned("rated", "point_id"),
    )
    op.create_table(
        "rating_differences",
        *_whose(),
        sa.Column("item", sa.Text(), nullable=False),
        _at("at"),
        sa.Column("booked_fen", sa.BigInteger(), nullable=False),
        sa.Column("expected_fen", sa.BigInteger(), nullable=False),
        sa.Column("before_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("before_total", sa.Numeric(), nullable=True),
        sa.Column("after_total", sa.Numeric(), nullable=True),
        _at("found_at"),
        *_owned("rating_differences", "point_id", "item", "at"),
    )
    op.create_index(
        "ix_rating_differences_found", "rating_differences", ["organization_id", "found_at"]
    )
    for table in ("rating_starts", "rated", "rating_differences"):
        _secure(table, IS_VISIBLE)


def _whose() -> list[sa.Column[UUID]]:
    return [sa.Column(name, sa.Uuid(), nullable=False) for name in ("organization_id", "point_id")]


def _at(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _owned(table: str, *key: str) -> list[sa.Constraint]:
    return [
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f(f"fk_{table}_organization_id")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "point_id"],
            ["points.organization_id", "points.id"],
            name=op.f(f"fk_{table}_organization_id_point_id"),
        ),
        sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{table}")),
    ]


def _secure(table: str, condition: str) -> None:
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY whose ON {table} USING ({condition}) WITH CHECK ({condition})")


def downgrade() -> None:
    op.execute("SELECT set_config('wattwell.system', 'on', true)")
    op.drop_index("ix_transfers_debit_at", "transfers")
    op.create_index(op.f("ix_transfers_debit"), "transfers", ["debit"])
    for table in ("rating_differences", "rated", "rating_starts"):
        op.drop_table(table)
    op.rename_table("readings", "readings_before")
    op.execute("ALTER INDEX pk_readings RENAME TO pk_readings_before")
    _create("", "")
    op.execute(f"INSERT INTO readings ({COLUMNS}) SELECT {COLUMNS} FROM readings_before")
    op.execute("DROP TABLE readings_before")
    op.execute("DROP SCHEMA parts")
    op.execute("DROP SEQUENCE readings_number")
