"""/api/users, /api/roles: who works here, with which roles, scope and limits: read, added, changed, ended. For staff.

Nobody's password is asked or told: whoever is added gets a link by which he sets his own, once.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from cloud import auth, web
from cloud.auth import SignedIn
from cloud.permissions import ALLOWED, Permission, Role
from cloud.services.people import passwords, users
from cloud.services.people.users import Work
from cloud.tables import utc_now
from cloud.web import UserSession
from prepaid.money import Money

router = APIRouter(prefix="/api")

SeePeople = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_PEOPLE))]
ManagePeople = Annotated[SignedIn, Depends(web.allowed(Permission.MANAGE_PEOPLE))]


Login = Annotated[str, Field(min_length=1, max_length=60, examples=["li"])]
Name = Annotated[str, Field(min_length=1, max_length=60, examples=["小李"])]
Roles = Annotated[list[Role], Field(min_length=1, max_length=len(Role), examples=[["cashier"]])]
Places = Annotated[list[UUID], Field(max_length=1000)]
Limit = Annotated[int, Field(strict=True, gt=0, lt=2**53)]


class Scope(BaseModel):
    """is_everywhere: all there is; else these sites and buildings."""

    is_everywhere: bool
    sites: Places = []
    buildings: Places = []

    def value(self) -> auth.Scope:
        if self.is_everywhere:
            return auth.EVERYWHERE
        return auth.Scope(
            is_everywhere=False, sites=frozenset(self.sites), buildings=frozenset(self.buildings)
        )


class User(BaseModel):
    """most_topup_fen and most_a_day_fen limit what is taken at the counter; null: no limit."""

    id: UUID
    login: str
    name: str
    roles: list[Role]
    scope: Scope
    most_topup_fen: int | None
    most_a_day_fen: int | None
    has_second_factor: bool
    seen_at: datetime | None
    ended_at: datetime | None


class NewUser(BaseModel):
    """login is what he signs in by, and stays. The limits are of what he takes at the counter; null: no limit."""

    login: Login
    name: Name
    roles: Roles
    scope: Scope
    most_topup_fen: Limit | None = None
    most_a_day_fen: Limit | None = None

    def work(self) -> Work:
        return Work(
            name=self.name,
            roles=frozenset(self.roles),
            scope=self.scope.value(),
            most_topup=_money(self.most_topup_fen),
            most_a_day=_money(self.most_a_day_fen),
        )


class ChangedUser(BaseModel):
    """What is left out stays; a limit that is given as null ends. roles and scope are given whole."""

    name: Name | None = None
    roles: Roles | None = None
    scope: Scope | None = None
    most_topup_fen: Limit | None = None
    most_a_day_fen: Limit | None = None

    def work(self, before: Work) -> Work:
        given = self.model_fields_set
        return Work(
            name=before.name if self.name is None else self.name,
            roles=before.roles if self.roles is None else frozenset(self.roles),
            scope=before.scope if self.scope is None else self.scope.value(),
            most_topup=(
                _money(self.most_topup_fen) if "most_topup_fen" in given else before.most_topup
            ),
            most_a_day=(
                _money(self.most_a_day_fen) if "most_a_day_fen" in given else before.most_a_day
            ),
        )


class Invited(BaseModel):
    """url sets the password of this user once, until then. It is told this once: give it to him alone."""

    user_id: UUID
    url: str
    until: datetime


class RoleSaid(BaseModel):
    role: Role
    permissions: list[Permission]


@router.get("/users")
def list_users(user: SeePeople, session: UserSession) -> list[User]:
    """The staff, by name; who has ended comes last. Programs with a key are not among them."""
    return [_user(person) for person in users.listed(session, user)]


@router.post("/users", status_code=201)
def add_user(given: NewUser, request: Request, user: ManagePeople, session: UserSession) -> Invited:
    """Adds a member of the staff, who sets his password by the link. Nobody gives more than he sees himself. Not for
    keys."""
    user_id, secret = users.add(session, user, given.login, given.work(), now=utc_now())
    return _invited(request, users.one(session, user, user_id), secret)


@router.get("/users/{user_id}")
def get_user(user_id: UUID, user: SeePeople, session: UserSession) -> User:
    """One member of the staff."""
    return _user(users.one(session, user, user_id))


@router.patch("/users/{user_id}")
def change_user(
    user_id: UUID, given: ChangedUser, user: ManagePeople, session: UserSession
) -> User:
    """Gives a member of the staff another name, other roles, another scope, other limits. Not for keys."""
    before = users.one(session, user, user_id).work
    users.change(session, user, user_id, given.work(before), now=utc_now())
    return _user(users.one(session, user, user_id))


@router.post("/users/{user_id}/link", status_code=201)
def give_link(user_id: UUID, request: Request, user: ManagePeople, session: UserSession) -> Invited:
    """A new link by which he sets his password; the one before it ends. Not for keys."""
    secret = users.new_link(session, user, user_id, now=utc_now())
    return _invited(request, users.one(session, user, user_id), secret)


@router.post("/users/{user_id}/end")
def end_user(user_id: UUID, user: ManagePeople, session: UserSession) -> User:
    """Ends a member of the staff, who is signed out everywhere and signs in no more. Not for keys."""
    users.end(session, user, user_id, now=utc_now())
    return _user(users.one(session, user, user_id))


@router.get("/roles")
def list_roles(user: SeePeople) -> list[RoleSaid]:
    """The roles, and what each may do."""
    return [RoleSaid(role=role, permissions=sorted(may)) for role, may in ALLOWED.items()]


def _money(fen: int | None) -> Money | None:
    return None if fen is None else Money(fen)


def _invited(request: Request, person: users.Person, secret: str) -> Invited:
    assert person.link_until is not None
    url = passwords.link(request.app.state.settings, secret)
    return Invited(user_id=person.user_id, url=url, until=person.link_until)


def _user(person: users.Person) -> User:
    work = person.work
    return User(
        id=person.user_id,
        login=person.login,
        name=work.name,
        roles=[role for role in Role if role in work.roles],
        scope=Scope(
            is_everywhere=work.scope.is_everywhere,
            sites=sorted(work.scope.sites),
            buildings=sorted(work.scope.buildings),
        ),
        most_topup_fen=work.most_topup.fen if work.most_topup else None,
        most_a_day_fen=work.most_a_day.fen if work.most_a_day else None,
        has_second_factor=person.has_second_factor,
        seen_at=person.seen_at,
        ended_at=person.ended_at,
    )
