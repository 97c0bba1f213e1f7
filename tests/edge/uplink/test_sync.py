"""The two logs over a link that loses, doubles and reorders."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edge.uplink.sync import MOST_BYTES
from prepaid.money import Money
from prepaid.supply import Why
from prepaid.wire.downlog import Credited
from prepaid.wire.entry import Cursor
from prepaid.wire.envelope import Envelope, pack
from prepaid.wire.uplog import Alarm, AlarmKind, SupplyChanged
from simulators.clock import SimulatedLoop
from tests.edge.simulated import (
    ELECTRICITY,
    EVENING,
    PURSE,
    Room,
    clock,
    simulated,
    top_up,
    until,
)
from tests.edge.uplink.other_end import Cloud, applied, note


@simulated
async def test_entries_go_up_in_order_once_the_link_is_there_and_are_not_sent_again(
    tmp_path: Path,
):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    note(room, 450)
    await asyncio.sleep(60)
    assert cloud.received == []

    cloud.connect()
    await until(lambda: room.store.acked() == 450, within_s=2)

    assert [entry.seq for entry in cloud.applied] == list(range(1, 451))
    assert [len(e.entries) for e in cloud.received if e.entries] == [200, 200, 50]
    running.cancel()


@simulated
async def test_a_batch_stays_under_the_brokers_limit(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    changed = SupplyChanged(ELECTRICITY.id, EVENING, None, None, Why.HELD, None)
    long = Alarm(ELECTRICITY.id, EVENING, AlarmKind.SILENT, is_over=False, text='"' * 3000)
    with room.store.transaction():
        room.store.append(changed)
        for _ in range(199):
            room.store.append(long)

    cloud.connect()
    await until(lambda: room.store.acked() == 200, within_s=5)

    assert max(len(pack(envelope)) for envelope in cloud.received) <= MOST_BYTES
    running.cancel()


@simulated
async def test_what_is_not_acknowledged_is_sent_again_after_five_seconds(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    cloud.answers = False
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()
    note(room, 1)

    await asyncio.sleep(12)

    assert [e.entries[0].seq for e in cloud.received if e.entries] == [1, 1, 1]
    running.cancel()


@simulated
async def test_a_quiet_gateway_shows_every_half_minute_that_it_is_there(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()

    await asyncio.sleep(95)

    said = [replace(envelope, nonce=None) for envelope in cloud.received]
    assert said == [Envelope((), None, room.store.log)] * 4  # at once, and after 30, 60 and 90 s
    running.cancel()


@simulated
@pytest.mark.parametrize("begin", [random.Random(n).uniform(0, 30) for n in range(20)])
async def test_at_whatever_instant_it_begins_the_next_word_is_said_once_and_waited_for(
    tmp_path: Path, begin: float
):
    # x + 30 - x is less than 30 for some x: then the time had come, and nothing was due.
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    loop.begin_at(begin)
    room = Room(tmp_path)
    cloud = Cloud(room)
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()

    await asyncio.sleep(95)

    assert len(cloud.received) == 4  # at once, and after 30, 60 and 90 s
    running.cancel()


@simulated
async def test_a_greeting_is_repeated_until_the_cloud_answers(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    cloud.answers = False
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()

    await asyncio.sleep(10)

    assert len(cloud.received) == 4  # at once, and after 1, 3 and 7 s
    running.cancel()


@simulated
async def test_whatever_the_link_does_each_entry_is_applied_once_on_either_side(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    cloud.mishap = random.Random(7)
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()

    for n in range(40):
        note(room, n % 3)
        cloud.write(Credited(top_up("1.00", cause=f"sandbox:story:{n}")))
        await asyncio.sleep(2)
        if n % 10 == 9:
            cloud.is_up = False
            cloud.sync.link_changed()
            await asyncio.sleep(3)
            cloud.connect()
    cloud.mishap = None
    cloud.say()
    await until(lambda: cloud.theirs == Cursor(cloud.log, 40), within_s=60)
    await until(lambda: room.store.acked() == room.store.last_seq(), within_s=60)

    assert room.store.balance(PURSE) == Money.yuan("41.00")  # 1.00 it had, and forty
    assert [entry.seq for entry in cloud.applied] == list(range(1, room.store.last_seq() + 1))
    running.cancel()


@simulated
async def test_the_clouds_time_is_told_with_the_time_its_answer_took(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    cloud.clock = lambda: clock() + timedelta(hours=1)
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()
    await asyncio.sleep(1)

    # Said at 0 s, answered at once, and 10 ms on the way.
    assert cloud.times == [(EVENING + timedelta(hours=1), timedelta(seconds=0.01))]
    running.cancel()


@simulated
async def test_an_answer_that_took_long_tells_no_time_and_acknowledges_all_the_same(tmp_path: Path):
    room = Room(tmp_path)
    cloud = Cloud(room)
    late = cloud.carry
    cloud.carry = lambda payload: asyncio.get_running_loop().call_later(31, late, payload)  # type: ignore[method-assign,assignment,return-value]
    running = asyncio.create_task(cloud.sync.run())
    cloud.connect()
    note(room, 3)
    await asyncio.sleep(60)

    assert cloud.received
    assert cloud.times == []
    assert room.store.acked() == 3
    running.cancel()


@simulated
async def test_another_log_than_the_one_followed_is_refused(tmp_path: Path):
    room = await applied(tmp_path, Credited(top_up("20.00")))
    cloud = Cloud(room)  # a second cloud with its own log, and even the key
    running = asyncio.create_task(cloud.sync.run())

    cloud.write(Credited(top_up("50.00", cause="sandbox:other")))
    cloud.theirs = None
    cloud.say()
    await asyncio.sleep(1)

    assert room.store.balance(PURSE) == Money.yuan("21.00")
    running.cancel()
