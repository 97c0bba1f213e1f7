"""What only gateways know: booked there after the backup to which the database was put back.

Each gateway is asked when it is heard after a restore (services.restored), and tells what purses were credited and
what was taken out of them. A person books each here, or says why not. The transfer is the gateway's own, so it is
booked once, whoever finds it first: the channel's bill, the gateway's log, or this. An account that was opened
after the backup is opened again with all of its own (accounts.reopening).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import events, tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, ledger, scopes, takeover
from cloud.services.money import purses, withdrawal_answers
from prepaid.ledger import Book, Reason, Transfer, prepaid
from prepaid.money import Money
from prepaid.wire.uplog import Recalled, Trouble

log = logging.getLogger(__name__)


class NoSuchLostTransfer(CloudError):
    status = 404
    sentence = "There is no such entry of a gateway's books."


class IsSettled(CloudError):
    status = 409
    sentence = "Somebody has seen to this already."


class PurseIsGone(CloudError):
    status = 409
    sentence = (
        "The account was opened after the backup, so there is no purse for this money. Open the account again here:"
        " all that its gateway has booked comes with it."
    )


class NotAsked(Exception):
    """A gateway tells of what it was not asked for."""


MOST_LOST = 10_000
"""Nobody is credited so often between a backup and a restore."""

_WAS_ASKED = text("""
    SELECT exists (SELECT FROM down_entries
                   WHERE gateway_id = :gateway AND body::jsonb ->> 'kind' = 'recall')
""")


@dataclass(frozen=True, slots=True)
class Lost:
    """One that waits for a person. holder is None where the database does not know the purse; then rooms are those
    of the points that it paid for. is_debit: it was taken out of the purse."""

    id: UUID
    gateway_no: str
    purse_id: UUID
    holder: str | None
    rooms: str | None
    amount: Money
    reason: Reason
    cause: str
    at: datetime
    is_debit: bool


def told(session: Session, gateway: tables.Gateway, message: Recalled, *, now: datetime) -> int:
    """Keeps what a gateway has booked and we have not; how many. Needs a system session and the gateway locked.

    No number that the purse had is given again. Raises NotAsked: what was lost is known by nobody else, so a gateway
    is believed only where the database was put back, and of its own purses.
    """
    purse, transfer, row = tables.Purse, tables.Transfer, tables.LostTransfer
    known = session.get(purse, message.purse)
    if known is not None and known.gateway_id != gateway.id:
        raise NotAsked(f"purse {message.purse} is not of this gateway")
    if not session.execute(_WAS_ASKED, {"gateway": gateway.id}).scalar_one():
        raise NotAsked("the gateway was not asked for its credits")
    session.execute(
        update(purse)
        .where(
            col(purse.id) == message.purse,
            col(purse.credits) < message.number,
            col(purse.credits) > message.number - MOST_LOST,
        )
        .values(credits=message.number)
    )
    given = (*message.credits, *message.debits)
    ids = [each.id for each in given]
    booked = set(
        session.execute(select(col(transfer.id)).where(col(transfer.id).in_(ids))).scalars()
    )
    lost = [each for each in given if each.id not in booked]
    if not lost:
        return 0
    session.execute(
        insert(row)
        .values(
            [
                {
                    "organization_id": gateway.organization_id,
                    "id": each.id,
                    "created_at": now,
                    "gateway_id": gateway.id,
                    "purse_id": message.purse,
                    "debit": each.debit,
                    "credit": each.credit,
                    "amount_fen": each.amount.fen,
                    "reason": each.reason.value,
                    "cause": each.cause,
                    "at": each.at,
                    "number": message.number,
                    "points": [str(point) for point in message.points],
                }
                for each in lost
            ]
        )
        .on_conflict_do_nothing()
    )
    log.warning(
        "gateway %s has booked %s transfers of purse %s that the database has not: a person must see to them",
        *(gateway.gateway_no, len(lost), message.purse),
    )
    events.changed(session, gateway.organization_id)
    return len(lost)


_OPEN = text(f"""
    SELECT l.id, g.gateway_no, l.purse_id, a.holder, l.amount_fen, l.reason, l.cause, l.at,
           l.debit = 'Liabilities:Prepaid:' || l.purse_id AS is_debit,
           (SELECT string_agg(DISTINCT b.name || ' ' || r.name, '、')
            FROM rooms r JOIN buildings b ON b.id = r.building_id
            WHERE r.id IN (SELECT room_id FROM occupancies WHERE account_id = a.id)
               OR a.id IS NULL AND r.id IN (
                   SELECT room_id FROM points WHERE l.points @> to_jsonb(CAST(points.id AS text)))) AS rooms
    FROM lost_transfers l
    JOIN gateways g ON g.id = l.gateway_id
    LEFT JOIN purses p ON p.id = l.purse_id
    LEFT JOIN accounts a ON a.id = p.account_id
    WHERE l.organization_id = :organization AND l.settled_at IS NULL AND {scopes.GATEWAY}
      AND NOT EXISTS (SELECT FROM transfers t WHERE t.id = l.id)
    ORDER BY l.at, l.id
""")


def waiting(session: Session, by: SignedIn) -> list[Lost]:
    """Those that nobody has seen to and that were not found again since, the oldest first."""
    rows = session.execute(_OPEN, {"organization": by.organization_id, **scopes.given(by.scope)})
    return [
        Lost(
            id=row.id,
            gateway_no=row.gateway_no,
            purse_id=row.purse_id,
            holder=row.holder,
            rooms=row.rooms,
            amount=Money(row.amount_fen),
            reason=Reason(row.reason),
            cause=row.cause,
            at=row.at,
            is_debit=row.is_debit,
        )
        for row in rows
    ]


def book(session: Session, by: SignedIn, id: UUID, *, now: datetime) -> None:
    """Books the gateway's transfer here, too; a month whose books are closed gets it as an adjustment of today's.

    Raises NoSuchLostTransfer, IsSettled or PurseIsGone.
    """
    known = _known(session, by, id)
    purse = session.get(tables.Purse, known.purse_id)
    if purse is None or purse.organization_id != by.organization_id:
        raise PurseIsGone
    # In the order of all locks: the purse before anything of it.
    purse = purses.locked(session, by.organization_id, known.purse_id)
    row = _locked(session, known.id)
    if session.get(tables.Transfer, row.id) is not None:
        raise IsSettled
    _book(session, by, purse, row, now=now)


def book_all(session: Session, by: SignedIn, purse: tables.Purse, *, now: datetime) -> int:
    """Books all that waits of a locked purse, in its order; how many."""
    row, transfer = tables.LostTransfer, tables.Transfer
    waiting = session.execute(
        select(row)
        .where(
            col(row.purse_id) == purse.id,
            col(row.settled_at).is_(None),
            ~select(col(transfer.id)).where(col(transfer.id) == col(row.id)).exists(),
        )
        .order_by(col(row.at), col(row.id))
        .with_for_update()
    ).scalars()
    found = list(waiting)
    for each in found:
        _book(session, by, purse, each, now=now)
    return len(found)


def _book(
    session: Session,
    by: SignedIn,
    purse: tables.Purse,
    row: tables.LostTransfer,
    *,
    now: datetime,
) -> None:
    transfer = Transfer(
        debit=Book(row.debit),
        credit=Book(row.credit),
        amount=Money(row.amount_fen),
        reason=Reason(row.reason),
        cause=row.cause,
        at=row.at,
    )
    if transfer.credit == prepaid(purse.id):
        purses.credit(session, purse, [transfer], carry_to=now)
    elif not withdrawal_answers.adopt(session, purse, transfer, gateway_id=row.gateway_id, now=now):
        ledger.post(session, purse.organization_id, [transfer], carry_to=now)
    _settle(session, by, row, note=None, now=now)


def settle(session: Session, by: SignedIn, id: UUID, *, note: str, now: datetime) -> None:
    """It is not to be booked here, and why. Raises NoSuchLostTransfer, IsSettled or purses.BadReason."""
    row = _locked(session, _known(session, by, id).id)
    _settle(session, by, row, note=purses.reason(note), now=now)


def _settle(
    session: Session, by: SignedIn, row: tables.LostTransfer, *, note: str | None, now: datetime
) -> None:
    row.settled_at, row.settled_by, row.note = now, by.user_id, note
    session.add(row)
    session.flush()
    said = {
        "purse": str(row.purse_id),
        "amount_fen": row.amount_fen,
        "cause": row.cause,
        "note": note,
    }
    if row.debit == prepaid(row.purse_id):
        _end_alarm(session, row.gateway_id, now=now)
    act = "book" if note is None else "settle"
    audit.record(session, by, act, of="lost-transfer", id=row.id, after=said, now=now)


def _end_alarm(session: Session, gateway_id: UUID, *, now: datetime) -> None:
    """A gateway whose debits have all been seen to has booked nothing that nobody here knows of."""
    row, transfer = tables.LostTransfer, tables.Transfer
    left = session.execute(
        select(col(row.id))
        .where(
            col(row.gateway_id) == gateway_id,
            col(row.settled_at).is_(None),
            col(row.credit) != text("'Liabilities:Prepaid:' || purse_id"),
            ~select(col(transfer.id)).where(col(transfer.id) == col(row.id)).exists(),
        )
        .limit(1)
    ).first()
    if left is None:
        gateway = session.get_one(tables.Gateway, gateway_id)
        said = "what was taken out of purses there is seen to"
        takeover.end_alarm(session, gateway, Trouble.DEBIT_UNKNOWN, at=now, text=said)


def _known(session: Session, by: SignedIn, id: UUID) -> tables.LostTransfer:
    row = session.get(tables.LostTransfer, id)
    if row is None or row.organization_id != by.organization_id:
        raise NoSuchLostTransfer
    try:
        scopes.check_gateway(session, by, row.gateway_id)
    except scopes.NoSuchGateway:
        raise NoSuchLostTransfer from None
    return row


def _locked(session: Session, id: UUID) -> tables.LostTransfer:
    row = session.get_one(tables.LostTransfer, id, with_for_update=True, populate_existing=True)
    if row.settled_at is not None:
        raise IsSettled
    return row
