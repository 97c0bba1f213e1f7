"""Who may see the page, and whose forms are taken: the PIN, the session's cookie, and a token in each form."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from edge.field.said import TROUBLES as FIELD_TROUBLES
from edge.field.said import CannotDo, Said, Tone, of_error, said
from edge.page.desk import Desk
from edge.page.pin import NoPin, Wait
from edge.page.render import page
from edge.page.session import COOKIE, LONGEST_NAME, LONGEST_S, Session, is_of
from edge.page.words import COOKIE as LANGUAGE_COOKIE
from edge.page.words import LANGUAGES

log = logging.getLogger(__name__)

MOST_BYTES = 64 * 1024
YEAR_S = 365 * 24 * 3600
MOST_FIELDS = 200

View = Callable[[Request, Session], Awaitable[Response]]


def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def guarded(path: str, view: View, *, methods: tuple[str, ...] = ("GET",)) -> Route:
    """A page for who is signed in; a form only with its session's token. What cannot be done is said on a page."""

    async def endpoint(request: Request) -> Response:
        session = session_of(request)
        if session is None:
            onward = quote(request.url.path) if request.method == "GET" else "/"
            return RedirectResponse(f"/login?then={onward}", status_code=303)
        if request.method == "POST":
            form = await form_of(request)
            if not is_of(session, str(form.get("form", ""))):
                return _refused(request, session)
        try:
            return await view(request, session)
        except FIELD_TROUBLES as error:
            status = 409 if isinstance(error, CannotDo) else 503
            return page_for(
                request, "problem.html", session, status=status, problem=of_error(error)
            )

    return Route(path, endpoint, methods=list(methods))


def _refused(request: Request, session: Session) -> Response:
    sentence = said("This form is too old, or was not made here. Go back and try again.", Tone.BAD)
    return page_for(request, "problem.html", session, status=403, problem=sentence)


def page_for(
    request: Request, template: str, session: Session, *, status: int = 200, **values: object
) -> Response:
    """A page of who is signed in."""
    desk = desk_of(request)
    return page(
        request,
        template,
        status=status,
        session=session,
        zone=desk.zone(),
        now=desk.room.now(),
        gateway_no=desk.room.store.gateway_no,
        **values,
    )


def session_of(request: Request) -> Session | None:
    sessions = desk_of(request).sessions
    assert sessions is not None
    return sessions.find(request.cookies.get(COOKIE))


async def form_of(request: Request) -> FormData:
    """What a form says; the same at each call. Its size is limited by the application."""
    return await request.form(max_files=0, max_fields=MOST_FIELDS)


async def login(request: Request) -> Response:
    """Signs in with the PIN and a name to write down what is done."""
    desk = desk_of(request)
    assert desk.pin is not None
    assert desk.sessions is not None
    then = _ours(request.query_params.get("then", "/"))
    if request.method == "GET":
        if session_of(request) is not None:
            return RedirectResponse(then, status_code=303)
        return _login_page(request, None if desk.pin.is_set() else NO_PIN)
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return _login_page(request, said("Sign in on this page."), status=403)
    form = await form_of(request)
    name = " ".join(str(form.get("name", "")).split())
    if not 0 < len(name) <= LONGEST_NAME:
        return _login_page(request, NO_NAME, status=422)
    try:
        is_right = await desk.pin.is_right(str(form.get("pin", "")))
    except NoPin:
        return _login_page(request, NO_PIN, name=name, status=409)
    except Wait as wait:
        sentence = said(
            "Too many wrong PINs: wait %(seconds)s s.", Tone.BAD, seconds=int(wait.seconds) + 1
        )
        return _login_page(request, sentence, name=name, status=429)
    if not is_right:
        log.warning("a wrong PIN was given on the page, from %s", _where(request))
        return _login_page(request, said("This PIN is wrong.", Tone.BAD), name=name, status=403)
    log.info("%s has signed in to the page, from %s", name, _where(request))
    reply = RedirectResponse(then, status_code=303)
    reply.set_cookie(
        COOKIE,
        desk.sessions.open(name),
        max_age=int(LONGEST_S),
        httponly=True,
        samesite="strict",
        secure=desk.is_https,
        path="/",
    )
    return reply


NO_PIN = said(
    "No PIN is set yet. On the gateway: wattwell edge pin --config gateway.toml", Tone.WARN
)
NO_NAME = said("Give your name: what you do is written down under it.", Tone.BAD)


def _login_page(
    request: Request, problem: Said | None, *, name: str = "", status: int = 200
) -> Response:
    desk = desk_of(request)
    return page(
        request,
        "login.html",
        status=status,
        problem=problem,
        name=name,
        session=None,
        zone=None,
        gateway_no=desk.room.store.gateway_no,
    )


async def logout(request: Request, session: Session) -> Response:
    sessions = desk_of(request).sessions
    assert sessions is not None
    sessions.close(request.cookies.get(COOKIE))
    reply = RedirectResponse("/login", status_code=303)
    reply.delete_cookie(COOKIE, path="/")
    return reply


async def choose_language(request: Request) -> Response:
    form = await form_of(request)
    language = str(form.get("language", ""))
    reply = RedirectResponse(_ours(str(form.get("back", "/"))), status_code=303)
    if language in LANGUAGES:
        reply.set_cookie(LANGUAGE_COOKIE, language, max_age=YEAR_S, httponly=True, samesite="lax")
    return reply


def _ours(path: str) -> str:
    """A path of ours, whatever was asked for."""
    is_plain = path.startswith("/") and not path.startswith("//") and path.isprintable()
    return path if is_plain and "\\" not in path and len(path) < 200 else "/"


def _where(request: Request) -> str:
    return request.client.host if request.client else "here"
