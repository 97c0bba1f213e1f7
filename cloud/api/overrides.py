"""GET, PUT and DELETE /api/points/{id}/override, POST /api/gateways/{id}/brake/release. For staff."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import AwareDatetime, BaseModel

from cloud import web
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services import overrides, scopes
from cloud.tables import utc_now
from cloud.web import UserSession
from prepaid.reading import Supply

router = APIRouter(prefix="/api")


class Asked(BaseModel):
    """instead_of is the id of the override in force, which this one ends; null where there is none."""

    supply: Literal[Supply.ON, Supply.OFF]
    until: AwareDatetime
    why: str
    instead_of: UUID | None = None


class Override(BaseModel):
    id: UUID
    supply: Supply
    at: datetime
    until: datetime
    by: str
    why: str
    is_delivered: bool


@router.get("/points/{point_id}/override")
def in_force(
    point_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_ROOMS))],
    session: UserSession,
) -> Override | None:
    """What the point is pinned to now; null if it is not."""
    scopes.check_point(session, user, point_id)
    found = overrides.in_force(session, point_id, now=utc_now())
    return _override(found) if found else None


@router.put("/points/{point_id}/override")
def pin(
    point_id: UUID,
    asked: Asked,
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SWITCH_SUPPLY))],
    session: UserSession,
) -> Override:
    """Pins the supply. The same again changes nothing."""
    longest = timedelta(days=request.app.state.settings.longest_override_days)
    pinned = overrides.pin(
        session,
        point_id,
        supply=asked.supply,
        until=asked.until,
        why=asked.why,
        instead_of=asked.instead_of,
        by=user,
        longest=longest,
        now=utc_now(),
    )
    return _override(pinned)


@router.delete("/points/{point_id}/override", status_code=204)
def end(
    point_id: UUID,
    override_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SWITCH_SUPPLY))],
    session: UserSession,
) -> None:
    """Ends the override of this id."""
    overrides.end(session, point_id, override_id, by=user, now=utc_now())


@router.post("/gateways/{gateway_id}/brake/release", status_code=204)
def release_brake(
    gateway_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SWITCH_SUPPLY))],
    session: UserSession,
) -> None:
    """Lets a gateway cut again that holds back its cuts because too many came at once."""
    overrides.release_brake(session, gateway_id, by=user, now=utc_now())


def _override(pin: overrides.Pin) -> Override:
    return Override(
        id=pin.id,
        supply=pin.supply,
        at=pin.at,
        until=pin.until,
        by=pin.by,
        why=pin.why,
        is_delivered=pin.is_delivered,
    )
