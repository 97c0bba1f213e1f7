"""The gateway's ledger and logs: one SQLite file. What is committed here survives a kill and a power cut."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from pydantic import TypeAdapter

from edge.clocks.clock import KeptTime
from edge.clocks.clock_setting import MeterClock
from edge.ledger import ledger_file, rows, schema
from edge.ledger.ledger_file import Note, StoreFull, StoreUnusable
from edge.ledger.rows import Checked, Intent, Lending, Linked, Off, Rows, Shape, SupplyRow, Typed
from edge.ledger.up_log import UpLog
from edge.warned import Warned
from prepaid import ledger, tariff_document
from prepaid.brake import Brake
from prepaid.ledger import Book, Reason, Transfer, TransferIdReused
from prepaid.money import ZERO, Money
from prepaid.point import ServicePoint
from prepaid.rating import Position
from prepaid.register.history import History
from prepaid.supply import Override
from prepaid.tariff import Tariff
from prepaid.wire.downlog import TariffSet
from prepaid.wire.entry import Cursor, Entry
from prepaid.wire.uplog import AlarmKind, Measured, Read, Trouble, Up, Withdrawn, Work

log = logging.getLogger(__name__)

K = TypeVar("K")
V = TypeVar("V")

CHECK_WITHIN_S = 30.0  # the ledger is looked through at each start, for so long at most

GROUP = 32  # transactions that may wait for the disk together
NOTHING_KNOWN = History()
NO_ALARMS: Set[str] = frozenset()

_TARIFF = TypeAdapter(TariffSet)
_BRAKE = TypeAdapter(Brake)
_POINTS = rows.bodies("point", "id", ServicePoint)
_POSITIONS = rows.bodies("position", "point", Position)
_HISTORIES = rows.bodies("history", "point", History)
_OVERRIDES = rows.bodies("override", "point", Override)
_LINKED = rows.bodies("linked", "point", Linked)
_WARNED = rows.bodies("warned", "point", Warned)
_METER_CLOCKS = rows.bodies("meter_clock", "point", MeterClock)
_WITHDRAWN = rows.bodies("withdrawn", "id", Withdrawn)
_KEPT_TIME = TypeAdapter(KeptTime)


class Hold(StrEnum):
    """Why a store is held 停用待核: nothing is read, charged or switched by it, the supply stays as it is."""

    RESTORED = "restored"  # put back from a backup by hand
    BEHIND = "behind"  # the cloud has entries of our log that we have not: an old copy was put back
    FORKED = "forked"  # the cloud has other entries under our numbers: the same, and it has gone on
    REPLACED = "replaced"  # the cloud follows another store of this gateway; a person must decide
    REBUILDING = "rebuilding"  # empty, until the cloud has told all that it knows


class StoreHeld(Exception):
    """The store is held; see its hold."""


class Store:
    """Reads at any time; writes only inside `transaction()`, and all of one transaction or nothing is kept.

    connection is how the file is spoken to, flush how its journal is brought to the disk, boot names the machine's
    present start: of a simulated machine, they are its own.

    Raises StoreTaken, StoreUnusable, StoreDamaged and StoreFull (edge.ledger.ledger_file), each a sentence for a
    person.
    """

    def __init__(
        self,
        path: Path,
        gateway_no: str,
        *,
        connection: type[sqlite3.Connection] = sqlite3.Connection,
        flush: Callable[[Path], None] = ledger_file.journal_to_disk,
        boot: Callable[[], UUID | None] = ledger_file.this_boot,
    ) -> None:
        self._path = path
        self._flush = flush
        self.gateway_no = gateway_no
        self._connection = connection
        self._this_boot = boot
        self._tariffs: dict[
            str, tuple[str, Tariff | None]
        ] = {}  # each as parsed from the text stored now
        self._points = self._rows(_POINTS)
        self._tariff_bodies = self._rows(rows.TARIFFS)
        self._positions = self._rows(_POSITIONS)
        self._histories = self._rows(_HISTORIES)
        self._balances = self._rows(rows.BALANCES)
        self._supplies = self._rows(rows.SUPPLIES)
        self._intents = self._rows(rows.INTENTS)
        self._overrides = self._rows(_OVERRIDES)
        self._alarms = self._rows(rows.ALARMS)
        self._credits = self._rows(rows.CREDITS)
        self._typed = self._rows(rows.TYPED)
        self._lent = self._rows(rows.LENT)
        self._off = self._rows(rows.OFF)
        self._checks = self._rows(rows.CHECKS)
        self._linked = self._rows(_LINKED)
        self._warned = self._rows(_WARNED)
        self._meter_clocks = self._rows(_METER_CLOCKS)
        self._withdrawn = self._rows(_WITHDRAWN)
        self._brake: Brake | None = None
        self._alarmed: dict[UUID | None, set[str]] | None = None  # which alarms, by their point
        self._heard: tuple[Cursor | None] | None = None  # our cursor, once it was read
        self._lock = ledger_file.take(path)
        self.on_append: Callable[[], None] = lambda: None
        self.make_room: Callable[[], None] = lambda: None  # called once the disk is full
        # Called with a purse whose points are to be visited, as somebody at the gateway did something for it.
        self.on_hand: Callable[[UUID], None] = lambda purse: None
        self.keeps_readings = True  # while there is room for them
        # Called when the first of a few derived transactions is written: who sets this calls commit() soon after, for
        # it and those that follow. None: each is committed by itself.
        self.on_gather: Callable[[], None] | None = None
        self.on_lost: Callable[[], None] = lambda: None  # what was gathered is not kept
        self.group = 0  # the number of the commit to come, successful or not
        self._appended = self._is_inside = False
        self._gathered = 0  # transactions that are written and not committed
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
            ledger_file.names_to_disk(path)
            name, hold = self._db.execute("SELECT log, hold FROM gateway").fetchone()
        self.log = UUID(name)
        self._up = UpLog(self.log, select=self._select, write=self._write)
        self._hold = Hold(hold) if hold else None
        self._forget()
        self._waiting, self._waits = 0, True
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
        self._gathered = 0
        self._lock.close()

    @contextmanager
    def transaction(self, *, is_derived: bool = False) -> Iterator[None]:
        """Everything written inside is committed together, on disk when this returns. No await inside.

        is_derived: all of it follows from the meters and from what was committed before, so after a kill or a power
        cut it is made again. Then a few such transactions may wait for the disk together, and, where somebody
        gathers them (on_gather), be committed together: the next one that is not derived takes them along, and so
        does to_disk(). If that fails, none of them is kept, and on_lost is called.

        Raises StoreFull and StoreUnusable; then nothing is kept.
        """
        if self._is_inside:
            raise ValueError("a transaction of the store is begun inside another")
        try:
            if not is_derived:
                self._commit()
            if not self._gathered:
                waits = not is_derived or self._waiting >= GROUP
                self._wait_for_disk(waits)
                self._db.execute("BEGIN IMMEDIATE")
            self._is_inside = True
            try:
                yield
            finally:
                self._is_inside = False
            self._gathered += 1
            if not is_derived or self.on_gather is None or self._gathered >= GROUP:
                self._commit()
            elif self._gathered == 1:
                self.on_gather()
        except BaseException as error:
            self._lose(error)
            raise

    def commit(self) -> None:
        """What is gathered is committed; on a full disk nothing of it is kept. Raises StoreUnusable."""
        try:
            try:
                self._commit()
            except BaseException as error:
                self._lose(error)
                raise
        except StoreFull as error:
            log.warning("%s; what was read last is read and booked again", error)

    def _commit(self) -> None:
        if not self._gathered:
            return
        self._db.execute("COMMIT")
        self._waiting = 0 if self._waits else self._waiting + self._gathered
        self._gathered = 0
        self.group += 1
        if self._appended:
            self._appended = False
            self.on_append()

    def _lose(self, error: BaseException) -> None:
        """Nothing is kept of what is not committed. Raises what an error of SQLite says to a person."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._forget()
        self._hold = self._held()
        self._gathered, self._appended = 0, False
        self.on_lost()
        self.group += 1
        if isinstance(error, sqlite3.DatabaseError):
            said = ledger_file.told(error, self._path)
            if isinstance(said, StoreFull):
                self.make_room()
            if said is not None:
                raise said from error

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Of what is written inside all is kept or, where it raises, nothing; the transaction around it goes on."""
        self._db.execute("SAVEPOINT apart")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # else the disk has ended all of it
                self._db.execute("ROLLBACK TO apart")
                self._db.execute("RELEASE apart")
            self._forget()
            self._hold = self._held()
            raise
        self._db.execute("RELEASE apart")

    @property
    def waiting(self) -> int:
        """How many transactions may not be on disk yet, gathered or committed."""
        return self._waiting + self._gathered

    def to_disk(self) -> None:
        """All that was committed, or gathered as far as there is room, is on disk when this returns. Raises
        StoreUnusable."""
        self.commit()
        if self._waiting:
            self._flush(self._path)
            self._waiting = 0

    def _wait_for_disk(self, waits: bool) -> None:
        """Whether the commits to come are on disk when they return. In any case they are in order: what a power
        cut leaves of them is a beginning (SQLite's WAL, synchronous FULL or NORMAL)."""
        if waits is not self._waits:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if waits else 'NORMAL'}")
            self._waits = waits

    def _forget(self) -> None:
        """What is known of the file may not have come into it."""
        for table in (
            self._points,
            self._tariff_bodies,
            self._positions,
            self._histories,
            self._balances,
            self._supplies,
            self._intents,
            self._overrides,
            self._alarms,
            self._credits,
            self._typed,
            self._lent,
            self._off,
            self._checks,
            self._linked,
            self._warned,
            self._meter_clocks,
            self._withdrawn,
        ):
            table.forget()
        self._brake = self._heard = self._alarmed = None
        self._up.forget()

    # What is supplied, and at which price.

    def points(self) -> dict[UUID, ServicePoint]:
        return dict(self._points.all())

    def point(self, id: UUID) -> ServicePoint | None:
        return self._points.get(id)

    def save_point(self, point: ServicePoint) -> None:
        self._points.save(point.id, point)

    def end_point(self, point: UUID) -> None:
        """It is no longer served; what it was charged stays."""
        self._points.save(point, None)
        for kind in AlarmKind:
            self.save_alarm(point, kind, None)
        self._intents.save(point, None)  # also while the ledger is rebuilt from what was long ago
        self.save_linked(point, None)

    def tariff(self, code: str) -> Tariff | None:
        """None where there is none, or one that an earlier version took and this one cannot use."""
        body = self._tariff_bodies.get(code)
        if body is None:
            return None
        known = self._tariffs.get(code)
        if known is None or known[0] is not body:
            known = self._tariffs[code] = (body, self._parsed(code, body))
        return known[1]

    def _parsed(self, code: str, body: str) -> Tariff | None:
        try:
            return tariff_document.parse(_TARIFF.validate_json(body).document)
        except tariff_document.BadTariff as error:
            log.error("tariff %s in the ledger cannot be used, publish it again: %s", code, error)
            return None

    def save_tariff(self, message: TariffSet) -> None:
        """Raises BadTariff."""
        code = tariff_document.parse(message.document).code
        self._tariff_bodies.save(code, _TARIFF.dump_json(message).decode())

    # Where metering stands.

    def position(self, point: UUID) -> Position | None:
        return self._positions.get(point)

    def save_position(self, point: UUID, position: Position) -> None:
        self._positions.save(point, position)

    def history(self, point: UUID) -> History:
        """What is known of the register beside the position: the reading that holds the point, and more."""
        return self._histories.get(point) or NOTHING_KNOWN

    def save_history(self, point: UUID, history: History) -> None:
        self._histories.save(point, history)

    # Money.

    def balance(self, purse: UUID) -> Money:
        return self._balances.get(ledger.prepaid(purse)) or ZERO

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
        statement = "INSERT INTO transfer VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        if not self._write(statement, *row).rowcount:
            found = self._select("SELECT * FROM transfer WHERE id = ?", row[0]).fetchone()
            if _transfer(found) != transfer:
                raise TransferIdReused(
                    f"transfer {transfer.id} ({transfer.reason}:{transfer.cause}) was booked as "
                    f"{Money(found[3])} from {found[1]} to {found[2]}, and comes again as "
                    f"{transfer.amount} from {transfer.debit} to {transfer.credit}"
                )
            return False
        self._move(transfer.debit, -transfer.amount.fen)
        self._move(transfer.credit, transfer.amount.fen)
        return True

    def booked(self, id: UUID) -> Transfer | None:
        """The transfer with this id, if it is booked here; a charge of long ago is not found any more."""
        found = self._select("SELECT * FROM transfer WHERE id = ?", str(id)).fetchone()
        return None if found is None else _transfer(found)

    def _move(self, book: Book, fen: int) -> None:
        """Of a prepaid book; of others no balance is kept."""
        if ledger.purse_of(book) is not None:
            balance = self._balances.get(book) or ZERO
            self._balances.save(book, Money(balance.fen + fen))

    def credit(self, transfer: Transfer, purse: UUID, number: int | None) -> bool:
        """Book what the cloud credited, in the place of what was typed for it; False if it was booked before.

        Credits come in the order of their numbers. One without a number, from a cloud that does not count,
        is the next. Raises TransferIdReused.
        """
        is_new = self.post(transfer)
        book, last = ledger.prepaid(purse), self.last_credit(purse)
        if number is None:
            if not is_new:
                return False
            number = last + 1
        typed = self._typed.get((book, number))
        if typed is not None:
            self._typed.save((book, number), None)
            self._move(book, -typed.amount.fen)
        self._credits.save(book, max(last, number))
        return is_new

    def last_credit(self, purse: UUID) -> int:
        """The number of the last credit that came from the cloud, 0 before the first."""
        return self._credits.get(ledger.prepaid(purse)) or 0

    def highest_credit(self, purse: UUID) -> int:
        """The highest number of a credit that came from the cloud, or by a code whose credit is yet to come."""
        book = ledger.prepaid(purse)
        typed = self._one("SELECT coalesce(max(number), 0) FROM typed WHERE book = ?", book)
        return max(self.last_credit(purse), int(typed))

    def credited_purses(self) -> list[UUID]:
        """Every purse that the cloud ever credited here."""
        rows = self._select("SELECT DISTINCT credit FROM transfer ORDER BY credit").fetchall()
        found = (ledger.purse_of(Book(book)) for (book,) in rows)
        return [purse for purse in found if purse is not None]

    def credits_after(self, purse: UUID, known: UUID | None) -> list[Transfer]:
        """What a purse was credited after the transfer known, in the order in which it came; all of it for None.

        Nothing where known is not here: what came later to the cloud's log cannot be here before it.
        """
        rows = self._select(
            "SELECT * FROM transfer WHERE credit = ? AND rowid >"
            " CASE WHEN ? IS NULL THEN 0"
            " ELSE coalesce((SELECT rowid FROM transfer WHERE id = ?), 9223372036854775807) END ORDER BY rowid",
            *(ledger.prepaid(purse), str(known) if known else None, str(known)),
        )
        return [_transfer(row) for row in rows]

    def taken_out(self) -> dict[UUID, list[Transfer]]:
        """What was taken out of each purse and is no charge, in the order in which it was."""
        found: dict[UUID, list[Transfer]] = {}
        for row in self._select(
            "SELECT * FROM transfer WHERE reason <> ? ORDER BY rowid", Reason.CHARGE.value
        ):
            transfer = _transfer(row)
            purse = ledger.purse_of(transfer.debit)
            if purse is not None:
                found.setdefault(purse, []).append(transfer)
        return found

    def typed(self, purse: UUID, number: int) -> Typed | None:
        """What a code gave for the credit with this number, until that comes."""
        return self._typed.get((ledger.prepaid(purse), number))

    def save_typed(self, purse: UUID, number: int, typed: Typed) -> None:
        """Count a code as credit. Raises ValueError if there is one for this number."""
        book = ledger.prepaid(purse)
        if number <= self.last_credit(purse) or self._typed.get((book, number)) is not None:
            raise ValueError(f"credit {number} of purse {purse} is here already")
        self._typed.save((book, number), typed)
        self._move(book, typed.amount.fen)

    def void_code(self, purse: UUID, number: int) -> Typed | None:
        """Take back what a code gave for the credit with this number, which never comes; what that was."""
        book = ledger.prepaid(purse)
        typed = self._typed.get((book, number))
        if typed is not None:
            self._typed.save((book, number), None)
            self._move(book, -typed.amount.fen)
        self._credits.save(book, max(self.last_credit(purse), number))
        return typed

    def withdrawn(self, transfer: UUID) -> Withdrawn | None:
        """What the cloud was answered when it asked for this transfer out of a purse."""
        return self._withdrawn.get(transfer)

    def save_withdrawn(self, answer: Withdrawn) -> None:
        """Keeps an answer for good, so that it is never another."""
        self._withdrawn.save(answer.transfer.id, answer)

    def wrong_codes(self) -> tuple[int, datetime] | None:
        """How many wrong codes were typed since the last right one, and when the last; None: there was none."""
        row = self._select("SELECT count, last_at FROM wrong_codes").fetchone()
        return None if row is None else (row[0], datetime.fromisoformat(row[1]))

    def save_wrong_codes(self, wrong: tuple[int, datetime] | None) -> None:
        self._write("DELETE FROM wrong_codes")
        if wrong is not None:
            self._write("INSERT INTO wrong_codes VALUES (1, ?, ?)", wrong[0], wrong[1].isoformat())

    def lent(self, purse: UUID) -> Lending | None:
        """The emergency credit that is taken for a purse and not paid back."""
        return self._lent.get(purse)

    def save_lent(self, purse: UUID, lending: Lending | None) -> None:
        self._lent.save(purse, lending)

    def transfers(self) -> list[Transfer]:
        return [_transfer(row) for row in self._db.execute("SELECT * FROM transfer ORDER BY rowid")]

    # Supply.

    def supply(self, point: UUID) -> SupplyRow | None:
        return self._supplies.get(point)

    def save_supply(self, point: UUID, row: SupplyRow) -> None:
        self._supplies.save(point, row)

    def intent(self, point: UUID) -> Intent | None:
        return self._intents.get(point)

    def save_intent(self, point: UUID, intent: Intent | None) -> None:
        """Raises StoreHeld."""
        self._must_serve()
        self._intents.save(point, intent)

    def off(self, point: UUID) -> Off | None:
        """Since when a supply is off, None while it is not, or nothing is known of that."""
        return self._off.get(point)

    def save_off(self, point: UUID, off: Off | None) -> None:
        self._off.save(point, off)

    def override(self, point: UUID) -> Override | None:
        """What an operator has pinned the supply to, whether or not it has ended."""
        return self._overrides.get(point)

    def save_override(self, point: UUID, override: Override | None) -> None:
        self._overrides.save(point, override)

    def brake(self) -> Brake:
        """The brake over all points of this gateway."""
        points = len(self._points.all())
        if self._brake is None or self._brake.points != points:
            body = self._one("SELECT body FROM brake")
            known = Brake(points) if body is None else _BRAKE.validate_json(body)
            self._brake = replace(known, points=points)
        return self._brake

    def save_brake(self, brake: Brake) -> None:
        self._write("REPLACE INTO brake VALUES (1, ?)", _BRAKE.dump_json(brake).decode())
        self._brake = brake

    def alarm_since(self, point: UUID, alarm: AlarmKind) -> datetime | None:
        """Since when an alarm is on, None if it is not."""
        return self._alarms.get((point, alarm))

    def alarms_of(self, point: UUID) -> Set[str]:
        """Which alarms of a point are on."""
        if self._alarmed is None:
            self._alarmed = {}
            for id, alarm in self._alarms.all():
                self._alarmed.setdefault(id, set()).add(alarm)
        return self._alarmed.get(point, NO_ALARMS)

    def save_alarm(self, point: UUID, alarm: AlarmKind, since: datetime | None) -> None:
        self._save_alarm((point, alarm), since)

    def trouble_since(self, trouble: Trouble) -> datetime | None:
        """Since when the gateway itself is in a trouble, None if it is not."""
        return self._alarms.get((None, trouble))

    def save_trouble(self, trouble: Trouble, since: datetime | None) -> None:
        self._save_alarm((None, trouble), since)

    def _save_alarm(self, key: tuple[UUID | None, str], since: datetime | None) -> None:
        self._alarms.save(key, since)
        self._alarmed = None

    def alarms_on(self) -> Mapping[tuple[UUID | None, str], datetime]:
        """Since when: by the point, None for the gateway itself, and the alarm's or trouble's word."""
        return self._alarms.all()

    def checks(self) -> Mapping[tuple[UUID, Work], Checked]:
        """What technicians have tested of each point last."""
        return self._checks.all()

    def save_check(self, point: UUID, work: Work, done: Checked | None) -> None:
        self._checks.save((point, work), done)

    def linked(self, point: UUID) -> Linked | None:
        """The meter that a technician made a point's last, as long as it matters."""
        return self._linked.get(point)

    def save_linked(self, point: UUID, linked: Linked | None) -> None:
        self._linked.save(point, linked)

    def warned(self, point: UUID) -> Warned | None:
        """What the customer was told in the present shortage, None if nothing is said any more."""
        return self._warned.get(point)

    def save_warned(self, point: UUID, warned: Warned | None) -> None:
        self._warned.save(point, warned)

    # Clocks.

    def meter_clock(self, point: UUID) -> MeterClock | None:
        """The meter's clock as last read, None if it never was."""
        return self._meter_clocks.get(point)

    def save_meter_clock(self, point: UUID, clock: MeterClock) -> None:
        self._meter_clocks.save(point, clock)

    def kept_time(self) -> KeptTime | None:
        """The last time that was trusted, as far as it was saved."""
        body = self._one("SELECT body FROM kept_time")
        return None if body is None else _KEPT_TIME.validate_json(body)

    def save_kept_time(self, time: KeptTime) -> None:
        body = _KEPT_TIME.dump_json(time).decode()
        self._write("REPLACE INTO kept_time VALUES (1, ?)", body)

    # The two logs.

    def append(self, message: Up) -> None:
        """Put a message at the end of our log; a reading or a measurement only while there is room.

        Raises StoreHeld.
        """
        self._must_serve()
        if isinstance(message, Read | Measured) and not self.keeps_readings:
            return
        self._up.append(message)
        self._appended = True

    def acked(self) -> int:
        """The last entry that the cloud says it has applied."""
        return int(self._one("SELECT acked FROM gateway"))

    def last_seq(self) -> int:
        return self._up.tip()[0]

    def unacked(self, limit: int) -> list[Entry]:
        """The entries after the last acknowledged, in order. All of them are on disk: what was told is not
        taken back by a power cut. Raises StoreUnusable."""
        self.to_disk()
        return self._up.after(self.acked(), most=limit)

    def acknowledge(self, seq: int) -> None:
        """The cloud has applied everything up to seq."""
        self._write("UPDATE gateway SET acked = ?", seq)
        self._note(seq)

    def hash_at(self, seq: int) -> str | None:
        """The hash of an entry of our log, None if it is not kept any more."""
        return self._up.hash_at(seq)

    def cursor(self) -> Cursor | None:
        """Ours in the cloud's log; None before its first entry."""
        if self._heard is None:
            log, seq = self._db.execute("SELECT cloud_log, cloud_seq FROM gateway").fetchone()
            self._heard = (None if log is None else Cursor(UUID(log), seq),)
        return self._heard[0]

    def move_cursor(self, cursor: Cursor) -> None:
        self._write("UPDATE gateway SET cloud_log = ?, cloud_seq = ?", str(cursor.log), cursor.seq)
        self._heard = (Cursor(cursor.log, cursor.seq),)

    def reject(self, entry: Entry, reason: str) -> None:
        """Keep an entry of the cloud that could not be applied, with its reason."""
        self._write("INSERT INTO rejected VALUES (?, ?, ?)", entry.seq, entry.body, reason)

    def rejections(self) -> int:
        """How many entries of the cloud could not be applied."""
        return int(self._one("SELECT count(*) FROM rejected"))

    def size(self) -> int:
        """Of the file and the journal beside it, in bytes."""
        journal = self._path.with_name(f"{self._path.name}-wal")
        return self._path.stat().st_size + (journal.stat().st_size if journal.exists() else 0)

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
        self.commit()
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
        entries = self._up.prune(up_to=min(up_seq, self.acked()), most=most)
        charges = self._forget_charges(transfer, most)
        self._write("DELETE FROM mark WHERE number < ?", before)
        return most in (entries, charges)

    def prune_entries(self, *, most: int) -> int:
        """Forgets the oldest of the acknowledged entries, however old they are; how many."""
        return self._up.prune(up_to=self.acked(), most=most)

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
        self.commit()
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
        if not self._is_inside:
            raise ValueError("the store is written only inside transaction()")
        return self._db.execute(statement, values)

    def _rows(self, shape: Shape[K, V]) -> Rows[K, V]:
        return Rows(shape, select=self._select, write=self._write)

    def _select(self, query: str, *values: object) -> sqlite3.Cursor:
        return self._db.execute(query, values)

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
