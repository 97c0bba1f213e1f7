"""Why a draft could not be opened is kept so that it can be told in any language.

Revision ID: 0026
Revises: 0025
"""

from __future__ import annotations

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE drafts ALTER COLUMN refused TYPE jsonb USING CASE WHEN refused IS NOT NULL
            THEN jsonb_build_object('sentence', '{said}', 'values', jsonb_build_object('said', refused)) END
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE drafts ALTER COLUMN refused TYPE text
            USING replace(refused->>'sentence', '{said}', coalesce(refused#>>'{values,said}', ''))
    """)
