"""The page of API keys 接口密钥: who asks by which, a new one, shown once, and the end of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from sqlalchemy import select
from sqlmodel import Session, col
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import EVERYWHERE, Scope, SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission, Role
from cloud.services import scopes
from cloud.services.integration import keys
from cloud.services.integration.keys import KeyCard
from cloud.tables import Site, utc_now
from cloud.web import UserSession
from dashboards import errors, page
from dashboards.manager.integration import words
from dashboards.manager.top import top

router = APIRouter(include_in_schema=False, prefix="/api-keys")

Integrator = Annotated[SignedIn, Depends(web.allowed(Permission.INTEGRATE))]

DAYS = (30, 90, 365, 730)
USUAL_DAYS = "365"
ALWAYS = "0"  # until it is revoked


@dataclass(frozen=True, slots=True)
class Asked:
    """The form as it was sent. sites empty: everywhere."""

    name: str = ""
    roles: list[str] = field(default_factory=lambda: [Role.VIEWER.value])
    where: str = "everywhere"
    sites: list[str] = field(default_factory=list)
    days: str = USUAL_DAYS
    per_minute: str = str(keys.PER_MINUTE)


def asked(
    name: Annotated[str, Form()] = "",
    roles: Annotated[list[str] | None, Form()] = None,
    where: Annotated[str, Form()] = "",
    sites: Annotated[list[str] | None, Form()] = None,
    days: Annotated[str, Form()] = "",
    per_minute: Annotated[str, Form()] = "",
) -> Asked:
    return Asked(name, roles or [], where, sites or [], days, per_minute)


@router.get("")
def all_keys(request: Request, user: Integrator, session: UserSession) -> Response:
    return _page(request, session, user)


@router.post("")
def make(
    request: Request,
    user: Integrator,
    session: UserSession,
    asked: Annotated[Asked, Depends(asked)],
) -> Response:
    """The page with the new key, which is on no page after this one."""
    try:
        key = keys.make(
            session,
            name=asked.name,
            roles={Role(role) for role in asked.roles if role in set(Role)},
            scope=_scope(asked),
            days=None if asked.days == ALWAYS else _number(asked.days),
            per_minute=_number(asked.per_minute),
            by=user,
            now=utc_now(),
        )
    except CloudError as error:
        return _page(request, session, user, form=asked, error=error)
    session.flush()
    return _page(request, session, user, key=key)


@router.get("/{key_id:uuid}/revoke")
def ask_revoke(request: Request, key_id: UUID, user: Integrator, session: UserSession) -> Response:
    card = _card(session, user, key_id)
    if card.revoked_at is not None:
        return RedirectResponse("/api-keys", status_code=303)
    return page.render(
        request,
        "manager/integration/revoke_key.html",
        card=card,
        **top(session, user),
    )


@router.post("/{key_id:uuid}/revoke")
def revoke(key_id: UUID, user: Integrator, session: UserSession) -> Response:
    keys.revoke(session, key_id, by=user, now=utc_now())
    return RedirectResponse("/api-keys", status_code=303)


def _card(session: Session, user: SignedIn, key_id: UUID) -> KeyCard:
    """Raises NoSuchKey."""
    for card in keys.of_organization(session, user, now=utc_now()):
        if card.key_id == key_id:
            return card
    raise keys.NoSuchKey


def _scope(asked: Asked) -> Scope:
    if asked.where != "sites":
        return EVERYWHERE
    ids = []
    for text in asked.sites:
        try:
            ids.append(UUID(text))
        except ValueError:
            raise scopes.NoSuchSite(field="sites") from None
    return Scope(is_everywhere=False, sites=frozenset(ids))


def _number(text: str) -> int:
    """0, which no service takes, where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _page(
    request: Request,
    session: Session,
    user: SignedIn,
    *,
    key: str | None = None,
    form: Asked | None = None,
    error: CloudError | None = None,
) -> Response:
    sites = session.execute(
        select(Site).where(scopes.whole_sites_of(user)).order_by(col(Site.name))
    ).scalars()
    return page.render(
        request,
        "manager/integration/keys.html",
        status=error.status if error else 200,
        cards=keys.of_organization(session, user, now=utc_now()),
        key=key,
        form=form or Asked(),
        is_open=form is not None,
        mistake=errors.mistake(request, error),
        roles=words.ROLES,
        sites=list(sites),
        days=DAYS,
        cloud=request.app.state.settings.public_url,
        at="/api-keys",
        **top(session, user),
    )
