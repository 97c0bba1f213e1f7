"""The ledger stays small, and is the last to suffer when the disk runs full."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from edge.ledger.ledger_file import StoreFull
from edge.ledger.store import Store
from edge.ledger.upkeep import Upkeep
from prepaid.ledger import Reason
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.wire.uplog import GatewayAlarm, Read, Trouble
from tests.edge.simulated import ELECTRICITY, PURSE, Room, clock, simulated
from tests.prepaid.values import read

RESERVE = 64 * 1024


class Disk:
    """How much is free on it, as far as anybody asks."""

    def __init__(self) -> None:
        self.free = 10 * RESERVE

    def __call__(self, folder: Path) -> int:
        return self.free


def upkeep(store: Store, path: Path, disk: Disk, *, kept: timedelta = timedelta(days=90)) -> Upkeep:
    return Upkeep(store, path, kept=kept, reserve_bytes=RESERVE, now=clock, free_bytes=disk)


@simulated
async def test_what_is_acknowledged_is_forgotten_after_its_time_and_no_balance_changes(
    tmp_path: Path,
):
    room = Room(tmp_path)
    store = room.store
    keeper = upkeep(store, tmp_path / "ledger.sqlite", Disk(), kept=timedelta(hours=2))
    running = asyncio.create_task(keeper.run())
    await room.use("100.00")
    await room.use("100.40")  # 0.20
    before = store.balance(PURSE)
    first = store.last_seq()
    with store.transaction():
        store.acknowledge(first)

    await asyncio.sleep(3600)
    assert store.hash_at(1) is not None
    await room.use("100.80")  # 0.20 more
    with store.transaction():
        store.acknowledge(store.last_seq())
    await asyncio.sleep(2 * 3600)

    assert store.hash_at(1) is None  # older than two hours
    assert store.hash_at(store.last_seq()) is not None
    assert store.balance(PURSE) == before - Money.yuan("0.20") == Money.yuan("0.60")
    # Credits stay, so that none is ever booked twice; the first charge is carried.
    reasons = [transfer.reason for transfer in store.transfers()]
    assert reasons == [Reason.TOP_UP, Reason.TOP_UP, Reason.CHARGE]
    assert store.check(within_s=None)
    running.cancel()


@simulated
async def test_what_is_not_acknowledged_is_kept_however_old(tmp_path: Path):
    room = Room(tmp_path)
    keeper = upkeep(room.store, tmp_path / "ledger.sqlite", Disk(), kept=timedelta(minutes=10))
    running = asyncio.create_task(keeper.run())
    await room.use("100.00")
    last = room.store.last_seq()

    await asyncio.sleep(30 * 24 * 3600)

    assert [entry.seq for entry in room.store.unacked(1000)][:last] == list(range(1, last + 1))
    running.cancel()


@simulated
async def test_a_clock_that_jumps_by_years_makes_nothing_old(tmp_path: Path):
    room = Room(tmp_path)
    keeper = upkeep(room.store, tmp_path / "ledger.sqlite", Disk(), kept=timedelta(days=90))
    await room.use("100.00")
    with room.store.transaction():
        room.store.acknowledge(room.store.last_seq())
    room.shift = timedelta(days=3650)

    await keeper.forget()
    await room.use("100.10")
    await keeper.forget()

    assert room.store.hash_at(1) is not None


@simulated
async def test_a_long_history_is_forgotten_a_few_entries_at_a_time(tmp_path: Path):
    store = Store(tmp_path / "ledger.sqlite", "GW-0001")
    keeper = upkeep(store, tmp_path / "ledger.sqlite", Disk(), kept=timedelta(minutes=10))
    with store.transaction():
        for n in range(1800):
            store.append(Read(ELECTRICITY.id, read(f"{n}.00")))
    with store.transaction():
        store.acknowledge(1800)
    await keeper.forget()
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            await asyncio.sleep(0)
            others += 1

    between = asyncio.create_task(other())
    await keeper.forget()
    between.cancel()

    assert store.hash_at(1799) is None
    assert store.hash_at(1800) is not None
    assert others >= 3  # four batches of 500, the others' turns between them
    with store.transaction():
        store.append(Read(ELECTRICITY.id, read("1.00")))
    assert store.check(within_s=None)


def fill(room: Room) -> None:
    """The file may not grow, and all room in it is used up."""
    room.fill_disk()
    with pytest.raises(StoreFull):
        write_much(room)


def write_much(room: Room) -> None:
    for n in range(10_000):
        room.credit("0.01", cause=f"filling:{'x' * 200}:{n}")


@simulated
async def test_a_full_disk_gives_up_history_first_and_money_last(tmp_path: Path):
    room = Room(tmp_path)
    store, path = room.store, tmp_path / "ledger.sqlite"
    disk = Disk()
    keeper = upkeep(store, path, disk)
    keeper.look()
    assert path.with_suffix(".reserve").stat().st_size == RESERVE
    await room.use("100.00")
    for n in range(2000):
        with store.transaction():
            store.append(Read(ELECTRICITY.id, read(f"{n}.00")))
    with store.transaction():
        store.acknowledge(store.last_seq())
    fill(room)

    # The write that found it full is lost; the reserve and the oldest history have made room for the next.
    assert not path.with_suffix(".reserve").exists()
    assert not store.keeps_readings
    assert store.hash_at(1) is None
    balance = store.balance(PURSE)
    room.credit("5.00", cause="sandbox:after")
    assert store.balance(PURSE) == balance + Money.yuan("5.00")
    reads = len(room.told(Read))
    await room.use("101.00")
    assert store.balance(PURSE) == balance + Money.yuan("4.50")
    assert len(room.told(Read)) == reads


@simulated
async def test_a_full_disk_is_an_alarm_once_and_over_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    room = Room(tmp_path)
    store, path, disk = room.store, tmp_path / "ledger.sqlite", Disk()
    keeper = upkeep(store, path, disk)
    running = asyncio.create_task(keeper.run())
    await asyncio.sleep(1)
    disk.free = RESERVE
    keeper.make_room()
    await asyncio.sleep(600)
    assert store.trouble_since(Trouble.DISK_FULL) is not None

    disk.free = 3 * RESERVE
    await asyncio.sleep(600)

    alarms = room.told(GatewayAlarm)
    assert [(alarm.alarm, alarm.is_over) for alarm in alarms] == [
        (Trouble.DISK_FULL, False),
        (Trouble.DISK_FULL, True),
    ]
    assert caplog.text.count("is full: readings are no longer kept") == 1
    assert store.keeps_readings
    assert path.with_suffix(".reserve").exists()
    running.cancel()


@simulated
async def test_where_nothing_more_can_be_written_nobody_is_charged_or_cut_and_nothing_is_lost(
    tmp_path: Path,
):
    room = Room(tmp_path)
    store = room.store
    upkeep(store, tmp_path / "ledger.sqlite", Disk())
    await room.use("100.00")
    fill(room)
    balance, told = store.balance(PURSE), store.last_seq()
    requests = len(room.wire.requests)

    # A kilowatt-hour each time: the purse is empty soon, but neither charge nor intent can be written.
    await until_full(room)
    charged = balance - store.balance(PURSE)
    assert not room.meter.contact_open
    assert store.last_seq() - told <= 10
    assert len(room.wire.requests) > requests  # it is read all the same

    room.empty_disk()
    await asyncio.sleep(10)
    room.meter.show("300.00")
    await room.agent.visit(ELECTRICITY)
    # All that passed since 100 is charged, whatever could be written meanwhile: 200 kWh at 0.50.
    assert store.balance(PURSE) == balance - Money.yuan("100.00")
    assert charged < Money.yuan("100.00")
    assert room.meter.contact_open
    assert store.check(within_s=None)


async def until_full(room: Room) -> None:
    with pytest.raises(StoreFull):
        await use_much(room)


async def use_much(room: Room) -> None:
    for kwh in range(101, 200):
        await room.use(f"{kwh}.00")


@simulated
async def test_what_is_not_kept_for_want_of_room_is_a_reading_and_nothing_else(tmp_path: Path):
    room = Room(tmp_path)
    room.store.keeps_readings = False
    await room.use("100.00")
    await room.use("102.00")  # 1.00 used up: cut

    kinds = {type(message).__name__ for message in room.up()}
    assert kinds == {"Charged", "SupplyChanged", "Alarm"}
    assert room.meter.contact_open
    row = room.store.supply(ELECTRICITY.id)
    assert row is not None
    assert row.seen is Supply.OFF
