"""/api/alarms: what is on at service points and gateways, and that somebody has seen to it. For staff."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, Field

from cloud import web
from cloud.api.paging import Most, cut
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services import acknowledgements, alarms
from cloud.services.acknowledgements import Chosen, ChosenTrouble
from cloud.services.alarms import GatewayTrouble, PointAlarm, Seen
from cloud.tables import utc_now
from cloud.web import UserSession
from prepaid.wire.uplog import AlarmKind, Trouble

router = APIRouter(prefix="/api/alarms")

SeeAlarms = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_ROOMS))]
Acknowledge = Annotated[SignedIn, Depends(web.allowed(Permission.ACKNOWLEDGE_ALARMS))]


class Acknowledged(BaseModel):
    by: str
    at: datetime
    why: str


class Alarm(BaseModel):
    """What is on since at. of says of what: id is that of the service point, or of the gateway; name what people call
    it. acknowledged is null until somebody has seen to it."""

    of: Literal["point", "gateway"]
    id: UUID
    name: str
    room_id: UUID | None
    kind: AlarmKind | Trouble
    at: datetime
    acknowledged: Acknowledged | None


class Alarms(BaseModel):
    alarms: list[Alarm]
    next: str | None


class AlarmToSee(BaseModel):
    """An alarm as the list has it."""

    of: Literal["point", "gateway"]
    id: UUID
    kind: AlarmKind | Trouble
    at: AwareDatetime

    def chosen(self) -> Chosen | ChosenTrouble | None:
        """None for a kind that such a thing does not have."""
        match self.kind:
            case AlarmKind() if self.of == "point":
                return Chosen(self.id, self.kind, self.at)
            case Trouble() if self.of == "gateway":
                return ChosenTrouble(self.id, self.kind, self.at)
            case _:
                return None


class Acknowledgement(BaseModel):
    alarms: Annotated[list[AlarmToSee], Field(min_length=1, max_length=acknowledgements.MOST)]
    why: Annotated[str, Field(min_length=1, max_length=200)]


class Noted(BaseModel):
    """How many were noted: those that are on, and that nobody else was quicker to see to."""

    acknowledged: int


@router.get("")
def list_alarms(
    user: SeeAlarms,
    session: UserSession,
    after: Annotated[
        str | None,
        Query(description="`next` of the page before; without it the first page.", max_length=200),
    ] = None,
    most: Most = 100,
) -> Alarms:
    """The alarms and troubles that are on, the newest first. One goes when its cause does."""
    points = alarms.of_points(session, user.organization_id, rooms=None, scope=user.scope)
    gateways = alarms.of_gateways(session, user.organization_id, scope=user.scope)
    found = [*map(_of_point, points), *map(_of_gateway, gateways)]
    found = sorted((each for each in found if after is None or _cursor(each) < after), key=_cursor)
    page, following = cut(found[: -most - 2 : -1], most, _cursor)
    return Alarms(alarms=page, next=following)


@router.post("/acknowledge")
def acknowledge(given: Acknowledgement, user: Acknowledge, session: UserSession) -> Noted:
    """告警确认: notes that somebody has seen to alarms, and why they may wait. Each stays on until its cause goes."""
    chosen = [found for each in given.alarms if (found := each.chosen()) is not None]
    noted = acknowledgements.acknowledge(session, user, chosen, why=given.why, now=utc_now())
    return Noted(acknowledged=noted)


def _cursor(alarm: Alarm) -> str:
    """Grows with time; no two alarms that are on have one."""
    return f"{alarm.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}~{alarm.id}~{alarm.kind}"


def _of_point(alarm: PointAlarm) -> Alarm:
    return Alarm(
        of="point",
        id=alarm.point_id,
        name=alarm.point,
        room_id=alarm.room_id,
        kind=alarm.kind,
        at=alarm.at,
        acknowledged=_seen(alarm.seen),
    )


def _of_gateway(trouble: GatewayTrouble) -> Alarm:
    return Alarm(
        of="gateway",
        id=trouble.gateway_id,
        name=trouble.gateway_no,
        room_id=None,
        kind=trouble.kind,
        at=trouble.at,
        acknowledged=_seen(trouble.seen),
    )


def _seen(seen: Seen | None) -> Acknowledged | None:
    return Acknowledged(by=seen.by, at=seen.at, why=seen.why) if seen is not None else None
