"""Meters that do not answer, cannot be asked, or whose line is away: how often they are tried, and what is told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from prepaid.money import Money
from prepaid.wire.uplog import Alarm, AlarmKind, Read
from tests.edge.simulated import (
    ELECTRICITY,
    PURSE,
    WATER,
    Room,
    simulated,
    until,
)


def asked(room: Room, address: str) -> int:
    """How many requests a DL/T 645 meter was sent."""
    return sum(bytes.fromhex(address)[::-1] in request for request in room.wire.requests)


@simulated
async def test_a_silent_meter_is_alarmed_once_and_once_when_it_answers(tmp_path: Path):
    room = Room(tmp_path)
    await room.use("100.00")

    room.wire.is_silent = True
    pauses = [await room.use("100.00") for _ in range(5)]
    room.wire.is_silent = False
    await room.use("100.10")

    silent = [a for a in room.told(Alarm) if a.alarm is AlarmKind.SILENT]
    assert [alarm.is_over for alarm in silent] == [False, True]
    assert pauses == [1, 2, 4, 8, 16]
    # What passed unseen is charged: 0.10 × 0.50 = 0.05
    assert room.store.balance(PURSE) == Money.yuan("0.95")


@simulated
async def test_a_dead_meter_is_asked_once_each_time_and_seldom_while_the_others_are_read_as_ever(
    tmp_path: Path,
):
    dead = replace(
        ELECTRICITY, id=UUID(int=7), meter=replace(ELECTRICITY.meter, address="000000000007")
    )
    room = Room(tmp_path, [ELECTRICITY, WATER, dead])
    room.start(settle_s=1)
    agent = asyncio.create_task(room.agent.run())

    await asyncio.sleep(130)

    # Three requests in the first visit and one in the second, then one each after 2, 4, 8, 16, 32, 32 ... rounds
    # of 1 s: 7 of them until 130 s, after 3, 7, 15, 31, 63, 95 and 127 s; 4 if slack is never there.
    assert 4 + 4 <= asked(room, "000000000007") <= 4 + 7
    assert asked(room, ELECTRICITY.meter.address) > 2 * 80
    agent.cancel()


@simulated
async def test_a_dead_meter_that_answers_again_is_read_as_the_others_at_once(tmp_path: Path):
    room = Room(tmp_path)
    room.start(settle_s=1)
    room.wire.meters.remove(room.meter)
    agent = asyncio.create_task(room.agent.run())
    await asyncio.sleep(70)
    room.wire.meters.append(room.meter)

    await until(lambda: ELECTRICITY.id in {r.point for r in room.told(Read)}, within_s=65)
    before = asked(room, ELECTRICITY.meter.address)
    await asyncio.sleep(10)

    # Each visit asks for the register and the status word.
    assert asked(room, ELECTRICITY.meter.address) >= before + 2 * 8
    agent.cancel()


@simulated
async def test_a_credit_for_a_dead_meter_is_tried_at_once(tmp_path: Path):
    room = Room(tmp_path)
    room.start(settle_s=1)
    room.wire.meters.remove(room.meter)
    agent = asyncio.create_task(room.agent.run())
    await asyncio.sleep(70)
    room.wire.meters.append(room.meter)

    room.agent.wake_purse(PURSE)

    await until(lambda: ELECTRICITY.id in {r.point for r in room.told(Read)}, within_s=2)
    agent.cancel()


@simulated
async def test_another_meter_in_the_place_of_a_dead_one_is_not_held_for_dead(tmp_path: Path):
    room = Room(tmp_path)
    room.wire.meters.remove(room.meter)
    for _ in range(3):
        await room.use("100.00")
    changed = replace(ELECTRICITY, meter=replace(ELECTRICITY.meter, meter_no="201709320073"))
    with room.store.transaction():
        room.store.save_point(changed)
    room.agent.take_up(ELECTRICITY.id)
    asked = len(room.wire.requests)

    await room.agent.visit(changed)

    assert len(room.wire.requests) == asked + 3


@simulated
async def test_a_line_that_is_away_is_logged_once_and_its_meters_alarmed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    room = Room(tmp_path)
    room.wire.is_away = True
    agent = asyncio.create_task(room.agent.run())

    await asyncio.sleep(120)
    room.wire.is_away = False
    await until(lambda: len(room.told(Read)) >= 2, within_s=35)

    silent = [(a.point, a.is_over) for a in room.told(Alarm) if a.alarm is AlarmKind.SILENT]
    assert sorted(silent) == [
        (ELECTRICITY.id, False),
        (ELECTRICITY.id, True),
        (WATER.id, False),
        (WATER.id, True),
    ]
    messages = [record.getMessage() for record in caplog.records]
    assert (
        sum("/dev/ttyUSB0 cannot be opened" in message for message in messages) == 3
    )  # and alarms
    assert sum("its meters wait" in message for message in messages) == 1
    assert sum("is served again" in message for message in messages) == 1
    agent.cancel()


@simulated
async def test_a_meter_without_driver_or_line_is_alarmed_and_the_others_are_served(
    tmp_path: Path,
):
    room = Room(tmp_path)
    strange = replace(WATER, meter=replace(WATER.meter, protocol="mbus"))
    with room.store.transaction():
        room.store.save_point(strange)

    room.agent.reload()
    agent = asyncio.create_task(room.agent.run())
    await until(lambda: len(room.told(Read)) == 1, within_s=5)

    (alarm,) = room.told(Alarm)
    assert (alarm.point, alarm.text) == (WATER.id, "there is no driver for mbus")
    assert alarm.alarm is AlarmKind.WRONG_ENTRY
    agent.cancel()


@simulated
async def test_a_meter_that_cannot_be_asked_as_it_is_entered_is_not_called_silent(tmp_path: Path):
    room = Room(tmp_path)
    agent = asyncio.create_task(room.agent.run())
    wrong = replace(WATER, meter=replace(WATER.meter, settings={"di_order": "backwards"}))
    dead = replace(WATER, meter=replace(WATER.meter, address="78330011229999"))
    for point in (wrong, dead, WATER):  # as the office enters it, and mends it twice
        with room.store.transaction():
            room.store.save_point(point)
        room.agent.take_up(WATER.id)
        await asyncio.sleep(60)

    text = 'di_order of meter 78330011223344 must be "high-first" or "low-first"'
    told = [each for each in room.told(Alarm) if each.point == WATER.id]
    assert [(each.alarm.value, each.is_over) for each in told] == [
        ("wrong-entry", False),
        ("wrong-entry", True),
        ("silent", False),
        ("silent", True),
    ]
    assert told[0].text == text
    agent.cancel()
