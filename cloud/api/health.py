"""Whether this program lives, and whether it can do its work: for supervisors and load balancers."""

from __future__ import annotations

from fastapi import APIRouter, Request
from sqlalchemy import text
from starlette.responses import JSONResponse, Response

from cloud.services.operation import readiness
from cloud.tables import utc_now
from cloud.web import SystemSession

router = APIRouter()


@router.get("/api/health")
def health(session: SystemSession) -> dict[str, str]:
    """200 if the database answers; 503 otherwise, by DatabaseAway."""
    session.execute(text("SELECT 1"))
    return {"database": "ok"}


@router.get("/health/live")
def live() -> dict[str, str]:
    """200 as long as the program answers at all: one that does not is to be started again."""
    return {"status": "ok"}


@router.get("/health/ready")
def ready(request: Request, session: SystemSession) -> Response:
    """200 if the installation works, 503 with what does not: database, its schema, a worker, a leading scheduler.

    Where the database does not answer it is 503 by DatabaseAway.
    """
    found = readiness.look(session, now=utc_now())
    status = 200 if all(part.is_well for part in found) else 503
    parts = {part.name: {"ok": part.is_well, "said": part.said} for part in found}
    return JSONResponse(parts, status, headers={"Cache-Control": "no-store"})
