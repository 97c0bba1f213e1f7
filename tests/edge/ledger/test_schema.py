"""A ledger of each version that was released is brought to this one where it lies, and nothing of it is lost."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest

from edge.ledger import schema
from edge.ledger.ledger_file import StoreUnusable
from edge.ledger.rows import Intent
from edge.ledger.store import Store
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import Why
from prepaid.wire.entry import NO_ENTRY, Cursor
from prepaid.wire.uplog import AlarmKind, Charged, read_up
from tests.edge.simulated import (
    ELECTRICITY,
    EVENING,
    PURSE,
    WATER,
    WATER_PURSE,
    Room,
    clock,
    simulated,
)

RELEASED = sorted((Path(__file__).parent / "ledgers").glob("*.sql"))


@pytest.fixture(params=RELEASED, ids=lambda path: path.stem)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A ledger in which a customer was charged 1.25 of 1.00 and cut, and a water meter is silent and held."""
    path = tmp_path / "ledger.sqlite"
    db = sqlite3.connect(path)
    db.executescript(request.param.read_text())
    db.close()
    return path


@pytest.fixture
def store(ledger: Path) -> Iterator[Store]:
    store = Store(ledger, "GW-0001")
    yield store
    store.close()


def test_money_positions_and_what_is_under_way_are_as_they_were(store: Store):
    # 2.50 kWh at 0.50 are 1.25 of 1.00; 0.10 m3 at 4.00 are 0.40 of 1.00.
    assert store.balance(PURSE) == Money.yuan("-0.25")
    assert store.balance(WATER_PURSE) == Money.yuan("0.60")
    assert [t.amount.fen for t in store.transfers()] == [100, 100, 50, 2, 40, 73]
    position = store.position(ELECTRICITY.id)
    assert position is not None
    assert (position.reading.total, position.number) == (Decimal("102.50"), 3)
    assert [(r.item, r.cost, r.posted) for r in position.running] == [
        ("energy", Decimal("1.25"), Money.yuan("1.25"))
    ]
    row = store.supply(ELECTRICITY.id)
    assert row is not None
    assert (row.seen, row.wanted, row.why) == (Supply.OFF, Supply.OFF, Why.NO_CREDIT)
    sent_at = datetime(2026, 11, 21, 10, 4, 15, 667188, tzinfo=UTC)
    assert store.intent(WATER.id) == Intent(Supply.OFF, sent_at, None, 1, False)
    assert store.alarm_since(WATER.id, AlarmKind.SILENT) is not None
    doubt = store.history(WATER.id).doubt
    assert doubt is not None
    assert doubt.reading.total == Decimal("99999.00")


def test_points_and_tariffs_are_those_of_before(store: Store):
    points = store.points()
    assert points[ELECTRICITY.id].meter == ELECTRICITY.meter
    assert points[ELECTRICITY.id].policy.alarm_at == Money.yuan("0.50")
    # There was one alarm level; a final one above it would be none.
    assert points[ELECTRICITY.id].policy.final_alarm_at == Money.yuan("0.50")
    assert store.tariff("power") is not None
    assert store.tariff("water") is not None


def test_the_log_keeps_its_name_and_becomes_a_chain(ledger: Path, store: Store):
    assert store.log == UUID("00000000-0000-0000-0000-00000000a001")
    assert (store.acked(), store.last_seq()) == (6, 18)
    assert store.cursor() == Cursor(UUID(int=0xC001), 5)
    assert store.rejected() == [(4, "not a message")]
    unacked = store.unacked(100)
    assert [entry.seq for entry in unacked] == list(range(7, 19))
    for before, after in pairwise(unacked):
        assert after.previous == before.hash()
    for entry in unacked:
        read_up(entry.body)  # as this version's cloud reads it
    assert store.hash_at(0) == NO_ENTRY
    assert store.check(within_s=None)


def test_a_ledger_is_upgraded_once(ledger: Path):
    Store(ledger, "GW-0001").close()
    before = ledger.read_bytes()
    Store(ledger, "GW-0001").close()
    assert ledger.read_bytes() == before


def test_a_power_cut_in_an_upgrade_leaves_the_ledger_as_it_was(ledger: Path):
    db = sqlite3.connect(ledger, isolation_level=None)
    version, before = schema.version_of(db), list(db.iterdump())

    def stop_at_the_end(action: int, name: str | None, value: str | None, *_: str | None) -> int:
        is_end = (action, name, value) == (
            sqlite3.SQLITE_PRAGMA,
            "user_version",
            str(schema.VERSION),
        )
        return sqlite3.SQLITE_DENY if is_end else sqlite3.SQLITE_OK

    db.set_authorizer(stop_at_the_end)
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        schema.upgrade(db)
    db.set_authorizer(None)

    assert schema.version_of(db) == version
    assert list(db.iterdump()) == before
    db.close()


def test_an_upgraded_ledger_has_the_tables_of_a_new_one(store: Store, tmp_path: Path):
    new = Store(tmp_path / "new.sqlite", "GW-0001")

    def columns(of: Store) -> dict[str, set[str]]:
        tables = of._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            name: {row[1] for row in of._db.execute(f"PRAGMA table_info({name})")}
            for (name,) in tables
        }

    assert columns(store) == columns(new)
    new.close()


def test_a_ledger_of_a_newer_version_is_refused(store: Store, ledger: Path):
    store._db.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreUnusable, match="was written by a newer Wattwell"):
        Store(ledger, "GW-0001")


@simulated
async def test_metering_goes_on_from_the_upgraded_position(tmp_path: Path):
    path = tmp_path / "ledger.sqlite"
    db = sqlite3.connect(path)
    db.executescript(RELEASED[0].read_text())
    db.close()
    (tmp_path / "room").mkdir()
    room = Room(tmp_path / "room")
    room.store.close()
    room.store = Store(path, "GW-0001")
    room.start(settle_s=60)
    room.meter.contact_open = room.meter.command_open = True
    assert clock() - EVENING < timedelta(seconds=1)

    await room.use("103.00", after_s=600)

    # 0.50 kWh at 0.50: 0.25 more.
    assert room.store.balance(PURSE) == Money.yuan("-0.50")
    charged = [m for m in room.told(Charged) if m.point == ELECTRICITY.id][-1]
    assert charged.position.number == 4
    assert json.loads(room.store.unacked(100)[-1].body)["point"] == str(ELECTRICITY.id)
    room.store.close()
