"""The ledger 账本: the only writer of transfers, and of what they add up to per purse."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
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

    Balances and daily charges of the purses move with them, in one statement however many there are. Locks
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
    return len(new)


# Who closes a month locks the organization's row, so that nothing comes into it while it is being closed. Of parts
# that only write PostgreSQL runs the last first: balances, then daily charges.
_BOOK = """
    WITH books AS (
        SELECT CAST(closed_through + interval '1 month' AS timestamp) AT TIME ZONE 'Asia/Shanghai' AS closed_until
        FROM organizations WHERE id = %(organization)s FOR KEY SHARE
    ), given AS (
        SELECT * FROM json_to_recordset(CAST(%(rows)s AS json)) AS t (
            id uuid, debit text, credit text, fen bigint, reason text, cause text, at timestamptz,
            from_purse uuid, to_purse uuid
        )
    ), booked AS (
        INSERT INTO transfers
            (id, organization_id, debit, credit, amount_fen, reason, cause, at, posted_at, carried_at)
        SELECT t.id, %(organization)s, t.debit, t.credit, t.fen, t.reason, t.cause, t.at, %(now)s,
               CASE WHEN t.at < books.closed_until
                    THEN coalesce(CAST(%(carry_to)s AS timestamptz), 'infinity') END
        FROM books, given t
        ON CONFLICT DO NOTHING
        RETURNING id, coalesce(carried_at = 'infinity', false) AS is_refused
    ), charged AS (
        INSERT INTO daily_charges AS c (organization_id, purse_id, day, charged_fen)
        SELECT %(organization)s, t.from_purse, CAST(t.at AT TIME ZONE 'UTC' AS date), sum(t.fen)
        FROM booked JOIN given t USING (id) WHERE t.from_purse IS NOT NULL AND t.reason = %(charge)s
        GROUP BY 2, 3 ORDER BY 2, 3
        ON CONFLICT (purse_id, day) DO UPDATE SET charged_fen = c.charged_fen + excluded.charged_fen
    ), moved AS (
        INSERT INTO balances AS b (organization_id, purse_id, balance_fen)
        SELECT %(organization)s, m.purse, sum(m.fen)
        FROM booked JOIN given t USING (id),
             LATERAL (VALUES (t.to_purse, t.fen), (t.from_purse, -t.fen)) AS m (purse, fen)
        WHERE m.purse IS NOT NULL
        GROUP BY 2 ORDER BY 2
        ON CONFLICT (purse_id) DO UPDATE SET balance_fen = b.balance_fen + excluded.balance_fen
    )
    SELECT id, is_refused FROM booked
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
            "from_purse": _text(purse_of(given[id].debit)),
            "to_purse": _text(purse_of(given[id].credit)),
        }
        for id in sorted(given)
    ]
    booked = execute(
        session,
        _BOOK,
        organization=organization_id,
        now=tables.utc_now(),
        carry_to=carry_to,
        charge=Reason.CHARGE.value,
        rows=json.dumps(rows),
    ).all()
    for row in booked:
        if row.is_refused:
            raise PeriodClosed(month=f"{given[row.id].at.astimezone(BOOKS_ZONE):%Y-%m}")
    return {row.id for row in booked}


def _text(purse_id: UUID | None) -> str | None:
    return str(purse_id) if purse_id is not None else None


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


def _value(row: tables.Transfer) -> Transfer:
    return Transfer(
        debit=Book(row.debit),
        credit=Book(row.credit),
        amount=Money(row.amount_fen),
        reason=Reason(row.reason),
        cause=row.cause,
        at=row.at,
    )
