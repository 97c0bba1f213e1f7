"""What the bar at the top of every page of staff says."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session

from cloud.auth import SignedIn
from cloud.tables import Organization
from dashboards import page


def top(session: Session, user: SignedIn) -> dict[str, Any]:
    """Values for page.render: whose page it is, for whom, and in which time zone."""
    organization = session.get_one(Organization, user.organization_id)
    return {"organization": organization.name, "user_name": user.name, "timezone": page.TIMEZONE}
