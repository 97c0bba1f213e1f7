"""The pages of users: who works here, with which roles, limits and scope; links, sessions, and their end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import Scope, SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission, Role
from cloud.services import scopes
from cloud.services.people import passwords, second_factor, sessions, users
from cloud.services.people.users import Person, Work
from cloud.tables import Organization, utc_now
from cloud.web import UserSession
from dashboards import errors, page
from dashboards.manager.people.role_words import ROLES
from dashboards.manager.top import top
from dashboards.tenant import amount
from prepaid.money import Money

router = APIRouter(include_in_schema=False, prefix="/people")

NAMES = {"roles": "role", "sites": "sees"}  # a list is one field many times


@dataclass(frozen=True, slots=True)
class Filled:
    """The form as it was sent, or as it is for somebody who is there already."""

    login: str = ""
    name: str = ""
    roles: frozenset[str] = frozenset()
    is_everywhere: bool = True
    sites: frozenset[UUID] = frozenset()
    buildings: frozenset[UUID] = frozenset()
    most_topup: str = ""
    most_a_day: str = ""

    def asked(self) -> Work:
        """Raises users.NoRole or users.BadLimit for what is no role and no amount."""
        try:
            roles = frozenset(Role(role) for role in self.roles)
        except ValueError:
            raise users.NoRole from None
        scope = Scope(is_everywhere=True)
        if not self.is_everywhere:
            scope = Scope(is_everywhere=False, sites=self.sites, buildings=self.buildings)
        return Work(
            name=self.name,
            roles=roles,
            scope=scope,
            most_topup=_limit(self.most_topup, field="most_topup"),
            most_a_day=_limit(self.most_a_day, field="most_a_day"),
        )


def filled(
    login: Annotated[str, Form()] = "",
    name: Annotated[str, Form()] = "",
    role: Annotated[list[str] | None, Form()] = None,
    sees: Annotated[str, Form()] = "",
    site: Annotated[list[UUID] | None, Form()] = None,
    building: Annotated[list[UUID] | None, Form()] = None,
    most_topup: Annotated[str, Form()] = "",
    most_a_day: Annotated[str, Form()] = "",
) -> Filled:
    return Filled(
        login=login,
        name=name,
        roles=frozenset(role or ()),
        is_everywhere=sees == "everything",
        sites=frozenset(site or ()),
        buildings=frozenset(building or ()),
        most_topup=most_topup,
        most_a_day=most_a_day,
    )


def _limit(typed: str, *, field: str) -> Money | None:
    if not typed.strip():
        return None
    try:
        return amount.read(typed)
    except amount.BadAmount:
        raise users.BadLimit(field=field) from None


@router.get("")
def all_users(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.MANAGE_PEOPLE))],
    session: UserSession,
) -> Response:
    return page.render(
        request,
        "manager/people/people.html",
        people=users.listed(session, user),
        asks=session.get_one(Organization, user.organization_id).asks_second_factor,
        may_ask=user.scope.is_everywhere,
        roles=ROLES,
        **top(session, user),
    )


@router.post("/second-factor")
def ask_second_factor(
    user: Annotated[SignedIn, Depends(web.allowed(Permission.MANAGE_PEOPLE))],
    session: UserSession,
    asks: Annotated[str, Form()] = "",
) -> Response:
    users.ask_second_factor(session, user, asks=asks == "yes", now=utc_now())
    return RedirectResponse("/people", status_code=303)


@router.get("/new")
def ask_new(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.MANAGE_PEOPLE))],
    session: UserSession,
) -> Response:
    return _form(request, session, user, None, Filled(is_everywhere=user.scope.is_everywhere))


@router.post("/new")
def add(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.MANAGE_PEOPLE))],
    session: UserSession,
    form: Annotated[Filled, Depends(filled)],
) -> Response:
    """The page with the link that sets the password, which is on no page after this one."""
    try:
        id, secret = users.add(session, user, form.login, form.asked(), now=utc_now())
    except CloudError as error:
        return _form(request, session, user, None, form, error=error)
    return _link_page(request, session, user, users.one(session, user, id), secret)


@router.get("/{user_id:uuid}")
def one(
    request: Request,
    user_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.MANAGE_PEOPLE))],
    session: UserSession,
) -> Response:
    person = users.one(session, user, user_id)
    return _form(request, session, user, person, _as_filled(person))


@router.post("/{user_id:uuid}")
def change(
    request: Request,
    user_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.MANAGE_PEOPLE))],
    session: UserSession,
    form: Annotated[Filled, Depends(filled)],
) -> Response:
    person = users.one(session, user, user_id)
    try:
        users.change(session, user, user_id, form.asked(), now=utc_now())
    except CloudError as error:
        return _form(request, session, user, person, form, error=error)
    return RedirectResponse("/people", status_code=303)


@router.post("/{user_id:uuid}/link")
def give_link(
    request: Request,
    user_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.MANAGE_PEOPLE))],
    session: UserSession,
) -> Response:
    secret = users.new_link(session, user, user_id, now=utc_now())
    return _link_page(request, session, user, users.one(session, user, user_id), secret)


@router.post("/{user_id:uuid}/end")
def end(
    request: Request,
    user_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.MANAGE_PEOPLE))],
    session: UserSession,
    confirmed: Annotated[str, Form()] = "",
) -> Response:
    """Ends a user; first asks once more."""
    person = users.one(session, user, user_id)
    if confirmed != "yes":
        return page.render(
            request,
            "manager/people/end.html",
            person=person,
            at=f"/people/{user_id}",
            **top(session, user),
        )
    try:
        users.end(session, user, user_id, now=utc_now())
    except users.LastAdministrator as error:
        return _form(request, session, user, person, _as_filled(person), error=error)
    return RedirectResponse("/people", status_code=303)


@router.post("/{user_id:uuid}/second-factor/end")
def end_second_factor(
    user_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.MANAGE_PEOPLE))],
    session: UserSession,
) -> Response:
    """For whoever has lost the phone and the recovery codes."""
    users.check_managed(session, user, user_id)
    second_factor.end(session, user, user_id, now=utc_now())
    return RedirectResponse(f"/people/{user_id}", status_code=303)


@router.post("/{user_id:uuid}/sessions/{sign_in_id:uuid}/end")
def end_session(
    user_id: UUID,
    sign_in_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.MANAGE_PEOPLE))],
    session: UserSession,
) -> Response:
    users.check_managed(session, user, user_id)
    sessions.revoke(session, user, user_id, sign_in_id, now=utc_now())
    return RedirectResponse(f"/people/{user_id}", status_code=303)


def _as_filled(person: Person) -> Filled:
    work = person.work
    return Filled(
        login=person.login,
        name=work.name,
        roles=frozenset(role.value for role in work.roles),
        is_everywhere=work.scope.is_everywhere,
        sites=work.scope.sites,
        buildings=work.scope.buildings,
        most_topup=_typed(work.most_topup),
        most_a_day=_typed(work.most_a_day),
    )


def _typed(limit: Money | None) -> str:
    return "" if limit is None else str(limit.in_yuan())


def _form(
    request: Request,
    session: Session,
    user: SignedIn,
    person: Person | None,
    form: Filled,
    *,
    error: CloudError | None = None,
) -> Response:
    shown: dict[str, Any] = {"sessions": [], "sites": scopes.site_tree(session, user)}
    if person is not None:
        shown["sessions"] = sessions.listed(session, user, person.user_id, now=utc_now())
    return page.render(
        request,
        "manager/people/person.html",
        status=error.status if error else 200,
        person=person,
        form=form,
        roles=ROLES,
        may_everything=user.scope.is_everywhere,
        mistake=errors.mistake(request, error, names=NAMES),
        at=f"/people/{person.user_id}" if person else "/people/new",
        **shown,
        **top(session, user),
    )


def _link_page(
    request: Request, session: Session, user: SignedIn, person: Person, secret: str
) -> Response:
    return page.render(
        request,
        "manager/people/link.html",
        person=person,
        link=passwords.link(request.app.state.settings, secret),
        days=passwords.LINK_LIVES.days,
        at=f"/people/{person.user_id}",
        **top(session, user),
    )
