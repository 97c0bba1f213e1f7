"""MoneyRules 收费规则: an organization's service fee on top-ups, and what a cashier may not decide alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit
from prepaid.money import ZERO, Money

MOST_BASIS_POINTS = 1000  # 10 %


class BadFee(CloudError):
    status = 422
    field = "fee"
    sentence = "A service fee is from 0 to {most} % of what is paid."


class BadLimit(CloudError):
    status = 422
    field = "alone"
    sentence = "The limit for refunds that need no second person is not below ¥0."


@dataclass(frozen=True, slots=True)
class Rules:
    """fee_basis_points is of what is paid, in hundredths of a percent. A refund above alone needs a second person.
    is_fee_refunded: with what is refunded of a top-up its part of the fee goes back."""

    fee_basis_points: int = 0
    is_fee_refunded: bool = False
    alone: Money = ZERO

    @property
    def percent(self) -> Decimal:
        """The service fee in percent."""
        return Decimal(self.fee_basis_points).scaleb(-2)

    def fee(self, amount: Money) -> Money:
        """The service fee in what is paid, rounded down to a fen."""
        return Money(amount.fen * self.fee_basis_points // 10_000)


NO_RULES = Rules(alone=Money.yuan("200"))
"""Of an organization that has set none: no fee; refunds of what a household tops up need one person."""


def of(session: Session, organization_id: UUID) -> Rules:
    row = session.get(tables.MoneyRules, organization_id)
    if row is None:
        return NO_RULES
    return Rules(row.fee_basis_points, row.is_fee_refunded, Money(row.alone_fen))


def save(session: Session, by: SignedIn, rules: Rules, *, now: datetime) -> None:
    """From now on; what was begun before keeps its fee. Raises BadFee or BadLimit."""
    if not 0 <= rules.fee_basis_points <= MOST_BASIS_POINTS:
        raise BadFee(most=MOST_BASIS_POINTS // 100)
    if rules.alone < ZERO:
        raise BadLimit
    before = of(session, by.organization_id)
    values = {
        "fee_basis_points": rules.fee_basis_points,
        "is_fee_refunded": rules.is_fee_refunded,
        "alone_fen": rules.alone.fen,
    }
    session.execute(
        insert(tables.MoneyRules)
        .values(organization_id=by.organization_id, **values)
        .on_conflict_do_update(index_elements=["organization_id"], set_=values)
    )
    audit.record(
        session,
        by,
        "change",
        of="money-rules",
        id=by.organization_id,
        before={
            "fee_basis_points": before.fee_basis_points,
            "is_fee_refunded": before.is_fee_refunded,
            "alone_fen": before.alone.fen,
        },
        after=values,
        now=now,
    )
