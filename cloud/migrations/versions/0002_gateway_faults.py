"""What is wrong with a gateway's logs, so that it is told once.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("gateways", sa.Column("up_fault", sa.Text(), nullable=True))
    op.add_column("gateways", sa.Column("down_fault", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("gateways", "down_fault")
    op.drop_column("gateways", "up_fault")
