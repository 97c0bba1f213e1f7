"""Credits that only gateways know: paid after the backup to which the database was put back, booked at the meters.

Each gateway is asked for them when it is heard after a restore (services.restored), and answers what it has. A person
books each here, or says why not. The transfer is the gateway's own, so it is booked once, whoever finds it first: the
payment channel's bill, or this.
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
from cloud.services import audit, scopes
from cloud.services.money import purses
from prepaid.ledger import Book, Reason, Transfer, prepaid
from prepaid.money import Money
from prepaid.wire import Recalled

log = logging.getLogger(__name__)


class NoSuchLostCredit(CloudError):
    status = 404
    sentence = "There is no such credit."


class IsSettled(CloudError):
    status = 409
    sentence = "Somebody has seen to this credit already."


class PurseIsGone(CloudError):
    status = 409
    sentence = (
        "The account that was credited was opened after the backup, so there is no purse for this money. Open it"
        " again and enter the money there, then write here that you have."
    )


class NotAsked(Exception):
    """A gateway tells of credits that it was not asked for."""


MOST_LOST = 10_000
"""Nobody is credited so often between a backup and a restore."""

_WAS_ASKED = text("""
    SELECT exists (SELECT FROM down_entries
                   WHERE gateway_id = :gateway AND body::jsonb ->> 'kind' = 'recall')
""")


@dataclass(frozen=True, slots=True)
class Lost:
    """One that waits for a person. rooms and holder are None where the database does not know the purse."""

    id: UUID
    gateway_no: str
    purse_id: UUID
    holder: str | None
    rooms: str | None
    amount: Money
    reason: Reason
    cause: str
    at: datetime


def told(session: Session, gateway: tables.Gateway, message: Recalled, *, now: datetime) -> int:
    """Keeps those of a gateway's credits that are not booked here; how many. Needs a system session and the gateway
    locked.

    No number that the purse had is given again. Raises NotAsked: what was lost is known by nobody else, so a gateway
    is believed only where the database was put back, and of its own purses.
    """
    purse, transfer, row = tables.Purse, tables.Transfer, tables.LostCredit
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
    ids = [each.id for each in message.credits]
    booked = set(
        session.execute(select(col(transfer.id)).where(col(transfer.id).in_(ids))).scalars()
    )
    lost = [each for each in message.credits if each.id not in booked]
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
                    "amount_fen": each.amount.fen,
                    "reason": each.reason.value,
                    "cause": each.cause,
                    "at": each.at,
                }
                for each in lost
            ]
        )
        .on_conflict_do_nothing()
    )
    log.warning(
        "gateway %s has %s credits of purse %s that the database has not: a person must see to them",
        *(gateway.gateway_no, len(lost), message.purse),
    )
    events.changed(session, gateway.organization_id)
    return len(lost)


_OPEN = text(f"""
    SELECT l.id, g.gateway_no, l.purse_id, a.holder, l.amount_fen, l.reason, l.cause, l.at,
           (SELECT string_agg(DISTINCT b.name || ' ' || r.name, '、')
            FROM occupancies o JOIN rooms r ON r.id = o.room_id JOIN buildings b ON b.id = r.building_id
            WHERE o.account_id = a.id) AS rooms
    FROM lost_credits l
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
        )
        for row in rows
    ]


def book(session: Session, by: SignedIn, id: UUID, *, now: datetime) -> None:
    """Books the gateway's transfer here, too; a month whose books are closed gets it as an adjustment of today's.

    Raises NoSuchLostCredit, IsSettled or PurseIsGone.
    """
    known = _known(session, by, id)
    purse = session.get(tables.Purse, known.purse_id)
    if purse is None or purse.organization_id != by.organization_id:
        raise PurseIsGone
    # In the order of all locks: the purse before anything of it.
    purse = purses.locked(session, by.organization_id, known.purse_id)
    row = _locked(session, known.id)
    transfer = Transfer(
        debit=Book(row.debit),
        credit=prepaid(row.purse_id),
        amount=Money(row.amount_fen),
        reason=Reason(row.reason),
        cause=row.cause,
        at=row.at,
    )
    if session.get(tables.Transfer, transfer.id) is not None:
        raise IsSettled
    purses.credit(session, purse, [transfer], carry_to=now)
    _settle(session, by, row, note=None, now=now)


def settle(session: Session, by: SignedIn, id: UUID, *, note: str, now: datetime) -> None:
    """It is not to be booked here, and why. Raises NoSuchLostCredit, IsSettled or purses.BadReason."""
    row = _locked(session, _known(session, by, id).id)
    _settle(session, by, row, note=purses.reason(note), now=now)


def _settle(
    session: Session, by: SignedIn, row: tables.LostCredit, *, note: str | None, now: datetime
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
    act = "book" if note is None else "settle"
    audit.record(session, by, act, of="lost-credit", id=row.id, after=said, now=now)


def _known(session: Session, by: SignedIn, id: UUID) -> tables.LostCredit:
    row = session.get(tables.LostCredit, id)
    if row is None or row.organization_id != by.organization_id:
        raise NoSuchLostCredit
    try:
        scopes.check_gateway(session, by, row.gateway_id)
    except scopes.NoSuchGateway:
        raise NoSuchLostCredit from None
    return row


def _locked(session: Session, id: UUID) -> tables.LostCredit:
    row = session.get_one(tables.LostCredit, id, with_for_update=True, populate_existing=True)
    if row.settled_at is not None:
        raise IsSettled
    return row
