"""The gateways' pages: who is enrolled and until when; a token for a technician; and revocation."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services import enrolment, gateways
from cloud.services.gateways import GatewayCard
from cloud.tables import Organization, utc_now
from cloud.web import UserSession
from dashboards import page, qr
from prepaid.enrolment import Token

router = APIRouter(include_in_schema=False, prefix="/gateways")


@router.get("")
def all_gateways(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_GATEWAYS))],
    session: UserSession,
) -> Response:
    found = gateways.of_organization(session, user.organization_id, now=utc_now(), scope=user.scope)
    return page.render(request, "manager/gateways.html", gateways=found, **_top(session, user))


@router.get("/{gateway_id:uuid}")
def gateway(
    request: Request,
    gateway_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_GATEWAYS))],
    session: UserSession,
) -> Response:
    return _page(request, session, user, _card(session, user, gateway_id), token=None)


@router.post("/{gateway_id:uuid}/token")
def issue(
    request: Request,
    gateway_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.ENROL_GATEWAYS))],
    session: UserSession,
) -> Response:
    """The page with a new token, which is on no page after this one."""
    settings = request.app.state.settings
    token = enrolment.issue_token(session, settings, gateway_id, by=user, now=utc_now())
    session.flush()
    return _page(request, session, user, _card(session, user, gateway_id), token=token)


@router.get("/{gateway_id:uuid}/revoke")
def ask_revoke(
    request: Request,
    gateway_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.ENROL_GATEWAYS))],
    session: UserSession,
) -> Response:
    card = _card(session, user, gateway_id)
    if card.revoked_at is not None:
        return RedirectResponse(f"/gateways/{gateway_id}", status_code=303)
    return page.render(request, "manager/revoke.html", gateway=card, **_top(session, user))


@router.post("/{gateway_id:uuid}/revoke")
def revoke(
    gateway_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.ENROL_GATEWAYS))],
    session: UserSession,
) -> Response:
    enrolment.revoke(session, gateway_id, by=user, now=utc_now())
    return RedirectResponse(f"/gateways/{gateway_id}", status_code=303)


def _page(
    request: Request, session: Session, user: SignedIn, card: GatewayCard, *, token: Token | None
) -> Response:
    settings = request.app.state.settings
    return page.render(
        request,
        "manager/gateway.html",
        gateway=card,
        token=token,
        code=None if token is None else qr.drawn(token.text),
        cloud=settings.public_url,
        at=f"/gateways/{card.gateway_id}",
        **_top(session, user),
    )


def _card(session: Session, user: SignedIn, gateway_id: UUID) -> GatewayCard:
    return gateways.one(session, user.organization_id, gateway_id, now=utc_now(), scope=user.scope)


def _top(session: Session, user: SignedIn) -> dict[str, Any]:
    organization = session.get_one(Organization, user.organization_id)
    return {"organization": organization.name, "user_name": user.name, "timezone": page.TIMEZONE}
