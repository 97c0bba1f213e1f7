"""What each kind of withdrawal does when its money has left the purse, in that transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlmodel import Session

from cloud.services.money import grants, moves, refunds, reversals
from cloud.services.money.withdrawals import Kind
from cloud.tables import Withdrawal

BOOKED: dict[Kind, Callable[[Session, Withdrawal, datetime], None]] = {
    Kind.REFUND: refunds.booked,
    Kind.REVERSAL: reversals.booked,
    Kind.ADJUSTMENT: grants.booked,
    Kind.MOVE: moves.booked,
}
