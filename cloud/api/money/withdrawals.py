"""/api/withdrawals: refunds, reversals, adjustments and moves, and how far each has come. For staff."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from sqlmodel import Session

from cloud import tables, web
from cloud.api.paging import After, Most, cut
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services.money import refunds, withdrawals
from cloud.services.money.withdrawals import Kind, State
from cloud.web import UserSession

router = APIRouter(prefix="/api/withdrawals")

SeeTopups = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_TOPUPS))]


class Part(BaseModel):
    """What of a refund goes back of one top-up (null: of none, as an opening balance), and by which way."""

    id: UUID
    topup_id: UUID | None
    way: str
    amount_fen: int
    fee_fen: int
    voucher: str | None
    done_at: datetime | None


class Withdrawal(BaseModel):
    """支取. amount_fen leaves the purse, fee_fen of the service fee goes back beside it. booked_at: its gateway,
    which alone knows what is there, has booked it; done_at: it is paid out, or arrived in the other purse."""

    id: UUID
    kind: Kind
    state: State
    purse_id: UUID
    to_purse_id: UUID | None
    topup_id: UUID | None
    transfer_id: UUID
    amount_fen: int
    fee_fen: int
    how: str | None
    why: str
    customer: str | None
    asked_at: datetime
    sent_at: datetime | None
    booked_at: datetime | None
    refused_at: datetime | None
    cancelled_at: datetime | None
    undone_at: datetime | None
    done_at: datetime | None
    parts: list[Part]


class Withdrawals(BaseModel):
    withdrawals: list[Withdrawal]
    next: UUID | None


@router.get("")
def list_withdrawals(
    user: SeeTopups,
    session: UserSession,
    kind: Kind | None = None,
    after: After = None,
    most: Most = 100,
) -> Withdrawals:
    """Money that left purses, or is to leave them; the newest first."""
    found = withdrawals.listed(session, user, kind=kind, after=after, most=most + 1)
    page, following = cut(found, most, lambda row: row.id)
    return Withdrawals(withdrawals=_withdrawals(session, page), next=following)


@router.get("/{withdrawal_id}")
def get_withdrawal(withdrawal_id: UUID, user: SeeTopups, session: UserSession) -> Withdrawal:
    """One of them."""
    (found,) = _withdrawals(session, [withdrawals.seen(session, user, withdrawal_id)])
    return found


def _withdrawals(session: Session, rows: list[tables.Withdrawal]) -> list[Withdrawal]:
    parts = refunds.parts_of_each(session, [row.id for row in rows])
    return [
        Withdrawal(
            id=row.id,
            kind=Kind(row.kind),
            state=withdrawals.state(row),
            purse_id=row.purse_id,
            to_purse_id=row.to_purse_id,
            topup_id=row.topup_id,
            transfer_id=row.transfer_id,
            amount_fen=row.amount_fen,
            fee_fen=row.fee_fen,
            how=row.how,
            why=row.why,
            customer=row.customer,
            asked_at=row.created_at,
            sent_at=row.sent_at,
            booked_at=row.booked_at,
            refused_at=row.refused_at,
            cancelled_at=row.cancelled_at,
            undone_at=row.undone_at,
            done_at=row.done_at,
            parts=[
                Part(
                    id=part.id,
                    topup_id=part.topup_id,
                    way=part.way,
                    amount_fen=part.amount_fen,
                    fee_fen=part.fee_fen,
                    voucher=part.voucher,
                    done_at=part.done_at,
                )
                for part in parts.get(row.id, ())
            ],
        )
        for row in rows
    ]
