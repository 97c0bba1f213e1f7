"""A wall clock that jumps, as it does in a gateway without battery: nothing is held, charged or sent for it.

Electricity costs ¥0.50 a kWh; the purse holds ¥1.00, and at most 15 kWh an hour can pass the meter.
"""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from edge.clocks.clock import keeps_time, unkept
from prepaid.money import Money
from prepaid.supply import Why
from prepaid.wire.downlog import TariffSet
from prepaid.wire.uplog import Alarm, AlarmKind, Read, SupplyChanged
from tests.edge.simulated import (
    ALLOW_CLOSE,
    ELECTRICITY,
    EVENING,
    POWER_TARIFF,
    PURSE,
    TRIP,
    Room,
    commands,
    simulated,
)

POINT = replace(ELECTRICITY, meter=replace(ELECTRICITY.meter, max_per_hour=Decimal(15)))


def room_of(tmp_path: Path) -> Room:
    return Room(tmp_path, points=(POINT,))


async def use(room: Room, total: str, *, after_s: float) -> None:
    await asyncio.sleep(after_s)
    room.meter.show(total)
    await room.agent.visit(POINT)


def is_held(room: Room) -> bool:
    doubts = [a for a in room.told(Alarm) if a.alarm is AlarmKind.IMPLAUSIBLE]
    return bool(doubts) or room.told(SupplyChanged)[-1].why is Why.HELD


@simulated
async def test_a_clock_a_year_ahead_that_is_put_right_holds_nothing(tmp_path: Path):
    room = room_of(tmp_path)
    room.shift = timedelta(days=365)
    await use(room, "100.00", after_s=0)

    room.shift = timedelta(0)
    await use(room, "105.00", after_s=3600)  # 5.00 × 0.50 = 2.50

    assert room.store.balance(PURSE) == Money.yuan("-1.50")
    assert commands(room) == [TRIP]
    assert not is_held(room)
    assert room.told(Read)[-1].reading.at < EVENING + timedelta(hours=2)


@simulated
async def test_a_clock_that_is_put_back_by_minutes_is_told_once_and_once_when_it_is_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    room = room_of(tmp_path)
    await use(room, "100.00", after_s=0)

    room.shift = -timedelta(minutes=14, seconds=50)
    for total in ("100.50", "101.00", "101.50"):
        await use(room, total, after_s=900)

    assert not is_held(room)
    assert room.store.balance(PURSE) == Money.yuan("0.25")  # 1.50 × 0.50 = 0.75
    said = [r.getMessage() for r in caplog.records if r.name == "edge.clocks.clock"]
    assert len(said) == 0  # 900 s later the clock, 890 s behind, is ahead of all that was told
    room.shift = -timedelta(hours=1)
    for total in ("101.60", "101.70", "101.80", "101.90", "102.00"):
        await use(room, total, after_s=900)
    said = [r.getMessage() for r in caplog.records if r.name == "edge.clocks.clock"]
    assert ["went back" in text for text in said] == [True, False]
    assert "is past" in said[1]


@simulated
async def test_a_clock_that_jumps_ahead_makes_no_impossible_reading_possible(tmp_path: Path):
    room = room_of(tmp_path)
    await use(room, "100.00", after_s=0)

    room.shift = timedelta(days=365)
    await use(room, "900.00", after_s=60)

    assert is_held(room)
    assert room.store.balance(PURSE) == Money.yuan("1.00")


@simulated
async def test_after_a_restart_the_wall_clock_tells_how_long_it_was(tmp_path: Path):
    room = room_of(tmp_path)
    await use(room, "100.00", after_s=0)

    room.start(settle_s=60)
    await use(room, "130.00", after_s=2 * 3600)  # 15 kWh an hour, all the meter can
    assert not is_held(room)
    room.start(settle_s=60)
    await use(room, "161.00", after_s=2 * 3600)

    assert is_held(room)


@simulated
async def test_a_clock_that_went_back_over_a_restart_is_taken_for_a_day(tmp_path: Path):
    room = room_of(tmp_path)
    await use(room, "100.00", after_s=0)
    room.shift = -timedelta(days=20_000)
    room.start(settle_s=60)

    await use(room, "101.00", after_s=60)
    assert not is_held(room)
    assert room.store.balance(PURSE) == Money.yuan("0.50")
    room.shift = -timedelta(days=30_000)
    room.start(settle_s=60)
    await use(room, "462.00", after_s=60)  # 361 kWh; 24 × 15 = 360 in a day

    assert is_held(room)


@simulated
async def test_a_register_that_jumped_stays_held_though_the_clock_went_back(tmp_path: Path):
    room = room_of(tmp_path)
    await use(room, "100.00", after_s=0)

    room.shift = -timedelta(hours=1)
    await use(room, "130.00", after_s=900)
    room.shift = timedelta(0)
    await use(room, "130.00", after_s=3 * 3600)  # with time enough the jump would be possible

    assert room.told(SupplyChanged)[-1].why is Why.HELD
    assert room.store.balance(PURSE) == Money.yuan("1.00")


@simulated
async def test_no_jump_of_the_clock_hurries_or_delays_the_next_command(tmp_path: Path):
    room = room_of(tmp_path)
    room.meter.passwords = {4: "654321"}
    await use(room, "100.00", after_s=0)
    await use(room, "102.00", after_s=900)
    assert commands(room) == [TRIP]

    room.shift = timedelta(days=365)
    await use(room, "102.00", after_s=30)
    assert commands(room) == [TRIP]  # 60 s are to pass after a refusal
    room.shift = -timedelta(days=365)
    await use(room, "102.00", after_s=20)
    assert commands(room) == [TRIP]
    await use(room, "102.00", after_s=11)

    assert commands(room) == [TRIP, TRIP]


@simulated
async def test_no_jump_of_the_clock_makes_the_wait_for_the_button_longer_or_shorter(
    tmp_path: Path,
):
    room = room_of(tmp_path)
    await use(room, "100.00", after_s=0)
    await use(room, "102.00", after_s=900)
    room.credit("20.00")
    await use(room, "102.00", after_s=0)
    assert commands(room) == [TRIP, ALLOW_CLOSE]

    room.shift = timedelta(days=365)
    assert await room.agent.visit(POINT) == 5
    room.shift = -timedelta(days=365)
    await asyncio.sleep(601)

    assert await room.agent.visit(POINT) == 60


@simulated
async def test_a_clock_that_is_put_back_tells_an_unchanged_reading_once_a_minute_all_the_same(
    tmp_path: Path,
):
    room = room_of(tmp_path)

    for _ in range(13):  # 0 to 120 s
        await use(room, "100.00", after_s=10)
        room.shift -= timedelta(minutes=1)

    assert len(room.told(Read)) == 3


@simulated
async def test_a_clock_that_is_set_by_decades_charges_no_fixed_fees_for_them(tmp_path: Path):
    room = room_of(tmp_path)
    with room.store.transaction():
        room.store.save_tariff(with_fee(POWER_TARIFF))
    room.credit("20.00")
    room.shift = datetime(1970, 1, 1, tzinfo=UTC) - EVENING  # no battery: the clock begins in 1970
    await use(room, "100.00", after_s=0)

    room.shift = timedelta(0)  # and is set by the network
    await use(room, "100.00", after_s=900)

    # A quarter of an hour of ¥9.60 a day is ¥0.10.
    assert room.store.balance(PURSE) == Money.yuan("20.90")
    room.shift = timedelta(days=73 * 365)
    await use(room, "100.00", after_s=900)
    room.shift = timedelta(0)
    await use(room, "100.00", after_s=900)
    assert room.store.balance(PURSE) == Money.yuan("20.70")
    assert commands(room) == []


@simulated
async def test_nobody_is_cut_by_a_clock_that_was_never_set(tmp_path: Path):
    room = room_of(tmp_path)
    room.shift = datetime(1970, 1, 1, tzinfo=UTC) - EVENING
    room.start(settle_s=60, system=lambda: unkept() if room.shift else keeps_time())
    await use(room, "100.00", after_s=0)
    await use(room, "102.00", after_s=900)  # 2.00 × 0.50 = 1.00: nothing left

    assert commands(room) == []
    assert room.told(SupplyChanged)[-1].why is Why.CLOCK
    room.shift = timedelta(0)
    await use(room, "102.00", after_s=900)
    assert commands(room) == [TRIP]


def with_fee(message: TariffSet) -> TariffSet:
    """The tariff with a fixed fee of ¥9.60 a day beside its price."""
    document = copy.deepcopy(dict(message.document))
    fee = {"item": "service", "kind": "fixed", "amount": "9.60", "per": "day"}
    document["versions"][0]["components"].append(fee)
    return TariffSet(document)
