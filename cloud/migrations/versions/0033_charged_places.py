"""Where the reading that a point was charged from last was read, so that a machine that takes over knows it, too.

Revision ID: 0033
Revises: 0032
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("point_states", sa.Column("place", JSONB(), nullable=True))
    op.execute("SELECT set_config('wattwell.system', 'on', true)")
    # As prepaid.point.Meter.place: protocol, line, address, and the settings that are no key, in order.
    op.execute("""
        UPDATE point_states s
        SET place = jsonb_build_array(p.meter ->> 'protocol', p.meter ->> 'line', p.meter ->> 'address')
            || coalesce((
                SELECT jsonb_agg(e.key || '=' || e.value ORDER BY (e.key || '=' || e.value) COLLATE "C")
                FROM jsonb_each_text(p.meter -> 'settings') e
                WHERE e.key NOT IN ('password', 'level', 'operator')
            ), '[]'::jsonb)
        FROM points p
        WHERE p.id = s.point_id AND s.position IS NOT NULL AND s.position <> 'null'::jsonb
    """)


def downgrade() -> None:
    op.drop_column("point_states", "place")
