"""Where the settlement of a closed account stands: its last registers, what is left of its purses, what it owes.

The gateways say up to which register the customer pays, by their own reading or the one that a person typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select, text
from sqlmodel import Session, col

from cloud.auth import SignedIn
from cloud.services import ledger, scopes
from cloud.services.accounts import listing
from cloud.services.money import purses
from cloud.tables import Purse
from prepaid.money import ZERO, Money


@dataclass(frozen=True, slots=True)
class LastReading:
    """Up to which register the customer paid for a meter; total is None while its gateway has not said so.

    typed is what a person had read; stated what two people say, where the gateway does not come back (stating), and
    by whom. last_total is what the gateway read last, whoever paid for it.
    """

    point_id: UUID
    name: str
    meter_no: str
    unit: str
    total: Decimal | None
    at: datetime | None
    typed: Decimal | None
    gateway_no: str
    is_delivered: bool
    stated: Decimal | None
    stated_by: str | None
    last_total: Decimal | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a purse: its balance, and of it what was paid for and can be refunded, what was given, and what
    is asked for already and waits for the gateway."""

    purse_id: UUID
    purpose: str
    balance: Money
    refundable: Money
    given: Money
    held: Money


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the settlement of a closed account stands. owed is what the account owes beside its purses."""

    readings: tuple[LastReading, ...]
    left: tuple[Left, ...]
    owed: Money

    @property
    def waits_for(self) -> list[str]:
        return [each.name for each in self.readings if each.total is None and each.stated is None]

    @property
    def refundable(self) -> Money:
        """What would go back to the customer once the debts are paid."""
        paid = Money(sum(each.refundable.fen for each in self.left))
        lacking = Money(sum(each.balance.fen for each in self.left if each.balance < ZERO))
        return max(paid + lacking - max(self.owed, ZERO), ZERO)


# The last time of each purse at each point; what began and ended before the gateway heard of it used nothing.
_LAST = text("""
    SELECT p.id, p.name, p.meter_no, d.unit, t.closed_total, t.closed_at, g.gateway_no,
           n.typed_total, n.delivered_at, t.stated_total, x.name AS stated_by,
           s.total AS last_total, s.read_at AS last_at
    FROM tenures t
    JOIN purses u ON u.id = t.purse_id
    JOIN points p ON p.id = t.point_id
    JOIN tariffs d ON d.id = p.tariff_id
    JOIN gateways g ON g.id = t.gateway_id
    LEFT JOIN users x ON x.id = t.stated_by
    LEFT JOIN point_states s ON s.point_id = p.id
    LEFT JOIN LATERAL (
        SELECT typed_total, delivered_at FROM tenures n
        WHERE n.point_id = t.point_id AND n.created_at > t.created_at
        ORDER BY n.created_at LIMIT 1
    ) n ON true
    WHERE u.account_id = :account AND t.ended_at IS NOT NULL
    ORDER BY p.name, t.created_at
""")


def of(session: Session, by: SignedIn, account_id: UUID) -> Standing:
    """Raises scopes.NoSuchAccount."""
    scopes.check_account(session, by, account_id)
    readings = tuple(
        LastReading(
            point_id=row.id,
            name=row.name,
            meter_no=row.meter_no,
            unit=row.unit,
            total=row.closed_total,
            at=row.closed_at,
            typed=row.typed_total,
            gateway_no=row.gateway_no,
            is_delivered=row.delivered_at is not None,
            stated=row.stated_total,
            stated_by=row.stated_by,
            last_total=row.last_total,
            last_at=row.last_at,
        )
        for row in session.execute(_LAST, {"account": account_id})
    )
    found = session.execute(
        select(Purse).where(col(Purse.account_id) == account_id).order_by(col(Purse.created_at))
    ).scalars()
    return Standing(
        readings,
        tuple(left_of(session, purse) for purse in found),
        listing.owed(session, account_id),
    )


def left_of(session: Session, purse: Purse) -> Left:
    balance, held = ledger.balance(session, purse.id), purses.held(session, purse.id)
    paid = purses.refundable_now(session, purse.id)
    return Left(
        purse_id=purse.id,
        purpose=purse.purpose,
        balance=balance,
        refundable=paid,
        given=max(balance - held - paid, ZERO),
        held=held,
    )
