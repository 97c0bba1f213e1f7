"""Relays and valves, told as stories: what is commanded, how often, and what proves it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from edge.agent import Agent
from edge.clocks.clock import Clock
from edge.lines.bus import Bus
from edge.lines.pace import Pace
from prepaid.ledger import Reason, Transfer, income, prepaid
from prepaid.money import Money
from prepaid.point import Policy, Restore, ServicePoint
from prepaid.reading import Supply
from prepaid.wire.uplog import Alarm, AlarmKind, SupplyChanged
from protocols.cj188.items import Valve
from protocols.dlt645.master import RelayCommand
from tests.edge.simulated import (
    ALLOW_CLOSE,
    CLOSE,
    ELECTRICITY,
    EVENING,
    NO_DWELL,
    PURSE,
    TRIP,
    WATER,
    WATER_PURSE,
    Room,
    clock,
    commands,
    simulated,
    until,
)

BIT_4 = replace(
    ELECTRICITY,
    meter=replace(
        ELECTRICITY.meter, settings={**ELECTRICITY.meter.settings, "relay_command_bit": "no"}
    ),
)


@simulated
async def test_a_meter_that_fills_only_bit_4_is_tripped_once_armed_once_and_tripped_again(
    tmp_path: Path,
):
    room = Room(tmp_path, points=(BIT_4,))
    room.meter.status_bits = 0x0010

    async def use(total: str) -> None:
        await asyncio.sleep(60)
        room.meter.show(total)
        await room.agent.visit(BIT_4)

    def said() -> list[tuple[Supply | None, Supply | None]]:
        return [(told.supply, told.wanted) for told in room.told(SupplyChanged)]

    await use("100.00")
    for _ in range(20):
        await use("102.00")
    assert commands(room) == [TRIP]
    room.credit("20.00")
    for _ in range(20):
        await use("102.00")
    room.start(settle_s=60)  # what it was told is remembered over a restart
    await use("102.00")
    assert commands(room) == [TRIP, ALLOW_CLOSE]
    room.meter.press_key()
    await use("102.00")
    for _ in range(3):
        await use("150.00")

    assert commands(room) == [TRIP, ALLOW_CLOSE, TRIP]
    assert said() == [
        (Supply.ON, Supply.ON),
        (Supply.ON, Supply.OFF),
        (Supply.OFF, Supply.OFF),
        (Supply.OFF, Supply.ON),
        (Supply.ARMED, Supply.ON),
        (Supply.ON, Supply.ON),
        (Supply.ON, Supply.OFF),
        (Supply.OFF, Supply.OFF),
    ]
    assert [alarm.alarm for alarm in room.told(Alarm)[-2:]] == [
        AlarmKind.LOW_BALANCE,
        AlarmKind.FINAL_BALANCE,
    ]


@simulated
async def test_an_armed_meter_that_fills_only_bit_4_is_tripped_when_another_point_spends_the_credit(
    tmp_path: Path,
):
    room = Room(tmp_path, points=(BIT_4,))
    room.meter.status_bits = 0x0010
    room.meter.contact_open = room.meter.command_open = True
    await room.agent.visit(BIT_4)
    assert commands(room) == [ALLOW_CLOSE]

    with room.store.transaction():
        room.store.post(charge("1.00"))
    for _ in range(3):
        await room.agent.visit(BIT_4)

    assert commands(room) == [ALLOW_CLOSE, TRIP]
    assert room.meter.command_open
    last = room.told(SupplyChanged)[-1]
    assert (last.supply, last.wanted) == (Supply.OFF, Supply.OFF)


def charge(amount: str) -> Transfer:
    """What another point of the purse has used."""
    return Transfer(
        prepaid(PURSE), income("energy"), Money.yuan(amount), Reason.CHARGE, "other", EVENING
    )


@simulated
async def test_where_the_site_consented_a_credit_closes_the_relay_by_itself(tmp_path: Path):
    room = Room(tmp_path)
    direct = replace(ELECTRICITY, policy=Policy(restore=Restore.DIRECT, dwell=NO_DWELL))
    await room.use("100.00")
    await room.use("102.00")

    room.credit("20.00")
    await room.agent.visit(direct)

    assert commands(room) == [TRIP, CLOSE]
    assert not room.meter.contact_open


@simulated
async def test_a_valve_is_watched_until_it_has_arrived_and_commanded_once(tmp_path: Path):
    room = Room(tmp_path)
    await room.agent.visit(WATER)
    await asyncio.sleep(10)
    room.water.total = Decimal("10.25")  # 0.25 m3 × 4.00 = 1.00

    again_s = await room.agent.visit(WATER)
    moving = room.told(SupplyChanged)[-1]
    await asyncio.sleep(10)
    await room.agent.visit(WATER)
    assert room.water.valve is Valve.OPEN
    await asyncio.sleep(11)
    await room.agent.visit(WATER)

    assert again_s <= 3
    assert (moving.supply, moving.wanted) == (Supply.ON, Supply.OFF)
    assert len(room.water.commands) == 1
    off = room.told(SupplyChanged)[-1]
    assert (off.supply, off.wanted) == (Supply.OFF, Supply.OFF)
    assert off.commanded_at is not None
    assert (off.at - off.commanded_at).total_seconds() >= 20


@simulated
async def test_a_credit_during_the_valves_travel_turns_it_round(tmp_path: Path):
    room = Room(tmp_path)
    await room.agent.visit(WATER)
    await asyncio.sleep(10)
    room.water.total = Decimal("10.25")
    await room.agent.visit(WATER)

    room.credit("10.00", purse=WATER_PURSE)
    await room.agent.visit(WATER)  # the valve still shows open
    await asyncio.sleep(30)
    await room.agent.visit(WATER)

    assert [command.name for command in room.water.commands] == ["CLOSE", "OPEN"]
    assert room.water.valve is Valve.OPEN
    assert room.store.intent(WATER.id) is None


@simulated
async def test_a_stuck_relay_is_commanded_three_times_then_alarmed_once(tmp_path: Path):
    room = Room(tmp_path)
    room.meter.is_stuck = True
    await room.use("100.00")

    for _ in range(30):  # five minutes
        await room.use("102.00")

    alarms = [a for a in room.told(Alarm) if a.alarm is AlarmKind.SWITCH_FAILED]
    assert len(alarms) == 1
    # At 0, 10 and 20 s; told at 30 s; then again after 60, 120 … s: at 80 and 200 s
    assert (alarms[0].at - EVENING).total_seconds() == pytest.approx(50, abs=5)
    assert commands(room) == [TRIP] * 5
    room.meter.is_stuck = False
    for _ in range(30):
        await room.use("102.00")
    alarms = [a for a in room.told(Alarm) if a.alarm is AlarmKind.SWITCH_FAILED]
    assert [alarm.is_over for alarm in alarms] == [False, True]
    assert room.meter.contact_open


@simulated
async def test_a_refused_command_is_alarmed_at_once_and_not_hammered(tmp_path: Path):
    room = Room(tmp_path)
    room.meter.passwords = {4: "654321"}
    await room.use("100.00")

    await room.use("102.00", after_s=10)
    await room.use("102.00", after_s=10)

    (alarm,) = [a for a in room.told(Alarm) if a.alarm is AlarmKind.SWITCH_FAILED]
    assert "password wrong or not authorised" in alarm.text
    assert commands(room) == [TRIP]


@simulated
async def test_a_key_that_is_mended_is_tried_at_once(tmp_path: Path):
    wrong = {**ELECTRICITY.meter.settings, "operator": "1"}
    unkeyed = replace(ELECTRICITY, meter=replace(ELECTRICITY.meter, settings=wrong))
    room = Room(tmp_path, points=(unkeyed,))

    async def use(point: ServicePoint, total: str) -> None:
        room.meter.show(total)
        await room.agent.visit(point)
        await asyncio.sleep(5)

    await use(unkeyed, "100.00")
    await use(unkeyed, "102.00")
    assert commands(room) == []
    (alarm,) = [a for a in room.told(Alarm) if "switch" in a.alarm]
    assert (alarm.alarm, alarm.text) == (
        AlarmKind.CANNOT_SWITCH,
        "operator of meter 201709320072 must be 8 digits",
    )
    with room.store.transaction():
        room.store.save_point(ELECTRICITY)
    room.agent.take_up(ELECTRICITY.id)
    await use(ELECTRICITY, "102.00")

    assert commands(room) == [TRIP]
    assert [a.is_over for a in room.told(Alarm) if "switch" in a.alarm] == [False, True]


@simulated
async def test_a_switch_that_cannot_be_told_any_more_is_no_longer_one_that_does_not_follow(
    tmp_path: Path,
):
    room = Room(tmp_path)
    room.meter.passwords = {4: "654321"}
    await room.use("100.00")
    await room.use("102.00", after_s=10)
    bare = {k: v for k, v in ELECTRICITY.meter.settings.items() if k != "password"}
    unkeyed = replace(ELECTRICITY, meter=replace(ELECTRICITY.meter, settings=bare))
    with room.store.transaction():
        room.store.save_point(unkeyed)
    room.agent.take_up(unkeyed.id)

    await room.agent.visit(unkeyed)

    told = [(a.alarm, a.is_over) for a in room.told(Alarm) if "switch" in a.alarm]
    assert told == [
        (AlarmKind.SWITCH_FAILED, False),
        (AlarmKind.SWITCH_FAILED, True),
        (AlarmKind.CANNOT_SWITCH, False),
    ]


@simulated
async def test_a_key_that_stays_away_is_told_of_once_and_never_as_a_switch_that_does_not_follow(
    tmp_path: Path,
):
    bare = {k: v for k, v in ELECTRICITY.meter.settings.items() if k != "password"}
    unkeyed = replace(ELECTRICITY, meter=replace(ELECTRICITY.meter, settings=bare))
    room = Room(tmp_path, points=(unkeyed,))
    room.meter.show("100.00")
    await room.agent.visit(unkeyed)
    room.meter.show("102.00")

    for _ in range(30):  # an hour
        await asyncio.sleep(120)
        await room.agent.visit(unkeyed)

    assert commands(room) == []
    assert [a.alarm for a in room.told(Alarm) if "switch" in a.alarm] == [AlarmKind.CANNOT_SWITCH]
    room.credit("20.00")
    await room.agent.visit(unkeyed)
    await room.agent.visit(unkeyed)

    assert [a.is_over for a in room.told(Alarm) if "switch" in a.alarm] == [False, True]


@simulated
async def test_a_refused_command_is_tried_again_after_a_minute_not_at_the_next_poll(tmp_path: Path):
    slow = replace(
        ELECTRICITY,
        meter=replace(ELECTRICITY.meter, max_per_hour=Decimal(15)),
        policy=Policy(
            alarm_at=Money(0), final_alarm_at=Money(0), dwell=NO_DWELL
        ),  # no visit for an alarm's sake
    )
    room = Room(tmp_path, points=(slow,))
    room.start(settle_s=900)
    agent = asyncio.create_task(room.agent.run())
    await asyncio.sleep(890)
    room.meter.show("102.00")
    await until(lambda: room.meter.contact_open, within_s=900)
    room.meter.passwords = {4: "654321"}

    room.credit("20.00")
    room.agent.wake_purse(PURSE)
    await until(lambda: commands(room) == [TRIP, ALLOW_CLOSE], within_s=1)
    room.meter.passwords = {4: "123456"}
    await until(lambda: not room.meter.command_open, within_s=62)

    assert commands(room) == [TRIP, ALLOW_CLOSE, ALLOW_CLOSE]
    agent.cancel()


@simulated
async def test_a_relay_that_does_not_follow_is_commanded_again_by_the_line_itself(tmp_path: Path):
    room = Room(tmp_path)
    room.start(settle_s=900)
    agent = asyncio.create_task(room.agent.run())
    await asyncio.sleep(10)
    room.meter.is_stuck = True
    room.meter.show("103.00")
    room.agent.wake([ELECTRICITY.id])

    await asyncio.sleep(300)  # at 0, 5 and 10 s, then after 60, 120, 240 … s: at 70 and 190 s

    assert commands(room) == [TRIP] * 5
    assert [a.is_over for a in room.told(Alarm) if a.alarm is AlarmKind.SWITCH_FAILED] == [False]
    agent.cancel()


@simulated
async def test_a_valve_that_cannot_be_seen_is_closed_all_the_same_and_alarmed(tmp_path: Path):
    room = Room(tmp_path)
    agent = asyncio.create_task(room.agent.run())
    await until(lambda: room.store.position(WATER.id) is not None, within_s=2)
    room.water.move_valve = room.water.commands.append  # type: ignore[assignment,method-assign]
    room.water.valve = Valve.ABNORMAL
    room.water.total = Decimal("10.50")  # 0.50 m3 × 4.00 = 2.00 of 1.00

    def failed() -> list[Alarm]:
        return [a for a in room.told(Alarm) if a.alarm is AlarmKind.SWITCH_FAILED]

    # Three commands of 60 s each. To look is to read the whole log that waits for the cloud.
    await until(lambda: bool(failed()), within_s=4 * 62, each_s=0.5)

    assert [command.name for command in room.water.commands][:3] == ["CLOSE"] * 3
    assert failed()[0].text == "the supply cannot be read after 3 commands to go off"
    last = room.told(SupplyChanged)[-1]
    assert (last.point, last.supply, last.wanted) == (WATER.id, None, Supply.OFF)
    room.water.valve = Valve.CLOSED
    await until(lambda: room.store.intent(WATER.id) is None, within_s=61)
    assert [alarm.is_over for alarm in failed()] == [False, True]
    agent.cancel()


@simulated
async def test_a_meter_that_refuses_its_status_word_is_tripped_unseen(tmp_path: Path):
    room = Room(tmp_path)
    room.meter.shows_status = False
    await room.use("100.00")
    await room.use("102.00")

    for _ in range(3):
        await room.use("102.00")

    assert room.meter.contact_open
    assert commands(room)[-3:] == [TRIP] * 3
    alarms = [a for a in room.told(Alarm) if a.alarm is AlarmKind.SWITCH_FAILED]
    assert [alarm.is_over for alarm in alarms] == [False]
    assert alarms[0].text == "the supply cannot be read after 3 commands to go off"


@simulated
async def test_a_meter_without_switch_is_charged_and_never_commanded(tmp_path: Path):
    room = Room(tmp_path)
    await room.use("100.00")
    room.meter.is_stuck = True
    for _ in range(5):
        await room.use("102.00")
    sent = commands(room)
    bare = replace(ELECTRICITY, meter=replace(ELECTRICITY.meter, has_switch=False))

    for _ in range(20):
        await asyncio.sleep(60)
        assert await room.agent.visit(bare) == 60
    room.credit("20.00")
    await room.agent.visit(bare)

    assert commands(room) == sent == [TRIP] * 3
    alarms = [a for a in room.told(Alarm) if a.alarm is AlarmKind.SWITCH_FAILED]
    assert [alarm.is_over for alarm in alarms] == [False, True]
    assert room.store.balance(PURSE) == Money.yuan("20.00")
    assert room.store.intent(ELECTRICITY.id) is None


@simulated
@pytest.mark.parametrize("is_heard", [True, False])
async def test_a_trip_is_not_repeated_once_a_credit_has_come(tmp_path: Path, is_heard: bool):
    room = Room(tmp_path)
    agent = asyncio.create_task(room.agent.run())
    await asyncio.sleep(10)
    room.meter.show("102.00")

    def the_trip_or_its_answer_is_lost_and_a_credit_comes() -> None:
        if room.store.intent(ELECTRICITY.id) is None or room.wire.is_silent:
            return
        room.wire.before_write = lambda: None
        room.wire.is_silent = True
        if is_heard:
            room.meter.relay(RelayCommand.TRIP, 0)
        loop = asyncio.get_running_loop()
        loop.call_later(0.1, room.credit, "20.00")
        loop.call_later(0.2, setattr, room.wire, "is_silent", False)

    room.wire.before_write = the_trip_or_its_answer_is_lost_and_a_credit_comes
    room.agent.wake([ELECTRICITY.id])
    await until(lambda: ALLOW_CLOSE in commands(room), within_s=3)

    assert commands(room) == [TRIP, ALLOW_CLOSE]
    assert room.meter.contact_open is is_heard
    assert not room.meter.command_open
    agent.cancel()


@simulated
async def test_a_kill_between_intent_and_read_back_cuts_once_and_tells_it(tmp_path: Path):
    room = Room(tmp_path)
    await room.use("100.00")

    def die_after_the_command_was_sent() -> None:
        if room.store.intent(ELECTRICITY.id) is not None and commands(room):
            raise SystemExit

    room.wire.before_write = die_after_the_command_was_sent
    with pytest.raises(SystemExit):
        await room.use("102.00")
    intent = room.store.intent(ELECTRICITY.id)
    assert intent is not None
    assert intent.supply is Supply.OFF
    room.wire.before_write = lambda: None
    bus = Bus("L1", room.wire, baud=115200, delay_s=0)
    again = Agent(room.store, {"L1": bus}, Clock.of_wall(clock), Pace(settle_s=60, least_s=1))
    await again.visit(ELECTRICITY)

    assert commands(room) == [TRIP]
    last = room.told(SupplyChanged)[-1]
    assert (last.supply, last.wanted) == (Supply.OFF, Supply.OFF)
    assert room.store.intent(ELECTRICITY.id) is None
