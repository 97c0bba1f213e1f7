"""What stands between an empty purse and the dark, and between a credit and light."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from prepaid.point import Policy
from prepaid.reading import Supply
from prepaid.supply import Override, Why
from prepaid.wire.uplog import Alarm, AlarmKind, GatewayAlarm, SupplyChanged, Trouble
from protocols import bcd
from tests.edge.simulated import ELECTRICITY, EVENING, Room, simulated

TRIP, ALLOW_CLOSE = 0x1A, 0x1B


def commands(room: Room) -> list[int]:
    return [request[22] - 0x33 for request in room.wire.requests if request[12:14] == b"\x1c\x10"]


def room_with(tmp_path: Path, **policy: Any) -> Room:
    point = replace(ELECTRICITY, policy=Policy(**policy))
    return Room(tmp_path, points=(point,))


async def use(room: Room, total: str) -> float:
    """Shows a register and visits the point; in how many seconds it is to be visited again."""
    room.meter.show(total)
    (point,) = room.store.points().values()
    return await room.agent.visit(point)


def last_why(room: Room) -> Why:
    return room.told(SupplyChanged)[-1].why


@simulated
async def test_a_purse_found_empty_is_looked_at_once_more_before_it_is_cut(tmp_path: Path):
    room = room_with(tmp_path)
    await use(room, "100.00")
    reads = len(room.wire.requests)

    await use(room, "102.00")  # 2.00 × 0.50 = 1.00: nothing left

    assert commands(room) == [TRIP]
    before = room.wire.requests[reads:]
    assert [request[12] for request in before[:4]] == [0x11] * 4  # register and state, twice
    assert Why.UNCONFIRMED not in [told.why for told in room.told(SupplyChanged)]


@simulated
async def test_a_credit_right_after_a_cut_waits_until_the_switch_may_move_again(tmp_path: Path):
    room = room_with(tmp_path, dwell=timedelta(seconds=10))
    await use(room, "100.00")
    await use(room, "102.00")
    assert commands(room) == [TRIP]
    room.credit("20.00")

    again_s = await use(room, "102.00")

    assert commands(room) == [TRIP]
    assert last_why(room) is Why.DWELL
    assert 0 < again_s <= 10


@simulated
async def test_nobody_is_cut_under_a_large_current_and_a_person_is_told(tmp_path: Path):
    room = room_with(tmp_path, max_cut_current_a=Decimal(30), current_tries=2)
    await use(room, "100.00")
    draw(room, "31.500")

    for _ in range(3):
        await use(room, "102.00")

    assert commands(room) == []
    assert last_why(room) is Why.CURRENT
    waits = [alarm for alarm in room.told(Alarm) if alarm.alarm is AlarmKind.CUT_WAITS]
    assert [alarm.is_over for alarm in waits] == [False]
    draw(room, "2.000")
    await use(room, "102.00")
    assert commands(room) == [TRIP]
    waits = [alarm for alarm in room.told(Alarm) if alarm.alarm is AlarmKind.CUT_WAITS]
    assert [alarm.is_over for alarm in waits] == [False, True]


@simulated
async def test_a_cut_that_waits_for_the_current_is_told_once_and_not_at_each_look(tmp_path: Path):
    room = room_with(tmp_path, max_cut_current_a=Decimal(30), current_tries=2)
    await use(room, "100.00")
    draw(room, "31.500")

    for _ in range(10):
        await use(room, "102.00")

    waits = [alarm for alarm in room.told(Alarm) if alarm.alarm is AlarmKind.CUT_WAITS]
    assert len(waits) == 1
    # On with credit; then due to be cut, as the first look at the current is still to come; then it waits.
    told = [(change.wanted, change.why) for change in room.told(SupplyChanged)]
    assert told == [
        (Supply.ON, Why.CREDIT),
        (Supply.OFF, Why.NO_CREDIT),
        (None, Why.CURRENT),
    ]


@simulated
async def test_a_point_kept_supplied_by_an_operator_is_not_cut_until_the_end(tmp_path: Path):
    room = room_with(tmp_path)
    await use(room, "100.00")
    kept = Override(Supply.ON, EVENING + timedelta(hours=1), by="王工", why="病人")
    pin(room, kept)

    await use(room, "102.00")

    assert commands(room) == []
    assert last_why(room) is Why.KEPT
    room.shift = timedelta(hours=2)
    await use(room, "102.00")
    assert commands(room) == [TRIP]


@simulated
async def test_a_point_cut_off_by_an_operator_is_dark_with_credit_and_lit_when_that_ends(
    tmp_path: Path,
):
    room = room_with(tmp_path, dwell=timedelta(0))
    await use(room, "100.00")
    pin(room, Override(Supply.OFF, EVENING + timedelta(hours=1), by="王工", why="检修"))

    await use(room, "100.00")

    assert commands(room) == [TRIP]
    assert last_why(room) is Why.FORCED_OFF
    pin(room, None)
    await use(room, "100.00")
    assert commands(room) == [TRIP, ALLOW_CLOSE]


@simulated
async def test_many_empty_purses_at_once_pull_the_brake_until_a_person_releases_it(tmp_path: Path):
    # Six points in the building: five cuts within ten minutes are let through, the sixth is not.
    points = tuple(
        replace(ELECTRICITY, id=UUID(int=number), purse=UUID(int=100 + number), name=f"室 {number}")
        for number in range(1, 7)
    )
    room = Room(tmp_path, points=points)

    for point in points:  # each stands for a meter of its own, which is supplied
        room.meter.contact_open = room.meter.command_open = False
        await room.agent.visit(point)

    assert room.store.brake().is_on
    troubles = [(told.alarm, told.is_over) for told in room.told(GatewayAlarm)]
    assert troubles == [(Trouble.BRAKED, False)]
    assert last_why(room) is Why.BRAKED
    assert commands(room) == [TRIP] * 5
    with room.store.transaction():
        room.store.save_brake(room.store.brake().released())
    await room.agent.visit(points[-1])
    assert commands(room) == [TRIP] * 6


@simulated
async def test_cuts_that_a_large_current_puts_off_do_not_pull_the_brake(tmp_path: Path):
    points = tuple(
        replace(ELECTRICITY, id=UUID(int=number), purse=UUID(int=100 + number), name=f"室 {number}")
        for number in range(1, 8)
    )
    room = Room(tmp_path, points=points)
    draw(room, "31.500")

    for point in points:
        await room.agent.visit(point)

    assert commands(room) == []
    assert room.store.brake().cuts == ()
    assert not room.store.brake().is_on


def pin(room: Room, override: Override | None) -> None:
    with room.store.transaction():
        room.store.save_override(ELECTRICITY.id, override)


def draw(room: Room, amperes: str) -> None:
    room.meter.registers[0x02020100] = bcd.encode(Decimal(amperes), size=3, decimals=3)
