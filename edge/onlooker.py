"""What may be seen of a ledger while a gateway works on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from edge import ledger_file
from prepaid import ledger
from prepaid.money import Money


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the two logs are: the last entry of ours, the cloud's cursor in it, our cursor in the cloud's."""

    last_seq: int
    acked: int
    cloud_seq: int


def read_balances(path: Path) -> dict[UUID, Money]:
    """The balance of every purse, folded from the transfers of a ledger that may be in use.

    Raises StoreUnusable if there is no ledger.
    """
    with ledger_file.looking(path) as db:
        sums = ledger_file.fold(db)
    return {purse: Money(fen) for book, fen in sums.items() if (purse := ledger.purse_of(book))}


def read_progress(path: Path) -> Progress:
    """Of a ledger that may be in use. Raises StoreUnusable if there is none."""
    with ledger_file.looking(path) as db:
        return Progress(
            *db.execute(
                "SELECT (SELECT coalesce(max(seq), 0) FROM up), acked, cloud_seq FROM gateway"
            ).fetchone()
        )


def read_log(path: Path, *, after: int = 0) -> list[tuple[int, str]]:
    """Seq and body of our log's entries after one, of a ledger that may be in use. Raises StoreUnusable."""
    with ledger_file.looking(path) as db:
        return db.execute(
            "SELECT seq, body FROM up WHERE seq > ? ORDER BY seq", (after,)
        ).fetchall()
