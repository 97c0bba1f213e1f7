"""GET /api/topups/{id}: how far a top-up has come. POST /api/topups: cash taken at the counter. For staff."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from cloud import web
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services import scopes, topups
from cloud.services.money import stages as services
from cloud.tables import utc_now
from cloud.web import UserSession
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import Why

router = APIRouter(prefix="/api/topups")


class Cash(BaseModel):
    purse_id: UUID
    amount_fen: int = Field(strict=True)
    idempotency_key: UUID


class Stages(BaseModel):
    id: UUID
    purse_id: UUID
    amount_fen: int
    created_at: datetime
    paid_at: datetime | None
    credited_at: datetime | None
    delivered_at: datetime | None
    armed_at: datetime | None
    restored_at: datetime | None
    supply: Supply | None
    why: Why | None
    gateway_online: bool


@router.post("")
def take_cash(
    cash: Cash,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.TAKE_TOPUPS))],
    session: UserSession,
) -> Stages:
    """Credits cash, once per idempotency_key."""
    topup = topups.record_cash(
        session,
        purse_id=cash.purse_id,
        amount=Money(cash.amount_fen),
        by=user,
        idempotency_key=cash.idempotency_key,
    )
    return _stages(services.stages_of(session, topup.id, now=utc_now()))


@router.get("/{topup_id}")
def stages(
    topup_id: UUID,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_TOPUPS))],
    session: UserSession,
) -> Stages:
    """How far a top-up has come: paid, credited, delivered to the gateway, supply restored."""
    scopes.check_topup(session, user, topup_id)
    return _stages(services.stages_of(session, topup_id, now=utc_now()))


def _stages(found: services.Stages) -> Stages:
    return Stages(
        id=found.topup_id,
        purse_id=found.purse_id,
        amount_fen=found.amount.fen,
        created_at=found.created_at,
        paid_at=found.paid_at,
        credited_at=found.credited_at,
        delivered_at=found.delivered_at,
        armed_at=found.armed_at,
        restored_at=found.restored_at,
        supply=found.supply,
        why=found.why,
        gateway_online=found.gateway_online,
    )
