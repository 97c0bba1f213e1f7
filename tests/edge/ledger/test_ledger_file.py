"""The ledger's file: copied while it is written, put back, looked through, set aside, never deleted."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from edge.ledger import ledger_file
from edge.ledger.ledger_file import (
    Note,
    StoreDamaged,
    StoreTaken,
    StoreUnusable,
    backup,
    check_file,
    restore,
)
from edge.ledger.store import Hold, Store
from edge.ledger.upkeep import open_ledger
from prepaid.money import ZERO, Money
from prepaid.wire.uplog import Read
from tests.edge.simulated import ELECTRICITY, PURSE, top_up
from tests.prepaid.values import read

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway" / "ledger.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path, "GW-0001")
    with store.transaction():
        store.post(top_up("20.00"))
        for n in range(40):
            store.append(Read(ELECTRICITY.id, read(f"{n}.00")))
    yield store
    store.close()


def change(path: Path, statement: str) -> None:
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()


def kept(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def test_a_backup_is_one_sound_file_of_one_moment_while_the_gateway_goes_on(
    store: Store, path: Path, tmp_path: Path
):
    copy = tmp_path / "copy.sqlite"
    backup(path, copy)
    with store.transaction():
        store.post(top_up("5.00", cause="sandbox:2"))

    check_file(copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("copy.sqlite?*"))
    db = sqlite3.connect(copy)
    assert db.execute("SELECT fen FROM balance").fetchall() == [(2000,)]
    db.close()


def test_a_backup_of_a_ledger_that_is_written_without_a_pause_ends_before_the_writing_does(
    store: Store, path: Path, tmp_path: Path
):
    # 20 MB, so that there is time to write in the midst of the copy.
    change(path, f"INSERT INTO rejected SELECT value, zeroblob(4000), '' FROM {_to(5000)}")
    is_copied, written = threading.Event(), threading.Event()

    def write() -> None:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA synchronous = OFF")
        end = time.monotonic() + 60
        while not is_copied.is_set() and time.monotonic() < end:
            db.execute("INSERT INTO rejected SELECT max(seq) + 1, 'later', '' FROM rejected")
            written.set()
            is_copied.wait(0.001)
        db.close()

    writer = threading.Thread(target=write)
    writer.start()
    assert written.wait(10)
    backup(path, tmp_path / "copy.sqlite")
    was_writing = writer.is_alive()
    is_copied.set()
    writer.join()

    assert was_writing
    check_file(tmp_path / "copy.sqlite")


def _to(most: int) -> str:
    return f"json_each('{json.dumps(list(range(1, most + 1)))}')"


def test_a_backup_overwrites_nothing(store: Store, path: Path, tmp_path: Path):
    copy = tmp_path / "copy.sqlite"
    copy.write_text("precious")
    with pytest.raises(StoreUnusable, match="is there already"):
        backup(path, copy)
    assert copy.read_text() == "precious"


def test_a_backup_of_a_damaged_ledger_is_none(store: Store, path: Path, tmp_path: Path):
    store.close()
    change(path, "UPDATE balance SET fen = 1")
    with pytest.raises(StoreDamaged, match="does not add up"):
        backup(path, tmp_path / "copy.sqlite")
    assert not list(tmp_path.glob("copy*"))


def test_a_restored_backup_is_held_and_what_it_replaces_is_kept(
    store: Store, path: Path, tmp_path: Path
):
    copy = tmp_path / "copy.sqlite"
    backup(path, copy)
    with store.transaction():
        store.post(top_up("5.00", cause="sandbox:2"))
    store.close()

    aside = restore(copy, path, "GW-0001", hold=Hold.RESTORED, now=NOW)

    assert aside == path.with_name("ledger.sqlite.replaced-20261121T100000Z")
    again = Store(path, "GW-0001")
    assert (again.hold, again.balance(PURSE)) == (Hold.RESTORED, Money.yuan("20.00"))
    again.close()
    replaced = Store(aside, "GW-0001")
    assert replaced.balance(PURSE) == Money.yuan("25.00")
    replaced.close()


def test_a_backup_is_not_put_back_while_the_gateway_runs(store: Store, path: Path, tmp_path: Path):
    copy = tmp_path / "copy.sqlite"
    backup(path, copy)
    with pytest.raises(StoreTaken, match="in use by another gateway program"):
        restore(copy, path, "GW-0001", hold=Hold.RESTORED, now=NOW)
    assert store.hold is None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("UPDATE balance SET fen = 1", "does not add up"),
        ("UPDATE up SET body = 'x' WHERE seq = 7", "entry 8 of its log does not follow entry 7"),
        ("DELETE FROM up WHERE seq = 7", "entry 8 of its log does not follow entry 6"),
        ("UPDATE gateway SET gateway_no = 'GW-0002'", "of gateway GW-0002, not of GW-0001"),
        ("PRAGMA user_version = 99", "is no ledger of this version"),
    ],
)
def test_a_backup_that_is_not_sound_or_anothers_changes_nothing(
    store: Store, path: Path, tmp_path: Path, spoil: str, said: str
):
    copy = tmp_path / "copy.sqlite"
    backup(path, copy)
    store.close()
    change(copy, spoil)
    before = kept(path)

    with pytest.raises(StoreUnusable, match=said):
        restore(copy, path, "GW-0001", hold=Hold.RESTORED, now=NOW)

    assert kept(path) == before
    again = Store(path, "GW-0001")
    assert (again.hold, again.balance(PURSE)) == (None, Money.yuan("20.00"))
    again.close()


def damage(path: Path) -> None:
    """The pages in the middle of the file are noise, as from a dying card."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 2 * 4096))


@pytest.mark.parametrize(
    "spoil",
    [
        damage,
        lambda path: path.write_bytes(b"what is this? " * 1000),
        lambda path: change(path, "UPDATE balance SET fen = 999999"),
        lambda path: change(path, "UPDATE up SET body = 'x' WHERE seq = 7"),
    ],
    ids=["pages", "no database", "balance", "chain"],
)
def test_a_damaged_ledger_is_set_aside_and_a_new_one_waits_for_the_clouds_copy(
    store: Store, path: Path, spoil, caplog: pytest.LogCaptureFixture
):
    store.close()
    spoil(path)
    was = path.read_bytes()

    new = open_ledger(path, "GW-0001", now=NOW)

    aside = path.with_name("ledger.sqlite.damaged-20261121T100000Z")
    assert aside.read_bytes() == was
    assert (new.hold, new.instead_of()) == (Hold.REBUILDING, store.log)
    assert new.log != store.log
    assert new.balance(PURSE) == ZERO
    assert "rebuilt from what the cloud knows" in caplog.text
    new.close()


def test_a_damaged_ledger_of_which_nothing_is_known_waits_for_a_person(
    path: Path, caplog: pytest.LogCaptureFixture
):
    path.parent.mkdir()
    path.write_text("what is this? " * 100)

    new = open_ledger(path, "GW-0001", now=NOW)

    assert (new.hold, new.instead_of()) == (Hold.REPLACED, None)
    assert "run `wattwell edge takeover`" in caplog.text
    new.close()


def test_two_damaged_ledgers_of_one_second_are_both_kept(store: Store, path: Path):
    store.close()
    path.write_bytes(b"first " * 100)
    open_ledger(path, "GW-0001", now=NOW).close()
    path.write_bytes(b"second " * 100)
    open_ledger(path, "GW-0001", now=NOW).close()

    name = "ledger.sqlite.damaged-20261121T100000Z"
    assert path.with_name(name).read_bytes() == b"first " * 100
    assert path.with_name(f"{name}-2").read_bytes() == b"second " * 100


RENEW = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from edge.ledger import ledger_file

path, left = Path(sys.argv[1]), int(sys.argv[2])
rename = Path.rename

def dying(self, to):
    global left
    if left == 0:
        os._exit(9)
    left -= 1
    return rename(self, to)

Path.rename = dying
with ledger_file.take(path):
    ledger_file.renew(path, "GW-0001", hold="rebuilding", instead_of=None, why="set-aside",
                      now=datetime.now(UTC))
"""


@pytest.mark.parametrize("renames", range(4))
def test_a_power_cut_while_a_ledger_is_set_aside_leaves_the_old_one_or_the_new_one(
    store: Store, path: Path, renames: int
):
    log = store.log
    store.close()
    died = subprocess.run([sys.executable, "-c", RENEW, str(path), str(renames)], check=False)
    assert died.returncode == (9 if renames < 3 else 0)

    again = Store(path, "GW-0001")

    is_old = again.log == log
    assert is_old == (renames == 0)  # from the first rename on, the new one is decided for
    assert again.hold is (None if is_old else Hold.REBUILDING)
    aside = [
        file for file in path.parent.glob("ledger.sqlite.set-aside-*") if "-wal" not in file.name
    ]
    assert len(aside) == (0 if is_old else 1)
    again.close()


def test_the_log_is_known_by_the_lock_file_when_the_ledger_is_gone(store: Store, path: Path):
    with pytest.raises(StoreTaken):
        ledger_file.take(path)
    store.close()
    with ledger_file.take(path) as lock:
        assert ledger_file.noted(lock) == Note(store.log, 0, None)
        for new in (Note(uuid4(), 17, uuid4()), Note(uuid4(), 2**62, None)):
            ledger_file.note(lock, new)
            assert ledger_file.noted(lock) == new


def test_what_the_cloud_vouches_for_holds_until_the_machine_is_started_again(
    store: Store, path: Path, tmp_path: Path
):
    copy = tmp_path / "copy.sqlite"
    backup(path, copy)
    assert not store.is_vouched_for()
    store.vouch()
    store.close()
    again = Store(path, "GW-0001")
    assert again.is_vouched_for()
    again.close()

    with ledger_file.take(path) as lock:
        ledger_file.note(lock, Note(again.log, 0, uuid4()))  # of an earlier start
    again = Store(path, "GW-0001")
    assert not again.is_vouched_for()
    again.vouch()
    again.close()
    restore(copy, path, "GW-0001", hold=Hold.RESTORED, now=NOW)
    again = Store(path, "GW-0001")
    assert not again.is_vouched_for()
    again.close()


def test_an_old_copy_of_the_file_is_held_at_the_start_where_the_cloud_had_more_of_it(
    store: Store, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    copy = tmp_path / "copy.sqlite"
    backup(path, copy)  # ends at entry 40
    with store.transaction():
        store.append(Read(ELECTRICITY.id, read("50.00")))
        store.append(Read(ELECTRICITY.id, read("51.00")))
    with store.transaction():
        store.acknowledge(40)
    store.close()
    now = path.read_bytes()

    path.write_bytes(copy.read_bytes())
    equal = Store(path, "GW-0001")
    assert equal.hold is None  # nothing of what is missing was told to anybody
    equal.close()
    path.write_bytes(now)
    store = Store(path, "GW-0001")
    with store.transaction():
        store.acknowledge(41)
    store.close()
    path.write_bytes(copy.read_bytes())
    old = Store(path, "GW-0001")

    assert old.hold is Hold.BEHIND
    assert "ends at entry 40, and the cloud has had entry 41 of it" in caplog.text
    old.close()


def test_an_entry_that_was_altered_on_disk_breaks_the_chain(store: Store, path: Path):
    assert store.check(within_s=None)
    change(path, "UPDATE up SET body = replace(body, '7.00', '8.00') WHERE seq = 8")
    with pytest.raises(StoreDamaged, match="entry 9 of its log does not follow entry 8"):
        check_file(path)


def test_an_altered_entry_is_found_though_the_balances_of_a_large_ledger_take_all_the_time(
    store: Store, path: Path
):
    with store.transaction():
        for n in range(2000):
            store.post(top_up("1.00", cause=f"sandbox:many:{n}"))
    change(path, "UPDATE up SET body = replace(body, '7.00', '8.00') WHERE seq = 8")

    with pytest.raises(StoreDamaged, match="entry 9 of its log does not follow entry 8"):
        store.check(within_s=-1.0)


def test_looking_a_ledger_through_ends_when_its_time_is_over(store: Store):
    with store.transaction():
        for n in range(2000):
            store.append(Read(ELECTRICITY.id, read(f"{n}.00")))
    assert store.check(within_s=-1.0) is False
    assert store.check(within_s=60.0) is True
