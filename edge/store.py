"""The gateway's ledger and logs: one SQLite file. What is committed here survives a kill and a power cut."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from edge import ledger_file, schema
from edge.ledger_file import Note, StoreFull, StoreUnusable
from prepaid import ledger, tariff_document
from prepaid.brake import Brake
from prepaid.ledger import Book, Reason, Transfer, TransferIdReused
from prepaid.money import Money
from prepaid.point import ServicePoint
from prepaid.rating import Position
from prepaid.reading import Supply
from prepaid.register import History
from prepaid.supply import Override, Why
from prepaid.tariff import Tariff
from prepaid.wire import (
    NO_ENTRY,
    AlarmKind,
    Cursor,
    Entry,
    Read,
    TariffSet,
    Trouble,
    Up,
    write_up,
)

log = logging.getLogger(__name__)

CHECK_WITHIN_S = 30.0  # the ledger is looked through at each start, for so long at most

_POINT = TypeAdapter(ServicePoint)
_TARIFF = TypeAdapter(TariffSet)
_POSITION = TypeAdapter(Position)
_HISTORY = TypeAdapter(History)
_OVERRIDE = TypeAdapter(Override)
_BRAKE = TypeAdapter(Brake)


class Hold(StrEnum):
    """Why a store is held 停用待核: nothing is read, charged or switched by it, the supply stays as it is."""

    RESTORED = "restored"  # put back from a backup by hand
    BEHIND = "behind"  # the cloud has entries of our log that we have not: an old copy was put back
    FORKED = "forked"  # the cloud has other entries under our numbers: the same, and it has gone on
    REPLACED = "replaced"  # the cloud follows another store of this gateway; a person must decide
    REBUILDING = "rebuilding"  # empty, until the cloud has told all that it knows


class StoreHeld(Exception):
    """The store is held; see its hold."""


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

    connection is how the file is spoken to, boot names the machine's present start: of a simulated machine, both
    are its own.

    Raises StoreTaken, StoreUnusable, StoreDamaged and StoreFull (edge.ledger_file), each a sentence for a
    person.
    """

    def __init__(
        self,
        path: Path,
        gateway_no: str,
        *,
        connection: type[sqlite3.Connection] = sqlite3.Connection,
        boot: Callable[[], UUID | None] = ledger_file.this_boot,
    ) -> None:
        self._path = path
        self.gateway_no = gateway_no
        self._connection = connection
        self._this_boot = boot
        self._tariffs: dict[str, tuple[str, Tariff]] = {}  # each as parsed from the text stored now
        self._lock = ledger_file.take(path)
        self.on_append: Callable[[], None] = lambda: None
        self.make_room: Callable[[], None] = lambda: None  # called once the disk is full
        self.keeps_readings = True  # while there is room for them
        self._appended = False
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        path = self._path
        ledger_file.finish_renewal(path, now=datetime.now(UTC))
        ledger_file.keep_private(path)
        with self._speaking():
            self._db = ledger_file.connect(path, self._connection)
            match schema.version_of(self._db):
                case 0:
                    schema.create(self._db, self.gateway_no)
                case version if version < schema.VERSION:
                    schema.upgrade(self._db)
            self._check()
            if not ledger_file.check(self._db, path, within_s=CHECK_WITHIN_S):
                log.warning(
                    "%s could not be looked through within %s s; `wattwell edge check` takes its time",
                    path,
                    CHECK_WITHIN_S,
                )
            name, hold = self._db.execute("SELECT log, hold FROM gateway").fetchone()
        self.log = UUID(name)
        self._hold = Hold(hold) if hold else None
        self._compare(ledger_file.noted(self._lock))
        if self._hold is not Hold.BEHIND:
            self._note(self.acked())

    def _compare(self, noted: Note | None) -> None:
        """Looks whether this is an old copy of the ledger that was here before."""
        self._boot = None
        if noted is None or noted.log != self.log:
            return
        if noted.acked <= self.last_seq():
            self._boot = noted.boot if noted.boot == self._this_boot() else None
        elif self._hold is None:
            log.error(
                "%s ends at entry %s, and the cloud has had entry %s of it: an old copy was put back",
                *(self._path, self.last_seq(), noted.acked),
            )
            with self.transaction():
                self.save_hold(Hold.BEHIND)

    def is_vouched_for(self) -> bool:
        """Whether the cloud has found this log to be as it knows it since the machine was started."""
        return self._boot is not None

    def vouch(self) -> None:
        """The cloud finds this log to be as it knows it."""
        if self._boot is None:
            self._boot = self._this_boot()
            self._note(self.acked())

    def _note(self, acked: int) -> None:
        ledger_file.note(self._lock, Note(self.log, acked, self._boot))

    def close(self) -> None:
        if hasattr(self, "_db"):
            self._db.close()
        self._lock.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything written inside is committed together, on disk when this returns. No await inside."""
        try:
            with self._speaking():
                self._appended = False
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    self._hold = self._held()
                    raise
        except StoreFull:
            self.make_room()
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
        if body is None:
            return None
        known = self._tariffs.get(code)
        if known is None or known[0] != body:
            tariff = tariff_document.parse(_TARIFF.validate_json(body).document)
            known = self._tariffs[code] = (body, tariff)
        return known[1]

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

    def history(self, point: UUID) -> History:
        """What is known of the register beside the position: the reading that holds the point, and more."""
        body = self._one("SELECT body FROM history WHERE point = ?", str(point))
        return History() if body is None else _HISTORY.validate_json(body)

    def save_history(self, point: UUID, history: History) -> None:
        self._put("history", point, _HISTORY.dump_json(history).decode())

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
                self._move(book, fen)
        return True

    def _move(self, book: Book, fen: int) -> None:
        self._write(
            "INSERT INTO balance VALUES (?, ?) ON CONFLICT DO UPDATE SET fen = fen + excluded.fen",
            book,
            fen,
        )

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
        """Raises StoreHeld."""
        self._must_serve()
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

    def override(self, point: UUID) -> Override | None:
        """What an operator has pinned the supply to, whether or not it has ended."""
        body = self._one("SELECT body FROM override WHERE point = ?", str(point))
        return None if body is None else _OVERRIDE.validate_json(body)

    def save_override(self, point: UUID, override: Override | None) -> None:
        if override is None:
            self._write("DELETE FROM override WHERE point = ?", str(point))
        else:
            self._put("override", point, _OVERRIDE.dump_json(override).decode())

    def brake(self) -> Brake:
        """The brake over all points of this gateway."""
        body = self._one("SELECT body FROM brake")
        points = int(self._one("SELECT count(*) FROM point"))
        return Brake(points) if body is None else replace(_BRAKE.validate_json(body), points=points)

    def save_brake(self, brake: Brake) -> None:
        self._write("REPLACE INTO brake VALUES (1, ?)", _BRAKE.dump_json(brake).decode())

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
                "REPLACE INTO alarm VALUES (?, ?, ?)", str(point), alarm.value, since.isoformat()
            )

    def trouble_since(self, trouble: Trouble) -> datetime | None:
        """Since when the gateway itself is in a trouble, None if it is not."""
        since = self._one("SELECT since FROM alarm WHERE point = '' AND alarm = ?", trouble.value)
        return None if since is None else datetime.fromisoformat(since)

    def save_trouble(self, trouble: Trouble, since: datetime | None) -> None:
        self._write("DELETE FROM alarm WHERE point = '' AND alarm = ?", trouble.value)
        if since is not None:
            self._write("INSERT INTO alarm VALUES ('', ?, ?)", trouble.value, since.isoformat())

    # The two logs.

    def append(self, message: Up) -> None:
        """Put a message at the end of our log; a reading only while there is room for more of them.

        Raises StoreHeld.
        """
        self._must_serve()
        if isinstance(message, Read) and not self.keeps_readings:
            return
        last = self._last()
        seq, previous = (last.seq, last.hash()) if last else (0, NO_ENTRY)
        self._write("INSERT INTO up VALUES (?, ?, ?)", seq + 1, write_up(message), previous)
        self._appended = True

    def acked(self) -> int:
        """The last entry that the cloud says it has applied."""
        return int(self._one("SELECT acked FROM gateway"))

    def last_seq(self) -> int:
        last = self._last()
        return last.seq if last else 0

    def unacked(self, limit: int) -> list[Entry]:
        """The entries after the last acknowledged, in order."""
        rows = self._db.execute(
            "SELECT seq, body, previous FROM up WHERE seq > ? ORDER BY seq LIMIT ?",
            (self.acked(), limit),
        )
        return [Entry(self.log, seq, body, previous=previous) for seq, body, previous in rows]

    def acknowledge(self, seq: int) -> None:
        """The cloud has applied everything up to seq."""
        self._write("UPDATE gateway SET acked = ?", seq)
        self._note(seq)

    def hash_at(self, seq: int) -> str | None:
        """The hash of an entry of our log, None if it is not kept any more."""
        if seq == 0:
            return NO_ENTRY
        row = self._db.execute("SELECT body, previous FROM up WHERE seq = ?", (seq,)).fetchone()
        return None if row is None else Entry(self.log, seq, row[0], previous=row[1]).hash()

    def _last(self) -> Entry | None:
        row = self._db.execute(
            "SELECT seq, body, previous FROM up ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        return None if row is None else Entry(self.log, row[0], row[1], previous=row[2])

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

    # Holding, and beginning again.

    @property
    def hold(self) -> Hold | None:
        """Why the store is held, None while it serves."""
        return self._hold

    def save_hold(self, hold: Hold | None) -> None:
        self._write("UPDATE gateway SET hold = ?", hold)
        self._hold = hold

    def instead_of(self) -> UUID | None:
        """The log that ours goes on from, None if it does not, or that is not known yet."""
        log = self._one("SELECT instead_of FROM gateway")
        return None if log is None else UUID(log)

    def save_instead_of(self, log: UUID) -> None:
        self._write("UPDATE gateway SET instead_of = ?", str(log))

    def begin_again(self, *, instead_of: UUID | None, why: str, now: datetime) -> Path | None:
        """Sets this ledger aside and goes on with an empty one, held until it is rebuilt; where the old one is.

        Raises StoreFull and StoreUnusable; then the ledger is as it was.
        """
        self._db.close()
        try:
            return ledger_file.renew(
                self._path,
                self.gateway_no,
                hold=Hold.REBUILDING,
                instead_of=instead_of,
                why=why,
                now=now,
            )
        finally:
            self._tariffs.clear()
            self._open()

    def save_carried(self, purse: UUID, charged: Money) -> None:
        """All that was ever charged to a purse, in the place of the charges that are not here."""
        book = ledger.prepaid(purse)
        was = self._one("SELECT fen FROM carried WHERE book = ?", book) or 0
        if was != -charged.fen:
            self._carry(book, -charged.fen - was)
            self._move(book, -charged.fen - was)

    def _must_serve(self) -> None:
        if self._hold is not None:
            raise StoreHeld(f"{self._path} is held: {self._hold}")

    def _held(self) -> Hold | None:
        hold = self._one("SELECT hold FROM gateway")
        return None if hold is None else Hold(hold)

    # What is kept, and for how long.

    def mark(self) -> int:
        """Notes how far log and ledger are now; the number of the mark.

        How long something has been kept is counted in marks, because the clock on the wall may jump.
        """
        self._write(
            """INSERT INTO mark SELECT coalesce(max(number), 0) + 1,
                 (SELECT coalesce(max(seq), 0) FROM up), (SELECT coalesce(max(rowid), 0) FROM transfer)
               FROM mark"""
        )
        return int(self._one("SELECT max(number) FROM mark"))

    def prune(self, *, before: int, most: int) -> bool:
        """Forgets a few of the acknowledged entries and of the charges from before a mark; whether there may be more.

        Charges are carried: no balance changes. Credits stay for good, so that none is ever booked twice.
        """
        row = self._db.execute(
            "SELECT up_seq, transfer FROM mark WHERE number <= ? ORDER BY number DESC LIMIT 1",
            (before,),
        ).fetchone()
        if row is None:
            return False
        up_seq, transfer = row
        entries = self._forget_entries(up_seq, most)
        charges = self._forget_charges(transfer, most)
        self._write("DELETE FROM mark WHERE number < ?", before)
        return most in (entries, charges)

    def prune_entries(self, *, most: int) -> int:
        """Forgets the oldest of the acknowledged entries, however old they are; how many."""
        return self._forget_entries(self.acked(), most)

    def _forget_entries(self, up_to: int, most: int) -> int:
        # The last one stays: the next goes on from its hash.
        last = min(up_to, self.acked(), self.last_seq() - 1)
        statement = (
            "DELETE FROM up WHERE seq IN (SELECT seq FROM up WHERE seq <= ? ORDER BY seq LIMIT ?)"
        )
        return self._write(statement, last, most).rowcount

    def _forget_charges(self, up_to: int, most: int) -> int:
        rows = self._db.execute(
            "SELECT rowid, debit, credit, amount_fen FROM transfer"
            " WHERE rowid <= ? AND reason = ? ORDER BY rowid LIMIT ?",
            (up_to, Reason.CHARGE.value, most),
        ).fetchall()
        for rowid, debit, credit, amount_fen in rows:
            for book, fen in ((Book(debit), -amount_fen), (Book(credit), amount_fen)):
                if ledger.purse_of(book) is not None:
                    self._carry(book, fen)
            self._write("DELETE FROM transfer WHERE rowid = ?", rowid)
        return len(rows)

    def _carry(self, book: Book, fen: int) -> None:
        self._write(
            "INSERT INTO carried VALUES (?, ?) ON CONFLICT DO UPDATE SET fen = fen + excluded.fen",
            book,
            fen,
        )

    # Inside.

    def check(self, *, within_s: float | None) -> bool:
        """Whether the whole ledger was looked at within the time. Raises StoreDamaged."""
        with self._speaking():
            return ledger_file.check(self._db, self._path, within_s=within_s)

    def checkpoint(self) -> None:
        """What was forgotten makes room in the file, and the journal beside it is emptied."""
        with self._speaking():
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _check(self) -> None:
        version = schema.version_of(self._db)
        if version != schema.VERSION:
            raise StoreUnusable(
                f"{self._path} was written by a newer Wattwell ({version}; this one writes {schema.VERSION})"
            )
        owner = self._one("SELECT gateway_no FROM gateway")
        if owner != self.gateway_no:
            raise StoreUnusable(
                f"{self._path} is the ledger of gateway {owner}, not of {self.gateway_no}"
            )

    def _speaking(self) -> AbstractContextManager[None]:
        return ledger_file.speaking(self._path)

    def _write(self, statement: str, *values: object) -> sqlite3.Cursor:
        if not self._db.in_transaction:
            raise ValueError("the store is written only inside transaction()")
        return self._db.execute(statement, values)

    def _put(self, table: str, key: UUID, body: str) -> None:
        self._write(
            f"INSERT INTO {table} VALUES (?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
            str(key),
            body,
        )

    def _one(self, query: str, *values: object) -> Any:
        row = self._db.execute(query, values).fetchone()
        return None if row is None else row[0]


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
