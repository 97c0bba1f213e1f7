"""The ledger 账本: the only writer of transfers, and of what they add up to per purse."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import tables
from prepaid.ledger import Book, Reason, Transfer, TransferIdReused, purse_of
from prepaid.money import ZERO, Money


def post(session: Session, organization_id: UUID, transfers: Iterable[Transfer]) -> int:
    """Books each transfer once, however often it is posted; the number that were new.

    Balances and daily charges of the purses move with them. Locks in id order, so that postings at the
    same time wait for each other and never deadlock.

    Raises TransferIdReused if an id is booked with other content; the session must then be rolled back
    (to a savepoint before the call, at least).
    """
    given = _distinct(transfers)
    if not given:
        return 0
    rows = [_row(organization_id, given[id]) for id in sorted(given)]
    booked = session.execute(
        insert(tables.Transfer).on_conflict_do_nothing().returning(col(tables.Transfer.id)), rows
    )
    new = set(booked.scalars())
    _check_known(session, organization_id, [t for id, t in given.items() if id not in new])
    _move(session, organization_id, [given[id] for id in new])
    return len(new)


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
    if not again:
        return
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
        upsert = insert(tables.Balance).values(
            [
                {
                    "organization_id": organization_id,
                    "purse_id": purse,
                    "balance_fen": balances[purse],
                }
                for purse in sorted(balances)
            ]
        )
        session.execute(
            upsert.on_conflict_do_update(
                index_elements=["purse_id"],
                set_={"balance_fen": col(tables.Balance.balance_fen) + upsert.excluded.balance_fen},
            )
        )
    if charged:
        upsert = insert(tables.DailyCharge).values(
            [
                {
                    "organization_id": organization_id,
                    "purse_id": purse,
                    "day": day,
                    "charged_fen": charged[purse, day],
                }
                for purse, day in sorted(charged)
            ]
        )
        session.execute(
            upsert.on_conflict_do_update(
                index_elements=["purse_id", "day"],
                set_={
                    "charged_fen": col(tables.DailyCharge.charged_fen) + upsert.excluded.charged_fen
                },
            )
        )


def _row(organization_id: UUID, transfer: Transfer) -> dict[str, object]:
    return {
        "id": transfer.id,
        "organization_id": organization_id,
        "debit": transfer.debit,
        "credit": transfer.credit,
        "amount_fen": transfer.amount.fen,
        "reason": transfer.reason.value,
        "cause": transfer.cause,
        "at": transfer.at,
    }


def _value(row: tables.Transfer) -> Transfer:
    return Transfer(
        debit=Book(row.debit),
        credit=Book(row.credit),
        amount=Money(row.amount_fen),
        reason=Reason(row.reason),
        cause=row.cause,
        at=row.at,
    )
