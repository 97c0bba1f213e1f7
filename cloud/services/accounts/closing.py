"""Closing 销户: the supply is no longer this customer's from a register on.

Every meter falls vacant, the rooms are free, the customer's link ends. What is left is settled (settlement) once the
gateways have said up to which register the customer pays.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlmodel import Session, col

from cloud import events
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, downlog, ledger, scopes
from cloud.services.accounts import acts, opening, tenures
from cloud.services.accounts.acts import Act
from cloud.services.accounts.tenures import Typed
from cloud.services.money import purses
from cloud.tables import Account, Gateway, Occupancy, Purse, ServicePoint
from prepaid.money import Money


class AlreadyClosed(CloudError):
    status = 409
    sentence = "This account was closed on {day}. Nothing was changed."


def close(
    session: Session,
    by: SignedIn,
    account_id: UUID,
    *,
    typed: Mapping[UUID, Typed],
    why: str,
    now: datetime,
    other: UUID | None = None,
    act: Act = Act.CLOSED,
    to: Mapping[UUID, Purse] | None = None,
) -> Account:
    """Closes an account. typed are the last registers, where a person has read them; with to, somebody else's purse
    pays for these points from there on (services.accounts.moving), and for the others nobody.

    Raises scopes.NoSuchAccount, AlreadyClosed, purses.BadReason or tenures.BadReading.
    """
    account = locked(session, by, account_id)
    why = purses.reason(why)
    rooms = open_rooms(session, account_id)
    opening.lock_rooms(session, rooms)
    points = points_of(session, account_id)
    gateways = lock_gateways(session, account_id, points)
    for point in points:
        purse = to.get(point.id) if to else None
        gateway = gateways[point.gateway_id]
        tenures.begin(session, gateway, point, purse, typed=typed.get(point.id), now=now)
    session.execute(
        update(Occupancy)
        .where(col(Occupancy.account_id) == account_id, col(Occupancy.ended_at).is_(None))
        .values(ended_at=now)
    )
    account.closed_at = now
    session.add(account)
    session.flush()
    detail = {
        "why": why,
        "meters": [point.meter_no for point in points],
        "balance_fen": balance_of(session, account_id).fen,
    }
    acts.note(session, by, account, act, detail, other=other, now=now)
    audit.record(
        session, by, f"account.{act.value}", of="account", id=account_id, after=detail, now=now
    )
    for room_id in rooms:
        events.changed(session, account.organization_id, room_id=room_id, account_id=account_id)
    return account


def locked(session: Session, by: SignedIn, account_id: UUID) -> Account:
    """An open account, locked until the end of the transaction. Raises scopes.NoSuchAccount or AlreadyClosed."""
    scopes.check_account(session, by, account_id)
    account = session.get_one(Account, account_id, with_for_update=True, populate_existing=True)
    if account.closed_at is not None:
        raise AlreadyClosed(day=f"{account.closed_at:%Y-%m-%d}")
    return account


def open_rooms(session: Session, account_id: UUID) -> tuple[UUID, ...]:
    return tuple(
        session.execute(
            select(col(Occupancy.room_id))
            .where(col(Occupancy.account_id) == account_id, col(Occupancy.ended_at).is_(None))
            .order_by(col(Occupancy.room_id))
        ).scalars()
    )


def points_of(session: Session, account_id: UUID) -> list[ServicePoint]:
    """What the account pays for, by name."""
    return list(
        session.execute(
            select(ServicePoint)
            .join(Purse, col(Purse.id) == col(ServicePoint.purse_id))
            .where(col(Purse.account_id) == account_id)
            .order_by(col(ServicePoint.name), col(ServicePoint.id))
        ).scalars()
    )


def lock_gateways(
    session: Session, account_id: UUID, points: list[ServicePoint]
) -> dict[UUID, Gateway]:
    """The gateways of points, locked after the account's purses, as all lock in one order."""
    session.execute(
        select(col(Purse.id))
        .where(col(Purse.account_id) == account_id)
        .order_by(col(Purse.id))
        .with_for_update(key_share=True)
    ).all()
    return {g.id: g for g in downlog.lock(session, {p.gateway_id for p in points})}


def balance_of(session: Session, account_id: UUID) -> Money:
    """What all purses of the account hold together."""
    found = session.execute(select(col(Purse.id)).where(col(Purse.account_id) == account_id))
    return Money(sum(ledger.balance(session, id).fen for id in found.scalars()))
