"""What FastAPI's handlers ask for: the database, who is asking, and the sessions that go with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from functools import lru_cache
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from sqlmodel import Session
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from cloud import auth, browsers
from cloud.attempts import Attempts
from cloud.auth import STAYS_FOR, SignedIn, Tenant
from cloud.browsers import Browser
from cloud.db import Database
from cloud.errors import ForeignOrigin, NotSignedIn
from cloud.events import Events
from cloud.permissions import Permission
from cloud.services.integration import keys
from cloud.settings import Settings
from cloud.tables import utc_now

COOKIE = "wattwell_session"
KNOWN_COOKIE = "wattwell_browser"
KNOWN_FOR = timedelta(days=400)  # the longest that browsers keep one


def database(request: Request) -> Database:
    """The application's database, for a handler that streams and so needs a session now and then."""
    found = request.app.state.database
    assert isinstance(found, Database)
    return found


def system_session(database: Annotated[Database, Depends(database)]) -> Iterator[Session]:
    with database.system() as session:
        yield session


def events(request: Request) -> Events:
    """The application's news of changes, for a handler that streams."""
    found = request.app.state.events
    assert isinstance(found, Events)
    return found


OpenEvents = Annotated[Events, Depends(events)]


# Committed when the handler has returned and before the reply is sent.
SystemSession = Annotated[Session, Depends(system_session, scope="function")]


def current_user(request: Request, database: Annotated[Database, Depends(database)]) -> SignedIn:
    """Who asks: by an API key where one is given and the address is the API's, else by a session's cookie.

    Raises NotSignedIn, keys.BadKey or attempts.TooManyOfKey.
    """
    if is_by_key(request.scope["path"], request.headers):
        return _by_key(request, database)
    token = request.cookies.get(COOKIE)
    if not token:
        raise NotSignedIn
    with database.system() as session:
        user = auth.signed_in(session, token, now=utc_now())
    request.state.user = user  # for the menu of the page
    return user


def is_by_key(path: str, headers: Headers) -> bool:
    return path.startswith("/api/") and "authorization" in headers


def _by_key(request: Request, database: Database) -> SignedIn:
    scheme, _, key = request.headers["authorization"].partition(" ")
    if scheme.lower() != "bearer":
        raise keys.BadKey
    now = utc_now()
    address = request.client.host if request.client else ""
    with database.system() as session:
        asking = keys.asking(session, key.strip(), address=address, now=now)
    attempts: Attempts = request.app.state.key_attempts
    attempts.count_key(asking.key_id, most=asking.per_minute, now=now)
    return asking.user


def current_account(
    token: str, request: Request, database: Annotated[Database, Depends(database)]
) -> Tenant:
    """The account of the path's {token}. Raises NoSuchLink, also when the account is closed."""
    with database.system() as session:
        return auth.tenant(session, request.app.state.settings, token, now=utc_now())


CurrentUser = Annotated[SignedIn, Depends(current_user)]
CurrentAccount = Annotated[Tenant, Depends(current_account)]


@lru_cache
def allowed(permission: Permission) -> Callable[[SignedIn], SignedIn]:
    """A dependency: the signed-in user, who has this permission. Every route of staff declares one:

    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_ROOMS))]

    It raises NotSignedIn or auth.NotAllowed.
    """

    def check(user: CurrentUser) -> SignedIn:
        auth.require(user, permission)
        return user

    check.permission = permission  # type: ignore[attr-defined]  # by which a test finds it
    return check


def still(request: Request, database: Database, user: SignedIn, permission: Permission) -> None:
    """Raises NotSignedIn or NotAllowed unless the user of a page that stays open is signed in and sees what
    he saw: a page that is opened again shows the rest."""
    now = current_user(request, database)
    auth.require(now, permission)
    if now != user:
        raise NotSignedIn


def user_session(
    user: CurrentUser, database: Annotated[Database, Depends(database)]
) -> Iterator[Session]:
    with database.organization(user.organization_id) as session:
        yield session


def tenant_session(
    tenant: CurrentAccount, database: Annotated[Database, Depends(database)]
) -> Iterator[Session]:
    with database.organization(tenant.organization_id) as session:
        yield session


# Sees the asking user's (tenant's) organization; committed before the reply is sent.
UserSession = Annotated[Session, Depends(user_session, scope="function")]
TenantSession = Annotated[Session, Depends(tenant_session, scope="function")]


def browser(request: Request) -> Browser:
    """From where somebody signs in."""
    known = request.cookies.get(KNOWN_COOKIE)
    return Browser(
        address=request.client.host if request.client else "",
        agent=request.headers.get("user-agent", ""),
        known=browsers.read_known_token(request.app.state.settings, known) if known else None,
    )


def set_known_cookie(response: Response, settings: Settings, login: str) -> None:
    """Tells this browser, from now on, from the strangers who may be trying this login."""
    response.set_cookie(
        KNOWN_COOKIE,
        browsers.known_token(settings, login),
        max_age=int(KNOWN_FOR.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=settings.public_url.startswith("https:"),
        path="/",
    )


def set_cookie(response: Response, settings: Settings, token: str) -> None:
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(STAYS_FOR.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=settings.public_url.startswith("https:"),
        path="/",
    )


class OriginCheck:
    """Refuses a state-changing request that does not come from a page of our own (cross-site request forgery).

    A browser says so by Sec-Fetch-Site or Origin. Payment channels and gateways are excepted, as what they
    send is signed, and programs with an API key, which no browser sends by itself. refuse answers with
    ForeignOrigin.
    """

    SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
    SIGNED = (
        "/api/channels/",
        "/api/notices/",
        "/api/enrol",
        "/api/gateways/challenge",
        "/api/gateways/renew",
    )

    def __init__(
        self,
        app: ASGIApp,
        public_url: str,
        refuse: Callable[[Request, Exception], Awaitable[Response]],
    ) -> None:
        self._app = app
        self._public = _origin(public_url)
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and scope["method"] not in self.SAFE
            and not scope["path"].startswith(self.SIGNED)
            and not is_by_key(scope["path"], Headers(scope=scope))
            and not self._is_ours(Headers(scope=scope), scope["scheme"])
        ):
            refusal = await self._refuse(Request(scope), ForeignOrigin())
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_ours(self, headers: Headers, scheme: str) -> bool:
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        origin = headers.get("origin")
        return origin is not None and origin in (self._public, f"{scheme}://{headers.get('host')}")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
