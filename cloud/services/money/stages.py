"""Stages 到账进度: how far a top-up is, from the payment to the light."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from cloud.services import downlog
from cloud.services.scopes import NoSuchTopUp
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import Why


@dataclass(frozen=True, slots=True)
class Stages:
    """已支付 → 已入账 → 已下发 → 已送电, each with its time once reached.

    armed_at: the customer may close the relay with the meter's button. supply and why are now, of the
    purse's service point that is worst off. code_entered_at: it reached the gateway by its offline code.
    """

    topup_id: UUID
    purse_id: UUID
    amount: Money
    created_at: datetime
    paid_at: datetime | None
    credited_at: datetime | None
    delivered_at: datetime | None
    armed_at: datetime | None
    restored_at: datetime | None
    supply: Supply | None
    why: Why | None
    gateway_online: bool
    code_entered_at: datetime | None = None


_STAGES = text("""
    SELECT t.id, t.purse_id, t.amount_fen, t.created_at, t.paid_at, t.credited_at, t.delivered_at,
           t.armed_at, t.restored_at, t.code_entered_at, s.supply, s.why, g.heard_at
    FROM topups t
    JOIN purses p ON p.id = t.purse_id
    LEFT JOIN gateways g ON g.id = p.gateway_id
    LEFT JOIN LATERAL (
        SELECT s.supply, s.why FROM points sp JOIN point_states s ON s.point_id = sp.id
        WHERE sp.purse_id = t.purse_id
        ORDER BY array_position(ARRAY['off', 'armed', 'on'], s.supply) NULLS LAST LIMIT 1
    ) s ON true
    WHERE t.id = :topup AND (CAST(:account AS uuid) IS NULL OR p.account_id = :account)
      AND (CAST(:organization AS uuid) IS NULL OR t.organization_id = :organization)
""")


def stages_of(
    session: Session,
    topup_id: UUID,
    *,
    now: datetime,
    organization_id: UUID | None = None,
    account_id: UUID | None = None,
) -> Stages:
    """Where a top-up is. With organization_id or account_id, only if it is theirs. Raises NoSuchTopUp."""
    row = session.execute(
        _STAGES,
        {"topup": topup_id, "organization": organization_id, "account": account_id},
    ).one_or_none()
    if row is None:
        raise NoSuchTopUp
    return Stages(
        topup_id=row.id,
        purse_id=row.purse_id,
        amount=Money(row.amount_fen),
        created_at=row.created_at,
        paid_at=row.paid_at,
        credited_at=row.credited_at,
        delivered_at=row.delivered_at,
        armed_at=row.armed_at,
        restored_at=row.restored_at,
        supply=Supply(row.supply) if row.supply else None,
        why=Why(row.why) if row.why else None,
        gateway_online=row.heard_at is not None and row.heard_at > now - downlog.ONLINE,
        code_entered_at=row.code_entered_at,
    )
