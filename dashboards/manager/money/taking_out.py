"""What is to leave a purse: a refund, a reversal, a move, a gift or an adjustment, asked for and confirmed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Form, Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from cloud import auth, web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services import crediting, scopes
from cloud.services.money import (
    counter,
    grants,
    moves,
    purses,
    refunds,
    reversals,
)
from cloud.services.money import withdrawals as services
from cloud.services.money.refunds import How
from cloud.tables import TopUp, utc_now
from cloud.web import UserSession
from dashboards import errors, page
from dashboards.manager.money import words
from prepaid.money import Money

router = APIRouter(include_in_schema=False)

NAMES = {"amount_fen": "typed", "to_purse_id": "to"}

Payer = Annotated[SignedIn, Depends(web.allowed(Permission.REFUND))]


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
    return _ask(request, session, user, purse_id, act, topup, {})


def _ask(
    request: Request,
    session: Session,
    user: SignedIn,
    purse_id: UUID,
    act: str,
    topup: UUID | None,
    given: dict[str, str],
    error: CloudError | None = None,
) -> Response:
    row = scopes.check_purse(session, user, purse_id)
    found = counter.purse_seen(session, user, purse_id)
    of = scopes.check_topup(session, user, topup) if topup is not None else None
    return page.render(
        request,
        "manager/money/ask.html",
        status=error.status if error else 200,
        given=given,
        mistake=errors.mistake(request, error, given, names=NAMES),
        act=act,
        purse=found,
        topup=of,
        most=refunds.most_of(session, row, of=topup) if act in ("refund", "move") else None,
        net=crediting.credited(of) if of is not None else None,
        needs_second=of is not None
        and act == "reversal"
        and reversals.needs_second(session, user, of, now=utc_now()),
        others=[
            o for o in counter.of_account(session, user, found.account_id) if o.purse_id != purse_id
        ],
        hows=[how.value for how in How],
        seen=purses.version(session, row),
        key=given.get("key") or uuid4(),
        at=f"/purses/{purse_id}/{act}",
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
    """Asks once more, then does it, once for each key. What is refused is told beside the field it is about."""
    _check(user, act)
    asked = Asked(key, typed, why, how, kind, customer, to, topup, seen, unread == "yes")
    try:
        with session.begin_nested():
            if not confirmed:
                return _confirm(request, session, user, purse_id, act, asked)
            return _do(session, user, purse_id, act, asked)
    except (scopes.NoSuchPurse, scopes.NoSuchTopUp, auth.NotAllowed):
        raise
    except CloudError as error:
        given = asked.given()
        return _ask(request, session, user, purse_id, act, topup, given, error)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed into the form, and the key by which it is done once."""

    key: UUID
    typed: str
    why: str
    how: How
    kind: str
    customer: str
    to: UUID | None
    topup: UUID | None
    seen: str
    is_unread_too: bool

    def given(self) -> dict[str, str]:
        """As the form sends it again."""
        return {
            "key": str(self.key),
            "typed": self.typed,
            "why": self.why,
            "how": self.how.value,
            "kind": self.kind,
            "customer": self.customer,
            "to": str(self.to or ""),
            "topup": str(self.topup or ""),
            "seen": self.seen,
            "unread": "yes" if self.is_unread_too else "",
        }


def _amount(session: Session, user: SignedIn, act: str, asked: Asked) -> tuple[Money, TopUp | None]:
    """How much, and the top-up it is of, if it is of one. Raises NoAmount or scopes.NoSuchTopUp."""
    of = scopes.check_topup(session, user, asked.topup) if asked.topup is not None else None
    amount = crediting.credited(of) if act == "reversal" and of else words.amount(asked.typed)
    return amount, of


def _confirm(
    request: Request, session: Session, user: SignedIn, purse_id: UUID, act: str, asked: Asked
) -> Response:
    row = scopes.check_purse(session, user, purse_id)
    amount, of = _amount(session, user, act, asked)
    if act == "move" and asked.to is None:
        raise moves.SamePurse
    told = purses.reason(asked.why)
    most = refunds.most_of(session, row, of=asked.topup) if act in ("refund", "move") else None
    if most is not None and not Money(0) < amount <= most:
        raise refunds.NotRefundable(most=most)
    return page.render(
        request,
        "manager/money/ask_confirm.html",
        act=act,
        purse=counter.purse_seen(session, user, purse_id),
        amount=amount,
        parts=refunds.plan(session, row, amount, asked.how, of=asked.topup, now=utc_now())
        if act == "refund"
        else [],
        needs_second=_needs_second(session, user, act, amount, of, asked.kind),
        to=counter.purse_seen(session, user, asked.to) if asked.to else None,
        form=asked.given() | {"typed": str(amount), "why": told},
        kind=asked.kind,
        customer=asked.customer,
        told=told,
        at=f"/purses/{purse_id}/{act}",
        **words.shown(session, user),
    )


def _do(session: Session, user: SignedIn, purse_id: UUID, act: str, asked: Asked) -> Response:
    now, is_unread_too, key = utc_now(), asked.is_unread_too, asked.key
    scopes.check_purse(session, user, purse_id)
    amount, of = _amount(session, user, act, asked)
    told = purses.reason(asked.why)
    match act:
        case "refund":
            refunds.request(
                session,
                user,
                purse_id,
                amount,
                asked.how,
                told,
                now,
                of=asked.topup,
                is_unread_too=is_unread_too,
                seen=asked.seen or None,
                id=key,
            )
        case "reversal" if of is not None:
            reversals.reverse(
                session, user, of.id, why=told, now=now, is_unread_too=is_unread_too, id=key
            )
        case "move" if asked.to is not None:
            moves.move(
                session,
                user,
                purse_id,
                asked.to,
                amount=amount,
                customer=asked.customer,
                why=told,
                now=now,
                is_unread_too=is_unread_too,
                id=key,
            )
        case "give" if asked.kind in set(grants.Kind):
            grants.give(
                session,
                user,
                purse_id,
                kind=grants.Kind(asked.kind),
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


def _check(user: SignedIn, act: str) -> None:
    if act == "give":
        auth.require(user, Permission.GIVE)
    elif act not in ("refund", "reversal", "move"):
        raise services.NoSuchWithdrawal


def _needs_second(
    session: Session, user: SignedIn, act: str, amount: Money, of: TopUp | None, kind: str
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
