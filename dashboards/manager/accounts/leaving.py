"""Pages by which an account leaves rooms: closed, handed over, moved to another room."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from sqlmodel import Session
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.said import Said
from cloud.services.accounts import (
    closing,
    listing,
    moving,
)
from cloud.services.accounts.moving import Balance
from cloud.services.accounts.tenures import Typed
from cloud.tables import PointState, TariffDocument, utc_now
from cloud.web import UserSession
from dashboards import page
from dashboards.manager.accounts import asked
from dashboards.manager.accounts.account import back
from dashboards.manager.accounts.asked import (
    BadField,
    CloseAccounts,
    Form,
)
from dashboards.manager.accounts.opening import MOST_HOUSEHOLDS, free_rooms, holder_of
from dashboards.manager.top import top

router = APIRouter(prefix="/accounts/{account_id:uuid}")


# Closing, and what is left.
@router.get("/close")
def ask_close(
    request: Request, account_id: UUID, user: CloseAccounts, session: UserSession
) -> Response:
    return _ask(request, session, user, account_id, "close", {})


@router.post("/close")
def close(
    request: Request, account_id: UUID, form: Form, user: CloseAccounts, session: UserSession
) -> Response:
    now = utc_now()
    try:
        with session.begin_nested():
            typed = _registers(session, user, account_id, form, now=now)
            why = asked.text(form, "why")
            closing.close(session, user, account_id, typed=typed, why=why, now=now)
    except CloudError as error:
        return _ask(request, session, user, account_id, "close", asked.texts(form), error=error)
    return back(account_id)


# Going over.
@router.get("/transfer")
def ask_transfer(
    request: Request, account_id: UUID, user: CloseAccounts, session: UserSession
) -> Response:
    return _ask(request, session, user, account_id, "transfer", {})


@router.post("/transfer")
def transfer(
    request: Request, account_id: UUID, form: Form, user: CloseAccounts, session: UserSession
) -> Response:
    now = utc_now()
    try:
        with session.begin_nested():
            balance = asked.text(form, "balance")
            if balance not in set(Balance):
                raise BadField(
                    field="balance",
                    what=Said("the balance"),
                    typed=balance,
                    reason=Said("choose one"),
                )
            successor = moving.transfer(
                session,
                user,
                account_id,
                holder_of(form),
                Balance(balance),
                typed=_registers(session, user, account_id, form, now=now),
                why=asked.text(form, "why"),
                now=now,
            )
    except CloudError as error:
        return _ask(request, session, user, account_id, "transfer", asked.texts(form), error=error)
    return RedirectResponse(f"/accounts/{successor.id}?opened=1", status_code=303)


@router.get("/room")
def ask_room(
    request: Request, account_id: UUID, user: CloseAccounts, session: UserSession
) -> Response:
    return _ask(request, session, user, account_id, "room", {})


@router.post("/room")
def change_room(
    request: Request, account_id: UUID, form: Form, user: CloseAccounts, session: UserSession
) -> Response:
    now = utc_now()
    try:
        with session.begin_nested():
            moving.change_room(
                session,
                user,
                account_id,
                from_room=_room(form, "from"),
                to_room=_room(form, "to"),
                typed=_registers(session, user, account_id, form, now=now),
                why=asked.text(form, "why"),
                now=now,
            )
    except CloudError as error:
        return _ask(request, session, user, account_id, "room", asked.texts(form), error=error)
    return RedirectResponse(f"/accounts/{account_id}?opened=1", status_code=303)


def _room(form: FormData, name: str) -> UUID:
    try:
        return UUID(asked.text(form, name))
    except ValueError:
        raise BadField(
            field=name, what=Said("the room"), typed="", reason=Said("choose one")
        ) from None


def _registers(
    session: Session, by: SignedIn, account_id: UUID, form: FormData, *, now: datetime
) -> dict[UUID, Typed]:
    """The last registers that were typed."""
    zone = ZoneInfo(listing.view(session, by, account_id).timezone)
    found = {}
    for point in closing.points_of(session, account_id):
        typed = asked.register(session, by, form, point.id, point.name, zone=zone, now=now)
        if typed is not None:
            found[point.id] = typed
    return found


def _ask(
    request: Request,
    session: Session,
    user: SignedIn,
    account_id: UUID,
    what: str,
    typed: dict[str, str],
    *,
    error: CloudError | None = None,
) -> Response:
    found = listing.view(session, user, account_id)
    if found.account.closed_at is not None:
        return back(account_id)
    return page.render(
        request,
        f"manager/accounts/{what}.html",
        status=error.status if error else 200,
        view=found,
        account=found.account,
        meters=_meters(session, account_id),
        debt=moving.debt_of(session, account_id),
        free=free_rooms(session, user) if what == "room" else [],
        households=range(MOST_HOUSEHOLDS),
        typed=typed,
        mistake=asked.mistake(request, error, typed),
        at=f"/accounts/{account_id}/{what}",
        **top(session, user) | {"timezone": found.timezone},
    )


def _meters(session: Session, account_id: UUID) -> list[dict[str, Any]]:
    """The meters whose last registers may be typed, with what was read last."""
    found = []
    for point in closing.points_of(session, account_id):
        state = session.get_one(PointState, point.id)
        found.append(
            {
                "point": point,
                "total": state.total,
                "read_at": state.read_at,
                "is_silent": state.silent_since is not None,
                "unit": session.get_one(TariffDocument, point.tariff_id).unit,
            }
        )
    return found
