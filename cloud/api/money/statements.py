"""GET /api/purses/{id}/statement: what moved in a purse, line by line. For staff."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from cloud import web
from cloud.api.money.shapes import Span
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services import scopes
from cloud.services.money import statements
from cloud.web import UserSession
from prepaid.ledger import Reason, prepaid

router = APIRouter(prefix="/api/purses")


class Line(BaseModel):
    """amount_fen is above nothing where the purse got it. booked_at differs from at where it came late, after the
    books of its month were closed."""

    transfer_id: UUID
    booked_at: datetime
    at: datetime
    reason: Reason
    cause: str
    other: str
    amount_fen: int
    balance_fen: int


class Statement(BaseModel):
    purse_id: UUID
    opening_fen: int
    lines: list[Line]
    closing_fen: int


@router.get("/{purse_id}/statement")
def get_statement(
    purse_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_TOPUPS))],
    session: UserSession,
    days: Span,
) -> Statement:
    """对账单: a purse from one day to another, both included: what it held, each transfer, what it held then."""
    scopes.check_purse(session, user, purse_id)
    since, until = days
    found = statements.statement(
        session, user.organization_id, prepaid(purse_id), since=since, until=until
    )
    return Statement(
        purse_id=purse_id,
        opening_fen=found.opening.fen,
        lines=[
            Line(
                transfer_id=line.transfer_id,
                booked_at=line.booked_at,
                at=line.at,
                reason=line.reason,
                cause=line.cause,
                other=line.other,
                amount_fen=line.amount.fen,
                balance_fen=line.balance.fen,
            )
            for line in found.lines
        ],
        closing_fen=found.closing.fen,
    )
