"""The counter 柜台: look the customer up, take money, see it arrive, print the receipt."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services import scopes, topups
from cloud.services.money import counter, purses, rules, shifts
from cloud.tables import utc_now
from cloud.web import UserSession
from dashboards import page
from dashboards.manager.money import words
from prepaid.money import Money

router = APIRouter(include_in_schema=False, prefix="/counter")

Cashier = Annotated[SignedIn, Depends(web.allowed(Permission.TAKE_TOPUPS))]
QUICK = ("50", "100", "200", "500")


@router.get("")
def look(request: Request, user: Cashier, session: UserSession, q: str = "") -> Response:
    return page.render(
        request,
        "manager/money/counter.html",
        q=q,
        found=counter.find(session, user, q),
        shift=shifts.has_open(session, user),
        **words.shown(session, user),
    )


@router.get("/{purse_id:uuid}")
def begin(request: Request, purse_id: UUID, user: Cashier, session: UserSession) -> Response:
    found = counter.purse(session, user, purse_id)
    return page.render(
        request,
        "manager/money/take.html",
        purse=found,
        others=[o for o in counter.of_account(session, user, found.account_id) if o != found],
        held=purses.held(session, purse_id),
        rules=rules.of(session, user.organization_id),
        shift=shifts.has_open(session, user),
        quick=QUICK,
        counter_ways=topups.COUNTER,
        **words.shown(session, user),
    )


@router.post("/{purse_id:uuid}")
def take(
    request: Request,
    purse_id: UUID,
    user: Cashier,
    session: UserSession,
    way: Annotated[str, Form()] = topups.CASH,
    quick: Annotated[str, Form()] = "",
    typed: Annotated[str, Form()] = "",
    voucher: Annotated[str, Form()] = "",
    remark: Annotated[str, Form()] = "",
    key: Annotated[UUID | None, Form()] = None,
) -> Response:
    """Asks once more what is taken from whom; with the key of that question it is taken."""
    found = counter.purse(session, user, purse_id)
    amount = words.amount(quick or typed)
    way = way if way in topups.COUNTER else topups.CASH
    if key is None:
        topups.check_amount(amount)
        if way != topups.CASH and not voucher.strip():
            raise counter.NoVoucher
        shifts.mine(session, user)
        fee = rules.of(session, user.organization_id).fee(amount)
        return page.render(
            request,
            "manager/money/take_confirm.html",
            purse=found,
            amount=amount,
            fee=fee,
            net=amount - fee,
            after=found.balance + amount - fee,
            way=way,
            voucher=voucher.strip(),
            remark=remark.strip(),
            key=uuid4(),
            **words.shown(session, user),
        )
    topup = counter.take(
        session,
        user,
        purse_id,
        amount=amount,
        way=way,
        voucher=voucher,
        remark=remark,
        idempotency_key=key,
    )
    return RedirectResponse(f"/orders/topups/{topup.id}", status_code=303)


@router.post("/receipts/{topup_id:uuid}")
def receipt(request: Request, topup_id: UUID, user: Cashier, session: UserSession) -> Response:
    """The receipt to print, counted: later prints say that they are copies."""
    topup = scopes.check_topup(session, user, topup_id)
    printed = counter.print_receipt(session, user, topup, now=utc_now())
    found = counter.purse_seen(session, user, topup.purse_id)
    return page.render(
        request,
        "manager/money/receipt.html",
        topup=topup,
        printed=printed,
        purse=found,
        amount=Money(topup.amount_fen),
        fee=Money(topup.fee_fen),
        net=topups.credited(topup),
        **words.shown(session, user),
    )
