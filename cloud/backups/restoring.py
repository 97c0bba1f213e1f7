"""Putting a backup into an empty database: all of it, compared with what was backed up, or nothing."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection
from sqlmodel import Session

from cloud import db
from cloud.backups import books, sealed, taking
from cloud.errors import CannotStart
from cloud.services import restored
from cloud.services.readings import partitions

log = logging.getLogger(__name__)


class NotEmpty(CannotStart):
    """Something is in the database that a restore would overwrite."""


class NotTheSame(CannotStart):
    """What was restored is not what was backed up; nothing of it was kept."""


@dataclass(frozen=True, slots=True)
class Put:
    """What was restored: when it had been backed up, its rows, and the gateways that are to hear of it."""

    made_at: datetime
    rows: int
    gateways: int
    wrong_balances: int


def restore(url: str, path: Path, *, passphrase: str | None, now: datetime) -> Put:
    """Fills the empty database of this url, in one transaction, and brings it to this version's schema.

    Our logs for the gateways have new names afterwards (services.restored).

    Raises sealed.BadBackup, NotEmpty, NotTheSame, CannotStart for a backup of a later version,
    sqlalchemy.exc.OperationalError if the database does not answer, and OSError.
    """
    header = sealed.read_header(path)
    sealed.check(path)
    if header["schema"] > db.SCHEMA:
        raise CannotStart(
            f"{path} was made by version {header['version']} (schema {header['schema']}), which is newer than"
            f" this one (schema {db.SCHEMA}): restore it with that version."
        )
    engine = create_engine("postgresql+psycopg://", connect_args=db.connect_args(url))
    try:
        with engine.begin() as connection:
            db.hold_for_migration(connection)
            raw: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
            raw.execute("SELECT set_config('wattwell.system', 'on', true)")
            _check_empty(raw, header["schema"])
            db.upgrade(connection, header["schema"])
            told = _fill(connection, raw, path, passphrase)
            db.upgrade(connection, "head")
            gateways = _rename_logs(connection, now)
    finally:
        engine.dispose()
    return Put(
        datetime.fromisoformat(header["made_at"]), header["rows"], gateways, told["wrong_balances"]
    )


def restore_files(path: Path, folder: Path, *, passphrase: str | None, now: datetime) -> list[Path]:
    """Writes the settings and secrets of a backup into a folder; one that is there and differs is set aside.

    Raises sealed.BadBackup and OSError.
    """
    written = []
    for what, pieces in sealed.members(path, passphrase):
        if "file" not in what:
            continue
        to = folder / what["file"]
        if not to.resolve().is_relative_to(folder.resolve()):
            raise sealed.BadBackup(f"{path} names a file outside of the folder: {what['file']}")
        content = b"".join(pieces)
        if to.exists() and to.read_bytes() != content:
            to.rename(to.with_name(f"{to.name}.before-restore-{now:%Y%m%dT%H%M%S}"))
        to.parent.mkdir(parents=True, exist_ok=True)
        to.touch(mode=0o600)
        to.write_bytes(content)
        written.append(to)
    return written


def _check_empty(raw: psycopg.Connection[Any], schema: str) -> None:
    found = taking.schema_of(raw)
    if found is None and not taking.tables_of(raw):
        return
    full = [
        table
        for table in taking.tables_of(raw)
        if raw.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table))).fetchone()
    ]
    if full:
        raise NotEmpty(
            f"The database is not empty ({', '.join(full[:5])}): a backup is restored into an empty one only."
            " Make a new database and name it in database_url."
        )
    if found != schema:
        raise NotEmpty(
            f"The database has the tables of version {found}, the backup is of {schema}."
            " Make a new database and name it in database_url."
        )


_MONTH = re.compile(r"readings_([0-9]{4})_([0-9]{2})")


def _fill(
    connection: Connection, raw: psycopg.Connection[Any], path: Path, passphrase: str | None
) -> books.Books:
    expected: books.Books = {}
    with _without_constraints(raw):
        for what, pieces in sealed.members(path, passphrase):
            match what:
                case {"books": state}:
                    expected = state
                case {"partitions": months, "sequences": sequences}:
                    _make_partitions(connection, months)
                    _set_sequences(raw, sequences)
                case {"table": str(table), "columns": columns}:
                    names = sql.SQL(", ").join(map(sql.Identifier, columns))
                    query = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
                    with raw.cursor() as cursor, cursor.copy(query) as rows:
                        for piece in pieces:
                            rows.write(piece)
    found = books.books(raw, list(taking.tables_of(raw)))
    if said := books.differences(found, expected):
        raise NotTheSame(
            "What was restored is not what was backed up, nothing of it was kept: "
            + "; ".join(said)
            + "."
        )
    return found


@contextmanager
def _without_constraints(raw: psycopg.Connection[Any]) -> Iterator[None]:
    """Rows are not checked one by one while they are filled in, and all of them at the end.

    Foreign keys are taken off and put on again, which checks them whole; triggers and row-level security, which say
    what programs may do, are off for the time of this transaction.
    """
    tables = list(taking.tables_of(raw))
    keys = raw.execute("""
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND conparentid = 0
    """).fetchall()
    forced = raw.execute(
        "SELECT relname FROM pg_class WHERE relforcerowsecurity AND relnamespace = 'public'::regnamespace"
    ).fetchall()
    for table, name, _ in keys:
        _run(raw, "ALTER TABLE {} DROP CONSTRAINT {}", table, name)
    for (table,) in forced:
        _run(raw, "ALTER TABLE {} NO FORCE ROW LEVEL SECURITY", table)
    for table in tables:
        _run(raw, "ALTER TABLE {} DISABLE TRIGGER USER", table)
        _run(raw, "TRUNCATE {}", table)  # of what migrations wrote into the empty tables
    yield
    for table in tables:
        _run(raw, "ALTER TABLE {} ENABLE TRIGGER USER", table)
    for table, name, definition in keys:
        raw.execute(
            sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                sql.Identifier(table), sql.Identifier(name), sql.SQL(definition)
            )
        )
    for (table,) in forced:
        _run(raw, "ALTER TABLE {} FORCE ROW LEVEL SECURITY", table)


def _run(raw: psycopg.Connection[Any], statement: str, *names: str) -> None:
    raw.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _make_partitions(connection: Connection, months: list[str]) -> None:
    """Those of readings that the migrations did not make: readings_2026_03 is one."""
    with Session(connection, join_transaction_mode="create_savepoint") as session, session.begin():
        for name in months:
            if found := _MONTH.fullmatch(name):
                partitions.make_month(session, year=int(found[1]), month=int(found[2]))


def _set_sequences(raw: psycopg.Connection[Any], sequences: dict[str, int]) -> None:
    for name, last in sequences.items():
        raw.execute("SELECT setval(format('%%I', %s::text)::regclass, %s)", (name, last))


def _rename_logs(connection: Connection, now: datetime) -> int:
    with Session(connection, join_transaction_mode="create_savepoint") as session, session.begin():
        return restored.rename_logs(session, now=now)
