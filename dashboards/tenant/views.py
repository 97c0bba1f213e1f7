"""The resident's pages: balance and supply, a top-up, and how far it has come. All behind the signed link."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import Tenant
from cloud.db import Database
from cloud.errors import CloudError
from cloud.events import Change
from cloud.services import tenant as tenants
from cloud.services import topups
from cloud.tables import TopUp
from cloud.tables.base import utc_now
from cloud.web import CurrentAccount, OpenEvents, TenantSession, database
from dashboards import errors, live, page, words
from dashboards.tenant import amount as amounts
from dashboards.tenant import unpaid
from dashboards.tenant.account import AccountView, view
from dashboards.tenant.progress import Progress, progress
from dashboards.words import N_

router = APIRouter(include_in_schema=False)

NO_PURSE = N_("Please choose what to top up.")
QUICK = "50"
FOLLOW_S = 5.0  # a top-up that takes long is told so while one waits


@router.get("/t/{token}")
def home(request: Request, tenant: CurrentAccount, session: TenantSession) -> Response:
    return _home(request, _account(session, tenant))


@router.post("/t/{token}/topups")
def top_up(
    request: Request,
    tenant: CurrentAccount,
    database: Annotated[Database, Depends(database)],
    purse_id: Annotated[str, Form()] = "",
    amount: Annotated[str, Form()] = "",
    quick: Annotated[str, Form()] = "",
) -> Response:
    """Orders the top-up and sends the resident to pay it; an amount typed goes before one picked.

    Pressing twice, or coming back without having paid and pressing again, is one order; another amount, or
    the same again once it is paid, is another.
    """

    def again(said: str, status: int) -> Response:
        with database.organization(tenant.organization_id) as session:
            account = _account(session, tenant)
        return _home(request, account, error=said, status=status, typed=(purse_id, amount, quick))

    say = page.say(request)
    try:
        purse = UUID(purse_id)
    except ValueError:
        return again(say(NO_PURSE), 422)
    try:
        money = amounts.read(amount.strip() or quick)
    except amounts.BadAmount as error:
        return again(say(error.sentence).format_map(error.values), 422)
    path = _path(tenant)
    channel = request.app.state.channels["sandbox"]
    try:
        with database.organization(tenant.organization_id) as session:
            # Counted first: an order made between the two is then found, not made a second time.
            key = unpaid.next_key(session, purse_id=purse, amount=money, channel=channel.name)
            begun = unpaid.orders(session, tenant.account_id, now=utc_now())
        # Outside of any transaction, for it asks the payment company.
        open_order = unpaid.to_go_on_with(begun, channel, purse_id=purse, amount=money)
        if open_order is not None:
            return RedirectResponse(open_order.pay_url, status_code=303)
        ordered = topups.create(
            database,
            channel,
            organization_id=tenant.organization_id,
            account_id=tenant.account_id,
            purse_id=purse,
            amount=money,
            idempotency_key=key,
            page_url=f"{request.app.state.settings.public_url}{path}/topups",
        )
    except CloudError as error:
        return again(errors.sentence(request, error), error.status)
    if ordered.paid_at is not None or ordered.pay_url is None:
        return RedirectResponse(f"{path}/topups/{ordered.id}", status_code=303)
    return RedirectResponse(ordered.pay_url, status_code=303)


@router.get("/t/{token}/topups/{topup_id}")
def result(
    request: Request, topup_id: str, tenant: CurrentAccount, session: TenantSession
) -> Response:
    """How far a top-up has come, and the way back to paying where it is not paid."""
    try:
        wanted = UUID(topup_id)
    except ValueError:
        return errors.not_found(request)
    account = _account(session, tenant)
    stages, come, is_power = _progress(session, tenant, account, wanted)
    topup = session.get(TopUp, wanted) if stages.paid_at is None else None
    is_open = topup is not None and (topup.expires_at is None or topup.expires_at > utc_now())
    return page.render(
        request,
        "tenant/topup.html",
        timezone=account.timezone,
        path=account.path,
        room=account.room,
        topup=stages,
        progress=come,
        is_power=is_power,
        pay_url=topup.pay_url if topup is not None and is_open else None,
    )


@router.get("/t/{token}/stream")
async def stream(
    request: Request,
    tenant: CurrentAccount,
    database: Annotated[Database, Depends(database)],
    events: OpenEvents,
    topup: UUID | None = None,
) -> Response:
    """What changes on the account's page or, with topup, on that top-up's."""
    spoken = words.language_of(request)
    sent = ""
    room_id: UUID | None = None

    def is_ours(change: Change) -> bool:
        return change.account_id in (None, tenant.account_id) and (
            (change.room_id in (None, room_id) and change.topup_id in (None, topup))
            or change.account_id is not None
        )

    def render(changes: live.Changes) -> str:
        nonlocal sent, room_id
        if changes is None:
            web.current_account(tenant.token, request, database)  # still open?
        elif not any(is_ours(change) for change in changes):
            return ""
        with database.organization(tenant.organization_id) as session:
            account = _account(session, tenant)
            room_id = account.room_id
            if topup is None:
                values: dict[str, object] = {"account": account, "topup": None}
            else:
                stages, come, _ = _progress(session, tenant, account, topup)
                values = {"topup": stages, "progress": come}
        html = page.fragment(spoken, "tenant/changes.html", timezone=account.timezone, **values)
        if html == sent:
            return ""
        sent = html
        return html

    return live.stream(
        events.subscribe(tenant.organization_id),
        lambda changes: run_in_threadpool(render, changes),
        refresh_s=live.REFRESH_S if topup is None else FOLLOW_S,
    )


def _path(tenant: Tenant) -> str:
    return f"/t/{tenant.token}"


def _account(session: Session, tenant: Tenant) -> AccountView:
    now = utc_now()
    home = tenants.home(session, tenant.account_id, now=now)
    return view(home, unpaid.orders(session, tenant.account_id, now=now), _path(tenant))


def _progress(
    session: Session, tenant: Tenant, account: AccountView, topup_id: UUID
) -> tuple[topups.Stages, Progress, bool]:
    now = utc_now()
    stages = topups.stages(session, topup_id, now=now, account_id=tenant.account_id)
    purse = account.purse(stages.purse_id)
    is_power = purse is None or purse.is_power
    balance = purse.balance if purse is not None else stages.amount
    return stages, progress(stages, is_power=is_power, balance=balance, now=now), is_power


def _home(
    request: Request,
    account: AccountView,
    *,
    error: str | None = None,
    status: int = 200,
    typed: tuple[str, str, str] = ("", "", QUICK),
) -> Response:
    """The account's page; after an error with what was typed, so that nothing need be typed again."""
    typed_purse, own, quick = typed
    chosen = next((p for p in account.purses if str(p.purse_id) == typed_purse), account.neediest)
    sandbox = urlsplit(request.app.state.settings.sandbox_url)
    return page.render(
        request,
        "tenant/home.html",
        status=status,
        form_targets=(f"{sandbox.scheme}://{sandbox.netloc}",),
        timezone=account.timezone,
        account=account,
        error=error,
        most=topups.MOST,
        chosen_purse=chosen.purse_id if chosen else None,
        own=own,
        chosen_quick=quick or QUICK,
    )
