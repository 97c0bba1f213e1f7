"""Statements 对账单 of one book, line by line, and the trial balance 试算平衡 of all.

A transfer stands at the time at which it is booked: its own, or, where its month was closed when it came, when it
came (ledger.post). So what was once said of a closed month stays so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from cloud.services.money.periods import after, begin_of, closed_through
from prepaid.ledger import Book, Reason, Root, root_of
from prepaid.money import ZERO, Money

_WHOSE = re.compile(r":[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Line:
    """A transfer as one book sees it. is_late: it is of a month that was closed when it came, at is its own time."""

    transfer_id: UUID
    booked_at: datetime
    at: datetime
    reason: Reason
    cause: str
    other: Book
    amount: Money
    balance: Money

    @property
    def is_late(self) -> bool:
        return self.booked_at != self.at


@dataclass(frozen=True, slots=True)
class Statement:
    """A book from since to until: what it held before, each transfer, what it held then. Signed as an accountant
    reads it (prepaid.ledger.Statement)."""

    book: Book
    opening: Money
    lines: tuple[Line, ...]
    closing: Money

    def total(self, reasons: Iterable[Reason]) -> Money:
        """What transfers of these reasons come to."""
        wanted = set(reasons)
        return sum((line.amount for line in self.lines if line.reason in wanted), ZERO)


_OPENING = text("""
    SELECT coalesce(sum(CASE WHEN credit = :book THEN amount_fen ELSE -amount_fen END), 0)
    FROM transfers
    WHERE (debit = :book OR credit = :book) AND coalesce(carried_at, at) < :since
      AND organization_id = :organization
""")

_LINES = text("""
    SELECT id, coalesce(carried_at, at) AS booked_at, at, reason, cause, debit, credit, amount_fen
    FROM transfers
    WHERE (debit = :book OR credit = :book) AND coalesce(carried_at, at) >= :since
      AND coalesce(carried_at, at) < :until AND organization_id = :organization
    ORDER BY booked_at, id
""")


def statement(
    session: Session, organization_id: UUID, book: Book, *, since: datetime, until: datetime
) -> Statement:
    """What moved in one book from since (inclusive) to until (exclusive)."""
    sign = -1 if root_of(book) in (Root.ASSETS, Root.EXPENSES) else 1
    given = {"book": book, "since": since, "until": until, "organization": organization_id}
    opening = sign * int(session.execute(_OPENING, given).scalar_one())
    fen, lines = opening, []
    for row in session.execute(_LINES, given):
        moved = sign * (row.amount_fen if row.credit == book else -row.amount_fen)
        fen += moved
        lines.append(
            Line(
                transfer_id=row.id,
                booked_at=row.booked_at,
                at=row.at,
                reason=Reason(row.reason),
                cause=row.cause,
                other=Book(row.debit if row.credit == book else row.credit),
                amount=Money(moved),
                balance=Money(fen),
            )
        )
    return Statement(book, Money(opening), tuple(lines), Money(fen))


@dataclass(frozen=True, slots=True)
class Entry:
    """A transfer as the journal has it."""

    id: UUID
    booked_at: datetime
    at: datetime
    debit: Book
    credit: Book
    amount: Money
    reason: Reason
    cause: str


_JOURNAL = text("""
    SELECT id, coalesce(carried_at, at) AS booked_at, at, debit, credit, amount_fen, reason, cause
    FROM transfers
    WHERE organization_id = :organization AND (
            (carried_at IS NULL AND at >= :since AND at < :until)
            OR (carried_at >= :since AND carried_at < :until))
      AND (CAST(:after AS uuid) IS NULL OR (coalesce(carried_at, at), id) > (
            SELECT coalesce(carried_at, at), id FROM transfers WHERE id = :after AND organization_id = :organization))
    ORDER BY booked_at, id LIMIT :most
""")


def journal(
    session: Session,
    organization_id: UUID,
    *,
    since: datetime,
    until: datetime,
    after: UUID | None,
    most: int,
) -> list[Entry]:
    """凭证 booked from since (inclusive) to until (exclusive), in their order. after: only what follows this one."""
    given = {"organization": organization_id, "since": since, "until": until}
    rows = session.execute(_JOURNAL, given | {"after": after, "most": most})
    return [
        Entry(
            id=row.id,
            booked_at=row.booked_at,
            at=row.at,
            debit=Book(row.debit),
            credit=Book(row.credit),
            amount=Money(row.amount_fen),
            reason=Reason(row.reason),
            cause=row.cause,
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Row:
    """An item of the trial balance. opening and closing are credits less debits; books counts what is in it."""

    item: str
    opening: Money
    debits: Money
    credits: Money

    @property
    def closing(self) -> Money:
        return self.opening + self.credits - self.debits

    @property
    def root(self) -> Root:
        return root_of(Book(self.item))


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """All books by root and item: purses and accounts in one sum each. late is what of it is of closed months."""

    rows: tuple[Row, ...]
    late: Money

    @property
    def debits(self) -> Money:
        return sum((row.debits for row in self.rows), ZERO)

    @property
    def credits(self) -> Money:
        return sum((row.credits for row in self.rows), ZERO)

    @property
    def is_balanced(self) -> bool:
        """Debits are credits, and what all books hold comes to nothing, before and after."""
        opening = sum((row.opening for row in self.rows), ZERO)
        return self.debits == self.credits and opening == ZERO


_TRIAL = text("""
    SELECT book, sum(before) AS before, sum(debit) AS debit, sum(credit) AS credit, sum(late) AS late FROM (
        SELECT book, balance_fen AS before, 0 AS debit, 0 AS credit, 0 AS late FROM closed_balances
        WHERE organization_id = :organization AND month = :month
        UNION ALL
        SELECT debit, -sum(amount_fen) FILTER (WHERE coalesce(carried_at, at) < :since),
               sum(amount_fen) FILTER (WHERE coalesce(carried_at, at) >= :since), 0, 0
        FROM transfers
        WHERE organization_id = :organization AND (
            (carried_at IS NULL AND at >= :from AND at < :until)
            OR (carried_at >= :from AND carried_at < :until))
        GROUP BY debit
        UNION ALL
        SELECT credit, sum(amount_fen) FILTER (WHERE coalesce(carried_at, at) < :since), 0,
               sum(amount_fen) FILTER (WHERE coalesce(carried_at, at) >= :since),
               sum(amount_fen) FILTER (WHERE carried_at >= :since)
        FROM transfers
        WHERE organization_id = :organization AND (
            (carried_at IS NULL AND at >= :from AND at < :until)
            OR (carried_at >= :from AND carried_at < :until))
        GROUP BY credit
    ) AS moved GROUP BY book
""")


def trial_balance(
    session: Session, organization_id: UUID, *, since: datetime, until: datetime
) -> TrialBalance:
    """Every book from since (inclusive) to until (exclusive). Sums begin at the last closed month before."""
    month = closed_through(session, organization_id)
    if month is not None and begin_of(after(month)) > since:
        month = _closed_before(session, organization_id, since)
    rows = session.execute(
        _TRIAL,
        {
            "organization": organization_id,
            "month": month,
            "from": begin_of(after(month)) if month is not None else _BEGINNING,
            "since": since,
            "until": until,
        },
    )
    items: dict[str, list[int]] = {}
    late = 0
    for row in rows:
        sums = items.setdefault(_WHOSE.sub("", row.book), [0, 0, 0])
        for place, fen in enumerate((row.before, row.debit, row.credit)):
            sums[place] += int(fen or 0)
        late += int(row.late or 0)
    found = (Row(item, *(Money(fen) for fen in items[item])) for item in sorted(items))
    return TrialBalance(
        tuple(row for row in found if any((row.opening.fen, row.debits.fen, row.credits.fen))),
        Money(late),
    )


def _closed_before(session: Session, organization_id: UUID, since: datetime) -> date | None:
    """The last month that is closed and over by then."""
    months = session.execute(
        text(
            "SELECT month FROM period_closings WHERE organization_id = :organization"
            " AND reopened_at IS NULL ORDER BY month DESC"
        ),
        {"organization": organization_id},
    ).scalars()
    return next((month for month in months if begin_of(after(month)) <= since), None)
