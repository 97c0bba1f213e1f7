"""Who is asking: staff by the token in their session cookie, a tenant by the signed token in the link."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from itsdangerous import BadSignature, Signer
from sqlalchemy import delete, select, update
from sqlmodel import Session, col

from cloud import login_waits
from cloud.browsers import NOBODYS, Browser
from cloud.errors import CloudError, NoSuchLink, NotSignedIn
from cloud.permissions import ALLOWED, MOVES_MONEY, Permission, Role
from cloud.settings import Settings
from cloud.tables import Account, LoginFailure, Organization, SignIn, User, UserBuilding, UserSite

STAYS_FOR = timedelta(hours=12)
HALF_STAYS_FOR = timedelta(minutes=10)  # until the code is typed
SEEN_TO = timedelta(minutes=1)
LONGEST_PASSWORD = 200

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
    """The member of staff who asks. Without roles he may do nothing.

    lacks_factor: the organization asks for a second factor which he is yet to set up; until then he may do
    nothing else. sign_in_id is the session by which he asks, None where the program asks for him.
    """

    user_id: UUID
    organization_id: UUID
    login: str
    name: str
    roles: frozenset[Role] = frozenset()
    scope: Scope = EVERYWHERE
    lacks_factor: bool = False
    sign_in_id: UUID | None = None

    def may(self, permission: Permission) -> bool:
        return any(permission in ALLOWED[role] for role in self.roles)


class NotAllowed(CloudError):
    status = 403
    sentence = (
        "This is not among what your roles allow. Ask an administrator if it belongs to your work."
    )


class SecondFactorNeeded(CloudError):
    status = 403
    sentence = "Your company asks for a second factor at sign-in. Set it up on the page of your account first."


def require(user: SignedIn, permission: Permission) -> None:
    """Raises NotAllowed or SecondFactorNeeded."""
    if not user.may(permission):
        raise NotAllowed
    if user.lacks_factor and permission is not Permission.OWN_ACCOUNT:
        raise SecondFactorNeeded


@dataclass(frozen=True, slots=True)
class Tenant:
    """The account whose link was opened. token is the one in the link."""

    account_id: UUID
    organization_id: UUID
    token: str


def hash_password(password: str) -> str:
    return _hasher.hash(password)


def login(
    session: Session,
    login: str,
    password: str,
    *,
    now: datetime,
    browser: Browser = NOBODYS,
) -> str | None:
    """The token for the cookie, or None: unknown login and wrong password are answered alike.

    Where the user has a second factor, the token opens nothing until verify has seen a code. Needs a system
    session; its commit also keeps the count of failures (login_waits).

    Raises TooManyAttempts, without looking at the password, until the wait after the last failure is over.
    """
    typed = login.strip()[:200].replace("\x00", "")
    counted = login_waits.counts(typed, address=browser.address, browser=browser.known_for(typed))
    so_far = login_waits.check(session, counted, now=now)
    user = session.execute(
        select(User).where(col(User.login) == typed, col(User.ended_at).is_(None))
    ).scalar_one_or_none()
    kept = user.password_hash if user else None
    if not is_password(kept or _nobodys_hash(), password) or user is None or kept is None:
        login_waits.fail(session, so_far, now=now)
        return None
    login_waits.clear(session, so_far)
    return sign_in(session, user, browser=browser, now=now)


def sign_in(session: Session, user: User, *, browser: Browser, now: datetime) -> str:
    """The token of a new session of this user, who has shown a password or a link."""
    token = secrets.token_urlsafe(32)
    is_whole = user.totp_since is None
    session.add(
        SignIn(
            organization_id=user.organization_id,
            user_id=user.id,
            token_hash=_hash(token),
            expires_at=now + (STAYS_FOR if is_whole else HALF_STAYS_FOR),
            verified_at=now if is_whole else None,
            seen_at=now,
            address=browser.address[:60],
            agent=browser.agent[:300],
        )
    )
    return token


def half_signed_in(session: Session, token: str, *, now: datetime) -> User | None:
    """Whose code is waited for, since the password was right; None where none is. Needs a system session."""
    found: User | None = session.execute(
        select(User)
        .join(SignIn, col(SignIn.user_id) == col(User.id))
        .where(
            col(SignIn.token_hash) == _hash(token),
            col(SignIn.expires_at) > now,
            col(SignIn.verified_at).is_(None),
            col(User.ended_at).is_(None),
        )
    ).scalar_one_or_none()
    return found


def verify(session: Session, token: str, *, now: datetime) -> str:
    """The code was right: the token of the whole session, in place of the half one's."""
    row = session.execute(
        select(SignIn).where(col(SignIn.token_hash) == _hash(token)).with_for_update()
    ).scalar_one()
    whole = secrets.token_urlsafe(32)
    row.token_hash, row.verified_at, row.expires_at = _hash(whole), now, now + STAYS_FOR
    session.flush()
    return whole


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
        select(User, SignIn)
        .join(SignIn, col(SignIn.user_id) == col(User.id))
        .where(
            col(SignIn.token_hash) == _hash(token),
            col(SignIn.expires_at) > now,
            col(SignIn.verified_at).is_not(None),
            col(User.ended_at).is_(None),
        )
    ).one_or_none()
    if found is None:
        raise NotSignedIn
    user, row = found
    if row.seen_at is None or row.seen_at < now - SEEN_TO:
        # One of several requests at once writes it; the others do not wait for that.
        session.execute(
            update(SignIn)
            .where(
                col(SignIn.id)
                == select(col(SignIn.id))
                .where(col(SignIn.id) == row.id)
                .with_for_update(skip_locked=True)
                .scalar_subquery()
            )
            .values(seen_at=now)
        )
    return of_user(session, user, sign_in_id=row.id)


def of_user(session: Session, user: User, *, sign_in_id: UUID | None = None) -> SignedIn:
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
    lacks_factor = (
        user.totp_since is None
        and moves_money(roles)
        and session.get_one(Organization, user.organization_id).asks_second_factor
    )
    return SignedIn(
        user_id=user.id,
        organization_id=user.organization_id,
        login=user.login,
        name=user.name,
        roles=roles,
        scope=scope,
        lacks_factor=lacks_factor,
        sign_in_id=sign_in_id,
    )


def moves_money(roles: Iterable[Role]) -> bool:
    """Whether one of these roles lets money be moved."""
    return any(ALLOWED[role] & MOVES_MONEY for role in roles)


def tenant(session: Session, settings: Settings, token: str, *, now: datetime) -> Tenant:
    """The account a link's token opens. Needs a system session.

    Raises NoSuchLink, also once the account is closed, the link's time is over, or another is given out in its place.
    """
    account_id, number = read_tenant_token(settings, token)
    found = session.get(Account, account_id)
    if found is None or found.closed_at is not None or found.link_number != number:
        raise NoSuchLink
    if found.link_until is not None and found.link_until <= now:
        raise NoSuchLink
    return Tenant(found.id, found.organization_id, token)


def tenant_token(settings: Settings, account_id: UUID, *, number: int = 1) -> str:
    """The account's id, the number of its link if it is not the first, and a signature: as short as a link on paper
    should be."""
    named = account_id.bytes + (number.to_bytes(2) if number > 1 else b"")
    plain = base64.urlsafe_b64encode(named).rstrip(b"=")
    return _tenant_links(settings).sign(plain).decode()


def tenant_url(settings: Settings, account_id: UUID, *, number: int = 1) -> str:
    return f"{settings.public_url}/t/{tenant_token(settings, account_id, number=number)}"


def read_tenant_token(settings: Settings, token: str) -> tuple[UUID, int]:
    """The account, and the number of its link. Raises NoSuchLink unless tenant_token made it with the same secret."""
    try:
        plain = _tenant_links(settings).unsign(token)
        named = base64.urlsafe_b64decode(plain + b"==")
        return UUID(bytes=named[:16]), int.from_bytes(named[16:]) or 1
    except (BadSignature, ValueError):
        raise NoSuchLink from None


def _tenant_links(settings: Settings) -> Signer:
    return Signer(
        settings.session_secret,
        salt="wattwell tenant link",
        key_derivation="hmac",
        digest_method=hashlib.sha256,
    )


def is_password(password_hash: str, password: str) -> bool:
    if len(password) > LONGEST_PASSWORD:
        return False
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
