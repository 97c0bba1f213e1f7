"""/api/vacant: what is used in rooms that nobody has, and what they are supplied with. /api/photos. For staff."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, UploadFile
from pydantic import BaseModel
from starlette.responses import Response

from cloud import web
from cloud.api.accounts.accounts import OpenAccounts, SeeAccounts
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services.accounts import photos, vacancy
from cloud.tables import utc_now
from cloud.web import UserSession
from prepaid.reading import Supply

router = APIRouter(prefix="/api")


class Vacant(BaseModel):
    point_id: UUID
    room_id: UUID
    room: str
    building: str
    site: str
    name: str
    meter_no: str
    since: datetime
    left_by: str | None
    began_total: Decimal | None
    total: Decimal | None
    used: Decimal | None
    unit: str
    read_at: datetime | None
    supply: Supply | None
    is_waiting: bool


class Rule(BaseModel):
    supply: Literal["on", "off"]


class Told(BaseModel):
    points: int


class Kept(BaseModel):
    id: UUID


@router.get("/vacant")
def vacant(user: SeeAccounts, session: UserSession) -> list[Vacant]:
    """Each service point that nobody pays for, with what was used since then."""
    return [
        Vacant(
            point_id=each.point_id,
            room_id=each.room_id,
            room=each.room,
            building=each.building,
            site=each.site,
            name=each.name,
            meter_no=each.meter_no,
            since=each.since,
            left_by=each.left_by,
            began_total=each.began_total,
            total=each.total,
            used=each.used,
            unit=each.unit,
            read_at=each.read_at,
            supply=each.supply,
            is_waiting=each.is_waiting,
        )
        for each in vacancy.points(session, user)
    ]


@router.post("/sites/{site_id}/vacant")
def supply_while_vacant(
    site_id: UUID,
    rule: Rule,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.CLOSE_ACCOUNTS))],
    session: UserSession,
) -> Told:
    """What the site's vacant rooms are supplied with from now on."""
    supply = Supply(rule.supply)
    told = vacancy.supply_while_vacant(session, user, site_id, supply, now=utc_now())
    return Told(points=told)


@router.post("/photos", status_code=201)
def keep_photo(photo: UploadFile, user: OpenAccounts, session: UserSession) -> Kept:
    """Keeps a photo of a meter, JPEG or PNG of at most 4 MB."""
    content = photo.file.read(photos.MOST_BYTES + 1)
    return Kept(id=photos.keep(session, user, content, now=utc_now()))


@router.get("/photos/{photo_id}", response_class=Response)
def photo(photo_id: UUID, user: SeeAccounts, session: UserSession) -> Response:
    """The photo of a meter that was read by hand, as it was taken."""
    found = photos.one(session, user, photo_id)
    return Response(
        found.content,
        media_type=found.media_type,
        headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=86400"},
    )
