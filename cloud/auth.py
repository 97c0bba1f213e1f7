"""Who is asking: staff by a session cookie, a tenant by the signed token in the link; and from which page."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from fastapi import Depends, Request, Response
from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from cloud.db import Database, database
from cloud.errors import ForeignOrigin, NoSuchLink, NotSignedIn, TooManyAttempts
from cloud.settings import Settings
from cloud.tables import Account, LoginFailure, SignIn, User, utc_now

COOKIE = "wattwell_session"
STAYS_FOR = timedelta(hours=12)
FREE_FAILURES = 5  # after these, each further one doubles the wait
LONGEST_WAIT = timedelta(minutes=15)

_hasher = PasswordHasher()  # argon2id


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The member of staff who asks."""

    user_id: UUID
    organization_id: UUID
    login: str
    name: str


@dataclass(frozen=True, slots=True)
class Tenant:
    """The account whose link was opened. token is the one in the link."""

    account_id: UUID
    organization_id: UUID
    token: str


def hash_password(password: str) -> str:
    return _hasher.hash(password)


def login(session: Session, login: str, password: str, *, now: datetime) -> str | None:
    """The token for the cookie, or None: unknown login and wrong password are answered alike.

    Needs a system session; its commit also keeps the count of failures. Attempts on one login wait for
    each other, so that many at once are counted as many.

    Raises TooManyAttempts, without looking at the password, until the wait after the last failure is over.
    """
    typed = login.strip()[:200].replace("\x00", "")
    attempt = insert(LoginFailure).values(login=typed, failures=0, last_at=now)
    failure = session.execute(
        attempt.on_conflict_do_update(
            index_elements=["login"], set_={"login": attempt.excluded.login}
        ).returning(col(LoginFailure.failures), col(LoginFailure.last_at))
    ).one()
    wait = failure.last_at + _wait(failure.failures) - now
    if failure.failures and wait > timedelta(0):
        raise TooManyAttempts(seconds=math.ceil(wait.total_seconds()))
    user = session.execute(select(User).where(col(User.login) == typed)).scalar_one_or_none()
    if not _is_right(user.password_hash if user else _nobodys_hash(), password) or user is None:
        session.execute(
            attempt.on_conflict_do_update(
                index_elements=["login"], set_={"failures": failure.failures + 1, "last_at": now}
            )
        )
        return None
    session.execute(delete(LoginFailure).where(col(LoginFailure.login) == typed))
    token = secrets.token_urlsafe(32)
    session.add(
        SignIn(
            organization_id=user.organization_id,
            user_id=user.id,
            token_hash=_hash(token),
            expires_at=now + STAYS_FOR,
        )
    )
    return token


def logout(session: Session, token: str) -> None:
    """Ends the session of this token, if there is one. Needs a system session."""
    session.execute(delete(SignIn).where(col(SignIn.token_hash) == _hash(token)))


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


def current_user(request: Request, database: Annotated[Database, Depends(database)]) -> SignedIn:
    """Raises NotSignedIn."""
    token = request.cookies.get(COOKIE)
    if not token:
        raise NotSignedIn
    with database.system() as session:
        found = session.execute(
            select(User)
            .join(SignIn, col(SignIn.user_id) == col(User.id))
            .where(col(SignIn.token_hash) == _hash(token), col(SignIn.expires_at) > utc_now())
        ).scalar_one_or_none()
    if found is None:
        raise NotSignedIn
    return SignedIn(found.id, found.organization_id, found.login, found.name)


def current_account(
    token: str, request: Request, database: Annotated[Database, Depends(database)]
) -> Tenant:
    """The account of the path's {token}. Raises NoSuchLink, also when the account is closed."""
    account_id = read_tenant_token(request.app.state.settings, token)
    with database.system() as session:
        found = session.get(Account, account_id)
    if found is None or found.closed_at is not None:
        raise NoSuchLink
    return Tenant(found.id, found.organization_id, token)


CurrentUser = Annotated[SignedIn, Depends(current_user)]
CurrentAccount = Annotated[Tenant, Depends(current_account)]


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


def tenant_token(settings: Settings, account_id: UUID) -> str:
    return str(_tenant_links(settings).dumps(account_id.hex))


def tenant_url(settings: Settings, account_id: UUID) -> str:
    return f"{settings.public_url}/t/{tenant_token(settings, account_id)}"


def read_tenant_token(settings: Settings, token: str) -> UUID:
    """Raises NoSuchLink unless the token was made by tenant_token with the same secret."""
    try:
        return UUID(_tenant_links(settings).loads(token))
    except (BadSignature, ValueError, AttributeError, TypeError):
        raise NoSuchLink from None


def _tenant_links(settings: Settings) -> URLSafeSerializer:
    return URLSafeSerializer(
        settings.session_secret,
        salt="wattwell tenant link",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )


class OriginCheck:
    """Refuses a state-changing request that does not come from a page of our own (cross-site request forgery).

    A browser says so by Sec-Fetch-Site or Origin; a program sets Origin to the public address. Payment
    channels are excepted: their notices are signed. refuse answers with ForeignOrigin.
    """

    SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
    SIGNED = "/api/channels/"

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


def _wait(failures: int) -> timedelta:
    if failures < FREE_FAILURES:
        return timedelta(0)
    return min(timedelta(seconds=2 ** min(failures - FREE_FAILURES, 20)), LONGEST_WAIT)


def _is_right(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except VerificationError:
        return False


@lru_cache
def _nobodys_hash() -> str:
    """Checked when the login is unknown, so that the answer takes as long."""
    return _hasher.hash(secrets.token_urlsafe())


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
