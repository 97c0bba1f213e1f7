"""Meters with a life of their own: where each is mounted and since when, and what was done to them.

What is no longer in use is ended, so the names and addresses that it had may be used again.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

IS_VISIBLE = (
    "organization_id = NULLIF(current_setting('wattwell.organization', true), '')::uuid"
    " OR current_setting('wattwell.system', true) = 'on'"
)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    for table in ("sites", "buildings", "rooms", "gateways", "points"):
        op.add_column(table, sa.Column("ended_at", TIME, nullable=True))
    op.add_column("gateways", sa.Column("place", sa.Text(), nullable=False, server_default=""))
    op.alter_column("gateways", "place", server_default=None)
    _unique_while_in_use()
    _lines()
    _meters()
    _mountings()
    _events()
    _photos()
    for table in ("lines", "meters", "mountings", "device_events", "event_photos"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY whose ON {table} USING ({IS_VISIBLE}) WITH CHECK ({IS_VISIBLE})")
    _of_points()


def _unique_while_in_use() -> None:
    op.drop_constraint(op.f("uq_points_organization_id_meter_no"), "points", type_="unique")
    op.drop_constraint(op.f("uq_points_gateway_id_line_address"), "points", type_="unique")
    for name, columns in (
        ("ix_points_meter_no", ["organization_id", "meter_no"]),
        ("ix_points_address", ["gateway_id", "line", "address"]),
    ):
        op.create_index(
            name, "points", columns, unique=True, postgresql_where=sa.text("ended_at IS NULL")
        )


def _lines() -> None:
    op.create_table(
        "lines",
        *_identified(),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        *_keys("lines"),
        _belongs("lines", "gateway_id", "gateways"),
        sa.UniqueConstraint("gateway_id", "name", name=op.f("uq_lines_gateway_id_name")),
    )


def _meters() -> None:
    op.create_table(
        "meters",
        *_identified(),
        sa.Column("meter_no", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("seal_no", sa.Text(), nullable=False),
        sa.Column("calibration_due", sa.Date(), nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        *_keys("meters"),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_meters_organization_id_id")),
        sa.UniqueConstraint(
            "organization_id", "meter_no", name=op.f("uq_meters_organization_id_meter_no")
        ),
    )


def _mountings() -> None:
    op.create_table(
        "mountings",
        *_identified(),
        sa.Column("point_id", sa.Uuid(), nullable=False),
        sa.Column("meter_id", sa.Uuid(), nullable=False),
        sa.Column("device", JSONB(), nullable=False),
        sa.Column("mounted_at", TIME, nullable=False),
        sa.Column("removed_at", TIME, nullable=True),
        sa.Column("opening", sa.Numeric(), nullable=True),
        sa.Column("closing", sa.Numeric(), nullable=True),
        sa.CheckConstraint(
            "removed_at IS NULL OR removed_at >= mounted_at", name=op.f("ck_mountings_order")
        ),
        *_keys("mountings"),
        _belongs("mountings", "point_id", "points"),
        _belongs("mountings", "meter_id", "meters"),
    )
    op.create_index(
        "ix_mountings_now",
        "mountings",
        ["point_id"],
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_index("ix_mountings_point", "mountings", ["point_id", "mounted_at"])
    op.create_index("ix_mountings_meter", "mountings", ["meter_id", "mounted_at"])


def _events() -> None:
    op.create_table(
        "device_events",
        *_identified(),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("point_id", sa.Uuid(), nullable=True),
        sa.Column("meter_id", sa.Uuid(), nullable=True),
        sa.Column("gateway_id", sa.Uuid(), nullable=True),
        sa.Column("done_by", sa.Uuid(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("detail", JSONB(), nullable=False),
        sa.Column("decided", JSONB(), nullable=True),
        sa.Column("taken_at", TIME, nullable=True),
        sa.Column("refused", sa.Text(), nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("ended_by", sa.Uuid(), nullable=True),
        sa.Column("ended_why", sa.Text(), nullable=True),
        *_keys("device_events"),
        sa.UniqueConstraint(
            "organization_id", "id", name=op.f("uq_device_events_organization_id_id")
        ),
        _belongs("device_events", "point_id", "points"),
        _belongs("device_events", "meter_id", "meters"),
        _belongs("device_events", "gateway_id", "gateways"),
        _belongs("device_events", "done_by", "users"),
        _belongs("device_events", "ended_by", "users"),
    )
    for whose in ("point", "meter", "gateway"):
        op.create_index(f"ix_device_events_{whose}", "device_events", [f"{whose}_id", "at"])
    op.create_index(
        "ix_device_events_waiting",
        "device_events",
        ["gateway_id"],
        postgresql_where=sa.text("decided IS NOT NULL AND taken_at IS NULL"),
    )


def _photos() -> None:
    op.create_table(
        "event_photos",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("photo_id", sa.Uuid(), nullable=False),
        sa.Column("of", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_event_photos_organization_id"),
        ),
        sa.PrimaryKeyConstraint("event_id", "photo_id", name=op.f("pk_event_photos")),
        _belongs("event_photos", "event_id", "device_events"),
        _belongs("event_photos", "photo_id", "photos"),
    )


def _of_points() -> None:
    """What is metered now was mounted when its service point was set up; nobody wrote down at which reading."""
    op.execute("SELECT set_config('wattwell.system', 'on', true)")
    op.execute("""
        INSERT INTO meters (organization_id, id, created_at, meter_no, seal_no)
        SELECT organization_id, gen_random_uuid(), now(), meter_no, '' FROM points
    """)
    op.execute("""
        INSERT INTO mountings (organization_id, id, created_at, point_id, meter_id, device, mounted_at)
        SELECT p.organization_id, gen_random_uuid(), now(), p.id, m.id, p.meter, p.created_at
        FROM points p
        JOIN meters m ON m.organization_id = p.organization_id AND m.meter_no = p.meter_no
    """)
    op.execute("""
        INSERT INTO lines (organization_id, id, created_at, gateway_id, name, note)
        SELECT DISTINCT ON (gateway_id, line) organization_id, gen_random_uuid(), now(), gateway_id, line, ''
        FROM points
    """)


def _identified() -> list[sa.Column[object]]:
    return [
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
    ]


def _keys(table: str) -> tuple[sa.Constraint, ...]:
    return (
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f(f"fk_{table}_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
    )


def _belongs(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["organization_id", column],
        [f"{to}.organization_id", f"{to}.id"],
        name=op.f(f"fk_{table}_organization_id_{column}"),
    )


def downgrade() -> None:
    for table in ("event_photos", "device_events", "mountings", "meters", "lines"):
        op.drop_table(table)
    for index in ("ix_points_meter_no", "ix_points_address"):
        op.drop_index(index, table_name="points")
    op.create_unique_constraint(
        op.f("uq_points_organization_id_meter_no"), "points", ["organization_id", "meter_no"]
    )
    op.create_unique_constraint(
        op.f("uq_points_gateway_id_line_address"), "points", ["gateway_id", "line", "address"]
    )
    op.drop_column("gateways", "place")
    for table in ("sites", "buildings", "rooms", "gateways", "points"):
        op.drop_column(table, "ended_at")
