"""Shifts 收费员结账: open the drawer, see what it should hold, count it and hand it over."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services import scopes
from cloud.services.money import loose_cash, shifts
from cloud.tables import utc_now
from cloud.web import UserSession
from dashboards import errors, page
from dashboards.manager.money import words

router = APIRouter(include_in_schema=False, prefix="/shifts")

Cashier = Annotated[SignedIn, Depends(web.allowed(Permission.TAKE_TOPUPS))]


@router.get("")
def mine(request: Request, user: Cashier, session: UserSession) -> Response:
    """The cashier's open shift, and those that were closed: of all, for who sees the books."""
    return _page(request, session, user)


@router.post("")
def open_(
    request: Request,
    user: Cashier,
    session: UserSession,
    float_: Annotated[str, Form(alias="float")] = "0",
) -> Response:
    try:
        float_found = words.amount(float_ or "0", field="float")
        shifts.open_(session, user, float_found, now=utc_now())
    except CloudError as error:
        return _page(request, session, user, error, {"float": float_})
    return RedirectResponse("/counter", status_code=303)


@router.post("/close")
def close(
    request: Request,
    user: Cashier,
    session: UserSession,
    counted: Annotated[str, Form()] = "",
    handed_to: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
) -> Response:
    try:
        closed = shifts.close(
            session,
            user,
            counted=words.amount(counted, field="counted"),
            handed_to=handed_to,
            note=note,
            now=utc_now(),
        )
    except CloudError as error:
        typed = {"counted": counted, "handed_to": handed_to, "note": note}
        return _page(request, session, user, error, typed)
    return RedirectResponse(f"/shifts/{closed.id}", status_code=303)


def _page(
    request: Request,
    session: Session,
    user: SignedIn,
    error: CloudError | None = None,
    typed: dict[str, str] | None = None,
) -> Response:
    is_all = user.may(Permission.CLOSE_BOOKS)
    now_open = shifts.has_open(session, user)
    return page.render(
        request,
        "manager/money/shifts.html",
        status=error.status if error else 200,
        shift=shifts.one(session, user.organization_id, now_open.id) if now_open else None,
        listed=shifts.listed(
            session, user.organization_id, user_id=None if is_all else user.user_id
        ),
        loose=loose_cash.listed(session, user.organization_id, now=utc_now()),
        mistake=errors.mistake(request, error, typed),
        at="/shifts",
        **words.shown(session, user),
    )


@router.post("/topups/{topup_id:uuid}/mine")
def claim_topup(topup_id: UUID, user: Cashier, session: UserSession) -> Response:
    scopes.check_topup(session, user, topup_id)
    loose_cash.claim(session, user, "topup", topup_id, now=utc_now())
    return RedirectResponse("/shifts", status_code=303)


@router.post("/withdrawals/{withdrawal_id:uuid}/mine")
def claim_reversal(withdrawal_id: UUID, user: Cashier, session: UserSession) -> Response:
    loose_cash.claim(session, user, "withdrawal", withdrawal_id, now=utc_now())
    return RedirectResponse("/shifts", status_code=303)


@router.get("/{shift_id:uuid}")
def one(request: Request, shift_id: UUID, user: Cashier, session: UserSession) -> Response:
    """A shift to print; another's only for who closes the books."""
    found = shifts.one(session, user.organization_id, shift_id)
    if found.cashier_id != user.user_id and not user.may(Permission.CLOSE_BOOKS):
        raise shifts.NoSuchShift
    return page.render(
        request, "manager/money/shift.html", shift=found, **words.shown(session, user)
    )
