"""The counter 柜台: look the customer up, take money, see it arrive, print the receipt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Form, Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services import crediting, scopes, topups
from cloud.services.money import counter, purses, rules, shifts
from cloud.tables import utc_now
from cloud.web import UserSession
from dashboards import errors, page
from dashboards.manager.money import words
from prepaid.money import Money

router = APIRouter(include_in_schema=False, prefix="/counter")

Cashier = Annotated[SignedIn, Depends(web.allowed(Permission.TAKE_TOPUPS))]
QUICK = ("50", "100", "200", "500")
NAMES = {"amount_fen": "typed"}


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
    return _take(request, session, user, purse_id, Asked())


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be taken, as it was typed."""

    way: str = topups.CASH
    quick: str = ""
    typed: str = ""
    voucher: str = ""
    remark: str = ""


def asked(
    way: Annotated[str, Form()] = topups.CASH,
    quick: Annotated[str, Form()] = "",
    typed: Annotated[str, Form()] = "",
    voucher: Annotated[str, Form()] = "",
    remark: Annotated[str, Form()] = "",
) -> Asked:
    way = way if way in topups.COUNTER else topups.CASH
    return Asked(way, quick, typed, voucher.strip(), remark.strip())


@router.post("/{purse_id:uuid}")
def take(
    request: Request,
    purse_id: UUID,
    user: Cashier,
    session: UserSession,
    asked: Annotated[Asked, Depends(asked)],
    key: Annotated[UUID | None, Form()] = None,
) -> Response:
    """Asks once more what is taken from whom; with the key of that question it is taken."""
    try:
        with session.begin_nested():
            if key is None:
                return _confirm(request, session, user, purse_id, asked)
            topup = counter.take(
                session,
                user,
                purse_id,
                amount=words.amount(asked.quick or asked.typed),
                way=asked.way,
                voucher=asked.voucher,
                remark=asked.remark,
                idempotency_key=key,
            )
    except scopes.NoSuchPurse:
        raise
    except CloudError as error:
        return _take(request, session, user, purse_id, asked, error=error)
    return RedirectResponse(f"/orders/topups/{topup.id}", status_code=303)


def _take(
    request: Request,
    session: Session,
    user: SignedIn,
    purse_id: UUID,
    asked: Asked,
    *,
    error: CloudError | None = None,
) -> Response:
    found = counter.purse(session, user, purse_id)
    return page.render(
        request,
        "manager/money/take.html",
        status=error.status if error else 200,
        purse=found,
        others=[o for o in counter.of_account(session, user, found.account_id) if o != found],
        held=purses.held(session, purse_id),
        rules=rules.of(session, user.organization_id),
        shift=shifts.has_open(session, user),
        quick=QUICK,
        counter_ways=topups.COUNTER,
        asked=asked,
        mistake=errors.mistake(request, error, names=NAMES),
        at=f"/counter/{purse_id}",
        **words.shown(session, user),
    )


def _confirm(
    request: Request, session: Session, user: SignedIn, purse_id: UUID, asked: Asked
) -> Response:
    """Raises NoAmount, topups.BadAmount, counter.NoVoucher or shifts.NoShift."""
    found = counter.purse(session, user, purse_id)
    amount = words.amount(asked.quick or asked.typed)
    topups.check_amount(amount)
    if asked.way != topups.CASH and not asked.voucher:
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
        way=asked.way,
        voucher=asked.voucher,
        remark=asked.remark,
        key=uuid4(),
        at=f"/counter/{purse_id}",
        **words.shown(session, user),
    )


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
        net=crediting.credited(topup),
        **words.shown(session, user),
    )
