"""Opening again 重新开户: an account that was opened after the backup to which the database was put back.

Its gateway still has the purses, with all that was paid into them, taken out and charged. The account is opened again
with those purses, under their own ids, and they pay for their points as before: then both ledgers say the same, and
nobody is cut off meanwhile. Who lives there no gateway knows; a person says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, downlog, ledger, scopes
from cloud.services.accounts import acts, drafts, opening, tenures
from cloud.services.accounts.acts import Act
from cloud.services.accounts.drafts import Holder
from cloud.services.money import lost_transfers, purses
from cloud.services.money.lost_transfers import NoSuchLostTransfer
from cloud.tables import Account, LostTransfer, Purse, ServicePoint
from prepaid.ledger import Reason, Transfer, prepaid
from prepaid.purse import Purpose, pays_for
from prepaid.wire.message import BadMessage
from prepaid.wire.uplog import Charged, read_up


class NoPoint(CloudError):
    status = 409
    sentence = (
        "No meter that this purse paid for is known here: it was put up after the backup, too. Add the meter again at"
        " gateway {gateway_no}, open the account and enter its money at the counter; then write here that you have."
    )


def reopen(
    session: Session, by: SignedIn, purse_id: UUID, holder: Holder, *, now: datetime
) -> Account:
    """The account that had this purse, opened again, with the other lost purses of its rooms; all that their gateway
    has booked of them is booked here.

    Raises NoSuchLostTransfer, lost_transfers.IsSettled, scopes.NoSuchRoom, drafts.BadDraft, opening.RoomTaken or
    NoPoint; then nothing is opened.
    """
    drafts.check_holder(holder)
    gateway, lost = _lost(session, by, purse_id)
    if purse_id not in lost:
        raise NoPoint(gateway_no=gateway.gateway_no)
    rooms = tuple(sorted({point.room_id for points in lost.values() for point in points}))
    for room_id in rooms:
        scopes.check_room(session, by, room_id)
    opening.lock_rooms(session, rooms)
    opening.check_free(session, rooms)
    account = opening.begin(session, by, holder, rooms, now=now)
    numbers = {id: _number(session, id) for id in lost}
    for id, points in sorted(lost.items()):
        session.add(
            Purse(
                id=id,
                organization_id=by.organization_id,
                created_at=now,
                account_id=account.id,
                purpose=_purpose(points).value,
                gateway_id=gateway.id,
                credits=numbers[id],
            )
        )
    session.flush()
    locked = [purses.locked(session, by.organization_id, id) for id in sorted(lost)]
    downlog.lock(session, [gateway.id])
    booked = 0
    for purse in locked:
        booked += lost_transfers.book_all(session, by, purse, now=now)
        ledger.post(session, by.organization_id, _charges(session, gateway, purse), carry_to=now)
        for point in lost[purse.id]:
            tenures.begin(session, gateway, point, purse, typed=None, now=now)
    detail = {
        "meters": [point.meter_no for points in lost.values() for point in points],
        "topup_fen": 0,
        "old_balance_fen": sum(ledger.balance(session, purse.id).fen for purse in locked),
    }
    acts.note(session, by, account, Act.OPENED, detail, now=now)
    after = {"holder": account.holder, "purses": [str(purse.id) for purse in locked]}
    audit.record(session, by, "account.reopened", of="account", id=account.id, after=after, now=now)
    return account


def _lost(
    session: Session, by: SignedIn, purse_id: UUID
) -> tuple[tables.Gateway, Mapping[UUID, Sequence[ServicePoint]]]:
    """The gateway of a lost purse; and by purse, which the database does not know, the points that it paid for there:
    of this one, and of all that paid for others in the same rooms."""
    row = session.execute(
        select(LostTransfer).where(
            col(LostTransfer.purse_id) == purse_id,
            col(LostTransfer.organization_id) == by.organization_id,
        )
    ).scalars()
    known = next(iter(row), None)
    if known is None:
        raise NoSuchLostTransfer
    try:
        gateway = scopes.check_gateway(session, by, known.gateway_id)
    except scopes.NoSuchGateway:
        raise NoSuchLostTransfer from None
    if session.get(Purse, purse_id) is not None:
        raise lost_transfers.IsSettled
    waiting = session.execute(
        select(LostTransfer)
        .where(
            col(LostTransfer.gateway_id) == gateway.id,
            col(LostTransfer.settled_at).is_(None),
            col(LostTransfer.purse_id).not_in(select(col(Purse.id))),
        )
        .order_by(col(LostTransfer.id))
        .with_for_update()
    ).scalars()
    paid_for = {each.purse_id: [UUID(point) for point in each.points] for each in waiting}
    points = {
        point.id: point
        for point in session.execute(
            select(ServicePoint).where(
                col(ServicePoint.gateway_id) == gateway.id,
                col(ServicePoint.ended_at).is_(None),
                col(ServicePoint.id).in_({p for ids in paid_for.values() for p in ids}),
            )
        ).scalars()
    }
    found = {id: [points[p] for p in ids if p in points] for id, ids in paid_for.items()}
    rooms = {point.room_id for point in found.get(purse_id, ())}
    return gateway, {
        id: here for id, here in found.items() if rooms & {point.room_id for point in here}
    }


def _purpose(points: Sequence[ServicePoint]) -> Purpose:
    """The narrowest purpose that pays for all of these."""
    return next(
        purpose
        for purpose in (Purpose.ELECTRICITY, Purpose.WATER, Purpose.UTILITY)
        if all(pays_for(purpose, point.commodity) for point in points)
    )


def _number(session: Session, purse_id: UUID) -> int:
    """Up to which no credit's number of the purse is given again."""
    number: int = session.execute(
        select(func.max(col(LostTransfer.number))).where(col(LostTransfer.purse_id) == purse_id)
    ).scalar_one()
    return number


def _charges(session: Session, gateway: tables.Gateway, purse: Purse) -> list[Transfer]:
    """What the gateway has charged to a purse that was not known here, as it told in its log."""
    row, book = tables.Rejected, prepaid(purse.id)
    bodies = session.execute(
        select(col(row.body)).where(
            col(row.gateway_id) == gateway.id,
            col(row.log) == gateway.up_log,
            col(row.body).contains(book, autoescape=True),
        )
    ).scalars()
    found: list[Transfer] = []
    for body in bodies:
        try:
            message = read_up(body)
        except BadMessage:
            continue
        if isinstance(message, Charged):
            found += [
                transfer
                for transfer in message.transfers
                if transfer.debit == book
                and transfer.reason is Reason.CHARGE
                and transfer.credit.startswith("Income:")
            ]
    return found
