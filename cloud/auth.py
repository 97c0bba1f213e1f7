"""Who is asking: staff by the token in their session cookie, a tenant by the signed token in the link."""

from __future__ import annotations

import base64
import hashlib
import math
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from itsdangerous import BadSignature, Signer
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud.errors import CloudError, NoSuchLink, NotSignedIn, TooManyAttempts
from cloud.permissions import ALLOWED, Permission, Role
from cloud.settings import Settings
from cloud.tables import Account, LoginFailure, SignIn, User, UserBuilding, UserSite

STAYS_FOR = timedelta(hours=12)
FREE_FAILURES = 5  # after these, each further one doubles the wait
LONGEST_WAIT = timedelta(minutes=15)

_hasher = PasswordHasher()  # argon2id


@dataclass(frozen=True, slots=True)
class Scope:
    """The part of an organization that somebody sees: all of it, or whole sites and single buildings."""

    is_everywhere: bool
    sites: frozenset[UUID] = frozenset()
    buildings: frozenset[UUID] = frozenset()


EVERYWHERE = Scope(is_everywhere=True)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The member of staff who asks. Without roles he may do nothing."""

    user_id: UUID
    organization_id: UUID
    login: str
    name: str
    roles: frozenset[Role] = frozenset()
    scope: Scope = EVERYWHERE

    def may(self, permission: Permission) -> bool:
        return any(permission in ALLOWED[role] for role in self.roles)


class NotAllowed(CloudError):
    status = 403
    sentence = (
        "This is not among what your roles allow. Ask an administrator if it belongs to your work."
    )


def require(user: SignedIn, permission: Permission) -> None:
    """Raises NotAllowed."""
    if not user.may(permission):
        raise NotAllowed


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
    attempt = insert(LoginFailure).values(login=typed, who="", failures=0, last_at=now)
    failure = session.execute(
        attempt.on_conflict_do_update(
            index_elements=["login", "who"], set_={"login": attempt.excluded.login}
        ).returning(col(LoginFailure.failures), col(LoginFailure.last_at))
    ).one()
    wait = failure.last_at + _wait(failure.failures) - now
    if failure.failures and wait > timedelta(0):
        raise TooManyAttempts(seconds=math.ceil(wait.total_seconds()))
    user = session.execute(
        select(User).where(col(User.login) == typed, col(User.ended_at).is_(None))
    ).scalar_one_or_none()
    kept = user.password_hash if user else None
    if not _is_right(kept or _nobodys_hash(), password) or user is None or kept is None:
        session.execute(
            attempt.on_conflict_do_update(
                index_elements=["login", "who"],
                set_={"failures": failure.failures + 1, "last_at": now},
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
            verified_at=now,
        )
    )
    return token


def logout(session: Session, token: str) -> None:
    """Ends the session of this token, if there is one. Needs a system session."""
    session.execute(delete(SignIn).where(col(SignIn.token_hash) == _hash(token)))


def forget(session: Session, *, now: datetime) -> None:
    """Deletes ended sign-ins, and counts of wrong passwords that no longer matter. Needs a system session."""
    session.execute(delete(SignIn).where(col(SignIn.expires_at) <= now))
    session.execute(
        delete(LoginFailure).where(col(LoginFailure.last_at) <= now - timedelta(days=1))
    )


def signed_in(session: Session, token: str, *, now: datetime) -> SignedIn:
    """Who this cookie's token was given to. Needs a system session. Raises NotSignedIn."""
    found = session.execute(
        select(User)
        .join(SignIn, col(SignIn.user_id) == col(User.id))
        .where(
            col(SignIn.token_hash) == _hash(token),
            col(SignIn.expires_at) > now,
            col(SignIn.verified_at).is_not(None),
            col(User.ended_at).is_(None),
        )
    ).scalar_one_or_none()
    if found is None:
        raise NotSignedIn
    return of_user(session, found)


def of_user(session: Session, user: User) -> SignedIn:
    """A user as one who asks, with what he may and sees."""
    scope = EVERYWHERE
    if not user.is_everywhere:
        scope = Scope(
            is_everywhere=False,
            sites=frozenset(
                session.execute(
                    select(col(UserSite.site_id)).where(col(UserSite.user_id) == user.id)
                ).scalars()
            ),
            buildings=frozenset(
                session.execute(
                    select(col(UserBuilding.building_id)).where(
                        col(UserBuilding.user_id) == user.id
                    )
                ).scalars()
            ),
        )
    roles = frozenset(Role(role) for role in user.roles)
    return SignedIn(user.id, user.organization_id, user.login, user.name, roles, scope)


def tenant(session: Session, settings: Settings, token: str) -> Tenant:
    """The account a link's token opens. Needs a system session. Raises NoSuchLink, also once it is closed."""
    found = session.get(Account, read_tenant_token(settings, token))
    if found is None or found.closed_at is not None:
        raise NoSuchLink
    return Tenant(found.id, found.organization_id, token)


def tenant_token(settings: Settings, account_id: UUID) -> str:
    """The account's id and its signature, as short as a link on paper should be."""
    plain = base64.urlsafe_b64encode(account_id.bytes).rstrip(b"=")
    return _tenant_links(settings).sign(plain).decode()


def tenant_url(settings: Settings, account_id: UUID) -> str:
    return f"{settings.public_url}/t/{tenant_token(settings, account_id)}"


def read_tenant_token(settings: Settings, token: str) -> UUID:
    """Raises NoSuchLink unless the token was made by tenant_token with the same secret."""
    try:
        plain = _tenant_links(settings).unsign(token)
        return UUID(bytes=base64.urlsafe_b64decode(plain + b"=="))
    except (BadSignature, ValueError):
        raise NoSuchLink from None


def _tenant_links(settings: Settings) -> Signer:
    return Signer(
        settings.session_secret,
        salt="wattwell tenant link",
        key_derivation="hmac",
        digest_method=hashlib.sha256,
    )


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
