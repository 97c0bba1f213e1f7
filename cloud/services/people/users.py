"""Users 用户: who works for the organization, with which roles, limits and scope. Nobody is deleted, only ended."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation
from sqlalchemy import delete, exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from cloud.auth import Scope, SignedIn, of_user
from cloud.errors import CloudError
from cloud.permissions import Role
from cloud.services import audit, scopes
from cloud.services.people import passwords
from cloud.tables import ApiKey, Organization, SignIn, User, UserBuilding, UserSite
from prepaid.money import Money

_IS_PERSON = ~exists().where(col(ApiKey.user_id) == col(User.id))
_LOGIN = re.compile(r"[^\s\x00-\x1f]{1,60}")


class NoSuchUser(CloudError):
    status = 404
    sentence = "There is no such user."


class LoginTaken(CloudError):
    status = 409
    field = "login"
    sentence = "Somebody already signs in as {login}. Choose another login name."


class BadLogin(CloudError):
    status = 422
    field = "login"
    sentence = "A login name has 1 to 60 characters and no spaces."


class BadName(CloudError):
    status = 422
    field = "name"
    sentence = "Please give the name, in up to 60 characters."


class NoRole(CloudError):
    status = 422
    field = "roles"
    sentence = "Choose at least one role: without one nothing can be done."


class NoScope(CloudError):
    status = 422
    field = "sites"
    sentence = "Choose at least one site or building, or everything: without one nothing is seen."


class BeyondScope(CloudError):
    status = 403
    sentence = "You can give others only what you see yourself."


class BadLimit(CloudError):
    status = 422
    sentence = "A limit is an amount above zero; without a limit leave the field empty."


class Ended(CloudError):
    status = 409
    sentence = "{name} no longer works here, so nothing can be changed."


class LastAdministrator(CloudError):
    status = 409
    sentence = (
        "{name} is the last administrator of everything. Give the role to somebody else first."
    )


@dataclass(frozen=True, slots=True)
class Work:
    """What a user does: name, roles, scope, and what he may take at the counter, at once and a day (None: any)."""

    name: str
    roles: frozenset[Role]
    scope: Scope
    most_topup: Money | None
    most_a_day: Money | None


@dataclass(frozen=True, slots=True)
class Person:
    """A user as people see him. link_until is until when his link sets a password; seen_at when he was last here."""

    user_id: UUID
    login: str
    work: Work
    has_password: bool
    has_second_factor: bool
    link_until: datetime | None
    seen_at: datetime | None
    ended_at: datetime | None


def listed(session: Session, by: SignedIn) -> list[Person]:
    """Those of whom by sees all that they see, by name; who has ended comes last. No programs (integration.keys)."""
    rows = session.execute(
        select(User)
        .where(col(User.organization_id) == by.organization_id, _IS_PERSON)
        .order_by(col(User.ended_at).is_not(None), col(User.name))
    ).scalars()
    return [person for row in rows if _sees(session, by, person := _person(session, row))]


def one(session: Session, by: SignedIn, user_id: UUID) -> Person:
    """Raises NoSuchUser."""
    return _person(session, _found(session, by, user_id))


def add(
    session: Session, by: SignedIn, login: str, work: Work, *, now: datetime
) -> tuple[UUID, str]:
    """A new user without a password, and the secret of the link that sets one.

    Raises LoginTaken, BadLogin, BadName, NoRole, NoScope, BeyondScope or BadLimit.
    """
    login = login_of(login)
    work = _checked(session, by, work)
    row = User(organization_id=by.organization_id, login=login, name=work.name, created_at=now)
    _write(row, work)
    secret = passwords.give_link(row, now=now)
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation):
            raise LoginTaken(login=login) from None
        raise
    _write_scope(session, row, work.scope)
    after = {"login": login} | _said(work)
    audit.record(session, by, "add", of="user", id=row.id, after=after, now=now)
    return row.id, secret


def login_of(typed: str) -> str:
    """What somebody will sign in as. Raises BadLogin."""
    login = typed.strip()
    if not _LOGIN.fullmatch(login) or not login.isprintable():
        raise BadLogin
    return login


def change(session: Session, by: SignedIn, user_id: UUID, work: Work, *, now: datetime) -> None:
    """What the user does from now on; open pages of his notice. Raises as add, NoSuchUser, Ended or
    LastAdministrator."""
    _lock(session, by)
    row = _found(session, by, user_id)
    _check_going_on(row)
    work, before = _checked(session, by, work), _person(session, row).work
    if work == before:
        return
    if not _is_chief(work.roles, work.scope):
        _check_not_last(session, row)
    _write(row, work)
    _write_scope(session, row, work.scope)
    audit.record(
        session,
        by,
        "change",
        of="user",
        id=row.id,
        before=_said(before),
        after=_said(work),
        now=now,
    )


def end(session: Session, by: SignedIn, user_id: UUID, *, now: datetime) -> None:
    """The user signs in no more, and is signed out everywhere. Twice is as once.

    Raises NoSuchUser or LastAdministrator.
    """
    _lock(session, by)
    row = _found(session, by, user_id)
    if row.ended_at is not None:
        return
    _check_not_last(session, row)
    row.ended_at, row.ended_by, row.link_hash, row.link_until = now, by.user_id, None, None
    session.flush()
    session.execute(delete(SignIn).where(col(SignIn.user_id) == row.id))
    audit.record(session, by, "end", of="user", id=row.id, before={"login": row.login}, now=now)


def new_link(session: Session, by: SignedIn, user_id: UUID, *, now: datetime) -> str:
    """The secret of a link by which the user sets a new password; a link before it ends. Until it is used the
    password stays. Raises NoSuchUser or Ended."""
    row = _found(session, by, user_id)
    _check_going_on(row)
    secret = passwords.give_link(row, now=now)
    session.flush()
    audit.record(session, by, "give-link", of="user", id=row.id, now=now)
    return secret


def check_managed(session: Session, by: SignedIn, user_id: UUID) -> User:
    """The user, whose sessions and second factor by may end. Raises NoSuchUser."""
    return _found(session, by, user_id)


def ask_second_factor(session: Session, by: SignedIn, *, asks: bool, now: datetime) -> None:
    """Whether the organization asks those whose roles move money for a second factor. Raises BeyondScope for
    an administrator of a part of it."""
    if not by.scope.is_everywhere:
        raise BeyondScope
    organization = _lock(session, by)
    if organization.asks_second_factor != asks:
        organization.asks_second_factor = asks
        session.flush()
        act = "ask-second-factor" if asks else "ask-no-second-factor"
        audit.record(session, by, act, of="organization", id=organization.id, now=now)


def _checked(session: Session, by: SignedIn, work: Work) -> Work:
    name = " ".join(work.name.split())
    if not name or len(name) > 60 or not name.isprintable():
        raise BadName
    if not work.roles:
        raise NoRole
    scope = work.scope
    if not scope.is_everywhere and not scope.sites and not scope.buildings:
        raise NoScope
    for limit in (work.most_topup, work.most_a_day):
        if limit is not None and limit.fen <= 0:
            raise BadLimit
    for site_id in scope.sites:
        scopes.check_site(session, by, site_id, whole=True)
    for building_id in scope.buildings:
        scopes.check_building(session, by, building_id)
    if scope.is_everywhere and not by.scope.is_everywhere:
        raise BeyondScope
    return Work(name, work.roles, scope, work.most_topup, work.most_a_day)


def _write(row: User, work: Work) -> None:
    row.name = work.name
    row.roles = sorted(role.value for role in work.roles)
    row.is_everywhere = work.scope.is_everywhere
    row.most_topup_fen = work.most_topup.fen if work.most_topup else None
    row.most_a_day_fen = work.most_a_day.fen if work.most_a_day else None


def _write_scope(session: Session, row: User, scope: Scope) -> None:
    session.flush()
    for table in (UserSite, UserBuilding):
        session.execute(delete(table).where(col(table.user_id) == row.id))
    if not scope.is_everywhere:
        whose = {"organization_id": row.organization_id, "user_id": row.id}
        session.add_all(UserSite(**whose, site_id=site) for site in scope.sites)
        session.add_all(UserBuilding(**whose, building_id=one) for one in scope.buildings)
    session.flush()


def _said(work: Work) -> dict[str, Any]:
    """For the audit log."""
    return {
        "name": work.name,
        "roles": sorted(role.value for role in work.roles),
        "everywhere": work.scope.is_everywhere,
        "sites": sorted(map(str, work.scope.sites)),
        "buildings": sorted(map(str, work.scope.buildings)),
        "most_topup_fen": work.most_topup.fen if work.most_topup else None,
        "most_a_day_fen": work.most_a_day.fen if work.most_a_day else None,
    }


def _person(session: Session, row: User) -> Person:
    seen_at = session.execute(
        select(func.max(col(SignIn.seen_at))).where(col(SignIn.user_id) == row.id)
    ).scalar_one()
    signed_in = of_user(session, row)
    return Person(
        user_id=row.id,
        login=row.login,
        work=Work(
            name=row.name,
            roles=signed_in.roles,
            scope=signed_in.scope,
            most_topup=None if row.most_topup_fen is None else Money(row.most_topup_fen),
            most_a_day=None if row.most_a_day_fen is None else Money(row.most_a_day_fen),
        ),
        has_password=row.password_hash is not None,
        has_second_factor=row.totp_since is not None,
        link_until=row.link_until,
        seen_at=seen_at,
        ended_at=row.ended_at,
    )


def _found(session: Session, by: SignedIn, user_id: UUID) -> User:
    row: User | None = session.execute(
        select(User).where(
            col(User.id) == user_id, col(User.organization_id) == by.organization_id, _IS_PERSON
        )
    ).scalar_one_or_none()
    if row is None or not _sees(session, by, _person(session, row)):
        raise NoSuchUser
    return row


def _sees(session: Session, by: SignedIn, person: Person) -> bool:
    """Whether by sees all that the person sees: an administrator of one building manages nobody beyond it."""
    theirs = person.work.scope
    if by.scope.is_everywhere:
        return True
    if theirs.is_everywhere or not theirs.sites <= by.scope.sites:
        return False
    return theirs.buildings <= scopes.seen_buildings(session, by)


def _lock(session: Session, by: SignedIn) -> Organization:
    """Two administrators do not take the role from each other at once."""
    organization: Organization = session.execute(
        select(Organization)
        .where(col(Organization.id) == by.organization_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).scalar_one()
    return organization


def _check_going_on(row: User) -> None:
    if row.ended_at is not None:
        raise Ended(name=row.name)


def _check_not_last(session: Session, row: User) -> None:
    """Raises LastAdministrator."""
    others: Iterable[User] = session.execute(
        select(User).where(
            col(User.organization_id) == row.organization_id,
            col(User.id) != row.id,
            col(User.ended_at).is_(None),
            col(User.is_everywhere),
            col(User.password_hash).is_not(None),
        )
    ).scalars()
    is_chief = row.is_everywhere and Role.ADMINISTRATOR in row.roles
    if is_chief and not any(Role.ADMINISTRATOR in other.roles for other in others):
        raise LastAdministrator(name=row.name)


def _is_chief(roles: frozenset[Role], scope: Scope) -> bool:
    return scope.is_everywhere and Role.ADMINISTRATOR in roles
