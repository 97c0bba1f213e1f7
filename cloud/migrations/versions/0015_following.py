"""Hashes of the gateways' logs are kept by run, not by entry; after a restore gateways follow a new log of ours.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SELECT set_config('wattwell.system', 'on', true)")
    op.add_column("up_hashes", sa.Column("hashes", sa.LargeBinary(), nullable=True))
    op.execute("UPDATE up_hashes SET hashes = decode(hash, 'hex')")  # a run of one
    op.alter_column("up_hashes", "hashes", nullable=False)
    op.drop_column("up_hashes", "hash")
    op.add_column("gateways", sa.Column("follow_from", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("gateways", "follow_from")
    op.add_column("up_hashes", sa.Column("hash", sa.Text(), nullable=True))
    op.execute("SELECT set_config('wattwell.system', 'on', true)")
    op.execute("DELETE FROM up_hashes WHERE length(hashes) <> 32")  # known of single entries only
    op.execute("UPDATE up_hashes SET hash = encode(hashes, 'hex')")
    op.alter_column("up_hashes", "hash", nullable=False)
    op.drop_column("up_hashes", "hashes")
