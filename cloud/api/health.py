"""GET /api/health: whether this program can do its work."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import text

from cloud.web import SystemSession

router = APIRouter()


@router.get("/api/health")
def health(session: SystemSession) -> dict[str, str]:
    """200 if the database answers; 503 otherwise, by DatabaseAway."""
    session.execute(text("SELECT 1"))
    return {"database": "ok"}
