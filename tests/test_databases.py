"""A database that a test had is as good as a new one for the next."""

from __future__ import annotations

import psycopg
import pytest


def look(url: str, query: str) -> list[tuple]:
    with psycopg.connect(url) as connection:
        connection.execute("SELECT set_config('wattwell.system', 'on', true)")
        return connection.execute(query).fetchall()


def do(url: str, *statements: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SELECT set_config('wattwell.system', 'on', true)")
        for statement in statements:
            connection.execute(statement)


COUNTED = "SELECT nextval('things_number_seq')"
HELD = "SELECT number, said FROM things ORDER BY number"


def a_template(databases, migrated: str, name: str) -> str:
    databases.copy(migrated, name)
    with databases.lend(name) as url:
        do(
            url,
            "CREATE TABLE things (number bigserial PRIMARY KEY, said text, at timestamptz, worth numeric, key bytea)",
            "INSERT INTO things (said, at, worth, key) VALUES ('电', now(), 0.10, '\\x00ff')",
        )
        made = url.rpartition("/")[2]
        databases.copy(made, f"{name}_2")
    return f"{name}_2"


def test_rows_and_numbers_are_put_back_and_the_database_is_the_same_one(databases, migrated):
    template = a_template(databases, migrated, "rows")
    whole = "SELECT * FROM things"
    with databases.lend(template) as url:
        before = look(url, whole)
        (oid,) = look(url, "SELECT oid FROM pg_database WHERE datname = current_database()")
        do(url, "DELETE FROM things", "INSERT INTO things (said) VALUES ('水'), ('气')")
        assert look(url, COUNTED) == [(4,)]

    with databases.lend(template) as again:
        assert look(again, whole) == before
        assert look(again, COUNTED) == [(2,)]
        assert look(again, "SELECT oid FROM pg_database WHERE datname = current_database()") == [
            oid
        ]
        assert again != url


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE things ADD COLUMN note text",
        "CREATE FUNCTION note() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE things ADD CONSTRAINT note CHECK (number > 0)",
    ],
)
def test_a_database_whose_schema_was_changed_is_not_lent_again(
    databases, migrated, change, request
):
    template = a_template(databases, migrated, f"schema_{request.node.callspec.indices['change']}")
    with databases.lend(template) as url:
        do(url, change)

    with databases.lend(template) as again:
        assert look(again, HELD) == [(1, "电")]
        do(again, change)  # it is not there yet


def test_who_is_still_connected_is_sent_away(databases, migrated):
    with databases.lend(migrated) as url:
        staying = psycopg.connect(url)

    with databases.lend(migrated):
        assert staying.pgconn.socket
    try:
        staying.execute("SELECT 1")
    except psycopg.OperationalError:
        return
    raise AssertionError("a connection of another test is still open")
