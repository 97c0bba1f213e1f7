"""Loose cash 未归班现金: what moved while no drawer was open for it, until somebody says that it was in his."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import text, update
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit
from cloud.services.money import shifts
from prepaid.money import Money


class NotLoose(CloudError):
    status = 409
    sentence = "This is in a drawer already. Load the page again."


@dataclass(frozen=True, slots=True)
class Loose:
    """Cash that moved while no drawer was open for it 未归班现金: in where amount is above nothing, else out."""

    id: UUID
    kind: Literal["topup", "withdrawal"]
    amount: Money
    holder: str
    by: str | None
    at: datetime


LOOSE_FOR = timedelta(days=31)

_LOOSE = text("""
    SELECT x.id, x.kind, x.fen, x.at, a.holder, u.name AS by
    FROM (
        SELECT w.id, 'withdrawal' AS kind, -w.amount_fen - w.fee_fen AS fen, w.booked_at AS at, w.purse_id,
               w.asked_by AS user_id
        FROM withdrawals w JOIN topups t ON t.id = w.topup_id
        WHERE w.organization_id = :organization AND w.kind = 'reversal' AND t.channel = 'cash'
          AND w.shift_id IS NULL AND w.booked_at IS NOT NULL AND w.undone_at IS NULL AND w.cancelled_at IS NULL
        UNION ALL
        SELECT id, 'topup', amount_fen, credited_at, purse_id, taken_by FROM topups
        WHERE organization_id = :organization AND channel = 'cash' AND shift_id IS NULL AND credited_at > :since
    ) x
    JOIN purses p ON p.id = x.purse_id JOIN accounts a ON a.id = p.account_id
    LEFT JOIN users u ON u.id = x.user_id
    ORDER BY x.at DESC LIMIT 200
""")


def listed(session: Session, organization_id: UUID, *, now: datetime) -> list[Loose]:
    """The newest first; of money that was taken, that of the last LOOSE_FOR."""
    rows = session.execute(_LOOSE, {"organization": organization_id, "since": now - LOOSE_FOR})
    return [Loose(r.id, r.kind, Money(int(r.fen)), r.holder, r.by, r.at) for r in rows]


def claim(
    session: Session, by: SignedIn, kind: Literal["topup", "withdrawal"], id: UUID, *, now: datetime
) -> None:
    """It was in by's drawer: it counts in the open shift of by. Raises NoShift or NotLoose."""
    shift = shifts.mine(session, by)
    if (kind, id) not in {
        (one.kind, one.id) for one in listed(session, by.organization_id, now=now)
    }:
        raise NotLoose
    row = tables.TopUp if kind == "topup" else tables.Withdrawal
    session.execute(
        update(row)
        .where(
            col(row.id) == id,
            col(row.organization_id) == by.organization_id,
            col(row.shift_id).is_(None),
        )
        .values(shift_id=shift.id)
    )
    said = {"shift": str(shift.id)}
    audit.record(session, by, "claim-cash", of=kind, id=id, after=said, now=now)
