"""An installation of an older version is brought to this one, and so is a backup that was made of it then."""

from __future__ import annotations

import uuid
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, select

from cloud import tables
from cloud.backups import books, restoring
from cloud.db import Database, connect_args, is_migrated, upgrade
from cloud.services import ledger, pointsets, restored
from cloud.services.money import statements
from prepaid.ledger import Root
from prepaid.money import Money
from tests.cloud.conftest import NOON
from wattwell import upgrading

pytestmark = pytest.mark.processes

SCHEMA = "0010"
ROWS = Path(__file__).with_name(f"rows_{SCHEMA}.sql")
"""What the program of that schema wrote: two rooms; ¥100.00, ¥30.00 and ¥0.66 of cash; charges of ¥12.34 and ¥1.50; a
silent meter, a supply that is kept on by hand, a gateway with credentials."""
BALANCES = [Money.yuan("88.32"), Money.yuan("30.00"), Money.yuan("0.00"), Money.yuan("-1.50")]
"""100.00 + 0.66 - 12.34; 30.00; nothing; 0 - 1.50."""


@pytest.fixture
def old(postgres) -> str:
    """The address of a database of the older schema, with rows."""
    name = f"test_{uuid.uuid4().hex}"
    postgres.create_database(name)
    url = postgres.dsn(name)
    engine = create_engine("postgresql+psycopg://", connect_args=connect_args(url))
    with engine.begin() as connection:
        upgrade(connection, SCHEMA)
        raw = connection.connection.driver_connection
        raw.execute("SELECT set_config('wattwell.system', 'on', true)")
        raw.execute(ROWS.read_text())
    engine.dispose()
    yield url
    postgres.drop_database(name)


@pytest.fixture
def empty(postgres) -> str:
    name = f"test_{uuid.uuid4().hex}"
    postgres.create_database(name)
    yield postgres.dsn(name)
    postgres.drop_database(name)


def books_of(url: str) -> books.Books:
    with psycopg.connect(**connect_args(url)) as connection:
        connection.execute("SELECT set_config('wattwell.system', 'on', true)")
        return books.books(connection, ["transfers", "topups", "readings", "purses", "points"])


def check(url: str, before: books.Books) -> None:
    """The database is of this version, has the books of before, and is read by this version's services."""
    after = books_of(url)
    for what in ("rows", "trial_balance_fen", "trial_balance", "wrong_balances"):
        assert after[what] == before[what]
    database = Database(url, connections=1)
    assert is_migrated(database)
    with database.system() as session:
        purses = session.execute(select(tables.Purse)).scalars().all()
        assert sorted(ledger.balance(session, purse.id) for purse in purses) == sorted(BALANCES)
        (organization,) = session.execute(select(tables.Organization)).scalars()
        trial = statements.trial_balance(
            session, organization.id, since=NOON.replace(year=2020), until=NOON.replace(year=2040)
        )
        assert trial.is_balanced
        held = {row.item: row.closing for row in trial.rows if row.root is not Root.INCOME}
        # 100.00 + 30.00 + 0.66 in the drawer; what customers have left, 88.32 + 30.00 - 1.50.
        assert held == {
            "Assets:Clearing:cash": -Money.yuan("130.66"),
            "Liabilities:Prepaid": Money.yuan("116.82"),
        }
        points = session.execute(select(tables.ServicePoint)).scalars().all()
        meters = [pointsets.value(session, point).meter for point in points]
        # As it was entered: no gateway had a driver of this name, and none is put in its place unasked;
        # the check after the upgrade names each.
        assert {meter.protocol for meter in meters} == {"dlt645"}
        # What was charged was read where the meter is now, as far as an older schema can say.
        charged = [
            p for p in points if (state := session.get(tables.PointState, p.id)) and state.position
        ]
        places = [tuple(session.get_one(tables.PointState, p.id).place) for p in charged]
        assert places == [pointsets.value(session, p).meter.place for p in charged] != []
        assert {user.roles[0] for user in session.execute(select(tables.User)).scalars()} == {
            "administrator"
        }
        assert session.execute(select(tables.Override.why)).scalars().all() == ["老人在家"]
    database.close()


def test_an_older_installation_and_a_backup_of_it_come_to_this_version_with_the_same_books(
    old, empty, settings, tmp_path, capsys
):
    before = books_of(old)
    assert before["rows"]["transfers"] == 5
    backup = tmp_path / "before"
    older = settings.model_copy(update={"database_url": old})

    upgrading.upgrade(older, to=backup, passphrase=None)

    said = capsys.readouterr().out
    assert f"rows of schema {SCHEMA}" in said
    assert (
        "no gateway can read 000000000100 (0102) by dlt645, 000000000101 (0102) by dlt645" in said
    )
    check(old, before)

    # The backup of then, put back by this version: also with what the next numbers of credits are.
    put = restoring.restore(empty, backup, passphrase=None, now=NOON)
    assert put.gateways == 1
    check(empty, before)
    counted = []
    for url in (old, empty):
        database = Database(url, connections=1)
        with database.system() as session:
            counted.append(sorted(session.execute(select(tables.Purse.credits)).scalars()))
        database.close()
    assert counted == [[0, 0, 1, 2], [restored.AHEAD + n for n in (0, 0, 1, 2)]]
