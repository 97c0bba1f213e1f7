"""The ledger 账本: the only writer of transfers, and of what they add up to per purse."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, col

from cloud import tables
from cloud.db import execute
from cloud.errors import CloudError
from prepaid.ledger import Book, Reason, Transfer, TransferIdReused, purse_of
from prepaid.money import ZERO, Money

BOOKS_ZONE = ZoneInfo("Asia/Shanghai")  # the days and months of the books


class PeriodClosed(CloudError):
    status = 409
    sentence = (
        "The books of {month} are closed, so nothing can be booked in it. Book it today, as an adjustment, "
        "or have the month opened again by two people."
    )


def post(
    session: Session,
    organization_id: UUID,
    transfers: Iterable[Transfer],
    *,
    carry_to: datetime | None = None,
) -> int:
    """Books each transfer once, however often it is posted; the number that were new.

    Of a month whose books are closed (services.money.periods) what a person books is refused. What has happened
    elsewhere and cannot be refused, as a gateway's charge or a payment, is given with carry_to, now: then it is
    booked at that time, as an adjustment of the month that is open, and keeps its own.

    Balances and daily charges of the purses move with them, each in one statement however many there are. Locks
    in id order, so that postings at the same time wait for each other and never deadlock.

    Raises TransferIdReused if an id is booked with other content, or PeriodClosed; the session must then be
    rolled back (to a savepoint before the call, at least).
    """
    given = _distinct(transfers)
    if not given:
        return 0
    new = _book(session, organization_id, given, carry_to)
    if len(new) < len(given):
        again = [transfer for id, transfer in given.items() if id not in new]
        _check_known(session, organization_id, again)
    _move(session, organization_id, [given[id] for id in new])
    return len(new)


# Who closes a month locks the organization's row, so that nothing comes into it while it is being closed.
_BOOK = """
    WITH books AS (
        SELECT CAST(closed_through + interval '1 month' AS timestamp) AT TIME ZONE 'Asia/Shanghai' AS closed_until
        FROM organizations WHERE id = %(organization)s FOR KEY SHARE
    )
    INSERT INTO transfers
        (id, organization_id, debit, credit, amount_fen, reason, cause, at, posted_at, carried_at)
    SELECT t.id, %(organization)s, t.debit, t.credit, t.fen, t.reason, t.cause, t.at, %(now)s,
           CASE WHEN t.at < books.closed_until
                THEN coalesce(CAST(%(carry_to)s AS timestamptz), 'infinity') END
    FROM books, json_to_recordset(CAST(%(rows)s AS json)) AS t (
        id uuid, debit text, credit text, fen bigint, reason text, cause text, at timestamptz
    )
    ON CONFLICT DO NOTHING
    RETURNING id, coalesce(carried_at = 'infinity', false) AS is_refused
"""


def _book(
    session: Session,
    organization_id: UUID,
    given: Mapping[UUID, Transfer],
    carry_to: datetime | None,
) -> set[UUID]:
    """Those that were not booked before. Raises PeriodClosed."""
    rows = [
        {
            "id": str(id),
            "debit": given[id].debit,
            "credit": given[id].credit,
            "fen": given[id].amount.fen,
            "reason": given[id].reason.value,
            "cause": given[id].cause,
            "at": given[id].at.isoformat(),
        }
        for id in sorted(given)
    ]
    booked = execute(
        session,
        _BOOK,
        organization=organization_id,
        now=tables.utc_now(),
        carry_to=carry_to,
        rows=json.dumps(rows),
    ).all()
    for row in booked:
        if row.is_refused:
            raise PeriodClosed(month=f"{given[row.id].at.astimezone(BOOKS_ZONE):%Y-%m}")
    return {row.id for row in booked}


def balance(session: Session, purse_id: UUID) -> Money:
    """What the purse holds; nothing before its first transfer."""
    found = session.execute(
        select(col(tables.Balance.balance_fen)).where(col(tables.Balance.purse_id) == purse_id)
    ).scalar_one_or_none()
    return Money(found) if found is not None else ZERO


def transfers_of(session: Session, book: Book) -> list[Transfer]:
    """All transfers that debit or credit the book, oldest first."""
    row = tables.Transfer
    found = session.execute(
        select(row)
        .where((col(row.debit) == book) | (col(row.credit) == book))
        .order_by(col(row.at), col(row.id))
    ).scalars()
    return [_value(transfer) for transfer in found]


def taken_out(session: Session, books: Iterable[Book]) -> list[Transfer]:
    """What left these books and is no charge, in the order in which it was booked here."""
    row = tables.Transfer
    found = session.execute(
        select(row)
        .where(col(row.debit).in_(set(books)), col(row.reason) != Reason.CHARGE.value)
        .order_by(col(row.posted_at), col(row.id))
    ).scalars()
    return [_value(transfer) for transfer in found]


def _distinct(transfers: Iterable[Transfer]) -> dict[UUID, Transfer]:
    given: dict[UUID, Transfer] = {}
    for transfer in transfers:
        if given.setdefault(transfer.id, transfer) != transfer:
            raise TransferIdReused(
                f"{transfer.reason}:{transfer.cause} came twice, with two contents"
            )
    return given


def _check_known(session: Session, organization_id: UUID, again: list[Transfer]) -> None:
    row = tables.Transfer
    found = session.execute(
        select(row).where(
            col(row.organization_id) == organization_id, col(row.id).in_([t.id for t in again])
        )
    ).scalars()
    known = {transfer.id: _value(transfer) for transfer in found}
    for transfer in again:
        if known.get(transfer.id) != transfer:
            raise TransferIdReused(
                f"{transfer.reason}:{transfer.cause} is booked already, with other content"
            )


_MOVE_BALANCES = """
    INSERT INTO balances AS b (organization_id, purse_id, balance_fen)
    SELECT %(organization)s, m.*
    FROM json_to_recordset(CAST(%(rows)s AS json)) AS m (purse_id uuid, fen bigint)
    ON CONFLICT (purse_id) DO UPDATE SET balance_fen = b.balance_fen + excluded.balance_fen
"""

_MOVE_CHARGES = """
    INSERT INTO daily_charges AS c (organization_id, purse_id, day, charged_fen)
    SELECT %(organization)s, m.*
    FROM json_to_recordset(CAST(%(rows)s AS json)) AS m (purse_id uuid, day date, fen bigint)
    ON CONFLICT (purse_id, day) DO UPDATE SET charged_fen = c.charged_fen + excluded.charged_fen
"""


def _move(session: Session, organization_id: UUID, new: list[Transfer]) -> None:
    balances: defaultdict[UUID, int] = defaultdict(int)
    charged: defaultdict[tuple[UUID, date], int] = defaultdict(int)
    for transfer in new:
        if (purse := purse_of(transfer.credit)) is not None:
            balances[purse] += transfer.amount.fen
        if (purse := purse_of(transfer.debit)) is not None:
            balances[purse] -= transfer.amount.fen
            if transfer.reason is Reason.CHARGE:
                charged[purse, transfer.at.astimezone(UTC).date()] += transfer.amount.fen
    if balances:
        moved = [{"purse_id": str(purse), "fen": balances[purse]} for purse in sorted(balances)]
        execute(session, _MOVE_BALANCES, organization=organization_id, rows=json.dumps(moved))
    if charged:
        moved = [
            {"purse_id": str(purse), "day": day.isoformat(), "fen": charged[purse, day]}
            for purse, day in sorted(charged)
        ]
        execute(session, _MOVE_CHARGES, organization=organization_id, rows=json.dumps(moved))


def _value(row: tables.Transfer) -> Transfer:
    return Transfer(
        debit=Book(row.debit),
        credit=Book(row.credit),
        amount=Money(row.amount_fen),
        reason=Reason(row.reason),
        cause=row.cause,
        at=row.at,
    )
