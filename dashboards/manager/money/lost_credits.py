"""Credits that only gateways know after a restore: booked here, or said why not, from the page of reconciliation."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services.money import lost_credits
from cloud.tables import utc_now
from cloud.web import UserSession

router = APIRouter(include_in_schema=False, prefix="/lost-credits")

Settler = Annotated[SignedIn, Depends(web.allowed(Permission.SETTLE_BILLS))]


@router.post("/{lost_credit_id:uuid}/book")
def book(lost_credit_id: UUID, user: Settler, session: UserSession) -> Response:
    lost_credits.book(session, user, lost_credit_id, now=utc_now())
    return RedirectResponse("/bills", status_code=303)


@router.post("/{lost_credit_id:uuid}/settle")
def settle(
    lost_credit_id: UUID,
    user: Settler,
    session: UserSession,
    note: Annotated[str, Form()] = "",
) -> Response:
    lost_credits.settle(session, user, lost_credit_id, note=note, now=utc_now())
    return RedirectResponse("/bills", status_code=303)
