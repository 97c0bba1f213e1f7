"""What a tenant sees of the account: balances, supply, and the last top-ups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from cloud.services.board import PointCard
from prepaid.money import Money


@dataclass(frozen=True, slots=True)
class TopUpLine:
    topup_id: UUID
    purse_id: UUID
    amount: Money
    channel: str
    created_at: datetime
    paid_at: datetime | None
    credited_at: datetime | None


@dataclass(frozen=True, slots=True)
class TenantHome:
    """room and site are names; recent has the last ten paid top-ups, newest first."""

    account_id: UUID
    holder: str
    room: str
    room_id: UUID
    site: str
    points: tuple[PointCard, ...]
    recent: tuple[TopUpLine, ...]


def home(session: Session, account_id: UUID, *, now: datetime) -> TenantHome:
    """Raises NoSuchAccount."""
