"""Visits, told as stories: electricity costs ¥0.50 a kWh and water ¥4.00 a m3; both purses hold ¥1.00."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from edge.agent import Agent
from edge.clocks.clock import Clock
from edge.ledger.ledger_file import StoreFull
from edge.lines.bus import Bus
from edge.lines.pace import Pace
from prepaid.ledger import Reason, Transfer, credit_balance, income, prepaid
from prepaid.money import Money
from prepaid.point import Policy, Restore, ServicePoint
from prepaid.reading import Supply
from prepaid.supply import Why
from prepaid.wire import Alarm, AlarmKind, Charged, Read, SupplyChanged
from protocols.cj188.items import Valve
from protocols.dlt645.master import RelayCommand
from tests.edge.simulated import (
    ELECTRICITY,
    EVENING,
    NO_DWELL,
    PURSE,
    WATER,
    WATER_PURSE,
    Room,
    clock,
    simulated,
    tariff,
    until,
)

TRIP, ALLOW_CLOSE, CLOSE = 0x1A, 0x1B, 0x1C


def asked(room: Room, address: str) -> int:
    """How many requests a DL/T 645 meter was sent."""
    return sum(bytes.fromhex(address)[::-1] in request for request in room.wire.requests)


def commands(room: Room) -> list[int]:
    """What relay commands were sent: N1 stands 33H higher, 8 bytes after control and length."""
    return [request[22] - 0x33 for request in room.wire.requests if request[12:14] == b"\x1c\x10"]


@simulated
async def test_the_first_reading_opens_the_position_and_charges_nothing(tmp_path: Path):
    room = Room(tmp_path)

    await room.agent.visit(ELECTRICITY)

    assert room.store.balance(PURSE) == Money.yuan("1.00")
    (opened,) = room.told(Charged)
    assert opened.transfers == ()
    assert opened.position.reading.total == Decimal("100.00")
    (read,) = room.told(Read)
    assert read.reading.supply is Supply.ON


@simulated
async def test_a_purse_runs_to_zero_is_cut_and_the_open_contact_is_read_back(tmp_path: Path):
    room = Room(tmp_path)
    await room.use("100.00")

    # 1.20 kWh × 0.50 = 0.60, leaves 0.40; 0.81 kWh more: 2.01 × 0.50 = 1.005 → 1.01 in all, leaves -0.01
    await room.use("101.20")
    assert room.store.balance(PURSE) == Money.yuan("0.40")
    assert not room.meter.contact_open
    await room.use("102.01")

    assert room.store.balance(PURSE) == Money.yuan("-0.01")
    assert room.meter.contact_open
    assert commands(room) == [TRIP]
    last = room.told(SupplyChanged)[-1]
    assert (last.supply, last.wanted, last.why) == (Supply.OFF, Supply.OFF, Why.NO_CREDIT)
    assert last.commanded_at is not None
    assert last.commanded_at <= last.at
    assert room.store.intent(ELECTRICITY.id) is None
    # Every book adds up: 1.00 in, 0.60 and 0.41 out.
    transfers = room.store.transfers()
    assert credit_balance(prepaid(PURSE), transfers) == Money.yuan("-0.01")
    told = [transfer for charged in room.told(Charged) for transfer in charged.transfers]
    assert [transfer.amount for transfer in told] == [Money.yuan("0.60"), Money.yuan("0.41")]


@simulated
async def test_a_credit_arms_the_meter_and_the_button_brings_the_light(tmp_path: Path):
    room = Room(tmp_path)
    await room.use("100.00")
    await room.use("102.00")
    assert room.meter.contact_open

    room.credit("20.00")
    again_s = await room.use("102.00")
    armed = room.told(SupplyChanged)[-1]
    room.meter.press_key()
    await room.use("102.00")

    assert commands(room) == [TRIP, ALLOW_CLOSE]
    assert (armed.supply, armed.wanted, armed.why) == (Supply.ARMED, Supply.ON, Why.CREDIT)
    assert again_s <= 5  # the button is waited for
    on = room.told(SupplyChanged)[-1]
    assert (on.supply, on.wanted) == (Supply.ON, Supply.ON)
    assert on.commanded_at == armed.commanded_at  # the command that led here


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
async def test_the_line_serves_itself_a_purse_is_cut_and_a_credit_wakes_it(tmp_path: Path):
    # Nothing here but meters and ledger: no broker, no cloud.
    room = Room(tmp_path)
    agent = asyncio.create_task(room.agent.run())
    await until(lambda: room.store.position(ELECTRICITY.id) is not None, within_s=5)

    await asyncio.sleep(1)
    room.meter.show("103.00")
    await until(lambda: room.meter.contact_open, within_s=61)
    room.credit("20.00")
    room.agent.wake_purse(PURSE)
    await until(lambda: not room.meter.command_open, within_s=1)
    room.meter.press_key()
    on = (Supply.ON, Supply.ON)
    await until(
        lambda: (last := room.told(SupplyChanged)[-1]) and (last.supply, last.wanted) == on,
        within_s=6,
    )

    assert room.store.balance(PURSE) == Money.yuan("19.50")
    agent.cancel()


@simulated
async def test_two_agreeing_reads_come_before_a_cut(tmp_path: Path):
    room = Room(tmp_path)
    await room.use("100.00")
    await asyncio.sleep(10)
    room.meter.show("102.00")

    def the_second_read_is_garbled() -> None:
        if len(room.wire.requests) == 4:  # energy and status of the first read are 3 and 4
            room.meter.show("50.00")

    room.wire.before_write = the_second_read_is_garbled
    await room.agent.visit(ELECTRICITY)

    assert not room.meter.contact_open
    assert commands(room) == []
    assert room.told(SupplyChanged)[-1].why is Why.HELD


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
    with room.store.transaction():
        room.store.save_point(ELECTRICITY)
    room.agent.take_up(ELECTRICITY.id)
    await use(ELECTRICITY, "102.00")

    assert commands(room) == [TRIP]


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
async def test_a_point_without_tariff_is_alarmed_once_and_its_supply_left_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    room = Room(tmp_path)
    tiered = replace(ELECTRICITY, tariff="tiered")

    for kwh in (100, 150, 200):
        await asyncio.sleep(60)
        room.meter.show(f"{kwh}.00")
        await room.agent.visit(tiered)

    def missing() -> list[Alarm]:
        return [a for a in room.told(Alarm) if a.alarm is AlarmKind.NO_TARIFF]

    assert [alarm.is_over for alarm in missing()] == [False]
    assert "tariff tiered never came" in missing()[0].text
    assert [r.levelname for r in caplog.records if "tariff" in r.getMessage()] == ["ERROR"]
    assert commands(room) == []
    assert room.told(SupplyChanged)[-1].wanted is None
    with room.store.transaction():
        room.store.save_tariff(tariff("tiered", "electricity", "0.50"))
    await room.agent.visit(tiered)
    await asyncio.sleep(60)
    room.meter.show("201.00")
    await room.agent.visit(tiered)
    assert [alarm.is_over for alarm in missing()] == [False, True]
    assert room.store.balance(PURSE) == Money.yuan("0.50")


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
async def test_each_line_says_once_an_hour_what_it_did(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    room = Room(tmp_path)
    room.credit("1000000")  # for so much nobody is looked at more often than each minute
    room.credit("1000000", purse=WATER_PURSE, cause="sandbox:3")
    agent = asyncio.create_task(room.agent.run())

    await asyncio.sleep(2 * 3600 + 60)

    said = [m for r in caplog.records if (m := r.getMessage()).startswith("line L1 in the last")]
    assert len(said) == 2
    assert re.search(r"% used.* requests, \d+ answers, 0 time-outs, 0 garbled, 0 retries", said[1])
    agent.cancel()


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
async def test_a_register_that_jumps_is_held_uncharged_and_released_when_it_is_back(
    tmp_path: Path,
):
    room = Room(tmp_path)
    await room.use("100.00")

    await room.use("99000.00")  # 98900 kWh in 10 s; 10 kWh a second can pass
    held_at = room.store.balance(PURSE)
    await room.use("99000.00", after_s=20_000)  # with time enough the jump would be possible
    still = room.told(SupplyChanged)[-1]
    await room.use("100.20")  # 0.20 × 0.50 = 0.10

    assert held_at == Money.yuan("1.00")
    assert (still.wanted, still.why) == (None, Why.HELD)
    doubtful = [a for a in room.told(Alarm) if a.alarm is AlarmKind.IMPLAUSIBLE]
    assert [alarm.is_over for alarm in doubtful] == [False, True]
    assert Decimal("99000.00") in [read.reading.total for read in room.told(Read)]
    assert room.store.balance(PURSE) == Money.yuan("0.90")


@simulated
async def test_a_held_meter_is_read_once_a_minute_however_empty_its_purse(tmp_path: Path):
    room = Room(tmp_path)
    room.start(settle_s=900)
    await room.use("100.00")

    again_s = await room.use("99000.00")

    assert room.told(SupplyChanged)[-1].why is Why.HELD
    assert again_s == 60


@simulated
async def test_one_garbled_value_is_read_again_and_holds_nobody(tmp_path: Path):
    room = Room(tmp_path)
    await room.use("100.00")
    await asyncio.sleep(10)
    room.meter.show("5.00")

    def right_from_the_second_read_on() -> None:
        if len(room.wire.requests) == 4:
            room.meter.show("100.10")

    room.wire.before_write = right_from_the_second_read_on
    await room.agent.visit(ELECTRICITY)

    assert [a for a in room.told(Alarm) if a.alarm is AlarmKind.IMPLAUSIBLE] == []
    assert room.store.balance(PURSE) == Money.yuan("0.95")


@simulated
async def test_a_low_balance_is_told_when_it_begins_and_when_it_ends(tmp_path: Path):
    room = Room(tmp_path)
    await room.use("100.00")

    await room.use("101.00")  # leaves 0.50, the level
    await room.use("101.10")
    room.credit("5.00")
    await room.use("101.10")

    low = [a for a in room.told(Alarm) if a.alarm is AlarmKind.LOW_BALANCE]
    assert [alarm.is_over for alarm in low] == [False, True]


@simulated
async def test_an_unchanged_reading_is_sent_up_once_a_minute(tmp_path: Path):
    room = Room(tmp_path)

    for _ in range(13):  # 0 to 120 s
        await room.use("100.00")

    assert len(room.told(Read)) == 3


@simulated
async def test_with_a_full_disk_nothing_is_charged_until_there_is_room_and_then_all_of_it(
    tmp_path: Path,
):
    room = Room(tmp_path)
    room.credit("999.00")
    await room.use("100.00")
    room.fill_disk()

    async def use_until_it_is_full() -> None:
        for kwh in range(101, 1000):
            await room.use(f"{kwh}.00", after_s=100)

    with pytest.raises(StoreFull, match="the disk is full"):
        await use_until_it_is_full()
    position = room.store.position(ELECTRICITY.id)
    assert position is not None
    # Nothing of the failed visit: ¥1000 less 0.50 for each kWh up to the position.
    charged = (position.reading.total - 100) / 2
    assert room.store.balance(PURSE).in_yuan() == 1000 - charged
    room.empty_disk()
    await room.use("1100.00", after_s=1000)

    assert room.store.balance(PURSE) == Money.yuan("500.00")


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


@simulated
async def test_two_points_of_one_purse_are_cut_together(tmp_path: Path):
    room = Room(tmp_path)
    both = replace(WATER, purse=PURSE)
    with room.store.transaction():
        room.store.save_point(both)
    agent = asyncio.create_task(room.agent.run())
    await until(lambda: len(room.told(Read)) >= 2, within_s=5)

    await asyncio.sleep(2)
    room.meter.show("102.00")
    await until(lambda: room.meter.contact_open, within_s=61)
    await until(lambda: len(room.water.commands) == 1, within_s=2)
    agent.cancel()
