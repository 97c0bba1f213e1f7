"""POST /api/topups/{id}/code, /api/purses/{id}/emergency, /api/points/{id}/taps-closed: credit without the internet.

For staff, on behalf of a customer who telephones.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from cloud import web
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services import audit, codes, emergency, scopes, taps
from cloud.services.emergency import By
from cloud.tables import utc_now
from cloud.web import UserSession

router = APIRouter(prefix="/api")


class Code(BaseModel):
    """code has twenty digits without spaces."""

    topup_id: UUID
    purse_id: UUID
    gateway_no: str
    amount_fen: int
    code: str
    issued_at: datetime


class Loan(BaseModel):
    purse_id: UUID
    taken_at: datetime
    by: By
    is_delivered: bool


@router.post("/topups/{topup_id}/code")
def issue(
    topup_id: UUID,
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.ISSUE_CODES))],
    session: UserSession,
) -> Code:
    """The code of a paid top-up that has not reached its gateway. Asked for again it is the same."""
    scopes.check_topup(session, user, topup_id)
    now = utc_now()
    secret = request.app.state.settings.code_secret
    issued = codes.issue(session, topup_id, code_secret=secret, now=now)
    audit.record(session, user, "issue-code", of="topup", id=topup_id, now=now)
    return Code(
        topup_id=issued.topup_id,
        purse_id=issued.purse_id,
        gateway_no=issued.gateway_no,
        amount_fen=issued.amount.fen,
        code=issued.code,
        issued_at=issued.issued_at,
    )


@router.post("/purses/{purse_id}/emergency")
def take_emergency(
    purse_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.LEND))],
    session: UserSession,
) -> Loan:
    """Takes emergency credit that is offered for a purse. The same again changes nothing."""
    scopes.check_purse(session, user, purse_id)
    now = utc_now()
    loan = emergency.take(session, purse_id, by=By.STAFF, now=now)
    audit.record(session, user, "lend", of="purse", id=purse_id, now=now)
    return Loan(
        purse_id=loan.purse_id,
        taken_at=loan.taken_at,
        by=loan.by,
        is_delivered=loan.is_delivered,
    )


@router.post("/points/{point_id}/taps-closed", status_code=204)
def close_taps(
    point_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.CONFIRM_TAPS))],
    session: UserSession,
) -> None:
    """Says that every tap behind a service point is closed, which waits for that."""
    scopes.check_point(session, user, point_id)
    now = utc_now()
    taps.confirm(session, point_id, now=now)
    audit.record(session, user, "close-taps", of="point", id=point_id, now=now)
