"""API keys 接口密钥: other programs ask by them as users of their own, with roles and a scope and no password."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, insert, select, text, update
from sqlmodel import Session, col

from cloud import auth
from cloud.auth import Scope, SignedIn
from cloud.errors import CloudError
from cloud.permissions import Role
from cloud.services import audit, scopes
from cloud.tables import ApiKey, User, UserBuilding, UserSite

log = logging.getLogger(__name__)

MOST = 50  # in use at a time
LONGEST_NAME = 60
PER_MINUTE = 600
MOST_PER_MINUTE = 6000
LONGEST_DAYS = 730
ROLES = tuple(role for role in Role if role not in (Role.ADMINISTRATOR, Role.APPROVER))
"""What a program may be. It manages nobody, and is no second person."""
NOTED_EVERY = timedelta(minutes=1)  # so often the last use is written

# ww_, eight letters that people see, _, and 256 bits of chance.
_KEY = re.compile(r"(ww_[a-z2-7]{8})_([A-Za-z0-9_-]{43})")


class BadKey(CloudError):
    status = 401
    sentence = "This key is unknown, revoked or has expired. An administrator makes a new one."


class NoSuchKey(CloudError):
    status = 404
    sentence = "There is no such key."


class BadKeyName(CloudError):
    status = 422
    sentence = "Give the key a name of up to {most} characters: the program that will use it."
    field = "name"


class NoRoles(CloudError):
    status = 422
    sentence = "Choose at least one role. A key cannot be an administrator, nor approve anything."
    field = "roles"


class BadDays(CloudError):
    status = 422
    sentence = "A key lasts from 1 to {most} days, or until it is revoked."
    field = "days"


class BadRate(CloudError):
    status = 422
    sentence = "A key may ask from 1 to {most} times a minute."
    field = "per_minute"


class TooManyKeys(CloudError):
    status = 409
    sentence = "An organization has at most {most} keys. Revoke one that is no longer used."


@dataclass(frozen=True, slots=True)
class KeyCard:
    """A key as people see it; sites and buildings are names, none: everywhere. is_over: expired or revoked."""

    key_id: UUID
    name: str
    prefix: str
    roles: tuple[Role, ...]
    places: tuple[str, ...]
    per_minute: int
    made_at: datetime
    made_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    last_used_from: str | None
    revoked_at: datetime | None
    revoked_by: str | None
    is_over: bool


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks by a key, and how often he may."""

    user: SignedIn
    key_id: UUID
    per_minute: int


def make(
    session: Session,
    *,
    name: str,
    roles: Collection[Role],
    scope: Scope,
    days: int | None,
    per_minute: int,
    by: SignedIn,
    now: datetime,
) -> str:
    """A new key. It is not kept, so this is the only time that it can be shown.

    days None: it lasts until it is revoked. Raises BadKeyName, NoRoles, BadDays, BadRate, TooManyKeys, or
    NoSuchSite or NoSuchBuilding where the scope has one that is not there.
    """
    name = name.strip()
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise BadKeyName(most=LONGEST_NAME)
    if not roles or not set(roles) <= set(ROLES):
        raise NoRoles
    if days is not None and not 0 < days <= LONGEST_DAYS:
        raise BadDays(most=LONGEST_DAYS)
    if not 0 < per_minute <= MOST_PER_MINUTE:
        raise BadRate(most=MOST_PER_MINUTE)
    if sum(not card.is_over for card in of_organization(session, by, now=now)) >= MOST:
        raise TooManyKeys(most=MOST)
    prefix = f"ww_{''.join(secrets.choice('abcdefghijklmnopqrstuvwxyz234567') for _ in range(8))}"
    key = f"{prefix}_{secrets.token_urlsafe(32)}"
    user = User(
        organization_id=by.organization_id,
        login=prefix,
        name=name,
        password_hash=None,
        roles=[role.value for role in Role if role in roles],
        is_everywhere=scope.is_everywhere,
    )
    session.add(user)
    session.flush()
    if not scope.is_everywhere:
        _give_places(session, user, scope, by)
    row = ApiKey(
        organization_id=by.organization_id,
        created_at=now,
        user_id=user.id,
        prefix=prefix,
        key_hash=_hash(key),
        per_minute=per_minute,
        made_by=by.user_id,
        expires_at=now + timedelta(days=days) if days is not None else None,
    )
    session.add(row)
    session.flush()
    audit.record(
        session,
        by,
        "make-api-key",
        of="api_keys",
        id=row.id,
        after={"name": name, "prefix": prefix, "roles": user.roles, "days": days},
        now=now,
    )
    log.info("%s made API key %s for %s", by.login, prefix, name)
    return key


def _give_places(session: Session, user: User, scope: Scope, by: SignedIn) -> None:
    if not scope.sites and not scope.buildings:
        raise scopes.NoSuchSite(field="sites")
    for site_id in scope.sites:
        scopes.check_site(session, by, site_id, whole=True)
    for building_id in scope.buildings:
        scopes.check_building(session, by, building_id)
    owned = {"organization_id": by.organization_id, "user_id": user.id}
    if scope.sites:
        session.execute(insert(UserSite), [{**owned, "site_id": id} for id in scope.sites])
    if scope.buildings:
        session.execute(
            insert(UserBuilding), [{**owned, "building_id": id} for id in scope.buildings]
        )


def revoke(session: Session, key_id: UUID, *, by: SignedIn, now: datetime) -> None:
    """From now on nobody asks by this key. Again it changes nothing. Raises NoSuchKey."""
    key: ApiKey | None = session.execute(
        select(ApiKey)
        .where(col(ApiKey.id) == key_id, col(ApiKey.organization_id) == by.organization_id)
        .with_for_update()
    ).scalar_one_or_none()
    if key is None:
        raise NoSuchKey
    if key.revoked_at is not None:
        return
    key.revoked_at, key.revoked_by = now, by.user_id
    user = session.get_one(User, key.user_id)
    user.ended_at, user.ended_by = now, by.user_id
    session.add_all([key, user])
    audit.record(
        session,
        by,
        "revoke-api-key",
        of="api_keys",
        id=key.id,
        before={"prefix": key.prefix},
        now=now,
    )
    log.info("%s revoked API key %s", by.login, key.prefix)


def asking(session: Session, key: str, *, address: str, now: datetime) -> Asking:
    """Who asks by this key. Needs a system session. Raises BadKey: unknown, revoked and expired are alike."""
    if _KEY.fullmatch(key) is None:
        raise BadKey
    found = session.execute(
        select(ApiKey, User)
        .join(User, col(User.id) == col(ApiKey.user_id))
        .where(
            col(ApiKey.key_hash) == _hash(key),
            col(ApiKey.revoked_at).is_(None),
            func.coalesce(col(ApiKey.expires_at) > now, True),
            col(User.ended_at).is_(None),
        )
    ).one_or_none()
    if found is None:
        raise BadKey
    row, user = found
    if row.last_used_at is None or now - row.last_used_at >= NOTED_EVERY:
        session.execute(
            update(ApiKey)
            .where(col(ApiKey.id) == row.id)
            .values(last_used_at=now, last_used_from=address[:100])
        )
    return Asking(auth.of_user(session, user), row.id, row.per_minute)


_CARDS = text("""
    SELECT k.id, u.name, k.prefix, u.roles, k.per_minute, k.created_at, made.name AS made_by,
           k.expires_at, k.last_used_at, k.last_used_from, k.revoked_at, revoked.name AS revoked_by,
           k.revoked_at IS NOT NULL OR coalesce(k.expires_at <= :now, false) AS is_over,
           CASE WHEN u.is_everywhere THEN '{}' ELSE coalesce(places.names, '{}') END AS places
    FROM api_keys k
    JOIN users u ON u.id = k.user_id
    JOIN users made ON made.id = k.made_by
    LEFT JOIN users revoked ON revoked.id = k.revoked_by
    LEFT JOIN LATERAL (
        SELECT array_agg(name ORDER BY name) AS names FROM (
            SELECT s.name FROM user_sites us JOIN sites s ON s.id = us.site_id WHERE us.user_id = u.id
            UNION ALL
            SELECT s.name || ' ' || b.name FROM user_buildings ub
            JOIN buildings b ON b.id = ub.building_id JOIN sites s ON s.id = b.site_id
            WHERE ub.user_id = u.id
        ) named
    ) places ON true
    WHERE k.organization_id = :organization
    ORDER BY is_over, k.created_at DESC
""")


def of_organization(session: Session, by: SignedIn, *, now: datetime) -> list[KeyCard]:
    """All keys, those in use first, the newest first."""
    found = session.execute(_CARDS, {"organization": by.organization_id, "now": now})
    return [
        KeyCard(
            key_id=row.id,
            name=row.name,
            prefix=row.prefix,
            roles=_roles(row.roles),
            places=tuple(row.places),
            per_minute=row.per_minute,
            made_at=row.created_at,
            made_by=row.made_by,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
            last_used_from=row.last_used_from,
            revoked_at=row.revoked_at,
            revoked_by=row.revoked_by,
            is_over=row.is_over,
        )
        for row in found
    ]


def _roles(names: Iterable[str]) -> tuple[Role, ...]:
    known = set(names)
    return tuple(role for role in Role if role in known)


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
