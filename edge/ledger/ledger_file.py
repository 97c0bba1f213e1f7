"""The file that the ledger is: whose it is, whether it is sound, its copies, and what is set aside."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO
from uuid import UUID

from edge.ledger import schema
from prepaid import ledger
from prepaid.ledger import Book
from prepaid.wire.entry import NO_ENTRY, Entry

log = logging.getLogger(__name__)

CHAIN_AT_START = 20_000  # entries, the newest
CHECK_STEPS = 1000  # of SQLite's machine, between two looks at the clock


class StoreTaken(Exception):
    """Another gateway program works on this ledger."""


class StoreUnusable(Exception):
    """The ledger cannot be opened, or is not this gateway's."""


class StoreDamaged(StoreUnusable):
    """The ledger is not what was written: a page, the chain of the log, or a balance is wrong."""


class StoreFull(Exception):
    """The disk is full. Nothing of the transaction is kept; try again when there is room."""


@contextmanager
def speaking(path: Path) -> Iterator[None]:
    """SQLite's errors as sentences for a person."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if (said := told(error, path)) is not None:
            raise said from error
        raise


def told(error: sqlite3.DatabaseError, path: Path) -> Exception | None:
    """An error of SQLite as a sentence for a person; None where it is a mistake of the program."""
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"{path} cannot be written: the disk is full; make room on it")
    if code is not None and code & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return StoreDamaged(f"{path} cannot be used: {error}")
    if isinstance(error, sqlite3.OperationalError):
        return StoreUnusable(f"{path} cannot be used: {error}")
    return None


# Whose it is.


def take(path: Path) -> IO[bytes]:
    """A lock beside the ledger that ends with the process, however it ends. Raises StoreTaken, StoreUnusable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.fdopen(os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600), "r+b")
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


@dataclass(frozen=True, slots=True)
class Note:
    """What the lock file says of the ledger: which log it is, and how far the cloud has it.

    There it outlives a ledger that can no longer be read, and tells one that is older. boot names the
    machine's start in which the cloud last found the log to be as it knows it, None before that.
    """

    log: UUID
    acked: int
    boot: UUID | None


_NEVER = UUID(int=0)


def note(lock: IO[bytes], say: Note) -> None:
    was = noted(lock)
    text = f"{say.log} {say.acked:020} {say.boot or _NEVER}\n"
    os.pwrite(lock.fileno(), text.encode(), 0)
    if was is None or was.log != say.log:
        os.fsync(lock.fileno())


def noted(lock: IO[bytes]) -> Note | None:
    """What was noted last, None if that cannot be told."""
    try:
        name, acked, boot = os.pread(lock.fileno(), 200, 0).decode().split()
        heard = UUID(boot)
        return Note(UUID(name), int(acked), heard if heard != _NEVER else None)
    except ValueError:
        return None


def this_boot() -> UUID | None:
    """The name of the machine's present start, None where the system gives it none."""
    try:
        return UUID(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    except (OSError, ValueError):
        return None


def keep_private(path: Path) -> None:
    """The ledger holds the meters' passwords: it and all beside it is its owner's alone.

    SQLite gives the files that it makes beside a ledger the ledger's own mode.
    """
    try:
        path.touch(0o600)
        for file in (*_parts(path), path.with_suffix(".lock")):
            if file.exists():
                file.chmod(0o600)
    except OSError as error:
        raise StoreUnusable(
            f"{path} cannot be made its owner's alone: {error.strerror}; give it to the user that runs the gateway"
        ) from error


def _parts(path: Path) -> tuple[Path, ...]:
    """The file and those that SQLite keeps beside it; the file itself is the first."""
    return path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def connect(path: Path, kind: type[sqlite3.Connection] = sqlite3.Connection) -> sqlite3.Connection:
    """To write: what is committed is on disk when the commit returns. kind may misbehave as a disk does."""
    db = sqlite3.connect(path, isolation_level=None, factory=kind)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    return db


def names_to_disk(path: Path) -> None:
    """An open ledger and its journal are found by their names after a power cut. Raises StoreUnusable."""
    try:
        _sync(path.parent)
    except OSError as error:
        raise StoreUnusable(f"{path} cannot be used: {error.strerror}") from error


def journal_to_disk(path: Path) -> None:
    """What was committed to an open ledger without waiting for the disk is on it. Raises StoreUnusable."""
    try:
        _sync(path.with_name(f"{path.name}-wal"))
    except OSError as error:
        raise StoreUnusable(f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def looking(path: Path) -> Iterator[sqlite3.Connection]:
    """To read, also while a gateway writes. Raises StoreUnusable if there is no ledger."""
    if not path.exists():
        raise StoreUnusable(
            f"there is no ledger {path}: the gateway makes it when it is first started (`wattwell edge run`)"
        )
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            yield db
    except sqlite3.OperationalError as error:
        raise StoreUnusable(f"{path} cannot be read: {error}") from error


# Whether it is sound.


def check(db: sqlite3.Connection, path: Path, *, within_s: float | None) -> bool:
    """Whether everything was looked at in the time given (None: as long as it takes).

    First that the log is a chain, newest entries first, then that the balances are the fold of the transfers,
    then that SQLite finds every page sound. Where the time is limited, CHAIN_AT_START of the log's entries are
    enough: the others were sent long ago, and to hash them all takes the longest. They come first, as they take
    a second whatever the ledger holds: the transfers of a thousand meters would leave no time for them.

    Raises StoreDamaged.
    """
    end = None if within_s is None else time.monotonic() + within_s
    if end is not None:
        db.set_progress_handler(lambda: time.monotonic() > end, CHECK_STEPS)
    try:
        _check_chain(db, path, newest=-1 if within_s is None else CHAIN_AT_START)
        _check_balances(db, path)
        _check_pages(db, path, is_whole=within_s is None)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return False
    finally:
        db.set_progress_handler(None, 0)
    return True


def fold(db: sqlite3.Connection) -> dict[Book, int]:
    """The balance of each prepaid book in fen, from nothing but transfers, what was carried and typed codes."""
    rows = db.execute(
        """SELECT book, sum(fen) FROM (
             SELECT credit AS book, amount_fen AS fen FROM transfer
             UNION ALL SELECT debit, -amount_fen FROM transfer
             UNION ALL SELECT book, amount_fen FROM typed
             UNION ALL SELECT book, fen FROM carried) GROUP BY book"""
    )
    return {Book(book): fen for book, fen in rows if ledger.purse_of(Book(book)) is not None}


def _check_balances(db: sqlite3.Connection, path: Path) -> None:
    kept = dict(db.execute("SELECT book, fen FROM balance"))
    if (sums := fold(db)) != kept:
        wrong = sorted(b for b in sums.keys() | kept.keys() if sums.get(b) != kept.get(b))
        raise StoreDamaged(
            f"{path} does not add up: the balance of {', '.join(wrong)} is not the sum of its transfers"
        )


def _check_chain(db: sqlite3.Connection, path: Path, *, newest: int) -> None:
    (name,) = db.execute("SELECT log FROM gateway").fetchone()
    after: tuple[int, str] | None = None
    rows = db.execute(
        "SELECT seq, body, previous FROM up ORDER BY seq DESC LIMIT ?", (newest,)
    )  # all of them where newest is -1
    for seq, body, previous in rows:
        if after is not None and after != (
            seq + 1,
            Entry(UUID(name), seq, body, previous=previous).hash(),
        ):
            raise StoreDamaged(f"{path}: entry {after[0]} of its log does not follow entry {seq}")
        after = seq, previous
    if after is not None and after[0] == 1 and after[1] != NO_ENTRY:
        raise StoreDamaged(f"{path}: the first entry of its log follows another")


def _check_pages(db: sqlite3.Connection, path: Path, *, is_whole: bool) -> None:
    statement = "PRAGMA integrity_check(1)" if is_whole else "PRAGMA quick_check(1)"
    (found,) = db.execute(statement).fetchone()
    if found != "ok":
        raise StoreDamaged(f"{path} is damaged: {found}")


def check_file(path: Path) -> None:
    """Looks at everything in a ledger, also while a gateway works on it. Raises StoreUnusable, StoreDamaged."""
    with looking(path) as db, speaking(path):
        _must_be_this_versions(db, path)
        _begin_moment(db)
        check(db, path, within_s=None)


def _begin_moment(db: sqlite3.Connection) -> None:
    """Until it is closed, one moment is seen of a ledger, whatever is written meanwhile. A copy that is made without
    it begins anew with each write, and of a large ledger never ends."""
    db.execute("BEGIN")
    db.execute("SELECT 1 FROM gateway").fetchone()


def _must_be_this_versions(db: sqlite3.Connection, path: Path) -> None:
    if schema.version_of(db) != schema.VERSION:
        raise StoreUnusable(
            f"{path} was written by another version of Wattwell; start this version's gateway on it once"
        )


# Copies.


def backup(path: Path, to: Path) -> None:
    """A sound copy of a ledger as it is at one moment, also while a gateway works on it.

    Raises StoreUnusable if there is already such a file or it cannot be written, StoreDamaged if the ledger
    or its copy is not sound.
    """
    if to.exists():
        raise StoreUnusable(f"{to} is there already; give the backup another name")
    half = to.with_name(f"{to.name}.part")
    try:
        half.unlink(missing_ok=True)
        half.touch(0o600)
        with looking(path) as source, speaking(path), closing(sqlite3.connect(half)) as copy:
            _begin_moment(source)
            _must_be_this_versions(source, path)
            source.backup(copy)
            # A copy is one file: the mode of the ledger's journal is not its own.
            copy.execute("PRAGMA journal_mode = DELETE")
            check(copy, half, within_s=None)
        _sync(half)
        half.rename(to)
        _sync(to.parent)
    except OSError as error:
        raise StoreUnusable(f"{to} cannot be written: {error.strerror}") from error
    finally:
        half.unlink(missing_ok=True)


def restore(
    backup_file: Path, path: Path, gateway_no: str, *, hold: str, now: datetime
) -> Path | None:
    """Puts a backup in the ledger's place, held; where the ledger was set aside, None if there was none.

    Raises StoreTaken while a gateway works on the ledger, StoreUnusable and StoreDamaged for a backup that
    is not sound or another gateway's; then nothing is changed.
    """
    with closing(take(path)) as lock:
        finish_renewal(path, now=now)
        with _building(path) as part, looking(backup_file) as source, speaking(backup_file):
            if not 0 < schema.version_of(source) <= schema.VERSION:
                raise StoreUnusable(f"{backup_file} is no ledger of this version of Wattwell")
            with closing(connect(part)) as db:
                source.backup(db)
                if schema.version_of(db) < schema.VERSION:
                    schema.upgrade(db)
                check(db, backup_file, within_s=None)
                owner, name, acked = db.execute(
                    "SELECT gateway_no, log, acked FROM gateway"
                ).fetchone()
                if owner != gateway_no:
                    raise StoreUnusable(
                        f"{backup_file} is the ledger of gateway {owner}, not of {gateway_no}"
                    )
                db.execute("UPDATE gateway SET hold = ?", (hold,))
        note(lock, Note(UUID(name), acked, boot=None))
        return _put_in_place(path, why="replaced", now=now)


# Setting aside.


def renew(
    path: Path,
    gateway_no: str,
    *,
    hold: str,
    instead_of: UUID | None,
    why: str,
    now: datetime,
) -> Path | None:
    """An empty ledger in the place of one that is set aside; where that is now, None if there was none.

    Whatever happens meanwhile, there is the old one or the new one. The lock must be held, the old ledger
    closed. Raises StoreFull, StoreUnusable.
    """
    with _building(path) as part, speaking(path), closing(connect(part)) as db:
        schema.create(db, gateway_no, hold=hold, instead_of=instead_of)
    return _put_in_place(path, why=why, now=now)


def finish_renewal(path: Path, *, now: datetime) -> None:
    """Ends what a power cut left half done: a new ledger stands beside the old one. The lock must be held."""
    if _new(path).exists():
        _put_in_place(path, why="set-aside", now=now)


@contextmanager
def _building(path: Path) -> Iterator[Path]:
    """A new ledger is written here; once it is whole, it stands under the name that decides."""
    part = path.with_name(f"{path.name}.part")
    try:
        for each in _parts(part):
            each.unlink(missing_ok=True)
        part.touch(0o600)
        yield part
        _sync(part)
        part.rename(_new(path))
        _sync(path.parent)
    except OSError as error:
        raise StoreUnusable(f"{path} cannot be replaced: {error.strerror}") from error
    finally:
        for each in _parts(part):
            each.unlink(missing_ok=True)


def _put_in_place(path: Path, *, why: str, now: datetime) -> Path | None:
    aside = None
    try:
        if any(part.exists() for part in _parts(path)):
            aside = _free_name(path.with_name(f"{path.name}.{why}-{now:%Y%m%dT%H%M%SZ}"))
            for part, to in zip(_parts(path), _parts(aside), strict=True):
                if part.exists():
                    part.rename(to)
        _new(path).rename(path)
        _sync(path.parent)
    except OSError as error:
        raise StoreUnusable(f"{path} cannot be replaced: {error.strerror}") from error
    return aside


def _free_name(path: Path) -> Path:
    number = 1
    free = path
    while any(part.exists() for part in _parts(free)):
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def _new(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _sync(path: Path) -> None:
    """File or folder: what it says of its content or names is on disk when this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
