"""/api/books: the trial balance, and the journal of all transfers. For those who see the books, and everything."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from cloud import web
from cloud.api.money.shapes import Span
from cloud.api.paging import After, Most, cut
from cloud.auth import NotAllowed, SignedIn
from cloud.permissions import Permission
from cloud.services.money import statements
from cloud.web import UserSession
from prepaid.ledger import Reason

router = APIRouter(prefix="/api/books")


SeeBooks = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_BOOKS))]


class Row(BaseModel):
    """An item of the books. opening and closing are credits less debits."""

    item: str
    opening_fen: int
    debits_fen: int
    credits_fen: int
    closing_fen: int


class TrialBalance(BaseModel):
    """late_fen: what of it is of months whose books were closed when it came."""

    rows: list[Row]
    debits_fen: int
    credits_fen: int
    late_fen: int
    is_balanced: bool


class Transfer(BaseModel):
    """凭证. The id is the same however often it is read: book each once. booked_at as in a statement."""

    id: UUID
    booked_at: datetime
    at: datetime
    debit: str
    credit: str
    amount_fen: int
    reason: Reason
    cause: str


class Journal(BaseModel):
    transfers: list[Transfer]
    next: UUID | None


@router.get("/trial-balance")
def trial_balance(
    user: SeeBooks,
    session: UserSession,
    days: Span,
) -> TrialBalance:
    """试算平衡: every book from one day to another, both included; all purses in one item, all accounts in one."""
    _check_everywhere(user)
    since, until = days
    found = statements.trial_balance(session, user.organization_id, since=since, until=until)
    return TrialBalance(
        rows=[
            Row(
                item=row.item,
                opening_fen=row.opening.fen,
                debits_fen=row.debits.fen,
                credits_fen=row.credits.fen,
                closing_fen=row.closing.fen,
            )
            for row in found.rows
        ],
        debits_fen=found.debits.fen,
        credits_fen=found.credits.fen,
        late_fen=found.late.fen,
        is_balanced=found.is_balanced,
    )


@router.get("/journal")
def journal(
    user: SeeBooks,
    session: UserSession,
    days: Span,
    after: After = None,
    most: Most = 100,
) -> Journal:
    """凭证: every transfer booked from one day to another, both included, in the order in which they are booked."""
    _check_everywhere(user)
    since, until = days
    found = statements.journal(
        session, user.organization_id, since=since, until=until, after=after, most=most + 1
    )
    page, following = cut(found, most, lambda each: each.id)
    return Journal(
        transfers=[
            Transfer(
                id=each.id,
                booked_at=each.booked_at,
                at=each.at,
                debit=each.debit,
                credit=each.credit,
                amount_fen=each.amount.fen,
                reason=each.reason,
                cause=each.cause,
            )
            for each in page
        ],
        next=following,
    )


def _check_everywhere(user: SignedIn) -> None:
    """Raises NotAllowed for who sees a part of the organization: the books are of all of it."""
    if not user.scope.is_everywhere:
        raise NotAllowed
