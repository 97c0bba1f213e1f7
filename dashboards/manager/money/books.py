"""The books: the trial balance of a day or month, months that are closed, and the rules of money."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from sqlmodel import Session
from starlette.responses import Response

from cloud import auth, web
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services.ledger import BOOKS_ZONE
from cloud.services.money import approving, periods, rules, statements
from cloud.services.money.rules import Rules
from cloud.tables import utc_now
from cloud.web import UserSession
from dashboards import page
from dashboards.manager.money import words
from dashboards.manager.outcome import outcome
from dashboards.mistake import Mistake

router = APIRouter(include_in_schema=False)

Reader = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_BOOKS))]
Closer = Annotated[SignedIn, Depends(web.allowed(Permission.CLOSE_BOOKS))]


def _everywhere(user: SignedIn) -> None:
    """The books are of the whole organization. Raises auth.NotAllowed for who sees a part of it."""
    if not user.scope.is_everywhere:
        raise auth.NotAllowed


@router.get("/books")
def trial(
    request: Request,
    user: Reader,
    session: UserSession,
    month: str = "",
    day: date | str = "",
) -> Response:
    """All books of a month, or of a day."""
    _everywhere(user)
    first = _month(month) or periods.month_of(utc_now())
    if isinstance(day, date):
        since = datetime.combine(day, time(), BOOKS_ZONE).astimezone(UTC)
        until = since + timedelta(days=1)
    else:
        since, until = periods.begin_of(first), periods.begin_of(periods.after(first))
    return page.render(
        request,
        "manager/money/books.html",
        balance=statements.trial_balance(session, user.organization_id, since=since, until=until),
        month=first,
        day=day if isinstance(day, date) else None,
        before=(first - timedelta(days=1)).replace(day=1),
        after=periods.after(first),
        closed=periods.closed_through(session, user.organization_id),
        book_words=words.book_words,
        **words.shown(session, user),
    )


@router.get("/months")
def months(request: Request, user: Reader, session: UserSession) -> Response:
    """Which months are closed, what the next one still waits for, and the rules of money."""
    _everywhere(user)
    return _months(request, session, user)


def _months(
    request: Request, session: Session, user: SignedIn, told: Mistake | None = None
) -> Response:
    now = utc_now()
    following = periods.next_to_close(session, user.organization_id, now=now)
    return page.render(
        request,
        "manager/money/months.html",
        status=told.status if told else 200,
        mistake=told or Mistake(),
        following=following,
        is_over=periods.begin_of(periods.after(following)) <= now,
        check=periods.check(session, user.organization_id, following),
        closings=periods.closings(session, user.organization_id),
        closed=periods.closed_through(session, user.organization_id),
        rules=rules.of(session, user.organization_id),
        may_close=user.may(Permission.CLOSE_BOOKS),
        **words.shown(session, user),
    )


@router.post("/months/close")
def close(
    request: Request, user: Closer, session: UserSession, month: Annotated[str, Form()]
) -> Response:
    _everywhere(user)

    def do() -> None:
        periods.close(session, user, _closing(month), now=utc_now())

    again = partial(_months, request, session, user)
    return outcome(request, session, do, again, to="/months", form="close")


@router.post("/months/reopen")
def reopen(
    request: Request,
    user: Closer,
    session: UserSession,
    month: Annotated[str, Form()],
    why: Annotated[str, Form()] = "",
) -> Response:
    """Asks a second person to open the month that was closed last."""
    _everywhere(user)

    def do() -> None:
        approving.ask_to_reopen(session, user, _closing(month), why=why, now=utc_now())

    again = partial(_months, request, session, user)
    return outcome(request, session, do, again, to="/months", form="reopen", typed={"why": why})


@router.post("/months/rules")
def change_rules(
    request: Request,
    user: Closer,
    session: UserSession,
    fee: Annotated[str, Form()] = "0",
    alone: Annotated[str, Form()] = "0",
    refunded: Annotated[str, Form()] = "",
) -> Response:
    _everywhere(user)

    def do() -> None:
        # 1.50 % are 150 hundredths, as ¥1.50 are 150 fen
        percent = words.amount(fee or "0", field="fee")
        most = words.amount(alone or "0", field="alone")
        rules.save(session, user, Rules(percent.fen, refunded == "yes", most), now=utc_now())

    again = partial(_months, request, session, user)
    typed = {"fee": fee, "alone": alone}
    return outcome(request, session, do, again, to="/months", form="rules", typed=typed)


def _closing(month: str) -> date:
    """Raises periods.NotClosed."""
    wanted = _month(month)
    if wanted is None:
        raise periods.NotClosed(month=month[:10])
    return wanted


def _month(text: str) -> date | None:
    """The first day of the month in a text like 2026-03."""
    try:
        return date.fromisoformat(f"{text[:7]}-01")
    except ValueError:
        return None
