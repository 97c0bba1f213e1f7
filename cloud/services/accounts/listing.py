"""Accounts as staff see them: found by room, holder or phone; one with its rooms, purses, meters and statements."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.services import ledger, scopes
from cloud.services.accounts import households
from cloud.tables import Account, Building, Gateway, Occupancy, Purse, Room
from prepaid.ledger import Statement, StatementLine, prepaid, receivable, statement
from prepaid.money import Money
from prepaid.purse import Purpose

A_PAGE = 50
MOST_LINES = 200


@dataclass(frozen=True, slots=True)
class AccountLine:
    """rooms are names; balance what all purses hold together, owed what the account owes beside them."""

    account_id: UUID
    holder: str
    holder_kind: str
    phone: str | None
    rooms: str
    opened_at: datetime
    closed_at: datetime | None
    settled_at: datetime | None
    balance: Money
    owed: Money


_FIND = text(f"""
    SELECT a.id, a.holder, a.holder_kind, a.phone, a.created_at, a.closed_at, a.settled_at,
           string_agg(DISTINCT b.name || ' ' || r.name, ', ') AS rooms,
           (SELECT coalesce(sum(x.balance_fen), 0) FROM purses p JOIN balances x ON x.purse_id = p.id
             WHERE p.account_id = a.id) AS balance_fen,
           (SELECT coalesce(sum(CASE WHEN t.debit = 'Assets:Receivable:' || a.id THEN t.amount_fen
                                     ELSE -t.amount_fen END), 0)
              FROM transfers t WHERE t.debit = 'Assets:Receivable:' || a.id
                 OR t.credit = 'Assets:Receivable:' || a.id) AS owed_fen,
           count(*) OVER () AS found
    FROM accounts a
    JOIN occupancies o ON o.account_id = a.id
    JOIN rooms r ON r.id = o.room_id
    JOIN buildings b ON b.id = r.building_id
    WHERE a.organization_id = :organization AND {scopes.BUILDING}
      AND (:closed OR a.closed_at IS NULL OR a.settled_at IS NULL)
      AND (a.closed_at IS NOT NULL OR o.ended_at IS NULL)
      AND NOT EXISTS (
          SELECT FROM unnest(CAST(:words AS text[])) AS w(word)
          WHERE strpos(lower(a.holder || ' ' || coalesce(a.phone, '') || ' ' || b.name || ' ' || r.name), w.word) = 0)
    GROUP BY a.id
    ORDER BY a.closed_at IS NOT NULL, min(b.name), min(r.name), a.id
    LIMIT {A_PAGE} OFFSET :offset
""")


def find(
    session: Session, by: SignedIn, q: str, *, with_closed: bool, page: int
) -> tuple[list[AccountLine], int]:
    """A page of the accounts (from 0) in which every word of q is found, and how many there are in all.

    Without with_closed those that are open, or closed and not settled yet.
    """
    rows = session.execute(
        _FIND,
        {
            **scopes.given(by.scope),
            "organization": by.organization_id,
            "closed": with_closed,
            "words": q.lower().split()[:10],
            "offset": page * A_PAGE,
        },
    ).all()
    lines = [
        AccountLine(
            account_id=row.id,
            holder=row.holder,
            holder_kind=row.holder_kind,
            phone=row.phone,
            rooms=row.rooms,
            opened_at=row.created_at,
            closed_at=row.closed_at,
            settled_at=row.settled_at,
            balance=Money(int(row.balance_fen)),
            owed=Money(int(row.owed_fen)),
        )
        for row in rows
    ]
    return lines, rows[0].found if rows else 0


@dataclass(frozen=True, slots=True)
class RoomTime:
    """A room that is or was of an account."""

    room_id: UUID
    name: str
    building: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class PurseLine:
    purse_id: UUID
    purpose: Purpose
    gateway_no: str | None
    balance: Money
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class AccountView:
    account: Account
    rooms: tuple[RoomTime, ...]
    purses: tuple[PurseLine, ...]
    owed: Money
    timezone: str

    @property
    def balance(self) -> Money:
        return Money(sum(purse.balance.fen for purse in self.purses))

    def today(self, now: datetime) -> dt.date:
        """The day at the site."""
        return households.today(self.timezone, now=now)


def view(session: Session, by: SignedIn, account_id: UUID) -> AccountView:
    """Raises scopes.NoSuchAccount."""
    account = scopes.check_account(session, by, account_id)
    rooms = session.execute(
        select(
            col(Room.id),
            col(Room.name),
            col(Building.name).label("building"),
            col(Occupancy.started_at),
            col(Occupancy.ended_at),
            col(tables.Site.timezone),
        )
        .join(Occupancy, col(Occupancy.room_id) == col(Room.id))
        .join(Building, col(Building.id) == col(Room.building_id))
        .join(tables.Site, col(tables.Site.id) == col(Building.site_id))
        .where(col(Occupancy.account_id) == account_id)
        .order_by(col(Occupancy.started_at), col(Room.name))
    ).all()
    purses = session.execute(
        select(Purse, col(Gateway.gateway_no))
        .outerjoin(Gateway, col(Gateway.id) == col(Purse.gateway_id))
        .where(col(Purse.account_id) == account_id)
        .order_by(col(Purse.purpose), col(Purse.created_at))
    ).all()
    return AccountView(
        account=account,
        rooms=tuple(
            RoomTime(row.id, row.name, row.building, row.started_at, row.ended_at) for row in rooms
        ),
        purses=tuple(
            PurseLine(
                purse.id,
                Purpose(purse.purpose),
                gateway_no,
                ledger.balance(session, purse.id),
                purse.ended_at,
            )
            for purse, gateway_no in purses
        ),
        owed=owed(session, account_id),
        timezone=rooms[0].timezone,
    )


def owed(session: Session, account_id: UUID) -> Money:
    """What the account owes beside its purses; below nothing where it is owed."""
    book = receivable(account_id)
    return statement(book, ledger.transfers_of(session, book)).closing


def statement_of(
    session: Session, by: SignedIn, purse_id: UUID
) -> tuple[Statement, list[StatementLine]]:
    """The purse's statement, and its last lines, the newest first. Raises scopes.NoSuchPurse."""
    scopes.check_purse(session, by, purse_id)
    book = prepaid(purse_id)
    found = statement(book, ledger.transfers_of(session, book))
    return found, list(reversed(found.lines[-MOST_LINES:]))
