"""Taking a backup: every table of one moment, while the programs go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from cloud.backups import books
from cloud.backups.sealed import Writer
from cloud.db import SCHEMA, connect_args
from cloud.errors import CannotStart
from cloud.settings import SHORTEST_PASSPHRASE

NOT_OURS = ("database_url", "nats_url")
"""Secrets that belong to a machine and its servers: a backup goes to another."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was written: where, its size in bytes, and how many rows and secrets are in it."""

    path: Path
    size: int
    rows: int
    secrets: int


def take(
    url: str,
    to: Path,
    *,
    settings_file: Path | None,
    passphrase: str | None,
    now: datetime,
    of_any_version: bool = False,
) -> Made:
    """Writes the database to a file, with the settings and secrets of this cloud.toml if it is named.

    of_any_version: also an older database, as it is before it is upgraded.

    Raises CannotStart: secrets without a passphrase, a passphrase that is too short, a database of another
    version; psycopg.OperationalError if it does not answer; OSError if the file cannot be written.
    """
    if settings_file is not None and passphrase is None:
        raise CannotStart("Secrets go into a backup only under a passphrase: give one.")
    if passphrase is not None and len(passphrase) < SHORTEST_PASSPHRASE:
        raise CannotStart(f"The passphrase needs at least {SHORTEST_PASSPHRASE} characters.")
    files = files_of(settings_file) if settings_file is not None else {}
    with psycopg.connect(**connect_args(url)) as connection:  # type: ignore[arg-type]
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.execute("SELECT set_config('wattwell.system', 'on', true)")
        schema = schema_of(connection)
        if schema is None or (schema != SCHEMA and not of_any_version):
            raise CannotStart(
                f"The database is of version {schema}, this program of {SCHEMA}: run `wattwell cloud migrate`,"
                " or back it up with the program it belongs to."
            )
        tables = tables_of(connection)
        state = books.books(connection, list(tables))
        header = {
            "made_at": now.isoformat(),
            "version": version("wattwell"),
            "schema": schema,
            "rows": sum(state["rows"].values()),
            "secrets": len(files),
        }
        with Writer(to, header, passphrase) as writer:
            writer.member({"books": state})
            writer.member(
                {"partitions": _partitions(connection), "sequences": _sequences(connection)}
            )
            for table, columns in tables.items():
                _copy(connection, writer, table, columns)
            for name, path in files.items():
                writer.member({"file": name})
                writer.data(path.read_bytes())
    return Made(to, to.stat().st_size, header["rows"], len(files))


def files_of(settings_file: Path) -> dict[str, Path]:
    """The files that settings are made of, by their names beside cloud.toml."""
    folder = settings_file.parent
    found = {settings_file.name: settings_file}
    for path in sorted((folder / "secrets").glob("*")):
        if path.is_file() and path.name not in NOT_OURS:
            found[f"secrets/{path.name}"] = path
    return found


def schema_of(connection: psycopg.Connection[Any]) -> str | None:
    """The version of the database's schema, None where it is empty."""
    is_there = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
    if is_there is None or is_there[0] is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def tables_of(connection: psycopg.Connection[Any]) -> Mapping[str, list[str]]:
    """The columns of each table that is written to, by name; a partitioned table stands for its partitions."""
    rows = connection.execute("""
        SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
          AND c.relname <> 'alembic_version'
        GROUP BY c.relname ORDER BY c.relname
    """).fetchall()
    return {name: list(columns) for name, columns in rows}


def _copy(
    connection: psycopg.Connection[Any], writer: Writer, table: str, columns: list[str]
) -> None:
    writer.member({"table": table, "columns": columns})
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    query = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(names, sql.Identifier(table))
    with connection.cursor() as cursor, cursor.copy(query) as rows:
        for piece in rows:
            writer.data(piece)


def _partitions(connection: psycopg.Connection[Any]) -> list[str]:
    rows = connection.execute(
        "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY relname"
    ).fetchall()
    return [name for (name,) in rows]


def _sequences(connection: psycopg.Connection[Any]) -> dict[str, int]:
    rows = connection.execute(
        "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"
    ).fetchall()
    return dict(rows)
