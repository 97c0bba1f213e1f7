"""What the gateway does not decide while its clock is in doubt, what it tells of that, and what it keeps of time.

Electricity costs ¥0.50 a kWh; the purse holds ¥1.00.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from edge.clocks.clock import keeps_time, unkept
from edge.clocks.timekeeping import Timekeeper
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import Override, Why
from prepaid.wire.uplog import GatewayAlarm, SupplyChanged, Trouble
from tests.edge.simulated import ELECTRICITY, PURSE, TRIP, Room, clock, commands, simulated


class Kept(Room):
    """A room whose time service can be lost, and who watches its clock."""

    def __init__(self, folder: Path, *, is_kept: bool) -> None:
        super().__init__(folder, points=(ELECTRICITY,))
        self.is_kept = is_kept
        self.woken: list[UUID] = []
        self.starts_again()

    def starts_again(self) -> None:
        self.start(settle_s=60, system=lambda: keeps_time() if self.is_kept else unkept())
        self.keeper = Timekeeper(self.store, self.clock, wake=self.wake)

    def wake(self, points: Iterable[UUID]) -> None:
        self.woken += points

    async def watch(self, **time: float) -> None:
        """The clock is looked at for so long."""
        task = asyncio.ensure_future(self.keeper.run())
        await asyncio.sleep(timedelta(**time).total_seconds())
        task.cancel()
        await asyncio.wait([task])

    def alarms(self) -> list[bool]:
        """Of each alarm of the clock, whether it was that it is over."""
        told = self.told(GatewayAlarm)
        return [alarm.is_over for alarm in told if alarm.alarm is Trouble.CLOCK]


@simulated
async def test_a_clock_in_doubt_is_told_once_and_once_when_it_is_over(tmp_path: Path):
    room = Kept(tmp_path, is_kept=False)

    await room.watch(seconds=110)
    assert room.alarms() == []  # a time service needs a moment after a start
    await room.watch(days=2)
    assert room.alarms() == [False]
    room.is_kept = True
    await room.watch(minutes=1)

    assert room.alarms() == [False, True]


@simulated
async def test_a_clock_in_doubt_over_a_restart_is_not_told_anew(tmp_path: Path):
    room = Kept(tmp_path, is_kept=False)
    await room.watch(minutes=5)

    room.starts_again()
    await room.watch(minutes=5)

    assert room.alarms() == [False]


@simulated
async def test_nobody_is_cut_while_the_clock_is_in_doubt_and_at_once_when_it_is_not(
    tmp_path: Path,
):
    room = Kept(tmp_path, is_kept=False)
    await room.watch(seconds=10)
    await room.use("100.00")
    await room.use("103.00")  # 3.00 × 0.50 = 1.50: it is charged all the same
    assert room.store.balance(PURSE) == Money.yuan("-0.50")
    assert commands(room) == []
    assert room.told(SupplyChanged)[-1].why is Why.CLOCK

    room.is_kept = True
    await room.watch(seconds=10)
    assert room.woken == [ELECTRICITY.id]
    await room.agent.visit(ELECTRICITY)

    assert commands(room) == [TRIP]


@simulated
async def test_an_operators_cut_neither_ends_nor_begins_while_the_clock_is_in_doubt(
    tmp_path: Path,
):
    room = Kept(tmp_path, is_kept=False)
    await room.use("100.00")
    end = clock() + timedelta(hours=1)
    with room.store.transaction():
        override = Override(Supply.OFF, end, by="an operator", why="work on the line")
        room.store.save_override(ELECTRICITY.id, override)

    await room.use("100.00")
    assert commands(room) == []
    room.is_kept = True
    await room.use("100.00")

    assert commands(room) == [TRIP]


@simulated
async def test_the_last_trusted_time_is_kept_and_no_machine_goes_on_before_it(tmp_path: Path):
    room = Kept(tmp_path, is_kept=True)
    await room.watch(hours=1)
    kept = room.store.kept_time()
    assert kept is not None
    # It is saved at the start, and each 10 minutes after.
    assert clock() - timedelta(minutes=10) <= kept.told.at <= clock()

    room.is_kept, room.shift = False, timedelta(days=-7000)  # an empty battery, after a power cut
    room.starts_again()
    await asyncio.sleep(60)

    now = room.clock.now()
    assert not now.is_trusted
    assert now.at == kept.told.at + timedelta(minutes=1)


# How long ago a customer was warned.

WARNED_AT_ZERO = replace(ELECTRICITY.policy, notice=timedelta(hours=24))
POINT = replace(ELECTRICITY, policy=WARNED_AT_ZERO)


async def warned(folder: Path, *, is_kept: bool) -> Kept:
    """A customer who was given the final alarm just now, and is to be cut a day later."""
    room = Kept(folder, is_kept=is_kept)
    with room.store.transaction():
        room.store.save_point(POINT)
    room.agent.reload()
    for total in ("100.00", "102.00"):
        await look(room, total)
    return room


async def look(room: Kept, total: str, **after: float) -> None:
    await asyncio.sleep(timedelta(**after).total_seconds())
    room.meter.show(total)
    await room.agent.visit(POINT)


@simulated
async def test_a_notice_is_not_shortened_by_a_clock_that_is_put_ahead(tmp_path: Path):
    room = await warned(tmp_path, is_kept=True)

    room.shift = timedelta(days=2)
    await look(room, "102.00", hours=23)
    assert commands(room) == []
    await look(room, "102.00", hours=1)

    assert commands(room) == [TRIP]


@simulated
async def test_a_notice_goes_on_over_a_restart_where_the_clock_is_and_was_trusted(tmp_path: Path):
    room = await warned(tmp_path, is_kept=True)

    room.starts_again()
    await look(room, "102.00", hours=23)
    assert commands(room) == []
    await look(room, "102.00", hours=1)

    assert commands(room) == [TRIP]


@simulated
async def test_a_notice_that_was_given_by_a_clock_in_doubt_begins_anew_with_the_program(
    tmp_path: Path,
):
    room = await warned(tmp_path, is_kept=False)
    await asyncio.sleep(12 * 3600)

    room.is_kept = True
    room.starts_again()
    await look(room, "102.00", hours=23)
    assert commands(room) == []
    await look(room, "102.00", hours=1)

    assert commands(room) == [TRIP]
