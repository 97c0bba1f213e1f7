"""The disk under a gateway's ledger: it may fail at a write, and a power cut takes what was not synced.

SQLite's promise is modelled, not its file system: in WAL mode with synchronous FULL a commit that has returned
survives; with less, what was written since the last checkpoint may be lost (sqlite.org, WAL mode, "Performance
Considerations"). What the ledger says of itself is watched at each commit, in its own transaction.
"""

from __future__ import annotations

import functools
import os
import random
import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FULL = 2  # PRAGMA synchronous
WRITES = frozenset({"INSERT", "UPDATE", "REPLACE", "DELETE"})
SPECIAL = WRITES | {"BEGIN", "COMMIT", "ROLLBACK", "PRAGMA"}
WAL_HEADER, FRAME_HEADER = 32, 24


class PowerCut(BaseException):
    """Nothing goes on after this instant."""


@functools.cache
def _first_word(statement: str) -> str:
    return statement.split(None, 1)[0].upper()


@dataclass(frozen=True, slots=True)
class Saved:
    """A position that a commit has put in the place of another, both as JSON; was is None for the first.

    tariff is that of the point, None where the ledger does not know the point.
    """

    point: str
    was: str | None
    body: str
    tariff: str | None


@dataclass(frozen=True, slots=True)
class Credit:
    """A transfer that is no charge, booked by a commit: from one book to another."""

    id: str
    debit: str
    credit: str
    fen: int


@dataclass(frozen=True, slots=True)
class Typed:
    """Credit by a code, kept until the cloud's own comes."""

    book: str
    number: int
    fen: int


@dataclass(slots=True)
class Commit:
    """What a commit has changed that the world looks at: positions, credits, points that were pinned, what was done
    at the gateway itself.

    is_heard: it moved the cursor in the cloud's log. is_held: the store is, after it.
    """

    positions: list[Saved]
    credits: list[Credit]
    pinned: list[str]
    typed: list[Typed]
    lent: list[
        tuple[str, bool]
    ]  # a purse, and whether it has taken emergency credit or paid it back
    is_heard: bool
    is_held: bool


_WATCH = """
CREATE TEMP TRIGGER first_saved AFTER INSERT ON main.position
  BEGIN SELECT seen_saved(NEW.point, NULL, NEW.body); END;
CREATE TEMP TRIGGER saved_again AFTER UPDATE ON main.position
  BEGIN SELECT seen_saved(NEW.point, OLD.body, NEW.body); END;
CREATE TEMP TRIGGER credit_booked AFTER INSERT ON main.transfer WHEN NEW.reason <> 'charge'
  BEGIN SELECT seen_credited(NEW.id, NEW.debit, NEW.credit, NEW.amount_fen); END;
CREATE TEMP TRIGGER first_pinned AFTER INSERT ON main.override
  BEGIN SELECT seen_pinned(NEW.point); END;
CREATE TEMP TRIGGER pinned_again AFTER UPDATE ON main.override
  BEGIN SELECT seen_pinned(NEW.point); END;
CREATE TEMP TRIGGER let_go AFTER DELETE ON main.override
  BEGIN SELECT seen_pinned(OLD.point); END;
CREATE TEMP TRIGGER code_typed AFTER INSERT ON main.typed
  BEGIN SELECT seen_typed(NEW.book, NEW.number, NEW.amount_fen); END;
CREATE TEMP TRIGGER borrowed AFTER INSERT ON main.lent
  BEGIN SELECT seen_lent(NEW.purse, 1); END;
CREATE TEMP TRIGGER paid_back AFTER DELETE ON main.lent
  BEGIN SELECT seen_lent(OLD.purse, 0); END;
CREATE TEMP TRIGGER heard AFTER UPDATE OF cloud_seq ON main.gateway
  BEGIN SELECT seen_heard(); END;
CREATE TEMP TRIGGER held AFTER UPDATE OF hold ON main.gateway
  BEGIN SELECT seen_hold(NEW.hold); END;
"""


class Seen:
    """What the transaction under way has changed: triggers tell it, in SQLite, whoever writes and however."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._saved: list[tuple[str, str | None, str]] = []
        self._credits: list[Credit] = []
        self._pinned: list[str] = []
        self._typed: list[Typed] = []
        self._lent: list[tuple[str, bool]] = []
        self._is_heard = self._is_held = self._was_held = False

    def begin(self) -> None:
        """Watches from now on. A store that is replaced is another connection."""
        self._db.create_function("seen_saved", 3, lambda *row: self._saved.append(row))
        self._db.create_function(
            "seen_credited", 4, lambda *row: self._credits.append(Credit(*row))
        )
        self._db.create_function("seen_pinned", 1, self._pinned.append)
        self._db.create_function("seen_typed", 3, lambda *row: self._typed.append(Typed(*row)))
        self._db.create_function(
            "seen_lent", 2, lambda purse, is_on: self._lent.append((purse, bool(is_on)))
        )
        self._db.create_function("seen_heard", 0, self._hear)
        self._db.create_function("seen_hold", 1, self._hold)
        self._db.executescript(_WATCH)
        self._is_held = self._was_held = self._one("SELECT hold FROM main.gateway") is not None

    def _hear(self) -> None:
        self._is_heard = True

    def _hold(self, hold: str | None) -> None:
        self._is_held = hold is not None

    def _one(self, query: str, *values: str) -> Any:
        row = sqlite3.Connection.execute(self._db, query, values).fetchone()
        return None if row is None else row[0]

    def rolled_back(self) -> None:
        self._clear()
        self._is_held = self._was_held

    def committed(self) -> Commit:
        commit = Commit(
            [Saved(*row, self._tariff(row[0])) for row in self._saved],
            list(self._credits),
            list(self._pinned),
            list(self._typed),
            list(self._lent),
            is_heard=self._is_heard,
            is_held=self._is_held,
        )
        self._was_held = self._is_held
        self._clear()
        return commit

    def _clear(self) -> None:
        for seen in (self._saved, self._credits, self._pinned, self._typed, self._lent):
            seen.clear()
        self._is_heard = False

    def _tariff(self, point: str) -> str | None:
        query = "SELECT json_extract(body, '$.tariff') FROM main.point WHERE id = ?"
        tariff: str | None = self._one(query, point)
        return tariff


class Disk:
    """The disk of one machine. Counters run down to what is to happen; None: nothing is."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.is_dark = False
        self.fails_at: int | None = None  # this many writes from now
        self.is_full = False
        self.cuts_at: tuple[int, bool] | None = (
            None  # so many commits from now; before, or after it
        )
        self.on_cut: Callable[[], None] = lambda: None
        self.on_commit: Callable[[Commit], None] = lambda commit: None
        self.db: Any = None  # the connection that was opened last
        self._synced: Journal | None = None  # so far its journal is on the disk for certain

    def connection(self) -> type[sqlite3.Connection]:
        """For edge.ledger.store.Store."""
        disk = self

        class Spoken(sqlite3.Connection):
            def __init__(self, *given: Any, **named: Any) -> None:
                super().__init__(*given, **named)
                self.path = Path(given[0])
                self.seen: Seen | None = None
                self.waits = True  # for the disk, as of what it was told last
                disk.db, disk._synced = self, None

            def execute(self, statement: str, /, *values: Any) -> sqlite3.Cursor:
                if disk.is_dark:
                    raise PowerCut
                word = _first_word(statement)
                if word in SPECIAL:
                    return disk.speak(self, super().execute, word, statement, *values)
                return super().execute(statement, *values)

            def said(self, statement: str) -> list[Any]:
                return super().execute(statement).fetchall()

        return Spoken

    def speak(
        self,
        db: Any,
        execute: Callable[..., sqlite3.Cursor],
        word: str,
        statement: str,
        *values: Any,
    ) -> sqlite3.Cursor:
        match word:
            case "COMMIT":
                return self._commit(db, execute)
            case "BEGIN" if db.seen is None and statement.startswith("BEGIN IMMEDIATE"):
                db.seen = Seen(db)
                db.seen.begin()
                self._synced = _journal(db.path)  # what was found when it was opened
            case "ROLLBACK" if db.seen is not None:
                db.seen.rolled_back()
            case "PRAGMA":
                done = execute(statement, *values)
                ((synchronous,),) = db.said("PRAGMA synchronous")
                db.waits = synchronous >= FULL
                return done
            case _ if word in WRITES:
                self._fail()
        return execute(statement, *values)

    def _fail(self) -> None:
        if self.fails_at is not None:
            self.fails_at -= 1
            if self.fails_at <= 0:
                self.is_full, self.fails_at = True, None
        if self.is_full:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            error.sqlite_errorname = "SQLITE_FULL"
            raise error

    def _commit(self, db: Any, execute: Callable[..., sqlite3.Cursor]) -> sqlite3.Cursor:
        is_cut, is_after = False, False
        if self.cuts_at is not None:
            left, is_after = self.cuts_at
            is_cut = left <= 1
            self.cuts_at = None if is_cut else (left - 1, is_after)
        if is_cut and not is_after:
            self._cut()
        done = execute("COMMIT")
        if db.waits:
            self._synced = _journal(db.path)
        if db.seen is not None:
            self.on_commit(db.seen.committed())
        if is_cut:
            self._cut()
        return done

    def _cut(self) -> None:
        self.on_cut()
        raise PowerCut

    def flush(self, path: Path) -> None:
        """For edge.ledger.store.Store: all that was committed is on the disk."""
        if self.is_dark:
            raise PowerCut
        self._synced = _journal(path)

    def freeze(self, path: Path) -> Frozen:
        """What is on the disk at this instant: of what was not synced a part is lost, by seed, the last of it."""
        parts = {}
        wal = path.with_name(f"{path.name}-wal")
        for part in (path, wal):
            if part.exists():
                parts[part] = part.read_bytes()
        now, synced = _journal(path), self._synced
        if wal in parts and now is not None:
            least = synced.frames if synced is not None and synced.salt == now.salt else 0
            kept = self._dice.randint(least, now.frames) if least < now.frames else now.frames
            ((page,),) = self.db.said("PRAGMA page_size")
            parts[wal] = parts[wal][: WAL_HEADER + kept * (FRAME_HEADER + page)]
        return Frozen(path, parts)


@dataclass(frozen=True, slots=True)
class Journal:
    """How far a write-ahead log goes; salt is another once it was begun anew, after a checkpoint."""

    salt: bytes
    frames: int


def _journal(path: Path) -> Journal | None:
    """As the index beside it says (sqlite.org, WAL file format: the header of the WAL-index)."""
    index = f"{path}-shm"
    try:
        file = os.open(index, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        header = os.pread(file, 48, 0)
    finally:
        os.close(file)
    if len(header) < 48:
        return None
    return Journal(header[32:40], int.from_bytes(header[16:20], sys.byteorder))


@dataclass(frozen=True, slots=True)
class Frozen:
    """A ledger's files as a power cut left them."""

    path: Path
    parts: dict[Path, bytes]

    def thaw(self) -> None:
        """They are what is found when the power is back, whatever the program did to them while it ended."""
        for name in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + name).unlink(missing_ok=True)
        for part, content in self.parts.items():
            part.write_bytes(content)
            part.chmod(0o600)


def copy_ledger(path: Path, to: Path) -> None:
    """A copy of a ledger that nobody has open, as a person makes one with cp."""
    for name in ("", "-wal"):
        part = path.with_name(path.name + name)
        if part.exists():
            shutil.copy(part, to.with_name(to.name + name))
