"""Passwords, which only their owners know: set by a link that serves once, changed by whoever knows the old one."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlmodel import Session, col

from cloud import auth, login_waits
from cloud.auth import LONGEST_PASSWORD, SignedIn
from cloud.errors import CloudError
from cloud.login_waits import FREE, LONGEST, Count
from cloud.services import audit
from cloud.settings import Settings
from cloud.tables import SignIn, User

SHORTEST = 10
LINK_LIVES = timedelta(days=3)


class BadPassword(CloudError):
    status = 422
    field = "password"
    sentence = "A password has {shortest} to {longest} characters, and is not your login name."


class WrongPassword(CloudError):
    status = 422
    field = "old"
    sentence = "The old password is not right."


class LinkEnded(CloudError):
    status = 404
    sentence = "This link was used already, or is too old. Ask your administrator for a new one."


def give_link(user: User, *, now: datetime) -> str:
    """The secret of a link by which this user sets a password once. The row is written by the caller."""
    secret = secrets.token_urlsafe(24)
    user.link_hash, user.link_until = _hash(secret), now + LINK_LIVES
    return secret


def link(settings: Settings, secret: str) -> str:
    """The address that is given to whoever is to set his password."""
    return f"{settings.public_url}/password/{secret}"


def of_link(session: Session, secret: str, *, now: datetime) -> User:
    """Whose password the link sets. Needs a system session. Raises LinkEnded."""
    user: User | None = session.execute(
        select(User)
        .where(
            col(User.link_hash) == _hash(secret),
            col(User.link_until) > now,
            col(User.ended_at).is_(None),
        )
        .with_for_update(key_share=True)
    ).scalar_one_or_none()
    if user is None:
        raise LinkEnded
    return user


def set_by_link(session: Session, secret: str, password: str, *, now: datetime) -> User:
    """The password; the link has served, and all sessions end. Needs a system session.

    Raises LinkEnded or BadPassword.
    """
    user = of_link(session, secret, now=now)
    _check(password, user.login)
    user.password_hash = auth.hash_password(password)
    user.link_hash, user.link_until = None, None
    session.flush()
    session.execute(delete(SignIn).where(col(SignIn.user_id) == user.id))
    by = auth.of_user(session, user)
    audit.record(session, by, "set-password", of="user", id=user.id, now=now)
    return user


def is_right(session: Session, by: SignedIn, password: str, *, now: datetime) -> bool:
    """Whether this is the asking user's own password. Needs a system session: its commit keeps the count of failures.

    Raises errors.TooManyAttempts.
    """
    count = Count(by.login, "own password", FREE, LONGEST)
    so_far = login_waits.check(session, [count], now=now)
    user = session.get_one(User, by.user_id)
    if user.password_hash is not None and auth.is_password(user.password_hash, password):
        login_waits.clear(session, so_far)
        return True
    login_waits.fail(session, so_far, now=now)
    return False


def change(session: Session, by: SignedIn, password: str, *, now: datetime) -> None:
    """A new password, of whoever has shown the old one. His other sessions end. Raises BadPassword."""
    _check(password, by.login)
    user = session.get_one(User, by.user_id)
    user.password_hash = auth.hash_password(password)
    user.link_hash, user.link_until = None, None
    session.flush()
    session.execute(
        delete(SignIn).where(col(SignIn.user_id) == user.id, col(SignIn.id) != by.sign_in_id)
    )
    audit.record(session, by, "change-password", of="user", id=user.id, now=now)


def _check(password: str, login: str) -> None:
    if not SHORTEST <= len(password) <= LONGEST_PASSWORD or password == login:
        raise BadPassword(shortest=SHORTEST, longest=LONGEST_PASSWORD)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
