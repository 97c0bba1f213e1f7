"""The page of daily reconciliation 对账: each channel's bill beside the books, and what differs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services import audit
from cloud.services.money import bill_days, lost_transfers, refused_payments
from cloud.services.money.bill_days import Listed
from cloud.services.reconciliation import BEIJING, Kind
from cloud.tables import BillDay, utc_now
from cloud.web import UserSession
from dashboards import errors, page
from dashboards.manager.money import words
from dashboards.manager.top import top
from dashboards.mistake import Mistake
from dashboards.words import N_
from prepaid.money import Money

router = APIRouter(include_in_schema=False, prefix="/bills")

SHOWN = timedelta(days=31)
CHANNELS = {"wechat": N_("WeChat Pay"), "alipay": N_("Alipay"), "sandbox": N_("Sandbox")}
KINDS = {
    Kind.OURS_ONLY: (
        N_("Booked, not in the bill"),
        N_("The channel does not know this payment. Look it up there by its number."),
    ),
    Kind.THEIRS_ONLY: (
        N_("In the bill, not booked"),
        N_(
            "Somebody paid and has no credit. Look the order up at the channel, then refund or correct it."
        ),
    ),
    Kind.AMOUNT: (
        N_("Two amounts"),
        N_(
            "The bill and the books name different amounts. Ask the channel before you change anything."
        ),
    ),
    Kind.REFUND_OURS_ONLY: (
        N_("Refund not in the bill"),
        N_(
            "We asked for a refund that the channel has not made. It may be in the next day's bill."
        ),
    ),
    Kind.REFUND_THEIRS_ONLY: (
        N_("Refund not by us"),
        N_(
            "Money went back at the channel without Wattwell. The credit is still there: correct it."
        ),
    ),
    Kind.NOT_DELIVERED: (
        N_("Not at the gateway"),
        N_(
            "The credit is booked and its gateway has not got it for a day. Bring it online, or issue a code."
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A day of a channel; open is how many differences of it wait for a person."""

    day: BillDay
    open: int

    @property
    def paid(self) -> Money:
        return Money(self.day.paid_fen)

    @property
    def booked(self) -> Money:
        return Money(self.day.booked_fen)

    @property
    def refunded(self) -> Money:
        return Money(self.day.refunded_fen)

    @property
    def fee(self) -> Money:
        """What the channel kept, to whole fen; the bill itself is finer."""
        return Money(round(self.day.fee_milli_fen / 1000))


@router.get("")
def bills(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_BILLS))],
    session: UserSession,
) -> Response:
    return shown(request, session, user)


def shown(
    request: Request, session: Session, user: SignedIn, told: Mistake | None = None
) -> Response:
    """The page; told: what was refused of one of its forms."""
    since = utc_now().astimezone(BEIJING).date() - SHOWN
    listed = bill_days.differences(session, user.organization_id, since=since)
    waiting = [one for one in listed if _is_open(one)]
    days = bill_days.days(session, user.organization_id, since=since)
    rows = [
        Row(
            day,
            sum(
                (one.difference.channel, one.difference.day) == (day.channel, day.day)
                for one in waiting
            ),
        )
        for day in days
    ]
    return page.render(
        request,
        "manager/bills.html",
        status=told.status if told else 200,
        mistake=told or Mistake(),
        at="/bills",
        rows=rows,
        waiting=waiting,
        lost=lost_transfers.waiting(session, user),
        reasons_said=words.REASONS,
        settled=[one for one in listed if not _is_open(one)],
        refused=refused_payments.listed(session, user.organization_id),
        channels=CHANNELS,
        kinds={kind.value: words for kind, words in KINDS.items()},
        money_of=lambda fen: None if fen is None else Money(fen),
        may_settle=user.may(Permission.SETTLE_BILLS),
        **top(session, user),
    )


@router.post("/differences/{difference_id}")
def settle(
    request: Request,
    difference_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SETTLE_BILLS))],
    session: UserSession,
    note: Annotated[str, Form()] = "",
) -> Response:
    now = utc_now()
    try:
        with session.begin_nested():
            row = bill_days.settle(session, difference_id, by=user, note=note, now=now)
    except CloudError as error:
        told = errors.mistake(request, error, {"note": note}, form=str(difference_id))
        return shown(request, session, user, told)
    audit.record(
        session,
        user,
        "settle-difference",
        of="bill-difference",
        id=row.id,
        after={"kind": row.kind, "order": row.out_trade_no, "note": row.note},
        now=now,
    )
    return RedirectResponse("/bills", status_code=303)


def _is_open(one: Listed) -> bool:
    return one.difference.gone_at is None and one.difference.settled_at is None
