"""What only gateways know after a restore: booked here, or said why not, from the page of reconciliation; an account
that was opened meanwhile is opened again."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services.accounts import reopening
from cloud.services.accounts.drafts import Holder
from cloud.services.money import lost_transfers
from cloud.tables import utc_now
from cloud.web import UserSession
from dashboards import errors
from dashboards.manager.money import bills

router = APIRouter(include_in_schema=False, prefix="/lost-transfers")

Settler = Annotated[SignedIn, Depends(web.allowed(Permission.SETTLE_BILLS))]


@router.post("/{lost_transfer_id:uuid}/book")
def book(request: Request, lost_transfer_id: UUID, user: Settler, session: UserSession) -> Response:
    try:
        with session.begin_nested():
            lost_transfers.book(session, user, lost_transfer_id, now=utc_now())
    except CloudError as error:
        return bills.shown(request, session, user, errors.mistake(request, error))
    return RedirectResponse("/bills", status_code=303)


@router.post("/purses/{purse_id:uuid}/reopen")
def reopen(
    request: Request,
    purse_id: UUID,
    user: Settler,
    session: UserSession,
    holder: Annotated[str, Form()] = "",
    phone: Annotated[str, Form()] = "",
) -> Response:
    """The account that had a lost purse, opened again with all that its gateway has booked."""
    who = Holder(holder, phone=phone)
    try:
        with session.begin_nested():
            account = reopening.reopen(session, user, purse_id, who, now=utc_now())
    except CloudError as error:
        typed = {"holder": holder, "phone": phone}
        told = errors.mistake(request, error, typed, form=str(purse_id), names={"name": "holder"})
        return bills.shown(request, session, user, told)
    return RedirectResponse(f"/accounts/{account.id}", status_code=303)


@router.post("/{lost_transfer_id:uuid}/settle")
def settle(
    request: Request,
    lost_transfer_id: UUID,
    user: Settler,
    session: UserSession,
    note: Annotated[str, Form()] = "",
) -> Response:
    try:
        with session.begin_nested():
            lost_transfers.settle(session, user, lost_transfer_id, note=note, now=utc_now())
    except CloudError as error:
        told = errors.mistake(
            request, error, {"note": note}, form=str(lost_transfer_id), names={"why": "note"}
        )
        return bills.shown(request, session, user, told)
    return RedirectResponse("/bills", status_code=303)
