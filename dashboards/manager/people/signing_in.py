"""Signing in: password, then the code of the second factor; signing out; and the link that sets a password."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from cloud import auth, web
from cloud.attempts import Attempts
from cloud.errors import CloudError, TooManyAttempts
from cloud.services.people import passwords, second_factor
from cloud.tables import User, utc_now
from cloud.web import SystemSession
from dashboards import errors, page

router = APIRouter(include_in_schema=False)


class WrongLogin(CloudError):
    status = 401
    field = "password"
    sentence = "Login name or password is wrong."


class Differ(CloudError):
    status = 422
    field = "again"
    sentence = "The two passwords differ. Type the new one twice."


@router.get("/login")
def ask(request: Request) -> Response:
    return page.render(request, "manager/login.html")


@router.post("/login")
def log_in(
    request: Request,
    session: SystemSession,
    login: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
) -> Response:
    try:
        browser = web.browser(request)
        token = auth.login(session, login, password, now=utc_now(), browser=browser)
        if token is None:
            raise WrongLogin
    except (WrongLogin, TooManyAttempts) as error:
        told = errors.mistake(request, error, {"login": login.strip()})
        return page.render(request, "manager/login.html", status=error.status, mistake=told)
    session.flush()
    return _signed_in(request, session, token, login.strip())


@router.get("/login/code")
def ask_code(request: Request, session: SystemSession) -> Response:
    if _half(request, session) is None:
        return RedirectResponse("/login", status_code=303)
    return page.render(request, "manager/people/code.html")


@router.post("/login/code")
def check_code(
    request: Request, session: SystemSession, code: Annotated[str, Form()] = ""
) -> Response:
    now, token = utc_now(), request.cookies.get(web.COOKIE, "")
    user = _half(request, session)
    if user is None:
        return RedirectResponse("/login", status_code=303)
    settings = request.app.state.settings
    try:
        if second_factor.check(session, settings, user.id, code, now=now):
            return _whole(request, auth.verify(session, token, now=now), user.login)
        error: CloudError = second_factor.WrongCode()
    except TooManyAttempts as too_many:
        error = too_many
    told = errors.mistake(request, error)
    return page.render(request, "manager/people/code.html", status=error.status, mistake=told)


@router.post("/logout")
def log_out(request: Request, session: SystemSession) -> Response:
    if token := request.cookies.get(web.COOKIE):
        auth.logout(session, token)
    reply = RedirectResponse("/login", status_code=303)
    reply.delete_cookie(web.COOKIE, path="/")
    return reply


@router.get("/password/{secret}")
def ask_password(request: Request, secret: str, session: SystemSession) -> Response:
    user = _of_link(request, session, secret)
    return _password_page(request, user, error=None)


@router.post("/password/{secret}")
def set_password(
    request: Request,
    secret: str,
    session: SystemSession,
    password: Annotated[str, Form()] = "",
    again: Annotated[str, Form()] = "",
) -> Response:
    """Sets the password and signs in; where there is a second factor, its code is asked for too."""
    user = _of_link(request, session, secret)
    now = utc_now()
    try:
        if password != again:
            raise Differ
        passwords.set_by_link(session, secret, password, now=now)
    except (Differ, passwords.BadPassword) as error:
        return _password_page(request, user, error=error)
    token = auth.sign_in(session, user, browser=web.browser(request), now=now)
    session.flush()
    return _signed_in(request, session, token, user.login)


def _password_page(request: Request, user: User, *, error: CloudError | None) -> Response:
    return page.render(
        request,
        "manager/people/password.html",
        status=error.status if error else 200,
        login=user.login,
        name=user.name,
        shortest=passwords.SHORTEST,
        mistake=errors.mistake(request, error),
    )


def _of_link(request: Request, session: Session, secret: str) -> User:
    """Raises LinkEnded, or attempts.TooMany where one address tries many."""
    attempts: Attempts = request.app.state.attempts
    attempts.count(request.client.host if request.client else "", now=utc_now())
    return passwords.of_link(session, secret, now=utc_now())


def _half(request: Request, session: Session) -> User | None:
    token = request.cookies.get(web.COOKIE)
    return auth.half_signed_in(session, token, now=utc_now()) if token else None


def _signed_in(request: Request, session: Session, token: str, login: str) -> Response:
    """On to the rooms, or to the code that is still missing."""
    if auth.half_signed_in(session, token, now=utc_now()) is None:
        return _whole(request, token, login)
    reply = RedirectResponse("/login/code", status_code=303)
    web.set_cookie(reply, request.app.state.settings, token)
    return reply


def _whole(request: Request, token: str, login: str) -> Response:
    settings = request.app.state.settings
    reply = RedirectResponse("/rooms", status_code=303)
    web.set_cookie(reply, settings, token)
    web.set_known_cookie(reply, settings, login)
    return reply
