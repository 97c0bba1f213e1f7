"""Money out: a purse with its statement; refunds, reversals, moves and gifts, each asked twice; how far they are."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services import scopes
from cloud.services.money import (
    counter,
    periods,
    purses,
    refunds,
    statements,
)
from cloud.services.money import withdrawals as services
from cloud.tables import ChannelRefund, TopUp, User, Withdrawal, utc_now
from cloud.web import UserSession
from dashboards import page
from dashboards.manager.money import words
from prepaid.ledger import prepaid
from prepaid.money import Money

router = APIRouter(include_in_schema=False)

Reader = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_TOPUPS))]
Payer = Annotated[SignedIn, Depends(web.allowed(Permission.REFUND))]


@router.get("/purses/{purse_id:uuid}")
def purse(
    request: Request, purse_id: UUID, user: Reader, session: UserSession, month: date | None = None
) -> Response:
    """A purse's statement of a month, and what can be done with it."""
    scopes.check_purse(session, user, purse_id)
    month = (month or periods.month_of(utc_now())).replace(day=1)
    return page.render(
        request,
        "manager/money/purse.html",
        purse=counter.purse_seen(session, user, purse_id),
        month=month,
        before=(month - timedelta(days=1)).replace(day=1),
        after=periods.after(month),
        statement=statements.statement(
            session,
            user.organization_id,
            prepaid(purse_id),
            since=periods.begin_of(month),
            until=periods.begin_of(periods.after(month)),
        ),
        held=purses.held(session, purse_id),
        refundable=purses.refundable_now(session, purse_id),
        reasons_said=words.REASONS,
        may_refund=user.may(Permission.REFUND),
        may_give=user.may(Permission.GIVE),
        **words.shown(session, user),
    )


@router.get("/withdrawals/{id:uuid}")
def one(request: Request, id: UUID, user: Reader, session: UserSession) -> Response:
    """How far a refund, reversal, move or adjustment is, and its parts."""
    row = session.get(Withdrawal, id)
    if row is None or row.organization_id != user.organization_id:
        raise services.NoSuchWithdrawal
    scopes.check_purse(session, user, row.purse_id)
    parts = [
        {
            "part": part,
            "amount": Money(part.amount_fen + part.fee_fen),
            "topup": session.get(TopUp, part.topup_id) if part.topup_id else None,
            "channel": session.get(ChannelRefund, part.id),
            "is_by_hand": part.way in refunds.BY_HAND,
            "paid_by": session.get(User, part.paid_by) if part.paid_by else None,
        }
        for part in refunds.parts_of(session, id)
    ]
    return page.render(
        request,
        "manager/money/withdrawal.html",
        row=row,
        state=services.state(row).value,
        amount=Money(row.amount_fen),
        left=None if row.left_fen is None else Money(row.left_fen),
        purse=counter.purse_seen(session, user, row.purse_id),
        to=counter.purse_seen(session, user, row.to_purse_id) if row.to_purse_id else None,
        asked_by=session.get_one(User, row.asked_by).name,
        parts=parts,
        may=user.may(Permission.REFUND),
        **words.shown(session, user),
    )


@router.post("/withdrawals/{id:uuid}/cancel")
def cancel(id: UUID, user: Payer, session: UserSession) -> Response:
    services.cancel(session, user, id, now=utc_now())
    return RedirectResponse(f"/withdrawals/{id}", status_code=303)


@router.post("/withdrawals/parts/{part_id:uuid}")
def pay_out(
    part_id: UUID,
    user: Payer,
    session: UserSession,
    way: Annotated[str, Form()] = refunds.CASH,
    voucher: Annotated[str, Form()] = "",
) -> Response:
    way = way if way in refunds.BY_HAND else refunds.CASH
    row = refunds.pay_out(session, user, part_id, way=way, voucher=voucher, now=utc_now())
    return RedirectResponse(f"/withdrawals/{row.id}", status_code=303)
