"""Whose rows a statement sees is asked once for the statement, no longer once for each row that it looks at.

Revision ID: 0032
Revises: 0031
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

ORGANIZATION = "nullif(current_setting('wattwell.organization', true), '')::uuid"
IS_SYSTEM = "current_setting('wattwell.system', true) = 'on'"


def upgrade() -> None:
    _show(organization=f"(SELECT {ORGANIZATION})", is_system=f"(SELECT {IS_SYSTEM})")


def downgrade() -> None:
    _show(organization=ORGANIZATION, is_system=IS_SYSTEM)


def _show(*, organization: str, is_system: str) -> None:
    """Writes each table's policy anew, of one meaning: an organization's own rows, or the system's alone."""
    policies = sa.text("""
        SELECT format('%I.%I', schemaname, tablename), tablename = 'organizations',
            strpos(qual, 'wattwell.organization') > 0
        FROM pg_policies WHERE policyname = 'whose' AND schemaname IN ('public', 'parts')
    """)
    for table, is_of_organizations, has_owner in op.get_bind().execute(policies).all():
        owner = "id" if is_of_organizations else "organization_id"
        is_visible = f"{owner} = {organization} OR {is_system}" if has_owner else is_system
        op.execute(f"ALTER POLICY whose ON {table} USING ({is_visible}) WITH CHECK ({is_visible})")
