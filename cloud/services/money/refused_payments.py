"""Refused payments 未入账付款: what a channel has signed and we have not booked, as it was not as ordered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from prepaid.money import Money

MOST = 100


@dataclass(frozen=True, slots=True)
class Refused:
    """A payment of an order, with what was paid and what was ordered; is_credited: the order was credited by another
    notice, so that nothing is left to be done; is_returned: the channel has given money of it back."""

    topup_id: UUID
    channel: str
    holder: str
    out_trade_no: str
    transaction_id: str
    paid: Money
    ordered: Money
    at: datetime
    is_credited: bool
    is_returned: bool


_REFUSED = text("""
    SELECT t.id, t.channel, a.holder, t.out_trade_no, n.transaction_id, n.amount_fen AS paid_fen, t.amount_fen,
           n.created_at, t.credited_at IS NOT NULL AS is_credited, t.refunded_at IS NOT NULL AS is_returned
    FROM refused_notices n
    JOIN topups t ON t.id = n.topup_id
    JOIN purses p ON p.id = t.purse_id JOIN accounts a ON a.id = p.account_id
    WHERE n.organization_id = :organization
    ORDER BY n.created_at DESC LIMIT :most
""")


def listed(session: Session, organization_id: UUID) -> list[Refused]:
    """The newest MOST, the newest first."""
    rows = session.execute(_REFUSED, {"organization": organization_id, "most": MOST})
    return [
        Refused(
            topup_id=row.id,
            channel=row.channel,
            holder=row.holder,
            out_trade_no=row.out_trade_no,
            transaction_id=row.transaction_id,
            paid=Money(row.paid_fen),
            ordered=Money(row.amount_fen),
            at=row.created_at,
            is_credited=row.is_credited,
            is_returned=row.is_returned,
        )
        for row in rows
    ]
