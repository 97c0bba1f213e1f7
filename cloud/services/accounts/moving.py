"""Moving: 过户, the rooms of an account go over to another holder; 换房, a customer goes over to another room.

At the gateways both are a change of payer, from a register on. 过户 is refused while anything is owed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select, update
from sqlmodel import Session, col

from cloud import events, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, ledger, pointsets, scopes
from cloud.services.accounts import (
    acts,
    closing,
    drafts,
    emptying,
    households,
    listing,
    opening,
    tenures,
)
from cloud.services.accounts.acts import Act
from cloud.services.accounts.drafts import Holder
from cloud.services.accounts.tenures import Typed
from cloud.services.money import purses
from cloud.tables import Account, Occupancy, Purse
from prepaid.money import ZERO, Money
from prepaid.purse import Purpose


class Balance(StrEnum):
    """What becomes of what the purses hold when the rooms go over."""

    WITH_ROOM = "with-room"  # 随房: the purses go over with all that is in them
    WITH_HOLDER = "with-holder"  # 随户/退费: it stays with who leaves, to be settled


class Owes(CloudError):
    status = 409
    sentence = "¥{amount} is owed. Let it be paid first: debts do not go over to somebody else."


class NotThisRoom(CloudError):
    status = 409
    field = "from_room"
    sentence = "Room {room} is not one of this account."


class SameRoom(CloudError):
    status = 422
    field = "to_room"
    sentence = "Choose another room to go to."


def transfer(
    session: Session,
    by: SignedIn,
    account_id: UUID,
    holder: Holder,
    balance: Balance,
    *,
    typed: Mapping[UUID, Typed],
    why: str,
    now: datetime,
) -> Account:
    """过户: the account of the next holder, who has all the rooms from now on; the one before is closed.

    With the room the purses themselves go over: nothing is cut, read or booked, also while the gateway is away, and
    tiers count on. With the holder there are new purses, which begin with nothing: the next holder's use begins at
    the typed registers, or the gateway's next reading.

    Raises scopes.NoSuchAccount, closing.AlreadyClosed, Owes, drafts.BadDraft, purses.BadReason or tenures.BadReading.
    """
    account = closing.locked(session, by, account_id)
    drafts.check_holder(holder)
    if (owed := debt_of(session, account_id)) > ZERO:
        raise Owes(amount=owed)
    rooms = closing.open_rooms(session, account_id)
    points = closing.points_of(session, account_id)
    held = closing.balance_of(session, account_id)
    opening.lock_rooms(session, rooms)
    successor = opening.begin(session, by, holder, (), now=now, timezone_of=rooms[0])
    today = opening.today(session, rooms[0], now=now)
    persons = households.in_force(session, successor.id, today=today)
    changed = [point for point in points if point.persons != persons]
    for point in changed:
        point.persons = persons
        session.add(point)
    if balance is Balance.WITH_HOLDER:
        paying = {
            point.id: opening.purse_at(
                session, successor, Purpose(_purpose(session, point)), point.gateway_id
            )
            for point in points
        }
        closing.close(
            session,
            by,
            account_id,
            typed=typed,
            why=why,
            now=now,
            other=successor.id,
            act=Act.HANDED_OVER,
            to=paying,
        )
    else:
        gateways = closing.lock_gateways(session, account_id, changed)
        for point in changed:
            pointsets.publish(session, gateways[point.gateway_id], point)
        _hand_purses(session, by, account, successor, rooms, held, typed, why=why, now=now)
    opening.occupy(session, successor, rooms, now=now)
    detail = {"why": why, "balance": balance.value, "balance_fen": held.fen}
    acts.note(session, by, successor, Act.TAKEN_OVER, detail, other=account_id, now=now)
    audit.record(
        session,
        by,
        "account.taken-over",
        of="account",
        id=successor.id,
        after={**detail, "from": str(account_id), "holder": holder.name},
        now=now,
    )
    return successor


def debt_of(session: Session, account_id: UUID) -> Money:
    """What is owed: by purses below nothing, and beside them."""
    found = session.execute(select(col(Purse.id)).where(col(Purse.account_id) == account_id))
    held = [ledger.balance(session, purse_id) for purse_id in found.scalars()]
    lacking = sum((ZERO - each for each in held if each < ZERO), ZERO)
    return lacking + max(listing.owed(session, account_id), ZERO)


def _purpose(session: Session, point: tables.ServicePoint) -> str:
    assert point.purse_id is not None
    return session.get_one(Purse, point.purse_id).purpose


def _hand_purses(
    session: Session,
    by: SignedIn,
    account: Account,
    successor: Account,
    rooms: tuple[UUID, ...],
    held: Money,
    typed: Mapping[UUID, Typed],
    *,
    why: str,
    now: datetime,
) -> None:
    """The purses are the successor's from now on; the account before has nothing left, and is settled with that."""
    why = purses.reason(why)
    session.execute(
        update(Purse).where(col(Purse.account_id) == account.id).values(account_id=successor.id)
    )
    session.execute(
        update(Occupancy)
        .where(col(Occupancy.account_id) == account.id, col(Occupancy.ended_at).is_(None))
        .values(ended_at=now)
    )
    account.closed_at = account.settled_at = now
    session.add(account)
    session.flush()
    session.expire_all()
    detail = {
        "why": why,
        "balance": Balance.WITH_ROOM.value,
        "balance_fen": held.fen,
        "registers": {str(id): str(read.total) for id, read in typed.items()},
    }
    acts.note(session, by, account, Act.HANDED_OVER, detail, other=successor.id, now=now)
    audit.record(
        session, by, "account.handed-over", of="account", id=account.id, after=detail, now=now
    )
    for room_id in rooms:
        events.changed(session, account.organization_id, room_id=room_id, account_id=account.id)


def change_room(
    session: Session,
    by: SignedIn,
    account_id: UUID,
    *,
    from_room: UUID,
    to_room: UUID,
    typed: Mapping[UUID, Typed],
    why: str,
    now: datetime,
) -> Account:
    """换房: the account has another room in the place of one of its own, whose meters fall vacant.

    Purses at the gateway of the new room pay there; at another gateway there are new ones, which begin with nothing:
    what is left in those that pay for nothing any more follows, once the old gateway has read the meters (emptying).

    Raises scopes.NoSuchAccount, NoSuchRoom, closing.AlreadyClosed, NotThisRoom, SameRoom, opening.RoomTaken,
    purses.BadReason or tenures.BadReading.
    """
    account = closing.locked(session, by, account_id)
    why = purses.reason(why)
    old, new = (scopes.check_room(session, by, room) for room in (from_room, to_room))
    if from_room == to_room:
        raise SameRoom
    opening.lock_rooms(session, tuple(sorted((from_room, to_room))))
    if from_room not in closing.open_rooms(session, account_id):
        raise NotThisRoom(room=old.name)
    opening.check_free(session, (to_room,))
    leaving = [p for p in closing.points_of(session, account_id) if p.room_id == from_room]
    coming = drafts.points_of(session, [to_room])
    purposes = {point.commodity: Purpose(_purpose(session, point)) for point in leaving}
    paying = {
        point.id: opening.purse_at(
            session,
            account,
            purposes.get(point.commodity, drafts.usual_purpose(point.commodity)),
            point.gateway_id,
        )
        for point in coming
    }
    gateways = closing.lock_gateways(session, account_id, [*leaving, *coming])
    for point in leaving:
        gateway = gateways[point.gateway_id]
        tenures.begin(session, gateway, point, None, typed=typed.get(point.id), now=now)
    for point in coming:
        gateway = gateways[point.gateway_id]
        point.persons = households.in_force(
            session, account_id, today=opening.today(session, to_room, now=now)
        )
        tenures.begin(session, gateway, point, paying[point.id], typed=typed.get(point.id), now=now)
    session.execute(
        update(Occupancy)
        .where(
            col(Occupancy.account_id) == account_id,
            col(Occupancy.room_id) == from_room,
            col(Occupancy.ended_at).is_(None),
        )
        .values(ended_at=now)
    )
    emptying.follow(session, by, account_id, paying.values())
    opening.occupy(session, account, (to_room,), now=now)
    events.changed(session, by.organization_id, room_id=from_room, account_id=account_id)
    detail = {"why": why, "from": old.name, "to": new.name}
    acts.note(session, by, account, Act.ROOMS_CHANGED, detail, now=now)
    audit.record(
        session,
        by,
        "account.rooms-changed",
        of="account",
        id=account_id,
        before={"room": str(from_room)},
        after={"room": str(to_room), "why": why},
        now=now,
    )
    return account
