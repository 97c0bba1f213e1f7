"""The resident's pages: balance and supply, a top-up, and how far it has come. All behind the signed link."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import Tenant
from cloud.channels import ChannelRefused, Way
from cloud.db import Database
from cloud.errors import CloudError, NoSuchPage
from cloud.events import Change
from cloud.said import Said
from cloud.services import channel_refunds, codes, crediting, emergency, taps, topups
from cloud.services import tenant as tenants
from cloud.services.accounts import told
from cloud.services.codes import Issued
from cloud.services.emergency import By
from cloud.services.money import rules, twins
from cloud.services.money.stages import Stages, stages_of
from cloud.tables import TopUp
from cloud.tables.base import utc_now
from cloud.web import CurrentAccount, OpenEvents, TenantSession, database
from dashboards import errors, live, page, words
from dashboards.tenant import amount as amounts
from dashboards.tenant import pay_here, paying, unpaid, ways
from dashboards.tenant.account import AccountView, view
from dashboards.tenant.progress import Progress, progress
from dashboards.words import N_
from prepaid.money import ZERO, Money
from prepaid.supply import ASKS_TAPS

router = APIRouter(include_in_schema=False)

NO_PURSE = N_("Please choose what to top up.")
NO_WAY = N_("Please choose how to pay.")
FOLLOW_S = 5.0  # a top-up that takes long is told so while one waits


@router.get("/t/{token}")
def home(request: Request, tenant: CurrentAccount, session: TenantSession) -> Response:
    return _home(request, _account(request, session, tenant))


@router.post("/t/{token}/purses/{purse_id}/emergency")
def take_emergency(
    request: Request, purse_id: UUID, tenant: CurrentAccount, session: TenantSession
) -> Response:
    """Takes the emergency credit that is offered for a purse. Pressing twice takes it once."""
    try:
        emergency.take(
            session, purse_id, by=By.CUSTOMER, now=utc_now(), account_id=tenant.account_id
        )
    except emergency.NotOffered as error:
        said = errors.sentence(request, error)
        account = _account(request, session, tenant)
        return _home(request, account, error=said, status=error.status)
    return RedirectResponse(_path(tenant), status_code=303)


@router.post("/t/{token}/purses/{purse_id}/taps")
def close_taps(purse_id: UUID, tenant: CurrentAccount, session: TenantSession) -> Response:
    """Says that the taps behind all that waits for it are closed. Where nothing waits any more, it is no matter."""
    now = utc_now()
    home = tenants.home(session, tenant.account_id, now=now)
    for point in home.points:
        if point.purse_id == purse_id and point.why in ASKS_TAPS:
            taps.confirm(session, point.point_id, now=now, account_id=tenant.account_id)
    return RedirectResponse(_path(tenant), status_code=303)


@router.post("/t/{token}/told")
def tell_of_topups(
    tenant: CurrentAccount, session: TenantSession, wanted: Annotated[str, Form()] = ""
) -> Response:
    """The resident wants a text message of each top-up that has arrived, or none any more."""
    told.by_customer(session, tenant.account_id, wanted=wanted == "yes")
    return RedirectResponse(_path(tenant), status_code=303)


@router.post("/t/{token}/topups")
def top_up(
    request: Request,
    tenant: CurrentAccount,
    database: Annotated[Database, Depends(database)],
    purse_id: Annotated[str, Form()] = "",
    amount: Annotated[str, Form()] = "",
    quick: Annotated[str, Form()] = "",
    channel: Annotated[str, Form()] = "",
) -> Response:
    """Orders the top-up and sends the resident to pay it; an amount typed goes before one picked.

    Pressing twice, or coming back without having paid and pressing again, is one order; another amount, or
    the same again once it is paid, is another.
    """

    def again(said: str, status: int) -> Response:
        with database.organization(tenant.organization_id) as session:
            account = _account(request, session, tenant)
        return _home(
            request, account, error=said, status=status, typed=(purse_id, amount, quick, channel)
        )

    say = page.say(request)
    try:
        purse = UUID(purse_id)
    except ValueError:
        return again(say(NO_PURSE), 422)
    try:
        money = amounts.read(amount.strip() or quick)
    except amounts.BadAmount as error:
        return again(say(error.sentence).format_map(error.values), 422)
    offered = _offers(request)
    offer = next((o for o in offered if o.channel == channel or not channel), None)
    if offer is None:
        return again(say(NO_WAY), 422)
    try:
        return paying.to_the_channel(
            request, tenant, database, purse_id=purse, amount=money, offer=offer
        )
    except CloudError as error:
        return again(errors.sentence(request, error), error.status)


@router.get("/t/{token}/wechat/{purse_id}/{fen}")
def back_from_wechat(
    request: Request,
    purse_id: UUID,
    fen: int,
    tenant: CurrentAccount,
    database: Annotated[Database, Depends(database)],
    code: str = "",
    state: str = "",
) -> Response:
    """WeChat has said who pays: on to the order that was wanted."""
    offer = next((o for o in _offers(request) if o.way is Way.BRIDGE), None)
    settings = request.app.state.settings
    try:
        if offer is None:
            raise ChannelRefused(reason=Said("this page is to be opened in WeChat"))
        openid = paying.back_from_wechat(settings, request.url.path, code=code, state=state)
        reply = paying.to_the_channel(
            request,
            tenant,
            database,
            purse_id=purse_id,
            amount=Money(fen),
            offer=offer,
            openid=openid,
        )
    except CloudError as error:
        with database.organization(tenant.organization_id) as session:
            account = _account(request, session, tenant)
        return _home(request, account, error=errors.sentence(request, error), status=error.status)
    paying.keep_openid(reply, settings, openid)
    return reply


@router.get("/t/{token}/topups/{topup_id}")
def result(
    request: Request, topup_id: str, tenant: CurrentAccount, session: TenantSession
) -> Response:
    """How far a top-up has come, and the way back to paying where it is not paid."""
    try:
        wanted = UUID(topup_id)
    except ValueError:
        return errors.response(request, NoSuchPage())
    account = _account(request, session, tenant)
    stages, come, is_power = _progress(session, tenant, account, wanted)
    topup = session.get_one(TopUp, wanted)
    if (twin := twins.credited_twin(session, topup)) is not None:
        return RedirectResponse(f"{account.path}/topups/{twin.id}", status_code=303)
    refund = channel_refunds.of_topup(session, wanted)
    return page.render(
        request,
        "tenant/topup.html",
        timezone=account.timezone,
        path=account.path,
        room=account.room,
        topup=stages,
        progress=come,
        is_power=is_power,
        pay=pay_here.of(topup, request.app.state.channels, now=utc_now()),
        fee=Money(topup.fee_fen),
        net=crediting.credited(topup),
        refund=refund,
        refund_amount=Money(refund.amount_fen) if refund is not None else None,
        code=_code(account, wanted),
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
            account = _account(request, session, tenant)
            room_id = account.room_id
            if topup is None:
                values: dict[str, object] = {"account": account, "topup": None}
            else:
                stages, come, _ = _progress(session, tenant, account, topup)
                values = {"topup": stages, "progress": come, "code": _code(account, topup)}
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


def _account(request: Request, session: Session, tenant: Tenant) -> AccountView:
    now = utc_now()
    home = tenants.home(session, tenant.account_id, now=now)
    secret = request.app.state.settings.code_secret
    purses = {point.purse_id for point in home.points if point.purse_id}
    issued = codes.waiting(session, purses, code_secret=secret, now=now)
    rule = rules.of(session, tenant.organization_id)
    waiting = unpaid.orders(session, tenant.account_id, now=now)
    return view(home, waiting, issued, _path(tenant), rule)


def _code(account: AccountView, topup_id: UUID) -> Issued | None:
    """The code of a top-up, where its gateway is silent and has not got it."""
    issued = (code for purse in account.purses for code in purse.codes)
    return next((code for code in issued if code.topup_id == topup_id), None)


def _progress(
    session: Session, tenant: Tenant, account: AccountView, topup_id: UUID
) -> tuple[Stages, Progress, bool]:
    now = utc_now()
    stages = stages_of(session, topup_id, now=now, account_id=tenant.account_id)
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
    typed: tuple[str, str, str, str] = ("", "", "", ""),
) -> Response:
    """The account's page; after an error with what was typed, so that nothing need be typed again."""
    typed_purse, own, quick, channel = typed
    offered = _offers(request)
    chosen = next((p for p in account.purses if str(p.purse_id) == typed_purse), account.neediest)
    return page.render(
        request,
        "tenant/home.html",
        status=status,
        form_targets=ways.targets(request.app.state.settings, offered),
        timezone=account.timezone,
        account=account,
        error=error,
        most=topups.MOST,
        sends_messages=request.app.state.notices is not None,
        chosen_purse=chosen.purse_id if chosen else None,
        own=own,
        amounts=amounts.QUICK,
        chosen_quick=quick or str(amounts.usual(chosen.balance if chosen else ZERO, account.rules)),
        quick_money=lambda yuan: Money.yuan(str(yuan)),
        offers=offered,
        chosen_channel=channel or (offered[0].channel if offered else ""),
    )


def _offers(request: Request) -> tuple[ways.Offer, ...]:
    return ways.offers(request.app.state.channels, request.headers.get("user-agent", ""))
