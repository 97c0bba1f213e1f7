"""The ledger 账本: the only writer of transfers, and of what they add up to per purse."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date
from uuid import UUID

from sqlalchemy import select, text
from sqlmodel import Session, col

from cloud import tables
from prepaid.ledger import Book, Reason, Transfer, TransferIdReused, purse_of
from prepaid.money import ZERO, Money


def post(session: Session, organization_id: UUID, transfers: Iterable[Transfer]) -> int:
    """Books each transfer once, however often it is posted; the number that were new.

    Balances and daily charges of the purses move with them, each in one statement however many there are. Locks
    in id order, so that postings at the same time wait for each other and never deadlock.

    Raises TransferIdReused if an id is booked with other content; the session must then be rolled back
    (to a savepoint before the call, at least).
    """
    given = _distinct(transfers)
    if not given:
        return 0
    new = _book(session, organization_id, given)
    if len(new) < len(given):
        again = [transfer for id, transfer in given.items() if id not in new]
        _check_known(session, organization_id, again)
    _move(session, organization_id, [given[id] for id in new])
    return len(new)


_BOOK = text("""
    INSERT INTO transfers (id, organization_id, debit, credit, amount_fen, reason, cause, at, posted_at)
    SELECT t.id, :organization, t.debit, t.credit, t.fen, t.reason, t.cause, t.at, :now
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:debits AS text[]), CAST(:credits AS text[]), CAST(:fen AS bigint[]),
        CAST(:reasons AS text[]), CAST(:causes AS text[]), CAST(:times AS timestamptz[])
    ) AS t (id, debit, credit, fen, reason, cause, at)
    ON CONFLICT DO NOTHING
    RETURNING id
""")


def _book(session: Session, organization_id: UUID, given: Mapping[UUID, Transfer]) -> set[UUID]:
    """Those that were not booked before."""
    ids = sorted(given)
    rows = [given[id] for id in ids]
    booked = session.execute(
        _BOOK,
        {
            "organization": organization_id,
            "now": tables.utc_now(),
            "ids": ids,
            "debits": [row.debit for row in rows],
            "credits": [row.credit for row in rows],
            "fen": [row.amount.fen for row in rows],
            "reasons": [row.reason.value for row in rows],
            "causes": [row.cause for row in rows],
            "times": [row.at for row in rows],
        },
    )
    return set(booked.scalars())


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


_MOVE_BALANCES = text("""
    INSERT INTO balances AS b (organization_id, purse_id, balance_fen)
    SELECT :organization, m.purse_id, m.fen
    FROM unnest(CAST(:purses AS uuid[]), CAST(:fen AS bigint[])) AS m (purse_id, fen)
    ON CONFLICT (purse_id) DO UPDATE SET balance_fen = b.balance_fen + excluded.balance_fen
""")

_MOVE_CHARGES = text("""
    INSERT INTO daily_charges AS c (organization_id, purse_id, day, charged_fen)
    SELECT :organization, m.purse_id, m.day, m.fen
    FROM unnest(CAST(:purses AS uuid[]), CAST(:days AS date[]), CAST(:fen AS bigint[]))
        AS m (purse_id, day, fen)
    ON CONFLICT (purse_id, day) DO UPDATE SET charged_fen = c.charged_fen + excluded.charged_fen
""")


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
        purses = sorted(balances)
        session.execute(
            _MOVE_BALANCES,
            {
                "organization": organization_id,
                "purses": purses,
                "fen": [balances[purse] for purse in purses],
            },
        )
    if charged:
        keys = sorted(charged)
        session.execute(
            _MOVE_CHARGES,
            {
                "organization": organization_id,
                "purses": [purse for purse, _ in keys],
                "days": [day for _, day in keys],
                "fen": [charged[key] for key in keys],
            },
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
