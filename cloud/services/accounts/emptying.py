"""Emptying 余额随迁: a customer has gone to a room at another gateway, and what is left of the old purse follows.

It waits until the old gateway has said up to which register the customer pays there. Then it is asked for the money,
and what it has booked arrives in the new purse (services.money.withdrawals), so that nothing is spent twice. Gifts
stay gifts; what is lacking becomes a debt of the account. Then the old purse ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlmodel import Session, col

from cloud import auth, tables
from cloud.auth import SignedIn
from cloud.db import Database
from cloud.services import ledger
from cloud.services.accounts import settlement, tenures
from cloud.services.money import purses, withdrawals
from cloud.services.money.withdrawals import Asked, Kind
from cloud.tables import Account, Purse, ServicePoint
from prepaid.ledger import Reason, moving
from prepaid.money import ZERO, Money

WHY = "换房，余额随迁"


def follow(session: Session, by: SignedIn, account_id: UUID, to: Iterable[Purse]) -> None:
    """Purses of an account that pay for nothing any more are to be emptied into those of their purpose that do."""
    new = {purse.purpose: purse for purse in to}
    pays = select(col(ServicePoint.purse_id)).where(col(ServicePoint.purse_id).is_not(None))
    left = session.execute(
        select(Purse).where(
            col(Purse.account_id) == account_id,
            col(Purse.ended_at).is_(None),
            col(Purse.gateway_id).is_not(None),
            col(Purse.id).not_in(pays),
        )
    ).scalars()
    for purse in left:
        target = new.get(purse.purpose)
        if target is not None and target.id != purse.id:
            purse.moves_to, purse.moved_by = target.id, by.user_id
            session.add(purse)
    session.flush()


def empty_all(database: Database, organization_id: UUID, *, now: datetime) -> int:
    """Asks for what is left of such purses, as far as it is known; how many were ended or asked for."""
    with database.organization(organization_id) as session:
        ids = list(
            session.execute(
                select(col(Purse.id))
                .where(col(Purse.moves_to).is_not(None), col(Purse.ended_at).is_(None))
                .order_by(col(Purse.id))
            ).scalars()
        )
    done = 0
    for purse_id in ids:
        with database.organization(organization_id) as session:
            done += _empty(session, organization_id, purse_id, now=now)
    return done


def _empty(session: Session, organization_id: UUID, purse_id: UUID, *, now: datetime) -> bool:
    known = session.get_one(Purse, purse_id)
    assert known.moves_to is not None
    for each in sorted((purse_id, known.moves_to)):
        purses.locked(session, organization_id, each)
    purse = purses.locked(session, organization_id, purse_id)
    account = session.get_one(Account, purse.account_id)
    is_told = all(t.closed_at is not None for t in tenures.of_purses(session, [purse_id]))
    if purse.ended_at is not None or account.closed_at is not None or not is_told:
        return False
    if purses.held(session, purse_id) > ZERO:
        return False  # it is under way
    settlement.lack_becomes_debt(session, account, purse, now=now)
    balance = ledger.balance(session, purse_id)
    if balance == ZERO:
        purse.ended_at = now
        session.add(purse)
        session.flush()
        return True
    assert purse.moved_by is not None
    by = auth.of_user(session, session.get_one(tables.User, purse.moved_by))
    paid = purses.refundable_now(session, purse_id)
    for amount, reason in ((paid, Reason.MOVE), (balance - paid, Reason.SUBSIDY)):
        if amount > ZERO:
            _ask(session, by, purse, amount, reason, account.holder, now=now)
    return True


def _ask(
    session: Session,
    by: SignedIn,
    purse: Purse,
    amount: Money,
    reason: Reason,
    holder: str,
    *,
    now: datetime,
) -> None:
    assert purse.moves_to is not None
    id = uuid4()
    asked = Asked(
        kind=Kind.MOVE,
        amount=amount,
        credit=moving(purse.moves_to),
        reason=reason,
        cause=str(id),
        why=WHY,
        customer=holder,
        to_purse_id=purse.moves_to,
        is_unread_too=True,
    )
    row = withdrawals.ask(session, by, purse, asked, id=id, now=now)
    withdrawals.send(session, purse, row, now=now)
