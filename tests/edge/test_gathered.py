"""What several visits book shortly one after another is committed together, and nothing hangs on it before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from edge.agent import TOGETHER_S
from edge.ledger.ledger_file import StoreFull
from edge.ledger.onlooker import read_balances, read_log
from edge.ledger.store import GROUP, Store
from prepaid.ledger import Reason, Transfer, TransferIdReused, income, prepaid
from prepaid.money import ZERO, Money
from prepaid.wire.uplog import Alarm, Charged, Read
from tests.edge.simulated import ELECTRICITY, PURSE, Room, simulated, top_up, until
from tests.prepaid.values import read


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path, "GW-0001")
    store.on_gather = lambda: None  # somebody will commit
    yield store
    store.close()


def charged(store: Store, number: int, *, fen: int = 1) -> None:
    """A visit's transaction."""
    charge = Transfer(
        prepaid(PURSE), income("energy"), Money(fen), Reason.CHARGE, f"{number}", top_up("1.00").at
    )
    with store.transaction(is_derived=True):
        store.post(charge)
        store.append(Read(ELECTRICITY.id, read(f"{number}.00")))


def test_what_is_gathered_is_seen_here_at_once_and_elsewhere_after_the_commit(
    store: Store, path: Path
):
    gathering, told = [], []
    store.on_gather = lambda: gathering.append(len(told))
    store.on_append = lambda: told.append(store.last_seq())

    for number in range(3):
        charged(store, number)

    assert gathering == [0]  # asked for once
    assert store.balance(PURSE) == Money(-3)
    assert read_balances(path) == {}
    assert told == []
    store.commit()
    assert read_balances(path) == {PURSE: Money(-3)}
    assert told == [3]


def test_as_many_as_wait_for_the_disk_together_are_committed_at_once(store: Store, path: Path):
    for number in range(GROUP):
        charged(store, number)

    assert read_balances(path) == {PURSE: Money(-GROUP)}


def test_money_that_comes_in_commits_the_visits_before_it(store: Store, path: Path):
    charged(store, 1)

    with store.transaction():
        store.post(top_up("20.00"))

    assert read_balances(path) == {PURSE: Money(1999)}
    assert store.waiting == 0


def test_what_is_told_to_the_cloud_was_committed_before(store: Store, path: Path):
    charged(store, 1)

    told = store.unacked(10)

    assert read_log(path) == [(entry.seq, entry.body) for entry in told]
    assert store.waiting == 0


def test_a_visit_that_cannot_be_booked_takes_those_it_was_gathered_with_along(
    store: Store, path: Path
):
    charged(store, 1)
    store.commit()
    lost = []
    store.on_lost = lambda: lost.append(store.group)
    charged(store, 2)

    with pytest.raises(TransferIdReused):
        charged(store, 1, fen=5)

    assert store.balance(PURSE) == Money(-1)
    assert (len(lost), store.last_seq()) == (1, 1)
    charged(store, 2)
    store.commit()
    assert read_balances(path) == {PURSE: Money(-2)}


def test_an_end_in_between_leaves_what_was_committed(path: Path):
    store = Store(path, "GW-0001")
    charged(store, 1)  # nobody gathers
    store.on_gather = lambda: None
    charged(store, 2)
    store.close()

    again = Store(path, "GW-0001")
    assert again.balance(PURSE) == Money(-1)
    again.close()


def test_no_transaction_is_begun_inside_another(store: Store):
    with pytest.raises(ValueError, match="begun inside another"), store.transaction():  # noqa: PT012
        store.post(top_up("1.00"))
        with store.transaction():
            store.post(top_up("2.00", cause="sandbox:other"))

    assert store.balance(PURSE) == ZERO


@simulated
async def test_a_gateway_at_work_commits_its_visits_a_moment_later(tmp_path: Path):
    room = Room(tmp_path)
    agent = asyncio.create_task(room.agent.run())
    await until(lambda: room.store.position(ELECTRICITY.id) is not None, within_s=5)
    seen = read_log(tmp_path / "ledger.sqlite")

    await asyncio.sleep(TOGETHER_S + 0.01)

    assert seen == []
    assert read_log(tmp_path / "ledger.sqlite") != []
    agent.cancel()
    await asyncio.wait([agent])


@simulated
async def test_what_a_full_disk_takes_along_is_read_and_charged_again_as_if_it_had_not_been(
    tmp_path: Path,
):
    room = Room(tmp_path)
    room.credit("999.00")
    await room.use("100.00")
    room.store.on_gather = lambda: None
    await room.use("102.00", after_s=100)
    assert room.store.balance(PURSE) == Money.yuan("999.00")
    room.fill_disk()

    kwh = 102
    with pytest.raises(StoreFull):  # noqa: PT012
        while kwh < 130:
            kwh += 1
            await room.use(f"{kwh}.00", after_s=100)

    # All of the group is gone, and its point is to be visited at once.
    assert room.store.balance(PURSE) == Money.yuan("1000.00")
    assert not room.agent.has_slack("L1")
    room.empty_disk()
    await room.use("200.00", after_s=100)
    # 100 kWh × 0.50 = 50.00 in one charge, over all the time since the reading that is booked.
    assert room.store.balance(PURSE) == Money.yuan("950.00")
    visits = kwh - 102 + 2  # after 102.00 and the failed one
    span = room.store.history(ELECTRICITY.id).usual.now.span
    assert abs(span - timedelta(seconds=100 * visits)) < timedelta(seconds=visits)
    assert [len(charged.transfers) for charged in room.told(Charged)] == [0, 1]
    assert room.told(Alarm) == []
