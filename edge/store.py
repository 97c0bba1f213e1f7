"""The gateway's ledger and logs: one SQLite file. What is committed here survives a kill and a power cut."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from uuid import UUID, uuid4

from pydantic import TypeAdapter

from prepaid import ledger, tariff_document
from prepaid.ledger import Book, Reason, Transfer, TransferIdReused
from prepaid.money import Money
from prepaid.point import ServicePoint
from prepaid.rating import Position
from prepaid.reading import Reading, Supply
from prepaid.supply import Why
from prepaid.tariff import Tariff
from prepaid.wire import AlarmKind, Cursor, Entry, TariffSet, Up, write_up

SCHEMA = """
CREATE TABLE gateway (            -- one row: who we are, and how far the two logs are
  id         INTEGER PRIMARY KEY CHECK (id = 1),
  gateway_no TEXT NOT NULL,
  log        TEXT NOT NULL,       -- our log; a new store is a new log
  acked      INTEGER NOT NULL,    -- the cloud's cursor in it
  cloud_log  TEXT,                -- the cloud's log, pinned at the first entry that verified
  cloud_seq  INTEGER NOT NULL     -- our cursor in it
);
CREATE TABLE point    (id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE tariff   (code TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE position (point TEXT PRIMARY KEY, body TEXT NOT NULL);   -- 结算位置
CREATE TABLE doubt    (point TEXT PRIMARY KEY, body TEXT NOT NULL);   -- the reading that holds a point
CREATE TABLE transfer (           -- 凭证, never changed
  id         TEXT PRIMARY KEY,
  debit      TEXT NOT NULL,
  credit     TEXT NOT NULL,
  amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
  reason     TEXT NOT NULL,
  cause      TEXT NOT NULL,
  at         TEXT NOT NULL
);
CREATE TABLE balance  (book TEXT PRIMARY KEY, fen INTEGER NOT NULL);  -- the fold of transfer, by prepaid book
CREATE TABLE supply   (           -- what the cloud was last told of each point's supply
  point        TEXT PRIMARY KEY,
  seen         TEXT,
  wanted       TEXT,
  why          TEXT NOT NULL,
  commanded_at TEXT
);
CREATE TABLE intent   (           -- a switch command that is about to be sent, until it is read back
  point        TEXT PRIMARY KEY,
  supply       TEXT NOT NULL,
  sent_at      TEXT NOT NULL,
  commanded_at TEXT,              -- when the meter acknowledged it
  tries        INTEGER NOT NULL,
  is_refused   INTEGER NOT NULL
);
CREATE TABLE alarm    (point TEXT, alarm TEXT, since TEXT NOT NULL, PRIMARY KEY (point, alarm));
CREATE TABLE up       (seq INTEGER PRIMARY KEY, body TEXT NOT NULL);  -- our log
CREATE TABLE rejected (seq INTEGER PRIMARY KEY, body TEXT NOT NULL, reason TEXT NOT NULL);
PRAGMA user_version = 1;
"""

KEPT = 100_000  # acknowledged entries kept, so that a cloud restored from a backup can ask again

_POINT = TypeAdapter(ServicePoint)
_TARIFF = TypeAdapter(TariffSet)
_POSITION = TypeAdapter(Position)
_READING = TypeAdapter(Reading)


class StoreTaken(Exception):
    """Another gateway program works on this ledger."""


class StoreUnusable(Exception):
    """The ledger cannot be opened, or is not this gateway's, or does not add up."""


class StoreFull(Exception):
    """The disk is full. Nothing of the transaction is kept; try again when there is room."""


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


class Store:
    """Reads at any time; writes only inside `transaction()`, and all of one transaction or nothing is kept.

    Raises StoreTaken, StoreUnusable and StoreFull, each a sentence for a person.
    """

    def __init__(self, path: Path, gateway_no: str) -> None:
        self._path = path
        self._lock = _take(path)
        self.on_append: Callable[[], None] = lambda: None
        try:
            _keep_private(path)
            self._db = sqlite3.connect(path, isolation_level=None)
            with self._speaking():
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                if self._db.execute("PRAGMA user_version").fetchone() == (0,):
                    self._create(gateway_no)
            self._check(gateway_no)
        except BaseException:
            self.close()
            raise
        self.log = UUID(self._one("SELECT log FROM gateway"))
        self._appended = False

    def close(self) -> None:
        if hasattr(self, "_db"):
            self._db.close()
        self._lock.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything written inside is committed together, on disk when this returns. No await inside."""
        with self._speaking():
            self._appended = False
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        if self._appended:
            self.on_append()

    # What is supplied, and at which price.

    def points(self) -> dict[UUID, ServicePoint]:
        rows = self._db.execute("SELECT body FROM point ORDER BY rowid")
        found = (_POINT.validate_json(body) for (body,) in rows)
        return {point.id: point for point in found}

    def save_point(self, point: ServicePoint) -> None:
        self._put("point", point.id, _POINT.dump_json(point).decode())

    def tariff(self, code: str) -> Tariff | None:
        body = self._one("SELECT body FROM tariff WHERE code = ?", code)
        return None if body is None else tariff_document.parse(_TARIFF.validate_json(body).document)

    def save_tariff(self, message: TariffSet) -> None:
        """Raises BadTariff."""
        code = tariff_document.parse(message.document).code
        self._write("REPLACE INTO tariff VALUES (?, ?)", code, _TARIFF.dump_json(message).decode())

    # Where metering stands.

    def position(self, point: UUID) -> Position | None:
        body = self._one("SELECT body FROM position WHERE point = ?", str(point))
        return None if body is None else _POSITION.validate_json(body)

    def save_position(self, point: UUID, position: Position) -> None:
        self._put("position", point, _POSITION.dump_json(position).decode())

    def doubt(self, point: UUID) -> Reading | None:
        """The reading that could not be true and holds the point, or None."""
        body = self._one("SELECT body FROM doubt WHERE point = ?", str(point))
        return None if body is None else _READING.validate_json(body)

    def save_doubt(self, point: UUID, reading: Reading | None) -> None:
        if reading is None:
            self._write("DELETE FROM doubt WHERE point = ?", str(point))
        else:
            self._put("doubt", point, _READING.dump_json(reading).decode())

    # Money.

    def balance(self, purse: UUID) -> Money:
        fen = self._one("SELECT fen FROM balance WHERE book = ?", ledger.prepaid(purse))
        return Money(fen or 0)

    def post(self, transfer: Transfer) -> bool:
        """Book a transfer and move the balances it touches; False if it was booked before.

        Raises TransferIdReused if its id was booked with other content.
        """
        row = (
            str(transfer.id),
            transfer.debit,
            transfer.credit,
            transfer.amount.fen,
            transfer.reason.value,
            transfer.cause,
            transfer.at.isoformat(),
        )
        found = self._db.execute("SELECT * FROM transfer WHERE id = ?", row[:1]).fetchone()
        if found is not None:
            if _transfer(found) != transfer:
                raise TransferIdReused(
                    f"transfer {transfer.id} ({transfer.reason}:{transfer.cause}) was booked as "
                    f"{Money(found[3])} from {found[1]} to {found[2]}, and comes again as "
                    f"{transfer.amount} from {transfer.debit} to {transfer.credit}"
                )
            return False
        self._write("INSERT INTO transfer VALUES (?, ?, ?, ?, ?, ?, ?)", *row)
        for book, fen in (
            (transfer.debit, -transfer.amount.fen),
            (transfer.credit, transfer.amount.fen),
        ):
            if ledger.purse_of(book) is not None:
                self._write(
                    "INSERT INTO balance VALUES (?, ?) ON CONFLICT DO UPDATE SET fen = fen + excluded.fen",
                    book,
                    fen,
                )
        return True

    def transfers(self) -> list[Transfer]:
        return [_transfer(row) for row in self._db.execute("SELECT * FROM transfer ORDER BY rowid")]

    # Supply.

    def supply(self, point: UUID) -> SupplyRow | None:
        row = self._db.execute(
            "SELECT seen, wanted, why, commanded_at FROM supply WHERE point = ?", (str(point),)
        ).fetchone()
        if row is None:
            return None
        seen, wanted, why, commanded_at = row
        return SupplyRow(
            Supply(seen) if seen else None,
            Supply(wanted) if wanted else None,
            Why(why),
            datetime.fromisoformat(commanded_at) if commanded_at else None,
        )

    def save_supply(self, point: UUID, row: SupplyRow) -> None:
        at = row.commanded_at.isoformat() if row.commanded_at else None
        self._write(
            "REPLACE INTO supply VALUES (?, ?, ?, ?, ?)",
            str(point),
            row.seen,
            row.wanted,
            row.why,
            at,
        )

    def intent(self, point: UUID) -> Intent | None:
        row = self._db.execute(
            "SELECT supply, sent_at, commanded_at, tries, is_refused FROM intent WHERE point = ?",
            (str(point),),
        ).fetchone()
        if row is None:
            return None
        return Intent(
            Supply(row[0]),
            datetime.fromisoformat(row[1]),
            datetime.fromisoformat(row[2]) if row[2] else None,
            row[3],
            bool(row[4]),
        )

    def save_intent(self, point: UUID, intent: Intent | None) -> None:
        if intent is None:
            self._write("DELETE FROM intent WHERE point = ?", str(point))
            return
        self._write(
            "REPLACE INTO intent VALUES (?, ?, ?, ?, ?, ?)",
            str(point),
            intent.supply,
            intent.sent_at.isoformat(),
            intent.commanded_at.isoformat() if intent.commanded_at else None,
            intent.tries,
            intent.is_refused,
        )

    def alarm_since(self, point: UUID, alarm: AlarmKind) -> datetime | None:
        """Since when an alarm is on, None if it is not."""
        since = self._one(
            "SELECT since FROM alarm WHERE point = ? AND alarm = ?", str(point), alarm.value
        )
        return None if since is None else datetime.fromisoformat(since)

    def save_alarm(self, point: UUID, alarm: AlarmKind, since: datetime | None) -> None:
        if since is None:
            self._write("DELETE FROM alarm WHERE point = ? AND alarm = ?", str(point), alarm.value)
        else:
            self._write(
                "INSERT INTO alarm VALUES (?, ?, ?)", str(point), alarm.value, since.isoformat()
            )

    # The two logs.

    def append(self, message: Up) -> None:
        """Put a message at the end of our log."""
        self._write("INSERT INTO up SELECT coalesce(max(seq), 0) + 1, ? FROM up", write_up(message))
        self._appended = True

    def acked(self) -> int:
        """The last entry that the cloud says it has applied."""
        return int(self._one("SELECT acked FROM gateway"))

    def last_seq(self) -> int:
        return int(self._one("SELECT coalesce(max(seq), 0) FROM up"))

    def unacked(self, limit: int) -> list[Entry]:
        """The entries after the last acknowledged, in order."""
        rows = self._db.execute(
            "SELECT seq, body FROM up WHERE seq > ? ORDER BY seq LIMIT ?", (self.acked(), limit)
        )
        return [Entry(self.log, seq, body) for seq, body in rows]

    def acknowledge(self, seq: int) -> None:
        """The cloud has applied everything up to seq. Entries long acknowledged are forgotten."""
        self._write("UPDATE gateway SET acked = ?", seq)
        self._write("DELETE FROM up WHERE seq <= ? AND seq < (SELECT max(seq) FROM up)", seq - KEPT)

    def cursor(self) -> Cursor | None:
        """Ours in the cloud's log; None before its first entry."""
        log, seq = self._db.execute("SELECT cloud_log, cloud_seq FROM gateway").fetchone()
        return None if log is None else Cursor(UUID(log), seq)

    def move_cursor(self, cursor: Cursor) -> None:
        self._write("UPDATE gateway SET cloud_log = ?, cloud_seq = ?", str(cursor.log), cursor.seq)

    def reject(self, entry: Entry, reason: str) -> None:
        """Keep an entry of the cloud that could not be applied, with its reason."""
        self._write("INSERT INTO rejected VALUES (?, ?, ?)", entry.seq, entry.body, reason)

    def rejected(self) -> list[tuple[int, str]]:
        return self._db.execute("SELECT seq, reason FROM rejected ORDER BY seq").fetchall()

    # Inside.

    def _create(self, gateway_no: str) -> None:
        self._db.executescript("BEGIN IMMEDIATE;" + SCHEMA)
        self._db.execute(
            "INSERT INTO gateway VALUES (1, ?, ?, 0, NULL, 0)", (gateway_no, str(uuid4()))
        )
        self._db.execute("COMMIT")

    def _check(self, gateway_no: str) -> None:
        with self._speaking():
            version = self._one("PRAGMA user_version")
            if version != 1:
                raise StoreUnusable(f"{self._path} was written by a newer Wattwell ({version})")
            owner = self._one("SELECT gateway_no FROM gateway")
            if owner != gateway_no:
                raise StoreUnusable(
                    f"{self._path} is the ledger of gateway {owner}, not of {gateway_no}"
                )
            kept = dict(self._db.execute("SELECT book, fen FROM balance"))
            if (fold := _fold(self._db)) != kept:
                wrong = sorted(b for b in fold.keys() | kept.keys() if fold.get(b) != kept.get(b))
                raise StoreUnusable(
                    f"{self._path} does not add up: the balance of {', '.join(wrong)} is not the sum "
                    "of its transfers; restore it from a backup or call support"
                )

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """SQLite's errors as sentences for a person."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code == sqlite3.SQLITE_FULL:
                raise StoreFull(
                    f"{self._path} cannot be written: the disk is full; make room on it"
                ) from error
            damaged = code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
            if damaged or isinstance(error, sqlite3.OperationalError):
                raise StoreUnusable(f"{self._path} cannot be used: {error}") from error
            raise

    def _write(self, statement: str, *values: object) -> None:
        if not self._db.in_transaction:
            raise ValueError("the store is written only inside transaction()")
        self._db.execute(statement, values)

    def _put(self, table: str, key: UUID, body: str) -> None:
        self._write(
            f"INSERT INTO {table} VALUES (?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
            str(key),
            body,
        )

    def _one(self, query: str, *values: object) -> Any:
        row = self._db.execute(query, values).fetchone()
        return None if row is None else row[0]


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
    with _looking(path) as db:
        fold = _fold(db)
    return {purse: Money(fen) for book, fen in fold.items() if (purse := ledger.purse_of(book))}


def read_progress(path: Path) -> Progress:
    """Of a ledger that may be in use. Raises StoreUnusable if there is none."""
    with _looking(path) as db:
        return Progress(
            *db.execute(
                "SELECT (SELECT coalesce(max(seq), 0) FROM up), acked, cloud_seq FROM gateway"
            ).fetchone()
        )


def read_log(path: Path, *, after: int = 0) -> list[tuple[int, str]]:
    """Seq and body of our log's entries after one, of a ledger that may be in use. Raises StoreUnusable."""
    with _looking(path) as db:
        return db.execute(
            "SELECT seq, body FROM up WHERE seq > ? ORDER BY seq", (after,)
        ).fetchall()


@contextmanager
def _looking(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            yield db
        finally:
            db.close()
    except sqlite3.OperationalError as error:
        raise StoreUnusable(f"{path} cannot be read: {error}") from error


def _fold(db: sqlite3.Connection) -> dict[Book, int]:
    """The balance of each prepaid book, from nothing but the transfers."""
    rows = db.execute(
        """SELECT book, sum(fen) FROM (
             SELECT credit AS book, amount_fen AS fen FROM transfer
             UNION ALL SELECT debit, -amount_fen FROM transfer) GROUP BY book"""
    )
    return {Book(book): fen for book, fen in rows if ledger.purse_of(Book(book)) is not None}


def _transfer(row: tuple[str, str, str, int, str, str, str]) -> Transfer:
    _, debit, credit, amount_fen, reason, cause, at = row
    return Transfer(
        Book(debit),
        Book(credit),
        Money(amount_fen),
        Reason(reason),
        cause,
        datetime.fromisoformat(at),
    )


def _take(path: Path) -> IO[str]:
    """A lock beside the ledger that ends with the process, however it ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("a")
    except OSError as error:
        raise StoreUnusable(f"{path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise StoreTaken(
            f"{path} is in use by another gateway program; stop it first, or give this one its own folder"
        ) from error
    return lock


def _keep_private(path: Path) -> None:
    """The ledger holds the meters' passwords: it and all beside it is its owner's alone.

    SQLite gives the files that it makes beside a ledger the ledger's own mode.
    """
    try:
        path.touch(0o600)
        names = (path.name, f"{path.name}-wal", f"{path.name}-shm", path.with_suffix(".lock").name)
        for file in (path.with_name(name) for name in names):
            if file.exists():
                file.chmod(0o600)
    except OSError as error:
        raise StoreUnusable(
            f"{path} cannot be made its owner's alone: {error.strerror}; give it to the user that runs the gateway"
        ) from error
