"""The sandbox channel's books: orders, and the callbacks that are still owed, in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    out_trade_no TEXT PRIMARY KEY,
    merchant TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    description TEXT NOT NULL,
    notify_url TEXT NOT NULL,
    return_url TEXT NOT NULL,
    expires_at REAL NOT NULL,
    misbehaviour TEXT,
    transaction_id TEXT,
    paid_at REAL
) STRICT;
CREATE TABLE IF NOT EXISTS callbacks (
    id INTEGER PRIMARY KEY,
    out_trade_no TEXT NOT NULL REFERENCES orders,
    notify_url TEXT NOT NULL,
    body TEXT NOT NULL,
    is_forged INTEGER NOT NULL,
    due_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    acknowledged_at REAL
) STRICT;
CREATE INDEX IF NOT EXISTS callbacks_owed ON callbacks (due_at) WHERE acknowledged_at IS NULL;
CREATE TABLE IF NOT EXISTS behaviour (misbehaviour TEXT NOT NULL) STRICT;
"""


class Misbehaviour(StrEnum):
    """What the channel does about the callback of a payment."""

    NONE = "none"
    LATE = "late"  # only after a while
    TWICE = "twice"  # the same event two times at once
    FORGED = "forged"  # signed with a key that is not the channel's
    NEVER = "never"
    ALTERED = "altered"  # one fen more than was paid


class NoSuchOrder(Exception):
    """No order has this number."""


class OrderDiffers(Exception):
    """An order of this number exists with other content. Has .fields."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        super().__init__(f"another {', '.join(fields)} than the order of this number")
        self.fields = fields


class OrderExpired(Exception):
    """It is too late to pay."""


class OrderPaid(Exception):
    """It cannot be taken back: it is paid."""


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a merchant asks for. amount_fen is positive."""

    merchant: str
    out_trade_no: str
    amount_fen: int
    description: str
    notify_url: str
    return_url: str


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it stands; times are Unix seconds. Paid if paid_at is set."""

    new: NewOrder
    expires_at: float
    transaction_id: str | None
    paid_at: float | None


@dataclass(frozen=True, slots=True)
class Callback:
    """A notice owed to the merchant; attempts have failed so far."""

    id: int
    out_trade_no: str
    notify_url: str
    body: str
    is_forged: bool
    due_at: float
    attempts: int


class Orders:
    """One file, used by one thread. Every method is one transaction, on disk when it returns."""

    def __init__(self, path: Path, *, open_for_s: int, late_s: float) -> None:
        """open_for_s is how long an order can be paid, late_s how late a late callback is."""
        self._open_for_s = open_for_s
        self._late_s = late_s
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def place(self, new: NewOrder, now: float) -> Order:
        """The order of this number, made if there is none.

        Raises OrderDiffers if there is one with other content.
        """
        with self._transaction():
            try:
                order = self._find(new.out_trade_no)
            except NoSuchOrder:
                self._db.execute(
                    "INSERT INTO orders (out_trade_no, merchant, amount_fen, description, notify_url,"
                    " return_url, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        new.out_trade_no,
                        new.merchant,
                        new.amount_fen,
                        new.description,
                        new.notify_url,
                        new.return_url,
                        now + self._open_for_s,
                    ),
                )
                return self._find(new.out_trade_no)
        differing = tuple(
            name for name in NewOrder.__slots__ if getattr(new, name) != getattr(order.new, name)
        )
        if differing:
            raise OrderDiffers(differing)
        return order

    def find(self, out_trade_no: str) -> Order:
        """Raises NoSuchOrder."""
        return self._find(out_trade_no)

    def _find(self, out_trade_no: str) -> Order:
        row = self._db.execute(
            "SELECT * FROM orders WHERE out_trade_no = ?", (out_trade_no,)
        ).fetchone()
        if row is None:
            raise NoSuchOrder(out_trade_no)
        new = NewOrder(*(row[name] for name in NewOrder.__slots__))
        return Order(new, row["expires_at"], row["transaction_id"], row["paid_at"])

    def pay(self, out_trade_no: str, now: float) -> Order:
        """The order, paid, and its callbacks owed. Paying again changes nothing.

        Raises NoSuchOrder, OrderExpired.
        """
        with self._transaction():
            order = self._find(out_trade_no)
            if order.paid_at is not None:
                return order
            if now >= order.expires_at:
                raise OrderExpired(out_trade_no)
            transaction_id = (
                f"SBX{datetime.fromtimestamp(now, UTC):%Y%m%d}{uuid4().hex[:16].upper()}"
            )
            self._db.execute(
                "UPDATE orders SET transaction_id = ?, paid_at = ? WHERE out_trade_no = ?",
                (transaction_id, now, out_trade_no),
            )
            self._owe_callbacks(order.new, transaction_id, now)
            return self._find(out_trade_no)

    def expire(self, out_trade_no: str, now: float) -> None:
        """From now on nobody can pay the order. Raises NoSuchOrder, OrderPaid."""
        with self._transaction():
            if self._find(out_trade_no).paid_at is not None:
                raise OrderPaid(out_trade_no)
            self._db.execute(
                "UPDATE orders SET expires_at = min(expires_at, ?) WHERE out_trade_no = ?",
                (now, out_trade_no),
            )

    def _owe_callbacks(self, order: NewOrder, transaction_id: str, now: float) -> None:
        how = self._misbehaviour(order.out_trade_no)
        body = json.dumps(
            {
                "event_id": str(uuid4()),
                "merchant": order.merchant,
                "out_trade_no": order.out_trade_no,
                "transaction_id": transaction_id,
                "amount_fen": order.amount_fen + (how is Misbehaviour.ALTERED),
                "state": "paid",
                "paid_at": rfc3339(now),
            }
        )
        due_at = now + self._late_s if how is Misbehaviour.LATE else now
        copies = {Misbehaviour.TWICE: 2, Misbehaviour.NEVER: 0}.get(how, 1)
        for _ in range(copies):
            self._db.execute(
                "INSERT INTO callbacks (out_trade_no, notify_url, body, is_forged, due_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (order.out_trade_no, order.notify_url, body, how is Misbehaviour.FORGED, due_at),
            )

    def misbehave(self, how: Misbehaviour, out_trade_no: str | None) -> None:
        """From the next payment on: that of one order, or with None of all that have none of their own.

        Raises NoSuchOrder.
        """
        with self._transaction():
            if out_trade_no is None:
                self._db.execute("DELETE FROM behaviour")
                self._db.execute("INSERT INTO behaviour VALUES (?)", (how.value,))
            else:
                self._find(out_trade_no)
                self._db.execute(
                    "UPDATE orders SET misbehaviour = ? WHERE out_trade_no = ?",
                    (how.value, out_trade_no),
                )

    def _misbehaviour(self, out_trade_no: str) -> Misbehaviour:
        (how,) = self._db.execute(
            "SELECT coalesce(misbehaviour, (SELECT misbehaviour FROM behaviour), 'none')"
            " FROM orders WHERE out_trade_no = ?",
            (out_trade_no,),
        ).fetchone()
        return Misbehaviour(how)

    def owed(self) -> list[Callback]:
        """All callbacks not yet acknowledged, the earliest due first."""
        rows = self._db.execute(
            "SELECT * FROM callbacks WHERE acknowledged_at IS NULL ORDER BY due_at, id"
        )
        return [
            Callback(
                row["id"],
                row["out_trade_no"],
                row["notify_url"],
                row["body"],
                bool(row["is_forged"]),
                row["due_at"],
                row["attempts"],
            )
            for row in rows
        ]

    def acknowledge(self, callback: Callback, now: float) -> None:
        self._db.execute(
            "UPDATE callbacks SET acknowledged_at = ?, attempts = attempts + 1 WHERE id = ?",
            (now, callback.id),
        )

    def postpone(self, callback: Callback, due_at: float) -> None:
        """It was not acknowledged; it is due again."""
        self._db.execute(
            "UPDATE callbacks SET due_at = ?, attempts = attempts + 1 WHERE id = ?",
            (due_at, callback.id),
        )


def rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
