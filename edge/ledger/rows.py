"""The rows of the ledger that every visit asks for, held in memory: read once, written through.

A value here is what the file says, or what the transaction under way has written to it. After a rollback nobody
knows which of them was written, so all of them are forgotten and read again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import TypeAdapter

from prepaid.ledger import Book
from prepaid.money import Money
from prepaid.point import Meter
from prepaid.reading import Supply
from prepaid.supply import Why
from prepaid.wire.uplog import Work

K = TypeVar("K")
V = TypeVar("V")

Execute = Callable[..., sqlite3.Cursor]
"""A statement and its values, inside a transaction."""


@dataclass(frozen=True, slots=True)
class SupplyRow:
    """What was last reported of a point's supply."""

    seen: Supply | None
    wanted: Supply | None
    why: Why
    commanded_at: datetime | None


@dataclass(frozen=True, slots=True)
class Intent:
    """A switch command under way. commanded_at is when the meter acknowledged it, is_refused that it said
    no; tries counts from 1."""

    supply: Supply
    sent_at: datetime
    commanded_at: datetime | None
    tries: int
    is_refused: bool


@dataclass(frozen=True, slots=True)
class Typed:
    """What an offline code gave, and when it was typed."""

    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True)
class Lending:
    """When emergency credit was taken, and by whom, for people."""

    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Off:
    """Since when a supply is off (None: nobody knows), and when its taps were said to be closed."""

    since: datetime | None
    taps_closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Checked:
    """What a technician tested of a point last: whether it is right (None: nothing was proved), and why so."""

    at: datetime
    is_right: bool | None
    by: str
    text: str


@dataclass(frozen=True, slots=True)
class Linked:
    """A meter that a technician made a point's 对号, in the place of the one that it had, so that it can be undone.

    was_charged: the point had been charged by a register of its own before. counts_anew: what it was charged by since
    was another's, linked wrongly, so it counts from the next reading on. undone is the entry of our log by which the
    cloud is told that the link was undone.
    """

    at: datetime
    by: str
    meter: Meter
    instead_of: Meter
    was_charged: bool
    counts_anew: bool = False
    undone: int | None = None


@dataclass(frozen=True, slots=True)
class Shape(Generic[K, V]):
    """How a table holds values under keys: its columns, those of the key first, and both ways between them."""

    table: str
    key_columns: tuple[str, ...]
    columns: tuple[str, ...]
    key_to: Callable[[K], tuple[Any, ...]]
    key_of: Callable[[tuple[Any, ...]], K]
    value_to: Callable[[V], tuple[Any, ...]]
    value_of: Callable[[tuple[Any, ...]], V]

    @property
    def select(self) -> str:
        return (
            f"SELECT {', '.join(self.key_columns + self.columns)} FROM {self.table} ORDER BY rowid"
        )

    @property
    def insert(self) -> str:
        names = self.key_columns + self.columns
        return (
            f"INSERT INTO {self.table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        )

    @property
    def update(self) -> str:
        return f"UPDATE {self.table} SET {_equal(self.columns, ', ')} WHERE {self.where}"

    @property
    def delete(self) -> str:
        return f"DELETE FROM {self.table} WHERE {self.where}"

    @property
    def where(self) -> str:
        return _equal(self.key_columns, " AND ")


def _equal(columns: Iterable[str], between: str) -> str:
    return between.join(f"{column} = ?" for column in columns)


class Rows(Generic[K, V]):
    """One table. select reads at any time, write only inside a transaction."""

    def __init__(self, shape: Shape[K, V], *, select: Execute, write: Execute) -> None:
        self._shape = shape
        self._select, self._insert = shape.select, shape.insert
        self._update, self._delete = shape.update, shape.delete
        self._read = select
        self._write = write
        self._known: dict[K, V] | None = None

    def all(self) -> Mapping[K, V]:
        """In the order in which they were first saved. Not to be kept: it changes."""
        if self._known is None:
            shape, width = self._shape, len(self._shape.key_columns)
            self._known = {
                shape.key_of(row[:width]): shape.value_of(row[width:])
                for row in self._read(self._select)
            }
        return self._known

    def get(self, key: K) -> V | None:
        known = self._known
        if known is None:
            return self.all().get(key)
        return known.get(key) if known else None  # many tables are empty most of the time

    def save(self, key: K, value: V | None) -> None:
        """None: there is no such row any more. What is so already is not written."""
        before = self.get(key)
        if before == value:
            return
        assert self._known is not None  # get() has read it
        shape = self._shape
        if value is None:
            self._write(self._delete, *shape.key_to(key))
            del self._known[key]
            return
        if before is None:
            self._write(self._insert, *shape.key_to(key), *shape.value_to(value))
        else:
            self._write(self._update, *shape.value_to(value), *shape.key_to(key))
        self._known[key] = value

    def forget(self) -> None:
        """What is in the file may be other than what was known of it."""
        self._known = None


@lru_cache(maxsize=4096)
def _id(id: UUID) -> str:
    return str(id)


def bodies(table: str, key: str, type_: Any) -> Shape[UUID, Any]:
    """Values of a type as JSON, under the id of a service point."""
    adapter: TypeAdapter[Any] = TypeAdapter(type_)
    return Shape(
        table,
        (key,),
        ("body",),
        key_to=lambda id: (_id(id),),
        key_of=lambda row: UUID(row[0]),
        value_to=lambda value: (adapter.serializer.to_json(value).decode(),),
        value_of=lambda row: adapter.validate_json(row[0]),
    )


BALANCES: Shape[Book, Money] = Shape(
    "balance",
    ("book",),
    ("fen",),
    key_to=lambda book: (book,),
    key_of=lambda row: Book(row[0]),
    value_to=lambda balance: (balance.fen,),
    value_of=lambda row: Money(row[0]),
)

TARIFFS: Shape[str, str] = Shape(
    "tariff",
    ("code",),
    ("body",),
    key_to=lambda code: (code,),
    key_of=lambda row: str(row[0]),
    value_to=lambda body: (body,),
    value_of=lambda row: str(row[0]),
)

SUPPLIES: Shape[UUID, SupplyRow] = Shape(
    "supply",
    ("point",),
    ("seen", "wanted", "why", "commanded_at"),
    key_to=lambda id: (_id(id),),
    key_of=lambda row: UUID(row[0]),
    value_to=lambda row: (row.seen, row.wanted, row.why, _written(row.commanded_at)),
    value_of=lambda row: SupplyRow(
        Supply(row[0]) if row[0] else None,
        Supply(row[1]) if row[1] else None,
        Why(row[2]),
        _instant(row[3]),
    ),
)

INTENTS: Shape[UUID, Intent] = Shape(
    "intent",
    ("point",),
    ("supply", "sent_at", "commanded_at", "tries", "is_refused"),
    key_to=lambda id: (_id(id),),
    key_of=lambda row: UUID(row[0]),
    value_to=lambda intent: (
        intent.supply,
        intent.sent_at.isoformat(),
        _written(intent.commanded_at),
        intent.tries,
        intent.is_refused,
    ),
    value_of=lambda row: Intent(
        Supply(row[0]), datetime.fromisoformat(row[1]), _instant(row[2]), row[3], bool(row[4])
    ),
)

CHECKS: Shape[tuple[UUID, Work], Checked] = Shape(
    "checked",
    ("point", "work"),
    ("at", "is_right", "by", "text"),
    key_to=lambda key: (str(key[0]), key[1].value),
    key_of=lambda row: (UUID(row[0]), Work(row[1])),
    value_to=lambda done: (done.at.isoformat(), done.is_right, done.by, done.text),
    value_of=lambda row: Checked(
        datetime.fromisoformat(row[0]), None if row[1] is None else bool(row[1]), row[2], row[3]
    ),
)

ALARMS: Shape[tuple[UUID | None, str], datetime] = Shape(
    "alarm",
    ("point", "alarm"),
    ("since",),
    key_to=lambda key: (_id(key[0]) if key[0] else "", str(key[1])),
    key_of=lambda row: (UUID(row[0]) if row[0] else None, row[1]),
    value_to=lambda since: (since.isoformat(),),
    value_of=lambda row: datetime.fromisoformat(row[0]),
)
"""By the point, None for the gateway itself, and the word of the alarm or trouble."""


CREDITS: Shape[Book, int] = Shape(
    "credit",
    ("book",),
    ("number",),
    key_to=lambda book: (book,),
    key_of=lambda row: Book(row[0]),
    value_to=lambda number: (number,),
    value_of=lambda row: int(row[0]),
)

TYPED: Shape[tuple[Book, int], Typed] = Shape(
    "typed",
    ("book", "number"),
    ("amount_fen", "at"),
    key_to=lambda key: key,
    key_of=lambda row: (Book(row[0]), int(row[1])),
    value_to=lambda typed: (typed.amount.fen, typed.at.isoformat()),
    value_of=lambda row: Typed(Money(row[0]), datetime.fromisoformat(row[1])),
)
"""By the purse's book and the credit's number."""

LENT: Shape[UUID, Lending] = Shape(
    "lent",
    ("purse",),
    ("at", "by"),
    key_to=lambda id: (str(id),),
    key_of=lambda row: UUID(row[0]),
    value_to=lambda lending: (lending.at.isoformat(), lending.by),
    value_of=lambda row: Lending(datetime.fromisoformat(row[0]), row[1]),
)

OFF: Shape[UUID, Off] = Shape(
    "off",
    ("point",),
    ("since", "taps_closed_at"),
    key_to=lambda id: (str(id),),
    key_of=lambda row: UUID(row[0]),
    value_to=lambda off: (_written(off.since), _written(off.taps_closed_at)),
    value_of=lambda row: Off(_instant(row[0]), _instant(row[1])),
)


def _written(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
