"""The cloud asks for money out of a purse: it is booked where it is there, refused where it is not, and told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from edge.ledger.rows import Lending, SupplyRow
from edge.ledger.store import Hold
from prepaid.ledger import Book, Reason, Transfer, prepaid, returning
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import Why
from prepaid.wire.downlog import Carried, Credited, Debited, Down, Resumed, Withdraw
from prepaid.wire.uplog import AlarmKind, Refusal, Withdrawn
from tests.edge.simulated import (
    ELECTRICITY,
    EVENING,
    PURSE,
    Room,
    simulated,
    top_up,
    until,
)
from tests.edge.uplink.other_end import Cloud


def refund(yuan: str, number: int = 1, *, is_unread_too: bool = False) -> Withdraw:
    transfer = Transfer(
        debit=prepaid(PURSE),
        credit=returning("cash"),
        amount=Money.yuan(yuan),
        reason=Reason.REFUND,
        cause=f"refund-{number}",
        at=EVENING,
    )
    return Withdraw(transfer, number, is_unread_too)


@asynccontextmanager
async def connected(folder: Path, messages: Sequence[Down]) -> AsyncIterator[tuple[Room, Cloud]]:
    """A gateway that has applied the messages. Both of its purses held ¥1.00."""
    room = Room(folder)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    for message in messages:
        cloud.write(message)
    cloud.connect()
    await until(lambda: _applied(room) == len(messages), within_s=2)
    try:
        yield room, cloud
    finally:
        running.cancel()


def _applied(room: Room) -> int:
    cursor = room.store.cursor()
    return cursor.seq if cursor is not None else 0


def outcomes(room: Room) -> list[tuple[str, Refusal | None, str]]:
    """Of each answer what was asked for, why it was refused, and what was left."""
    return [
        (str(told.transfer.amount), told.refusal, str(told.left)) for told in room.told(Withdrawn)
    ]


@simulated
async def test_what_the_purse_holds_is_taken_out_and_told_with_what_is_left(tmp_path: Path):
    # 1.00 + 20.00 - 15.00 = 6.00
    async with connected(tmp_path, [Credited(top_up("20.00")), refund("15.00")]) as (room, cloud):
        assert room.store.balance(PURSE) == Money.yuan("6.00")
        assert outcomes(room) == [("15.00", None, "6.00")]
        await until(lambda: len(cloud.applied) > 0, within_s=2)


@simulated
async def test_the_last_fen_may_be_taken_and_not_one_more(tmp_path: Path):
    async with connected(tmp_path, [refund("1.01", 1), refund("1.00", 2)]) as (room, _):
        assert outcomes(room) == [("1.01", Refusal.SHORT, "1.00"), ("1.00", None, "0.00")]


@simulated
async def test_what_was_used_meanwhile_is_not_paid_out_a_second_time(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    room.credit("20.00")
    await room.use("100.00")
    # The internet is away. The office sees 21.00; 22 kWh at 0.50 are 11.00, so 10.00 are left.
    await room.use("122.00")

    cloud.write(refund("21.00"))
    cloud.connect()
    await until(lambda: bool(room.told(Withdrawn)), within_s=2)

    assert outcomes(room) == [("21.00", Refusal.SHORT, "10.00")]
    assert room.store.balance(PURSE) == Money.yuan("10.00")
    running.cancel()


@simulated
async def test_credit_that_is_lent_is_not_paid_out(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    with room.store.transaction():
        room.store.save_lent(PURSE, Lending(EVENING, "gateway"))

    cloud.write(refund("1.01"))
    cloud.connect()
    await until(lambda: bool(room.told(Withdrawn)), within_s=2)

    assert outcomes(room) == [("1.01", Refusal.SHORT, "1.00")]
    running.cancel()


@simulated
@pytest.mark.parametrize(
    ("seen", "is_unread_too", "refusal"),
    [
        (Supply.ON, False, Refusal.UNREAD),
        (Supply.ARMED, False, Refusal.UNREAD),
        (None, False, Refusal.UNREAD),
        (Supply.OFF, False, None),  # nothing flows, so nothing is missing
        (Supply.ON, True, None),  # a person has read it
    ],
)
async def test_while_a_meter_is_silent_nothing_is_paid_out_unless_it_was_off_or_a_person_says_so(
    tmp_path: Path, seen: Supply | None, is_unread_too: bool, refusal: Refusal | None
):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    with room.store.transaction():
        room.store.save_alarm(ELECTRICITY.id, AlarmKind.SILENT, EVENING)
        room.store.save_supply(ELECTRICITY.id, SupplyRow(seen, seen, Why.CREDIT, None))

    cloud.write(refund("0.50", is_unread_too=is_unread_too))
    cloud.connect()
    await until(lambda: bool(room.told(Withdrawn)), within_s=2)

    assert [refused for _, refused, _ in outcomes(room)] == [refusal]
    running.cancel()


@simulated
async def test_a_withdrawal_that_comes_again_is_answered_again_in_the_same_way(tmp_path: Path):
    # The cloud's database was put back, and its entries have other numbers: one was booked, one refused.
    messages = [refund("0.60", 1), refund("0.60", 2), Credited(top_up("20.00"))]
    async with connected(tmp_path, [*messages, *messages[:2]]) as (room, _):
        assert room.store.balance(PURSE) == Money.yuan("20.40")
        assert outcomes(room) == [("0.60", None, "0.40"), ("0.60", Refusal.SHORT, "0.40")] * 2


@simulated
async def test_one_id_with_two_contents_is_kept_and_not_applied(tmp_path: Path):
    async with connected(tmp_path, [refund("0.10", 1), refund("0.20", 1)]) as (room, _):
        assert room.store.balance(PURSE) == Money.yuan("0.90")
        assert [seq for seq, _ in room.store.rejected()] == [2]


@simulated
@pytest.mark.parametrize(
    "transfer",
    [
        Transfer(prepaid(PURSE), Book("Income:energy"), Money(1), Reason.CHARGE, "c", EVENING),
        Transfer(prepaid(PURSE), prepaid(uuid4()), Money(1), Reason.MOVE, "c", EVENING),
        Transfer(returning("cash"), Book("Income:x"), Money(1), Reason.REFUND, "c", EVENING),
    ],
    ids=["a charge", "into another purse", "out of no purse"],
)
async def test_what_is_no_withdrawal_is_kept_and_not_applied(tmp_path: Path, transfer: Transfer):
    async with connected(tmp_path, [Withdraw(transfer, 1)]) as (room, _):
        assert room.store.balance(PURSE) == Money.yuan("1.00")
        assert len(room.store.rejected()) == 1
        assert room.told(Withdrawn) == []


@simulated
async def test_what_the_customer_loses_by_it_is_cut_without_waiting_for_the_round(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    await room.use("100.00")
    running = asyncio.create_task(cloud.sync.run())
    serving = asyncio.create_task(room.agent.run())
    await asyncio.sleep(5)
    assert not room.meter.contact_open

    cloud.write(refund("1.00"))
    cloud.connect()

    await until(lambda: room.meter.contact_open, within_s=10)
    running.cancel()
    serving.cancel()


@simulated
async def test_a_store_that_takes_over_decides_nothing_and_books_what_the_other_had_booked(
    tmp_path: Path,
):
    room = Room(tmp_path)
    room.store.begin_again(instead_of=UUID(int=1), why="set-aside", now=EVENING)
    log = room.store.log
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    booked, refused, open_ = refund("5.00", 1), refund("30.00", 2), refund("12.00", 3)
    # 20.00 came, 5.00 went back, 4.00 were used: 11.00 are left, and 12.00 are too much.
    for message in (
        Credited(top_up("20.00"), 1),
        booked,
        refused,
        open_,
        Carried(log, PURSE, Money.yuan("4.00")),
        Debited(UUID(int=9), refund("9.00", 9).transfer),  # said to another store
        Debited(log, booked.transfer),
        Resumed(log),
        open_,
        booked,
    ):
        cloud.write(message)
    cloud.connect()

    await until(lambda: _applied(room) == 10, within_s=5)

    assert room.store.hold is not Hold.REBUILDING
    assert room.store.balance(PURSE) == Money.yuan("11.00")
    assert outcomes(room) == [("12.00", Refusal.SHORT, "11.00"), ("5.00", None, "11.00")]
    running.cancel()


@simulated
@pytest.mark.parametrize("seed", range(3))
async def test_whatever_the_link_does_each_is_booked_once_and_never_beyond_the_balance(
    tmp_path: Path, seed: int
):
    dice = random.Random(seed)
    room = Room(tmp_path)
    cloud = Cloud(room)
    cloud.mishap = random.Random(seed)
    running = asyncio.create_task(cloud.sync.run())
    balance, expected = 100, []
    for number in range(1, 21):
        if dice.random() < 0.4:
            credit = dice.randint(1, 300)
            balance += credit
            cloud.write(Credited(top_up(str(Money(credit)), cause=f"sandbox:{seed}-{number}")))
        asked = dice.randint(1, 200)
        cloud.write(refund(str(Money(asked)), number))
        expected.append(None if asked <= balance else Refusal.SHORT)
        balance -= asked if asked <= balance else 0
    cloud.connect()

    await until(lambda: _applied(room) == len(cloud.entries), within_s=600)

    assert [told.refusal for told in room.told(Withdrawn)] == expected
    assert room.store.balance(PURSE) == Money(balance)
    await asyncio.sleep(timedelta(minutes=2).total_seconds())
    assert len(cloud.applied) >= 20  # told, in spite of it all
    running.cancel()
