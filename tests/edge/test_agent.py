"""Visits, told as stories: electricity costs ¥0.50 a kWh and water ¥4.00 a m3; both purses hold ¥1.00."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from edge.ledger.ledger_file import StoreFull
from prepaid.ledger import credit_balance, prepaid
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import Why
from prepaid.wire.downlog import TariffSet
from prepaid.wire.uplog import Alarm, AlarmKind, Charged, Read, SupplyChanged
from tests.edge.simulated import (
    ALLOW_CLOSE,
    ELECTRICITY,
    POWER_TARIFF,
    PURSE,
    TRIP,
    WATER,
    WATER_PURSE,
    Room,
    commands,
    simulated,
    tariff,
    until,
)


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
async def test_a_tariff_that_only_an_earlier_version_took_stops_its_own_points_and_no_others(
    tmp_path: Path,
):
    room = Room(tmp_path)
    earlier = {**POWER_TARIFF.document, "currency": "none"}  # which was not looked at then
    body = TypeAdapter(TariffSet).dump_json(TariffSet(earlier)).decode()
    with room.store.transaction():
        room.store._tariff_bodies.save("power", body)
    room.start(settle_s=60)

    await room.agent.visit(ELECTRICITY)
    await room.agent.visit(WATER)

    assert [(a.point, a.alarm) for a in room.told(Alarm)] == [(ELECTRICITY.id, AlarmKind.NO_TARIFF)]
    assert room.told(SupplyChanged)[0].wanted is None
    assert room.store.position(WATER.id) is not None


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
