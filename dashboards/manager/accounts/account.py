"""The page of one account: who, rooms, purses, meters; and what can be done with it there."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from sqlmodel import Session
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from cloud import auth
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.said import Said
from cloud.services import approvals
from cloud.services.accounts import (
    acts,
    households,
    links,
    listing,
    opening,
    settlement,
    standings,
    stating,
    told,
)
from cloud.services.accounts.drafts import Persons
from cloud.services.money.refunds import How
from cloud.tables import utc_now
from cloud.web import UserSession
from dashboards import errors, page
from dashboards.manager.accounts import asked
from dashboards.manager.accounts.asked import (
    BadField,
    CloseAccounts,
    Form,
    OpenAccounts,
    RenewLinks,
    SeeAccounts,
)
from dashboards.manager.top import top
from dashboards.mistake import Mistake

router = APIRouter(prefix="/accounts/{account_id:uuid}")


@router.get("")
def account(
    request: Request,
    account_id: UUID,
    user: SeeAccounts,
    session: UserSession,
    opened: Annotated[int, Query(ge=0, le=1)] = 0,
) -> Response:
    """opened: it was opened just now, so what the gateways say of it is shown first."""
    return _page(request, session, user, account_id, opened=bool(opened))


def _page(
    request: Request,
    session: Session,
    user: SignedIn,
    account_id: UUID,
    *,
    opened: bool = False,
    error: CloudError | None = None,
    sent: FormData | None = None,
    form: str = "",
) -> Response:
    now = utc_now()
    found = listing.view(session, user, account_id)
    settings = request.app.state.settings
    is_open = found.account.closed_at is None
    number = found.account.link_number
    return page.render(
        request,
        "manager/accounts/account.html",
        status=error.status if error else 200,
        view=found,
        account=found.account,
        meters=opening.meters(session, account_id, now=now),
        households=households.of_account(session, account_id),
        in_force=households.in_force(session, account_id, today=found.today(now)),
        acts=acts.of_account(session, account_id),
        standing=None if is_open else standings.of(session, user, account_id),
        link=auth.tenant_url(settings, account_id, number=number) if is_open else None,
        opened=opened,
        is_stated=_is_stated(session, user, account_id),
        may_open=user.may(Permission.OPEN_ACCOUNTS),
        may_close=user.may(Permission.CLOSE_ACCOUNTS),
        may_link=user.may(Permission.RENEW_LINKS),
        mistake=_mistake(request, error, sent, form=form),
        at=f"/accounts/{account_id}",
        **top(session, user) | {"timezone": found.timezone},
    )


def _mistake(
    request: Request, error: CloudError | None, sent: FormData | None, *, form: str
) -> Mistake:
    """The household's number is one field here, not one of several as in the forms of a customer."""
    if error is not None and error.field == "persons":
        return errors.mistake(request, error, asked.texts(sent or FormData()), form=form)
    return asked.mistake(request, error, asked.texts(sent or FormData()), form=form)


def _is_stated(session: Session, user: SignedIn, account_id: UUID) -> bool:
    """Whether last readings that somebody has stated wait for a second person."""
    waiting = approvals.listed(session, user, is_open=True, kind=stating.KIND)
    return any(each.subject == account_id for each in waiting)


@router.post("/household")
def household(
    request: Request, account_id: UUID, form: Form, user: OpenAccounts, session: UserSession
) -> Response:
    try:
        count, since = asked.text(form, "persons"), asked.day(form, "since", Said("the household"))
        if since is None or not count.isdecimal():
            raise BadField(
                field="persons",
                what=Said("the household"),
                typed=count,
                reason=Said("type how many, and from which day on"),
            )
        said = Persons(since, int(count))
        households.say(session, user, account_id, said, now=utc_now())
    except CloudError as error:
        return _page(request, session, user, account_id, error=error, sent=form)
    return back(account_id)


@router.post("/link")
def renew_link(
    request: Request, account_id: UUID, form: Form, user: RenewLinks, session: UserSession
) -> Response:
    """The link is good to the end of a day, or as long as the account is open; or another takes its place."""
    now = utc_now()
    try:
        if asked.text(form, "do") == "revoke":
            links.revoke(session, user, account_id, now=now)
        else:
            day = asked.day(form, "until", Said("the link"))
            zone = ZoneInfo(listing.view(session, user, account_id).timezone)
            until = datetime.combine(day, time(), zone) + timedelta(days=1) if day else None
            links.renew(session, user, account_id, until=until, now=now)
    except CloudError as error:
        return _page(request, session, user, account_id, error=error, sent=form)
    return back(account_id)


@router.post("/told")
def tell_of_topups(
    account_id: UUID, form: Form, user: OpenAccounts, session: UserSession
) -> Response:
    """The customer wants a text message of each top-up that has arrived, or none any more."""
    wanted = asked.text(form, "wanted") == "yes"
    told.by_staff(session, user, account_id, wanted=wanted, now=utc_now())
    return back(account_id)


@router.post("/settle")
def settle(
    request: Request, account_id: UUID, form: Form, user: CloseAccounts, session: UserSession
) -> Response:
    how = asked.text(form, "how")
    try:
        with session.begin_nested():
            settlement.settle(
                session,
                user,
                account_id,
                how=How(how) if how in set(How) else How.SOURCE,
                why=asked.text(form, "why"),
                now=utc_now(),
            )
    except CloudError as error:
        return _page(request, session, user, account_id, error=error, sent=form)
    return back(account_id)


@router.post("/stated")
def state_readings(
    request: Request, account_id: UUID, form: Form, user: CloseAccounts, session: UserSession
) -> Response:
    """The gateway does not come back: asks a second person to let the account end at these registers."""
    now = utc_now()
    try:
        with session.begin_nested():
            zone = ZoneInfo(listing.view(session, user, account_id).timezone)
            stated = {}
            for _, point in stating.waiting(session, account_id):
                typed = asked.register(
                    session, user, form, point.id, point.name, zone=zone, now=now
                )
                if typed is not None:
                    stated[point.id] = typed
            why = asked.text(form, "why")
            stating.propose(session, user, account_id, stated, why=why, now=now)
    except CloudError as error:
        return _page(request, session, user, account_id, error=error, sent=form, form="stated")
    return back(account_id)


def back(account_id: UUID) -> Response:
    return RedirectResponse(f"/accounts/{account_id}", status_code=303)
