"""The page of one's own account: password, second factor, and where one is signed in."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.errors import CloudError, TooManyAttempts
from cloud.permissions import Permission, Role
from cloud.services.people import passwords, second_factor, sessions
from cloud.tables import User, utc_now
from cloud.web import SystemSession, UserSession
from dashboards import errors, page, qr
from dashboards.manager.people.role_words import ROLES
from dashboards.manager.people.signing_in import Differ
from dashboards.manager.top import top
from dashboards.words import N_

router = APIRouter(include_in_schema=False, prefix="/me")

CHANGED = N_("The password is changed. Your other browsers are signed out.")


@router.get("")
def me(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.OWN_ACCOUNT))],
    session: UserSession,
) -> Response:
    return _page(request, session, user)


@router.post("/password")
def change_password(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.OWN_ACCOUNT))],
    session: SystemSession,
    old: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    again: Annotated[str, Form()] = "",
) -> Response:
    now = utc_now()
    try:
        if password != again:
            raise Differ
        if not passwords.is_right(session, user, old, now=now):
            raise passwords.WrongPassword
        passwords.change(session, user, password, now=now)
    except (Differ, passwords.WrongPassword, passwords.BadPassword, TooManyAttempts) as error:
        return _page(request, session, user, error=error, form="password")
    return _page(request, session, user, done=page.say(request)(CHANGED))


@router.post("/second-factor")
def begin(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.OWN_ACCOUNT))],
    session: UserSession,
) -> Response:
    second_factor.begin(session, request.app.state.settings, user)
    return RedirectResponse("/me/second-factor", status_code=303)


@router.get("/second-factor")
def show(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.OWN_ACCOUNT))],
    session: UserSession,
) -> Response:
    return _setup_page(request, session, user, error=None)


@router.post("/second-factor/confirm")
def confirm(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.OWN_ACCOUNT))],
    session: UserSession,
    code: Annotated[str, Form()] = "",
) -> Response:
    """The page with the recovery codes, which are on no page after this one."""
    try:
        codes = second_factor.confirm(
            session, request.app.state.settings, user, code, now=utc_now()
        )
    except second_factor.WrongCode as error:
        return _setup_page(request, session, user, error=error)
    return page.render(
        request, "manager/people/recovery.html", codes=codes, at="/me", **top(session, user)
    )


@router.post("/second-factor/end")
def end(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.OWN_ACCOUNT))],
    session: SystemSession,
    old: Annotated[str, Form()] = "",
) -> Response:
    """Ends the second factor of whoever shows the password."""
    now = utc_now()
    try:
        if not passwords.is_right(session, user, old, now=now):
            raise passwords.WrongPassword
    except (passwords.WrongPassword, TooManyAttempts) as error:
        return _page(request, session, user, error=error, form="second-factor")
    second_factor.end(session, user, user.user_id, now=now)
    return RedirectResponse("/me", status_code=303)


@router.post("/sessions/{sign_in_id:uuid}/end")
def end_session(
    sign_in_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.OWN_ACCOUNT))],
    session: UserSession,
) -> Response:
    sessions.revoke(session, user, user.user_id, sign_in_id, now=utc_now())
    return RedirectResponse("/me", status_code=303)


def _page(
    request: Request,
    session: Session,
    user: SignedIn,
    *,
    error: CloudError | None = None,
    form: str = "",
    done: str | None = None,
) -> Response:
    row = session.get_one(User, user.user_id)
    shown: dict[str, Any] = {
        "login": user.login,
        "roles": [role for role in Role if role in user.roles],
        "role_words": ROLES,
        "has_second_factor": row.totp_since is not None,
        "recovery_left": len(row.recovery_hashes),
        "lacks_factor": user.lacks_factor,
        "sessions": sessions.listed(session, user, user.user_id, now=utc_now()),
        "shortest": passwords.SHORTEST,
    }
    return page.render(
        request,
        "manager/people/me.html",
        status=error.status if error else 200,
        mistake=errors.mistake(request, error, form=form),
        done=done,
        at="/me",
        **shown,
        **top(session, user),
    )


def _setup_page(
    request: Request, session: Session, user: SignedIn, *, error: CloudError | None
) -> Response:
    setup = second_factor.waiting(session, request.app.state.settings, user)
    if setup is None:
        return RedirectResponse("/me", status_code=303)
    return page.render(
        request,
        "manager/people/second_factor.html",
        status=error.status if error else 200,
        secret=" ".join(setup.secret[i : i + 4] for i in range(0, len(setup.secret), 4)),
        uri=setup.uri,
        code=qr.drawn(setup.uri),
        mistake=errors.mistake(request, error),
        at="/me/second-factor",
        **top(session, user),
    )
