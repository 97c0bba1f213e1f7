"""/api/gateways: added, with their lines, moved, ended; the token that enrols one. For staff."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from sqlmodel import Session

from cloud import web
from cloud.api.places.shapes import EditEstate
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services import enrolment, gateways
from cloud.services.devices import boxes
from cloud.services.gateways import GatewayCard
from cloud.services.places import tree
from cloud.tables import utc_now
from cloud.web import UserSession

router = APIRouter(prefix="/api/gateways")

SeeGateways = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_GATEWAYS))]
EnrolGateways = Annotated[SignedIn, Depends(web.allowed(Permission.ENROL_GATEWAYS))]
Place = Annotated[str, Field(max_length=boxes.LONGEST_PLACE)]


class Gateway(BaseModel):
    """expires_at is until when its credentials are good, renewed by itself before; null where it has none."""

    id: UUID
    gateway_no: str
    site: str
    place: str
    points: int
    heard_at: datetime | None
    is_online: bool
    enrolled_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    ended_at: datetime | None


class Line(BaseModel):
    """silent of its meters do not answer."""

    name: str
    note: str
    meters: int
    silent: int


class GatewayWithLines(Gateway):
    lines: list[Line]


class NewGateway(BaseModel):
    site_id: UUID
    gateway_no: Annotated[str, Field(min_length=1, max_length=40)]
    place: Place = ""


class Moved(BaseModel):
    place: Place


class NewLine(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=tree.LONGEST)]
    note: Place = ""


class Token(BaseModel):
    """For `wattwell edge enrol`, at one machine, once; it is not shown again."""

    token: str
    expires_at: datetime


@router.get("")
def list_gateways(user: SeeGateways, session: UserSession) -> list[Gateway]:
    """The gateways in use, by site and number."""
    found = gateways.of_organization(session, user.organization_id, now=utc_now(), scope=user.scope)
    return [_gateway(card) for card in found]


@router.post("", status_code=201)
def add_gateway(given: NewGateway, user: EditEstate, session: UserSession) -> GatewayWithLines:
    """Adds a gateway, which is yet to be enrolled. Only for who sees the whole site."""
    made = boxes.add(
        session, given.site_id, given.gateway_no, place=given.place, by=user, now=utc_now()
    )
    return _one(session, user, made.id)


@router.get("/{gateway_id}")
def get_gateway(gateway_id: UUID, user: SeeGateways, session: UserSession) -> GatewayWithLines:
    """A gateway with its lines."""
    return _one(session, user, gateway_id)


@router.patch("/{gateway_id}")
def move_gateway(
    gateway_id: UUID, given: Moved, user: EditEstate, session: UserSession
) -> GatewayWithLines:
    """Says where a gateway hangs."""
    boxes.move(session, gateway_id, place=given.place, by=user, now=utc_now())
    return _one(session, user, gateway_id)


@router.post("/{gateway_id}/lines", status_code=201)
def add_line(
    gateway_id: UUID, given: NewLine, user: EditEstate, session: UserSession
) -> GatewayWithLines:
    """Adds a line by the name that gateway.toml gives it."""
    boxes.add_line(session, gateway_id, name=given.name, note=given.note, by=user, now=utc_now())
    return _one(session, user, gateway_id)


@router.post("/{gateway_id}/token", status_code=201)
def issue_token(
    gateway_id: UUID, request: Request, user: EnrolGateways, session: UserSession
) -> Token:
    """A token that enrols the gateway's machine; one issued before ends."""
    settings = request.app.state.settings
    made = enrolment.issue_token(session, settings, gateway_id, by=user, now=utc_now())
    session.flush()
    until = gateways.one(
        session, user.organization_id, gateway_id, now=utc_now(), scope=user.scope
    ).token_until
    assert until is not None
    return Token(token=made.text, expires_at=until)


@router.post("/{gateway_id}/end")
def end_gateway(gateway_id: UUID, user: EditEstate, session: UserSession) -> GatewayWithLines:
    """Ends a gateway that serves no meter any more: its credentials end, its books stay."""
    boxes.end(session, gateway_id, by=user, now=utc_now())
    return _one(session, user, gateway_id)


def _one(session: Session, user: SignedIn, gateway_id: UUID) -> GatewayWithLines:
    card = gateways.one(session, user.organization_id, gateway_id, now=utc_now(), scope=user.scope)
    lines = [
        Line(name=each.name, note=each.note, meters=each.meters, silent=each.silent)
        for each in boxes.lines(session, gateway_id)
    ]
    return GatewayWithLines(**_gateway(card).model_dump(), lines=lines)


def _gateway(card: GatewayCard) -> Gateway:
    return Gateway(
        id=card.gateway_id,
        gateway_no=card.gateway_no,
        site=card.site,
        place=card.place,
        points=card.points,
        heard_at=card.heard_at,
        is_online=card.is_online,
        enrolled_at=card.enrolled_at,
        expires_at=card.expires_at,
        revoked_at=card.revoked_at,
        ended_at=card.ended_at,
    )
