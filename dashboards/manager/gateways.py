"""The gateways' pages: who is enrolled and until when; a token for a technician; and revocation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services import enrolment, gateways, scopes, unknown_codes
from cloud.services.devices import boxes
from cloud.services.gateways import GatewayCard
from cloud.services.places import tree
from cloud.tables import utc_now
from cloud.web import UserSession
from dashboards import errors, page, qr
from dashboards.manager.outcome import outcome
from dashboards.manager.top import top
from dashboards.mistake import Mistake
from prepaid.enrolment import Token

router = APIRouter(include_in_schema=False, prefix="/gateways")

Edit = Annotated[SignedIn, Depends(web.allowed(Permission.EDIT_ESTATE))]
Text = Annotated[str, Form()]
NAMES = {"lines": {"line": "name", "place": "note"}}  # by form, where services say it otherwise


@router.get("")
def all_gateways(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_GATEWAYS))],
    session: UserSession,
) -> Response:
    found = gateways.of_organization(session, user.organization_id, now=utc_now(), scope=user.scope)
    return page.render(
        request,
        "manager/gateways.html",
        gateways=found,
        may_edit=user.may(Permission.EDIT_ESTATE),
        **top(session, user),
    )


@router.get("/new")
def ask_new(request: Request, user: Edit, session: UserSession) -> Response:
    return _new(request, session, user)


@router.post("/new")
def add(
    request: Request,
    user: Edit,
    session: UserSession,
    site: Text = "",
    gateway_no: Text = "",
    place: Text = "",
) -> Response:
    """A gateway by its number and place; its token is issued on its own page."""
    try:
        with session.begin_nested():
            id = boxes.add(session, _site(site), gateway_no, place=place, by=user, now=utc_now()).id
    except CloudError as error:
        typed = {"site": site, "gateway_no": gateway_no, "place": place}
        return _new(request, session, user, error, typed)
    return RedirectResponse(f"/gateways/{id}", status_code=303)


@router.post("/{gateway_id:uuid}/place")
def move(
    request: Request, gateway_id: UUID, user: Edit, session: UserSession, place: Text = ""
) -> Response:
    def do() -> None:
        boxes.move(session, gateway_id, place=place, by=user, now=utc_now())

    return _done(request, session, user, gateway_id, do, form="place", typed={"place": place})


@router.post("/{gateway_id:uuid}/lines")
def add_line(
    request: Request,
    gateway_id: UUID,
    user: Edit,
    session: UserSession,
    name: Text = "",
    note: Text = "",
) -> Response:
    def do() -> None:
        boxes.add_line(session, gateway_id, name=name, note=note, by=user, now=utc_now())

    typed = {"name": name, "note": note}
    return _done(request, session, user, gateway_id, do, form="lines", typed=typed)


@router.post("/{gateway_id:uuid}/replace")
def replace(
    request: Request,
    gateway_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.ENROL_GATEWAYS))],
    session: UserSession,
    why: Text = "",
) -> Response:
    """The page with the token for the machine that goes on in this one's place."""
    settings = request.app.state.settings
    try:
        with session.begin_nested():
            token = boxes.replace(session, settings, gateway_id, why=why, by=user, now=utc_now())
    except CloudError as error:
        told = errors.mistake(request, error, {"why": why}, form="replace")
        card = _card(session, user, gateway_id)
        return _page(request, session, user, card, token=None, told=told)
    return _page(
        request, session, user, _card(session, user, gateway_id), token=token, is_spare=True
    )


@router.post("/{gateway_id:uuid}/end")
def end(request: Request, gateway_id: UUID, user: Edit, session: UserSession) -> Response:
    def do() -> None:
        boxes.end(session, gateway_id, by=user, now=utc_now())

    return _done(request, session, user, gateway_id, do)


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
    return page.render(request, "manager/revoke.html", gateway=card, **top(session, user))


@router.post("/{gateway_id:uuid}/revoke")
def revoke(
    gateway_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.ENROL_GATEWAYS))],
    session: UserSession,
) -> Response:
    enrolment.revoke(session, gateway_id, by=user, now=utc_now())
    return RedirectResponse(f"/gateways/{gateway_id}", status_code=303)


@router.post("/{gateway_id:uuid}/codes/{purse_id:uuid}/{number:int}/void")
def void_code(
    request: Request,
    gateway_id: UUID,
    purse_id: UUID,
    number: int,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.GIVE))],
    session: UserSession,
) -> Response:
    """Takes back what a code gave that is not known here."""
    scopes.check_purse(session, user, purse_id)

    def do() -> None:
        unknown_codes.void(session, gateway_id, purse_id, number, by=user, now=utc_now())

    return _done(request, session, user, gateway_id, do)


def _done(
    request: Request,
    session: Session,
    user: SignedIn,
    gateway_id: UUID,
    do: Callable[[], None],
    *,
    form: str = "",
    typed: Mapping[str, str] | None = None,
) -> Response:
    """form and typed: which of the page's forms was sent, and what stood in it."""

    def again(told: Mistake) -> Response:
        card = _card(session, user, gateway_id)
        return _page(request, session, user, card, token=None, told=told)

    to, names = f"/gateways/{gateway_id}", NAMES.get(form)
    return outcome(request, session, do, again, to=to, form=form, typed=typed, names=names)


def _new(
    request: Request,
    session: Session,
    user: SignedIn,
    error: CloudError | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    sites = [each for each in tree.sites(session, user) if each.ended_at is None]
    return page.render(
        request,
        "manager/estate/new_gateway.html",
        status=error.status if error else 200,
        sites=sites,
        mistake=errors.mistake(request, error, typed),
        at="/gateways/new",
        **top(session, user),
    )


def _site(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise scopes.NoSuchSite(field="site") from None


def _page(
    request: Request,
    session: Session,
    user: SignedIn,
    card: GatewayCard,
    *,
    token: Token | None,
    is_spare: bool = False,
    told: Mistake | None = None,
) -> Response:
    settings = request.app.state.settings
    return page.render(
        request,
        "manager/gateway.html",
        status=told.status if told else 200,
        gateway=card,
        token=token,
        is_spare=is_spare,
        code=None if token is None else qr.drawn(token.text),
        cloud=settings.public_url,
        lines=boxes.lines(session, card.gateway_id),
        changed=boxes.changes_of(session, card.gateway_id),
        unknown_codes=unknown_codes.of_gateway(session, card.gateway_id),
        may_edit=user.may(Permission.EDIT_ESTATE),
        may_enrol=user.may(Permission.ENROL_GATEWAYS),
        may_void=user.may(Permission.GIVE),
        may_see_accounts=user.may(Permission.SEE_ACCOUNTS),
        mistake=told or Mistake(),
        at=f"/gateways/{card.gateway_id}",
        **top(session, user),
    )


def _card(session: Session, user: SignedIn, gateway_id: UUID) -> GatewayCard:
    return gateways.one(session, user.organization_id, gateway_id, now=utc_now(), scope=user.scope)
