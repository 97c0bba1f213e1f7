"""Databases for tests: a copy of a template, put back to what the template holds before another test has it.

To make a database of hundreds of tables and to drop it costs more than most tests do; to delete the rows that a test
left does not.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from wattwell.postgres import Postgres

# What a test may change of a schema: relations, who may do what, row-level security, triggers, constraints,
# functions.
_SCHEMA = """
SELECT (SELECT sum(hashtextextended(
            concat_ws('|', oid, relname, relkind, relacl, relrowsecurity, relforcerowsecurity), 0))
        FROM pg_class WHERE relnamespace = 'public'::regnamespace),
       (SELECT sum(hashtextextended(concat_ws('|', tgrelid, tgname, tgenabled), 0)) FROM pg_trigger),
       (SELECT sum(hashtextextended(concat_ws('|', conrelid, conname), 0)) FROM pg_constraint),
       (SELECT sum(hashtextextended(prosrc, oid::bigint)) FROM pg_proc WHERE pronamespace = 'public'::regnamespace),
       (SELECT sum(hashtextextended(concat_ws('|', attrelid, attname, atttypid), 0))
        FROM pg_attribute WHERE attrelid > 16383)
"""
_TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname
"""
_SEQUENCES = "SELECT sequencename, start_value, last_value FROM pg_sequences ORDER BY sequencename"


@dataclass(frozen=True, slots=True)
class _Content:
    """What a template holds."""

    schema: tuple[object, ...]
    filled: sql.Composed  # the query for the tables that hold rows
    rows: sql.Composed  # what writes them, into empty tables
    sequences: dict[str, tuple[int, int | None]]


class Databases:
    """Lends databases, each to one test at a time."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._contents: dict[str, _Content] = {}
        self._spare: dict[str, list[str]] = {}

    @contextmanager
    def lend(self, template: str) -> Iterator[str]:
        """The address of a database with what the template holds, as the cloud's own role sees it; no other test's
        leftovers reach it, since its name is new each time."""
        if template not in self._contents:
            self._contents[template] = self._content(template)
        name = f"test_{uuid.uuid4().hex}"
        spare = self._spare.setdefault(template, [])
        if not (spare and self._put_back(spare.pop(), self._contents[template], name=name)):
            self.copy(template, name)
        yield self._postgres.dsn(name)
        self._execute(
            sql.SQL(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = {}"
            ).format(sql.Literal(name))
        )
        spare.append(name)

    def copy(self, template: str, name: str) -> None:
        """Makes a database of its own from a template that nobody is connected to."""
        self._execute(
            sql.SQL("CREATE DATABASE {} OWNER wattwell TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )

    def _put_back(self, spare: str, content: _Content, *, name: str) -> bool:
        """Gives a spare database the name, and the rows of the template; it is dropped, and the answer is False, if a
        test changed its schema."""
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        self._execute(rename.format(sql.Identifier(spare), sql.Identifier(name)))
        with self._connect(name) as connection:
            if connection.execute(_SCHEMA).fetchone() == content.schema:
                _refill(connection, content)
                return True
        self._postgres.drop_database(name)
        return False

    def _content(self, template: str) -> _Content:
        with self._connect(template) as connection:
            tables = [name for (name,) in connection.execute(_TABLES)]
            filled = sql.SQL(" UNION ALL ").join(
                sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(
                    sql.Literal(table), sql.Identifier(table)
                )
                for table in tables
            )
            schema = connection.execute(_SCHEMA).fetchone()
            assert schema is not None
            rows = sql.SQL("; ").join(
                _written(connection, name) for (name,) in connection.execute(filled).fetchall()
            )
            sequences = {
                name: (start, last) for name, start, last in connection.execute(_SEQUENCES)
            }
            return _Content(schema, filled, rows, sequences)

    def _execute(self, statement: sql.Composable) -> None:
        with psycopg.connect(self._postgres.admin_dsn, autocommit=True) as connection:
            connection.execute(statement)

    def _connect(self, name: str) -> psycopg.Connection:
        return psycopg.connect(self._postgres.admin_dsn.rpartition("/")[0] + "/" + name)


def _written(connection: psycopg.Connection, table: str) -> sql.Composed:
    rows = connection.execute(
        sql.SQL("SELECT json_agg(t)::text FROM {} t").format(sql.Identifier(table))
    ).fetchone()
    assert rows is not None
    return sql.SQL(
        "INSERT INTO {0} OVERRIDING SYSTEM VALUE SELECT * FROM json_populate_recordset(NULL::{0}, {1})"
    ).format(sql.Identifier(table), sql.Literal(rows[0]))


def _refill(connection: psycopg.Connection, content: _Content) -> None:
    delete = sql.SQL("DELETE FROM {}")
    emptied = sql.SQL("; ").join(
        delete.format(sql.Identifier(table)) for (table,) in connection.execute(content.filled)
    )
    connection.execute(
        sql.SQL("; ").join(
            # No trigger and no key stands in the way.
            (sql.SQL("SET session_replication_role = replica"), emptied, content.rows)
        )
    )
    for name, start, last in connection.execute(_SEQUENCES).fetchall():
        if content.sequences[name] != (start, last):
            was = content.sequences[name][1]
            connection.execute(
                "SELECT setval(%s, %s, %s)", (f'"{name}"', was or start, was is not None)
            )
