"""/api/users, /api/roles: who works here, with which roles, scope and limits. Never how anybody signs in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from cloud import web
from cloud.auth import SignedIn
from cloud.permissions import ALLOWED, Permission, Role
from cloud.services.people import users
from cloud.tables import utc_now
from cloud.web import UserSession

router = APIRouter(prefix="/api")

SeePeople = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_PEOPLE))]
ManagePeople = Annotated[SignedIn, Depends(web.allowed(Permission.MANAGE_PEOPLE))]


class Scope(BaseModel):
    """is_everywhere: all there is; else these sites and buildings."""

    is_everywhere: bool
    sites: list[UUID]
    buildings: list[UUID]


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


class RoleSaid(BaseModel):
    role: Role
    permissions: list[Permission]


@router.get("/users")
def list_users(user: SeePeople, session: UserSession) -> list[User]:
    """The staff, by name; who has ended comes last. Programs with a key are not among them."""
    return [_user(person) for person in users.listed(session, user)]


@router.get("/users/{user_id}")
def get_user(user_id: UUID, user: SeePeople, session: UserSession) -> User:
    """One member of the staff."""
    return _user(users.one(session, user, user_id))


@router.post("/users/{user_id}/end")
def end_user(user_id: UUID, user: ManagePeople, session: UserSession) -> User:
    """Ends a member of the staff, who is signed out everywhere and signs in no more. Not for keys."""
    users.end(session, user, user_id, now=utc_now())
    return _user(users.one(session, user, user_id))


@router.get("/roles")
def list_roles(user: SeePeople) -> list[RoleSaid]:
    """The roles, and what each may do."""
    return [RoleSaid(role=role, permissions=sorted(may)) for role, may in ALLOWED.items()]


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
