"""What may be seen of a ledger while a gateway works on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from pydantic import TypeAdapter

from edge.ledger import ledger_file
from prepaid import ledger
from prepaid.money import Money
from prepaid.point import ServicePoint

_POINT = TypeAdapter(ServicePoint)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the two logs are: the last entry of ours, the cloud's cursor in it, our cursor in the cloud's."""

    last_seq: int
    acked: int
    cloud_seq: int


@dataclass(frozen=True, slots=True)
class PointThere:
    """A service point in a ledger: its register as last charged, its supply, which alarms are on, and the unit
    that its tariff names, "" where it has none."""

    point: ServicePoint
    total: str | None
    read_at: datetime | None
    supply: str | None
    alarms: frozenset[str]
    unit: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What a ledger says of its gateway, whether or not that runs."""

    gateway_no: str
    hold: str | None
    progress: Progress
    rejected: int
    troubles: frozenset[str]
    points: tuple[PointThere, ...]


def read_standing(path: Path) -> Standing:
    """Of a ledger that may be in use. Raises StoreUnusable if there is none."""
    with ledger_file.looking(path) as db:
        gateway_no, hold = db.execute("SELECT gateway_no, hold FROM gateway").fetchone()
        (rejected,) = db.execute("SELECT count(*) FROM rejected").fetchone()
        alarms: dict[str, set[str]] = {}
        for point, alarm in db.execute("SELECT point, alarm FROM alarm"):
            alarms.setdefault(point, set()).add(alarm)
        rows = db.execute(
            """SELECT p.id, p.body, json_extract(n.body, '$.reading.total'),
                 json_extract(n.body, '$.reading.at'), s.seen, json_extract(t.body, '$.document.unit')
               FROM point p LEFT JOIN position n ON n.point = p.id LEFT JOIN supply s ON s.point = p.id
               LEFT JOIN tariff t ON t.code = json_extract(p.body, '$.tariff')
               ORDER BY p.rowid"""
        ).fetchall()
    points = tuple(
        PointThere(
            _POINT.validate_json(body),
            total,
            datetime.fromisoformat(read_at) if read_at else None,
            seen,
            frozenset(alarms.get(id, ())),
            unit or "",
        )
        for id, body, total, read_at, seen, unit in rows
    )
    progress = read_progress(path)
    troubles = frozenset(alarms.get("", ()))
    return Standing(gateway_no, hold, progress, rejected, troubles, points)


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
