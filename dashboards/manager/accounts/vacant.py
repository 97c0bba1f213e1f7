"""The page of vacant rooms 空置房: what is used there, since when, and what they are supplied with."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy import select
from sqlmodel import col
from starlette.responses import RedirectResponse, Response

from cloud.permissions import Permission
from cloud.services import scopes
from cloud.services.accounts import vacancy
from cloud.tables import Site, utc_now
from cloud.web import UserSession
from dashboards import page
from dashboards.manager.accounts import asked
from dashboards.manager.accounts.asked import CloseAccounts, Form, SeeAccounts
from dashboards.manager.top import top
from prepaid.reading import Supply

router = APIRouter()


@router.get("/vacant")
def vacant(request: Request, user: SeeAccounts, session: UserSession) -> Response:
    sites = session.execute(
        select(Site).where(scopes.whole_sites_of(user)).order_by(col(Site.name))
    ).scalars()
    return page.render(
        request,
        "manager/accounts/vacant.html",
        points=vacancy.points(session, user),
        sites=list(sites),
        may_rule=user.may(Permission.CLOSE_ACCOUNTS),
        may_open=user.may(Permission.OPEN_ACCOUNTS),
        **top(session, user),
    )


@router.post("/vacant/{site_id:uuid}")
def rule(site_id: UUID, form: Form, user: CloseAccounts, session: UserSession) -> Response:
    """What the site's vacant rooms are supplied with from now on."""
    supply = Supply.ON if asked.text(form, "supply") == "on" else Supply.OFF
    vacancy.supply_while_vacant(session, user, site_id, supply, now=utc_now())
    return RedirectResponse("/vacant", status_code=303)
