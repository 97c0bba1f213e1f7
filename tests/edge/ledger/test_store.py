"""The ledger: what was committed is there after a kill, and adds up."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from edge.ledger.ledger_file import StoreTaken, StoreUnusable
from edge.ledger.onlooker import Progress, read_balances, read_log, read_progress
from edge.ledger.store import GROUP, Store
from prepaid.ledger import (
    Reason,
    Transfer,
    TransferIdReused,
    credit_balance,
    income,
    prepaid,
)
from prepaid.money import ZERO, Money
from prepaid.wire.entry import Cursor
from prepaid.wire.uplog import AlarmKind, Read
from tests.edge.simulated import ELECTRICITY, PURSE, top_up
from tests.prepaid.values import read


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path, "GW-0001")
    yield store
    store.close()


def test_a_transfer_is_booked_once_however_often_it_comes(store: Store):
    with store.transaction():
        assert store.post(top_up("20.00"))
    with store.transaction():
        assert not store.post(top_up("20.00"))

    assert store.balance(PURSE) == Money.yuan("20.00")
    assert store.transfers() == [top_up("20.00")]


def test_one_id_with_two_contents_is_refused(store: Store):
    with store.transaction():
        store.post(top_up("20.00"))

    with pytest.raises(TransferIdReused, match=r"was booked as 20\.00 .* comes again as 30\.00"):  # noqa: SIM117
        with store.transaction():
            store.post(top_up("30.00"))

    assert store.balance(PURSE) == Money.yuan("20.00")


def test_a_transaction_that_fails_leaves_nothing_behind(store: Store):
    def fail_half_way() -> None:
        with store.transaction():
            store.post(top_up("20.00"))
            store.append(Read(ELECTRICITY.id, read("1.00")))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()

    assert store.balance(PURSE) == ZERO
    assert store.unacked(10) == []


def test_writing_outside_a_transaction_is_a_mistake(store: Store):
    with pytest.raises(ValueError, match="transaction"):
        store.post(top_up("20.00"))


def test_entries_are_numbered_from_one_and_kept_until_acknowledged(store: Store):
    with store.transaction():
        for n in range(3):
            store.append(Read(ELECTRICITY.id, read(f"{n}.00")))

    assert [entry.seq for entry in store.unacked(10)] == [1, 2, 3]
    with store.transaction():
        store.acknowledge(2)
    assert [entry.seq for entry in store.unacked(10)] == [3]
    with store.transaction():
        store.acknowledge(1)  # a cloud restored from a backup
    assert [entry.seq for entry in store.unacked(10)] == [2, 3]


def test_a_new_store_is_a_new_log_and_an_old_one_keeps_its_own(path: Path, tmp_path: Path):
    first = Store(path, "GW-0001")
    log = first.log
    first.close()
    again = Store(path, "GW-0001")
    other = Store(tmp_path / "other.sqlite", "GW-0001")

    assert again.log == log
    assert other.log != log
    again.close()
    other.close()


def modes(path: Path) -> dict[str, str]:
    return {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()}


def test_the_ledger_holds_passwords_and_is_its_owners_alone(path: Path):
    was = os.umask(0o022)
    try:
        store = Store(path, "GW-0001")
        with store.transaction():
            store.save_point(ELECTRICITY)
        assert modes(path) == {
            "ledger.sqlite": "0o600",
            "ledger.sqlite-wal": "0o600",
            "ledger.sqlite-shm": "0o600",
            "ledger.lock": "0o600",
        }
        store.close()
        for file in path.parent.iterdir():  # as an earlier version, or a restored copy, left them
            file.chmod(0o644)
        store = Store(path, "GW-0001")
        assert set(modes(path).values()) == {"0o600"}
        store.close()
    finally:
        os.umask(was)


def test_a_ledger_in_use_is_not_opened_twice(store: Store, path: Path):
    with pytest.raises(StoreTaken, match="in use by another gateway program"):
        Store(path, "GW-0001")


def test_another_gateways_ledger_is_refused(path: Path):
    Store(path, "GW-0001").close()

    with pytest.raises(StoreUnusable, match="ledger of gateway GW-0001, not of GW-0002"):
        Store(path, "GW-0002")


def test_a_balance_that_is_not_the_sum_of_its_transfers_is_refused(path: Path):
    store = Store(path, "GW-0001")
    with store.transaction():
        store.post(top_up("20.00"))
    store.close()
    db = sqlite3.connect(path)
    db.execute("UPDATE balance SET fen = 999999")
    db.commit()
    db.close()

    with pytest.raises(StoreUnusable, match=f"does not add up: the balance of {prepaid(PURSE)}"):
        Store(path, "GW-0001")


def test_a_file_that_is_no_database_is_refused(path: Path):
    path.write_text("what is this? " * 100)

    with pytest.raises(StoreUnusable, match="file is not a database"):
        Store(path, "GW-0001")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreUnusable, match="cannot be opened"):
        Store(tmp_path / "file" / "ledger.sqlite", "GW-0001")


def test_lookers_on_see_the_balances_while_the_gateway_works(store: Store, path: Path):
    with store.transaction():
        store.post(top_up("20.00"))
        store.append(Read(ELECTRICITY.id, read("1.00")))

    assert read_balances(path) == {PURSE: Money.yuan("20.00")}
    assert read_log(path) == [(entry.seq, entry.body) for entry in store.unacked(10)]
    assert read_log(path, after=1) == []
    assert read_progress(path) == Progress(last_seq=1, acked=0, cloud_seq=0)
    with pytest.raises(StoreUnusable, match=r"there is no ledger .*nothing\.sqlite"):
        read_balances(path.with_name("nothing.sqlite"))


WRITER = """
import sys
from pathlib import Path
from edge.ledger.store import Store
from prepaid.wire.uplog import Read
from tests.edge.simulated import ELECTRICITY, top_up
from tests.prepaid.values import read

store = Store(Path(sys.argv[1]), "GW-0001")
n = store.last_seq()
while True:
    n += 1
    with store.transaction():
        store.post(top_up("0.01", cause=f"sandbox:{n}"))
        store.append(Read(ELECTRICITY.id, read(f"{n}.00")))
    print(n, flush=True)
"""


@pytest.mark.processes
def test_a_kill_at_any_moment_loses_nothing_that_was_acknowledged(path: Path):
    moments = random.Random(20)

    for _ in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(moments.randint(1, 60)):
            told = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.wait()
        told = int(rest[-1]) if rest else told

        store = Store(path, "GW-0001")
        kept = store.last_seq()
        assert kept in (told, told + 1)  # the last may be committed and not yet told
        assert store.balance(PURSE) == Money(kept)
        assert credit_balance(prepaid(PURSE), store.transfers()) == Money(kept)
        store.close()


def test_a_point_is_replaced_whole(store: Store):
    renamed = replace(ELECTRICITY, name="0301 照明")
    with store.transaction():
        store.save_point(ELECTRICITY)
        store.save_point(renamed)

    assert store.points() == {ELECTRICITY.id: renamed}


def charged(store: Store, number: int) -> None:
    """A visit's transaction: a fen is charged."""
    charge = Transfer(
        prepaid(PURSE), income("energy"), Money(1), Reason.CHARGE, f"{number}", top_up("1.00").at
    )
    with store.transaction(is_derived=True):
        store.post(charge)
        store.append(Read(ELECTRICITY.id, read(f"{number}.00")))


def test_a_few_visits_wait_for_the_disk_together(store: Store):
    waited = []
    for number in range(2 * GROUP + 2):
        charged(store, number)
        waited.append(store.waiting)

    assert waited == [*range(1, GROUP + 1), 0] * 2


def test_what_is_told_to_the_cloud_is_on_disk_before(store: Store):
    charged(store, 1)
    assert store.waiting == 1

    assert len(store.unacked(10)) == 1

    assert store.waiting == 0


def test_money_that_comes_in_takes_the_charges_before_it_along(store: Store):
    charged(store, 1)

    with store.transaction():
        store.post(top_up("20.00"))

    assert store.waiting == 0


def test_a_power_cut_leaves_a_beginning_of_what_was_committed(store: Store, path: Path):
    """Nothing of a transaction without the others before it, wherever the journal on the disk ends."""
    with store.transaction():
        store.post(top_up("1.00"))
    store.checkpoint()
    for number in range(GROUP - 1):
        charged(store, number)
    whole = path.with_name("ledger.sqlite-wal").read_bytes()
    kept = set()

    for end in random.Random(7).sample(range(len(whole)), 60):
        after_cut = path.parent / f"cut-{end}.sqlite"
        after_cut.write_bytes(path.read_bytes())
        after_cut.with_name(f"{after_cut.name}-wal").write_bytes(whole[:end])
        found = Store(after_cut, "GW-0001")  # it adds up, and its log is a chain
        charges = 100 - found.balance(PURSE).fen
        assert [entry.seq for entry in found.unacked(100)] == list(range(1, charges + 1))
        assert len(found.transfers()) == 1 + charges
        kept.add(charges)
        found.close()

    assert len(kept) > 20


def test_what_a_failed_transaction_wrote_is_not_remembered(store: Store):
    with store.transaction():
        store.save_point(ELECTRICITY)
        store.save_brake(store.brake())

    def fail_half_way() -> None:
        with store.transaction():
            store.save_point(replace(ELECTRICITY, name="0302 电"))
            store.save_brake(store.brake().note_cut(ELECTRICITY.id, top_up("1.00").at))
            store.save_alarm(ELECTRICITY.id, AlarmKind.SILENT, top_up("1.00").at)
            store.append(Read(ELECTRICITY.id, read("1.00")))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()

    assert store.points() == {ELECTRICITY.id: ELECTRICITY}
    assert not store.brake().cuts
    assert store.alarm_since(ELECTRICITY.id, AlarmKind.SILENT) is None
    assert store.last_seq() == 0


def test_what_is_remembered_of_a_ledger_is_what_is_in_its_file(store: Store, path: Path):
    with store.transaction():
        store.save_point(ELECTRICITY)
        store.post(top_up("20.00"))
    charged(store, 1)
    with store.transaction():
        store.save_alarm(ELECTRICITY.id, AlarmKind.SILENT, top_up("1.00").at)
        store.save_alarm(ELECTRICITY.id, AlarmKind.SILENT, None)
    told = (store.points(), store.balance(PURSE), store.unacked(9), store.last_seq())
    store.close()

    again = Store(path, "GW-0001")

    assert (again.points(), again.balance(PURSE), again.unacked(9), again.last_seq()) == told
    assert again.alarm_since(ELECTRICITY.id, AlarmKind.SILENT) is None
    again.close()


def test_what_a_rolled_back_transaction_said_is_forgotten(store: Store):
    since, at = top_up("1.00").at, Cursor(UUID(int=7), 5)
    with store.transaction():
        store.save_alarm(ELECTRICITY.id, AlarmKind.SILENT, since)
        store.move_cursor(at)
    assert store.alarms_of(ELECTRICITY.id) == {"silent"}

    def fail_half_way() -> None:
        with store.transaction():
            store.save_alarm(ELECTRICITY.id, AlarmKind.SILENT, None)
            store.save_alarm(ELECTRICITY.id, AlarmKind.STUCK, since)
            store.move_cursor(Cursor(UUID(int=7), 6))
            assert store.alarms_of(ELECTRICITY.id) == {"stuck"}
            assert store.cursor() == Cursor(UUID(int=7), 6)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()

    assert store.alarms_of(ELECTRICITY.id) == {"silent"}
    assert store.cursor() == at
