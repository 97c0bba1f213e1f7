"""Money out: a purse with its statement; refunds, reversals, moves and gifts, each asked twice; how far they are."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from cloud import auth, web
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services import scopes, topups
from cloud.services.money import (
    counter,
    grants,
    moves,
    periods,
    purses,
    refunds,
    reversals,
    statements,
)
from cloud.services.money import withdrawals as services
from cloud.services.money.refunds import How
from cloud.tables import ChannelRefund, TopUp, User, Withdrawal, utc_now
from cloud.web import UserSession
from dashboards import page
from dashboards.manager.money import words
from prepaid.ledger import prepaid
from prepaid.money import Money

router = APIRouter(include_in_schema=False)

Reader = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_TOPUPS))]
Payer = Annotated[SignedIn, Depends(web.allowed(Permission.REFUND))]
Giver = Annotated[SignedIn, Depends(web.allowed(Permission.GIVE))]


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


@router.get("/purses/{purse_id:uuid}/{act}")
def ask(
    request: Request,
    purse_id: UUID,
    act: str,
    user: Payer,
    session: UserSession,
    topup: UUID | None = None,
) -> Response:
    """The form for a refund, a reversal, a move, a gift or an adjustment."""
    _check(user, act)
    row = scopes.check_purse(session, user, purse_id)
    found = counter.purse_seen(session, user, purse_id)
    of = scopes.check_topup(session, user, topup) if topup is not None else None
    return page.render(
        request,
        "manager/money/ask.html",
        act=act,
        purse=found,
        topup=of,
        most=refunds.most_of(session, row, of=topup) if act in ("refund", "move") else None,
        net=topups.credited(of) if of is not None else None,
        needs_second=of is not None
        and act == "reversal"
        and reversals.needs_second(session, user, of, now=utc_now()),
        others=[
            o for o in counter.of_account(session, user, found.account_id) if o.purse_id != purse_id
        ],
        hows=[how.value for how in How],
        seen=purses.version(session, row),
        key=uuid4(),
        **words.shown(session, user),
    )


@router.post("/purses/{purse_id:uuid}/{act}")
def do(
    request: Request,
    purse_id: UUID,
    act: str,
    user: Payer,
    session: UserSession,
    key: Annotated[UUID, Form()],
    typed: Annotated[str, Form()] = "",
    why: Annotated[str, Form()] = "",
    how: Annotated[How, Form()] = How.SOURCE,
    kind: Annotated[str, Form()] = "",
    customer: Annotated[str, Form()] = "",
    to: Annotated[UUID | None, Form()] = None,
    topup: Annotated[UUID | None, Form()] = None,
    seen: Annotated[str, Form()] = "",
    unread: Annotated[str, Form()] = "",
    confirmed: Annotated[str, Form()] = "",
) -> Response:
    """Asks once more, then does it, once for each key."""
    _check(user, act)
    row = scopes.check_purse(session, user, purse_id)
    of = scopes.check_topup(session, user, topup) if topup is not None else None
    now, is_unread_too = utc_now(), unread == "yes"
    amount = topups.credited(of) if act == "reversal" and of else words.amount(typed)
    told = purses.reason(why)
    if not confirmed:
        most = refunds.most_of(session, row, of=topup) if act in ("refund", "move") else None
        if most is not None and not Money(0) < amount <= most:
            raise refunds.NotRefundable(most=most)
        return page.render(
            request,
            "manager/money/ask_confirm.html",
            act=act,
            purse=counter.purse_seen(session, user, purse_id),
            amount=amount,
            parts=refunds.plan(session, row, amount, how, of=topup, now=now)
            if act == "refund"
            else [],
            needs_second=_needs_second(session, user, act, amount, of, kind),
            to=counter.purse_seen(session, user, to) if to else None,
            form={
                "key": key,
                "typed": str(amount),
                "why": told,
                "how": how.value,
                "kind": kind,
                "customer": customer,
                "to": to or "",
                "topup": topup or "",
                "seen": seen,
                "unread": unread,
            },
            kind=kind,
            customer=customer,
            told=told,
            **words.shown(session, user),
        )
    match act:
        case "refund":
            refunds.request(
                session,
                user,
                purse_id,
                amount,
                how,
                told,
                now,
                of=topup,
                is_unread_too=is_unread_too,
                seen=seen or None,
                id=key,
            )
        case "reversal" if of is not None:
            reversals.reverse(
                session, user, of.id, why=told, now=now, is_unread_too=is_unread_too, id=key
            )
        case "move" if to is not None:
            moves.move(
                session,
                user,
                purse_id,
                to,
                amount=amount,
                customer=customer,
                why=told,
                now=now,
                is_unread_too=is_unread_too,
                id=key,
            )
        case "give" if kind in set(grants.Kind):
            grants.give(
                session,
                user,
                purse_id,
                kind=grants.Kind(kind),
                amount=amount,
                why=told,
                now=now,
                id=key,
            )
            return RedirectResponse(f"/purses/{purse_id}", status_code=303)
        case "give":
            grants.charge_back(
                session,
                user,
                purse_id,
                amount=amount,
                why=told,
                now=now,
                is_unread_too=is_unread_too,
                id=key,
            )
        case _:
            raise scopes.NoSuchPurse
    return RedirectResponse(f"/withdrawals/{key}", status_code=303)


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


def _check(user: SignedIn, act: str) -> None:
    if act == "give":
        auth.require(user, Permission.GIVE)
    elif act not in ("refund", "reversal", "move"):
        raise services.NoSuchWithdrawal


def _needs_second(
    session: UserSession, user: SignedIn, act: str, amount: Money, of: TopUp | None, kind: str
) -> bool:
    match act:
        case "refund":
            return refunds.needs_second(session, user, amount)
        case "reversal" if of is not None:
            return reversals.needs_second(session, user, of, now=utc_now())
        case "give":
            return kind not in set(grants.Kind)
        case _:
            return False
